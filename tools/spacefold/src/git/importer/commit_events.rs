//! The events of a commit.

use std::collections::{BTreeMap, HashMap};

use spacefold::{
    Position, SpaceEvent, Timestamp, Value,
    content::ContentHash,
    event::{MAX_ID_BYTES, Object, Payload, Presence},
};
use spacefold_event_core::bytes::to_u64;
use uuid::Uuid;

use crate::git::{
    ATTRIBUTE_COMMIT, ATTRIBUTE_MODE,
    history::{Commit, PathChange, TreeEntry},
    path::{self, ATTRIBUTE_PATH_HEX},
};

/// What ids of imported events and documents are derived in.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c1f_9a52_41d3_4d0b_9b5e_7f0c_52f4_a8e1);
/// The source of imported events.
pub(super) const SOURCE: &str = "git";
/// The variable that holds the newest commit that changed the space.
pub(super) const HEAD: &str = "head";
/// The key in the space's metadata that says how it was imported.
pub(super) const METADATA: &str = "import_git";
/// What is beside the head when the import went back to an earlier commit: the one it came from.
pub(super) const REWOUND_FROM: &str = "rewound_from";
/// And, once all of it is done, the one that it went to.
pub(super) const REWOUND_TO: &str = "rewound_to";
/// The mode of a plain file, which needs no attribute.
const PLAIN_MODE: &str = "100644";
/// Characters of a commit's author and subject that are kept.
const MAX_TEXT_CHARS: usize = 512;

/// What becomes a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SpacePer {
    /// Each folder at the top, and what is in none.
    Folder,
    /// The repository.
    Repo,
}

impl SpacePer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Repo => "repo",
        }
    }

    /// The space that a path is in.
    fn space_of(self, name: &str, path: &[u8]) -> String {
        match (self, path.iter().position(|byte| *byte == b'/')) {
            (Self::Folder, Some(end)) => {
                format!("{name}/{}", path::text_of(path.get(..end).unwrap_or(path)))
            }
            _ => name.to_owned(),
        }
    }

    /// Whether a space may be one of an import into spaces called `name`.
    pub(super) fn covers(self, name: &str, space_id: &str) -> bool {
        space_id == name
            || self == Self::Folder
                && space_id.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The documents of a space, by the bytes of their paths.
pub(super) type Documents = HashMap<Vec<u8>, TrackedDocument>;

/// A document as the last commit left it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrackedDocument {
    pub(super) id: String,
    pub(super) content_hash: Option<String>,
    pub(super) attributes: Object,
}

/// Makes events of commits, one after the other.
pub(super) struct CommitEvents {
    name: String,
    space_per: SpacePer,
    spaces: HashMap<String, Documents>,
    /// What sets ids apart from those of the same commit before the history was rewritten.
    epoch: Option<String>,
}

/// A path whose space has an id that is too long.
#[derive(Debug)]
pub(super) struct SpaceIdTooLong {
    pub(super) path: Vec<u8>,
    pub(super) bytes: usize,
}

impl CommitEvents {
    pub(super) fn new(
        name: String,
        space_per: SpacePer,
        spaces: HashMap<String, Documents>,
        rewound_at: Option<Position>,
    ) -> Self {
        Self { name, space_per, spaces, epoch: rewound_at.map(|position| position.to_string()) }
    }

    /// The events of the next commit, whose contents are known.
    pub(super) fn of(
        &mut self,
        commit: &Commit,
        contents: &HashMap<String, ContentHash>,
    ) -> Result<Vec<SpaceEvent>, SpaceIdTooLong> {
        let mut events = Vec::new();
        let mut ends = Vec::new();
        let edits = self.edits(commit)?;
        for (space_id, edits) in edits {
            let (space, events) = (space_id.as_str(), &mut events);
            let epoch = self.epoch.as_deref();
            let mut writer = CommitWriter { commit, space_id: space, epoch, contents, events };
            let documents = self.spaces.entry(space_id.clone()).or_insert_with(|| {
                writer.create(self.space_per);
                Documents::new()
            });
            writer.edit(documents, edits, &mut ends);
        }
        // What says that a commit is complete comes last, should it be too much for one append.
        events.extend(ends);
        Ok(events)
    }

    /// What a commit does to each space, what makes room first. One that changes nothing is noted in
    /// the space of what is in no folder.
    fn edits<'c>(&self, commit: &'c Commit) -> Result<BTreeMap<String, Edits<'c>>, SpaceIdTooLong> {
        let space_of = |path: &[u8]| {
            let space_id = self.space_per.space_of(&self.name, path);
            if space_id.len() > MAX_ID_BYTES {
                return Err(SpaceIdTooLong { path: path.to_vec(), bytes: space_id.len() });
            }
            Ok(space_id)
        };
        let mut edits: BTreeMap<String, Edits<'c>> = BTreeMap::new();
        for change in &commit.changes {
            match change {
                PathChange::Set { path, entry } => {
                    edits.entry(space_of(path)?).or_default().sets.push((path, entry));
                }
                PathChange::Removed { path } => {
                    edits.entry(space_of(path)?).or_default().removes.push(path);
                }
                PathChange::Moved { from, to, entry } => {
                    let (source, target) = (space_of(from)?, space_of(to)?);
                    if source == target {
                        edits.entry(source.clone()).or_default().moves.push((from, to));
                    } else {
                        edits.entry(source).or_default().removes.push(from);
                    }
                    edits.entry(target).or_default().sets.push((to, entry));
                }
            }
        }
        if edits.is_empty() {
            edits.entry(self.name.clone()).or_default();
        }
        Ok(edits)
    }
}

/// What a commit does to a space.
#[derive(Default)]
struct Edits<'c> {
    removes: Vec<&'c [u8]>,
    moves: Vec<(&'c [u8], &'c [u8])>,
    sets: Vec<(&'c [u8], &'c TreeEntry)>,
}

/// Writes the events of a commit in a space.
struct CommitWriter<'a> {
    commit: &'a Commit,
    space_id: &'a str,
    epoch: Option<&'a str>,
    contents: &'a HashMap<String, ContentHash>,
    events: &'a mut Vec<SpaceEvent>,
}

impl CommitWriter<'_> {
    fn create(&mut self, space_per: SpacePer) {
        let space_id = self.space_id;
        let (name, extra) = (space_id.to_owned(), Object::new());
        self.push(Payload::SpaceCreated { name, extra }, b"");
        let how: Object = [("space_per", Value::from(space_per.name()))].into_iter().collect();
        let changes: Object = [(METADATA, Value::from(how))].into_iter().collect();
        self.push(Payload::SpaceUpdated { changes, extra: Object::new() }, b"");
        self.push(Payload::SpaceActivated { extra: Object::new() }, b"");
    }

    fn edit(&mut self, documents: &mut Documents, edits: Edits<'_>, ends: &mut Vec<SpaceEvent>) {
        let direction = Presence::Value("pull".to_owned());
        self.push(Payload::SyncStarted { direction, extra: Object::new() }, b"");
        let changed = edits.removes.len() + edits.sets.len();
        for path in edits.removes {
            if let Some(document) = documents.remove(path) {
                let space_path = Presence::Value(path::text_of(path));
                let (document_id, extra) = (document.id, Object::new());
                self.push(Payload::DocumentRemoved { document_id, space_path, extra }, path);
            }
        }
        for (from, to) in edits.moves {
            if let Some(document) = documents.remove(from) {
                let moved = Payload::DocumentMoved {
                    document_id: document.id.clone(),
                    old_path: Presence::Value(path::text_of(from)),
                    new_path: path::text_of(to),
                    extra: Object::new(),
                };
                self.push(moved, to);
                documents.insert(to.to_vec(), document);
            }
        }
        for (path, entry) in edits.sets {
            self.set(documents, path, entry);
        }
        let mut extra = Object::new();
        let shortened =
            |text: &str| Value::from(text.chars().take(MAX_TEXT_CHARS).collect::<String>());
        extra.insert("documents", Value::from(to_u64(changed)));
        extra.insert("author", shortened(&self.commit.author));
        extra.insert("subject", shortened(&self.commit.subject));
        ends.push(self.event(Payload::SyncCompleted { extra }, b""));
        let (name, value) = (HEAD.to_owned(), Value::from(self.commit.hash.as_str()));
        ends.push(self.event(Payload::VariableSet { name, value, extra: Object::new() }, b""));
    }

    /// What is at a path now: a new document, or the one that is there changes.
    fn set(&mut self, documents: &mut Documents, path: &[u8], entry: &TreeEntry) {
        if !documents.contains_key(path) {
            let id = self.id("document", path).to_string();
            let added = Payload::DocumentAdded {
                document_id: id.clone(),
                space_path: path::text_of(path),
                extra: Object::new(),
            };
            self.push(added, path);
            let new = TrackedDocument { id, content_hash: None, attributes: Object::new() };
            documents.insert(path.to_vec(), new);
        }
        let Some(document) = documents.get_mut(path) else { return };
        let changes = attribute_changes(&document.attributes, path, entry);
        if !changes.is_empty() {
            document.attributes.merge(&changes);
            let (document_id, extra) = (document.id.clone(), Object::new());
            self.push(Payload::DocumentUpdated { document_id, changes, extra }, path);
        }
        // A submodule has no content here: what was there before it stays the last content.
        let hash = self.contents.get(&entry.object).map(ToString::to_string);
        if let Some(hash) = hash
            && document.content_hash.as_ref() != Some(&hash)
        {
            let changed = Payload::DocumentContentChanged {
                document_id: document.id.clone(),
                old_hash: document.content_hash.replace(hash.clone()).into(),
                new_hash: hash,
                extra: Object::new(),
            };
            self.push(changed, path);
        }
    }

    fn push(&mut self, payload: Payload, path: &[u8]) {
        let event = self.event(payload, path);
        self.events.push(event);
    }

    /// The event with all that every event of the commit has.
    fn event(&self, payload: Payload, path: &[u8]) -> SpaceEvent {
        let id = self.id(payload.event_type().name(), path);
        SpaceEvent::identified(id.into(), self.space_id, payload)
            .with_timestamp(time_of(self.commit))
            .with_source(SOURCE)
            .with_correlation_id(self.commit.hash.as_str())
    }

    fn id(&self, kind: &str, path: &[u8]) -> Uuid {
        let mut parts = vec![kind, self.space_id, &self.commit.hash];
        parts.extend(self.epoch);
        derived(&parts, path)
    }
}

/// What has to change so that the attributes are those of the entry.
fn attribute_changes(now: &Object, path: &[u8], entry: &TreeEntry) -> Object {
    let wanted = [
        (ATTRIBUTE_MODE, Some(entry.mode.clone()).filter(|mode| mode != PLAIN_MODE)),
        (ATTRIBUTE_COMMIT, Some(entry.object.clone()).filter(|_| entry.is_submodule())),
        (ATTRIBUTE_PATH_HEX, path::hex_of(path)),
    ];
    let mut changes = Object::new();
    for (key, wanted) in wanted {
        let held = now.get(key).and_then(Value::as_str);
        if held != wanted.as_deref() {
            changes.insert(key, wanted.map_or(Value::Null, Value::from));
        }
    }
    changes
}

/// An id that every run derives alike.
pub(super) fn derived(parts: &[&str], path: &[u8]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend(part.as_bytes());
        name.push(0);
    }
    name.extend(path);
    Uuid::new_v5(&NAMESPACE, &name)
}

/// When a commit was made; where that is no time that events have, the beginning of time.
fn time_of(commit: &Commit) -> Timestamp {
    let micros = commit.time.checked_mul(1_000_000);
    let epoch = Timestamp::from_micros(0);
    micros.and_then(Timestamp::from_micros).or(epoch).unwrap_or_else(Timestamp::now)
}
