//! Reading a log to its end, page by page.

use spacefold_event_core::{
    CorruptRecords, EventLog, Page, Position, Read, ReadError, RecordedEventRef, StorageError,
};

use crate::SpaceState;

/// How many events are read of one space at a time.
const SPACE_PAGE_EVENTS: usize = 1_024;

/// The error of an event whose payload does not decode.
pub(crate) const fn corrupt(position: Position, cause: CorruptRecords) -> ReadError {
    ReadError::Corrupt { position, cause }
}

/// The error of a log that has events up to its durable head, and gives none.
pub(crate) fn stuck(from: Position) -> ReadError {
    let doing = format!("reading on at position {from}");
    StorageError::new(doing, "the log gives no event there, though its head lies beyond").into()
}

/// Hands every event after `after`, up to `to`, to `apply`.
pub(crate) fn fold_log<E: From<ReadError>>(
    log: &dyn EventLog,
    after: Position,
    to: Position,
    mut apply: impl FnMut(&RecordedEventRef<'_>) -> Result<(), E>,
) -> Result<(), E> {
    each_page(log, after, to, |page| {
        for envelope in page.envelopes() {
            let position = envelope.position;
            let event = envelope.decode().map_err(|cause| corrupt(position, cause))?;
            apply(&event)?;
        }
        Ok(())
    })
}

/// Hands every page of the events after `after`, up to `to`, to `visit`.
pub(crate) fn each_page<E: From<ReadError>>(
    log: &dyn EventLog,
    after: Position,
    to: Position,
    mut visit: impl FnMut(&Page) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = after.next();
    while next <= to {
        let page = log.read(&Read::from(next).to(to))?;
        visit(&page)?;
        if page.next() <= next {
            return Err(stuck(next).into());
        }
        next = page.next();
    }
    Ok(())
}

/// Folds the events of a space that its state lacks, as far as they stand up to `to`.
pub(crate) fn fold_space(
    log: &dyn EventLog,
    state: &mut SpaceState,
    to: Position,
) -> Result<(), ReadError> {
    replay_space(log, state, to, |_, _| {})
}

/// Does what [`fold_space`] does, and shows the state after each event with the event's position.
pub(crate) fn replay_space(
    log: &dyn EventLog,
    state: &mut SpaceState,
    to: Position,
    mut show: impl FnMut(&SpaceState, Position),
) -> Result<(), ReadError> {
    loop {
        let next = state.revision().next();
        let page = log.read_space(state.space_id(), next, SPACE_PAGE_EVENTS)?;
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
