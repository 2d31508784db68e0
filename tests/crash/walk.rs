//! What a log holds, event by event, compared with the workload it was made of.

use std::collections::{BTreeMap, BTreeSet};

use spacefold_event_core::{
    EventId, LogReader, Position, ReadError, ReadRequest, RecordedEventRef, SpaceEvent, Timestamp,
};
use spacefold_state::SpaceStates;

use crate::{
    history::History,
    message::{Acknowledged, Place},
    workload::{AppendKey, Workload},
};

/// What a log holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The appends, in order.
    pub appends: Vec<Acknowledged>,
    /// The positions of the events of each space.
    pub spaces: BTreeMap<String, Vec<Position>>,
    /// The states that its events fold to.
    pub states: SpaceStates,
}

impl Contents {
    /// The position of the last event.
    #[must_use]
    pub fn head(&self) -> Position {
        let last = self.appends.last().map(|append| append.place);
        last.map_or(Position::START, |place| place.first.plus(place.count).previous())
    }
}

/// What is wrong with the events of a log.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The log does not read.
    #[error("position {position} does not read: {cause}")]
    Read {
        /// From where on.
        position: Position,
        /// Why.
        cause: ReadError,
    },
    /// Positions are not dense.
    #[error("position {found} follows where {expected} should be")]
    Position {
        /// The one that should be there.
        expected: Position,
        /// The one that is.
        found: Position,
    },
    /// An event that nobody appended.
    #[error("event {id} at position {position} is nobody's")]
    Foreign {
        /// Its id.
        id: EventId,
        /// Where it is.
        position: Position,
    },
    /// An append is not whole, or not in one piece.
    #[error("{key} is torn at position {position}")]
    Torn {
        /// Which.
        key: AppendKey,
        /// Where it breaks off.
        position: Position,
    },
    /// An event differs from what was appended.
    #[error("the event at position {position} is not what {key} appended")]
    Altered {
        /// Which append it is of.
        key: AppendKey,
        /// Where it is.
        position: Position,
    },
    /// An append is stored twice.
    #[error("{key} is stored a second time at position {position}")]
    Twice {
        /// Which.
        key: AppendKey,
        /// Where it is again.
        position: Position,
    },
    /// An append is there without the one its writer made before.
    #[error("{key} is there without append {missing} of its writer")]
    Skipped {
        /// Which.
        key: AppendKey,
        /// The one that is missing.
        missing: u32,
    },
    /// Revisions are not dense, or recording times go back.
    #[error("the event at position {position} has the wrong {what}")]
    Numbering {
        /// Where it is.
        position: Position,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Reads a whole log and compares it with the workload that it was made of.
///
/// # Errors
/// [`WalkError`] at the first thing that is wrong.
pub fn walk(log: &dyn LogReader, history: &History) -> Result<Contents, WalkError> {
    let mut walk = Walk::new(history);
    let head = log.durable_head();
    for page in log.pages(ReadRequest::from(Position::START.next()).to(head)) {
        let position = walk.next;
        let page = page.map_err(|cause| WalkError::Read { position, cause })?;
        for event in page.events() {
            let position = walk.next;
            let event = event.map_err(|cause| WalkError::Read { position, cause })?;
            walk.take(&event)?;
        }
    }
    if walk.next != head.next() {
        return Err(WalkError::Position { expected: head.next(), found: walk.next });
    }
    walk.finish()
}

struct Walk<'h> {
    history: &'h History,
    workload: Workload,
    contents: Contents,
    next: Position,
    /// The append whose events are next.
    current: Option<Current>,
    keys: BTreeSet<(u32, u32)>,
    /// The next append of each writer.
    writers: BTreeMap<u32, u32>,
    last_recorded_at: Timestamp,
}

struct Current {
    key: AppendKey,
    first: Position,
    events: std::vec::IntoIter<SpaceEvent>,
}

impl<'h> Walk<'h> {
    fn new(history: &'h History) -> Self {
        Self {
            history,
            workload: history.workload(),
            contents: Contents::default(),
            next: Position::START.next(),
            current: None,
            keys: BTreeSet::new(),
            writers: BTreeMap::new(),
            last_recorded_at: Timestamp::MIN,
        }
    }

    fn take(&mut self, event: &RecordedEventRef<'_>) -> Result<(), WalkError> {
        let position = event.position;
        if position != self.next {
            return Err(WalkError::Position { expected: self.next, found: position });
        }
        self.next = position.next();
        self.compare(event)?;
        self.number(event)?;
        self.contents.states.apply(event);
        Ok(())
    }

    /// Compares an event with the one that the workload has in its place.
    fn compare(&mut self, event: &RecordedEventRef<'_>) -> Result<(), WalkError> {
        let position = event.position;
        let found = self.workload.key_of(event.event_id);
        let (key, index) = found.ok_or(WalkError::Foreign { id: event.event_id, position })?;
        let mut current = match self.current.take() {
            Some(current) if current.key == key => current,
            Some(Current { key, .. }) => return Err(WalkError::Torn { key, position }),
            None => self.begin(key, index, position)?,
        };
        if position.since(current.first) != u64::from(index) {
            return Err(WalkError::Torn { key, position });
        }
        let is_whole = match current.events.next() {
            Some(expected) if event.has_content_of(&expected) => current.events.len() == 0,
            _ => return Err(WalkError::Altered { key, position }),
        };
        if is_whole {
            let place = Place { first: current.first, count: u64::from(index) + 1 };
            self.contents.appends.push(Acknowledged { key, place });
        } else {
            self.current = Some(current);
        }
        Ok(())
    }

    /// Begins an append with its first event.
    fn begin(&mut self, key: AppendKey, index: u16, first: Position) -> Result<Current, WalkError> {
        if !self.keys.insert((key.writer, key.n)) {
            return Err(WalkError::Twice { key, position: first });
        }
        if index != 0 {
            return Err(WalkError::Torn { key, position: first });
        }
        let next = self.writers.entry(key.writer).or_default();
        let missing = (*next..key.n).find(|n| !self.history.has_failed(key.writer, *n));
        if let Some(missing) = missing {
            return Err(WalkError::Skipped { key, missing });
        }
        *next = key.n.saturating_add(1);
        Ok(Current { key, first, events: self.workload.events(key).into_iter() })
    }

    /// Checks what the log gave the event.
    fn number(&mut self, event: &RecordedEventRef<'_>) -> Result<(), WalkError> {
        let position = event.position;
        let wrong = |what| Err(WalkError::Numbering { position, what });
        let space = self.contents.spaces.entry(event.space_id.to_owned()).or_default();
        space.push(position);
        if usize::try_from(event.revision.get()) != Ok(space.len()) {
            return wrong("revision");
        }
        if event.recorded_at < self.last_recorded_at {
            return wrong("recording time");
        }
        self.last_recorded_at = event.recorded_at;
        Ok(())
    }

    fn finish(self) -> Result<Contents, WalkError> {
        match self.current {
            Some(Current { key, .. }) => Err(WalkError::Torn { key, position: self.next }),
            None => Ok(self.contents),
        }
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::{AppendRequest, LogWriter as _, MemoryLog};

    use super::*;
    use crate::workload::Profile;

    const SEED: u64 = 7;

    fn key(writer: u32, n: u32) -> AppendKey {
        AppendKey { writer, n, profile: Profile::Bulk }
    }

    fn events(writer: u32, n: u32) -> Vec<SpaceEvent> {
        Workload::new(SEED).events(key(writer, n))
    }

    /// Walks a log of these appends.
    fn walked(appends: &[&[SpaceEvent]]) -> Result<Contents, WalkError> {
        let log = MemoryLog::new();
        for events in appends {
            log.append(&AppendRequest::new(events)).unwrap();
        }
        walk(&log, &History::new(SEED))
    }

    #[test]
    fn whole_appends_are_found_in_their_places() {
        let (first, second, third) = (events(1, 0), events(2, 0), events(1, 1));
        let contents = walked(&[&first, &second, &third]).unwrap();
        let keys: Vec<_> = contents.appends.iter().map(|append| append.key).collect();
        assert_eq!(keys, [key(1, 0), key(2, 0), key(1, 1)]);
        let head = first.len() + second.len() + third.len();
        assert_eq!(contents.head(), Position::new(u64::try_from(head).unwrap()));
        let listed: usize = contents.spaces.values().map(Vec::len).sum();
        assert_eq!(listed, head);
    }

    #[test]
    fn what_is_wrong_is_found() {
        let (first, second) = (events(1, 0), events(2, 0));
        let begin = &first[..first.len() - 1];
        assert!(matches!(walked(&[begin]), Err(WalkError::Torn { .. })));
        assert!(matches!(walked(&[begin, &second]), Err(WalkError::Torn { .. })));
        assert!(matches!(walked(&[&first[1..]]), Err(WalkError::Torn { .. })));
        let hole = [&first[..3], &first[4..]].concat();
        assert!(matches!(
            walked(&[&hole]),
            Err(WalkError::Torn { .. } | WalkError::Altered { .. })
        ));
        let interleaved = [&first[..3], &second[..3], &first[3..]].concat();
        assert!(matches!(walked(&[&interleaved]), Err(WalkError::Torn { .. })));
        assert!(matches!(walked(&[&events(1, 1)]), Err(WalkError::Skipped { missing: 0, .. })));
        let mut altered = first.clone();
        altered[5].timestamp = Timestamp::MIN;
        assert!(matches!(walked(&[&altered]), Err(WalkError::Altered { .. })));
        let foreign = [SpaceEvent::space_activated("foreign")];
        assert!(matches!(walked(&[&first, &foreign]), Err(WalkError::Foreign { .. })));
    }
}
