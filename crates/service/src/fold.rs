//! Folding events of one's own into a state, without reading them from the log.

use spacefold_event_core::{
    Assignments, CorruptRecords, Position, RUN_EVENTS, ReadError, RecordsBuilder, Revision,
    SpaceEvent, Timestamp, bytes::to_u64,
};
use spacefold_projection::SpaceState;

/// Folds the next events of a space into its state, as the log has recorded or would record them:
/// the first at `first_position`, all at `recorded_at`.
pub(crate) fn fold(
    state: &mut SpaceState,
    events: &[SpaceEvent],
    first_position: Position,
    recorded_at: Timestamp,
) -> Result<(), ReadError> {
    let mut position = first_position;
    for run in events.chunks(RUN_EVENTS) {
        fold_run(state, run, position, recorded_at)
            .map_err(|cause| ReadError::Corrupt { position, cause })?;
        position = position.plus(to_u64(run.len()));
    }
    Ok(())
}

fn fold_run(
    state: &mut SpaceState,
    events: &[SpaceEvent],
    first_position: Position,
    recorded_at: Timestamp,
) -> Result<(), CorruptRecords> {
    let mut builder = RecordsBuilder::with_capacity(events.len());
    for event in events {
        builder.push(event);
    }
    let (_, records) = builder.finish_with_records()?;
    let base: Revision = state.revision();
    let assignments =
        Assignments { first_position, recorded_at: vec![recorded_at], base_revisions: vec![base] };
    let records = records.reassign(assignments)?;
    for envelope in records.envelopes() {
        state.apply(&envelope.decode()?);
    }
    Ok(())
}
