//! The log as it will be once everything is durable that has been taken so far.

use std::{cell::RefCell, sync::Arc};

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    EventId, EventQuery, Position, ReadError, ReadRequest, RecordedEvent, Records, Revision,
    StorageError, Timestamp, append_rules::AppendView, bytes::to_usize,
};

use crate::{ids::fresh::FreshIds, reader::recorded_event, run::RecordRun, shared::SharedStore};

/// What has been taken but is not durable, before the log that is.
pub(super) struct UndurableAppends {
    shared: Arc<SharedStore>,
    durable_head: Position,
    head: Position,
    last_recorded_at: Timestamp,
    revisions: RefCell<UndurableRevisions>,
    runs: Vec<RecordRun>,
    body_bytes: usize,
    /// The ids that are newer than the index of ids, once one was asked for: most programs that open a
    /// store read first.
    fresh_ids: RefCell<Option<FreshIds>>,
}

/// Where the first so many runs have brought their spaces. Brought up to all runs when it is asked:
/// for an append that is alone in its group that is never.
#[derive(Default)]
struct UndurableRevisions {
    runs: usize,
    reached: RapidHashMap<Box<str>, Revision>,
}

impl UndurableRevisions {
    fn of(&mut self, space_id: &str, runs: &[RecordRun]) -> Option<Revision> {
        for run in runs.get(self.runs..).unwrap_or_default() {
            for (space_id, _, after) in run.records.spaces() {
                match self.reached.get_mut(space_id) {
                    Some(revision) => *revision = after,
                    None => {
                        self.reached.insert(space_id.into(), after);
                    }
                }
            }
        }
        self.runs = runs.len();
        self.reached.get(space_id).copied()
    }
}

impl UndurableAppends {
    pub(super) fn new(shared: &Arc<SharedStore>) -> Self {
        let (durable_head, last_recorded_at) = {
            let view = shared.view();
            (view.durable_head(), view.last_recorded_at())
        };
        Self {
            shared: Arc::clone(shared),
            durable_head,
            head: durable_head,
            last_recorded_at,
            revisions: RefCell::default(),
            runs: Vec::new(),
            body_bytes: 0,
            fresh_ids: RefCell::default(),
        }
    }

    /// Takes a run of an append in.
    pub(super) fn push(&mut self, run: RecordRun) {
        self.push_ids(&run.records);
        self.head = run.records.last_position();
        self.last_recorded_at = run.records.last_recorded_at();
        self.body_bytes += run.body_bytes();
        self.runs.push(run);
    }

    /// Hands out everything: it is durable now.
    pub(super) fn take_durable(&mut self) -> std::vec::Drain<'_, RecordRun> {
        self.durable_head = self.head;
        self.revisions.take();
        self.body_bytes = 0;
        self.runs.drain(..)
    }

    pub(super) fn durable_head(&self) -> Position {
        self.durable_head
    }

    /// Bytes of what is not durable.
    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    fn records(&self) -> impl Iterator<Item = &Records> {
        self.runs.iter().map(|run| &run.records)
    }

    /// Takes the ids of an append in, if any are: they will be else when one is asked for.
    fn push_ids(&self, records: &Records) {
        if let Some(fresh) = self.fresh_ids.borrow_mut().as_mut()
            && fresh.end().next() == records.first_position()
        {
            fresh.extend(records.event_ids());
            let kept = self.shared.ids.end();
            if fresh.releases_at(kept) {
                fresh.release_through(kept.min(self.shared.ids.wanted_in_memory_after()));
            }
        }
    }

    /// Looks at the ids that the index of ids does not have, what is ahead included.
    fn look_at_fresh_ids<T>(&self, look: impl FnOnce(&mut FreshIds) -> T) -> Result<T, ReadError> {
        let mut kept = self.fresh_ids.borrow_mut();
        let fresh =
            kept.get_or_insert_with(|| FreshIds::after(self.shared.ids.wanted_in_memory_after()));
        while fresh.end() < self.durable_head {
            let next = fresh.end().next();
            let Some((first, ids)) = self.shared.event_ids_at(next)? else {
                let to = self.durable_head;
                return Err(ReadError::NothingGiven { position: next, to });
            };
            let known = to_usize(next.since(first));
            fresh.extend(ids.get(known..).unwrap_or_default());
        }
        if fresh.end() < self.head {
            for records in self.records() {
                if records.first_position() > fresh.end() {
                    fresh.extend(records.event_ids());
                }
            }
        }
        Ok(look(fresh))
    }
}

impl AppendView for UndurableAppends {
    fn head(&self) -> Position {
        self.head
    }

    fn last_recorded_at(&self) -> Timestamp {
        self.last_recorded_at
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        let own = self.revisions.borrow_mut().of(space_id, &self.runs);
        own.map_or_else(|| self.shared.revision(space_id), Ok)
    }

    fn find_any(
        &self,
        ids: &[EventId],
        after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError> {
        let (fresh, begin) =
            self.look_at_fresh_ids(|fresh| (fresh.find_any(ids), fresh.begin()))?;
        if begin <= after {
            return Ok(fresh);
        }
        // The look that is under way keeps this from happening: nobody is to wait for the index here.
        let what = format!("those after {after} are in memory after {begin} only");
        Err(StorageError::new("looking for event ids", what).into())
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
        query: &EventQuery,
        after: Position,
    ) -> Result<Option<(Position, EventId)>, ReadError> {
        let mut next = after.next();
        while next <= self.durable_head {
            let read =
                ReadRequest::from(next).to(self.durable_head).matching(query.clone()).limit(1);
            let page = self.shared.read(&read)?;
            page.check_progress(&read)?;
            if let Some(event) = page.envelopes().next() {
                return Ok(Some((event.position, event.event_id)));
            }
            next = page.next();
        }
        for records in self.records() {
            let selected = query.select(records)?;
            let mut envelopes = selected.into_iter().filter_map(|index| records.envelope(index));
            if let Some(event) = envelopes.find(|event| event.position > after) {
                return Ok(Some((event.position, event.event_id)));
            }
        }
        Ok(None)
    }
}
