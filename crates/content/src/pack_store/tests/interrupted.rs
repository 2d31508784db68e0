//! Collections that were stopped while they removed packs, and packs that are lost: lists that are
//! here of chunks that are not.

use std::path::Path;

use super::{
    BTreeMap, ContentHash, ContentReport, Fixture, HashSet, PackStore, PathBuf, fs, get, noise, put,
};
use crate::{ContentProblem, chunk_list::ChunkList, collect::DamagedPacks, entry::EntryKind};
use spacefold_event_core::{ContentError, ContentStore as _};

/// The files of a folder.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Contents that are needed, and a large one that is not.
struct Contents {
    needed: Vec<Vec<u8>>,
    dropped: Vec<u8>,
}

impl Contents {
    fn new() -> Self {
        let needed = [(3_000, 1), (150_000, 2), (4_000, 3)];
        let needed = needed.map(|(bytes, seed)| noise(bytes, seed)).to_vec();
        Self { needed, dropped: noise(300_000, 4) }
    }

    fn needed(&self) -> HashSet<ContentHash> {
        self.needed.iter().map(|content| ContentHash::of(content)).collect()
    }

    fn dropped(&self) -> ContentHash {
        ContentHash::of(&self.dropped)
    }

    fn put(&self, store: &PackStore) {
        put(store, &self.needed[0]);
        put(store, &self.dropped);
        for content in &self.needed[1..] {
            put(store, content);
        }
    }

    #[track_caller]
    fn assert_needed(&self, store: &PackStore) {
        for content in &self.needed {
            assert!(get(store, &ContentHash::of(content)) == *content);
        }
    }
}

/// The pack that the list of a content is in.
fn pack_of_list(store: &PackStore, hash: &ContentHash) -> u32 {
    let place = store.shared.index().get(hash).unwrap();
    assert_eq!(place.kind, EntryKind::List);
    place.pack
}

fn incomplete(report: &ContentReport) -> Vec<ContentHash> {
    let hashes = report.incomplete.iter().filter_map(|problem: &ContentProblem| problem.hash);
    hashes.collect()
}

/// A store whose collection was stopped when of the packs that it replaced, one was left: the one
/// with the list of a content whose chunks are gone with the others.
fn stopped(fixture: &Fixture, contents: &Contents) {
    let store = fixture.open();
    contents.put(&store);
    let pack = pack_of_list(&store, &contents.dropped());
    store.close().unwrap();
    let left = fixture.path().join(format!("{pack:010}.pack"));
    let bytes = fs::read(&left).unwrap();
    let report = fixture.open().collect_garbage(&contents.needed()).unwrap();
    assert!(report.rewritten_packs > 1, "{report:?}");
    assert!(!left.exists());
    fs::write(left, bytes).unwrap();
}

#[test]
fn what_a_stopped_collection_leaves_is_no_damage_and_not_there() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    let hash = contents.dropped();
    stopped(&fixture, &contents);
    // Before it was opened, and after its packs were taken in.
    for _ in 0..2 {
        let report = fixture.verify();
        assert_eq!((&report.problems[..], incomplete(&report)), (&[][..], vec![hash]));
        assert!(!report.is_sound(&hash));
        assert!(contents.needed().iter().all(|needed| report.is_sound(needed)));
        let store = fixture.open();
        assert!(!store.contains(&hash).unwrap(), "its chunks are not here");
        contents.assert_needed(&store);
    }
    // Having been asked for, it is garbage all the same.
    let store = fixture.open();
    assert!(!store.contains(&hash).unwrap());
    store.collect_garbage(&contents.needed()).unwrap();
    assert!(store.shared.index().get(&hash).is_none());
    assert!(matches!(store.open(&hash), Err(ContentError::Missing { .. })));
    contents.assert_needed(&store);
    drop(store);
    let report = fixture.verify();
    assert_eq!((&report.problems[..], incomplete(&report)), (&[][..], vec![]));
}

#[test]
fn a_collection_that_was_stopped_after_any_of_its_removals_is_no_damage() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    let store = fixture.open();
    contents.put(&store);
    store.close().unwrap();
    let before = files(&fixture.path());
    fixture.open().collect_garbage(&contents.needed()).unwrap();
    let after = files(&fixture.path());
    let removed: Vec<&PathBuf> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(removed.len() > 3, "{removed:?}");
    let mut were_incomplete = 0;
    for left in 0..1_u32 << removed.len() {
        fs::remove_dir_all(fixture.path()).unwrap();
        fs::create_dir(fixture.path()).unwrap();
        for (path, bytes) in &after {
            fs::write(path, bytes).unwrap();
        }
        for (_, path) in removed.iter().enumerate().filter(|(bit, _)| left & (1 << bit) != 0) {
            fs::write(path, &before[*path]).unwrap();
        }
        let report = fixture.verify();
        assert_eq!(report.problems, [], "left {left:b}");
        were_incomplete += report.incomplete.len();
        let store = fixture.open();
        let is_given = store.get(&contents.dropped(), u64::MAX).is_ok();
        assert_eq!(store.contains(&contents.dropped()).unwrap(), is_given, "left {left:b}");
        assert_eq!(report.is_sound(&contents.dropped()), is_given, "left {left:b}");
        contents.assert_needed(&store);
        drop(store);
        // A later session: whoever was told that content is here may have named it.
        let store = fixture.open();
        store.collect_garbage(&contents.needed()).unwrap();
        contents.assert_needed(&store);
        drop(store);
        let report = fixture.verify();
        assert_eq!((&report.problems[..], report.incomplete.len()), (&[][..], 0), "left {left:b}");
        assert!(!report.is_sound(&contents.dropped()), "left {left:b}");
    }
    assert!(were_incomplete > 0);
}

#[test]
fn content_of_which_chunks_are_gone_is_put_again() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    stopped(&fixture, &contents);
    let store = fixture.open();
    assert!(!store.contains(&contents.dropped()).unwrap());
    let hash = put(&store, &contents.dropped);
    assert!(store.contains(&hash).unwrap() && get(&store, &hash) == contents.dropped);
    store.close().unwrap();
    let report = fixture.verify();
    assert_eq!((&report.problems[..], incomplete(&report)), (&[][..], vec![]));
    assert!(report.is_sound(&hash));
}

#[test]
fn a_list_of_other_chunks_that_are_gone_is_put_again() {
    let fixture = Fixture::new();
    let content = noise(300_000, 4);
    let hash = ContentHash::of(&content);
    // As another writer may cut it.
    let mut list = ChunkList::default();
    for chunk in content.chunks(30_000) {
        list.push(ContentHash::of(chunk), u32::try_from(chunk.len()).unwrap());
    }
    let store = fixture.open();
    store.put_list(hash, &list).unwrap();
    store.close().unwrap();
    let store = fixture.open();
    assert!(!store.contains(&hash).unwrap());
    put(&store, &content);
    assert!(store.contains(&hash).unwrap() && get(&store, &hash) == content);
    store.close().unwrap();
    assert!(get(&fixture.open(), &hash) == content);
}

#[test]
fn content_that_is_needed_and_lacks_chunks_is_not_all_here() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    stopped(&fixture, &contents);
    let hash = contents.dropped();
    let needed: HashSet<ContentHash> = contents.needed().into_iter().chain([hash]).collect();
    // It stays as it is, so that its loss is not forgotten.
    for _ in 0..2 {
        let store = fixture.open();
        store.collect_garbage(&needed).unwrap();
        assert!(!store.contains(&hash).unwrap());
        contents.assert_needed(&store);
        drop(store);
        assert_eq!(incomplete(&fixture.verify()), [hash]);
    }
    let store = fixture.open();
    put(&store, &contents.dropped);
    store.close().unwrap();
    fixture.open().collect_garbage(&needed).unwrap();
    assert!(fixture.verify().is_sound(&hash));
}

#[test]
fn content_whose_chunks_were_in_a_lost_pack_is_not_there_and_is_damage() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    let store = fixture.open();
    contents.put(&store);
    let hash = contents.dropped();
    let pack = pack_of_list(&store, &hash);
    store.close().unwrap();
    // One that holds nothing but chunks of it.
    let lost = fixture.path().join(format!("{:010}.pack", pack - 1));
    let bytes = fs::read(&lost).unwrap();
    let damaged = {
        let mut damaged = bytes.clone();
        damaged[64..].fill(0xAA);
        damaged
    };
    for found in [None, Some(damaged)] {
        match found {
            None => fs::remove_file(&lost).unwrap(),
            Some(damaged) => fs::write(&lost, damaged).unwrap(),
        }
        let report = fixture.verify();
        let said = report.problems.iter().any(|problem| problem.hash == Some(hash));
        assert!(said && report.incomplete.is_empty(), "{report:?}");
        let store = fixture.open();
        assert!(!store.contains(&hash).unwrap());
        contents.assert_needed(&store);
        drop(store);
        fs::write(&lost, &bytes).unwrap();
        assert!(fixture.open().contains(&hash).unwrap(), "it is put back");
    }
    fs::remove_file(&lost).unwrap();
    let store = fixture.open();
    put(&store, &contents.dropped);
    assert!(store.contains(&hash).unwrap() && get(&store, &hash) == contents.dropped);
}

#[test]
fn content_whose_list_is_damaged_is_not_there() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    let store = fixture.open();
    contents.put(&store);
    let hash = contents.dropped();
    let place = store.shared.index().get(&hash).unwrap();
    store.close().unwrap();
    let pack = fixture.path().join(format!("{:010}.pack", place.pack));
    assert_ne!(fixture.packs().last(), Some(&pack), "it is sealed");
    let mut bytes = fs::read(&pack).unwrap();
    let offset = usize::try_from(place.offset).unwrap();
    bytes[offset + 100] ^= 1;
    fs::write(pack, bytes).unwrap();
    let store = fixture.open();
    assert!(!store.contains(&hash).unwrap());
    put(&store, &contents.dropped);
    assert!(store.contains(&hash).unwrap() && get(&store, &hash) == contents.dropped);
}

#[test]
fn all_of_a_large_content_that_was_asked_for_stays() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    let store = fixture.open();
    contents.put(&store);
    drop(store);
    let store = fixture.open();
    assert!(store.contains(&contents.dropped()).unwrap());
    store.collect(&mut |_| false, DamagedPacks::Stay).unwrap();
    assert!(get(&store, &contents.dropped()) == contents.dropped);
    assert!(store.contains(&contents.dropped()).unwrap());
}

#[test]
fn damaged_content_that_was_asked_for_is_mended_when_it_is_put_again() {
    let (fixture, contents) = (Fixture::new(), Contents::new());
    let store = fixture.open();
    contents.put(&store);
    store.close().unwrap();
    let mut sealed = fixture.packs();
    sealed.pop();
    for path in sealed {
        let mut bytes = fs::read(&path).unwrap();
        // In the first payload, which is of small content or of a chunk.
        bytes[200] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let store = fixture.open();
    let mut were_damaged = 0;
    for content in contents.needed.iter().chain([&contents.dropped]) {
        let hash = ContentHash::of(content);
        assert!(store.contains(&hash).unwrap(), "its bytes are not read");
        were_damaged += usize::from(store.get(&hash, u64::MAX).is_err());
        put(&store, content);
        assert!(get(&store, &hash) == *content);
    }
    assert!(were_damaged >= 3, "{were_damaged}");
}
