//! Commands that were recorded before, under the same idempotency key.

use std::time::Duration;

use spacefold_event_core::{
    EventLog, MAX_APPEND_EVENTS, Pages, Position, Read, ReadError, RecordedEvent,
};

use crate::{CommandError, IdempotencyKey, Outcome, Refusal, commands::Commands, question};

/// How long what was recorded before is waited for to become durable.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What the commands recorded before under their key; `None` when the log has no event of it.
pub(crate) fn find(
    log: &dyn EventLog,
    key: &IdempotencyKey,
    space_id: &str,
    commands: &Commands,
) -> Result<Option<Outcome>, CommandError> {
    match question::position_of(log, key.event_id(0), space_id)? {
        Some(position) => stored(log, key, position, space_id, commands).map(Some),
        None => Ok(None),
    }
}

/// What was recorded under the key, the first event at `first`, if these commands may have done it.
pub(crate) fn stored(
    log: &dyn EventLog,
    key: &IdempotencyKey,
    first: Position,
    space_id: &str,
    commands: &Commands,
) -> Result<Outcome, CommandError> {
    log.wait_durable(first, MAX_WAIT)?;
    let events = read(log, key, first)?;
    let mut rest = commands.as_slice().iter();
    for recorded in &events {
        let event = &recorded.event;
        if event.space_id != space_id
            || !rest.any(|command| command.may_have_emitted(&event.payload))
        {
            let refusal = Refusal::KeyReused {
                key: key.clone(),
                space_id: event.space_id.clone(),
                event_type: event.event_type(),
                position: recorded.position,
            };
            return Err(commands.refused(space_id, 0, refusal));
        }
    }
    Ok(Outcome::repeated(events))
}

/// The events under the key, from the first on.
fn read(
    log: &dyn EventLog,
    key: &IdempotencyKey,
    first: Position,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    for page in Pages::of(log, Read::from(first).limit(MAX_APPEND_EVENTS)) {
        let page = page?;
        for envelope in page.envelopes().take(MAX_APPEND_EVENTS - events.len()) {
            if envelope.event_id != key.event_id(events.len()) {
                return Ok(events);
            }
            let position = envelope.position;
            let event =
                envelope.decode().map_err(|cause| ReadError::Corrupt { position, cause })?;
            events.push(event.to_owned_event());
        }
        if events.len() >= MAX_APPEND_EVENTS {
            break;
        }
    }
    Ok(events)
}
