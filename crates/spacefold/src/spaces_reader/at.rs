//! What spaces looked like at any moment, and what led from one moment to another.

use std::ops::Range;

use spacefold_event_core::{ContentReader, EventFilter, Position, Timestamp};
use spacefold_projection::{History, SnapshotError, Snapshots};
use spacefold_state::{Blame, Change, Snapshot};

use super::SpacesReader;
use crate::contents::{self, ContentAtError};

/// A moment of a log: a position, or a time, which is the last position whose event was recorded then
/// or before.
///
/// Whatever takes a moment takes `impl Into<Moment>`: a [`Position`] or a [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// After the event at a position.
    Position(Position),
    /// After the last event recorded at or before a time.
    Time(Timestamp),
}

impl From<Position> for Moment {
    fn from(position: Position) -> Self {
        Self::Position(position)
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

/// A store as of a moment: see [`SpacesReader::at`]. Reads nothing before it is asked.
#[derive(Clone, Copy, Debug)]
pub struct AsOf<'a> {
    store: &'a SpacesReader,
    moment: Moment,
}

impl SpacesReader {
    /// The store as of a moment: a [`Position`] or a [`Timestamp`].
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Position, SpaceEvent, Spacefold, Timestamp};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// spaces.append([SpaceEvent::space_activated("handbook")])?;
    /// let then = spaces.at(Position::new(1)).snapshot("handbook")?;
    /// assert_eq!(then.status().name(), "created");
    /// let now = spaces.at(Timestamp::now()).snapshot("handbook")?;
    /// assert_eq!(now.status().name(), "active");
    /// assert!(spaces.at(Position::new(3)).snapshot("handbook").is_err());
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn at(&self, moment: impl Into<Moment>) -> AsOf<'_> {
        AsOf { store: self, moment: moment.into() }
    }

    /// What changed in a space from its state at the start of `range` to its state at the end. A range
    /// that runs backwards gives the changes that lead back.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`], [`SnapshotError::UnknownSpace`] when the space has no event
    /// at all, or a failure to read.
    ///
    /// # Cost
    /// As two calls of [`AsOf::snapshot`], and what the two states do not share.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Position, SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// spaces.append([SpaceEvent::document_added("handbook", "intro", "/intro.md")])?;
    /// let changes = spaces.diff("handbook", Position::new(1)..Position::new(2))?;
    /// assert_eq!(changes[0].kind(), "document_added");
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn diff(
        &self,
        space_id: &str,
        range: Range<impl Into<Moment>>,
    ) -> Result<Vec<Change>, SnapshotError> {
        let (start, end) = (self.at(range.start).position()?, self.at(range.end).position()?);
        self.engine.past.diff(space_id, start, end)
    }

    /// What changed of one document: itself, its references, its render state, its conflict and
    /// whether it is stale.
    ///
    /// # Errors
    /// As [`SpacesReader::diff`].
    ///
    /// # Cost
    /// As [`SpacesReader::diff`].
    pub fn diff_document(
        &self,
        space_id: &str,
        document_id: &str,
        range: Range<impl Into<Moment>>,
    ) -> Result<Vec<Change>, SnapshotError> {
        let (start, end) = (self.at(range.start).position()?, self.at(range.end).position()?);
        self.engine.past.diff_document(space_id, document_id, start, end)
    }

    /// The events that pass a filter, page by page: those of a space, of one of its documents, with a
    /// tag, of a source.
    ///
    /// # Errors
    /// [`SnapshotError::UnknownSpace`] when a space of the filter has no event; each page may be a
    /// failure to read.
    ///
    /// # Cost
    /// Reads the blocks that hold events of its spaces and tags; without either, the log.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold, event::EventFilter};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook");
    /// let added = SpaceEvent::document_added("handbook", "intro", "/intro.md");
    /// spaces.append([created, added])?;
    /// let of_intro = EventFilter::all().spaces(["handbook"]).document("intro");
    /// for page in spaces.history(of_intro)? {
    ///     for event in page?.events() {
    ///         assert_eq!(event?.event_type.name(), "document.added");
    ///     }
    /// }
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn history(&self, filter: EventFilter) -> Result<History, SnapshotError> {
        self.engine.past.history(filter)
    }
}

impl<'a> AsOf<'a> {
    /// The position of the moment: of a time, the last position whose event was recorded then or
    /// before.
    ///
    /// # Errors
    /// [`SnapshotError`] when the log cannot be read. A position is answered as it was given.
    pub fn position(&self) -> Result<Position, SnapshotError> {
        match self.moment {
            Moment::Position(position) => Ok(position),
            Moment::Time(time) => self.store.engine.past.position_as_of(time),
        }
    }

    /// The state of a space then.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`], [`SnapshotError::UnknownSpace`] when the space had no event
    /// then, or a failure to read.
    ///
    /// # Cost
    /// A fold of at most some thousand of the space's events after a state that is in memory or in the
    /// history cache; more where neither has one.
    pub fn snapshot(&self, space_id: &str) -> Result<Snapshot, SnapshotError> {
        self.store.engine.past.snapshot_at(space_id, self.position()?)
    }

    /// The states of all spaces then, sorted by id.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`], or a failure to read.
    ///
    /// # Cost
    /// The whole history up to the moment, unless that is the durable head.
    pub fn snapshot_all(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        self.store.engine.past.snapshot_all_at(self.position()?)
    }

    /// The states of all spaces then, sorted by id, one after the other. Memory does not grow with the
    /// number of spaces.
    ///
    /// # Errors
    /// [`SnapshotError::BeyondHead`]; each item may be a failure to read.
    ///
    /// # Cost
    /// The whole history up to the moment, once for every
    /// [`STATES_MEMORY_BYTES`](crate::state::STATES_MEMORY_BYTES) that the states take.
    pub fn snapshots(&self) -> Result<Snapshots<'a>, SnapshotError> {
        self.store.engine.past.snapshots_at(self.position()?)
    }

    /// Which event gave each document, variable and reference of a space the value that it had then.
    ///
    /// # Errors
    /// As [`AsOf::snapshot`].
    ///
    /// # Cost
    /// All events of the space up to the moment.
    pub fn blame(&self, space_id: &str) -> Result<Blame, SnapshotError> {
        self.store.engine.past.blame(space_id, self.position()?)
    }

    /// The bytes that a document had then, checked while they are read.
    ///
    /// # Errors
    /// [`ContentAtError`], by what is missing: the position, the space, the document, its content, or
    /// the bytes of it.
    ///
    /// # Cost
    /// As [`AsOf::snapshot`]; nothing is read of the content before the reader is.
    pub fn content(
        &self,
        space_id: &str,
        document_id: &str,
    ) -> Result<ContentReader, ContentAtError> {
        let snapshot = self.snapshot(space_id)?;
        let hash = contents::hash_in(&snapshot, document_id)?;
        Ok(self.store.open_content(&hash)?)
    }
}
