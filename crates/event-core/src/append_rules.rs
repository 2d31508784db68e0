//! Whether an append may happen: the one place that decides it, for every log.
//!
//! In the embedded log it goes on in `writer/handover.rs` of the store.

mod distinct_ids;
mod encoded;
mod ingest;
mod origins;

use std::sync::Arc;

use rapidhash::RapidHashMap;

use crate::{
    bytes::{to_u64, to_usize},
    condition::{AppendCondition, FailedCondition, NoEventMatching},
    event::{RecordedEvent, SpaceEvent},
    event_id::EventId,
    limits::{LimitExceeded, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES},
    log::{AppendError, AppendRequest, LogReader, ReadRequest, Receipt},
    origin::EventOrigin,
    position::{Position, Revision},
    query::EventQuery,
    read_error::ReadError,
    record::{Assignments, EncodedBody, Envelope, Records, Schemas},
    timestamp::Timestamp,
    type_name::COMMAND_UNCHANGED,
};

use self::{distinct_ids::DistinctIds, ingest::IngestedFields, origins::ProposedOrigins};
pub use self::{
    encoded::{EncodedEvents, EncodedLine, EventEncoder},
    ingest::ingest,
};

/// What the rules ask a log, at the moment of decision: every append before this one included.
pub trait AppendView {
    /// The position of the last event.
    fn head(&self) -> Position;

    /// When the last event was recorded; [`Timestamp::MIN`] when there is none.
    fn last_recorded_at(&self) -> Timestamp;

    /// The revision of a space.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    fn revision(&self, space_id: &str) -> Result<Revision, ReadError>;

    /// The first of these ids whose event is after a position, and where that is; one at or before
    /// the position may be answered too.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    fn find_any(
        &self,
        ids: &[EventId],
        after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError>;

    /// The first of these origins whose event is after a position, as [`AppendView::find_any`] finds
    /// ids.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    fn find_any_origin(
        &self,
        origins: &[EventOrigin],
        after: Position,
    ) -> Result<Option<(usize, Position)>, ReadError>;

    /// The event at a position; `None` beyond the head.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    fn event(&self, position: Position) -> Result<Option<RecordedEvent>, ReadError>;

    /// The first event after a position that passes the query.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    fn first_match(
        &self,
        query: &EventQuery,
        after: Position,
    ) -> Result<Option<(Position, EventId)>, ReadError>;
}

/// What the rules say of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendDecision {
    /// It may happen.
    Append,
    /// All of its events are stored already: this is the receipt they got.
    AlreadyStored(Receipt),
}

/// An append that needs no more of its caller: checked, encoded, and readable.
#[derive(Debug)]
pub struct Proposal {
    events: EncodedEvents,
    condition: AppendCondition,
    times: Option<Vec<Timestamp>>,
    /// What was found for each part of `no_event_matching`, where it was looked for ahead.
    looked_for: Vec<LookedFor>,
    /// What was found of its ids, where they were looked for ahead.
    ids_looked_for: KeysLookedFor,
    origins: ProposedOrigins,
    /// Whether it may be stored already.
    may_be_stored: bool,
    /// What another log has decided for the events, if that is to be kept.
    recorded: Option<IngestedFields>,
}

/// A part of an append that is encoded on its own: at most [`RUN_EVENTS`](crate::RUN_EVENTS) events.
#[derive(Debug)]
pub struct ProposedRun {
    body: Arc<EncodedBody>,
    /// The events under assignments that mean nothing yet.
    records: Records,
}

impl ProposedRun {
    /// The encoded events.
    #[must_use]
    pub const fn body(&self) -> &Arc<EncodedBody> {
        &self.body
    }
}

/// What was found for a part of a condition ahead of the decision: the first match up to a position.
#[derive(Clone, Copy, Debug)]
pub struct LookedFor {
    through: Position,
    found: Option<(Position, EventId)>,
}

impl LookedFor {
    /// Looks for the events that a condition excludes, up to the durable head of the log: for each
    /// part that excludes any.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read.
    pub fn by(condition: &AppendCondition, log: &dyn LogReader) -> Result<Vec<Self>, ReadError> {
        let through = log.durable_head();
        let look = |part: &NoEventMatching| {
            let read = ReadRequest::from(part.after.next()).to(through);
            let read = read.matching(part.query.clone()).limit(1);
            for page in log.pages(read) {
                if let Some(event) = page?.envelopes().next() {
                    let found = Some((event.position, event.event_id));
                    return Ok(Self { through, found });
                }
            }
            Ok(Self { through, found: None })
        };
        condition.no_event_matching.iter().map(look).collect()
    }
}

/// What was found of the ids of an append, or of its origins, ahead of the decision, in the log up to a
/// position.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeysLookedFor {
    /// None of those before the one that was found is at or before this position; where none was
    /// found, none of all is.
    pub through: Position,
    /// The first of them that was found, from 0, and where its event is.
    pub found: Option<(usize, Position)>,
}

/// Checks what needs no log (limits, ids) and encodes the events by these schemas: the work of the
/// caller's thread.
///
/// # Errors
/// The first rule of [`AppendError`] that is broken; nothing is stored then.
pub fn propose(
    append: &AppendRequest<'_>,
    schemas: &'static Schemas,
) -> Result<Proposal, AppendError> {
    let events = append.events();
    if events.is_empty() {
        return Err(AppendError::Empty);
    }
    check_count(events.len())?;
    if !append.takes_reserved_types() {
        let is_reserved =
            |event: &SpaceEvent| event.payload.own_type_name() == Some(COMMAND_UNCHANGED);
        if let Some(index) = events.iter().position(is_reserved) {
            return Err(AppendError::ReservedType { index, name: COMMAND_UNCHANGED });
        }
    }
    check_queries(append.condition())?;
    if let Some(times) = append.times().filter(|times| times.len() != events.len()) {
        return Err(AppendError::TimesMismatch { events: events.len(), times: times.len() });
    }
    let encoded = encode(events, |event| !event.has_own_timestamp(), schemas)?;
    let mut proposal = Proposal::of(encoded, append.times().map(<[Timestamp]>::to_vec));
    proposal.condition = append.condition().clone();
    proposal.may_be_stored = append.takes_stored();
    Ok(proposal)
}

/// The proposal of events that were encoded ahead, whose ids are distinct, without a condition. Types
/// that are spacefold's own may be among them, as among those of an append that takes them.
///
/// # Errors
/// [`AppendError::Empty`], [`AppendError::Limit`] or [`AppendError::TimesMismatch`]; nothing is stored
/// then.
pub fn propose_encoded(
    events: EncodedEvents,
    recorded_at: Option<Vec<Timestamp>>,
) -> Result<Proposal, AppendError> {
    events.check_size()?;
    if let Some(times) = recorded_at.as_ref().filter(|times| times.len() != events.len()) {
        return Err(AppendError::TimesMismatch { events: events.len(), times: times.len() });
    }
    Ok(Proposal::of(events, recorded_at))
}

const fn check_count(events: usize) -> Result<(), AppendError> {
    if events > MAX_APPEND_EVENTS {
        let limit = LimitExceeded::TooManyEvents { events };
        return Err(AppendError::Limit { index: MAX_APPEND_EVENTS, limit });
    }
    Ok(())
}

/// Checks the queries of a condition against their limits.
fn check_queries(condition: &AppendCondition) -> Result<(), ReadError> {
    let mut parts = condition.no_event_matching.iter();
    Ok(parts.try_for_each(|part| part.query.check_limits())?)
}

/// Checks events against the limits, their ids against each other, and encodes them.
fn encode<E: AsRef<SpaceEvent>>(
    events: &[E],
    is_filled_in: impl Fn(&SpaceEvent) -> bool,
    schemas: &'static Schemas,
) -> Result<EncodedEvents, AppendError> {
    let mut ids = DistinctIds::default();
    let mut encoder = EventEncoder::new(schemas, events.len());
    for (index, event) in events.iter().map(AsRef::as_ref).enumerate() {
        let limited = |limit| AppendError::Limit { index, limit };
        let fields = event.fields();
        fields.check_limits().map_err(limited)?;
        if !ids.add_next(events, index) {
            return Err(AppendError::DuplicateEventId { id: event.event_id });
        }
        let bytes = encoder.push(&fields, is_filled_in(event));
        if bytes > MAX_EVENT_BYTES {
            return Err(limited(LimitExceeded::EventTooLarge { bytes }));
        }
        let bytes = encoder.bytes();
        if bytes > MAX_APPEND_BYTES {
            return Err(limited(LimitExceeded::AppendTooLarge { bytes }));
        }
    }
    encoder.finish()
}

impl Proposal {
    /// Of events without a condition.
    fn of(events: EncodedEvents, times: Option<Vec<Timestamp>>) -> Self {
        Self {
            origins: ProposedOrigins::of(events.runs()),
            events,
            condition: AppendCondition::none(),
            times,
            looked_for: Vec::new(),
            ids_looked_for: KeysLookedFor::default(),
            may_be_stored: true,
            recorded: None,
        }
    }

    /// Looks for the events that the condition excludes, up to the durable head of the log: work
    /// of the caller's thread too, so that the decision looks only at what came after.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read.
    pub fn look_for_matches(&mut self, log: &dyn LogReader) -> Result<(), ReadError> {
        self.looked_for = LookedFor::by(&self.condition, log)?;
        Ok(())
    }

    /// Notes what was found of the ids, so that the decision looks only at what came after.
    pub const fn note_ids(&mut self, looked_for: KeysLookedFor) {
        self.ids_looked_for = looked_for;
    }

    /// The origins of the events that have one, in order.
    #[must_use]
    pub fn origins(&self) -> &[EventOrigin] {
        self.origins.all()
    }

    /// Notes what was found of the origins, so that the decision looks only at what came after.
    pub const fn note_origins(&mut self, looked_for: KeysLookedFor) {
        self.origins.note(looked_for);
    }

    /// Whether some id was found to be stored, ahead of the decision: its condition counts for nothing.
    #[must_use]
    pub const fn has_stored_id(&self) -> bool {
        self.ids_looked_for.found.is_some()
    }

    /// The ids of the events, in order, run by run.
    pub fn event_ids(&self) -> impl Iterator<Item = &[EventId]> + Clone {
        self.events.event_ids()
    }

    /// The encoded events, in order.
    #[must_use]
    pub fn runs(&self) -> &[ProposedRun] {
        self.events.runs()
    }

    /// Bytes of the encoded events.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.runs().iter().map(|run| run.body.bytes().len()).sum()
    }

    /// The events as the log records them, run by run: after its last one, at the present time `now`
    /// unless they were recorded before, each space going on from its revision.
    ///
    /// # Errors
    /// [`ReadError`] when a revision cannot be read.
    pub fn assign(
        &self,
        view: &impl AppendView,
        now: Timestamp,
    ) -> Result<Vec<Records>, ReadError> {
        // Times that another log gave were decided to be in order, and are kept beyond the present.
        let now = if self.recorded.is_some() { Timestamp::MAX } else { now };
        let times = recording_times(self.times.as_deref(), view.last_recorded_at(), now);
        let mut first_position = view.head().next();
        let mut assigned: Vec<Records> = Vec::with_capacity(self.runs().len());
        // Where the runs before this one have brought each of their spaces.
        let mut reached: RapidHashMap<&str, Revision> = RapidHashMap::default();
        for ProposedRun { records, .. } in self.runs() {
            let mut base_revisions = Vec::new();
            for (space_id, _, count) in records.spaces() {
                let base = match reached.get(space_id) {
                    Some(revision) => *revision,
                    None => view.revision(space_id)?,
                };
                base_revisions.push(base);
                if self.runs().len() > 1 {
                    // Unassigned, a run counts from 0.
                    reached.insert(space_id, base.plus(count.get()));
                }
            }
            let start = first_position.since(view.head().next());
            let recorded_at = times_of_run(&times, start, records.len());
            let assignments = Assignments { first_position, recorded_at, base_revisions };
            let records = records
                .reassign(assignments)
                .map_err(|cause| ReadError::Corrupt { position: first_position, cause })?;
            first_position = records.last_position().next();
            assigned.push(records);
        }
        Ok(assigned)
    }

    fn envelopes(&self) -> impl Iterator<Item = Envelope<'_>> {
        self.events.records().flat_map(Records::envelopes)
    }

    const fn len(&self) -> usize {
        self.events.len()
    }

    fn id(&self, index: usize) -> EventId {
        let envelope = self.events.envelope(index);
        envelope.map_or(EventId::from_bytes([0; 16]), |event| event.event_id)
    }

    /// Whether the event at an index is the stored one.
    fn has(&self, index: usize, stored: &SpaceEvent) -> bool {
        self.event(index).is_some_and(|proposed| proposed.is_stored_as(stored))
    }

    fn event(&self, index: usize) -> Option<SpaceEvent> {
        self.events.event(index)
    }
}

/// The times of a run that begins this many events behind the first: one when they are all equal.
fn times_of_run(times: &[Timestamp], start: u64, count: usize) -> Vec<Timestamp> {
    let start = to_usize(start);
    let own = times.get(start..start.saturating_add(count)).filter(|_| times.len() > 1);
    match own {
        Some([first, .., last]) if first == last => vec![*first],
        Some(own) => own.to_vec(),
        None => times.to_vec(),
    }
}

/// When the log takes each event of an append: now for all, or the given times, each clamped up
/// to its predecessor's and down to now. Never decreasing, never before `last`.
fn recording_times(given: Option<&[Timestamp]>, last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    let Some(given) = given else {
        return vec![now.max(last)];
    };
    let mut last = last;
    let mut clamped: Vec<Timestamp> = Vec::with_capacity(given.len());
    for time in given {
        last = (*time).min(now).max(last);
        clamped.push(last);
    }
    if clamped.first() == clamped.last() {
        clamped.truncate(1);
    }
    clamped
}

/// Decides an append against the state of the log: first whether any of its ids is stored, whatever
/// its condition, then whether any of its origins is, then whether the condition holds.
///
/// # Errors
/// [`AppendError::EventIdReused`], [`AppendError::DuplicateOrigin`], [`AppendError::OriginReused`],
/// [`AppendError::ConditionFailed`] with every part that fails, [`AppendError::DoesNotFollow`], or [`AppendError::Unreadable`]; nothing is stored then.
pub fn decide(proposal: &Proposal, view: &impl AppendView) -> Result<AppendDecision, AppendError> {
    if let Some(recorded) = &proposal.recorded {
        return ingest::decide(proposal, recorded, view);
    }
    if let Some((index, position)) = find_any_id(proposal, view)? {
        if !proposal.may_be_stored {
            return Err(AppendError::EventIdReused { id: proposal.id(index), position });
        }
        let receipt = stored_run(proposal, index, position, view)?;
        return Ok(AppendDecision::AlreadyStored(receipt));
    }
    proposal.origins.check(view)?;
    let failed = failed_parts(&proposal.condition, &proposal.looked_for, view)?;
    if failed.is_empty() {
        Ok(AppendDecision::Append)
    } else {
        Err(AppendError::ConditionFailed { failed })
    }
}

/// The parts of a condition that do not hold in this state of the log, each with what is there
/// instead. What was [looked for](LookedFor::by) ahead is not looked for again.
///
/// # Errors
/// [`ReadError`] when the log cannot be read.
pub fn failed_parts(
    condition: &AppendCondition,
    looked_for: &[LookedFor],
    view: &(impl AppendView + ?Sized),
) -> Result<Vec<FailedCondition>, ReadError> {
    check_queries(condition)?;
    let mut failed = Vec::new();
    for (space_id, expected) in &condition.expected {
        let current = view.revision(space_id)?;
        if !expected.is_met_by(current) {
            let (space_id, expected) = (space_id.clone(), *expected);
            failed.push(FailedCondition::Revision { space_id, expected, current });
        }
    }
    for (index, part) in condition.no_event_matching.iter().enumerate() {
        let after = part.after;
        let first = match looked_for.get(index) {
            Some(LookedFor { found: found @ Some(_), .. }) => *found,
            Some(looked_for) => view.first_match(&part.query, after.max(looked_for.through))?,
            None => view.first_match(&part.query, after)?,
        };
        if let Some((position, event_id)) = first {
            failed.push(FailedCondition::EventMatches { after, position, event_id });
        }
    }
    Ok(failed)
}

/// The first event whose id the log finds, and where.
fn find_any_id(
    proposal: &Proposal,
    view: &impl AppendView,
) -> Result<Option<(usize, Position)>, ReadError> {
    let KeysLookedFor { through, found } = proposal.ids_looked_for;
    let before = found.map_or(usize::MAX, |(index, _)| index);
    let mut first = 0;
    for ids in proposal.event_ids() {
        let ids = ids.get(..before.saturating_sub(first).min(ids.len())).unwrap_or_default();
        if let Some((index, position)) = view.find_any(ids, through)? {
            return Ok(Some((first + index, position)));
        }
        first += ids.len();
    }
    Ok(found)
}

/// The receipt of the run that the events are stored in, the one at `index` at `position`.
fn stored_run(
    proposal: &Proposal,
    index: usize,
    position: Position,
    view: &impl AppendView,
) -> Result<Receipt, AppendError> {
    let reused = |index, position| AppendError::EventIdReused { id: proposal.id(index), position };
    let before = to_u64(index);
    if position.get() <= before {
        return Err(reused(index, position));
    }
    let first = Position::new(position.get() - before);
    let mut next = first;
    let (mut revision, mut recorded_at) = (Revision::NONE, Timestamp::MIN);
    for own in 0..proposal.len() {
        match view.event(next)? {
            Some(stored) if proposal.has(own, &stored.event) => {
                (revision, recorded_at) = (stored.revision, stored.recorded_at);
            }
            Some(stored) if stored.event.event_id == proposal.id(own) => {
                return Err(reused(own, next));
            }
            _ => return Err(reused(index, position)),
        }
        next = next.next();
    }
    Ok(Receipt::new(first, next.previous(), revision, recorded_at, true))
}
