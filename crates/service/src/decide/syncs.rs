//! What commands on synchronisations come to.

use spacefold_event_core::{Position, Presence, RecordedHash, SpaceEvent};
use spacefold_state::SpaceState;

use crate::refusal::Refusal;

pub(super) fn start_sync(state: &SpaceState, direction: &Presence) -> Result<SpaceEvent, Refusal> {
    match state.sync().started {
        Some(started) => Err(Refusal::SyncRunning { started }),
        None => Ok(SpaceEvent::sync_started(state.space_id(), direction.clone())),
    }
}

pub(super) fn take_over_sync(
    state: &SpaceState,
    direction: &Presence,
    started: Position,
) -> Result<SpaceEvent, Refusal> {
    check_running(state, Some(started))?;
    Ok(SpaceEvent::sync_started(state.space_id(), direction.clone()))
}

pub(super) fn complete_sync(
    state: &SpaceState,
    started: Option<Position>,
) -> Result<SpaceEvent, Refusal> {
    check_running(state, started)?;
    Ok(SpaceEvent::sync_completed(state.space_id()))
}

pub(super) fn record_conflict(
    state: &SpaceState,
    document_id: &str,
    [local_hash, remote_hash]: [&Presence; 2],
    started: Option<Position>,
) -> Result<Option<SpaceEvent>, Refusal> {
    check_running(state, started)?;
    let is_open = state.conflict(document_id).is_some_and(|open| {
        open.local_hash() == local_hash.as_deref().map(RecordedHash::from)
            && open.remote_hash() == remote_hash.as_deref().map(RecordedHash::from)
    });
    let (local, remote) = (local_hash.clone(), remote_hash.clone());
    let event = || SpaceEvent::sync_conflict(state.space_id(), document_id, local, remote);
    Ok((!is_open).then(event))
}

/// Whether a synchronisation is running; with `started` that very one.
fn check_running(state: &SpaceState, started: Option<Position>) -> Result<(), Refusal> {
    match (state.sync().started, started) {
        (None, _) => Err(Refusal::SyncNotRunning),
        (Some(running), Some(started)) if running != started => {
            Err(Refusal::SyncSuperseded { started, running })
        }
        _ => Ok(()),
    }
}
