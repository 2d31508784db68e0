//! Packed maps against plain ones: the same entries, unpacked as late as can be.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::shared_map::SharedMapBuilder;

/// Lines of a key and a number.
fn unpack(bytes: &[u8]) -> Option<SharedMap<u32>> {
    let mut builder = SharedMapBuilder::new();
    for line in std::str::from_utf8(bytes).ok()?.lines() {
        let (key, number) = line.split_once(' ')?;
        builder.add(key, number.parse().ok()?);
    }
    builder.build()
}

fn key(n: u32) -> String {
    format!("a-key-that-takes-memory-of-its-own-{n}")
}

fn made(count: u32) -> SharedMap<u32> {
    let mut map = SharedMap::new();
    for n in 0..count {
        map.insert_new(&*key(n), n);
    }
    map
}

/// The map with the same entries, none of which is unpacked.
fn stored(map: &SharedMap<u32>) -> SharedMap<u32> {
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    map.each_bucket(|bucket| {
        let begin = bytes.len();
        match bucket {
            BucketEntries::Packed(packed) => bytes.extend_from_slice(packed),
            BucketEntries::Entries(entries) => {
                for (key, number) in entries {
                    bytes.extend_from_slice(format!("{key} {number}\n").as_bytes());
                }
            }
        }
        ranges.push(begin..bytes.len());
    });
    let bytes: PackedBytes = SharedArc::new(bytes);
    let entries = |range| PackedEntries { bytes: SharedArc::clone(&bytes), range, unpack };
    let bits = bucket_bits(map.len());
    assert_eq!(ranges.len(), 1 << bits);
    SharedMap::packed(map.len(), bits, ranges.into_iter().map(entries).collect())
}

fn packed_entries(map: &SharedMap<u32>) -> usize {
    map.each_unpacked(|_, _| {}).0
}

#[test]
fn a_look_unpacks_one_bucket_and_a_change_no_more() {
    let map = stored(&made(100_000));
    assert_eq!((map.len(), packed_entries(&map)), (100_000, 100_000));
    assert_eq!(map.get(&*key(7)), Some(&7));
    assert_eq!(map.get("nobody"), None);
    let left = packed_entries(&map);
    assert!((99_850..=99_998).contains(&left), "{left} of 100,000 are packed after two looks");

    let mut changed = map.clone();
    changed.insert(&*key(8), 1);
    assert_eq!(changed.remove(&*key(9)), Some(9));
    changed.insert("new", 2);
    assert_eq!(map.get(&*key(8)), Some(&8));
    let differences = map.sorted_differences(&changed);
    let found: Vec<_> = differences.iter().map(|d| (d.key, d.before, d.after)).collect();
    let (eight, nine) = (key(8), key(9));
    let expected: [(&str, Option<&u32>, Option<&u32>); 3] =
        [(&eight, Some(&8), Some(&1)), (&nine, Some(&9), None), ("new", None, Some(&2))];
    assert_eq!(found, expected);
    let left = packed_entries(&map);
    assert!(left >= 99_600, "{left} of 100,000 are packed after three changes and a comparison");
}

#[test]
fn what_is_unpacked_lets_go_of_the_bytes() {
    let map = stored(&made(5_000));
    let MapNode::Packed(root) = &map.root else { panic!("it is packed") };
    let mut bytes = None;
    root.each_bucket(&mut |bucket| {
        let packed = bucket.packed.lock();
        bytes = packed.as_ref().map(|packed| SharedArc::downgrade(&packed.bytes));
    });
    let bytes = bytes.unwrap();
    assert!(bytes.upgrade().is_some());
    assert_eq!(map.entries().len(), 5_000);
    assert!(bytes.upgrade().is_none());
}

#[test]
fn threads_that_look_at_once_see_the_same() {
    let map = stored(&made(2_000));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let map = &map;
            scope.spawn(move || {
                for n in (0..2_000).filter(|n| thread % 2 == 0 || n % 3 == 0) {
                    assert_eq!(map.get(&*key(n)), Some(&n));
                }
                assert_eq!(map.sorted().len(), 2_000);
            });
        }
    });
}

#[test]
fn a_map_that_shrinks_is_stored_as_one_that_was_never_large() {
    let mut map = stored(&made(3_000));
    (5..3_000).for_each(|n| assert_eq!(map.remove(&*key(n)), Some(n)));
    assert_eq!(map, made(5));
    assert_eq!(stored(&map), made(5));
    (0..5).for_each(|n| assert_eq!(map.remove(&*key(n)), Some(n)));
    assert!(map.is_empty());
    map.insert("new", 1);
    assert_eq!(map.sorted(), [("new", &1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_packed_map_is_what_a_plain_one_is(
        count in 500_u32..1_200,
        changes in proptest::collection::vec((0_u32..1_300, any::<Option<u32>>()), 0..60),
    ) {
        let plain = made(count);
        let mut map = stored(&plain);
        prop_assert_eq!(&stored(&map), &plain);
        let mut model: BTreeMap<String, u32> = (0..count).map(|n| (key(n), n)).collect();
        let mut before = None;
        for (place, (n, change)) in changes.iter().enumerate() {
            if place % 16 == 0 {
                before = Some((map.clone(), model.clone()));
            }
            let key = key(*n);
            prop_assert_eq!(map.get(&*key), model.get(&key));
            match change {
                Some(number) => {
                    prop_assert_eq!(map.insert(&*key, *number), model.insert(key, *number));
                }
                None => prop_assert_eq!(map.remove(&*key), model.remove(&key)),
            }
            prop_assert_eq!(map.len(), model.len());
        }
        if let Some((old, old_model)) = before {
            let differences = old.sorted_differences(&map);
            let keys: Vec<&str> = differences.iter().map(|difference| difference.key).collect();
            let all = old_model.keys().chain(model.keys()).map(String::as_str);
            let mut expected: Vec<&str> =
                all.filter(|key| old_model.get(*key) != model.get(*key)).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(keys, expected);
        }
        let again = stored(&map);
        prop_assert_eq!(&again, &map);
        let entries: Vec<_> = model.iter().map(|(key, number)| (key.as_str(), number)).collect();
        prop_assert_eq!(map.sorted(), entries.clone());
        prop_assert_eq!(again.sorted(), entries);
    }
}
