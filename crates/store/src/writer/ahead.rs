//! The log as it will be once everything is durable that has been taken so far.

use std::{cell::RefCell, sync::Arc};

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    EventFilter, EventId, EventOrigin, EventQuery, Position, ReadError, ReadRequest, RecordedEvent,
    Records, Revision, StorageError, Timestamp, append_rules::AppendView, bytes::to_usize,
};

use crate::{
    event_keys::{EventKeys, KeyedOrigin},
    ids::fresh::FreshIds,
    reader::recorded_event,
    run::RecordRun,
    run_postings::RunPostings,
    shared::SharedStore,
};

/// What has been taken but is not durable, before the log that is.
pub(crate) struct UndurableAppends {
    shared: Arc<SharedStore>,
    durable_head: Position,
    head: Position,
    last_recorded_at: Timestamp,
    revisions: RefCell<UndurableRevisions>,
    postings: RefCell<UndurablePostings>,
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

/// What the first so many runs hold. Brought up to all runs when it is asked, as revisions are.
struct UndurablePostings {
    runs: usize,
    postings: RunPostings,
}

impl Default for UndurablePostings {
    fn default() -> Self {
        Self { runs: 0, postings: RunPostings::of_everything() }
    }
}

impl UndurablePostings {
    fn of(&mut self, runs: &[RecordRun]) -> &RunPostings {
        let new = runs.get(self.runs..).unwrap_or_default();
        new.iter().for_each(|run| self.postings.add(&run.records));
        self.runs = runs.len();
        &self.postings
    }
}

impl UndurableAppends {
    pub(crate) fn new(shared: &Arc<SharedStore>) -> Self {
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
            postings: RefCell::default(),
            runs: Vec::new(),
            body_bytes: 0,
            fresh_ids: RefCell::default(),
        }
    }

    /// Takes to be durable what readers see by now: of a store that another process writes.
    pub(crate) fn follow(&mut self) {
        {
            let view = self.shared.view();
            self.durable_head = view.durable_head();
            self.last_recorded_at = view.last_recorded_at();
        }
        self.head = self.durable_head;
        if let Some(fresh) = self.fresh_ids.get_mut() {
            let ids = &self.shared.ids;
            fresh.release_through(ids.end().min(ids.wanted_in_memory_after()));
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
        if self.postings.get_mut().runs > 0 {
            self.postings.take();
        }
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

    /// The first event of what is not durable that stands behind a position and passes a filter. Only
    /// runs that hold what the filter asks for are looked at.
    fn first_undurable(
        &self,
        filter: &EventFilter,
        after: Position,
    ) -> Result<Option<(Position, EventId)>, ReadError> {
        let place_of = |position: Position| {
            self.runs.partition_point(|run| run.records.last_position() < position)
        };
        let rest = self.runs.get(place_of(after.next())..).unwrap_or_default();
        let Some(first) = rest.first() else { return Ok(None) };
        let first_match = |records: &Records| {
            let selected = filter.select(records)?;
            let mut envelopes = selected.into_iter().filter_map(|index| records.envelope(index));
            let found = envelopes.find(|event| event.position > after);
            Ok(found.map(|event| (event.position, event.event_id)))
        };
        let mut postings = self.postings.borrow_mut();
        let postings = postings.of(&self.runs);
        if !postings.tells(filter) {
            return first_of(rest.iter().map(|run| first_match(&run.records)));
        }
        let found = postings.find(filter, first.records.first_position());
        let runs = found.filter_map(|position| self.runs.get(place_of(position)));
        first_of(runs.map(|run| first_match(&run.records)))
    }

    /// Takes the ids of an append in, if any are: they will be else when one is asked for.
    fn push_ids(&self, records: &Records) {
        if let Some(fresh) = self.fresh_ids.borrow_mut().as_mut()
            && fresh.end().next() == records.first_position()
        {
            fresh.extend(records.event_ids(), KeyedOrigin::all_of(records));
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
            let Some((first, EventKeys { ids, origins })) = self.shared.event_keys_at(next)? else {
                let to = self.durable_head;
                return Err(ReadError::NothingGiven { position: next, to });
            };
            let known = to_usize(next.since(first));
            let origins = origins.into_iter().filter(|origin| origin.position >= next);
            fresh.extend(ids.get(known..).unwrap_or_default(), origins);
        }
        if fresh.end() < self.head {
            for records in self.records() {
                if records.first_position() > fresh.end() {
                    fresh.extend(records.event_ids(), KeyedOrigin::all_of(records));
                }
            }
        }
        Ok(look(fresh))
    }
}

/// The look that is under way keeps this from happening: nobody is to wait for the index here.
fn not_in_memory(after: Position, begin: Position) -> ReadError {
    let what = format!("those after {after} are in memory after {begin} only");
    StorageError::new("looking for event ids", what).into()
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
        Err(not_in_memory(after, begin))
    }

    fn find_any_origin(
        &self,
        origins: &[EventOrigin],
        after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError> {
        let look = |fresh: &mut FreshIds| (fresh.find_any_origin(origins), fresh.begin());
        let (fresh, begin) = self.look_at_fresh_ids(look)?;
        if begin <= after {
            return Ok(fresh);
        }
        Err(not_in_memory(after, begin))
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
        let mut first: Option<(Position, EventId)> = None;
        for filter in query.filters() {
            let found = self.first_undurable(filter, after)?;
            first = first.into_iter().chain(found).min_by_key(|(position, _)| *position);
        }
        Ok(first)
    }
}

/// The first of the matches, or what failed before it.
fn first_of<T>(
    mut matches: impl Iterator<Item = Result<Option<T>, ReadError>>,
) -> Result<Option<T>, ReadError> {
    matches.find_map(Result::transpose).transpose()
}
