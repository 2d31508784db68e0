//! A log that is made anew of the events of another: ids, spaces, times, tags and origins stay, and
//! everything is encoded anew. Of a log with gaps what lies behind one gets lower positions and
//! revisions, and says in its origin where it was.

use std::{
    hash::Hash,
    io, mem,
    path::{Path, PathBuf},
    time::Duration,
};

use rapidhash::{RapidHashMap, RapidHashSet};
use spacefold_event_core::{
    AppendError, ContentError, EventId, EventOrigin, LimitExceeded, LogIdentity, LogReader as _,
    LogWriter as _, Position, ReadError, RecordedEvent, Revision, StorageError, StoreMode,
    Timestamp,
};

use crate::{
    embedded_log::EmbeddedLog,
    error::OpenError,
    options::{Durability, StoreOptions},
};

/// Events that are taken together.
const BATCH_EVENTS: usize = 2_048;
/// Bytes of bodies after which they are taken.
const BATCH_BYTES: usize = 2 << 20;
/// How often what was taken is synced: the log counts once it is closed.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// Why no log was made of the events of another. Nothing is changed there, whatever happens; what stands
/// where the new one was to be is no whole store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemakeError {
    /// There is no folder at the path, or it cannot be listed.
    #[error("{} cannot be listed: {cause}; nothing was made", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Nothing of a store is in the folder.
    #[error("no whole event of a store is in {}; nothing was made", path.display())]
    NothingThere {
        /// The folder.
        path: PathBuf,
    },
    /// Something is where the new store is to be.
    #[error("{} is there and not empty, or no folder: name one that is not there; nothing was made", path.display())]
    Taken {
        /// The path.
        path: PathBuf,
    },
    /// The new store would be in the folder that is read, in which nothing is changed.
    #[error("{} is in the folder that is read: name one outside; nothing was made", path.display())]
    Inside {
        /// The path.
        path: PathBuf,
    },
    /// The new store cannot be made, or the one that it is made of cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new store does not take an event.
    #[error("the new store takes no more: {0}")]
    Append(#[from] AppendError),
    /// A log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The content of the new store cannot be written.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The caller has ended it.
    #[error("it was stopped; there is no new store")]
    Stopped,
}

/// What is asked now and then, with the number of events that were taken: whether to go on.
pub(crate) type GoesOn<'a> = dyn FnMut(u64) -> bool + 'a;

/// An event that a new log does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedEvent {
    /// Its position in the log that it comes from.
    pub position: Position,
    /// Why not.
    pub why: String,
}

/// A stretch of events of one space that are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostRevisions {
    /// The space.
    pub space_id: String,
    /// The revision of the first, in the log that they are missing from.
    pub first: Revision,
    /// The revision of the last.
    pub last: Revision,
    /// They were behind this position, [`Position::START`] where the space has no event before.
    pub after: Position,
    /// They were before this position.
    pub before: Position,
}

/// Events that follow each other, where they were and where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovedStretch {
    /// The position of the first one in the log that they come from.
    pub was: Position,
    /// Its position in the new log.
    pub is: Position,
    /// How many they are.
    pub count: u64,
}

/// Adds an event to the stretches.
fn note_place(stretches: &mut Vec<MovedStretch>, was: Position, is: Position) {
    match stretches.last_mut() {
        Some(last) if last.was.plus(last.count) == was && last.is.plus(last.count) == is => {
            last.count += 1;
        }
        _ => stretches.push(MovedStretch { was, is, count: 1 }),
    }
}

/// What is known of a space.
#[derive(Clone, Copy, Debug, Default)]
struct SpaceProgress {
    /// Its revision where its events come from, and the position of that event there.
    old: (Revision, Position),
    /// Its revision in the new log.
    new: Revision,
}

/// The new log, being written.
pub(crate) struct NewLog {
    log: EmbeddedLog,
    /// The store and the timeline where the events come from.
    origin: ([u8; 16], [u8; 16]),
    spaces: RapidHashMap<String, SpaceProgress>,
    batch: Vec<RecordedEvent>,
    batch_bytes: usize,
    last_time: Timestamp,
    pub(crate) lost: Vec<LostRevisions>,
    /// Where the events were, and where they are.
    pub(crate) stretches: Vec<MovedStretch>,
    /// Events that were recorded before their predecessor, and have its time.
    pub(crate) retimed: u64,
    /// Events that the new log does not take, since it has others of their ids or origins, or since they
    /// are past today's limits.
    pub(crate) refused: Vec<RefusedEvent>,
}

impl NewLog {
    /// Makes the log in a folder that is absent or empty. Its events come of a store and its timeline.
    pub(crate) fn create(
        path: &Path,
        identity: LogIdentity,
        mode: StoreMode,
        origin: ([u8; 16], [u8; 16]),
    ) -> Result<Self, OpenError> {
        let options =
            StoreOptions::default().durability(Durability::Interval(SYNC_INTERVAL)).mode(mode);
        Ok(Self {
            log: EmbeddedLog::create_as(path, &options, identity)?,
            origin,
            spaces: RapidHashMap::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            last_time: Timestamp::MIN,
            lost: Vec::new(),
            stretches: Vec::new(),
            retimed: 0,
            refused: Vec::new(),
        })
    }

    /// The log itself.
    pub(crate) const fn log(&self) -> &EmbeddedLog {
        &self.log
    }

    /// How many events it has.
    pub(crate) fn events(&self) -> u64 {
        self.log.head().get()
    }

    /// Takes the next event as it was recorded; some bytes of its body say how large it is, about.
    pub(crate) fn push(&mut self, event: RecordedEvent, bytes: usize) -> Result<(), AppendError> {
        self.note_revision(&event);
        self.batch.push(event);
        self.batch_bytes += bytes;
        if self.batch.len() >= BATCH_EVENTS || self.batch_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Notes which events of the space are missing before this one.
    fn note_revision(&mut self, event: &RecordedEvent) {
        let space_id = &event.event.space_id;
        let mut progress = self.spaces.get(space_id).copied().unwrap_or_default();
        let (before, after) = progress.old;
        let first = before.next();
        if event.revision > first {
            self.lost.push(LostRevisions {
                space_id: space_id.clone(),
                first,
                last: event.revision.previous(),
                after,
                before: event.position,
            });
        }
        progress.old = (event.revision, event.position);
        match self.spaces.get_mut(space_id) {
            Some(known) => *known = progress,
            None => drop(self.spaces.insert(space_id.clone(), progress)),
        }
    }

    /// Takes what was pushed.
    pub(crate) fn flush(&mut self) -> Result<(), AppendError> {
        self.batch_bytes = 0;
        let mut waiting = vec![mem::take(&mut self.batch)];
        while let Some(batch) = waiting.pop() {
            match self.take(&batch) {
                Ok(()) => {}
                Err(error) => match self.without_offenders(batch, error)? {
                    (first, Some(second)) => waiting.extend([second, first]),
                    (first, None) => waiting.push(first),
                },
            }
        }
        Ok(())
    }

    /// Numbers a batch as the new log does, and has it taken.
    fn take(&mut self, batch: &[RecordedEvent]) -> Result<(), AppendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut position = self.log.head();
        let mut reached: RapidHashMap<&str, Revision> = RapidHashMap::default();
        let mut last_time = self.last_time;
        let mut numbered = Vec::with_capacity(batch.len());
        for event in batch {
            position = position.next();
            last_time = last_time.max(event.recorded_at);
            let space_id = event.event.space_id.as_str();
            let known = || self.spaces.get(space_id).map_or(Revision::NONE, |space| space.new);
            let revision = reached.entry(space_id).or_insert_with(known);
            *revision = revision.next();
            let mut taken = event.clone();
            (taken.revision, taken.recorded_at, taken.position) = (*revision, last_time, position);
            if position != event.position {
                taken.event.origin = Some(self.origin_of(event));
            }
            numbered.push(taken);
        }
        self.log.ingest(&numbered)?;
        for (event, taken) in batch.iter().zip(&numbered) {
            self.retimed += u64::from(event.recorded_at != taken.recorded_at);
            note_place(&mut self.stretches, event.position, taken.position);
        }
        self.last_time = last_time;
        for (space_id, revision) in reached {
            if let Some(space) = self.spaces.get_mut(space_id) {
                space.new = revision;
            }
        }
        Ok(())
    }

    /// A batch that was refused, without the events that it was refused for, or in halves.
    fn without_offenders(
        &mut self,
        mut batch: Vec<RecordedEvent>,
        error: AppendError,
    ) -> Result<(Vec<RecordedEvent>, Option<Vec<RecordedEvent>>), AppendError> {
        let before = batch.len();
        match &error {
            AppendError::Limit { limit: LimitExceeded::AppendTooLarge { .. }, .. }
                if before > 1 =>
            {
                let second = batch.split_off(before / 2);
                return Ok((batch, Some(second)));
            }
            AppendError::Limit { index, .. } if *index < before => {
                self.refuse(&batch.remove(*index), error.to_string());
            }
            AppendError::EventIdReused { .. } | AppendError::DuplicateEventId { .. } => {
                let ids: Vec<EventId> = batch.iter().map(|event| event.event.event_id).collect();
                self.keep_new(&mut batch, &self.log.find_events(&ids)?, &ids, "its id");
            }
            AppendError::OriginReused { .. } | AppendError::DuplicateOrigin { .. } => {
                let origins: Vec<EventOrigin> =
                    batch.iter().map(|event| self.origin_of(event)).collect();
                self.keep_new(
                    &mut batch,
                    &self.log.find_origins(&origins)?,
                    &origins,
                    "its origin",
                );
            }
            _ => {}
        }
        if batch.len() < before { Ok((batch, None)) } else { Err(error) }
    }

    /// Keeps of a batch what the log does not have, once.
    fn keep_new<K: Copy + Eq + Hash>(
        &mut self,
        batch: &mut Vec<RecordedEvent>,
        found: &[Option<Position>],
        keys: &[K],
        what: &str,
    ) {
        let mut seen = RapidHashSet::default();
        let mut known = keys.iter().zip(found);
        let refused = &mut self.refused;
        batch.retain(|event| {
            let Some((key, found)) = known.next() else { return true };
            let is_new = found.is_none() && seen.insert(*key);
            if !is_new {
                let why = format!("another event has {what}");
                refused.push(RefusedEvent { position: event.position, why });
            }
            is_new
        });
    }

    fn refuse(&mut self, event: &RecordedEvent, why: String) {
        self.refused.push(RefusedEvent { position: event.position, why });
    }

    /// The origin that an event has, or would have, in the new log.
    fn origin_of(&self, event: &RecordedEvent) -> EventOrigin {
        let (store_id, timeline) = self.origin;
        let own = EventOrigin { store_id, timeline, position: event.position };
        event.event.origin.unwrap_or(own)
    }

    /// Closes the log; it is on disk then.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        self.log.close()
    }
}
