//! States of the past, and what led from one to the next.

use spacefold_event_core::{Position, Timestamp};
use spacefold_projection::{History, SnapshotError, Snapshots};
use spacefold_state::{Blame, Change, Snapshot};

use super::Spacefold;

impl Spacefold {
    /// The state of a space as of a position.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`], [`SnapshotError::UnknownSpace`] when the space has no event
    /// up to there, or a failure to read.
    pub fn snapshot_at(
        &self,
        space_id: &str,
        position: Position,
    ) -> Result<Snapshot, SnapshotError> {
        self.inner.engine.past.snapshot_at(space_id, position)
    }

    /// The states of all spaces as of a position, sorted by id.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`], or a failure to read.
    pub fn snapshot_all_at(&self, position: Position) -> Result<Vec<Snapshot>, SnapshotError> {
        self.inner.engine.past.snapshot_all_at(position)
    }

    /// The states of all spaces as of a position, sorted by id, one after the other. What is in memory
    /// at a time does not grow with the spaces.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`]; each may be a failure to read.
    ///
    /// # Cost
    /// The whole history up to there, once for every [`STATES_MEMORY_BYTES`](crate::STATES_MEMORY_BYTES)
    /// that the states take.
    pub fn snapshots_at(&self, position: Position) -> Result<Snapshots<'_>, SnapshotError> {
        self.inner.engine.past.snapshots_at(position)
    }

    /// The state of a space as of a time: of the last event recorded then or before.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when the space had no event then, or a failure to read.
    pub fn snapshot_as_of(
        &self,
        space_id: &str,
        time: Timestamp,
    ) -> Result<Snapshot, SnapshotError> {
        self.inner.engine.past.snapshot_as_of(space_id, time)
    }

    /// The last position whose event was recorded at or before `time`.
    ///
    /// # Errors
    /// [`SnapshotError`] when the log cannot be read.
    pub fn position_as_of(&self, time: Timestamp) -> Result<Position, SnapshotError> {
        self.inner.engine.past.position_as_of(time)
    }

    /// What changed in a space from its state at `before` to its state at `after`, in either
    /// order.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`], [`SnapshotError::UnknownSpace`] when the space has no event
    /// at all, or a failure to read.
    pub fn diff(
        &self,
        space_id: &str,
        before: Position,
        after: Position,
    ) -> Result<Vec<Change>, SnapshotError> {
        self.inner.engine.past.diff(space_id, before, after)
    }

    /// What changed of one document between two positions, in either order.
    ///
    /// # Errors
    /// As [`Spacefold::diff`].
    pub fn diff_document(
        &self,
        space_id: &str,
        document_id: &str,
        before: Position,
        after: Position,
    ) -> Result<Vec<Change>, SnapshotError> {
        self.inner.engine.past.diff_document(space_id, document_id, before, after)
    }

    /// What changed in a space between two times, in either order.
    ///
    /// # Errors
    /// As [`Spacefold::diff`].
    pub fn diff_as_of(
        &self,
        space_id: &str,
        before: Timestamp,
        after: Timestamp,
    ) -> Result<Vec<Change>, SnapshotError> {
        self.inner.engine.past.diff_as_of(space_id, before, after)
    }

    /// The events of a space, or those that name one of its documents, page by page.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when the space has no event; each page may be a failure to
    /// read.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{AppendCondition, SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// let added = SpaceEvent::document_added("handbook", "intro", "/intro.md");
    /// spaces.append([created, added], AppendCondition::none())?;
    /// for page in spaces.history("handbook", Some("intro"))? {
    ///     for event in page?.events() {
    ///         assert_eq!(event?.event_type.name(), "document.added");
    ///     }
    /// }
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn history(
        &self,
        space_id: &str,
        document_id: Option<&str>,
    ) -> Result<History, SnapshotError> {
        self.inner.engine.past.history(space_id, document_id)
    }

    /// Which event gave each document, variable and reference of a space the value that it has as
    /// of a position.
    ///
    /// # Errors
    /// As [`Spacefold::snapshot_at`].
    ///
    /// # Cost
    /// All events of the space up to there.
    pub fn blame(&self, space_id: &str, position: Position) -> Result<Blame, SnapshotError> {
        self.inner.engine.past.blame(space_id, position)
    }

    /// Makes the history cache anew, which makes states of the past fast. It is derived, and goes on in the
    /// background while states are folded live.
    ///
    /// # Errors
    /// [`SnapshotError`]; states of the past are as they were, and may take longer.
    pub fn rebuild_history_cache(&self) -> Result<(), SnapshotError> {
        self.inner.engine.past.rebuild_history_cache()
    }

    /// Removes the history cache, which makes states of the past fast, on disk and in memory.
    ///
    /// # Errors
    /// [`SnapshotError`] when the storage fails.
    pub fn remove_history_cache(&self) -> Result<(), SnapshotError> {
        self.inner.engine.past.remove_history_cache()
    }
}
