//! The entries of a map as they are stored: each bucket of them is unpacked when a key of it is looked
//! at for the first time, so that a large map costs little before it is used.
//!
//! Which bucket a key is in says a hash of it that is no secret, since it is stored. Keys that are
//! chosen to be in one bucket are unpacked together, as all would be without buckets, and lie in it as
//! those of any map do.

use std::{
    ops::Range,
    sync::{Arc as SharedArc, OnceLock},
};

use rapidhash::v3::rapidhash_v3;
use spacefold_event_core::{bytes::to_usize, lock::Lock};
use triomphe::Arc;

use super::{BITS, Key, MapNode, SharedMap};

/// Keys of a bucket on the average, at least.
const BUCKET_ENTRIES: usize = 16;
/// A map of fewer keys is one bucket.
const MIN_PACKED_ENTRIES: usize = 512;

/// Bytes that packed entries are in, shared by all of them.
pub(crate) type PackedBytes = SharedArc<dyn AsRef<[u8]> + Send + Sync>;

/// The bits of a hash that choose the bucket, in a map of this many keys.
pub(crate) fn bucket_bits(len: usize) -> u32 {
    if len < MIN_PACKED_ENTRIES { 0 } else { (len / BUCKET_ENTRIES).ilog2() }
}

/// The bucket of a key, of `1 << bits`.
fn bucket_of(key: &str, bits: u32) -> u64 {
    packed_hash(key).checked_shr(u64::BITS - bits).unwrap_or(0)
}

/// Part of the stored form of a state.
fn packed_hash(key: &str) -> u64 {
    rapidhash_v3(key.as_bytes())
}

/// The entries of one bucket, as they are stored.
pub(crate) struct PackedEntries<V> {
    pub(crate) bytes: PackedBytes,
    pub(crate) range: Range<usize>,
    /// Makes them of their bytes: `None` of bytes that nobody has written.
    pub(crate) unpack: fn(&[u8]) -> Option<SharedMap<V>>,
}

/// The entries of one bucket, for one who stores them.
pub(crate) enum BucketEntries<'a, V> {
    /// Nobody has looked at them: the bytes as they were stored.
    Packed(&'a [u8]),
    /// Sorted by key.
    Entries(Vec<(&'a str, &'a V)>),
}

/// A node above buckets, or a bucket.
pub(super) enum PackedNode<V> {
    /// By the next bits of the hash, from the highest on.
    Branch(Vec<Arc<Self>>),
    Bucket(Bucket<V>),
}

/// Entries that are unpacked once, for all maps that share them.
pub(super) struct Bucket<V> {
    /// `None` once they are unpacked.
    packed: Lock<Option<PackedEntries<V>>>,
    node: OnceLock<MapNode<V>>,
}

impl<V> PackedNode<V> {
    /// The node above `1 << bits` buckets, the next ones.
    pub(super) fn above(
        buckets: &mut impl Iterator<Item = PackedEntries<V>>,
        bits: u32,
    ) -> Arc<Self> {
        let width = bits.min(BITS);
        if width == 0 {
            let packed = Lock::new(buckets.next());
            return Arc::new(Self::Bucket(Bucket { packed, node: OnceLock::new() }));
        }
        let children = (0..1 << width).map(|_| Self::above(buckets, bits - width)).collect();
        Arc::new(Self::Branch(children))
    }

    /// The bits that choose among the buckets below.
    fn bits(&self) -> u32 {
        match self {
            Self::Bucket(_) => 0,
            Self::Branch(children) => {
                let below = children.first().map_or(0, |child| child.bits());
                children.len().trailing_zeros() + below
            }
        }
    }

    /// The entries that a key is among, if it is anywhere.
    pub(super) fn home(&self, key: Key<'_>) -> Option<&MapNode<V>> {
        let mut hash = packed_hash(key.text);
        let mut node = self;
        loop {
            match node {
                Self::Bucket(bucket) => return Some(bucket.node()),
                Self::Branch(children) => node = children.get(place(&mut hash, children.len()))?,
            }
        }
    }

    fn each_bucket<'a>(&'a self, visit: &mut impl FnMut(&'a Bucket<V>)) {
        match self {
            Self::Bucket(bucket) => visit(bucket),
            Self::Branch(children) => children.iter().for_each(|child| child.each_bucket(visit)),
        }
    }

    /// Unpacks everything, and hands the entries of each bucket to `visit`.
    pub(super) fn each_node<'a>(&'a self, visit: &mut impl FnMut(&'a MapNode<V>)) {
        self.each_bucket(&mut |bucket| visit(bucket.node()));
    }

    /// As [`PackedNode::home`], to be changed: what is shared with another map is copied first.
    pub(super) fn home_mut<'a>(
        this: &'a mut Arc<Self>,
        key: Key<'_>,
    ) -> Option<&'a mut MapNode<V>> {
        let mut hash = packed_hash(key.text);
        let mut node = this;
        loop {
            match Arc::make_mut(node) {
                Self::Bucket(bucket) => return bucket.node_mut(),
                Self::Branch(children) => {
                    let place = place(&mut hash, children.len());
                    node = children.get_mut(place)?;
                }
            }
        }
    }
}

/// The buckets that two maps do not share, each beside that of the other; `None` where they are parted
/// in other ways.
pub(super) fn parting<'a, V>(
    before: &'a Arc<PackedNode<V>>,
    after: &'a Arc<PackedNode<V>>,
) -> Option<Vec<(&'a MapNode<V>, &'a MapNode<V>)>> {
    let mut found = Vec::new();
    (before.bits() == after.bits()).then(|| {
        add_parting(before, after, &mut found);
        found
    })
}

fn add_parting<'a, V>(
    before: &'a Arc<PackedNode<V>>,
    after: &'a Arc<PackedNode<V>>,
    found: &mut Vec<(&'a MapNode<V>, &'a MapNode<V>)>,
) {
    match (&**before, &**after) {
        _ if Arc::ptr_eq(before, after) => {}
        (PackedNode::Branch(before), PackedNode::Branch(after)) => {
            let pairs = before.iter().zip(after);
            pairs.for_each(|(before, after)| add_parting(before, after, found));
        }
        (PackedNode::Bucket(before), PackedNode::Bucket(after)) => {
            found.push((before.node(), after.node()));
        }
        _ => {}
    }
}

/// The child of this many that a hash leads to, which is left with the bits for those below.
fn place(hash: &mut u64, children: usize) -> usize {
    let width = children.trailing_zeros();
    *hash = hash.rotate_left(width);
    to_usize(*hash) % (1 << width)
}

impl<V> Bucket<V> {
    fn node(&self) -> &MapNode<V> {
        self.node.get_or_init(|| {
            let packed = self.packed.lock().take();
            let map = packed.and_then(|packed| {
                let bytes = packed.bytes.as_ref().as_ref();
                (packed.unpack)(bytes.get(packed.range.clone())?)
            });
            // There is one of all bytes that were written, and others were refused.
            map.map_or(MapNode::Empty, |map| map.root)
        })
    }

    fn node_mut(&mut self) -> Option<&mut MapNode<V>> {
        self.node();
        self.node.get_mut()
    }
}

impl<V> SharedMap<V> {
    /// The map of this many keys whose buckets are these, in order: `1 << bits` of them, each key in its
    /// own and nowhere else.
    pub(crate) fn packed(len: usize, bits: u32, buckets: Vec<PackedEntries<V>>) -> Self {
        let root = PackedNode::above(&mut buckets.into_iter(), bits);
        Self { root: MapNode::Packed(root), len }
    }

    /// Hands the entries of each bucket to `visit`, in order. What nobody has looked at stays packed.
    pub(crate) fn each_bucket(&self, mut visit: impl FnMut(BucketEntries<'_, V>)) {
        let bits = bucket_bits(self.len);
        match &self.root {
            MapNode::Packed(root) if root.bits() == bits => root.each_bucket(&mut |bucket| {
                // Held while they are stored: else they could be unpacked, and gone, meanwhile.
                let packed = bucket.packed.lock();
                let bytes = packed
                    .as_ref()
                    .and_then(|packed| packed.bytes.as_ref().as_ref().get(packed.range.clone()));
                if let Some(bytes) = bytes {
                    return visit(BucketEntries::Packed(bytes));
                }
                drop(packed);
                let mut entries = Vec::new();
                bucket.node().for_each(&mut |_, entry| {
                    entries.push((entry.key.as_str(), &entry.value));
                });
                entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
                visit(BucketEntries::Entries(entries));
            }),
            _ if bits == 0 => visit(BucketEntries::Entries(self.sorted())),
            _ => self.each_made_bucket(bits, visit),
        }
    }

    fn each_made_bucket(&self, bits: u32, mut visit: impl FnMut(BucketEntries<'_, V>)) {
        let of = |(key, value)| (bucket_of(key, bits), key, value);
        let mut entries: Vec<(u64, &str, &V)> = self.entries().into_iter().map(of).collect();
        entries.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let mut entries = entries.into_iter().peekable();
        for bucket in 0..1 << bits {
            let own = std::iter::from_fn(|| entries.next_if(|entry| entry.0 == bucket));
            visit(BucketEntries::Entries(own.map(|(_, key, value)| (key, value)).collect()));
        }
    }

    /// Hands the entries that are not packed to `visit`, in no order that means anything, and answers
    /// how many are, and the bytes they take.
    pub(crate) fn each_unpacked<'a>(
        &'a self,
        mut visit: impl FnMut(&'a str, &'a V),
    ) -> (usize, usize) {
        let MapNode::Packed(root) = &self.root else {
            self.each(visit);
            return (0, 0);
        };
        let (mut unpacked, mut bytes) = (0, 0);
        root.each_bucket(&mut |bucket| {
            let packed = bucket.packed.lock().as_ref().map(|packed| packed.range.len());
            match packed {
                Some(length) => bytes += length,
                None => bucket.node().for_each(&mut |_, entry| {
                    unpacked += 1;
                    visit(&entry.key, &entry.value);
                }),
            }
        });
        (self.len.saturating_sub(unpacked), bytes)
    }
}

// Not derived: a value need not be clonable to be shared.
impl<V> Clone for PackedNode<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Branch(children) => Self::Branch(children.clone()),
            Self::Bucket(bucket) => Self::Bucket(Bucket {
                packed: Lock::new(None),
                node: OnceLock::from(bucket.node().clone()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
