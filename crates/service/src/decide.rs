//! What a command comes to in a state: events, nothing, or a refusal.
//!
//! An event that is decided here is never an anomaly to the fold.

mod references;
mod renders;
mod syncs;

use spacefold_event_core::{COMMAND_UNCHANGED, Object, Presence, RecordedHash, SpaceEvent, Value};
use spacefold_state::{Document, SpaceState, SpaceStatus, SyncStatus};

use self::{
    references::{add_reference, clear_references, set_references},
    renders::decide_on_render,
    syncs::{complete_sync, record_conflict, start_sync, take_over_sync},
};
use crate::{command::Command, refusal::Refusal};

/// The events that a command comes to in this state, none when it changes nothing. Of most commands
/// it is one at the most.
pub(crate) fn decide(state: &SpaceState, command: &Command) -> Result<Vec<SpaceEvent>, Refusal> {
    check_status(state, command)?;
    let events = match command {
        Command::StartRender { .. }
        | Command::CompleteRender { .. }
        | Command::FailRender { .. }
        | Command::TakeOverRender { .. } => decide_on_render(state, command)?,
        Command::SetReferences { document_id, references } => {
            set_references(state, document_id, references)?
        }
        _ => decide_one(state, command)?.into_iter().collect(),
    };
    events.iter().try_for_each(SpaceEvent::check_limits)?;
    Ok(events)
}

/// The event that a command comes to which has no more than one.
fn decide_one(state: &SpaceState, command: &Command) -> Result<Option<SpaceEvent>, Refusal> {
    Ok(match command {
        Command::CreateSpace { name }
        | Command::RenameSpace { name }
        | Command::DeleteVariable { name } => decide_by_name(state, command, name)?,
        Command::UpdateSpace { changes } => update_space(state, changes)?,
        Command::ActivateSpace => Some(SpaceEvent::space_activated(state.space_id())),
        Command::ArchiveSpace => Some(SpaceEvent::space_archived(state.space_id())),
        Command::DeleteSpace => {
            let name = state.name().map(str::to_owned);
            Some(SpaceEvent::space_deleted(state.space_id(), name))
        }
        Command::SetVariable { name, value } => {
            let changes = state.variable(name) != Some(value);
            changes.then(|| SpaceEvent::variable_set(state.space_id(), name, value.clone()))
        }
        Command::StartSync { direction } => Some(start_sync(state, direction)?),
        Command::TakeOverSync { direction, started } => {
            Some(take_over_sync(state, direction, *started)?)
        }
        Command::CompleteSync { started } => Some(complete_sync(state, *started)?),
        Command::RecordConflict { document_id, local_hash, remote_hash, started } => {
            record_conflict(state, document_id, [local_hash, remote_hash], *started)?
        }
        Command::InvalidateCache { document_ids, reason } => {
            invalidate_cache(state, document_ids, reason)?
        }
        Command::Record { type_name, payload } => Some(record(state, type_name, payload)?),
        _ => decide_on_document(state, command)?,
    })
}

/// Whether the space is in a status in which the command may be given.
fn check_status(state: &SpaceState, command: &Command) -> Result<(), Refusal> {
    let status = state.status();
    match command {
        Command::CreateSpace { .. } if has_begun(state) && status != SpaceStatus::Deleted => {
            return Err(Refusal::SpaceExists { status });
        }
        Command::Record { .. } if status == SpaceStatus::Deleted => {
            return Err(Refusal::SpaceDeleted);
        }
        Command::CreateSpace { .. } | Command::Record { .. } => return Ok(()),
        _ => check_there(state)?,
    }
    match (status, command) {
        (SpaceStatus::Active, Command::ActivateSpace)
        | (SpaceStatus::Archived, Command::ArchiveSpace) => {
            Err(Refusal::StatusUnchanged { status })
        }
        (SpaceStatus::Archived, command) if !may_be_archived(state, command) => {
            Err(Refusal::SpaceArchived)
        }
        _ => Ok(()),
    }
}

/// Whether the space has had an event of the 21: those of an application's own do not begin one.
fn has_begun(state: &SpaceState) -> bool {
    state.created_at().is_some()
}

fn check_there(state: &SpaceState) -> Result<(), Refusal> {
    match state.status() {
        _ if !has_begun(state) => Err(Refusal::NoSuchSpace),
        SpaceStatus::Deleted => Err(Refusal::SpaceDeleted),
        _ => Ok(()),
    }
}

/// Whether the command may be given on an archived space. Renders and synchronisations begin on
/// no archived space, so that those that run were under way.
fn may_be_archived(state: &SpaceState, command: &Command) -> bool {
    match command {
        Command::ActivateSpace
        | Command::DeleteSpace
        | Command::CompleteRender { .. }
        | Command::FailRender { .. }
        | Command::CompleteSync { .. }
        | Command::RecordConflict { .. } => true,
        Command::ResolveConflict { .. } => state.sync().status == SyncStatus::Running,
        _ => false,
    }
}

/// Whether a move fits the state in all but who is at its path.
pub(crate) fn check_but_for_path(state: &SpaceState, command: &Command) -> Result<(), Refusal> {
    check_status(state, command)?;
    if let Command::MoveDocument { document_id, new_path } = command {
        check_filled("path", new_path)?;
        known_document(state, document_id)?;
    }
    Ok(())
}

/// Whether a document may be given content, whatever that is.
pub(crate) fn check_takes_content(state: &SpaceState, document_id: &str) -> Result<(), Refusal> {
    check_there(state)?;
    if state.status() == SpaceStatus::Archived {
        return Err(Refusal::SpaceArchived);
    }
    known_document(state, document_id).map(drop)
}

fn decide_by_name(
    state: &SpaceState,
    command: &Command,
    name: &str,
) -> Result<Option<SpaceEvent>, Refusal> {
    if let Command::DeleteVariable { .. } = command {
        if state.variable(name).is_none() {
            return Err(Refusal::UnknownVariable { name: name.to_owned() });
        }
        return Ok(Some(SpaceEvent::variable_deleted(state.space_id(), name)));
    }
    check_filled("name", name)?;
    if let Command::CreateSpace { .. } = command {
        return Ok(Some(SpaceEvent::space_created(state.space_id(), name)));
    }
    if state.name() == Some(name) {
        return Ok(None);
    }
    let changes = Object::from_iter([("name", Value::from(name))]);
    Ok(Some(SpaceEvent::space_updated(state.space_id(), changes)))
}

fn update_space(state: &SpaceState, changes: &Object) -> Result<Option<SpaceEvent>, Refusal> {
    let name = changes.get("name").and_then(Value::as_str);
    if let Some(name) = name {
        check_filled("name", name)?;
    }
    let renames = name.is_some() && name != state.name();
    let changes_any = renames || merges(state.metadata(), changes);
    Ok(changes_any.then(|| SpaceEvent::space_updated(state.space_id(), changes.clone())))
}

fn decide_on_document(
    state: &SpaceState,
    command: &Command,
) -> Result<Option<SpaceEvent>, Refusal> {
    let space_id = state.space_id();
    match command {
        Command::AddDocument { document_id, path } => {
            check_filled("path", path)?;
            if let Some(document) = state.document(document_id) {
                let (document_id, path) = (document_id.clone(), document.path().to_owned());
                return Err(Refusal::DocumentExists { document_id, path });
            }
            check_path_free(state, path)?;
            Ok(Some(SpaceEvent::document_added(space_id, document_id, path)))
        }
        Command::UpdateDocument { document_id, changes } => {
            let document = known_document(state, document_id)?;
            let changes_any = merges(document.attributes(), changes);
            let event = || SpaceEvent::document_updated(space_id, document_id, changes.clone());
            Ok(changes_any.then(event))
        }
        Command::MoveDocument { document_id, new_path } => {
            check_filled("path", new_path)?;
            let old_path = known_document(state, document_id)?.path();
            if old_path == new_path {
                return Ok(None);
            }
            check_path_free(state, new_path)?;
            Ok(Some(SpaceEvent::document_moved(space_id, document_id, old_path, new_path)))
        }
        Command::RemoveDocument { document_id } => {
            let path = known_document(state, document_id)?.path();
            Ok(Some(SpaceEvent::document_removed(space_id, document_id, path)))
        }
        Command::SetContentHash { document_id, hash } => {
            check_filled("hash", hash)?;
            let old_hash =
                known_document(state, document_id)?.content_hash().map(RecordedHash::into_text);
            let changes = old_hash != Some(hash.as_str());
            Ok(changes.then(|| content_changed(state, document_id, old_hash, hash)))
        }
        Command::ResolveConflict { document_id, hash } => {
            check_filled("hash", hash)?;
            let old_hash =
                known_document(state, document_id)?.content_hash().map(RecordedHash::into_text);
            if state.conflict(document_id).is_none() {
                return Err(Refusal::NoConflict { document_id: document_id.clone() });
            }
            // Emitted even when it is the same hash: the event is what closes the conflict.
            Ok(Some(content_changed(state, document_id, old_hash, hash)))
        }
        Command::AddReference { document_id, target, kind } => {
            add_reference(state, document_id, target, kind)
        }
        Command::ClearReferences { document_id } => clear_references(state, document_id),
        _ => Ok(None),
    }
}

fn content_changed(
    state: &SpaceState,
    document_id: &str,
    old_hash: Option<&str>,
    hash: &str,
) -> SpaceEvent {
    let old_hash = old_hash.map(str::to_owned);
    SpaceEvent::document_content_changed(state.space_id(), document_id, old_hash, hash)
}

fn invalidate_cache(
    state: &SpaceState,
    document_ids: &[String],
    reason: &Presence,
) -> Result<Option<SpaceEvent>, Refusal> {
    let mut marks_any = false;
    for id in document_ids {
        known_document(state, id)?;
        marks_any |= !state.is_stale(id);
    }
    let event = || SpaceEvent::cache_invalidated(state.space_id(), document_ids, reason.clone());
    Ok(marks_any.then(event))
}

fn record(state: &SpaceState, type_name: &str, payload: &Object) -> Result<SpaceEvent, Refusal> {
    if type_name == COMMAND_UNCHANGED {
        return Err(Refusal::ReservedType { name: COMMAND_UNCHANGED });
    }
    Ok(SpaceEvent::application(state.space_id(), type_name, payload.clone())?)
}

/// Whether merging `changes` into `object` changes it.
fn merges(object: &Object, changes: &Object) -> bool {
    changes.iter().any(|(key, value)| match value {
        Value::Null => object.get(key).is_some(),
        value => object.get(key) != Some(value),
    })
}

fn known_document<'a>(state: &'a SpaceState, document_id: &str) -> Result<&'a Document, Refusal> {
    let unknown = || Refusal::UnknownDocument { document_id: document_id.to_owned() };
    state.document(document_id).ok_or_else(unknown)
}

fn check_path_free(state: &SpaceState, path: &str) -> Result<(), Refusal> {
    if !state.has_path(path) {
        return Ok(());
    }
    let document_id = state.document_at(path).map(|(id, _)| id.to_owned()).unwrap_or_default();
    Err(Refusal::PathTaken { path: path.to_owned(), document_id })
}

fn check_filled(what: &'static str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() { Err(Refusal::Empty { what }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
