//! The state of one space.

mod apply;
mod encode;
mod parts;

use std::{collections::BTreeSet, fmt};

use rustc_hash::{FxHashMap, FxHashSet};
use spacefold_event_core::{Object, Revision, Timestamp, Value};

pub use self::{
    encode::CorruptState,
    parts::{
        Anomalies, Anomaly, AnomalyReason, Conflict, Document, MAX_KEPT_ANOMALIES, Reference,
        Render, RenderStatus, SpaceStatus, SyncState, SyncStatus,
    },
};

/// The state of one space after the events that were applied to it.
///
/// Two states are equal when everything but the log position that they were asked for is.
///
/// ```
/// use spacefold_event_core::{Append, EventLog, MemoryLog, Position, Read, SpaceEvent};
/// use spacefold_projection::SpaceState;
/// let log = MemoryLog::new();
/// log.append(&Append::new(&[
///     SpaceEvent::space_created("handbook", "Handbook"),
///     SpaceEvent::document_added("handbook", "intro", "/intro.md"),
/// ]))?;
/// let mut state = SpaceState::new("handbook");
/// for event in log.read(&Read::from(Position::new(1)))?.events() {
///     state.apply(&event?);
/// }
/// assert_eq!(state.name(), Some("Handbook"));
/// assert_eq!(state.document("intro").map(|document| document.path.as_str()), Some("/intro.md"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceState {
    space_id: String,
    name: Option<String>,
    status: SpaceStatus,
    revision: Revision,
    created_at: Timestamp,
    updated_at: Timestamp,
    metadata: Object,
    documents: FxHashMap<String, Document>,
    /// How many documents are at each path: derived from the documents.
    paths: FxHashMap<String, u64>,
    variables: FxHashMap<String, Value>,
    /// The references of each document that has any.
    references: FxHashMap<String, BTreeSet<Reference>>,
    /// The render state of the space itself.
    space_render: Option<Render>,
    renders: FxHashMap<String, Render>,
    sync: SyncState,
    conflicts: FxHashMap<String, Conflict>,
    stale: FxHashSet<String>,
    anomalies: Anomalies,
}

impl SpaceState {
    /// The state of a space before its first event.
    #[must_use]
    pub fn new(space_id: impl Into<String>) -> Self {
        Self {
            space_id: space_id.into(),
            name: None,
            status: SpaceStatus::Unknown,
            revision: Revision::NONE,
            created_at: Timestamp::MIN,
            updated_at: Timestamp::MIN,
            metadata: Object::new(),
            documents: FxHashMap::default(),
            paths: FxHashMap::default(),
            variables: FxHashMap::default(),
            references: FxHashMap::default(),
            space_render: None,
            renders: FxHashMap::default(),
            sync: SyncState::default(),
            conflicts: FxHashMap::default(),
            stale: FxHashSet::default(),
            anomalies: Anomalies::default(),
        }
    }

    /// The id of the space.
    #[must_use]
    pub fn space_id(&self) -> &str {
        &self.space_id
    }

    /// The name, when an event has given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> SpaceStatus {
        self.status
    }

    /// The revision of the newest event; [`Revision::NONE`] before the first.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// When the log took the `space.created`, else the first event.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the log took the newest event, ignored ones too.
    #[must_use]
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// The metadata.
    #[must_use]
    pub const fn metadata(&self) -> &Object {
        &self.metadata
    }

    /// The number of documents.
    #[must_use]
    pub fn document_count(&self) -> usize {
        self.documents.len()
    }

    /// A document by its id.
    #[must_use]
    pub fn document(&self, document_id: &str) -> Option<&Document> {
        self.documents.get(document_id)
    }

    /// Whether a document is at this path.
    #[must_use]
    pub fn has_path(&self, path: &str) -> bool {
        self.paths.contains_key(path)
    }

    /// The documents with their ids, sorted by path, then id. Cost: a sort.
    #[must_use]
    pub fn documents(&self) -> Vec<(&str, &Document)> {
        let mut documents: Vec<_> = self.documents.iter().map(by_text).collect();
        documents.sort_unstable_by(|a, b| (&a.1.path, a.0).cmp(&(&b.1.path, b.0)));
        documents
    }

    /// A variable by its name.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    /// The variables, sorted by name. Cost: a sort.
    #[must_use]
    pub fn variables(&self) -> Vec<(&str, &Value)> {
        sorted(&self.variables)
    }

    /// The references with the documents that refer, sorted by document id, target, kind. Cost: a
    /// sort.
    #[must_use]
    pub fn references(&self) -> Vec<(&str, &Reference)> {
        sorted(&self.references)
            .into_iter()
            .flat_map(|(id, references)| references.iter().map(move |reference| (id, reference)))
            .collect()
    }

    /// The references of one document, sorted by target, then kind.
    pub fn references_of(&self, document_id: &str) -> impl Iterator<Item = &Reference> {
        self.references.get(document_id).into_iter().flatten()
    }

    /// The render states, that of the space itself (`None`) first, then by document id. Cost: a
    /// sort.
    #[must_use]
    pub fn renders(&self) -> Vec<(Option<&str>, &Render)> {
        let documents = sorted(&self.renders).into_iter();
        self.space_render
            .iter()
            .map(|render| (None, render))
            .chain(documents.map(|(id, render)| (Some(id), render)))
            .collect()
    }

    /// The render state of a document, or of the space itself for `None`.
    #[must_use]
    pub fn render(&self, document_id: Option<&str>) -> Option<&Render> {
        match document_id {
            Some(id) => self.renders.get(id),
            None => self.space_render.as_ref(),
        }
    }

    /// Where synchronisation stands.
    #[must_use]
    pub const fn sync(&self) -> &SyncState {
        &self.sync
    }

    /// The open conflicts, sorted by document id. Cost: a sort.
    #[must_use]
    pub fn conflicts(&self) -> Vec<(&str, &Conflict)> {
        sorted(&self.conflicts)
    }

    /// The open conflict of a document, known or not.
    #[must_use]
    pub fn conflict(&self, document_id: &str) -> Option<&Conflict> {
        self.conflicts.get(document_id)
    }

    /// The ids of the documents of which what was derived is out of date, sorted. Cost: a sort.
    #[must_use]
    pub fn stale_documents(&self) -> Vec<&str> {
        let mut stale: Vec<_> = self.stale.iter().map(String::as_str).collect();
        stale.sort_unstable();
        stale
    }

    /// Whether what was derived from a document is out of date.
    #[must_use]
    pub fn is_stale(&self, document_id: &str) -> bool {
        self.stale.contains(document_id)
    }

    /// The events that did not fit.
    #[must_use]
    pub const fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }
}

fn by_text<'a, V>((key, value): (&'a String, &'a V)) -> (&'a str, &'a V) {
    (key, value)
}

fn sorted<V>(map: &FxHashMap<String, V>) -> Vec<(&str, &V)> {
    let mut entries: Vec<_> = map.iter().map(by_text).collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
    entries
}

/// BLAKE3 of a state, printed as 64 lower-case hex digits: two folds agree exactly when their
/// hashes do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateHash([u8; 32]);

impl StateHash {
    /// The hash with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({self})")
    }
}

#[cfg(test)]
mod tests;
