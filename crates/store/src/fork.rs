//! Forking: a store of its own id with the events of another, at their positions, encoded anew.

use std::path::Path;

use spacefold_event_core::{
    LogIdentity, LogReader, Position, ReadRequest, StorageError, StoreMode, TimelineFork,
    TimelineId, Timestamp,
};
use uuid::Uuid;

use crate::{
    folder::now,
    follower::Follower,
    remake::{GoesOn, NewLog, RefusedEvent, RemakeError},
};

/// How a store is forked.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForkOptions {
    is_retimed: bool,
    mode: StoreMode,
}

impl ForkOptions {
    /// Gives events that were recorded in what is still the future another recording time: that which
    /// they say themselves, or, where that is in the future too, that of the event before. It mends what
    /// one session does whose clock was years ahead: all that is recorded after it has its time.
    #[must_use]
    pub const fn retime(mut self) -> Self {
        self.is_retimed = true;
        self
    }

    /// Who may read and change the files of the new store.
    #[must_use]
    pub const fn new_mode(&self) -> StoreMode {
        self.mode
    }

    /// Lets those read and change the files of the new store whom the mode lets: its owner alone, unless
    /// told.
    #[must_use]
    pub const fn mode(mut self, mode: StoreMode) -> Self {
        self.mode = mode;
        self
    }
}

/// What came of a [`fork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForkReport {
    /// The id of the store that was forked.
    pub store_id: [u8; 16],
    /// The id of the new one.
    pub new_store_id: [u8; 16],
    /// How many events both have.
    pub events: u64,
    /// How many of them have another recording time in the new one.
    pub retimed: u64,
}

/// Makes a store at `to`, of an id and a timeline of its own, of the durable events of another: at
/// their positions, with ids, revisions, times, tags and origins. It is on disk when this answers.
///
/// # Errors
/// [`RemakeError`], [`RemakeError::Read`] also where the log is damaged; what is at `to` then is no
/// whole store, and for the caller to remove.
///
/// # Cost
/// Reads and writes every event. Memory: some hundred bytes a space.
pub fn fork(
    from: &Follower,
    to: &Path,
    options: ForkOptions,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<ForkReport, RemakeError> {
    let (parent, head) = (from.identity(), from.durable_head());
    let fork = TimelineFork { parent: parent.timeline, position: head };
    let timeline = TimelineId::from_bytes(Uuid::new_v4().into_bytes());
    let identity = LogIdentity { log_id: parent.log_id, timeline, fork: Some(fork) };
    let origin = (from.store_id(), parent.timeline.to_bytes());
    let mut new = NewLog::create(to, identity, options.mode, origin)?;
    let clock = match options.is_retimed {
        true => Some(Retiming::of(from, head)?),
        false => None,
    };
    copy(from, head, &mut new, clock, goes_on)?;
    let report = ForkReport {
        store_id: from.store_id(),
        new_store_id: new.log().store_id(),
        events: new.events(),
        retimed: new.retimed,
    };
    new.close()?;
    Ok(report)
}

fn copy(
    from: &dyn LogReader,
    head: Position,
    new: &mut NewLog,
    mut clock: Option<Retiming>,
    goes_on: &mut GoesOn<'_>,
) -> Result<(), RemakeError> {
    for page in from.pages(ReadRequest::from(Position::START.next()).to(head)) {
        let page = page?;
        let bytes = page.memory_bytes() / page.len().max(1);
        for event in page.events() {
            let mut event = event?.to_owned_event();
            let recorded_at = event.recorded_at;
            if let Some(clock) = &mut clock {
                event.recorded_at = clock.time_of(recorded_at, event.event.timestamp);
                new.retimed += u64::from(event.recorded_at != recorded_at);
            }
            new.push(event, bytes)?;
        }
        if !goes_on(new.events()) {
            return Err(RemakeError::Stopped);
        }
    }
    new.flush()?;
    match new.refused.first() {
        Some(RefusedEvent { position, why }) => {
            let doing = format!("taking the event of position {position} into a new store");
            Err(StorageError::new(doing, why.clone()).into())
        }
        None => Ok(()),
    }
}

/// What gives events their times anew.
struct Retiming {
    now: Timestamp,
    last: Timestamp,
}

impl Retiming {
    /// Of a log up to a position. Events before the first that has a time of its own have that.
    fn of(log: &dyn LogReader, head: Position) -> Result<Self, RemakeError> {
        let now = now();
        for page in log.pages(ReadRequest::from(Position::START.next()).to(head)) {
            for event in page?.envelopes() {
                if let Some(last) = plausible(now, event.recorded_at, event.timestamp) {
                    return Ok(Self { now, last });
                }
            }
        }
        Ok(Self { now, last: now })
    }

    fn time_of(&mut self, recorded_at: Timestamp, timestamp: Timestamp) -> Timestamp {
        let time = plausible(self.now, recorded_at, timestamp);
        self.last = time.map_or(self.last, |time| time.max(self.last));
        self.last
    }
}

/// The recording time of an event, or its own, whichever is not in the future.
fn plausible(now: Timestamp, recorded_at: Timestamp, timestamp: Timestamp) -> Option<Timestamp> {
    [recorded_at, timestamp].into_iter().find(|time| *time <= now)
}
