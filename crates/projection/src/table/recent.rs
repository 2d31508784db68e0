//! The rows that were changed since the last checkpoint, in memory.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use spacefold_runs::Row;

use crate::wire::Digest;

/// What a row costs in memory beside its bytes, about.
const ROW_OVERHEAD_BYTES: usize = 96;
/// Of an event that changes more rows than this it is not told whether it changes one twice.
const COMPARED_ROWS: usize = 8;

/// Shared by the row and what is needed to take its change back.
type RowKeyBytes = Arc<[u8]>;

/// Shared by the row and what is needed to note its change.
type RowChange = Option<Arc<[u8]>>;

/// What the event at hand has done to a row.
#[derive(Clone)]
struct Undo {
    key: RowKeyBytes,
    /// What stood there before.
    before: Option<RowChange>,
    /// What the event has put there; a later change of the same row may have put something else.
    after: RowChange,
}

#[derive(Clone, Default)]
pub(super) struct RecentChanges {
    rows: BTreeMap<RowKeyBytes, RowChange>,
    bytes: usize,
    /// What the event at hand has changed, the newest last.
    undo: Vec<Undo>,
    /// Whether it may have changed a row twice.
    changed_again: bool,
}

impl RecentChanges {
    /// Bytes in memory, about.
    pub(super) const fn memory_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows.get(key).map(Option::as_deref)
    }

    /// Changes a row, for the event at hand.
    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key = RowKeyBytes::from(key);
        let after: RowChange = value.map(Arc::from);
        let before = self.insert(Arc::clone(&key), after.clone());
        self.changed_again |=
            self.undo.len() >= COMPARED_ROWS || self.undo.iter().any(|undo| undo.key == key);
        self.undo.push(Undo { key, before, after });
    }

    /// The keys that the event at hand has changed so far.
    pub(super) fn changing(&self) -> impl Iterator<Item = &[u8]> {
        self.undo.iter().map(|undo| &*undo.key)
    }

    /// Takes the changes of the event at hand for good, and answers their digest; 0 when there
    /// were none.
    pub(super) fn accept(&mut self) -> u32 {
        if self.undo.is_empty() {
            return 0;
        }
        let mut digest = Digest::new(1);
        for Undo { key, after, .. } in &self.undo {
            digest.bytes(key);
            let stands = match self.changed_again {
                true => self.rows.get(key).and_then(Option::as_deref),
                false => after.as_deref(),
            };
            match stands {
                Some(value) => digest.bytes(value),
                None => digest.number(u64::MAX),
            }
        }
        self.undo.clear();
        self.changed_again = false;
        let [a, b, c, d, ..] = digest.get().to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).max(1)
    }

    /// Takes the changes of the event at hand back.
    pub(super) fn reject(&mut self) {
        self.changed_again = false;
        while let Some(Undo { key, before, .. }) = self.undo.pop() {
            match before {
                Some(change) => {
                    self.insert(key, change);
                }
                None => {
                    if let Some(change) = self.rows.remove(&key) {
                        self.bytes -= row_bytes(&key, &change);
                    }
                }
            }
        }
    }

    /// Puts a row in that was persisted with the checkpoint itself.
    pub(super) fn restore(&mut self, (key, value): Row<'_>) {
        self.insert(key.into(), value.map(Arc::from));
    }

    /// The rows from a key on, in order.
    pub(super) fn rows_from<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let range = self.rows.range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
        range.map(|(key, value)| (&**key, value.as_deref()))
    }

    fn insert(&mut self, key: RowKeyBytes, change: RowChange) -> Option<RowChange> {
        let key_bytes = key.len();
        self.bytes += row_bytes(&key, &change);
        let before = self.rows.insert(key, change);
        if let Some(before) = &before {
            self.bytes -= change_bytes(before) + key_bytes + ROW_OVERHEAD_BYTES;
        }
        before
    }
}

fn row_bytes(key: &[u8], change: &RowChange) -> usize {
    key.len() + change_bytes(change) + ROW_OVERHEAD_BYTES
}

fn change_bytes(change: &RowChange) -> usize {
    change.as_ref().map_or(0, |value| value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_changed_is_taken_back_whole() {
        let mut recent = RecentChanges::default();
        recent.set(b"a", Some(b"1"));
        recent.set(b"gone", None);
        let digest = recent.accept();
        assert_ne!(digest, 0);
        let before: Vec<_> =
            recent.rows_from(b"").map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))).collect();
        let bytes = recent.memory_bytes();
        recent.set(b"a", Some(b"22"));
        recent.set(b"b", Some(b"3"));
        recent.set(b"a", None);
        recent.set(b"gone", Some(b"back"));
        recent.reject();
        let after: Vec<_> =
            recent.rows_from(b"").map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))).collect();
        assert_eq!((after, recent.memory_bytes()), (before, bytes));
        assert_eq!(recent.accept(), 0, "nothing was changed");
    }

    #[test]
    fn a_digest_tells_changes_apart() {
        let digest = |changes: &[(&[u8], Option<&[u8]>)]| {
            let mut recent = RecentChanges::default();
            changes.iter().for_each(|(key, value)| recent.set(key, *value));
            recent.accept()
        };
        let twice = digest(&[(b"a", Some(b"1")), (b"a", Some(b"2"))]);
        assert_eq!(
            twice,
            digest(&[(b"a", Some(b"2")), (b"a", Some(b"2"))]),
            "what stands in the end"
        );
        let digests = [
            digest(&[(b"a", Some(b"1"))]),
            digest(&[(b"a", Some(b"2"))]),
            digest(&[(b"a", None)]),
            digest(&[(b"b", Some(b"1"))]),
            digest(&[(b"a", Some(b"1")), (b"b", None)]),
        ];
        let distinct: std::collections::BTreeSet<u32> = digests.into();
        assert_eq!(distinct.len(), digests.len());
    }
}
