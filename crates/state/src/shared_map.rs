//! A map from text whose clones share what they have in common.
//!
//! A trie over the bits of the key's hash, which is seeded, since keys come from outside: who does
//! not know the seed cannot choose keys that have all 64 bits in common, and such as happen to are
//! never more than a few in one leaf. Its leaves are wide, so that it is shallow; a clone
//! costs one count, and a change copies the nodes on one path that a clone has too. What no clone
//! has is changed in place; that none has it is a look at a count, where the standard library's would
//! be a locked exchange at each node. Two maps of one origin are compared without looking at what they
//! share.
//!
//! A large map that is read from where it is stored is a trie over buckets first, each of which is
//! such a trie once it is looked at.

mod builder;
mod leaf;
mod packed;

use std::{
    fmt,
    hash::{BuildHasher, Hasher},
    mem,
    ops::ControlFlow,
};

use rapidhash::fast::GlobalState;
use smol_str::SmolStr;
use spacefold_event_core::bytes::to_usize;
use triomphe::Arc;

pub(crate) use self::{
    builder::SharedMapBuilder,
    packed::{BucketEntries, PackedBytes, PackedEntries, bucket_bits},
};
use self::{
    leaf::{LEAF_ENTRIES, Leaf, LeafSlot},
    packed::PackedNode,
};

/// Bits of the hash that choose among the children of a branch.
const BITS: u32 = 4;
/// Children of a branch.
const WIDTH: usize = 1 << BITS;
/// Bits of the hash: leaves at that depth are not split, whatever they hold.
const HASH_BITS: u32 = u64::BITS;

/// A map from text to `V`.
#[derive(Clone)]
pub struct SharedMap<V> {
    root: MapNode<V>,
    len: usize,
}

enum MapNode<V> {
    Empty,
    Leaf(Leaf<V>),
    Branch(Arc<[MapNode<V>; WIDTH]>),
    /// At the root only.
    Packed(Arc<PackedNode<V>>),
}

#[derive(Clone)]
struct MapEntry<V> {
    key: SmolStr,
    value: V,
}

/// A key with its hash, for looking it up in several maps.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    text: &'a str,
    hash: u64,
}

impl<'a> Key<'a> {
    /// The key itself.
    #[must_use]
    pub const fn text(self) -> &'a str {
        self.text
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        let mut hasher = GlobalState::new().build_hasher();
        hasher.write(text.as_bytes());
        Self { text, hash: hasher.finish() }
    }
}

/// What two maps have under a key under which they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference<'a, V> {
    /// The key.
    pub key: &'a str,
    /// Its value in the first map.
    pub before: Option<&'a V>,
    /// Its value in the second one.
    pub after: Option<&'a V>,
}

impl<V> SharedMap<V> {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: MapNode::Empty, len: 0 }
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes every key.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The value of a key.
    pub fn get<'k>(&self, key: impl Into<Key<'k>>) -> Option<&V> {
        let key = key.into();
        let mut node = &self.root;
        let mut shift = 0;
        loop {
            match node {
                MapNode::Empty => return None,
                MapNode::Leaf(leaf) => {
                    let entry = leaf.slots().iter().find_map(|slot| slot.entry_of(key))?;
                    return Some(&entry.value);
                }
                MapNode::Branch(children) => node = children.get(place(key.hash, shift))?,
                MapNode::Packed(packed) => {
                    node = packed.home(key)?;
                    continue;
                }
            }
            shift += BITS;
        }
    }

    /// Whether a key is there.
    pub fn contains_key<'k>(&self, key: impl Into<Key<'k>>) -> bool {
        self.get(key).is_some()
    }

    /// Hands every entry to `visit`, in no order that means anything.
    pub fn each<'a>(&'a self, mut visit: impl FnMut(&'a str, &'a V)) {
        self.root.for_each(&mut |_, entry| visit(&entry.key, &entry.value));
    }

    /// The entries, in no order that means anything.
    pub fn entries(&self) -> Vec<(&str, &V)> {
        let mut entries = Vec::with_capacity(self.len);
        self.root.for_each(&mut |_, entry| entries.push((entry.key.as_str(), &entry.value)));
        entries
    }

    /// The entries, sorted by key.
    pub fn sorted(&self) -> Vec<(&str, &V)> {
        let mut entries = self.entries();
        entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
        entries
    }
}

impl<V: Clone> SharedMap<V> {
    /// The value of a key, to be changed: what is shared with a clone is copied first.
    pub fn get_mut<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<&mut V> {
        let key = key.into();
        let mut node = &mut self.root;
        let mut shift = 0;
        loop {
            match node {
                MapNode::Empty => return None,
                MapNode::Leaf(leaf) => {
                    let mut slots = leaf.slots().iter();
                    let index = slots.position(|slot| slot.entry_of(key).is_some())?;
                    let slot = leaf.slots_mut().get_mut(index)?;
                    return slot.entry.as_mut().map(|entry| &mut Arc::make_mut(entry).value);
                }
                MapNode::Branch(children) => {
                    node = Arc::make_mut(children).get_mut(place(key.hash, shift))?;
                }
                MapNode::Packed(packed) => {
                    node = PackedNode::home_mut(packed, key)?;
                    continue;
                }
            }
            shift += BITS;
        }
    }

    /// Puts a value under a key, and gives back what was there.
    pub fn insert<'k>(&mut self, key: impl Into<Key<'k>>, value: V) -> Option<V> {
        let key = key.into();
        if let Some(known) = self.get_mut(key) {
            return Some(mem::replace(known, value));
        }
        self.insert_new(key, value);
        None
    }

    /// Puts a value under a key that has none.
    pub fn insert_new<'k>(&mut self, key: impl Into<Key<'k>>, value: V) {
        let key = key.into();
        let entry = Arc::new(MapEntry { key: SmolStr::new(key.text), value });
        self.root.add(LeafSlot { hash: key.hash, entry: Some(entry) }, 0);
        self.len += 1;
    }

    /// The value under a key, made first when there is none.
    pub fn get_or_insert_with<'k>(
        &mut self,
        key: impl Into<Key<'k>>,
        make: impl FnOnce() -> V,
    ) -> &mut V {
        let key = key.into();
        if !self.contains_key(key) {
            self.insert_new(key, make());
        }
        self.get_mut(key).expect("a key that is there")
    }

    /// Takes what is under a key out.
    pub fn remove<'k>(&mut self, key: impl Into<Key<'k>>) -> Option<V> {
        let key = key.into();
        if !self.contains_key(key) {
            return None;
        }
        let entry = self.root.take(key)?;
        self.len -= 1;
        if self.len <= LEAF_ENTRIES / 2 && !matches!(self.root, MapNode::Leaf(_)) {
            self.root.gather();
        }
        Some(Arc::unwrap_or_clone(entry).value)
    }
}

impl<V: PartialEq> SharedMap<V> {
    /// Where another map, `after`, differs from this one, in no order that means anything. Cost: in
    /// proportion to what the two do not share.
    pub fn differences<'a>(&'a self, after: &'a Self) -> Vec<Difference<'a, V>> {
        let mut found = Vec::new();
        let _: ControlFlow<()> = compare(&self.root, &after.root, &mut |difference| {
            found.push(difference);
            ControlFlow::Continue(())
        });
        found
    }

    /// The differences, sorted by key.
    pub fn sorted_differences<'a>(&'a self, after: &'a Self) -> Vec<Difference<'a, V>> {
        let mut found = self.differences(after);
        found.sort_unstable_by(|a, b| a.key.cmp(b.key));
        found
    }
}

impl<V> MapNode<V> {
    fn for_each<'a>(&'a self, visit: &mut impl FnMut(u64, &'a Arc<MapEntry<V>>)) {
        match self {
            Self::Empty => {}
            Self::Leaf(leaf) => {
                for slot in leaf.slots() {
                    if let Some(entry) = &slot.entry {
                        visit(slot.hash, entry);
                    }
                }
            }
            Self::Branch(children) => children.iter().for_each(|child| child.for_each(visit)),
            Self::Packed(packed) => packed.each_node(&mut |node| node.for_each(visit)),
        }
    }

    /// Whether the two are one in memory.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Leaf(a), Self::Leaf(b)) => a.is(b),
            (Self::Branch(a), Self::Branch(b)) => Arc::ptr_eq(a, b),
            (Self::Packed(a), Self::Packed(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl<V: Clone> MapNode<V> {
    /// Adds a slot whose key is not there yet.
    fn add(&mut self, slot: LeafSlot<V>, mut shift: u32) {
        let mut node = self;
        loop {
            if let Self::Leaf(leaf) = node
                && leaf.is_full()
                && shift < HASH_BITS
            {
                node.split(shift);
            }
            match node {
                Self::Empty => {
                    *node = Self::Leaf(Leaf::of(vec![slot]));
                    return;
                }
                Self::Leaf(leaf) => return leaf.add(slot),
                Self::Branch(children) => {
                    match Arc::make_mut(children).get_mut(place(slot.hash, shift)) {
                        Some(child) => node = child,
                        None => return,
                    }
                }
                Self::Packed(packed) => {
                    let key = slot.entry.as_ref().map_or("", |entry| &entry.key);
                    match PackedNode::home_mut(packed, Key { text: key, hash: slot.hash }) {
                        Some(home) => node = home,
                        None => return,
                    }
                    continue;
                }
            }
            shift += BITS;
        }
    }

    /// Makes a leaf a branch.
    fn split(&mut self, shift: u32) {
        let Self::Leaf(leaf) = self else { return };
        let parts = parted(leaf.take_slots(), shift);
        let children = parts.map(|slots| match slots.is_empty() {
            true => Self::Empty,
            false => Self::Leaf(Leaf::of(slots)),
        });
        *self = Self::Branch(Arc::new(children));
    }

    fn take(&mut self, key: Key<'_>) -> Option<Arc<MapEntry<V>>> {
        let mut node = self;
        let mut shift = 0;
        loop {
            match node {
                Self::Empty => return None,
                Self::Leaf(leaf) => {
                    let (entry, are_left) = leaf.take(key)?;
                    if !are_left {
                        *node = Self::Empty;
                    }
                    return Some(entry);
                }
                Self::Branch(children) => {
                    node = Arc::make_mut(children).get_mut(place(key.hash, shift))?;
                }
                Self::Packed(packed) => {
                    node = PackedNode::home_mut(packed, key)?;
                    continue;
                }
            }
            shift += BITS;
        }
    }

    /// Makes one leaf of all that is below.
    fn gather(&mut self) {
        let mut slots = Vec::new();
        self.for_each(&mut |hash, entry| {
            slots.push(LeafSlot { hash, entry: Some(Arc::clone(entry)) })
        });
        *self = if slots.is_empty() { Self::Empty } else { Self::Leaf(Leaf::of(slots)) };
    }
}

// Not derived: a value need not be clonable to be shared.
impl<V> Clone for MapNode<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
            Self::Branch(children) => Self::Branch(Arc::clone(children)),
            Self::Packed(packed) => Self::Packed(Arc::clone(packed)),
        }
    }
}

/// Slots by the child of a branch that they belong to.
fn parted<V>(slots: Vec<LeafSlot<V>>, shift: u32) -> [Vec<LeafSlot<V>>; WIDTH] {
    let room = slots.len() / WIDTH * 5 / 4;
    let mut parts: [Vec<LeafSlot<V>>; WIDTH] = std::array::from_fn(|_| Vec::with_capacity(room));
    for slot in slots {
        if let Some(part) = parts.get_mut(place(slot.hash, shift)) {
            part.push(slot);
        }
    }
    parts
}

/// Which child of a branch a hash belongs to.
fn place(hash: u64, shift: u32) -> usize {
    let bits = hash.checked_shr(shift).unwrap_or(0);
    to_usize(bits) % WIDTH
}

/// Hands the differences of two nodes at one place to `visit`, until that breaks.
fn compare<'a, V: PartialEq, B>(
    before: &'a MapNode<V>,
    after: &'a MapNode<V>,
    visit: &mut impl FnMut(Difference<'a, V>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if before.is(after) {
        return ControlFlow::Continue(());
    }
    if let (MapNode::Branch(before), MapNode::Branch(after)) = (before, after) {
        for (before, after) in before.iter().zip(after.iter()) {
            compare(before, after, visit)?;
        }
        return ControlFlow::Continue(());
    }
    if let (MapNode::Packed(before), MapNode::Packed(after)) = (before, after)
        && let Some(pairs) = packed::parting(before, after)
    {
        return pairs.into_iter().try_for_each(|(before, after)| compare(before, after, visit));
    }
    let (before, after) = (entries_of(before), entries_of(after));
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return ControlFlow::Continue(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(b), Some(a)) => order(*b).cmp(&order(*a)),
        };
        let before = if order.is_le() { before.next() } else { None };
        let after = if order.is_ge() { after.next() } else { None };
        if let (Some(before), Some(after)) = (before, after)
            && (Arc::ptr_eq(before.1, after.1) || before.1.value == after.1.value)
        {
            continue;
        }
        if let Some((_, entry)) = before.or(after) {
            visit(Difference {
                key: &entry.key,
                before: before.map(|(_, entry)| &entry.value),
                after: after.map(|(_, entry)| &entry.value),
            })?;
        }
    }
}

/// The entries below a node with their hashes, in the order of those.
fn entries_of<V>(node: &MapNode<V>) -> Vec<(u64, &Arc<MapEntry<V>>)> {
    let mut entries = Vec::new();
    node.for_each(&mut |hash, entry| entries.push((hash, entry)));
    entries.sort_unstable_by(|a, b| order(*a).cmp(&order(*b)));
    entries
}

fn order<V>((hash, entry): (u64, &Arc<MapEntry<V>>)) -> (u64, &str) {
    (hash, &entry.key)
}

impl<V> Default for SharedMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: PartialEq> PartialEq for SharedMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len
            && compare(&self.root, &other.root, &mut |_| ControlFlow::Break(())).is_continue()
    }
}

impl<V: fmt::Debug> fmt::Debug for SharedMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.sorted()).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
