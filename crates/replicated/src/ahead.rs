//! The log as it will be once the groups that are under way have landed.

use std::collections::{HashMap, VecDeque};

use spacefold_event_core::{
    EventId, EventLog, EventOrigin, EventQuery, Position, ReadError, ReadRequest, RecordedEvent,
    Records, Revision, Timestamp, append_rules::AppendView, bytes::to_u64, bytes::to_usize,
};

/// What this process has decided and does not know to have landed, before what has.
#[derive(Debug, Default)]
pub(crate) struct GroupsAhead {
    runs: VecDeque<Records>,
    revisions: HashMap<String, Revision>,
    ids: HashMap<EventId, Position>,
    origins: HashMap<EventOrigin, Position>,
}

impl GroupsAhead {
    /// Takes in a run of an append.
    pub(crate) fn push(&mut self, records: Records) {
        for (space_id, _, after) in records.spaces() {
            self.revisions.insert(space_id.to_owned(), after);
        }
        let positions = (0..).map(|place| records.first_position().plus(place));
        self.ids.extend(records.event_ids().iter().copied().zip(positions));
        let position = |index| records.first_position().plus(to_u64(index));
        let origins = records.origins().map(|(index, origin)| (*origin, position(index)));
        self.origins.extend(origins);
        self.runs.push_back(records);
    }

    /// Lets go of what the log has up to a position.
    pub(crate) fn release_through(&mut self, position: Position) {
        while let Some(records) =
            self.runs.pop_front_if(|records| records.last_position() <= position)
        {
            for (space_id, _, after) in records.spaces() {
                if self.revisions.get(space_id) == Some(&after) {
                    self.revisions.remove(space_id);
                }
            }
            for id in records.event_ids() {
                self.ids.remove(id);
            }
            for (_, origin) in records.origins() {
                self.origins.remove(origin);
            }
        }
    }

    /// Lets go of everything: it is lost, or nobody knows.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Where the event with an id is, if it is here.
    pub(crate) fn find(&self, id: &EventId) -> Option<Position> {
        self.ids.get(id).copied()
    }

    /// Where the event of an origin is, if it is here.
    pub(crate) fn find_origin(&self, origin: &EventOrigin) -> Option<Position> {
        self.origins.get(origin).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The log with these runs behind it.
    pub(crate) fn over<'a>(
        &'a self,
        log: &'a dyn EventLog,
        last_recorded_at: Timestamp,
    ) -> LogAhead<'a> {
        LogAhead { groups: self, log, last_recorded_at }
    }
}

/// The log, and the runs that are ahead of it.
pub(crate) struct LogAhead<'a> {
    groups: &'a GroupsAhead,
    log: &'a dyn EventLog,
    /// When the last event of the log was recorded.
    last_recorded_at: Timestamp,
}

impl AppendView for LogAhead<'_> {
    fn head(&self) -> Position {
        self.groups.runs.back().map_or_else(|| self.log.head(), Records::last_position)
    }

    fn last_recorded_at(&self) -> Timestamp {
        self.groups.runs.back().map_or(self.last_recorded_at, Records::last_recorded_at)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        let ahead = self.groups.revisions.get(space_id);
        ahead.map_or_else(|| self.log.newest_revision(space_id), |revision| Ok(*revision))
    }

    fn find_any(
        &self,
        ids: &[EventId],
        _after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError> {
        let stored = self.log.find_events(ids)?;
        let found = ids.iter().zip(stored).enumerate().find_map(|(index, (id, stored))| {
            Some((index, stored.or_else(|| self.groups.find(id))?))
        });
        Ok(found)
    }

    fn find_any_origin(
        &self,
        origins: &[EventOrigin],
        _after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError> {
        let stored = self.log.find_origins(origins)?;
        let found = origins.iter().zip(stored).enumerate().find_map(|(index, (origin, stored))| {
            Some((index, stored.or_else(|| self.groups.find_origin(origin))?))
        });
        Ok(found)
    }

    fn event(&self, position: Position) -> Result<Option<RecordedEvent>, ReadError> {
        for records in &self.groups.runs {
            if (records.first_position()..=records.last_position()).contains(&position) {
                let place = to_usize(position.since(records.first_position()));
                let event = records.envelope(place).map(|envelope| envelope.decode());
                return Ok(event.transpose()?.map(|event| event.to_owned_event()));
            }
        }
        let page = self.log.page_at(position)?;
        let event = page.as_ref().and_then(|page| page.events().next());
        Ok(event.transpose()?.map(|event| event.to_owned_event()))
    }

    fn first_match(
        &self,
        query: &EventQuery,
        after: Position,
    ) -> Result<Option<(Position, EventId)>, ReadError> {
        let read = ReadRequest::from(after.next()).matching(query.clone()).limit(1);
        for page in self.log.pages(read) {
            if let Some(event) = page?.envelopes().next() {
                return Ok(Some((event.position, event.event_id)));
            }
        }
        for records in &self.groups.runs {
            let selected = query.select(records)?;
            let mut events = selected.into_iter().filter_map(|index| records.envelope(index));
            if let Some(event) = events.find(|event| event.position > after) {
                return Ok(Some((event.position, event.event_id)));
            }
        }
        Ok(None)
    }
}
