//! The service in the plainest form: maps, and the rules of the contract written down once more.

use std::collections::{BTreeMap, BTreeSet};

use spacefold::{
    Snapshot, SpaceEvent, Value,
    command::Command,
    event::{Object, Presence},
};

/// A space as the rules see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reference {
    status: Status,
    name: String,
    metadata: BTreeMap<String, Value>,
    documents: BTreeMap<String, Document>,
    variables: BTreeMap<String, Value>,
    references: BTreeSet<(String, String, Option<String>)>,
    renders: BTreeMap<Option<String>, &'static str>,
    syncs: bool,
    conflicts: BTreeMap<String, (Option<String>, Option<String>)>,
    stale: BTreeSet<String>,
    /// Of a batch, the commands behind the one that is given.
    rest: Vec<Command>,
    /// Whether a document was put where another one is that is to leave.
    overlapped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    None,
    Created,
    Active,
    Archived,
    Deleted,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Document {
    path: String,
    hash: Option<String>,
    attributes: BTreeMap<String, Value>,
}

/// What a command comes to: an event, nothing, or the name of the rule that refuses it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Event(Box<SpaceEvent>),
    Nothing,
    Refused(&'static str),
}

use Answer::{Nothing, Refused};

fn event(event: SpaceEvent) -> Answer {
    Answer::Event(Box::new(event))
}

fn merge(into: &mut BTreeMap<String, Value>, changes: &Object) -> bool {
    let before = into.clone();
    for (key, value) in changes.iter() {
        match value {
            Value::Null => into.remove(key),
            value => into.insert(key.clone(), value.clone()),
        };
    }
    *into != before
}

fn text(presence: &Presence) -> Option<String> {
    presence.as_deref().map(str::to_owned)
}

impl Reference {
    /// What the commands of a batch come to, one by one, and whether documents took the paths of others
    /// before these had left: then it is by other events.
    pub(super) fn batch(&mut self, space: &str, commands: &[Command]) -> (Vec<Answer>, bool) {
        let mut overlapped = false;
        let answers = commands.iter().enumerate().map(|(index, command)| {
            self.rest = commands[index + 1..].to_vec();
            let answer = self.command(space, command);
            overlapped |= std::mem::take(&mut self.overlapped);
            answer
        });
        let answers = answers.collect();
        self.rest.clear();
        (answers, overlapped)
    }

    /// Whether another document is at the path, and none of the two is to leave it.
    fn is_taken(&mut self, document_id: &str, path: &str) -> bool {
        let leaves = |id: &str| {
            self.rest.iter().any(|command| match command {
                Command::MoveDocument { document_id, new_path } => {
                    document_id == id && new_path != path
                }
                Command::RemoveDocument { document_id } => document_id == id,
                Command::DeleteSpace => true,
                _ => false,
            })
        };
        let mut others =
            self.documents.iter().filter(|(id, it)| *id != document_id && it.path == path);
        if others.clone().next().is_none() {
            return false;
        }
        let taken = !others.all(|(id, _)| leaves(id)) && !leaves(document_id);
        self.overlapped = !taken;
        taken
    }

    /// What the command comes to, and the space after it.
    pub(super) fn command(&mut self, space: &str, command: &Command) -> Answer {
        let creates = matches!(command, Command::CreateSpace { .. });
        match self.status {
            Status::None | Status::Deleted if creates => {}
            _ if creates => return Refused("SpaceExists"),
            Status::None => return Refused("NoSuchSpace"),
            Status::Deleted => return Refused("SpaceDeleted"),
            _ => {}
        }
        match command {
            Command::CreateSpace { name } | Command::RenameSpace { name }
                if name.is_empty() && (creates || self.status != Status::Archived) =>
            {
                Refused("Empty")
            }
            Command::CreateSpace { name } => {
                *self = Self { status: Status::Created, name: name.clone(), ..Self::default() };
                event(SpaceEvent::space_created(space, name))
            }
            Command::ActivateSpace if self.status == Status::Active => Refused("StatusUnchanged"),
            Command::ActivateSpace => {
                self.status = Status::Active;
                event(SpaceEvent::space_activated(space))
            }
            Command::ArchiveSpace if self.status == Status::Archived => Refused("StatusUnchanged"),
            Command::ArchiveSpace => {
                self.status = Status::Archived;
                event(SpaceEvent::space_archived(space))
            }
            Command::DeleteSpace => {
                let (name, metadata) = (self.name.clone(), self.metadata.clone());
                *self = Self { status: Status::Deleted, name, metadata, ..Self::default() };
                event(SpaceEvent::space_deleted(space, self.name.as_str()))
            }
            Command::CompleteRender { document_id, output_hash, .. } => {
                let (id, hash) = (document_id.clone(), output_hash.clone());
                let completed = SpaceEvent::render_completed(space, id, hash);
                let answer = self.end_render(document_id, "completed", completed);
                if answer != Refused("RenderNotRunning") && answer != Refused("UnknownDocument") {
                    match document_id.as_deref() {
                        Some(id) => {
                            self.stale.remove(id);
                        }
                        None => self.stale.clear(),
                    }
                }
                answer
            }
            Command::FailRender { document_id, error, .. } => {
                let failed = SpaceEvent::render_failed(space, document_id.clone(), error.clone());
                self.end_render(document_id, "failed", failed)
            }
            Command::CompleteSync { .. } if !self.syncs => Refused("SyncNotRunning"),
            Command::CompleteSync { .. } => {
                self.syncs = false;
                event(SpaceEvent::sync_completed(space))
            }
            Command::RecordConflict { .. } if !self.syncs => Refused("SyncNotRunning"),
            Command::RecordConflict { document_id, local_hash, remote_hash, .. } => {
                let hashes = (text(local_hash), text(remote_hash));
                let before = self.conflicts.insert(document_id.clone(), hashes.clone());
                if before == Some(hashes) {
                    return Nothing;
                }
                let (local, remote) = (local_hash.clone(), remote_hash.clone());
                event(SpaceEvent::sync_conflict(space, document_id, local, remote))
            }
            Command::ResolveConflict { .. } if self.status == Status::Archived && !self.syncs => {
                Refused("SpaceArchived")
            }
            Command::ResolveConflict { document_id, hash } => {
                let Some(document) = self.documents.get_mut(document_id) else {
                    return Refused("UnknownDocument");
                };
                if self.conflicts.remove(document_id).is_none() {
                    return Refused("NoConflict");
                }
                let old = document.hash.replace(hash.clone());
                event(SpaceEvent::document_content_changed(space, document_id, old, hash))
            }
            _ if self.status == Status::Archived => Refused("SpaceArchived"),
            command => self.command_at_work(space, command),
        }
    }

    /// What needs a space that is neither archived nor deleted.
    fn command_at_work(&mut self, space: &str, command: &Command) -> Answer {
        match command {
            Command::UpdateSpace { changes } => {
                let name = changes.get("name").and_then(Value::as_str).map(str::to_owned);
                let renames = name.as_ref().is_some_and(|name| *name != self.name);
                self.name = name.unwrap_or_else(|| self.name.clone());
                if !merge(&mut self.metadata, changes) && !renames {
                    return Nothing;
                }
                event(SpaceEvent::space_updated(space, changes.clone()))
            }
            Command::RenameSpace { name } if *name == self.name => Nothing,
            Command::RenameSpace { name } => {
                self.name.clone_from(name);
                let changes = Object::from_iter([("name", Value::from(name.as_str()))]);
                merge(&mut self.metadata, &changes);
                event(SpaceEvent::space_updated(space, changes))
            }
            Command::SetVariable { name, value } => {
                let before = self.variables.insert(name.clone(), value.clone());
                if before.as_ref() == Some(value) {
                    return Nothing;
                }
                event(SpaceEvent::variable_set(space, name, value.clone()))
            }
            Command::DeleteVariable { name } => match self.variables.remove(name) {
                Some(_) => event(SpaceEvent::variable_deleted(space, name)),
                None => Refused("UnknownVariable"),
            },
            Command::StartSync { .. } if self.syncs => Refused("SyncRunning"),
            Command::StartSync { direction } => {
                self.syncs = true;
                self.conflicts.clear();
                event(SpaceEvent::sync_started(space, direction.clone()))
            }
            Command::StartRender { document_id } => {
                let id = text(document_id);
                if id.as_ref().is_some_and(|id| !self.documents.contains_key(id)) {
                    return Refused("UnknownDocument");
                }
                if self.renders.insert(id, "running") == Some("running") {
                    return Refused("RenderRunning");
                }
                event(SpaceEvent::render_started(space, document_id.clone()))
            }
            Command::InvalidateCache { document_ids, reason } => {
                if document_ids.iter().any(|id| !self.documents.contains_key(id)) {
                    return Refused("UnknownDocument");
                }
                let before = self.stale.len();
                self.stale.extend(document_ids.iter().cloned());
                if self.stale.len() == before {
                    return Nothing;
                }
                event(SpaceEvent::cache_invalidated(space, document_ids.clone(), reason.clone()))
            }
            Command::ClearReferences { document_id } => {
                let id = text(document_id);
                if id.as_ref().is_some_and(|id| !self.documents.contains_key(id)) {
                    return Refused("UnknownDocument");
                }
                let before = self.references.len();
                self.references.retain(|(of, ..)| id.as_ref().is_some_and(|id| id != of));
                if self.references.len() == before {
                    return Nothing;
                }
                event(SpaceEvent::reference_cleared(space, document_id.clone()))
            }
            command => self.command_on_document(space, command),
        }
    }

    fn command_on_document(&mut self, space: &str, command: &Command) -> Answer {
        match command {
            Command::AddDocument { path, .. } | Command::MoveDocument { new_path: path, .. }
                if path.is_empty() =>
            {
                Refused("Empty")
            }
            Command::AddDocument { document_id, path } => {
                if self.documents.contains_key(document_id) {
                    return Refused("DocumentExists");
                }
                if self.is_taken(document_id, path) {
                    return Refused("PathTaken");
                }
                let document = Document { path: path.clone(), ..Document::default() };
                self.documents.insert(document_id.clone(), document);
                event(SpaceEvent::document_added(space, document_id, path))
            }
            Command::AddReference { target, .. } if target.is_empty() => Refused("Empty"),
            Command::UpdateDocument { document_id, .. }
            | Command::MoveDocument { document_id, .. }
            | Command::RemoveDocument { document_id }
            | Command::SetContentHash { document_id, .. }
            | Command::AddReference { document_id, .. }
                if !self.documents.contains_key(document_id) =>
            {
                Refused("UnknownDocument")
            }
            Command::UpdateDocument { document_id, changes } => {
                let document = self.documents.get_mut(document_id).unwrap();
                if !merge(&mut document.attributes, changes) {
                    return Nothing;
                }
                event(SpaceEvent::document_updated(space, document_id, changes.clone()))
            }
            Command::MoveDocument { document_id, new_path } => {
                if self.documents[document_id].path == *new_path {
                    return Nothing;
                }
                if self.is_taken(document_id, new_path) {
                    return Refused("PathTaken");
                }
                let document = self.documents.get_mut(document_id).unwrap();
                let old = std::mem::replace(&mut document.path, new_path.clone());
                event(SpaceEvent::document_moved(space, document_id, old, new_path))
            }
            Command::RemoveDocument { document_id } => {
                let document = self.documents.remove(document_id).unwrap();
                self.references.retain(|(of, ..)| of != document_id);
                self.renders.remove(&Some(document_id.clone()));
                self.stale.remove(document_id);
                self.conflicts.remove(document_id);
                event(SpaceEvent::document_removed(space, document_id, document.path))
            }
            Command::SetContentHash { document_id, hash } => {
                let document = self.documents.get_mut(document_id).unwrap();
                if document.hash.as_ref() == Some(hash) {
                    return Nothing;
                }
                let old = document.hash.replace(hash.clone());
                self.conflicts.remove(document_id);
                event(SpaceEvent::document_content_changed(space, document_id, old, hash))
            }
            Command::AddReference { document_id, target, kind } => {
                if !self.references.insert((document_id.clone(), target.clone(), text(kind))) {
                    return Nothing;
                }
                event(SpaceEvent::reference_added(space, document_id, target, kind.clone()))
            }
            command => panic!("{command:?} is no command that is tried here"),
        }
    }

    fn end_render(
        &mut self,
        document_id: &Presence,
        status: &'static str,
        ended: SpaceEvent,
    ) -> Answer {
        let id = text(document_id);
        if id.as_ref().is_some_and(|id| !self.documents.contains_key(id)) {
            return Refused("UnknownDocument");
        }
        match self.renders.get_mut(&id) {
            Some(render) if *render == "running" => {
                *render = status;
                event(ended)
            }
            _ => Refused("RenderNotRunning"),
        }
    }

    /// Fails unless the state is that of this space.
    pub(super) fn assert_is(&self, state: &Snapshot) {
        let status = format!("{:?}", self.status).to_lowercase();
        assert_eq!(state.status().name(), status);
        assert_eq!(state.name(), Some(self.name.as_str()));
        let entries = |object: &Object| -> BTreeMap<String, Value> {
            object.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        assert_eq!(entries(state.metadata()), self.metadata);
        let documents = state.documents().into_iter().map(|(id, document)| {
            let path = document.path().to_owned();
            let hash = document.content_hash().map(|hash| hash.to_string());
            (id.to_owned(), Document { path, hash, attributes: entries(document.attributes()) })
        });
        assert_eq!(documents.collect::<BTreeMap<_, _>>(), self.documents);
        let variables =
            state.variables().into_iter().map(|(name, value)| (name.to_owned(), value.clone()));
        assert_eq!(variables.collect::<BTreeMap<_, _>>(), self.variables);
        let references = state.references().into_iter().map(|(id, reference)| {
            let kind = reference.kind.as_deref().map(str::to_owned);
            (id.to_owned(), reference.target.as_str().to_owned(), kind)
        });
        assert_eq!(references.collect::<BTreeSet<_>>(), self.references);
        let renders = state
            .renders()
            .into_iter()
            .map(|(id, render)| (id.map(str::to_owned), render.status().name()));
        assert_eq!(renders.collect::<BTreeMap<_, _>>(), self.renders);
        assert_eq!(state.sync().status.name() == "running", self.syncs);
        let conflicts = state.conflicts().into_iter().map(|(id, conflict)| {
            let local = conflict.local_hash().map(|hash| hash.to_string());
            let remote = conflict.remote_hash().map(|hash| hash.to_string());
            (id.to_owned(), (local, remote))
        });
        assert_eq!(conflicts.collect::<BTreeMap<_, _>>(), self.conflicts);
        let stale = state.stale_documents().into_iter().map(str::to_owned);
        assert_eq!(stale.collect::<BTreeSet<_>>(), self.stale);
        assert_eq!(state.anomalies().count(), 0);
    }
}
