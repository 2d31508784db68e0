//! The map against a plain one, and what its clones cost.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use rustc_hash::FxBuildHasher;

use super::*;

/// Every node and entry of a map, by where it is in memory.
pub(crate) fn places<V>(map: &SharedMap<V>) -> HashSet<usize> {
    fn walk<V>(node: &MapNode<V>, places: &mut HashSet<usize>) {
        match node {
            MapNode::Empty => {}
            MapNode::Leaf(leaf) => {
                places.insert(leaf.slots().as_ptr().addr());
                let entries = leaf.slots().iter().filter_map(|slot| slot.entry.as_ref());
                places.extend(entries.map(|entry| Arc::as_ptr(entry).addr()));
            }
            MapNode::Branch(children) => {
                places.insert(Arc::as_ptr(children).addr());
                children.iter().for_each(|child| walk(child, places));
            }
            MapNode::Packed(packed) => packed.each_node(&mut |node| walk(node, places)),
        }
    }
    let mut places = HashSet::new();
    walk(&map.root, &mut places);
    places
}

fn numbered(count: u32) -> SharedMap<u32> {
    let mut map = SharedMap::new();
    for n in 0..count {
        assert_eq!(map.insert(key(n).as_str(), n), None);
    }
    map
}

fn key(n: u32) -> String {
    format!("key-{n}")
}

#[test]
fn a_change_copies_one_path_and_no_more() {
    let mut map = numbered(100_000);
    let kept: Vec<_> = (0..1_000)
        .map(|n| {
            let kept = map.clone();
            map.insert(key(n * 7).as_str(), u32::MAX - n);
            kept
        })
        .collect();
    let mut all = places(&map);
    let of_one = all.len();
    for kept in &kept {
        all.extend(places(kept));
    }
    // A changed entry, its leaf, and the branches above it: four at this size, five at the most.
    let copied = all.len() - of_one;
    assert!((3_000..=7_000).contains(&copied), "{copied} for 1,000 changes of {of_one}");
}

#[test]
fn a_node_takes_two_words() {
    // A branch is copied with every change to a clone.
    assert_eq!(size_of::<MapNode<u32>>(), 2 * size_of::<usize>());
}

#[test]
fn what_no_clone_has_is_changed_in_place() {
    let mut map = numbered(10_000);
    let before = places(&map);
    for n in 0..10_000 {
        *map.get_mut(key(n).as_str()).unwrap() += 1;
    }
    assert_eq!(places(&map), before);
}

#[test]
fn what_is_shared_is_not_compared() {
    /// Counts as equal to nothing, so that it differs wherever it is compared.
    #[derive(Clone, Debug)]
    struct NeverEqual;
    impl PartialEq for NeverEqual {
        fn eq(&self, _: &Self) -> bool {
            false
        }
    }
    let mut map = SharedMap::new();
    for n in 0..1_000 {
        map.insert(key(n).as_str(), NeverEqual);
    }
    let mut other = map.clone();
    assert_eq!(map.differences(&other).len(), 0);
    other.insert("key-7", NeverEqual);
    other.remove("key-8");
    let differences = map.sorted_differences(&other);
    let keys: Vec<_> = differences.iter().map(|difference| difference.key).collect();
    assert_eq!(keys, ["key-7", "key-8"]);
    assert!(differences[1].after.is_none());
}

/// A text that collides with all others of this making in a table of rustc-hash's: behind the first
/// 16 bytes its state is the last 8, which make one of two factors zero.
fn colliding(n: u32) -> String {
    let text = format!("colliding-045138{n:08}[bceSfev");
    let other = "colliding-04513800000000[bceSfev";
    assert_eq!(FxBuildHasher.hash_one(&text), FxBuildHasher.hash_one(other));
    text
}

#[test]
fn keys_that_are_chosen_to_collide_lie_as_others_do() {
    /// The entries of the largest leaf, and the branches above the deepest.
    fn extent(node: &MapNode<u32>) -> (usize, usize) {
        match node {
            MapNode::Empty => (0, 0),
            MapNode::Leaf(leaf) => (leaf.slots().len(), 0),
            MapNode::Branch(children) => {
                let below = children.iter().map(extent);
                let (entries, branches) = below.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
                (entries, branches + 1)
            }
            MapNode::Packed(_) => panic!("nothing was packed"),
        }
    }
    for count in [5_000, 10_000, 20_000] {
        let mut map = SharedMap::new();
        for n in 0..count {
            map.insert(colliding(n).as_str(), n);
        }
        let (entries, branches) = extent(&map.root);
        assert!(entries <= LEAF_ENTRIES, "{count}: {entries} in one leaf");
        assert!(branches <= 8, "{count}: {branches} branches on one path");
        assert!((0..count).all(|n| map.get(colliding(n).as_str()) == Some(&n)));
    }
}

#[test]
fn keys_of_one_hash_share_a_leaf_at_the_bottom() {
    let mut root = MapNode::Empty;
    for n in 0..40 {
        let entry = Some(Arc::new(MapEntry { key: SmolStr::new(key(n)), value: n }));
        root.add(LeafSlot { hash: 5, entry }, 0);
    }
    for n in 0..40 {
        let key = key(n);
        let found = root.take(Key { text: &key, hash: 5 }).unwrap();
        assert_eq!(found.value, n);
    }
    assert!(root.take(Key { text: "key-0", hash: 5 }).is_none());
}

#[test]
fn a_map_that_has_shrunk_is_small_again() {
    let mut map = numbered(5_000);
    for n in 3..5_000 {
        assert_eq!(map.remove(key(n).as_str()), Some(n));
    }
    assert_eq!(map.sorted(), [("key-0", &0), ("key-1", &1), ("key-2", &2)]);
    assert_eq!(places(&map).len(), 4, "a leaf of three entries");
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, u32),
    Remove(u32),
    Change(u32),
    Keep,
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (0_u32..300, 0_u32..3).prop_map(|(key, value)| Step::Insert(key, value)),
        8 => (0_u32..300).prop_map(Step::Remove),
        8 => (0_u32..300).prop_map(Step::Change),
        1 => Just(Step::Keep),
    ];
    let many = prop::collection::vec(step, 0..600);
    (many, any::<prop::sample::Index>(), 0..8_u8).prop_map(|(mut steps, at, clear)| {
        if clear == 0 && !steps.is_empty() {
            let at = at.index(steps.len());
            steps[at] = Step::Clear;
        }
        steps
    })
}

fn naive(before: &BTreeMap<String, u32>, after: &BTreeMap<String, u32>) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_holds_what_a_plain_map_holds_and_so_does_every_clone(steps in steps()) {
        let mut map = SharedMap::new();
        let mut model: BTreeMap<String, u32> = BTreeMap::new();
        let mut kept = vec![(map.clone(), model.clone())];
        for step in steps {
            match step {
                Step::Insert(n, value) => {
                    prop_assert_eq!(map.insert(key(n).as_str(), value), model.insert(key(n), value));
                }
                Step::Remove(n) => {
                    prop_assert_eq!(map.remove(key(n).as_str()), model.remove(&key(n)));
                }
                Step::Change(n) => {
                    let (found, expected) = (map.get_mut(key(n).as_str()), model.get_mut(&key(n)));
                    prop_assert_eq!(found.as_deref(), expected.as_deref());
                    if let (Some(found), Some(expected)) = (found, expected) {
                        *found += 1;
                        *expected += 1;
                    }
                }
                Step::Keep => kept.push((map.clone(), model.clone())),
                Step::Clear => {
                    map.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(map.len(), model.len());
        }
        kept.push((map, model));
        for (map, model) in &kept {
            let expected: Vec<_> = model.iter().map(|(key, value)| (key.as_str(), value)).collect();
            prop_assert_eq!(map.sorted(), expected);
            for (other, other_model) in &kept {
                let differences = map.sorted_differences(other);
                let keys: Vec<_> = differences.iter().map(|d| d.key.to_owned()).collect();
                prop_assert_eq!(keys, naive(model, other_model));
                for difference in differences {
                    prop_assert_eq!(difference.before, model.get(difference.key));
                    prop_assert_eq!(difference.after, other_model.get(difference.key));
                }
                prop_assert_eq!(map == other, model == other_model);
            }
        }
    }
}
