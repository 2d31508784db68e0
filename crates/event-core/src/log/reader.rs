//! The reading half of a log.

use std::{fmt, ops::Deref, time::Duration};

use super::{ReadRequest, identity::LogIdentity, page::Page};
use crate::{
    condition::{AppendCondition, FailedCondition},
    event_id::EventId,
    origin::EventOrigin,
    position::{Position, Revision},
    read_error::ReadError,
    timestamp::Timestamp,
};

/// Which log something was made from: beside positions and ids of events, which other logs may have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOrigin {
    /// The identity of the log.
    pub store_id: [u8; 16],
    /// The number of the session that had written to it last; sessions of copies that go on apart have
    /// other numbers.
    pub session: u64,
}

/// What can be read of an ordered log of space events: nothing can be appended through it.
///
/// Positions are consecutive from 1. Nothing past the durable head is ever read. Calls block and may
/// be made from any thread; nothing they return pins storage, so that the trait can be implemented
/// over a network.
pub trait LogReader: Send + Sync {
    /// The position of the last event that the log has taken.
    fn head(&self) -> Position;

    /// The position of the last event that is known to be durable: nothing past it is read.
    fn durable_head(&self) -> Position;

    /// Waits until the durable head is at `position` or beyond, or `timeout` has passed; answers
    /// the durable head.
    ///
    /// # Errors
    /// [`ReadError::Closed`] when the log closed before the durable head got there.
    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError>;

    /// Reads a page of events in order of position; [`LogReader::pages`] reads on to the end.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it. [`ReadError::NothingAsked`] of a read that no
    /// page could satisfy: it comes of [`ReadRequest::check`], before anything is read.
    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError>;

    /// The pages of a read, up to the durable head as it is now: the loop for reading on. A log
    /// that gives nothing on the way is [`ReadError::NothingGiven`], never the end.
    fn pages(&self, read: ReadRequest) -> Pages<'_> {
        Pages::of(self, read)
    }

    /// The page of the one event at a position; `None` where nothing is durable.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::NothingGiven`] when the log has a durable event there and does not
    /// give it.
    fn page_at(&self, position: Position) -> Result<Option<Page>, ReadError> {
        self.pages(ReadRequest::from(position).to(position).limit(1)).next().transpose()
    }

    /// Reads a page of one space's events from revision `from` on, at most `limit`; an empty page
    /// means that there are none.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it. [`ReadError::NothingAsked`] where `limit` is 0.
    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError>;

    /// The revision of a space at the durable head; [`Revision::NONE`] when it has no event.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    fn revision(&self, space_id: &str) -> Result<Revision, ReadError>;

    /// The revision of a space at the head: of what the log has taken, durable or not.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError>;

    /// The parts of a condition that do not hold for what the log has taken, durable or not, each
    /// with what was found instead; none when an append under it would happen now. All parts are
    /// looked at in one state of the log. Another append may come first, so that it is the append
    /// that decides.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{
    ///     AppendCondition, SpaceEvent, log::{AppendRequest, FailedCondition, MemoryLog}, prelude::*,
    /// };
    /// let log = MemoryLog::new();
    /// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
    /// let failed = log.failed_parts(&AppendCondition::no_space("handbook"))?;
    /// let [FailedCondition::Revision { current, .. }] = &failed[..] else { unreachable!() };
    /// assert_eq!(current.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError>;

    /// Where the event with this id is, anywhere in the log: one that the log has taken, durable or
    /// not. `None` says that no event has the id, so that an append may bring it.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{EventId, Position, SpaceEvent, log::{AppendRequest, MemoryLog}, prelude::*};
    /// let log = MemoryLog::new();
    /// let event = SpaceEvent::space_created("handbook", "Handbook");
    /// log.append(&AppendRequest::new(std::slice::from_ref(&event)))?;
    /// assert_eq!(log.find_event(event.event_id)?, Some(Position::new(1)));
    /// assert_eq!(log.find_event(EventId::new())?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError>;

    /// As [`LogReader::find_event`], of several ids: where the event of each is, all of one state
    /// of the log or a later one.
    ///
    /// # Errors
    /// As [`LogReader::find_event`].
    ///
    /// # Cost
    /// That of a look for each id; as provided, that of a call for each.
    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        ids.iter().map(|id| self.find_event(*id)).collect()
    }

    /// Where the event of each of these origins is: one that the log has taken, durable or not. `None`
    /// says that no event comes from there, so that an append may bring it.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    ///
    /// # Cost
    /// That of a look for each.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{
    ///     Position, SpaceEvent, event::EventOrigin, log::{AppendRequest, MemoryLog}, prelude::*,
    /// };
    /// let log = MemoryLog::new();
    /// let position = Position::new(7);
    /// let origin = EventOrigin { store_id: [1; 16], timeline: [2; 16], position };
    /// let event = SpaceEvent::space_created("handbook", "Handbook").with_origin(origin);
    /// log.append(&AppendRequest::new(&[event]))?;
    /// assert_eq!(log.find_origins(&[origin])?, [Some(Position::new(1))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError>;

    /// Whether what the log has taken, durable or not, meets a condition: whether
    /// [no part of it fails](LogReader::failed_parts).
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{AppendCondition, SpaceEvent, log::{AppendRequest, MemoryLog}, prelude::*};
    /// let log = MemoryLog::new();
    /// let condition = AppendCondition::no_space("handbook");
    /// assert!(log.meets(&condition)?);
    /// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
    /// assert!(!log.meets(&condition)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn meets(&self, condition: &AppendCondition) -> Result<bool, ReadError> {
        Ok(self.failed_parts(condition)?.is_empty())
    }

    /// The last position whose event was recorded at or before `time`.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError>;

    /// Under which id the log began, and which course its events have taken since: what stays the same
    /// for the life of a log, and is another in every other one. Cost: none, it is in memory.
    ///
    /// # Examples
    /// ```
    /// use spacefold::log::{LogReader, MemoryLog};
    /// let (first, second) = (MemoryLog::new(), MemoryLog::new());
    /// assert_eq!(first.identity(), first.identity());
    /// assert_ne!(first.identity().log_id, second.identity().log_id);
    /// ```
    fn identity(&self) -> LogIdentity;

    /// Which log this is, and who has written to it last; `None` for a log that has no identity, as one
    /// in memory.
    ///
    /// Everything that is durable by now was written by that session or an earlier one.
    fn origin(&self) -> Option<LogOrigin> {
        None
    }

    /// Whether what was made of the events of a log when that had this origin was made of events of this
    /// log: `false` of another log, and of a copy of this one that has gone on apart, whatever events they
    /// have in common.
    fn comes_from(&self, _origin: &LogOrigin) -> bool {
        false
    }

    /// The next `limit` spaces that have an event up to the durable head, by the bytes of their ids,
    /// behind `after`; fewer only when there are no more.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    ///
    /// # Cost
    /// As provided, a reading of the whole log, and memory for twice as many ids. Logs that know
    /// their spaces look at each id once.
    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        spaces_of(self.pages(ReadRequest::from(Position::new(1))), after, limit)
    }
}

/// The next `limit` spaces of all pages of a log.
pub fn spaces_of(
    pages: Pages<'_>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, ReadError> {
    let mut least: Vec<String> = Vec::new();
    for page in pages {
        let page = page?;
        let known = least.iter().map(String::as_str);
        let ids = known.chain(page.envelopes().map(|envelope| envelope.space_id));
        least = least_after(ids, after, limit);
    }
    Ok(least)
}

type ReadPage<'a> = dyn Fn(&ReadRequest) -> Result<Page, ReadError> + Send + Sync + 'a;

/// The pages of a read, one after the other, up to the durable head as it was at the beginning.
///
/// Each page leads beyond the one before. A log that has a head and gives nothing on the way to it
/// is an error, never the end: what counts, marks or folds must not take a part for the whole.
/// Pages may be empty, since a filter passes over much; they say how far the read has come. The
/// first error ends it.
///
/// ```
/// use spacefold::{Position, SpaceEvent, log::{AppendRequest, LogReader, LogWriter, MemoryLog, ReadRequest}};
/// let log = MemoryLog::new();
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// let mut events = 0;
/// for page in log.pages(ReadRequest::from(Position::new(1)).limit(100)) {
///     events += page?.len();
/// }
/// assert_eq!(events, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pages<'a> {
    read_page: Box<ReadPage<'a>>,
    /// What is left to be read.
    read: ReadRequest,
    has_ended: bool,
}

impl<'a> Pages<'a> {
    /// The pages of this read: of a reference to the log, as [`LogReader::pages`] gives them, or of a
    /// handle that owns it.
    #[must_use]
    pub fn of<L>(log: L, mut read: ReadRequest) -> Self
    where
        L: Deref<Target: LogReader> + Send + Sync + 'a,
    {
        read.to = read.to.min(log.durable_head());
        read.from = read.from.max(Position::new(1));
        Self { read_page: Box::new(move |read| log.read(read)), read, has_ended: false }
    }

    /// The first position that has not been looked at.
    #[must_use]
    pub const fn next_position(&self) -> Position {
        self.read.from
    }

    /// The last position that is read.
    #[must_use]
    pub const fn last_position(&self) -> Position {
        self.read.to
    }

    fn read_on(&mut self) -> Result<Page, ReadError> {
        let page = (self.read_page)(&self.read)?;
        page.check_progress(&self.read)?;
        self.read.from = page.next();
        Ok(page)
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Page, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended || self.read.from > self.read.to {
            return None;
        }
        let page = self.read_on();
        self.has_ended = page.is_err();
        Some(page)
    }
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, has_ended, .. } = self;
        f.debug_struct("Pages").field("read", read).field("has_ended", has_ended).finish()
    }
}

/// The first `limit` of these texts that are behind `after`, each once, sorted. Cost: a look at each,
/// and memory for twice as many as are asked for.
#[must_use]
pub fn least_after<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    after: Option<&str>,
    limit: usize,
) -> Vec<String> {
    let mut least: Vec<&str> = Vec::new();
    let mut last: Option<&str> = None;
    for text in texts {
        if after.is_some_and(|after| text <= after) || last.is_some_and(|last| text > last) {
            continue;
        }
        least.push(text);
        if least.len() >= limit.saturating_mul(2).max(64) {
            keep_least(&mut least, limit);
            last = least.last().copied().filter(|_| least.len() >= limit);
        }
    }
    keep_least(&mut least, limit);
    least.into_iter().map(str::to_owned).collect()
}

fn keep_least(texts: &mut Vec<&str>, limit: usize) {
    texts.sort_unstable();
    texts.dedup();
    texts.truncate(limit);
}

#[cfg(test)]
mod tests;
