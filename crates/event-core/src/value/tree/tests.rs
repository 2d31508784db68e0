//! The tree against a plain map, and what its changes and comparisons cost.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashSet},
};

use proptest::prelude::*;

use super::*;

thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// A text that counts how often it is looked at.
#[derive(Clone, Debug)]
struct Counted(String);

impl AsRef<str> for Counted {
    fn as_ref(&self) -> &str {
        LOOKS.set(LOOKS.get() + 1);
        &self.0
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        LOOKS.set(LOOKS.get() + 1);
        self.0 == other.0
    }
}

fn looks(work: impl FnOnce()) -> usize {
    LOOKS.set(0);
    work();
    LOOKS.get()
}

/// The entry with this number, in an order that does not follow the numbers.
fn entry(n: u32) -> ObjectEntry<Counted> {
    (Counted(format!("{:08x}", n.wrapping_mul(0x9e37_79b1))), Value::Integer(n.into()))
}

fn numbered(count: u32) -> ObjectTree<Counted> {
    let mut tree = ObjectTree::of(vec![entry(0)]).unwrap();
    for n in 1..count {
        assert!(tree.insert(entry(n)).is_none());
    }
    tree
}

/// Every node and entry of a tree, by where it is in memory.
pub(crate) fn places<S>(tree: &ObjectTree<S>) -> HashSet<usize> {
    fn walk<S>(node: &Arc<TreeNode<S>>, places: &mut HashSet<usize>) {
        places.insert(Arc::as_ptr(node).addr());
        match &**node {
            TreeNode::Leaf(entries) => {
                places.extend(entries.iter().map(|entry| Arc::as_ptr(entry).addr()));
            }
            TreeNode::Branch(children) => {
                children.iter().for_each(|child| walk(&child.node, places));
            }
        }
    }
    let mut places = HashSet::new();
    walk(&tree.root.node, &mut places);
    places
}

#[test]
fn twice_the_entries_cost_about_twice_the_looks() {
    let work = [5_000, 10_000, 20_000].map(|count| looks(|| drop(numbered(count))));
    for (less, more) in work.iter().zip(&work[1..]) {
        assert!(more * 10 <= less * 25, "{work:?}");
    }
}

#[test]
fn a_change_to_a_clone_copies_one_path() {
    for count in [5_000, 10_000, 20_000] {
        let mut tree = numbered(count);
        let mut all = places(&tree);
        let of_one = all.len();
        let mut kept = Vec::new();
        for n in 0..100 {
            kept.push(tree.clone());
            tree.insert((entry(n).0, Value::Null));
            tree.insert(entry(count + n));
            tree.remove(&entry(count / 2 + n).0.0);
            all.extend(places(&tree));
        }
        // Two entries, and a path of four nodes at each of three places, some of which split.
        let copied = all.len() - of_one;
        assert!(copied <= 100 * 20, "{copied} for 100 changes of {of_one}");
    }
}

#[test]
fn what_is_shared_is_not_compared() {
    for count in [5_000, 10_000, 20_000] {
        let tree = numbered(count);
        let mut other = tree.clone();
        assert_eq!(looks(|| assert!(tree == other)), 0);
        // The same again is another entry.
        other.insert(entry(77));
        let compared = looks(|| assert!(tree == other));
        assert!(compared <= 4, "{compared} of {count}");
        other.insert((entry(78).0, Value::Null));
        let compared = looks(|| assert!(tree != other));
        assert!(compared <= 4, "{compared} of {count}");
    }
}

fn keys() -> impl Strategy<Value = Vec<(bool, u16)>> {
    proptest::collection::vec((proptest::bool::weighted(0.6), 0_u16..900), 0..1_500)
}

fn listed(tree: Option<&ObjectTree<String>>) -> Vec<ObjectEntry<String>> {
    let entries = tree.into_iter().flat_map(ObjectTree::iter);
    entries.map(|entry| (**entry).clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_holds_what_a_plain_map_holds_and_so_does_every_clone(
        first in 1_u16..600,
        steps in keys(),
        keep in 0..1_500_usize,
    ) {
        let key = |n: u16| format!("k{n}");
        let mut model: BTreeMap<String, Value> =
            (0..first).map(|n| (key(n), Value::Integer(n.into()))).collect();
        let mut tree = ObjectTree::of(model.clone().into_iter().collect()).unwrap();
        let mut kept = (tree.clone(), model.clone());
        for (step, (is_put, n)) in steps.into_iter().enumerate() {
            if step == keep {
                kept = (tree.clone(), model.clone());
            }
            if is_put {
                let value = Value::Integer(i64::try_from(step).unwrap());
                let old = tree.insert((key(n), value.clone())).map(|old| old.1.clone());
                prop_assert_eq!(old, model.insert(key(n), value));
            } else if model.len() > 1 {
                let old = tree.remove(&key(n)).map(|old| old.1.clone());
                prop_assert_eq!(old, model.remove(&key(n)));
            }
            prop_assert_eq!(tree.get(&key(n)), model.get(&key(n)));
            prop_assert_eq!(tree.len(), model.len());
            prop_assert_eq!(tree.iter().size_hint(), (model.len(), Some(model.len())));
        }
        for (tree, model) in [&kept, &(tree.clone(), model.clone())] {
            let expected: Vec<_> = model.clone().into_iter().collect();
            prop_assert_eq!(listed(Some(tree)), expected.clone());
            let anew = ObjectTree::of(expected).unwrap();
            prop_assert!(anew == *tree, "whatever their shapes");
        }
        prop_assert_eq!(kept.0 == tree, kept.1 == model);
    }
}
