//! Packs and manifests of other times, of a sibling, of another store: nothing that is here is
//! removed, and everything that is here is given.

use std::path::Path;

use super::{
    BTreeMap, ContentHash, ContentOptions, ContentReport, Fixture, HashSet, PackStore, PathBuf,
    SMALL, fs, get, noise, put, verify,
};
use crate::{OpenContentError, StoreId, collect::DamagedPacks};
use spacefold_event_core::{ContentError, ContentStore as _};

fn store_id(first: u8) -> Option<StoreId> {
    StoreId::from_bytes([first; 16])
}

fn open(path: &Path, store: Option<StoreId>) -> PackStore {
    PackStore::prepare(path).unwrap().open(SMALL, store).unwrap()
}

/// The files of a folder but the lock, by name.
type Files = BTreeMap<String, Vec<u8>>;

fn files(path: &Path) -> Files {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = entries.map(|path| (name(&path), fs::read(path).unwrap()));
    files.filter(|(name, _)| name != "LOCK").collect()
}

fn write(path: &Path, files: &Files) {
    for (name, bytes) in files {
        fs::write(path.join(name), bytes).unwrap();
    }
}

fn is_pack(name: &str) -> bool {
    name.ends_with(".pack")
}

fn contents(writer: u64, from: u64) -> Vec<Vec<u8>> {
    // One of them is in every store.
    let sizes = [300, 40_000, 20_000, 30_000, 7_000, 900];
    let seed = |number: u64| if number == from + 4 { 7 } else { number * 100 + writer };
    (from..).zip(sizes).map(|(number, bytes)| noise(bytes, seed(number))).collect()
}

fn put_all(store: &PackStore, contents: &[Vec<u8>]) {
    for content in contents {
        put(store, content);
    }
}

/// A store, the same earlier, a sibling, and another store: their files, and what they hold.
struct Stores {
    own: Files,
    relatives: [Files; 3],
    held: Vec<Vec<u8>>,
}

fn stores() -> Stores {
    let fixture = Fixture::new();
    let path = fixture.path();
    let begin = |writer| {
        let store = open(&path, store_id(if writer == 3 { 9 } else { 1 }));
        put_all(&store, &contents(writer, 0));
        put(&store, &noise(30_000, 1_000 + writer));
        store.close().unwrap();
        let begun = files(&path);
        fs::remove_dir_all(&path).unwrap();
        begun
    };
    // What nothing needs goes, so that packs go with it; then more is put.
    let go_on = |begun: &Files, writer, begun_by| {
        fs::create_dir(&path).unwrap();
        write(&path, begun);
        let store = open(&path, store_id(if writer == 3 { 9 } else { 1 }));
        let needed = contents(begun_by, 0);
        let needed: HashSet<ContentHash> = needed.iter().map(|one| ContentHash::of(one)).collect();
        assert!(store.collect_garbage(&needed).unwrap().rewritten_packs > 0);
        put_all(&store, &contents(writer, 10));
        store.close().unwrap();
        let files = files(&path);
        fs::remove_dir_all(&path).unwrap();
        files
    };
    let older = begin(1);
    let own = go_on(&older, 1, 1);
    let sibling = go_on(&older, 2, 1);
    let other = go_on(&begin(3), 3, 3);
    let held = [contents(1, 0), contents(1, 10)].concat();
    Stores { own, relatives: [older, sibling, other], held }
}

/// Every pack that was here is here, as long as it was at the least.
#[track_caller]
fn assert_nothing_is_removed(before: &Files, after: &Files, case: &str) {
    for (name, bytes) in before.iter().filter(|(name, _)| is_pack(name)) {
        let left = after.get(name).unwrap_or_else(|| panic!("{case}: {name} is removed"));
        assert!(left.starts_with(bytes), "{case}: {name} is shorter, or another");
    }
}

/// What is given and what verifying says: the same, and no other bytes.
#[track_caller]
fn count_held(store: &PackStore, report: &ContentReport, held: &[Vec<u8>], case: &str) -> usize {
    let is_given = |content: &&Vec<u8>| {
        let hash = ContentHash::of(content);
        let found = match store.get(&hash, u64::MAX) {
            Ok(found) => {
                assert!(found == **content, "{case}: other bytes");
                true
            }
            Err(ContentError::Missing { .. } | ContentError::Damaged { .. }) => false,
            Err(error) => panic!("{case}: {error}"),
        };
        assert_eq!(report.is_sound(&hash), found, "{case}: verify says otherwise");
        found
    };
    held.iter().filter(is_given).count()
}

#[test]
fn packs_and_manifests_of_others_take_nothing_away() {
    let Stores { own, relatives, held } = stores();
    let sources: Vec<Option<&Files>> =
        relatives.iter().map(Some).chain([None, Some(&own)]).collect();
    for (packs_of, packs) in sources.iter().enumerate() {
        for (manifest_of, manifest) in sources.iter().enumerate() {
            let case = format!("packs of {packs_of}, manifest of {manifest_of}");
            let fixture = Fixture::new();
            let path = fixture.path();
            fs::create_dir(&path).unwrap();
            let part = |files: &Option<&Files>, of_packs| {
                let files = files.iter().flat_map(|files| files.iter());
                let files = files.filter(|(name, _)| is_pack(name) == of_packs);
                files.map(|(name, bytes)| (name.clone(), bytes.clone())).collect::<Files>()
            };
            write(&path, &part(packs, true));
            write(&path, &part(manifest, false));
            let before = files(&path);
            let report = fixture.verify();
            assert_eq!(files(&path), before, "{case}: verifying changes it");
            let store = open(&path, store_id(1));
            let count = count_held(&store, &report, &held, &case);
            // The packs alone say what is here.
            match packs_of {
                0 => assert_eq!(count, 6 + 1, "{case}"),
                4 => assert_eq!(count, held.len(), "{case}"),
                _ => assert!(count < held.len(), "{case}"),
            }
            assert_nothing_is_removed(&before, &files(&path), &case);
            // It can be gone on with.
            let fresh = noise(5_000, 77);
            let hash = put(&store, &fresh);
            store.close().unwrap();
            assert_nothing_is_removed(&before, &files(&path), &case);
            assert!(get(&open(&path, store_id(1)), &hash) == fresh, "{case}");
            if let Some(manifest) = before.get("MANIFEST").filter(|_| manifest_of == 2) {
                let aside = files(&path).remove("MANIFEST.set-aside-0");
                assert!(aside.as_ref() == Some(manifest), "{case}: it is not kept");
            }
            assert_eq!(fixture.verify().store, store_id(1), "{case}");
            // The right files in their places again, whatever is there besides.
            write(&path, &own);
            let report = fixture.verify();
            let store = open(&path, store_id(1));
            assert_eq!(count_held(&store, &report, &held, &case), held.len(), "{case}, put back");
        }
    }
}

#[test]
fn a_manifest_without_a_store_is_bound() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let content = noise(3_000, 1);
    let store = open(&path, None);
    let hash = put(&store, &content);
    store.close().unwrap();
    assert_eq!(fixture.verify().store, None);
    // As the first version of manifests had it.
    let mut bytes = fs::read(path.join("MANIFEST")).unwrap();
    bytes.drain(32..48);
    bytes[8] = 1;
    let checked = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..checked]).to_le_bytes();
    bytes[checked..].copy_from_slice(&checksum);
    fs::write(path.join("MANIFEST"), bytes).unwrap();
    assert_eq!(fixture.verify().problems, []);
    for (opened_for, bound_to) in [(None, None), (Some(4), Some(4)), (None, Some(4))] {
        let store = open(&path, opened_for.and_then(store_id));
        assert!(get(&store, &hash) == content);
        store.close().unwrap();
        let report = fixture.verify();
        assert_eq!((report.store, &report.problems[..]), (bound_to.and_then(store_id), &[][..]));
    }
}

#[test]
fn content_that_comes_to_be_is_bound() {
    let fixture = Fixture::new();
    let store = open(&fixture.path(), store_id(4));
    assert!(!fixture.path().exists());
    put(&store, b"x");
    drop(store);
    assert_eq!(fixture.verify().store, store_id(4));
}

#[test]
fn another_pack_in_the_place_of_one_is_said_and_the_one_is_found_again() {
    let Stores { own, relatives: [_, sibling, _], held } = stores();
    let fixture = Fixture::new();
    let path = fixture.path();
    fs::create_dir(&path).unwrap();
    write(&path, &own);
    let of_both = |name: &&String| is_pack(name) && own[*name] != sibling[*name];
    let name = own.keys().filter(|name| sibling.contains_key(*name)).find(of_both).unwrap();
    fs::write(path.join(name), &sibling[name]).unwrap();
    let details = |report: &ContentReport| -> Vec<String> {
        report.problems.iter().map(|problem| problem.detail.clone()).collect()
    };
    let said = ["another pack is in the place of the one that the manifest lists"];
    for _ in 0..2 {
        assert_eq!(details(&fixture.verify()), said);
        open(&path, store_id(1)).close().unwrap();
    }
    fs::write(path.join(name), &own[name]).unwrap();
    let report = fixture.verify();
    assert!(held.iter().all(|content| report.is_sound(&ContentHash::of(content))));
    // The sibling's is missed now, until everything that is needed is here.
    let all: HashSet<ContentHash> = held.iter().map(|content| ContentHash::of(content)).collect();
    let store = open(&path, store_id(1));
    store.collect_garbage(&all).unwrap();
    store.close().unwrap();
    assert_eq!(details(&fixture.verify()), [""; 0]);
}

#[test]
fn a_footer_that_the_manifest_does_not_know_of_is_kept() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let store = open(&path, None);
    put(&store, &noise(30_000, 1));
    let older = fs::read(path.join("MANIFEST")).unwrap();
    put(&store, &noise(40_000, 2));
    store.close().unwrap();
    let before = files(&path);
    assert_eq!(before.keys().filter(|name| is_pack(name)).count(), 2);
    fs::remove_file(path.join("0000000001.pack")).unwrap();
    fs::write(path.join("MANIFEST"), older).unwrap();
    let store = open(&path, None);
    put(&store, &noise(500, 3));
    store.close().unwrap();
    assert!(files(&path)["0000000000.pack"] == before["0000000000.pack"], "it was opened again");
    assert_eq!(fixture.verify().problems, []);
}

#[test]
fn a_torn_end_of_a_pack_without_a_manifest_is_kept() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let store = open(&path, None);
    let contents = [1, 2, 3].map(|seed| noise(900, seed));
    put_all(&store, &contents);
    store.close().unwrap();
    let mut pack = fs::read(path.join("0000000000.pack")).unwrap();
    pack[1_500] ^= 1;
    fs::write(path.join("0000000000.pack"), &pack).unwrap();
    fs::remove_file(path.join("MANIFEST")).unwrap();
    for _ in 0..2 {
        let store = open(&path, None);
        assert!(get(&store, &ContentHash::of(&contents[2])) == contents[2]);
        put(&store, &noise(900, 4));
        store.close().unwrap();
        assert!(files(&path)["0000000000.pack"] == pack);
        assert!(!fixture.verify().problems.is_empty());
    }
}

#[test]
fn a_pack_stays_when_what_has_followed_it_does_not_read() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let store = open(&path, None);
    let content = noise(3_000, 1);
    let hash = put(&store, &content);
    put(&store, &noise(62_000, 2));
    store.close().unwrap();
    let flip = |name: &str| {
        let mut bytes = fs::read(path.join(name)).unwrap();
        bytes[500] ^= 1;
        fs::write(path.join(name), bytes).unwrap();
    };
    flip("0000000000.pack");
    // It is put again, into a pack that is sealed then.
    let store = open(&path, None);
    put(&store, &content);
    put(&store, &noise(62_000, 3));
    put(&store, &noise(62_000, 4));
    store.close().unwrap();
    // Now it is the other way round.
    flip("0000000000.pack");
    flip("0000000001.pack");
    let whole = fs::read(path.join("0000000000.pack")).unwrap();
    let store = open(&path, None);
    let report = store.collect(&mut |needed| *needed == hash, DamagedPacks::Go).unwrap();
    assert!(report.damaged_packs > 0, "{report:?}");
    assert!(files(&path)["0000000000.pack"] == whole, "the only whole copy is gone");
}

#[test]
fn whoever_is_refused_changes_nothing() {
    let Stores { own, .. } = stores();
    let fixture = Fixture::new();
    let path = fixture.path();
    fs::create_dir(&path).unwrap();
    write(&path, &own);
    let name = own.keys().find(|name| is_pack(name)).unwrap();
    fs::write(path.join("0000000099.pack.unfinished"), b"half").unwrap();
    fs::write(path.join("notes.unfinished"), b"nobody's").unwrap();
    let mut header = own[name].clone();
    header[8] = 9;
    let checksum = crc32c::crc32c(&header[..60]).to_le_bytes();
    header[60..64].copy_from_slice(&checksum);
    fs::write(path.join(name), header).unwrap();
    let before = files(&path);
    for _ in 0..2 {
        let refused = PackStore::open_with(&path, ContentOptions::default());
        assert!(matches!(refused, Err(OpenContentError::UnknownFormat { found: 9, .. })));
        assert!(matches!(verify(&path), Err(OpenContentError::UnknownFormat { found: 9, .. })));
        assert!(files(&path) == before);
    }
    fs::write(path.join(name), &own[name]).unwrap();
    open(&path, store_id(1)).close().unwrap();
    let after = files(&path);
    assert!(!after.contains_key("0000000099.pack.unfinished"));
    assert!(after.contains_key("notes.unfinished"), "it is no file of ours");
}
