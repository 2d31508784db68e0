//! Commands that were recorded before, under the same idempotency key.

use std::time::Duration;

use spacefold_event_core::{
    EventLog, MAX_APPEND_EVENTS, Object, Payload, Position, ReadError, ReadRequest, RecordedEvent,
};

use spacefold_projection::SnapshotError;

use crate::{
    command::Command, command_error::CommandError, commands::Commands, idempotency_key::KeyInLog,
    outcome::Outcome, refusal::Refusal, unchanged,
};

/// How long what was recorded before is waited for to become durable.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What the commands recorded before under their key, with keys added to each payload; `None` when the
/// log has no event of it.
pub(crate) fn find(
    log: &dyn EventLog,
    key: &KeyInLog,
    space_id: &str,
    commands: &Commands,
    added: &Object,
) -> Result<Option<Outcome>, CommandError> {
    match log.find_event(key.event_id(0))? {
        Some(position) => stored(log, key, position, space_id, commands, added).map(Some),
        None => Ok(None),
    }
}

/// What was recorded under the key, the first event at `first`, if these commands may have done it.
pub(crate) fn stored(
    log: &dyn EventLog,
    key: &KeyInLog,
    first: Position,
    space_id: &str,
    commands: &Commands,
    added: &Object,
) -> Result<Outcome, CommandError> {
    let durable_head = log.wait_durable(first, MAX_WAIT)?;
    if durable_head < first {
        return Err(SnapshotError::TimedOut { position: first, durable_head }.into());
    }
    let events = read(log, key, first)?;
    if let Some(other) = find_other(&events, space_id, commands.as_slice(), added) {
        let refusal = Refusal::KeyReused {
            key: key.key().clone(),
            space_id: other.event.space_id.clone(),
            type_name: other.event.type_name().to_owned(),
            position: other.position,
        };
        return Err(commands.refused(space_id, 0, refusal));
    }
    let is_unchanged = events.first().is_some_and(|first| unchanged::is_one(&first.event.payload));
    let outcome = Outcome::repeated(events);
    Ok(if is_unchanged { outcome.without_events() } else { outcome })
}

/// The first event that none of the commands may have emitted. Most commands have emitted one event at
/// the most, in their order, but for those who had to wait for others to move on.
fn find_other<'e>(
    events: &'e [RecordedEvent],
    space_id: &str,
    commands: &[Command],
    added: &Object,
) -> Option<&'e RecordedEvent> {
    if let Some(first) = events.first().filter(|first| unchanged::is_one(&first.event.payload)) {
        let is_it = first.event.space_id == space_id
            && unchanged::is_of(&first.event.payload, commands, added);
        return (!is_it).then_some(first);
    }
    let mut unused: Vec<bool> = vec![true; commands.len()];
    let mut next = 0;
    events.iter().enumerate().find_map(|(index, recorded)| {
        let event = &recorded.event;
        let (before, behind) = (0..next, next..commands.len());
        let emitter = behind.chain(before).find(|&at| {
            unused.get(at) == Some(&true)
                && commands.get(at).is_some_and(|it| it.may_have_emitted(&event.payload, added))
        });
        if let Some(at) = emitter {
            next = at;
            if let (Some(unused), Some(command)) = (unused.get_mut(at), commands.get(at)) {
                *unused = command.may_emit_several();
            }
        }
        let rest = events.get(index + 1..).unwrap_or_default();
        let is_known = event.space_id == space_id
            && (emitter.is_some() || commands.len() > 1 && is_left(&event.payload, rest));
        (!is_known).then_some(recorded)
    })
}

/// Whether the event puts a document somewhere from where one of these takes it: it stepped aside.
fn is_left(payload: &Payload, events: &[RecordedEvent]) -> bool {
    let (Payload::DocumentAdded { document_id, space_path: path, .. }
    | Payload::DocumentMoved { document_id, new_path: path, .. }) = payload
    else {
        return false;
    };
    events.iter().any(|recorded| match &recorded.event.payload {
        Payload::DocumentMoved { document_id: id, old_path, .. } => {
            document_id == id && old_path.as_deref() == Some(path.as_str())
        }
        Payload::DocumentRemoved { document_id: id, space_path, .. } => {
            document_id == id && space_path.as_deref() == Some(path.as_str())
        }
        Payload::SpaceDeleted { .. } => true,
        _ => false,
    })
}

/// The events under the key, from the first on.
fn read(
    log: &dyn EventLog,
    key: &KeyInLog,
    first: Position,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    for page in log.pages(ReadRequest::from(first).limit(MAX_APPEND_EVENTS)) {
        let page = page?;
        for envelope in page.envelopes().take(MAX_APPEND_EVENTS - events.len()) {
            if envelope.event_id != key.event_id(events.len()) {
                return Ok(events);
            }
            events.push(envelope.decode()?.to_owned_event());
        }
        if events.len() >= MAX_APPEND_EVENTS {
            break;
        }
    }
    Ok(events)
}
