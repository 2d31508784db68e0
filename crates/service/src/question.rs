//! Questions to a log that it answers by the way, when it decides an append.
//!
//! Such an append asks for what cannot be: that no event stands where one does. The log looks for a
//! retry first, then at every part of the condition, and answers what it found; nothing is written.
//! What is not durable yet counts, as it does for every append.

use spacefold_event_core::{
    Append, AppendCondition, AppendError, EventFilter, EventId, EventLog, FailedCondition,
    Position, Revision, SpaceEvent,
};

/// Whether a space has gone on from a revision by events that are not durable yet, and so not read.
/// `complete` is a position up to which the asker knows the events of the space.
pub(crate) fn has_gone_on(
    log: &dyn EventLog,
    space_id: &str,
    revision: Revision,
    complete: Position,
) -> Result<bool, AppendError> {
    let durable_head = log.durable_head();
    if log.head() <= durable_head.max(complete) {
        return Ok(false);
    }
    let question = SpaceEvent::space_activated(space_id);
    // The event at the head is one behind the durable head.
    let condition = AppendCondition::exact(space_id, revision)
        .and_no_event_matching(EventFilter::all(), durable_head);
    match log.append(&Append::new(&[question]).on(condition)) {
        Err(AppendError::ConditionFailed { failed }) => {
            let moved = |part: &FailedCondition| matches!(part, FailedCondition::Revision { .. });
            Ok(failed.iter().any(moved))
        }
        Err(error) => Err(error),
        Ok(_) => Ok(true),
    }
}

/// Where the event with this id stands, as far as the log recognises retries.
pub(crate) fn position_of(
    log: &dyn EventLog,
    id: EventId,
    space_id: &str,
) -> Result<Option<Position>, AppendError> {
    if log.head() == Position::START {
        return Ok(None);
    }
    let question = SpaceEvent::space_activated(space_id).with_event_id(id);
    let condition = AppendCondition::no_event_matching(EventFilter::all(), Position::START);
    match log.append(&Append::new(&[question]).on(condition)) {
        Ok(receipt) => Ok(Some(receipt.first_position())),
        Err(AppendError::EventIdReused { position, .. }) => Ok(Some(position)),
        Err(AppendError::ConditionFailed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
