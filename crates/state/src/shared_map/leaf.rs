//! The leaves of the map: a few entries each, in as little room as they need.

use std::mem;

use triomphe::Arc;

use super::{Key, MapEntry};

/// Entries of a leaf that is not split.
pub(super) const LEAF_ENTRIES: usize = 16;

/// Slots, the free ones behind the others; at least one is not free.
pub(super) enum Leaf<V> {
    One(Arc<[LeafSlot<V>; 1]>),
    Two(Arc<[LeafSlot<V>; 2]>),
    Four(Arc<[LeafSlot<V>; 4]>),
    Eight(Arc<[LeafSlot<V>; 8]>),
    Sixteen(Arc<[LeafSlot<V>; LEAF_ENTRIES]>),
    /// Of more keys with one and the same hash than a leaf has entries.
    Many(Arc<Vec<LeafSlot<V>>>),
}

pub(super) struct LeafSlot<V> {
    pub(super) hash: u64,
    /// `None` in a free slot.
    pub(super) entry: Option<Arc<MapEntry<V>>>,
}

impl<V> Leaf<V> {
    /// A leaf of these slots, none of which is free.
    pub(super) fn of(slots: Vec<LeafSlot<V>>) -> Self {
        match slots.len() {
            ..=1 => Self::One(array(slots)),
            2 => Self::Two(array(slots)),
            3..=4 => Self::Four(array(slots)),
            5..=8 => Self::Eight(array(slots)),
            9..=LEAF_ENTRIES => Self::Sixteen(array(slots)),
            _ => Self::Many(Arc::new(slots)),
        }
    }

    pub(super) fn slots(&self) -> &[LeafSlot<V>] {
        match self {
            Self::One(slots) => &slots[..],
            Self::Two(slots) => &slots[..],
            Self::Four(slots) => &slots[..],
            Self::Eight(slots) => &slots[..],
            Self::Sixteen(slots) => &slots[..],
            Self::Many(slots) => slots,
        }
    }

    /// The slots, of which no other map knows from now on.
    pub(super) fn slots_mut(&mut self) -> &mut [LeafSlot<V>] {
        match self {
            Self::One(slots) => &mut Arc::make_mut(slots)[..],
            Self::Two(slots) => &mut Arc::make_mut(slots)[..],
            Self::Four(slots) => &mut Arc::make_mut(slots)[..],
            Self::Eight(slots) => &mut Arc::make_mut(slots)[..],
            Self::Sixteen(slots) => &mut Arc::make_mut(slots)[..],
            Self::Many(slots) => &mut Arc::make_mut(slots)[..],
        }
    }

    /// Whether it has as many entries as a leaf has at most.
    pub(super) fn is_full(&self) -> bool {
        let slots = self.slots();
        slots.len() >= LEAF_ENTRIES && slots.last().is_some_and(|last| last.entry.is_some())
    }

    /// Adds a slot that is not free.
    pub(super) fn add(&mut self, slot: LeafSlot<V>) {
        let free = self.slots().iter().position(|slot| slot.entry.is_none());
        if let Some(free) = free.and_then(|free| self.slots_mut().get_mut(free)) {
            *free = slot;
            return;
        }
        let mut slots = self.take_slots();
        slots.push(slot);
        *self = Self::of(slots);
    }

    /// Takes the entry of a key out, and says whether any are left; `None` when it has none.
    pub(super) fn take(&mut self, key: Key<'_>) -> Option<(Arc<MapEntry<V>>, bool)> {
        let slots = self.slots();
        let index = slots.iter().position(|slot| slot.entry_of(key).is_some())?;
        let last = slots.iter().rposition(|slot| slot.entry.is_some())?;
        let slots = self.slots_mut();
        slots.swap(index, last);
        let entry = slots.get_mut(last)?.entry.take()?;
        Some((entry, last > 0))
    }

    /// The slots that are not free, taken out of it unless another map has it too.
    pub(super) fn take_slots(&mut self) -> Vec<LeafSlot<V>> {
        fn unshared<V, const N: usize>(
            slots: &mut Arc<[LeafSlot<V>; N]>,
        ) -> Option<&mut [LeafSlot<V>]> {
            Arc::get_mut(slots).map(|slots| &mut slots[..])
        }
        let own = match self {
            Self::One(slots) => unshared(slots),
            Self::Two(slots) => unshared(slots),
            Self::Four(slots) => unshared(slots),
            Self::Eight(slots) => unshared(slots),
            Self::Sixteen(slots) => unshared(slots),
            Self::Many(slots) => Arc::get_mut(slots).map(Vec::as_mut_slice),
        };
        let taken = |slot: &LeafSlot<V>| slot.entry.is_some();
        match own {
            Some(slots) => slots.iter_mut().map(mem::take).filter(taken).collect(),
            None => self.slots().iter().filter(|slot| taken(slot)).cloned().collect(),
        }
    }

    /// Whether the two are one in memory.
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.slots(), other.slots())
    }
}

fn array<V, const N: usize>(slots: Vec<LeafSlot<V>>) -> Arc<[LeafSlot<V>; N]> {
    let mut slots = slots.into_iter();
    Arc::new(std::array::from_fn(|_| slots.next().unwrap_or_default()))
}

impl<V> LeafSlot<V> {
    /// The entry, when it is the one of this key.
    pub(super) fn entry_of(&self, key: Key<'_>) -> Option<&Arc<MapEntry<V>>> {
        if self.hash != key.hash {
            return None;
        }
        self.entry.as_ref().filter(|entry| entry.key == key.text)
    }
}

impl<V> Default for LeafSlot<V> {
    fn default() -> Self {
        Self { hash: 0, entry: None }
    }
}

// Not derived: a value need not be clonable to be shared.
impl<V> Clone for LeafSlot<V> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, entry: self.entry.clone() }
    }
}

impl<V> Clone for Leaf<V> {
    fn clone(&self) -> Self {
        match self {
            Self::One(slots) => Self::One(Arc::clone(slots)),
            Self::Two(slots) => Self::Two(Arc::clone(slots)),
            Self::Four(slots) => Self::Four(Arc::clone(slots)),
            Self::Eight(slots) => Self::Eight(Arc::clone(slots)),
            Self::Sixteen(slots) => Self::Sixteen(Arc::clone(slots)),
            Self::Many(slots) => Self::Many(Arc::clone(slots)),
        }
    }
}
