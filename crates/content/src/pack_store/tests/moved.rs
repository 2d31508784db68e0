//! Folders that are renamed while content is put into them, and new ones at their paths.

use super::{ContentHash, ContentOptions, Fixture, HashSet, PackStore, SMALL, fs, get, noise, put};
use spacefold_event_core::{ContentStore as _, StoreMode};

/// Puts enough to begin packs, write manifests, sync and collect; what of it was synced. Sooner or
/// later the store notices that its folder is gone, and takes nothing more.
fn put_until_noticed(store: &PackStore, needed: &[u8]) -> Vec<Vec<u8>> {
    let mut synced = Vec::new();
    for seed in 100..140 {
        let content = noise(9_000, seed);
        if store.put(&mut &*content).is_err() || store.sync().is_err() {
            return synced;
        }
        synced.push(content);
    }
    let _ = store.collect_garbage(&HashSet::from([ContentHash::of(needed)]));
    synced
}

#[test]
fn a_renamed_store_writes_on_in_its_folder_and_never_in_a_new_one_at_its_path() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let earlier = noise(40_000, 1);
    put(&store, &earlier);
    put(&store, &noise(40_000, 2));
    drop(store);
    let store = fixture.open();
    let moved = fixture.folder.path().join("moved");
    fs::rename(fixture.path(), &moved).unwrap();
    fs::create_dir(fixture.path()).unwrap();
    let synced = put_until_noticed(&store, &earlier);
    let _ = store.close();
    drop(store);
    assert_eq!(fs::read_dir(fixture.path()).unwrap().count(), 0);
    let store = PackStore::open_with(&moved, SMALL).unwrap();
    for content in synced.iter().chain([&earlier]) {
        assert!(get(&store, &ContentHash::of(content)) == *content);
    }
}

#[test]
fn the_first_put_makes_its_folder_in_the_store_that_was_opened() {
    let fixture = Fixture::new();
    let (opened, moved) =
        (fixture.folder.path().join("store"), fixture.folder.path().join("moved"));
    fs::create_dir(&opened).unwrap();
    let store = PackStore::open(&opened.join("content")).unwrap();
    fs::rename(&opened, &moved).unwrap();
    fs::create_dir(&opened).unwrap();
    let hash = put(&store, b"x");
    store.sync().unwrap();
    assert_eq!(get(&store, &hash), b"x");
    drop(store);
    assert_eq!(fs::read_dir(&opened).unwrap().count(), 0);
    assert_eq!(get(&PackStore::open(&moved.join("content")).unwrap(), &hash), b"x");
}

#[test]
fn a_store_is_made_where_the_folder_above_was_made_after_it_was_opened() {
    let fixture = Fixture::new();
    let above = fixture.folder.path().join("later");
    let options = ContentOptions::default().mode(StoreMode::new(0o750));
    let store = PackStore::open_with(&above.join("content"), options).unwrap();
    assert!(store.put(&mut &b"x"[..]).is_err(), "there is no folder above");
    fs::create_dir(&above).unwrap();
    let hash = put(&store, b"x");
    store.close().unwrap();
    assert_eq!(get(&PackStore::open(&above.join("content")).unwrap(), &hash), b"x");
}
