//! A question to a log that it answers by the way, when it decides an append.
//!
//! Such an append asks for what cannot be: that no event stands where one does. The log looks for a
//! retry first, then at every part of the condition, and answers what it found; nothing is written.
//! What is not durable yet counts, as it does for every append.

use spacefold_event_core::{
    Append, AppendCondition, AppendError, EventFilter, EventId, EventLog, Position, SpaceEvent,
};

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
