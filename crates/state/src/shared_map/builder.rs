//! A map of many entries made in one go: no leaf grows, none is split, and nothing is looked up.

use smol_str::SmolStr;
use triomphe::Arc;

use super::{
    BITS, HASH_BITS, Key, MapEntry, MapNode, SharedMap,
    leaf::{LEAF_ENTRIES, Leaf, LeafSlot},
    parted,
};

/// Collects the entries of a map.
pub(crate) struct SharedMapBuilder<V>(Vec<LeafSlot<V>>);

impl<V> SharedMapBuilder<V> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, key: &str, value: V) {
        let hash = Key::from(key).hash;
        let entry = Arc::new(MapEntry { key: SmolStr::new(key), value });
        self.0.push(LeafSlot { hash, entry: Some(entry) });
    }

    /// The map; `None` where a key was added twice.
    pub(crate) fn build(self) -> Option<SharedMap<V>> {
        let len = self.0.len();
        Some(SharedMap { root: node_of(self.0, 0)?, len })
    }
}

fn node_of<V>(slots: Vec<LeafSlot<V>>, shift: u32) -> Option<MapNode<V>> {
    if slots.is_empty() {
        return Some(MapNode::Empty);
    }
    if slots.len() <= LEAF_ENTRIES || shift >= HASH_BITS {
        return has_distinct_keys(&slots).then(|| MapNode::Leaf(Leaf::of(slots)));
    }
    let mut children = std::array::from_fn(|_| MapNode::Empty);
    for (child, slots) in children.iter_mut().zip(parted(slots, shift)) {
        *child = node_of(slots, shift + BITS)?;
    }
    Some(MapNode::Branch(Arc::new(children)))
}

fn has_distinct_keys<V>(slots: &[LeafSlot<V>]) -> bool {
    let key = |slot: &LeafSlot<V>| slot.entry.as_ref().map(|entry| entry.key.clone());
    slots.iter().enumerate().all(|(place, slot)| {
        let mut others = slots.iter().skip(place + 1);
        others.all(|other| other.hash != slot.hash || key(other) != key(slot))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_made_in_one_go_is_one_made_key_by_key() {
        for len in [0, 1, 2, 16, 17, 300, 5_000] {
            let mut builder = SharedMapBuilder::new();
            let mut expected = SharedMap::new();
            for n in 0..len {
                let key = format!("a key that takes memory of its own, {n}");
                builder.add(&key, n);
                expected.insert(&*key, n);
            }
            let mut made = builder.build().unwrap();
            assert_eq!(made.len(), len);
            assert_eq!(made, expected);
            made.insert("another", 7);
            assert_eq!(made.remove("another"), Some(7));
            assert_eq!(made, expected);
        }
    }

    #[test]
    fn a_key_that_is_added_twice_is_noticed() {
        for len in [2, 16, 400] {
            let mut builder = SharedMapBuilder::new();
            (0..len).for_each(|n| builder.add(&n.to_string(), n));
            builder.add("1", 0);
            assert!(builder.build().is_none(), "{len}");
        }
    }
}
