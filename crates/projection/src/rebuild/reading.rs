//! One reading of the log for all that is rebuilt: every page goes to every fold.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use spacefold_event_core::{
    AppendCondition, EventId, EventOrigin, FailedCondition, LogIdentity, LogReader, Page, Position,
    ReadError, ReadRequest, Revision, Timestamp, bytes::to_u64, lock::Lock,
};
use spacefold_state::Effects;

use super::{RebuildError, pace::Pace};
use crate::effects::{EffectSource, Reading};

/// How many pages a slow fold may be behind the reader.
const PAGES_AHEAD: usize = 8;

/// A channel for the pages of one fold.
pub(super) fn pages() -> (SyncSender<Reading>, Receiver<Reading>) {
    sync_channel(PAGES_AHEAD)
}

/// The folds that read the log together: those that go by what events did, and the others.
#[derive(Default)]
pub(super) struct Readers {
    plain: Vec<SyncSender<Reading>>,
    by_effects: Vec<SyncSender<Reading>>,
}

impl Readers {
    /// One more fold.
    pub(super) fn add(&mut self, sender: SyncSender<Reading>, goes_by_effects: bool) {
        match goes_by_effects {
            true => self.by_effects.push(sender),
            false => self.plain.push(sender),
        }
    }

    /// Those that do not go by what events did, which are not among these any more.
    pub(super) fn take_plain(&mut self) -> Self {
        Self { plain: std::mem::take(&mut self.plain), by_effects: Vec::new() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_effects.is_empty()
    }

    /// Hands a page to every fold; one that has ended says by itself why.
    pub(super) fn hand_out(&self, page: &Page, effects: Option<&Arc<Effects>>) {
        let reading = Reading { page: page.clone(), effects: effects.cloned() };
        for sender in self.plain.iter().chain(&self.by_effects) {
            let _ = sender.send(reading.clone());
        }
    }
}

/// Reads the log after `after`, up to `to`, for these folds.
pub(super) fn read_all(
    log: &dyn LogReader,
    (after, to): (Position, Position),
    pace: &Pace<'_>,
    (readers, effects): (&Readers, &dyn EffectSource),
) -> Result<(), RebuildError> {
    if readers.is_empty() {
        return Ok(());
    }
    let mut before = after;
    for page in log.pages(ReadRequest::from(after.next()).to(to)) {
        let page = page?;
        let read = page.next().previous().min(to);
        pace.read(read.get(), read.since(before));
        pace.check()?;
        let source = (!readers.by_effects.is_empty()).then_some(effects);
        let Reading { page, effects } = Reading::of(page, (before, to), source)?;
        readers.hand_out(&page, effects.as_ref());
        before = read;
    }
    Ok(())
}

/// The log as the states read it, page by page: each goes to the folds that do not wait for what its
/// events did, and is kept for those that do.
pub(super) struct SharedReading<'a> {
    pub(super) log: &'a dyn LogReader,
    pub(super) pace: &'a Pace<'a>,
    pub(super) plain: &'a Readers,
    /// Bytes of the pages that were read.
    pub(super) bytes: AtomicU64,
    /// The pages that were read since they were taken last, if anybody waits for them.
    pub(super) pages: Option<Lock<Vec<Page>>>,
}

impl SharedReading<'_> {
    /// The pages that were kept.
    pub(super) fn take_pages(&self) -> Vec<Page> {
        self.pages.as_ref().map_or_else(Vec::new, |pages| std::mem::take(&mut pages.lock()))
    }
}

impl LogReader for SharedReading<'_> {
    fn identity(&self) -> LogIdentity {
        self.log.identity()
    }

    fn head(&self) -> Position {
        self.log.head()
    }

    fn durable_head(&self) -> Position {
        self.log.durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.log.wait_durable(position, timeout)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let page = self.log.read(read)?;
        let up_to = page.next().previous().min(read.to);
        let events = up_to.since(read.from.previous());
        self.pace.read(up_to.get(), events);
        let bytes = to_u64(page.memory_bytes());
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.plain.hand_out(&page, None);
        if let Some(pages) = &self.pages {
            pages.lock().push(page.clone());
        }
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

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.log.failed_parts(condition)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        self.log.find_event(id)
    }

    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        self.log.find_events(ids)
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        self.log.find_origins(origins)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.log.position_as_of(time)
    }
}
