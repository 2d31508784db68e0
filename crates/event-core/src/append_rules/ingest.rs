//! Taking events as another log recorded them: what every log does, and what is decided of them.

use rapidhash::RapidHashMap;

use super::{
    AppendDecision, AppendView, Proposal, check_count, distinct_ids::DistinctIds, encode,
    find_any_id,
};
use crate::{
    event::RecordedEvent,
    log::{AppendError, Discontinuity, Ingested, LogReader, ReadRequest, Receipt},
    position::{Position, Revision},
    read_error::ReadError,
    record::Schemas,
    timestamp::Timestamp,
};

/// What another log decided for the events of a proposal.
#[derive(Debug)]
pub(super) struct IngestedFields {
    first_position: Position,
    revisions: Vec<Revision>,
    /// Whether they are to be there already.
    are_stored: bool,
}

/// What every log does of [`LogWriter::ingest`](crate::LogWriter::ingest): compares the events that
/// `log` has, and hands the others to `commit`, which decides and commits them as one append. What is
/// taken but not durable is compared there too, so that it is durable when that is answered.
///
/// # Errors
/// Those of [`LogWriter::ingest`](crate::LogWriter::ingest); nothing of the events is stored then.
pub fn ingest(
    log: &dyn LogReader,
    records: &[RecordedEvent],
    schemas: &'static Schemas,
    mut commit: impl FnMut(Proposal) -> Result<Receipt, AppendError>,
) -> Result<Ingested, AppendError> {
    check_in_itself(records)?;
    let mut head = log.head();
    loop {
        let (stored, new) = split_behind(records, head);
        let (durable, undurable) = split_behind(stored, log.durable_head());
        compare(log, durable).map_err(|error| match error {
            AppendError::Unreadable(ReadError::Closed) => AppendError::Closed,
            error => error,
        })?;
        if !undurable.is_empty() {
            commit(propose(undurable, true, schemas)?)?;
        }
        let skipped = u64::try_from(stored.len()).unwrap_or(u64::MAX);
        if new.is_empty() {
            return Ok(Ingested::new(skipped, None));
        }
        match commit(propose(new, false, schemas)?) {
            // Others were first: what they have stored is compared as well.
            Err(AppendError::DoesNotFollow {
                position,
                why: Discontinuity::Position { expected },
            }) if expected > position => head = expected.previous(),
            committed => return Ok(Ingested::new(skipped, Some(committed?))),
        }
    }
}

const fn does_not_follow(position: Position, why: Discontinuity) -> AppendError {
    AppendError::DoesNotFollow { position, why }
}

/// Checks what needs no log: how many there are, that their positions are consecutive, and that no
/// id is there twice.
fn check_in_itself(records: &[RecordedEvent]) -> Result<(), AppendError> {
    check_count(records.len())?;
    let mut ids = DistinctIds::default();
    let mut expected = records.first().map_or(Position::START, |first| first.position);
    expected = expected.max(Position::START.next());
    for (index, record) in records.iter().enumerate() {
        if record.position != expected {
            return Err(does_not_follow(record.position, Discontinuity::Position { expected }));
        }
        if !ids.add_next(records, index) {
            return Err(AppendError::DuplicateEventId { id: record.event.event_id });
        }
        expected = expected.next();
    }
    Ok(())
}

/// The events up to a position, and those after it.
fn split_behind(records: &[RecordedEvent], at: Position) -> (&[RecordedEvent], &[RecordedEvent]) {
    records.split_at(records.partition_point(|record| record.position <= at))
}

/// Compares events with the durable ones that the log has at their positions.
fn compare(log: &dyn LogReader, records: &[RecordedEvent]) -> Result<(), AppendError> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
    let mut records = records.iter();
    for page in log.pages(ReadRequest::from(first.position).to(last.position)) {
        for (stored, record) in page?.events().zip(&mut records) {
            if stored?.to_owned_event() != *record {
                return Err(does_not_follow(record.position, Discontinuity::Stored));
            }
        }
    }
    Ok(())
}

/// Encodes events that are to be taken as they were recorded.
fn propose(
    records: &[RecordedEvent],
    are_stored: bool,
    schemas: &'static Schemas,
) -> Result<Proposal, AppendError> {
    let first_position = records.first().map_or(Position::START, |first| first.position);
    let revisions = records.iter().map(|record| record.revision).collect();
    let times = records.iter().map(|record| record.recorded_at).collect();
    // Whoever recorded an event has settled its time.
    let mut proposal = Proposal::of(encode(records, |_| false, schemas)?, Some(times));
    proposal.may_be_stored = are_stored;
    proposal.recorded = Some(IngestedFields { first_position, revisions, are_stored });
    Ok(proposal)
}

/// Decides whether the events follow the log, at the moment of decision.
pub(super) fn decide(
    proposal: &Proposal,
    recorded: &IngestedFields,
    view: &impl AppendView,
) -> Result<AppendDecision, AppendError> {
    if recorded.are_stored {
        return find_stored(proposal, recorded, view).map(AppendDecision::AlreadyStored);
    }
    check_following(proposal, recorded, view)?;
    if let Some((index, position)) = find_any_id(proposal, view)? {
        return Err(AppendError::EventIdReused { id: proposal.id(index), position });
    }
    proposal.origins.check(view)?;
    Ok(AppendDecision::Append)
}

/// The receipt of events that the log has as they are.
fn find_stored(
    proposal: &Proposal,
    recorded: &IngestedFields,
    view: &impl AppendView,
) -> Result<Receipt, AppendError> {
    let mut position = recorded.first_position;
    let (mut revision, mut recorded_at) = (Revision::NONE, Timestamp::MIN);
    let times = proposal.times.iter().flatten();
    for (index, (&own_revision, &own_time)) in recorded.revisions.iter().zip(times).enumerate() {
        (revision, recorded_at) = (own_revision, own_time);
        let own = proposal.event(index);
        let own = own.map(|event| RecordedEvent { event, position, revision, recorded_at });
        if own.is_none() || view.event(position)? != own {
            return Err(does_not_follow(position, Discontinuity::Stored));
        }
        position = position.next();
    }
    Ok(Receipt::new(recorded.first_position, position.previous(), revision, recorded_at, true))
}

fn check_following(
    proposal: &Proposal,
    recorded: &IngestedFields,
    view: &impl AppendView,
) -> Result<(), AppendError> {
    let expected = view.head().next();
    if recorded.first_position != expected {
        return Err(does_not_follow(recorded.first_position, Discontinuity::Position { expected }));
    }
    let mut position = expected;
    let mut last = view.last_recorded_at();
    let mut reached: RapidHashMap<&str, Revision> = RapidHashMap::default();
    let times = proposal.times.iter().flatten();
    for ((event, &found), &time) in proposal.envelopes().zip(&recorded.revisions).zip(times) {
        let space_id = event.space_id;
        let before = match reached.get(space_id) {
            Some(revision) => *revision,
            None => view.revision(space_id)?,
        };
        let expected = before.next();
        if found != expected {
            let space_id = space_id.to_owned();
            let why = Discontinuity::Revision { space_id, expected, found };
            return Err(does_not_follow(position, why));
        }
        if time < last {
            return Err(does_not_follow(position, Discontinuity::Time { last, found: time }));
        }
        reached.insert(space_id, expected);
        last = time;
        position = position.next();
    }
    Ok(())
}
