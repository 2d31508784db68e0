//! A set is a sorted map, whatever happens to it.

use std::{collections::BTreeMap, path::Path};

use proptest::prelude::*;
use spacefold_disk::{
    Access, Disk, RealDisk, SimDisk,
    sim::{Fault, Kept},
};

use super::*;
use crate::view::Lookup;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

const OPTIONS: RunSetOptions = RunSetOptions {
    kind: *b"of tests",
    filter_key: |key| key,
    inline_bytes: 64,
    join: None,
    is_ascending: false,
};

fn cache() -> Arc<PageCache> {
    Arc::new(PageCache::new(64 << 10))
}

fn rows_of(changes: &Changes) -> impl Iterator<Item = Row<'_>> {
    changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
}

/// A set with its owner's changes, as a client has it.
struct Owner {
    set: RunSet,
    changes: Changes,
}

impl Owner {
    fn open(folder: Arc<dyn Folder>) -> (Self, Vec<u8>) {
        let opened = RunSet::open(Arc::clone(&folder), OPTIONS, cache()).unwrap();
        let Some(Opened { set, owner, changes }) = opened else {
            let set = RunSet::empty(folder, OPTIONS, cache()).unwrap();
            return (Self { set, changes: Changes::new() }, Vec::new());
        };
        (Self { set, changes: changes.into_iter().collect() }, owner)
    }

    fn write(&mut self, owner: &[u8]) -> Result<(), RunsError> {
        let written = self.set.write(rows_of(&self.changes), owner)?;
        if !written.is_inline() {
            self.changes.clear();
        }
        self.set.adopt(written);
        Ok(())
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        let mut scan = self.set.view().scan_with(rows_of(&self.changes), b"").unwrap();
        while let Some((key, value)) = scan.next_row().unwrap() {
            assert!(rows.insert(key.to_vec(), value.to_vec()).is_none(), "a key twice");
        }
        rows
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self.changes.get(key) {
            Some(change) => change.clone(),
            None => self.set.view().get(key).unwrap().value().map(|value| value.to_vec()),
        }
    }
}

/// A key among few: collisions are what is looked for.
fn key(number: u32) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.resize(4 + (number as usize * 7) % 40, b'k');
    key
}

fn changes(seed: u64, count: usize) -> Changes {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|_| {
            let value = || vec![b'v'; 0];
            let mut bytes = value();
            bytes.resize(rng.usize(0..200), rng.u8(..));
            let is_removed = rng.u8(..) < 60;
            (key(rng.u32(0..2_000)), (!is_removed).then_some(bytes))
        })
        .collect()
}

fn apply(model: &mut Rows, changes: &Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_set_is_a_sorted_map(
        writes in proptest::collection::vec((any::<u64>(), 0_usize..400, any::<bool>()), 1..40),
    ) {
        let disk = SimDisk::default();
        let (mut owner, _) = Owner::open(disk.root());
        let mut model = Rows::new();
        for (number, (seed, count, reopens)) in writes.into_iter().enumerate() {
            let new = changes(seed, count);
            apply(&mut model, &new);
            owner.changes.extend(new);
            let before = (owner.set.view().clone(), owner.changes.clone());
            let tag = number.to_le_bytes();
            owner.write(&tag).unwrap();
            if reopens {
                let (again, kept) = Owner::open(disk.root());
                prop_assert_eq!(&kept, &tag);
                again.set.sweep().unwrap();
                owner = again;
            }
            prop_assert_eq!(&owner.rows(), &model);
            for number in (0..2_000).step_by(37) {
                prop_assert_eq!(owner.get(&key(number)), model.get(&key(number)).cloned());
            }
            // A view reads on what the set was.
            let mut scan = before.0.scan_with(rows_of(&before.1), b"").unwrap();
            let mut count = 0;
            while scan.next_row().unwrap().is_some() {
                count += 1;
            }
            prop_assert_eq!(count, model.len());
        }
        prop_assert!(owner.set.view().runs.len() < 4 * MERGED_RUNS);
    }

    #[test]
    fn floors_and_scans_begin_where_a_sorted_map_would(
        seeds in proptest::collection::vec(any::<u64>(), 1..12),
        sought in proptest::collection::vec(0_u32..2_100, 50),
    ) {
        // Groups of 16 keys: what filters have is the first bytes.
        fn group(key: &[u8]) -> &[u8] {
            key.get(..3).unwrap_or(key)
        }
        let grouped = |number: u32| [key(number / 16 * 16).get(..4).unwrap(), &number.to_le_bytes()[..1]].concat();
        let options = RunSetOptions { filter_key: group, inline_bytes: 0, ..OPTIONS };
        let disk = SimDisk::default();
        let mut set = RunSet::empty(disk.root(), options, cache()).unwrap();
        let mut model = Rows::new();
        for seed in seeds {
            let mut rng = fastrand::Rng::with_seed(seed);
            let new: Changes = (0..rng.usize(1..500))
                .map(|_| (grouped(rng.u32(0..2_000)), rng.bool().then(|| vec![rng.u8(..); 30])))
                .collect();
            apply(&mut model, &new);
            let written = set.write(rows_of(&new), b"").unwrap();
            set.adopt(written);
        }
        for number in sought {
            let key = grouped(number);
            let found = set.view().floor(&key).unwrap().map(|(key, value)| (key, value.to_vec()));
            let expected = model.range(..=key.clone()).next_back();
            let expected = expected.filter(|(found, _)| group(found) == group(&key));
            prop_assert_eq!(found, expected.map(|(key, value)| (key.clone(), value.clone())));
            let first_rows = set.view().rows_from(&key, 3).unwrap();
            let next = model.range(key.clone()..).take(3);
            let next: Vec<_> = next.map(|(key, value)| (key.clone(), value.clone())).collect();
            prop_assert_eq!(first_rows, next);
            let mut scan = set.view().scan(&key).unwrap();
            let first = scan.next_row().unwrap().map(|(key, _)| key.to_vec());
            prop_assert_eq!(first, model.range(key..).next().map(|(key, _)| key.clone()));
        }
    }
}

/// Where a newer run has only later rows of a group, older runs are left alone once it has one.
#[test]
fn floors_of_ascending_rows_are_those_of_a_sorted_map() {
    fn group(key: &[u8]) -> &[u8] {
        key.get(..1).unwrap_or(key)
    }
    let options =
        RunSetOptions { filter_key: group, inline_bytes: 0, is_ascending: true, ..OPTIONS };
    let disk = SimDisk::default();
    let mut set = RunSet::empty(disk.root(), options, cache()).unwrap();
    let mut model = Rows::new();
    let mut rng = fastrand::Rng::with_seed(7);
    for step in 0..40_u32 {
        let new: Changes = (0..200_u32)
            .map(|n| {
                let key = [&[rng.u8(..5)][..], &(step * 200 + n).to_be_bytes()].concat();
                (key, Some(vec![rng.u8(..); 20]))
            })
            .collect();
        apply(&mut model, &new);
        let written = set.write(rows_of(&new), b"").unwrap();
        set.adopt(written);
        for _ in 0..50 {
            let key = [&[rng.u8(..6)][..], &rng.u32(..9_000).to_be_bytes()].concat();
            let found = set.view().floor(&key).unwrap().map(|(key, value)| (key, value.to_vec()));
            let expected = model.range(..=key.clone()).next_back();
            let expected = expected.filter(|(found, _)| group(found) == group(&key));
            assert_eq!(found, expected.map(|(key, value)| (key.clone(), value.clone())));
        }
    }
}

/// Fills a set in steps; answers the model after each step that was acknowledged, and the one after
/// the step that failed, if one did.
fn fill(disk: &SimDisk, seed: u64) -> (Vec<Rows>, Option<Rows>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut model = Rows::new();
    let mut acknowledged = vec![model.clone()];
    let empty = RunSet::empty(disk.root(), OPTIONS, cache());
    let Ok(set) = empty else { return (acknowledged, None) };
    let mut owner = Owner { set, changes: Changes::new() };
    for step in 0_u8..14 {
        let new = changes(rng.u64(..), rng.usize(0..120));
        apply(&mut model, &new);
        owner.changes.extend(new);
        if owner.write(&[step]).is_err() {
            return (acknowledged, Some(model));
        }
        acknowledged.push(model.clone());
    }
    (acknowledged, None)
}

#[test]
fn a_set_is_as_of_one_manifest_whatever_call_fails_and_whatever_the_disk_kept() {
    let sound = SimDisk::default();
    fill(&sound, 1);
    let calls = sound.calls();
    let mut states = 0;
    for call in 1..=calls {
        for fault in Fault::ALL {
            let disk = SimDisk::default();
            disk.fail_call(call, fault);
            let (acknowledged, failed) = fill(&disk, 1);
            for kept in Kept::ALL {
                let mut rng = fastrand::Rng::with_seed(call);
                let after = disk.after_power_cut(kept, &mut rng);
                let (owner, _) = Owner::open(after.root());
                let rows = owner.rows();
                let last = acknowledged.last().unwrap();
                assert!(
                    rows == *last || Some(&rows) == failed.as_ref(),
                    "call {call}, {fault:?}, {kept:?}: neither the last nor the one that failed"
                );
                owner.set.sweep().unwrap();
                let (again, _) = Owner::open(after.root());
                assert!(again.rows() == rows, "a sweep took something that counts");
                states += 1;
            }
        }
    }
    assert!(states > 1_000, "{states}");
}

/// Reads everything, one way and the other.
fn read_all(folder: Arc<dyn Folder>) -> Result<Option<Rows>, RunsError> {
    let Some(Opened { set, changes, .. }) = RunSet::open(folder, OPTIONS, cache())? else {
        return Ok(None);
    };
    let changes: Changes = changes.into_iter().collect();
    let mut rows = Rows::new();
    let mut scan = set.view().scan_with(rows_of(&changes), b"")?;
    while let Some((key, value)) = scan.next_row()? {
        rows.insert(key.to_vec(), value.to_vec());
    }
    for key in (0..2_000).map(key) {
        let found = match changes.get(&key) {
            Some(change) => change.clone(),
            None => set.view().get(&key)?.value().map(|value| value.to_vec()),
        };
        assert_eq!(found.as_ref(), rows.get(&key));
    }
    Ok(Some(rows))
}

#[test]
fn no_damaged_byte_gives_a_wrong_row() {
    let disk = SimDisk::default();
    let (acknowledged, failed) = fill(&disk, 2);
    assert!(failed.is_none());
    let expected = acknowledged.last().unwrap();
    let folder = disk.root();
    assert_eq!(read_all(disk.root()).unwrap().as_ref(), Some(expected));
    let mut rng = fastrand::Rng::with_seed(3);
    for name in folder.names().unwrap() {
        let file = folder.open(&name, Access::ReadWrite).unwrap();
        let whole = file.read_all().unwrap();
        for _ in 0..400 {
            let at = rng.usize(..whole.len());
            file.write_all_at(&[whole[at] ^ (1 << rng.u8(..8))], at as u64).unwrap();
            let read = read_all(disk.root());
            assert!(matches!(read, Err(RunsError::Damaged { .. })), "{name} byte {at}: {read:?}");
            file.write_all_at(&whole[at..=at], at as u64).unwrap();
        }
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            file.set_len(length as u64).unwrap();
            assert!(matches!(read_all(disk.root()), Err(RunsError::Damaged { .. })), "{name}");
            file.write_all_at(&whole, 0).unwrap();
        }
    }
    assert_eq!(read_all(disk.root()).unwrap().as_ref(), Some(expected));
}

#[test]
fn a_run_of_another_set_or_time_is_not_taken() {
    let (one, other) = (SimDisk::default(), SimDisk::default());
    fill(&one, 5);
    fill(&other, 6);
    let expected = read_all(one.root()).unwrap();
    for name in one.root().names().unwrap().iter().filter(|name| id_of(name).is_some()) {
        let Some(file) = other.root().find(name, Access::Read).unwrap() else { continue };
        let whole = one.root().open(name, Access::Read).unwrap().read_all().unwrap();
        let put = |bytes: &[u8]| one.root().create(name).unwrap().write_all_at(bytes, 0).unwrap();
        put(&file.read_all().unwrap());
        assert!(matches!(read_all(one.root()), Err(RunsError::Damaged { .. })), "{name}");
        one.root().remove(name).unwrap();
        assert!(matches!(read_all(one.root()), Err(RunsError::Damaged { .. })), "{name}");
        put(&whole);
    }
    assert_eq!(read_all(one.root()).unwrap(), expected);
    let other_kind = RunSetOptions { kind: *b"of other", ..OPTIONS };
    let opened = RunSet::open(one.root(), other_kind, cache());
    assert!(matches!(opened, Err(RunsError::Damaged { .. })));
}

#[test]
fn large_values_and_long_keys_are_read_back_and_too_long_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = || RealDisk.folder(folder.path()).unwrap().unwrap();
    let mut set = RunSet::empty(open(), OPTIONS, cache()).unwrap();
    let longest = vec![1; crate::MAX_KEY_BYTES];
    let value = vec![9; 3 << 20];
    let rows: [Row<'_>; 3] = [(b"", Some(b"")), (&longest, Some(&value)), (b"\x02", None)];
    let written = set.write(rows.into_iter(), b"large").unwrap();
    set.adopt(written);
    let opened = RunSet::open(open(), OPTIONS, cache()).unwrap().unwrap();
    assert_eq!(opened.owner, b"large");
    let view = opened.set.view();
    assert_eq!(&*view.get(&longest).unwrap().value().unwrap(), value.as_slice());
    assert!(matches!(view.get(b"").unwrap(), Lookup::Value(value) if value.is_empty()));
    assert!(matches!(view.get(b"\x02").unwrap(), Lookup::Absent), "nothing older has it");
    let too_long = vec![1; crate::MAX_KEY_BYTES + 1];
    let refused = set.write(
        [(
            too_long.as_slice(),
            Some(&b"some value that is too long to be inline, and a bit longer still"[..]),
        )]
        .into_iter(),
        b"",
    );
    assert!(matches!(refused, Err(RunsError::KeyTooLong { .. })));
    RunSet::remove(&open()).unwrap();
    assert_eq!(std::fs::read_dir(Path::new(folder.path())).unwrap().count(), 0);
}

#[test]
fn values_of_many_pages_are_found_among_small_ones_and_merged_with_them() {
    fn group(key: &[u8]) -> &[u8] {
        &key[..1]
    }
    let disk = SimDisk::default();
    let options = RunSetOptions { filter_key: group, inline_bytes: 0, ..OPTIONS };
    let mut set = RunSet::empty(disk.root(), options, cache()).unwrap();
    let mut rows = Rows::new();
    for round in 0..20_u8 {
        let new: Changes = (0..30)
            .map(|n| {
                // Larger than a page, than the buffer of a writer, and than the cache.
                let length = [3, 9 << 10, 40, 300 << 10][usize::from(n + round) % 4];
                (vec![n % 3, n, round], Some(vec![n ^ round; length]))
            })
            .collect();
        let written = set.write(rows_of(&new), &[round]).unwrap();
        set.adopt(written);
        apply(&mut rows, &new);
    }
    assert!(set.view.runs.len() < 8, "they are merged");
    let set = RunSet::open(disk.root(), options, cache()).unwrap().unwrap().set;
    for number in 0..=30 {
        for round in [0, 7, 19, 255] {
            let sought = vec![number % 3, number, round];
            let last = rows.range(..=sought.clone()).next_back();
            let last = last.filter(|(key, _)| group(key) == group(&sought));
            let found = set.view().floor(&sought).unwrap();
            let found = found.as_ref().map(|(key, value)| (key.as_slice(), &**value));
            assert_eq!(found, last.map(|(key, value)| (key.as_slice(), value.as_slice())));
        }
    }
    let owner = Owner { set, changes: Changes::new() };
    assert_eq!(owner.rows(), rows);
}

#[test]
fn opening_and_a_lookup_read_a_few_pages_however_large_the_set_is() {
    let mut reads = Vec::new();
    for count in [2_000_u32, 60_000] {
        let disk = SimDisk::default();
        let mut set = RunSet::empty(disk.root(), OPTIONS, cache()).unwrap();
        let keys: Vec<Vec<u8>> = (0..count).map(|n| n.to_be_bytes().to_vec()).collect();
        let rows = keys
            .iter()
            .map(|key| (key.as_slice(), Some(&b"some value of forty bytes or about that"[..])));
        let written = set.write(rows, b"").unwrap();
        set.adopt(written);
        let before = disk.calls();
        let opened = RunSet::open(disk.root(), OPTIONS, cache()).unwrap().unwrap();
        let absent = opened.set.view().get(b"absent").unwrap();
        assert!(matches!(absent, Lookup::Absent));
        let found = opened.set.view().get(&(count / 2).to_be_bytes()).unwrap();
        assert!(found.value().is_some());
        reads.push(disk.calls() - before);
    }
    assert!(reads[1] <= reads[0] + 4, "{reads:?}");
}

/// A list of ascending numbers of one byte under each first byte of a key: the key ends in the first.
fn join_lists(
    (key, earlier): (&[u8], &[u8]),
    (next, later): (&[u8], &[u8]),
    joined: &mut Vec<u8>,
) -> bool {
    let fits = key.first() == next.first() && earlier.len() + later.len() <= 20;
    if fits {
        joined.extend_from_slice(earlier);
        joined.extend_from_slice(later);
    }
    fits
}

#[test]
fn lists_that_grow_at_their_end_become_few_rows() {
    let options = RunSetOptions {
        filter_key: |key| key.get(..1).unwrap_or(key),
        join: Some(join_lists),
        ..OPTIONS
    };
    let disk = SimDisk::default();
    let mut set =
        RunSet::empty(disk.root(), RunSetOptions { inline_bytes: 0, ..options }, cache()).unwrap();
    for number in 0_u8..64 {
        let rows: Vec<([u8; 2], [u8; 1])> =
            (0_u8..50).map(|list| ([list, number], [number])).collect();
        let rows = rows.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
        let written = set.write(rows, b"").unwrap();
        set.adopt(written);
    }
    assert_eq!(set.view().runs.len(), 1);
    let (mut rows, mut lists) = (0, BTreeMap::<u8, Vec<u8>>::new());
    let mut scan = set.view().scan(b"").unwrap();
    while let Some((key, part)) = scan.next_row().unwrap() {
        assert_eq!(key[1], part[0], "a part is found under its first number");
        lists.entry(key[0]).or_default().extend_from_slice(part);
        rows += 1;
    }
    assert!(lists.len() == 50 && lists.values().all(|list| list.iter().copied().eq(0..64)));
    assert_eq!(rows, 50 * 4, "parts of eight are joined as long as two fit into 20");
    let (key, part) = set.view().floor(&[7, 30]).unwrap().unwrap();
    assert!(key[0] == 7 && part.contains(&30));
}

#[test]
fn what_the_disk_does_not_give_is_damage_and_what_the_machine_lacks_is_not() {
    let disk = SimDisk::default();
    let (mut owner, _) = Owner::open(disk.root());
    let change = |n: u32| (n.to_be_bytes().to_vec(), Some(vec![7; 100]));
    owner.changes = (0..2_000).map(change).collect();
    owner.write(b"").unwrap();
    let (owner, _) = Owner::open(disk.root());
    disk.fail_call(disk.calls() + 1, Fault::Broken);
    let refused = owner.set.view().get(&1_000_u32.to_be_bytes()).err();
    assert!(matches!(refused, Some(RunsError::Damaged { .. })), "{refused:?}");
    assert!(owner.set.view().get(&1_000_u32.to_be_bytes()).is_ok(), "it was for once");
    let lacking = StorageError::new("reading", std::io::Error::from_raw_os_error(24));
    let lacking = RunsError::unreadable(Path::new("1.run"), 0, lacking);
    assert!(matches!(lacking, RunsError::Storage(_)), "{lacking}");
}

#[test]
fn filters_that_are_held_answer_without_the_disk_as_those_that_are_read_do() {
    // Of several levels, with keys that begin alike on both sides of where pages end.
    let keys: Vec<Vec<u8>> =
        (0..40_000_u32).map(|n| [&[b'k'; 13][..], &(n * 2).to_be_bytes()].concat()).collect();
    let value = [b'v'; 60];
    let disk = SimDisk::default();
    let mut set = RunSet::empty(disk.root(), OPTIONS, cache()).unwrap();
    for part in keys.chunks(25_000) {
        let rows = part.iter().map(|key| (key.as_slice(), Some(&value[..])));
        let written = set.write(rows, b"").unwrap();
        set.adopt(written);
    }
    for (room, is_held) in [(1 << 20, true), (1_000, false)] {
        let cache = cache();
        cache.hold_filters(room);
        let opened = RunSet::open(disk.root(), OPTIONS, cache).unwrap().unwrap();
        let view = opened.set.view();
        for key in keys.iter().step_by(37) {
            assert!(view.get(key).unwrap().value().is_some());
        }
        // Some are mistaken for keys that are there, the same ones whichever way.
        let scattered = (0..4_000).map(|n| &keys[n * 7_919 % keys.len()]);
        let absent = scattered.map(|key| [&key[..16], &[key[16] + 1]].concat());
        let mut reads = 0;
        for key in absent {
            let before = disk.calls();
            assert!(view.get(&key).unwrap().value().is_none());
            reads += u64::from(disk.calls() > before);
        }
        assert_eq!(reads < 400, is_held, "{reads} of 4,000 lookups have read");
    }
}
