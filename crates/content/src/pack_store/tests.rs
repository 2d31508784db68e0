mod exchanged;
mod hashed;
mod interrupted;
mod large;
mod moved;
mod simulated;

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::{self, Read as _},
    path::PathBuf,
};

use fastrand::Rng;
use tempfile::TempDir;

use spacefold_event_core::bytes::to_u64;

use super::*;
use crate::{
    ContentOptions, ContentReport, MIN_PACK_BYTES, OpenContentError, WHOLE_CONTENT_BYTES,
    collect::DamagedPacks, verify,
};

const SMALL: ContentOptions =
    ContentOptions { pack_bytes: MIN_PACK_BYTES, mode: spacefold_event_core::StoreMode::PRIVATE };

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("content")
    }

    fn open(&self) -> PackStore {
        PackStore::open_with(&self.path(), SMALL).unwrap()
    }

    fn verify(&self) -> ContentReport {
        verify(&self.path()).unwrap()
    }

    fn packs(&self) -> Vec<PathBuf> {
        let mut packs: Vec<PathBuf> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pack"))
            .collect();
        packs.sort();
        packs
    }
}

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

#[track_caller]
fn put(store: &PackStore, content: &[u8]) -> ContentHash {
    let stored = store.put(&mut &*content).unwrap();
    assert_eq!((stored.hash, stored.bytes), (ContentHash::of(content), to_u64(content.len())));
    stored.hash
}

#[track_caller]
fn get(store: &PackStore, hash: &ContentHash) -> Vec<u8> {
    store.get(hash, u64::MAX).unwrap()
}

#[test]
fn content_of_every_size_is_given_back_before_and_after_opening() {
    let fixture = Fixture::new();
    let sizes =
        [0, 1, 63, 64, 1_000, WHOLE_CONTENT_BYTES, WHOLE_CONTENT_BYTES + 1, 300_000, 2_000_000];
    let noisy = sizes.iter().map(|bytes| noise(*bytes, 1));
    let plain = sizes
        .iter()
        .map(|bytes| b"text that repeats ".iter().copied().cycle().take(*bytes).collect());
    let contents: Vec<Vec<u8>> = noisy.chain(plain).collect();
    let store = fixture.open();
    let hashes: Vec<ContentHash> = contents.iter().map(|content| put(&store, content)).collect();
    let read_all = |store: &PackStore| {
        for (hash, content) in hashes.iter().zip(&contents) {
            assert!(get(store, hash) == *content, "{} bytes", content.len());
        }
    };
    read_all(&store);
    store.close().unwrap();
    assert!(matches!(store.get(&hashes[0], 10), Err(ContentError::Closed)));
    assert!(matches!(store.put(&mut io::empty()), Err(ContentError::Closed)));
    assert!(fixture.packs().len() > 10, "small packs are filled and sealed");
    read_all(&fixture.open());
    let report = fixture.verify();
    assert_eq!(report.problems, []);
    assert!(hashes.iter().all(|hash| report.is_sound(hash)));
}

#[test]
fn content_is_stored_once_and_packed() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let text: Vec<u8> =
        (0..9_000_u32).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    put(&store, &text);
    let once = store.info();
    assert!(once.stored_bytes < once.bytes / 2, "{once:?}");
    put(&store, &text);
    drop(store);
    let store = fixture.open();
    put(&store, &text);
    assert_eq!(store.info(), once);
}

#[test]
fn versions_of_a_large_document_share_their_chunks() {
    let fixture = Fixture::new();
    let store = PackStore::open(&fixture.path()).unwrap();
    let mut document = noise(8 << 20, 5);
    put(&store, &document);
    let first = store.info();
    document.splice(4_000_000..4_000_010, *b"an edit");
    let hash = put(&store, &document);
    let grown = store.info().stored_bytes - first.stored_bytes;
    assert!(grown < first.stored_bytes / 10, "{grown} bytes for an edit of {first:?}");
    assert!(get(&store, &hash) == document);
}

#[test]
fn limits_are_told_apart_from_damage() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(200_000, 6);
    let hash = put(&store, &content);
    let past = store.get(&hash, 199_999);
    assert!(matches!(past, Err(ContentError::PastLimit { bytes: 200_000, .. })), "{past:?}");
    assert_eq!(store.get(&hash, 200_000).unwrap().len(), 200_000);
    let absent = ContentHash::of(b"absent");
    assert!(matches!(store.open(&absent), Err(ContentError::Missing { .. })));
    assert!(!store.contains(&absent).unwrap() && store.contains(&hash).unwrap());
}

#[test]
fn content_at_the_limit_is_taken_and_past_it_is_not() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for limit in [0, 1_000, 500_000, 3_000_000] {
        let content = noise(limit + 1, 8);
        let most = to_u64(limit);
        let past = intake::put(&store, most, &mut &content[..], None);
        assert!(matches!(past, Err(ContentError::TooLarge)), "{past:?}");
        assert!(!store.contains(&ContentHash::of(&content)).unwrap());
        let at = intake::put(&store, most, &mut &content[..limit], None).unwrap();
        assert_eq!(at.bytes, most);
        assert!(get(&store, &at.hash) == content[..limit]);
    }
}

#[test]
fn packs_keep_their_size_but_for_one_entry_that_is_larger() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for seed in 0..60 {
        put(&store, &noise(if seed % 20 == 0 { 64 << 10 } else { 5_000 }, seed));
    }
    store.close().unwrap();
    let sizes: Vec<u64> =
        fixture.packs().iter().map(|pack| fs::metadata(pack).unwrap().len()).collect();
    let larger = sizes.iter().filter(|size| **size > MIN_PACK_BYTES).count();
    assert_eq!(larger, 3, "{sizes:?}");
    // They are filled before another is begun.
    assert!(sizes.len() < 3 + 60 * 5_000 / 50_000 + 3, "{sizes:?}");
}

#[test]
fn a_source_that_fails_leaves_no_content() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(500_000, 7);
    let broken = store.put(&mut (&content[..]).chain(Broken));
    assert!(matches!(broken, Err(ContentError::Source(_))));
    assert!(!store.contains(&ContentHash::of(&content)).unwrap());
    let hash = put(&store, &content);
    assert!(get(&store, &hash) == content);
}

#[test]
fn one_handle_at_a_time() {
    let fixture = Fixture::new();
    let store = fixture.open();
    put(&store, b"x");
    let second = PackStore::open(&fixture.path());
    assert!(matches!(second, Err(OpenContentError::AlreadyOpen { .. })));
    assert!(matches!(verify(&fixture.path()), Err(OpenContentError::AlreadyOpen { .. })));
    store.close().unwrap();
    fixture.open();
}

#[test]
fn opening_and_reading_create_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open();
    assert!(!store.contains(&ContentHash::of(b"")).unwrap());
    store.sync().unwrap();
    store.close().unwrap();
    assert_eq!(fixture.verify().problems, []);
    assert!(!fixture.path().exists());
}

/// A store that was killed: everything that was written is there, nothing was closed.
fn killed(fixture: &Fixture, contents: &[Vec<u8>]) {
    let store = fixture.open();
    for content in contents {
        put(&store, content);
    }
    let copy = fixture.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(fixture.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    drop(store);
    fs::remove_dir_all(fixture.path()).unwrap();
    fs::rename(copy, fixture.path()).unwrap();
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let contents = [noise(300, 1), noise(500, 2), noise(700, 3)];
    let fixture = Fixture::new();
    killed(&fixture, &contents);
    let pack = fixture.packs().pop().unwrap();
    let whole = fs::read(&pack).unwrap();
    let manifest = fs::read(fixture.path().join("MANIFEST")).unwrap();
    for len in (64..whole.len()).step_by(7).chain([whole.len()]) {
        // Once shortened, once as long and with zeros: as a file system may leave it.
        for filled in [None, Some(whole.len())] {
            let mut torn = whole[..len].to_vec();
            torn.resize(filled.unwrap_or(len), 0);
            fs::write(&pack, torn).unwrap();
            assert_eq!(fixture.verify().problems, [], "cut at {len}");
            let store = fixture.open();
            let left: Vec<bool> = contents
                .iter()
                .map(|content| store.contains(&ContentHash::of(content)).unwrap())
                .collect();
            let held = left.iter().take_while(|held| **held).count();
            assert!(left[held..].iter().all(|held| !held), "cut at {len}: {left:?}");
            for content in &contents[..held] {
                assert!(get(&store, &ContentHash::of(content)) == *content);
            }
            // What is lost can be put again, behind what is there.
            for content in &contents {
                put(&store, content);
            }
            store.sync().unwrap();
            store.close().unwrap();
            assert_eq!(fixture.verify().problems, [], "cut at {len}");
            let store = fixture.open();
            assert!(
                contents.iter().all(|content| get(&store, &ContentHash::of(content)) == *content)
            );
            drop(store);
            // The manifest of before knows nothing of what was synced since.
            fs::write(fixture.path().join("MANIFEST"), &manifest).unwrap();
        }
    }
}

#[test]
fn every_flipped_bit_is_found_and_no_wrong_byte_is_given() {
    let contents: Vec<Vec<u8>> = (0..6)
        .map(|seed| noise(200, seed))
        .chain([noise(100_000, 9), b"packed ".repeat(40)])
        .collect();
    let fixture = Fixture::new();
    let store = fixture.open();
    for content in &contents {
        put(&store, content);
    }
    store.close().unwrap();
    drop(store);
    let mut files = fixture.packs();
    assert!(files.len() >= 2, "one of them is sealed");
    files.push(fixture.path().join("MANIFEST"));
    let mut random = Rng::with_seed(11);
    let (mut flips, mut lost) = (0, 0);
    for file in files {
        let whole = fs::read(&file).unwrap();
        // Every byte of heads, entries and ends, some of what long payloads hold.
        let dense = whole.len().min(600);
        let begin = 0..dense;
        let end = whole.len() - dense..whole.len();
        for byte in begin.chain(end).chain((0..whole.len()).step_by(1_021)) {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1 << random.u8(..8);
            fs::write(&file, &damaged).unwrap();
            let report = fixture.verify();
            assert_ne!(report.problems, [], "{} byte {byte}", file.display());
            let store = fixture.open();
            for content in &contents {
                let hash = ContentHash::of(content);
                match store.get(&hash, u64::MAX) {
                    Ok(found) => assert!(found == *content, "{} byte {byte}", file.display()),
                    Err(ContentError::Missing { .. } | ContentError::Damaged { .. }) => {
                        lost += 1;
                        assert!(!report.is_sound(&hash), "{} byte {byte}", file.display());
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            flips += 1;
            drop(store);
            fs::write(&file, &whole).unwrap();
            // What opening made of it does not stay.
            for pack in fixture.packs() {
                if fs::metadata(&pack).unwrap().len() == 64 {
                    fs::remove_file(pack).unwrap();
                }
            }
        }
    }
    assert!(flips > 3_000 && lost > 500, "{flips} flips, {lost} contents lost");
}

#[test]
fn damage_in_one_place_costs_no_other_content() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let contents: Vec<Vec<u8>> = (0..20).map(|seed| noise(1_000, seed)).collect();
    for content in &contents {
        put(&store, content);
        store.sync().unwrap();
    }
    store.close().unwrap();
    let pack = fixture.packs().pop().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[5_000..5_200].fill(0xAA);
    fs::write(&pack, bytes).unwrap();
    let store = fixture.open();
    let lost = contents
        .iter()
        .filter(|content| store.get(&ContentHash::of(content), u64::MAX).is_err())
        .count();
    assert_eq!(lost, 1);
    // It can be put again, into another pack, and everything is there.
    for content in &contents {
        put(&store, content);
    }
    store.sync().unwrap();
    drop(store);
    let store = fixture.open();
    assert!(contents.iter().all(|content| get(&store, &ContentHash::of(content)) == *content));
    assert_eq!(fixture.packs().len(), 2);
    drop(store);
    assert_eq!(fixture.verify().problems.len(), 1);
}

#[test]
fn putting_damaged_content_again_mends_it() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let contents: Vec<Vec<u8>> =
        (0..40).map(|seed| noise(3_000, seed)).chain([noise(300_000, 99)]).collect();
    for content in &contents {
        put(&store, content);
    }
    store.close().unwrap();
    for pack in fixture.packs() {
        let mut bytes = fs::read(&pack).unwrap();
        // In the payloads of several entries, in sealed packs too.
        for byte in (200..bytes.len() - 4_000).step_by(10_000) {
            bytes[byte] ^= 4;
        }
        fs::write(&pack, bytes).unwrap();
    }
    let store = fixture.open();
    let is_damaged = |store: &PackStore, content: &Vec<u8>| {
        store.get(&ContentHash::of(content), u64::MAX).is_err()
    };
    assert!(contents.iter().filter(|content| is_damaged(&store, content)).count() > 5);
    for content in &contents {
        put(&store, content);
        assert!(!is_damaged(&store, content));
    }
    store.close().unwrap();
    let store = fixture.open();
    assert!(!contents.iter().any(|content| is_damaged(&store, content)));
    // What is damaged is garbage now.
    let all: HashSet<ContentHash> =
        contents.iter().map(|content| ContentHash::of(content)).collect();
    store.collect_garbage(&all).unwrap();
    assert!(!contents.iter().any(|content| is_damaged(&store, content)));
    drop(store);
    assert_eq!(fixture.verify().problems, []);
}

#[test]
fn a_missing_pack_is_missed() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for seed in 0..5 {
        put(&store, &noise(60_000, seed));
    }
    store.close().unwrap();
    let packs = fixture.packs();
    assert!(packs.len() > 3);
    fs::remove_file(&packs[1]).unwrap();
    let problems = fixture.verify().problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(
        (&problems[0].file, problems[0].detail.as_str()),
        (&packs[1], "the pack is missing")
    );
}

#[test]
fn bytes_that_look_like_an_entry_are_content_like_any_other() {
    let fixture = Fixture::new();
    killed(&fixture, &[noise(300, 1)]);
    let pack = fs::read(fixture.packs().pop().unwrap()).unwrap();
    // A copy of an entry inside of content, at the same alignment, and torn off in front of it.
    let store = fixture.open();
    let hash = put(&store, &pack[64..]);
    store.close().unwrap();
    let store = fixture.open();
    assert!(get(&store, &hash) == pack[64..]);
    assert_eq!(store.info().entries, 2);
}

#[test]
fn threads_put_sync_and_read_at_once() {
    let fixture = Fixture::new();
    let store = fixture.open();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..60 {
                    // Half of it is what the other threads put too.
                    let seed = if round % 2 == 0 { round } else { 1_000 * thread + round };
                    let content = noise(500 + 37 * near_usize(round), seed);
                    let hash = put(store, &content);
                    store.sync().unwrap();
                    assert!(get(store, &hash) == content);
                }
            });
        }
    });
    assert_eq!(store.info().entries, 30 + 4 * 30);
    drop(store);
    assert_eq!(fixture.verify().problems, []);
}

fn near_usize(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

/// The model: contents by hash, which of them were put since opening, which are named.
#[test]
fn collecting_removes_what_nothing_needs_and_nothing_else() {
    for seed in 0..30 {
        let fixture = Fixture::new();
        let mut random = Rng::with_seed(seed);
        let mut model: BTreeMap<ContentHash, (Vec<u8>, bool)> = BTreeMap::new();
        let mut store = fixture.open();
        for _ in 0..12 {
            match random.u8(..10) {
                0..=5 => {
                    for _ in 0..random.u8(1..8) {
                        let bytes = if random.u8(..8) == 0 { 150_000 } else { 2_000 };
                        let mut content = noise(bytes, random.u64(..20));
                        if random.bool() {
                            content[0] = random.u8(..4);
                        }
                        let hash = put(&store, &content);
                        let named = random.bool();
                        model.entry(hash).or_insert((content, false)).1 |= named;
                    }
                    if random.bool() {
                        store.sync().unwrap();
                    }
                }
                6..=7 => {
                    drop(store);
                    assert_eq!(fixture.verify().problems, [], "seed {seed}");
                    store = fixture.open();
                    let named = |hash: &ContentHash| model.get(hash).is_some_and(|kept| kept.1);
                    store.collect(&mut |hash| named(hash), DamagedPacks::Stay).unwrap();
                    model.retain(|_, (_, named)| *named);
                }
                _ => {
                    // What was put in this session stays, named or not.
                    let named = |hash: &ContentHash| model.get(hash).is_some_and(|kept| kept.1);
                    let put_here: Vec<ContentHash> = store
                        .shared
                        .index()
                        .iter()
                        .filter(|(_, place)| place.put_here)
                        .map(|(hash, _)| *hash)
                        .collect();
                    store.collect(&mut |hash| named(hash), DamagedPacks::Stay).unwrap();
                    model.retain(|hash, (_, named)| *named || put_here.contains(hash));
                }
            }
            for (hash, (content, _)) in &model {
                assert!(get(&store, hash) == *content, "seed {seed}");
            }
        }
        drop(store);
        assert_eq!(fixture.verify().problems, [], "seed {seed}");
        let store = fixture.open();
        store
            .collect(&mut |hash| model.get(hash).is_some_and(|kept| kept.1), DamagedPacks::Stay)
            .unwrap();
        model.retain(|_, (_, named)| *named);
        for (hash, (content, _)) in &model {
            assert!(get(&store, hash) == *content, "seed {seed}");
        }
        // Nothing is left but what is named and its chunks.
        let needed: u64 = model
            .values()
            .map(|(content, _)| if content.len() > WHOLE_CONTENT_BYTES { 12 } else { 1 })
            .sum();
        assert!(store.info().entries <= needed, "seed {seed}: {:?}", store.info());
    }
}

#[test]
fn what_is_put_while_garbage_is_collected_stays() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let contents: Vec<Vec<u8>> = (0..200).map(|seed| noise(3_000, seed)).collect();
    let large = noise(400_000, 77);
    for content in &contents {
        put(&store, content);
    }
    put(&store, &large);
    drop(store);
    let store = fixture.open();
    std::thread::scope(|scope| {
        let putting = scope.spawn(|| {
            for content in contents.iter().step_by(2) {
                put(&store, content);
            }
            put(&store, &large);
            store.sync().unwrap();
        });
        for _ in 0..20 {
            store.collect(&mut |_| false, DamagedPacks::Stay).unwrap();
        }
        putting.join().unwrap();
    });
    for content in contents.iter().step_by(2) {
        assert!(get(&store, &ContentHash::of(content)) == *content);
    }
    assert!(get(&store, &ContentHash::of(&large)) == large);
    drop(store);
    assert_eq!(fixture.verify().problems, []);
}

#[test]
fn what_was_put_again_between_marking_and_the_swap_is_rescued() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let small = noise(3_000, 1);
    let large = noise(400_000, 2);
    let hashes = [put(&store, &small), put(&store, &large)];
    drop(store);
    let store = fixture.open();
    // The hashes are asked for in the middle of marking: what was denied is put again after it.
    let mut asked = 0;
    let entries = store.info().entries;
    let mut is_needed = |_: &ContentHash| {
        asked += 1;
        if asked == entries {
            for hash in &hashes {
                store.contains(hash).unwrap();
            }
        }
        false
    };
    let report = store.collect(&mut is_needed, DamagedPacks::Stay).unwrap();
    assert_eq!(report.removed_entries, 0, "{report:?}");
    assert!(get(&store, &hashes[0]) == small && get(&store, &hashes[1]) == large);
    drop(store);
    assert_eq!(fixture.verify().problems, []);
}

#[test]
fn a_collection_that_was_stopped_anywhere_is_finished_by_the_next_one() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let contents: Vec<Vec<u8>> = (0..60).map(|seed| noise(3_000, seed)).collect();
    for content in &contents {
        put(&store, content);
    }
    store.close().unwrap();
    drop(store);
    let before: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(fixture.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let needed: Vec<ContentHash> =
        contents.iter().step_by(2).map(|content| ContentHash::of(content)).collect();
    let store = fixture.open();
    store.collect(&mut |hash| needed.contains(hash), DamagedPacks::Stay).unwrap();
    drop(store);
    let after: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(fixture.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let manifest = fixture.path().join("MANIFEST");
    // Stopped before the swap: the new packs beside the old ones; after it: the old ones still there.
    for swapped in [false, true] {
        fs::remove_dir_all(fixture.path()).unwrap();
        fs::create_dir(fixture.path()).unwrap();
        for (path, bytes) in before.iter().chain(&after) {
            fs::write(path, bytes).unwrap();
        }
        let (_, counts) = if swapped { &after } else { &before }
            .iter()
            .find(|(path, _)| *path == manifest)
            .unwrap();
        fs::write(&manifest, counts).unwrap();
        fs::write(fixture.path().join("0000009999.pack.unfinished"), b"half").unwrap();
        assert_eq!(fixture.verify().problems, []);
        let store = fixture.open();
        for (place, content) in contents.iter().enumerate() {
            let hash = ContentHash::of(content);
            let is_there = store.get(&hash, u64::MAX).is_ok_and(|found| found == *content);
            // What was collected is garbage again until the next collection: nothing says that it
            // is not the only copy of something.
            assert!(is_there, "{place}");
        }
        store.collect(&mut |hash| needed.contains(hash), DamagedPacks::Stay).unwrap();
        assert_eq!(store.info().entries, 30);
        drop(store);
        assert_eq!(fixture.verify().problems, []);
        let bytes: u64 = fixture.packs().iter().map(|pack| fs::metadata(pack).unwrap().len()).sum();
        assert!(bytes < 110_000, "{bytes} bytes for 30 contents of 3,000");
    }
}

#[test]
fn damage_stops_no_collection_and_is_not_collected() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let contents: Vec<Vec<u8>> = (0..60).map(|seed| noise(3_000, seed)).collect();
    for content in &contents {
        put(&store, content);
    }
    store.close().unwrap();
    let packs = fixture.packs();
    let mut bytes = fs::read(&packs[0]).unwrap();
    bytes[1_000] ^= 1;
    fs::write(&packs[0], bytes).unwrap();
    let store = fixture.open();
    let needed: Vec<ContentHash> =
        contents.iter().step_by(2).map(|content| ContentHash::of(content)).collect();
    let report = store.collect(&mut |hash| needed.contains(hash), DamagedPacks::Stay).unwrap();
    assert_eq!(report.damaged_packs, 1, "{report:?}");
    assert!(packs[0].exists() && report.rewritten_packs > 0);
    assert!(matches!(store.get(&needed[0], u64::MAX), Err(ContentError::Damaged { .. })));
    assert!(needed[1..].iter().all(|hash| store.get(hash, u64::MAX).is_ok()));
}

#[test]
fn an_unknown_format_is_refused_by_name() {
    let fixture = Fixture::new();
    let store = fixture.open();
    put(&store, b"x");
    store.close().unwrap();
    let path = fixture.path().join("MANIFEST");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 3;
    let checked = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..checked]).to_le_bytes();
    bytes[checked..].copy_from_slice(&checksum);
    fs::write(&path, &bytes).unwrap();
    let refused = PackStore::open(&fixture.path());
    assert!(matches!(refused, Err(OpenContentError::UnknownFormat { found: 3, known: 2, .. })));
}
