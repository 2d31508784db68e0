//! A store in a folder, as commands that read ask it.

use std::time::Duration;

use serde_json::value::RawValue;
use spacefold::{
    Delivery, EventId, Position, Revision, Snapshot, Subscription, Timestamp,
    content::{ContentHash, ContentReader},
    event::EventFilter,
    log::ReadRequest,
    projection::{ActivityCount, ActivityFilter, Occurrence, OpenProblem, ProblemFilter},
};
use spacefold_event_core::bytes::to_usize;

use super::{
    look::info_of,
    printed_info::PrintedInfo,
    read_door::{
        ContentFailure, DoorLines, FollowedLines, ReadDoor, Take, TakeFollowed, TakeLines,
    },
    read_store::ReadStore,
    space_row::SpaceRow,
};
use crate::{error::Failure, interrupt};

/// How long nothing must come before it is looked for Ctrl-C, and for who reads the output.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How far back the first search goes; each further one goes twice as far.
const FIRST_SEARCH_EVENTS: u64 = 4_096;

/// How far back one search goes at the most, between two looks at Ctrl-C.
const MAX_SEARCH_EVENTS: u64 = 1 << 20;

impl ReadDoor for ReadStore {
    fn durable_head(&self) -> Result<Position, Failure> {
        Ok((**self).durable_head())
    }

    fn has_space(&self, space_id: &str) -> Result<bool, Failure> {
        Ok(self.log().revision(space_id)? != Revision::NONE)
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, Failure> {
        Ok(self.at(time).position()?)
    }

    fn snapshot(&self, space_id: &str, at: Option<Position>) -> Result<Snapshot, Failure> {
        match at {
            None => Ok((**self).snapshot(space_id)?),
            Some(at) => {
                self.at(at).snapshot(space_id).map_err(|error| Failure::of_state_at(error, at))
            }
        }
    }

    fn snapshots(
        &self,
        at: Option<Position>,
        take: &mut Take<'_, Snapshot>,
    ) -> Result<(), Failure> {
        let snapshots = match at {
            Some(at) => self.at(at).snapshots()?,
            None => (**self).snapshots(),
        };
        for snapshot in snapshots {
            interrupt::check()?;
            take(snapshot?)?;
        }
        Ok(())
    }

    fn spaces(&self, at: Option<Position>, take: &mut Take<'_, SpaceRow>) -> Result<(), Failure> {
        self.snapshots(at, &mut |snapshot| take(SpaceRow::of(&snapshot)))
    }

    fn diff(
        &self,
        space_id: &str,
        from: Position,
        to: Position,
    ) -> Result<Vec<Box<RawValue>>, Failure> {
        let changes = (**self).diff(space_id, from..to)?;
        let changes = changes
            .iter()
            .map(|change| serde_json::value::to_raw_value(change).expect("a change is valid JSON"));
        Ok(changes.collect())
    }

    fn blame(&self, space_id: &str, at: Position) -> Result<serde_json::Value, Failure> {
        let blame = self.at(at).blame(space_id);
        let blame = blame.map_err(|error| Failure::of_state_at(error, at))?;
        Ok(serde_json::to_value(&blame).expect("a blame is valid JSON"))
    }

    fn events(
        &self,
        (from, to): (Position, Position),
        filter: &EventFilter,
        take: &mut TakeLines<'_>,
    ) -> Result<(), Failure> {
        let read = ReadRequest::from(from).to(to).matching(filter.clone());
        self.export::<Failure>(read, &mut |lines| {
            interrupt::check()?;
            take(DoorLines { text: lines.text, next: lines.next })
        })
    }

    fn begin_of_newest(&self, filter: &EventFilter, wanted: u64) -> Result<Position, Failure> {
        let head = (**self).durable_head();
        if filter.is_all() || wanted == 0 {
            let before = head.since(Position::new(wanted));
            return Ok(Position::new(before).next());
        }
        let mut missing = to_usize(wanted);
        let mut to = head;
        let mut stretch = FIRST_SEARCH_EVENTS;
        while to > Position::START {
            interrupt::check()?;
            let before = Position::new(to.since(Position::new(stretch)));
            let found = self.positions(filter, (before.next(), to))?;
            if let Some(first) = found.len().checked_sub(missing) {
                return Ok(found.get(first).copied().unwrap_or(to));
            }
            missing -= found.len();
            to = before;
            stretch = (stretch * 2).min(MAX_SEARCH_EVENTS);
        }
        Ok(Position::START.next())
    }

    fn follow(
        &self,
        after: Position,
        filter: EventFilter,
        take: &mut TakeFollowed<'_>,
    ) -> Result<(), Failure> {
        let subscription = Subscription::after(after).matching(filter);
        let mut events = self.subscribe(subscription)?;
        let mut lines = Vec::new();
        loop {
            interrupt::check()?;
            match events.recv_timeout(LOOK_INTERVAL)? {
                Some(Delivery::Events(page)) => {
                    lines.clear();
                    for event in page.events() {
                        event?.write_json(&mut lines);
                        lines.push(b'\n');
                    }
                    take(FollowedLines::Lines(&lines))?;
                }
                Some(_) => {}
                None => take(FollowedLines::Quiet)?,
            }
        }
    }

    fn find_event(&self, id: EventId) -> Result<Option<String>, Failure> {
        let position = (**self).find_event(id)?;
        let page = position.map(|position| self.log().page_at(position)).transpose()?.flatten();
        let event = page.as_ref().and_then(|page| page.events().next()).transpose()?;
        Ok(event.map(|event| event.to_json()))
    }

    fn occurrences(&self, hash: &str) -> Result<Vec<Occurrence>, Failure> {
        Ok(self.projections().occurrences(hash)?)
    }

    fn activity(&self, filter: &ActivityFilter) -> Result<Vec<ActivityCount>, Failure> {
        Ok(self.projections().activity()?.counts(filter)?)
    }

    fn open_problems(&self, filter: &ProblemFilter) -> Result<Vec<OpenProblem>, Failure> {
        Ok(self.projections().open_problems()?.problems(filter)?)
    }

    fn open_content(&self, hash: &ContentHash) -> Result<ContentReader, ContentFailure> {
        Ok((**self).open_content(hash)?)
    }

    fn info(&self) -> Result<PrintedInfo, Failure> {
        info_of(self)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok((*self).close_store()?)
    }
}

impl ReadStore {
    fn positions(
        &self,
        filter: &EventFilter,
        (from, to): (Position, Position),
    ) -> Result<Vec<Position>, Failure> {
        let mut found = Vec::new();
        for page in self.log().pages(ReadRequest::from(from).to(to).matching(filter.clone())) {
            found.extend(page?.envelopes().map(|envelope| envelope.position));
        }
        Ok(found)
    }
}
