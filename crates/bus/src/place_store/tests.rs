use spacefold_disk::{
    SimDisk,
    sim::{Fault, Kept},
};

use super::*;

fn entries(places: &PlaceFile) -> StoredPlaces {
    let entry = |key: Vec<u8>| {
        let value = places.get(&key).unwrap().unwrap();
        (key, value)
    };
    places.keys(b"").unwrap().into_iter().map(entry).collect()
}

fn of(pairs: &[(&str, &str)]) -> StoredPlaces {
    pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

#[test]
fn what_was_synced_is_there_for_the_next_session_and_what_was_not_is_not() {
    let root = MemoryDisk::new().root();
    let places = PlaceFile::in_folder(root.clone());
    assert!(entries(&places).is_empty());
    assert!(root.names().unwrap().is_empty(), "reading changes nothing");
    for (key, value) in [("a/1", "one"), ("a/2", ""), ("b", "two")] {
        places.put(key.as_bytes(), value.as_bytes()).unwrap();
    }
    assert_eq!(places.keys(b"a/").unwrap(), [b"a/1", b"a/2"]);
    places.sync().unwrap();
    places.remove(b"b").unwrap();
    places.put(b"a/1", b"later").unwrap();
    let again = PlaceFile::in_folder(root.clone());
    assert_eq!(entries(&again), of(&[("a/1", "one"), ("a/2", ""), ("b", "two")]));
    places.sync().unwrap();
    let again = PlaceFile::in_folder(root);
    assert_eq!(entries(&again), of(&[("a/1", "later"), ("a/2", "")]));
}

#[test]
fn a_damaged_file_is_an_error_that_says_what_to_do_and_nothing_is_written_over_it() {
    let root = MemoryDisk::new().root();
    let places = PlaceFile::in_folder(root.clone());
    places.put(b"key", b"value").unwrap();
    places.sync().unwrap();
    let file = root.open(FILE_NAME, Access::ReadWrite).unwrap();
    let whole = file.read_all().unwrap();
    let is_refused = |bytes: &[u8]| {
        file.set_len(0).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let places = PlaceFile::in_folder(root.clone());
        for error in [
            places.get(b"key").unwrap_err(),
            places.put(b"key", b"other").unwrap_err(),
            places.sync().unwrap_err(),
        ] {
            assert!(error.to_string().contains("remove it"), "{error}");
        }
        assert_eq!(file.read_all().unwrap(), bytes);
    };
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        is_refused(&damaged);
    }
    (0..whole.len()).for_each(|length| is_refused(&whole[..length]));
    root.remove(FILE_NAME).unwrap();
    assert!(entries(&PlaceFile::in_folder(root)).is_empty());
}

#[test]
fn a_sync_that_is_cut_short_leaves_the_old_places_or_the_new() {
    let mut seen = [0, 0];
    for call in 1..12 {
        for fault in Fault::ALL {
            let disk = SimDisk::default();
            let places = PlaceFile::in_folder(disk.root());
            places.put(b"key", b"old").unwrap();
            places.sync().unwrap();
            places.put(b"key", b"new").unwrap();
            disk.fail_call(disk.calls() + call, fault);
            let synced = places.sync();
            let mut rng = fastrand::Rng::with_seed(call);
            let left = disk.after_power_cut(Kept::Subset, &mut rng);
            let found = entries(&PlaceFile::in_folder(left.root()));
            let is_new = found == of(&[("key", "new")]);
            assert!(is_new || found == of(&[("key", "old")]), "{call} {fault:?}");
            assert!(is_new || synced.is_err(), "{call} {fault:?}: it was said to be synced");
            seen[usize::from(is_new)] += 1;
        }
    }
    assert!(seen[0] > 2 && seen[1] > 2, "{seen:?}");
}
