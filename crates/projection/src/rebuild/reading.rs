//! One reading of the log for all that is rebuilt: every page goes to every fold.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use spacefold_event_core::{
    EventFilter, EventId, LogReader, Page, Position, Read, ReadError, Revision, Timestamp,
    bytes::to_u64,
};

use super::{RebuildError, pace::Pace};

/// How many pages a slow fold may be behind the reader.
const PAGES_AHEAD: usize = 8;

/// Where pages go.
pub(super) type PageSender = SyncSender<Page>;

/// A channel for the pages of one fold.
pub(super) fn pages() -> (PageSender, Receiver<Page>) {
    sync_channel(PAGES_AHEAD)
}

/// Hands a page to every fold; one that has ended says by itself why.
pub(super) fn hand_out(page: &Page, senders: &[PageSender]) {
    for sender in senders {
        let _ = sender.send(page.clone());
    }
}

/// Reads the log behind `after`, up to `to`, for these folds.
pub(super) fn read_all(
    log: &dyn LogReader,
    (after, to): (Position, Position),
    pace: &Pace<'_>,
    senders: &[PageSender],
) -> Result<(), RebuildError> {
    let mut before = after;
    for page in log.pages(Read::from(after.next()).to(to)) {
        let page = page?;
        let read = page.next().previous().min(to);
        pace.read(read.get(), read.since(before));
        pace.check()?;
        before = read;
        hand_out(&page, senders);
    }
    Ok(())
}

/// The log as one fold reads it, page by page: each goes to the other folds too.
pub(super) struct Shared<'a> {
    pub(super) log: &'a dyn LogReader,
    pub(super) pace: &'a Pace<'a>,
    pub(super) senders: &'a [PageSender],
    /// Bytes of the pages that were read.
    pub(super) bytes: AtomicU64,
}

impl LogReader for Shared<'_> {
    fn head(&self) -> Position {
        self.log.head()
    }

    fn durable_head(&self) -> Position {
        self.log.durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.log.wait_durable(position, timeout)
    }

    fn read(&self, read: &Read) -> Result<Page, ReadError> {
        let page = self.log.read(read)?;
        let up_to = page.next().previous().min(read.to);
        let events = up_to.since(read.from.previous());
        self.pace.read(up_to.get(), events);
        let bytes = to_u64(page.memory_bytes());
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        hand_out(&page, self.senders);
        Ok(page)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.log.read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.log.revision(space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.log.newest_revision(space_id)
    }

    fn has_match_after(&self, filter: &EventFilter, after: Position) -> Result<bool, ReadError> {
        self.log.has_match_after(filter, after)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.log.find_event(id)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.log.position_as_of(time)
    }
}
