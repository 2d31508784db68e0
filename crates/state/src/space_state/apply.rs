//! The fold: what each event does to the state of its space.
//!
//! It is total: an event that does not fit is counted as one anomaly, with the first reason that
//! applies in the order of [`AnomalyReason`], and does no more than that reason allows. What it did is
//! its [`Effect`]: projections go by that, and know no rule of this file.

use std::sync::Arc;

use spacefold_event_core::{Object, Payload, Position, RecordedEventRef, bytes::to_u32};

use super::{
    KnownHash, SpaceState,
    effect::Effect,
    parts::{
        Anomaly, AnomalyReason, Conflict, Document, Reference, Render, RenderStatus, SpaceStatus,
        SyncState, SyncStatus,
    },
    paths::PathCounts,
    references::References,
};
use crate::shared_map::Key;

impl SpaceState {
    /// Takes in the next event of the space, and answers what it did.
    ///
    /// Revision and time of the newest event move with every event, ignored ones too.
    pub fn apply(&mut self, event: &RecordedEventRef<'_>) -> Effect {
        self.hash = KnownHash::default();
        self.revision = event.revision;
        self.updated_at = event.recorded_at;
        if let Payload::Application { .. } = event.payload {
            return Effect::Whole;
        }
        // A space begins with its first core event: those of an application before it do not count.
        let is_first = self.created_at.is_none();
        let created = match &event.payload {
            Payload::SpaceCreated { name, .. } => Some(*name),
            _ => None,
        };
        let mut unknown = Vec::new();
        let did = match created {
            Some(name) if is_first || self.status == SpaceStatus::Deleted => {
                self.begin(event, name);
                Did::Whole
            }
            None if is_first => {
                self.created_at = Some(event.recorded_at);
                match self.apply_live(event, &mut unknown) {
                    Did::Ignored(_) => Did::Ignored(AnomalyReason::SpaceNotCreated),
                    _ => Did::Remarked(AnomalyReason::SpaceNotCreated),
                }
            }
            None if self.status == SpaceStatus::Deleted => {
                Did::Ignored(AnomalyReason::SpaceDeleted)
            }
            _ => self.apply_live(event, &mut unknown),
        };
        if let Did::Whole = did {
            return Effect::Whole;
        }
        self.remark(event, did, unknown)
    }

    /// Counts an anomaly, and answers the effect of its event.
    #[cold]
    fn remark(&mut self, event: &RecordedEventRef<'_>, did: Did, unknown: Vec<u32>) -> Effect {
        let effect = match did {
            Did::Whole => Effect::Whole,
            Did::Remarked(reason) => Effect::Remarked(reason),
            Did::Ignored(reason) => Effect::Ignored(reason),
            Did::Part => Effect::Partial { ignored: unknown.into() },
        };
        if let Some(reason) = effect.reason() {
            Arc::make_mut(&mut self.anomalies).add(Anomaly {
                position: event.position,
                event_type: event.event_type,
                reason,
            });
        }
        effect
    }

    /// A fresh state; revision and anomalies go on.
    fn begin(&mut self, event: &RecordedEventRef<'_>, name: &str) {
        self.empty();
        self.name = Some(name.into());
        self.status = SpaceStatus::Created;
        self.created_at = Some(event.recorded_at);
        self.metadata = Arc::default();
        self.sync = SyncState::default();
    }

    /// Lets go of all that a deleted space does not keep.
    fn empty(&mut self) {
        self.documents.clear();
        self.paths = PathCounts::none();
        self.variables.clear();
        self.references.clear();
        self.space_render = None;
        self.renders.clear();
        self.conflicts.clear();
        self.stale.clear();
        self.sync.status = SyncStatus::Idle;
        self.sync.started = None;
    }

    /// What an event does to a space that is not deleted.
    fn apply_live(&mut self, event: &RecordedEventRef<'_>, unknown: &mut Vec<u32>) -> Did {
        let position = event.position;
        match &event.payload {
            Payload::SpaceCreated { name, .. } => {
                self.name = Some((*name).into());
                if self.status == SpaceStatus::Unknown {
                    self.status = SpaceStatus::Created;
                }
                return Did::Remarked(AnomalyReason::SpaceExists);
            }
            Payload::SpaceUpdated { changes, .. } => self.update(changes),
            Payload::SpaceDeleted { .. } => {
                self.empty();
                self.status = SpaceStatus::Deleted;
            }
            Payload::SpaceActivated { .. } => self.status = SpaceStatus::Active,
            Payload::SpaceArchived { .. } => self.status = SpaceStatus::Archived,
            Payload::VariableSet { name, value, .. } => self.set_variable(name, value),
            Payload::VariableDeleted { name, .. } => {
                self.variables.remove(*name);
            }
            Payload::ReferenceCleared { document_id, .. } => {
                return self.clear_references(document_id.as_deref());
            }
            Payload::RenderStarted { document_id, .. } => {
                let render = render(RenderStatus::Running, None, None, position);
                return self.set_render(document_id.as_deref(), render);
            }
            Payload::RenderCompleted { document_id, output_hash, .. } => {
                let output_hash = output_hash.as_deref();
                let render = render(RenderStatus::Completed, output_hash, None, position);
                return self.set_render(document_id.as_deref(), render);
            }
            Payload::RenderFailed { document_id, error, .. } => {
                let render = render(RenderStatus::Failed, None, error.as_deref(), position);
                return self.set_render(document_id.as_deref(), render);
            }
            Payload::SyncStarted { .. } => {
                self.sync.status = SyncStatus::Running;
                self.sync.started = Some(position);
                self.conflicts.clear();
            }
            Payload::SyncCompleted { .. } => {
                self.sync.status = SyncStatus::Idle;
                self.sync.started = None;
                self.sync.last_completed = Some((position, event.recorded_at));
            }
            Payload::SyncConflict { document_id, local_hash, remote_hash, .. } => {
                let conflict = Conflict {
                    local_hash: local_hash.as_deref().map(Arc::from),
                    remote_hash: remote_hash.as_deref().map(Arc::from),
                    position,
                };
                self.conflicts.insert(*document_id, conflict);
            }
            Payload::CacheInvalidated { document_ids, .. } => {
                return self.mark_stale(document_ids, unknown);
            }
            payload => return self.apply_to_document(payload, position),
        }
        Did::Whole
    }

    /// What the events that name one document do.
    fn apply_to_document(&mut self, payload: &Payload<&str>, position: Position) -> Did {
        match payload {
            Payload::DocumentAdded { document_id, space_path, .. } => {
                self.add_document(document_id, space_path, position)
            }
            Payload::DocumentUpdated { document_id, changes, .. } => {
                let Some(document) = self.documents.get_mut(*document_id) else {
                    return UNKNOWN;
                };
                document.merge(changes);
                document.updated_position = position;
                Did::Whole
            }
            Payload::DocumentRemoved { document_id, .. } => self.remove_document(document_id),
            Payload::DocumentMoved { document_id, new_path, .. } => {
                match self.set_path((*document_id).into(), (*new_path).into(), position) {
                    None => UNKNOWN,
                    Some(taken) => path_taken(taken),
                }
            }
            Payload::DocumentContentChanged { document_id, new_hash, .. } => {
                let id = Key::from(*document_id);
                let Some(document) = self.documents.get_mut(id) else {
                    return UNKNOWN;
                };
                document.updated_position = position;
                // The event that closes a conflict may leave the content as it is.
                if document.content_hash.as_deref() != Some(*new_hash) {
                    document.content_hash = Some((*new_hash).into());
                    document.content_position = position;
                }
                self.conflicts.remove(id);
                Did::Whole
            }
            Payload::ReferenceAdded { document_id, target, kind, .. } => {
                let id = Key::from(*document_id);
                if !self.documents.contains_key(id) {
                    return UNKNOWN;
                }
                let reference = Reference {
                    target: (*target).to_owned(),
                    kind: kind.as_deref().map(str::to_owned),
                };
                self.references.get_or_insert_with(id, References::new).insert(reference);
                Did::Whole
            }
            _ => Did::Whole,
        }
    }

    fn update(&mut self, changes: &Object<&str>) {
        if let Some(name) = changes.get("name").and_then(|name| name.as_str()) {
            self.name = Some(name.into());
        }
        Arc::make_mut(&mut self.metadata).merge(changes);
    }

    fn set_variable(&mut self, name: &str, value: &spacefold_event_core::Value<&str>) {
        self.variables.insert(name, value.to_owned_value());
    }

    fn add_document(&mut self, id: &str, path: &str, position: Position) -> Did {
        let (id, path) = (Key::from(id), Key::from(path));
        if self.set_path(id, path, position).is_some() {
            return Did::Remarked(AnomalyReason::DocumentExists);
        }
        let document = Document {
            path: path.text().into(),
            content_hash: None,
            attributes: None,
            added_position: position,
            updated_position: position,
            content_position: Position::START,
        };
        self.documents.insert_new(id, document);
        path_taken(self.paths.take(path))
    }

    /// Moves a known document, and says whether another one is at the path; `None` when the
    /// document is unknown.
    fn set_path(&mut self, id: Key<'_>, path: Key<'_>, position: Position) -> Option<bool> {
        self.paths.count(&self.documents);
        let document = self.documents.get_mut(id)?;
        document.updated_position = position;
        let old = std::mem::replace(&mut document.path, path.text().into());
        // Its own place is given back first: what is counted then are the others.
        self.paths.give_back((&*old).into());
        Some(self.paths.take(path))
    }

    fn remove_document(&mut self, id: &str) -> Did {
        let id = Key::from(id);
        self.paths.count(&self.documents);
        let Some(document) = self.documents.remove(id) else {
            return UNKNOWN;
        };
        self.paths.give_back((&*document.path).into());
        self.references.remove(id);
        self.renders.remove(id);
        self.stale.remove(id);
        self.conflicts.remove(id);
        Did::Whole
    }

    fn clear_references(&mut self, document_id: Option<&str>) -> Did {
        match document_id {
            None => self.references.clear(),
            Some(id) if self.documents.contains_key(id) => {
                self.references.remove(id);
            }
            Some(_) => return UNKNOWN,
        }
        Did::Whole
    }

    fn set_render(&mut self, document_id: Option<&str>, render: Render) -> Did {
        let completed = render.status == RenderStatus::Completed;
        let Some(id) = document_id else {
            if completed {
                self.stale.clear();
            }
            let render = render.after(self.space_render.as_deref());
            self.space_render = Some(Arc::new(render));
            return Did::Whole;
        };
        let id = Key::from(id);
        if !self.documents.contains_key(id) {
            return UNKNOWN;
        }
        if completed {
            self.stale.remove(id);
        }
        match self.renders.get_mut(id) {
            Some(known) => *known = render.after(Some(known)),
            None => self.renders.insert_new(id, render.after(None)),
        }
        Did::Whole
    }

    fn mark_stale(&mut self, document_ids: &[&str], unknown: &mut Vec<u32>) -> Did {
        for (place, id) in document_ids.iter().map(|id| Key::from(*id)).enumerate() {
            if !self.documents.contains_key(id) {
                unknown.push(to_u32(place));
            } else if !self.stale.contains_key(id) {
                self.stale.insert_new(id, ());
            }
        }
        match unknown.len() {
            0 => Did::Whole,
            all if all == document_ids.len() => UNKNOWN,
            _ => Did::Part,
        }
    }
}

/// An [`Effect`] as the fold hands it on: without what would have to be dropped on every path.
#[derive(Clone, Copy)]
enum Did {
    Whole,
    Remarked(AnomalyReason),
    Ignored(AnomalyReason),
    /// All but some documents of a list, which are noted beside it.
    Part,
}

/// What an event does that names a document which the space does not have.
const UNKNOWN: Did = Did::Ignored(AnomalyReason::UnknownDocument);

/// What comes of what was done to a document, by whether another one is at its path.
const fn path_taken(taken: bool) -> Did {
    match taken {
        true => Did::Remarked(AnomalyReason::PathTaken),
        false => Did::Whole,
    }
}

fn render(
    status: RenderStatus,
    output_hash: Option<&str>,
    error: Option<&str>,
    position: Position,
) -> Render {
    Render {
        status,
        output_hash: output_hash.map(Arc::from),
        error: error.map(Arc::from),
        position,
        shows: Position::START,
    }
}

impl Document {
    fn merge(&mut self, changes: &Object<&str>) {
        let attributes = Arc::make_mut(self.attributes.get_or_insert_default());
        attributes.merge(changes);
        if attributes.is_empty() {
            self.attributes = None;
        }
    }
}
