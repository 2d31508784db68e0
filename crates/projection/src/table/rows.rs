//! All rows of one table: runs on disk, and in memory what was changed since.

use spacefold_event_core::bytes::to_u64;
use spacefold_runs::{Row, RunScan, View};
use spacefold_state::StateHash;

use super::{TableError, recent::RecentChanges};

/// How many bytes of rows are hashed at a time, at least.
const HASHED_BYTES: usize = 32 << 10;

/// The rows as they are. A clone is what they are now, to be read while they change.
#[derive(Clone)]
pub(crate) struct TableRows {
    runs: View,
    recent: RecentChanges,
}

impl TableRows {
    /// The rows of these runs, with what was changed since.
    pub(crate) fn new(
        runs: View,
        changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Self {
        let mut recent = RecentChanges::default();
        changes.into_iter().for_each(|(key, value)| recent.restore((&key, value.as_deref())));
        Self { runs, recent }
    }

    /// The value under a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if let Some(change) = self.recent.get(key) {
            return Ok(change.map(<[u8]>::to_vec));
        }
        Ok(self.runs.get(key)?.value().map(|value| value.to_vec()))
    }

    /// Changes a row, for the event at hand.
    pub(crate) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.recent.set(key, value);
    }

    /// The keys that the event at hand has changed so far.
    pub(crate) fn changing(&self) -> impl Iterator<Item = &[u8]> {
        self.recent.changing()
    }

    /// Takes the changes of the event at hand for good, and answers their digest.
    pub(crate) fn accept(&mut self) -> u32 {
        self.recent.accept()
    }

    /// Takes the changes of the event at hand back.
    pub(crate) fn reject(&mut self) {
        self.recent.reject();
    }

    /// Bytes of what was changed since the last checkpoint, about.
    pub(crate) const fn recent_bytes(&self) -> usize {
        self.recent.memory_bytes()
    }

    /// What was changed since the last checkpoint, in order.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Row<'_>> {
        self.recent.rows_from(b"")
    }

    /// Goes on from runs that have what was changed.
    pub(crate) fn flushed(&mut self, runs: View) {
        *self = Self { runs, recent: RecentChanges::default() };
    }

    /// The rows whose keys are `from` or after it, in order.
    pub(crate) fn rows_from(&self, from: &[u8]) -> Result<RunScan<'_>, TableError> {
        Ok(self.runs.scan_with(self.recent.rows_from(from), from)?)
    }

    /// The hash of the whole table, and how many rows it has: BLAKE3 over each key and value, in order
    /// of the keys, each after its length as 64 bits, little endian.
    pub(crate) fn hash(&self) -> Result<(StateHash, u64), TableError> {
        let (mut hasher, mut count) = (blake3::Hasher::new(), 0);
        // Of much at a time it hashes several parts at once.
        let mut bytes = Vec::with_capacity(2 * HASHED_BYTES);
        let mut rows = self.rows_from(b"")?;
        while let Some((key, value)) = rows.next_row()? {
            for part in [key, value] {
                bytes.extend_from_slice(&to_u64(part.len()).to_le_bytes());
                bytes.extend_from_slice(part);
            }
            if bytes.len() >= HASHED_BYTES {
                hasher.update(&bytes);
                bytes.clear();
            }
            count += 1;
        }
        hasher.update(&bytes);
        Ok((StateHash::from_bytes(*hasher.finalize().as_bytes()), count))
    }
}
