//! Reading a log to its end, page by page.

use spacefold_event_core::{
    CorruptRecords, LogReader, Page, Position, Read, ReadError, RecordedEventRef, Revision,
    StorageError,
};

use crate::SpaceState;

/// How many events are read of one space at a time.
const SPACE_PAGE_EVENTS: usize = 1_024;

/// The error of an event whose payload does not decode.
pub(crate) const fn corrupt(position: Position, cause: CorruptRecords) -> ReadError {
    ReadError::Corrupt { position, cause }
}

/// Hands every event after `after`, up to `to`, to `apply`.
pub(crate) fn fold_log<E: From<ReadError>>(
    log: &dyn LogReader,
    after: Position,
    to: Position,
    mut apply: impl FnMut(&RecordedEventRef<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for page in log.pages(Read::from(after.next()).to(to)) {
        let page = page?;
        for envelope in page.envelopes() {
            let position = envelope.position;
            let event = envelope.decode().map_err(|cause| corrupt(position, cause))?;
            apply(&event)?;
        }
    }
    Ok(())
}

/// Folds the events of a space that its state lacks, as far as they stand up to `to`.
pub(crate) fn fold_space(
    log: &dyn LogReader,
    state: &mut SpaceState,
    to: Position,
) -> Result<(), ReadError> {
    replay_space(log, state, to, |_, _| {})
}

/// Does what [`fold_space`] does, and shows the state after each event with the event's position.
pub(crate) fn replay_space(
    log: &dyn LogReader,
    state: &mut SpaceState,
    to: Position,
    mut show: impl FnMut(&SpaceState, Position),
) -> Result<(), ReadError> {
    loop {
        let next = state.revision().next();
        let page = space_page(log, state.space_id(), next)?;
        for envelope in page.envelopes() {
            let position = envelope.position;
            if position > to {
                return Ok(());
            }
            if envelope.revision > state.revision() {
                let event = envelope.decode().map_err(|cause| corrupt(position, cause))?;
                state.apply(&event);
                show(state, position);
            }
        }
        if state.revision() < next {
            return Ok(());
        }
    }
}

/// A page of a space's events from a revision on; empty only when the log has none there.
fn space_page(log: &dyn LogReader, space_id: &str, from: Revision) -> Result<Page, ReadError> {
    let page = log.read_space(space_id, from, SPACE_PAGE_EVENTS)?;
    if !page.is_empty() || log.revision(space_id)? < from {
        return Ok(page);
    }
    // It may have been appended in between.
    let again = log.read_space(space_id, from, SPACE_PAGE_EVENTS)?;
    if again.is_empty() {
        let doing = format!("reading space {space_id:?} from revision {from} on");
        return Err(StorageError::new(doing, "the log has more of it, and gives nothing").into());
    }
    Ok(again)
}
