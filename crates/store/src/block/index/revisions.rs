//! The revisions of the spaces that were used last, within a bound.

use std::mem;

use spacefold_event_core::Revision;

use super::space_table::SpaceTable;

/// Bytes of the revisions that are kept in memory, about. Up to half of it none is let go of.
const CACHE_BYTES: usize = 64 << 20;

/// Revisions as of the last block. Those used longest ago go first, half of them at a time.
#[derive(Debug)]
pub(super) struct CachedRevisions {
    newer: SpaceTable,
    older: SpaceTable,
    limit: usize,
    /// Whether every space of the index is here.
    is_complete: bool,
    /// How often some were let go of.
    dropped: u64,
}

impl CachedRevisions {
    /// Of an index that has no space yet.
    pub(super) fn none() -> Self {
        Self::within(CACHE_BYTES)
    }

    fn within(bytes: usize) -> Self {
        let (newer, older) = Default::default();
        Self { newer, older, limit: bytes / 2, is_complete: true, dropped: 0 }
    }

    /// The same, with a bound of so few bytes that most revisions are let go of.
    #[cfg(test)]
    pub(super) fn bounded(bytes: usize) -> Self {
        Self::within(bytes)
    }

    /// The revision of a space; `None` where the runs have to be asked.
    pub(super) fn get(&self, space_id: &str) -> Option<Revision> {
        let found = self.newer.revision(space_id).or_else(|| self.older.revision(space_id));
        found.or_else(|| self.is_complete.then_some(Revision::NONE))
    }

    pub(super) fn set(&mut self, space_id: &str, revision: Revision) {
        if self.newer.bytes() >= self.limit {
            let older = mem::replace(&mut self.older, mem::take(&mut self.newer));
            if older.iter().next().is_some() {
                self.is_complete = false;
                self.dropped += 1;
            }
        }
        self.newer.set_revision(space_id, revision);
    }

    /// There are other spaces than those that are here.
    pub(super) fn forget(&mut self) {
        *self =
            Self { is_complete: false, dropped: self.dropped + 1, ..Self::within(self.limit * 2) };
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Says that every space of the index has been set, since none was let go of but so often.
    pub(super) const fn complete(&mut self, dropped: u64) {
        self.is_complete |= self.dropped == dropped;
    }

    /// Every space of the index; `None` where some are not here.
    pub(super) fn all(&self) -> Option<impl Iterator<Item = (&str, Revision)>> {
        let older = self.older.iter().filter(|(id, _)| self.newer.revision(id).is_none());
        self.is_complete.then(|| self.newer.iter().chain(older))
    }
}
