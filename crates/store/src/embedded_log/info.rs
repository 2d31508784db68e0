//! A store at a glance.

use spacefold_event_core::{LogIdentity, Position, Timestamp};
use uuid::Uuid;

use super::EmbeddedLog;
use crate::{error::StorePart, shared::SharedStore};

/// A store at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The identity of the store, a UUID.
    pub store_id: String,
    /// Under which id its log began, and which course that has taken.
    pub identity: LogIdentity,
    /// The format version of the store: what a program has to know to read it. It is raised by the
    /// first append that an earlier version cannot hold.
    pub format_version: u32,
    /// The position of the last event that it has taken.
    pub head: Position,
    /// The position of the last event that is durable.
    pub durable_head: Position,
    /// Blocks in sled's copy, which a store of up to a thousand events is without.
    pub blocks: u64,
    /// Bytes of the journal files.
    pub journal_bytes: u64,
    /// Bytes of the segments.
    pub sealed_bytes: u64,
    /// Bytes of sled's copy.
    pub sled_bytes: u64,
    /// How often a copy was found wrong and made anew from the other.
    pub healed: u64,
    /// Whether the store was closed after its last append: not so while it is open and was written to, and
    /// after a kill or a power cut, until it is opened.
    pub was_closed: bool,
    /// When the newest durable event was recorded; `None` where there is none.
    pub last_recorded_at: Option<Timestamp>,
    /// The position of the last event in a segment, as HEAD has noted it.
    pub sealed_through: Position,
}

impl EmbeddedLog {
    /// The store at a glance. Cost: waits until sled's copy is open, and looks at every file of the folder.
    #[must_use]
    pub fn info(&self) -> StoreInfo {
        let shared = &self.inner.shared;
        if !shared.needs_no_copy() {
            // Where it cannot be opened the rest is told all the same.
            let _ = shared.sled();
        }
        StoreInfo::of(shared)
    }

    /// As [`EmbeddedLog::info`], as far as that is known by now: waits for nothing. While sled's copy is
    /// not open, [`StoreInfo::blocks`] are those of the segments, and that it is wrong and was made
    /// anew is not among what was [healed](StoreInfo::healed). Cost: looks at every file of the folder.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, log::{AppendRequest, EmbeddedLog, LogWriter}};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// let log = EmbeddedLog::open(&data)?;
    /// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
    /// assert_eq!(log.known_info().durable_head.get(), 1);
    /// # log.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn known_info(&self) -> StoreInfo {
        StoreInfo::of(&self.inner.shared)
    }
}

impl StoreInfo {
    /// What is known of a store.
    pub(crate) fn of(shared: &SharedStore) -> Self {
        let head = shared.head_file.lock().head().clone();
        let blocks = shared.view().index.block_count();
        let durable_head = shared.progress.durable_head();
        Self {
            store_id: Uuid::from_bytes(shared.store_id).to_string(),
            identity: shared.identity,
            format_version: head.format_version.number(),
            head: shared.progress.head(),
            durable_head,
            blocks,
            journal_bytes: shared.folder.bytes_of(StorePart::Journal),
            sealed_bytes: shared.folder.bytes_of(StorePart::Segments),
            sled_bytes: shared.folder.bytes_of(StorePart::Sled),
            healed: head.healed,
            was_closed: head.clean,
            last_recorded_at: (durable_head > Position::START)
                .then(|| shared.view().last_recorded_at()),
            sealed_through: head.sealed_through,
        }
    }
}
