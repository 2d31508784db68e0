//! Reading a log to its end, page by page.

use std::ops::ControlFlow;

use spacefold_event_core::{
    Envelope, EventFilter, LogReader, Page, Position, ReadError, ReadRequest, RecordedEventRef,
};
use spacefold_state::{Effect, SpaceState};

/// How many events are read of one space at a time.
const SPACE_PAGE_EVENTS: usize = 1_024;

/// Hands every event after `after`, up to `to`, to `apply`.
pub(crate) fn fold_log<E: From<ReadError>>(
    log: &dyn LogReader,
    after: Position,
    to: Position,
    mut apply: impl FnMut(&RecordedEventRef<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for page in log.pages(ReadRequest::from(after.next()).to(to)) {
        let page = page?;
        for event in page.events() {
            apply(&event?)?;
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
    replay_space(log, state, to, |_, _, _| {})
}

/// Does what [`fold_space`] does, and shows the state after each event, the event and what it did.
pub(crate) fn replay_space(
    log: &dyn LogReader,
    state: &mut SpaceState,
    to: Position,
    mut show: impl FnMut(&SpaceState, &RecordedEventRef<'_>, &Effect),
) -> Result<(), ReadError> {
    fold_space_while(log, state, to, |_| true, &mut show)
}

/// Folds the events of a space that its state lacks, as far as they stand up to `to` and for as long
/// as they are to be taken; shows the state after each, the event and what it did.
pub(crate) fn fold_space_while(
    log: &dyn LogReader,
    state: &mut SpaceState,
    to: Position,
    takes: impl Fn(&Envelope<'_>) -> bool,
    show: &mut impl FnMut(&SpaceState, &RecordedEventRef<'_>, &Effect),
) -> Result<(), ReadError> {
    let next = state.revision().next();
    let page = log.read_space(state.space_id(), next, SPACE_PAGE_EVENTS)?;
    if fold_page(&page, state, to, &takes, show)?.is_break() {
        return Ok(());
    }
    let from = match page.is_empty() {
        false => page.next(),
        true if log.revision(state.space_id())? < next => return Ok(()),
        // It was appended in between, or the log does not give what it has: its pages tell.
        true => Position::new(1),
    };
    let filter = EventFilter::all().spaces([state.space_id()]);
    let read = ReadRequest::from(from).to(to).matching(filter).limit(SPACE_PAGE_EVENTS);
    for page in log.pages(read) {
        if fold_page(&page?, state, to, &takes, show)?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Folds the events of a page that a state lacks; breaks at the first that is not to be taken.
fn fold_page(
    page: &Page,
    state: &mut SpaceState,
    to: Position,
    takes: impl Fn(&Envelope<'_>) -> bool,
    show: &mut impl FnMut(&SpaceState, &RecordedEventRef<'_>, &Effect),
) -> Result<ControlFlow<()>, ReadError> {
    for envelope in page.envelopes() {
        if envelope.revision <= state.revision() {
            continue;
        }
        if envelope.position > to || !takes(&envelope) {
            return Ok(ControlFlow::Break(()));
        }
        let event = envelope.decode()?;
        let effect = state.apply(&event);
        show(state, &event, &effect);
    }
    Ok(ControlFlow::Continue(()))
}
