//! The event log in memory: the executable specification, and a log for tests.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use rapidhash::{RapidHashMap, quality::RandomState};

use crate::{
    append_rules::{self, AppendDecision, AppendView, Proposal},
    bytes::{to_u64, to_usize},
    condition::{AppendCondition, FailedCondition},
    event::{RecordedEvent, SpaceEvent},
    event_id::EventId,
    filter::EventFilter,
    lock::{Condition, Lock},
    log::{
        AppendError, AppendRequest, Ingested, LogId, LogIdentity, LogReader, LogWriter, Page,
        ReadRequest, Receipt, least_after,
    },
    origin::EventOrigin,
    position::{Position, Revision},
    query::EventQuery,
    read_error::ReadError,
    record::{Records, Schemas},
    timestamp::Timestamp,
};

/// An [`EventLog`](crate::EventLog) that keeps its events in memory and loses them when it is
/// dropped.
///
/// It does what every log must do in the plainest way: the conformance suite runs on it and on
/// the others. Every event is durable as soon as it is appended.
///
/// ```
/// use spacefold::{
///     AppendCondition, Position, SpaceEvent, log::{AppendRequest, MemoryLog, ReadRequest}, prelude::*,
/// };
/// let log = MemoryLog::new();
/// let events = [SpaceEvent::space_created("handbook", "Handbook")];
/// let receipt = log.append(&AppendRequest::new(&events).on(AppendCondition::no_space("handbook")))?;
/// assert_eq!(receipt.last_position(), Position::new(1));
/// let page = log.read(&ReadRequest::from(Position::new(1)))?;
/// assert_eq!(page.envelopes().next().map(|event| event.space_id), Some("handbook"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryLog {
    state: Lock<MemoryLogState>,
    appended: Condition,
    identity: LogIdentity,
}

#[derive(Debug)]
struct MemoryLogState {
    /// The events of each append, by the position of its last.
    runs: BTreeMap<Position, Records>,
    /// The positions of each space's events: revision n at index n - 1.
    spaces: RapidHashMap<String, Vec<Position>>,
    /// Where the event of each id is.
    ids: HashMap<EventId, Position, RandomState>,
    /// Where the event of each origin is.
    origins: HashMap<EventOrigin, Position, RandomState>,
    head: Position,
    last_recorded_at: Timestamp,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        let state = MemoryLogState {
            runs: BTreeMap::new(),
            spaces: RapidHashMap::default(),
            ids: HashMap::default(),
            origins: HashMap::default(),
            head: Position::START,
            last_recorded_at: Timestamp::MIN,
        };
        let identity = LogIdentity::created(LogId::random());
        Self { state: Lock::new(state), appended: Condition::new(), identity }
    }

    /// Appends events, each by itself and recorded at its own time, as far as times of recording may
    /// not decrease or be in the future; answers them as they are recorded. For tests, which begin
    /// with what has happened.
    ///
    /// An event that is there already is answered as it was recorded, and not appended again.
    ///
    /// ```
    /// use spacefold::{Position, SpaceEvent, Timestamp, log::{LogReader, MemoryLog}};
    /// let long_ago = Timestamp::from_micros(1_000_000_000_000_000).ok_or("out of range")?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook").with_timestamp(long_ago);
    /// let activated = SpaceEvent::space_activated("handbook");
    /// let log = MemoryLog::new();
    /// let recorded = log.record([created.clone(), activated, created])?;
    /// assert_eq!(recorded[0].recorded_at, long_ago);
    /// assert_eq!((&recorded[2], log.head()), (&recorded[0], Position::new(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LogWriter::append`], of the first event that is not taken; those before it are recorded.
    pub fn record(
        &self,
        events: impl IntoIterator<Item = SpaceEvent>,
    ) -> Result<Vec<RecordedEvent>, AppendError> {
        let record = |event: SpaceEvent| {
            let times = [event.timestamp];
            let append = AppendRequest::new(std::slice::from_ref(&event)).recorded_at(&times);
            let receipt = self.append(&append)?;
            let (position, revision) = (receipt.last_position(), receipt.revision());
            let recorded_at = receipt.recorded_at();
            Ok(RecordedEvent { event, position, revision, recorded_at })
        };
        events.into_iter().map(record).collect()
    }
}

impl LogReader for MemoryLog {
    fn identity(&self) -> LogIdentity {
        self.identity
    }

    fn head(&self) -> Position {
        self.state.lock().head
    }

    fn durable_head(&self) -> Position {
        self.head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        while state.head < position {
            let left =
                deadline.map_or(Duration::MAX, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            (state, _) = self.appended.wait_timeout(state, left);
        }
        Ok(state.head)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        read.check()?;
        self.state.lock().read(read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        let filter = EventFilter::all().spaces([space_id]);
        let read = ReadRequest::from(Position::new(1)).matching(filter).limit(limit);
        read.check()?;
        let state = self.state.lock();
        let Some(position) = state.position_of(space_id, from.max(Revision::new(1))) else {
            return Ok(Page::empty(state.head.next()));
        };
        state.read(&ReadRequest { from: position, ..read })
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.state.lock().revision(space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.revision(space_id)
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        append_rules::failed_parts(condition, &[], &*self.state.lock())
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        Ok(self.state.lock().ids.get(&id).copied())
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        let state = self.state.lock();
        Ok(origins.iter().map(|origin| state.origins.get(origin).copied()).collect())
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        let state = self.state.lock();
        let recorded = state.runs.values().flat_map(Records::envelopes);
        let later = recorded.into_iter().find(|event| event.recorded_at > time);
        Ok(later.map_or(state.head, |event| event.position.previous()))
    }

    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        Ok(least_after(self.state.lock().spaces.keys().map(String::as_str), after, limit))
    }
}

impl LogWriter for MemoryLog {
    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        self.commit(&append_rules::propose(append, Schemas::today())?)
    }

    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError> {
        append_rules::ingest(self, records, Schemas::today(), |proposal| self.commit(&proposal))
    }
}

impl MemoryLog {
    fn commit(&self, proposal: &Proposal) -> Result<Receipt, AppendError> {
        let mut state = self.state.lock();
        if let AppendDecision::AlreadyStored(receipt) = append_rules::decide(proposal, &*state)? {
            return Ok(receipt);
        }
        let runs = proposal.assign(&*state, Timestamp::now())?;
        let receipt = Receipt::of(&runs, true);
        runs.into_iter().for_each(|records| state.take_in(records));
        drop(state);
        self.appended.notify_all();
        Ok(receipt)
    }
}

impl MemoryLogState {
    /// Where the event at this revision of a space is.
    fn position_of(&self, space_id: &str, revision: Revision) -> Option<Position> {
        let index = to_usize(revision.previous().get());
        self.spaces.get(space_id).and_then(|positions| positions.get(index).copied())
    }

    fn take_in(&mut self, records: Records) {
        for envelope in records.envelopes() {
            let positions = self.spaces.entry(envelope.space_id.to_owned()).or_default();
            positions.push(envelope.position);
            self.ids.insert(envelope.event_id, envelope.position);
        }
        for (index, origin) in records.origins() {
            self.origins.insert(*origin, records.first_position().plus(to_u64(index)));
        }
        self.head = records.last_position();
        self.last_recorded_at = records.last_recorded_at();
        self.runs.insert(records.last_position(), records);
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let from = read.from.max(Position::new(1));
        let mut page = Page::empty(from);
        for records in self.runs.range(from..).map(|(_, records)| records) {
            let left = read.limit.saturating_sub(page.len());
            let looked_at = to_usize(page.next().since(from));
            if left == 0 || looked_at >= read.look || records.first_position() > read.to {
                break;
            }
            page.add(records.clone(), from, read.to, &read.query, left)?;
        }
        Ok(page)
    }
}

impl AppendView for MemoryLogState {
    fn head(&self) -> Position {
        self.head
    }

    fn last_recorded_at(&self) -> Timestamp {
        self.last_recorded_at
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        let count = self.spaces.get(space_id).map_or(0, Vec::len);
        Ok(Revision::new(to_u64(count)))
    }

    fn find_any(
        &self,
        ids: &[EventId],
        _after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError> {
        let mut found = ids.iter().map(|id| self.ids.get(id).copied()).enumerate();
        Ok(found.find_map(|(index, position)| Some((index, position?))))
    }

    fn find_any_origin(
        &self,
        origins: &[EventOrigin],
        _after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError> {
        let mut found = origins.iter().map(|it| self.origins.get(it).copied()).enumerate();
        Ok(found.find_map(|(index, position)| Some((index, position?))))
    }

    fn event(&self, position: Position) -> Result<Option<RecordedEvent>, ReadError> {
        let page = self.read(&ReadRequest::from(position).to(position).limit(1))?;
        let event = page.events().next().transpose()?;
        Ok(event.map(|event| event.to_owned_event()))
    }

    fn first_match(
        &self,
        query: &EventQuery,
        after: Position,
    ) -> Result<Option<(Position, EventId)>, ReadError> {
        let page = self.read(&ReadRequest::from(after.next()).matching(query.clone()).limit(1))?;
        Ok(page.envelopes().next().map(|event| (event.position, event.event_id)))
    }
}
