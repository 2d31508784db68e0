//! Whether blocks hold the events that the journal does.

use spacefold_event_core::{Envelope, Position, Records, StorageError, bytes::to_usize};

use crate::journal::scan::KeptFrames;

/// What of the events is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// All but payloads: enough where the copy says whose it is.
    Envelopes,
    Events,
}

/// The first position at which a block holds another event than the frames that were kept.
///
/// Compared is what callers and the log decided: not how it is stored, nor the extension fields of
/// the block. One that was made anew has none.
pub(crate) fn first_difference(
    block: &Records,
    frames: &KeptFrames,
    compare: Compare,
) -> Result<Option<Position>, StorageError> {
    let runs = frames.runs(block.first_position(), block.last_position())?;
    Ok(runs.iter().find_map(|run| differs_at(block, &run.records, compare)))
}

fn envelope(records: &Records, position: Position) -> Option<Envelope<'_>> {
    records.envelope(to_usize(position.since(records.first_position())))
}

/// The first position of both at which a block holds another event than a run.
pub(crate) fn differs_at(block: &Records, run: &Records, compare: Compare) -> Option<Position> {
    let first = block.first_position().max(run.first_position());
    let end = block.last_position().min(run.last_position());
    let mut positions = (first.get()..=end.get()).map(Position::new);
    positions.find(|position| {
        let own = envelope(block, *position);
        let other = envelope(run, *position);
        !own.zip(other).is_some_and(|(own, other)| is_same(own, other, compare))
    })
}

fn is_same(own: Envelope<'_>, other: Envelope<'_>, compare: Compare) -> bool {
    let fixed = |event: &Envelope<'_>| {
        (event.position, event.revision, event.recorded_at, event.event_id, event.timestamp)
    };
    let has_same_envelope = own.event_type == other.event_type
        && own.space_id == other.space_id
        && fixed(&own) == fixed(&other)
        && own.source == other.source
        && own.correlation_id == other.correlation_id;
    if compare == Compare::Envelopes || !has_same_envelope {
        return has_same_envelope;
    }
    match (own.decode(), other.decode()) {
        (Ok(own), Ok(other)) => own.to_owned_event() == other.to_owned_event(),
        // A payload of a later version: all that can be told is the same.
        (Err(_), Err(_)) => true,
        _ => false,
    }
}
