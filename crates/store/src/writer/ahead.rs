//! The log as it will be once everything is durable that has been taken so far.

use rustc_hash::FxHashMap;
use spacefold_event_core::{
    EventFilter, EventId, Position, Read, ReadError, RecordedEvent, Records, Revision, Timestamp,
    append_rules::{AppendView, RetryWindow},
};
use std::cell::RefCell;

use crate::{
    shared::{Shared, recorded_event},
    view::tail::TailRun,
};

/// What has been taken but is not durable, before the log that is.
pub(super) struct Ahead<'s> {
    shared: &'s Shared,
    durable_head: Position,
    head: Position,
    last_recorded_at: Timestamp,
    revisions: FxHashMap<Box<str>, Revision>,
    runs: Vec<TailRun>,
    body_bytes: usize,
    /// Loaded by the first append that needs it.
    window: RefCell<Option<RetryWindow>>,
    retry_window_events: usize,
}

impl<'s> Ahead<'s> {
    pub(super) fn new(shared: &'s Shared, retry_window_events: usize) -> Self {
        let (durable_head, last_recorded_at) = {
            let view = shared.view();
            (view.durable_head(), view.last_recorded_at())
        };
        Self {
            shared,
            durable_head,
            head: durable_head,
            last_recorded_at,
            revisions: FxHashMap::default(),
            runs: Vec::new(),
            body_bytes: 0,
            window: RefCell::new(None),
            retry_window_events,
        }
    }

    /// Takes an append in.
    pub(super) fn push(&mut self, run: TailRun) {
        self.head = run.records.last_position();
        self.last_recorded_at = run.records.last_recorded_at();
        for (space_id, _, after) in run.records.spaces() {
            match self.revisions.get_mut(space_id) {
                Some(revision) => *revision = after,
                None => {
                    self.revisions.insert(space_id.into(), after);
                }
            }
        }
        if let Some(window) = self.window.get_mut() {
            run.records.event_ids().iter().for_each(|id| window.push(*id));
        }
        self.body_bytes += run.body_bytes;
        self.runs.push(run);
    }

    /// Hands out everything: it is durable now.
    pub(super) fn take_durable(&mut self) -> std::vec::Drain<'_, TailRun> {
        self.durable_head = self.head;
        self.revisions.clear();
        self.body_bytes = 0;
        self.runs.drain(..)
    }

    pub(super) fn durable_head(&self) -> Position {
        self.durable_head
    }

    pub(super) fn last_recorded_at(&self) -> Timestamp {
        self.last_recorded_at
    }

    /// Bytes of what is not durable.
    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    fn records(&self) -> impl Iterator<Item = &Records> {
        self.runs.iter().map(|run| &run.records)
    }

    /// Loads the ids of the newest events, those ahead included.
    fn load_window(&self) -> Result<RetryWindow, ReadError> {
        let events = u64::try_from(self.retry_window_events).unwrap_or(u64::MAX);
        let before = Position::new(self.durable_head.since(Position::new(events)));
        let mut window = RetryWindow::new(self.retry_window_events, before);
        let mut next = before.next();
        while next <= self.durable_head {
            let Some(records) = self.shared.records_at(next)? else {
                break;
            };
            let skipped = next.since(records.first_position());
            let ids = records.event_ids().iter().skip(usize::try_from(skipped).unwrap_or(0));
            ids.for_each(|id| window.push(*id));
            next = records.last_position().next();
        }
        self.records().flat_map(Records::event_ids).for_each(|id| window.push(*id));
        Ok(window)
    }
}

impl AppendView for Ahead<'_> {
    fn head(&self) -> Position {
        self.head
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        let own = self.revisions.get(space_id).copied();
        Ok(own.unwrap_or_else(|| self.shared.view().revision(space_id)))
    }

    fn position_of(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Result<Option<Position>, ReadError> {
        if let Some(position) = self.shared.position_of(space_id, revision)? {
            return Ok(Some(position));
        }
        let mut envelopes = self.records().flat_map(Records::envelopes);
        let found = envelopes.find(|e| e.space_id == space_id && e.revision == revision);
        Ok(found.map(|event| event.position))
    }

    fn find(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        let mut slot = self.window.borrow_mut();
        let window = match &mut *slot {
            Some(window) => window,
            empty => empty.insert(self.load_window()?),
        };
        Ok(window.find(id))
    }

    fn event(&self, position: Position) -> Result<Option<RecordedEvent>, ReadError> {
        if position <= self.durable_head {
            return self.shared.event(position);
        }
        let holds = |records: &&Records| {
            (records.first_position()..=records.last_position()).contains(&position)
        };
        self.records().find(holds).map_or(Ok(None), |records| recorded_event(records, position))
    }

    fn first_match(
        &self,
        filter: &EventFilter,
        after: Position,
    ) -> Result<Option<(Position, EventId)>, ReadError> {
        let mut next = after.next();
        while next <= self.durable_head {
            let page = self.shared.read(&Read::from(next).matching(filter.clone()).limit(1))?;
            if let Some(event) = page.envelopes().next() {
                return Ok(Some((event.position, event.event_id)));
            }
            next = page.next();
        }
        for records in self.records() {
            let selected = filter.select(records);
            let position = records.first_position();
            let selected = selected.map_err(|cause| ReadError::Corrupt { position, cause })?;
            let mut envelopes = selected.into_iter().filter_map(|index| records.envelope(index));
            if let Some(event) = envelopes.find(|event| event.position > after) {
                return Ok(Some((event.position, event.event_id)));
            }
        }
        Ok(None)
    }
}
