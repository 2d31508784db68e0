//! The state of one space.

mod apply;
mod decode;
pub(crate) mod effect;
mod encode;
mod memory;
mod parting;
mod parts;
mod paths;
mod references;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use serde::{Serialize, Serializer};
use spacefold_event_core::{ContentHash, Object, Position, Revision, Timestamp, Value};

use self::paths::PathCounts;
pub(crate) use self::references::References;
pub use self::{
    decode::CorruptState,
    effect::{Effect, Effects},
    parts::{
        Anomalies, Anomaly, AnomalyReason, Conflict, Document, MAX_KEPT_ANOMALIES, Reference,
        Render, RenderStatus, SpaceStatus, SyncState, SyncStatus,
    },
};
use crate::shared_map::{Key, SharedMap};

/// The state of one space after the events that were applied to it.
///
/// Two states are equal when everything but the log position that they were asked for is.
///
/// A clone costs the same whatever is in the space: it shares everything with its origin. What an
/// event changes afterwards is copied, and no more than that. Two states of one origin are compared
/// without looking at what they share.
///
/// ```
/// use spacefold::{
///     Position, SpaceEvent, log::{AppendRequest, LogReader, LogWriter, MemoryLog, ReadRequest},
///     state::SpaceState,
/// };
/// let log = MemoryLog::new();
/// log.append(&AppendRequest::new(&[
///     SpaceEvent::space_created("handbook", "Handbook"),
///     SpaceEvent::document_added("handbook", "intro", "/intro.md"),
/// ]))?;
/// let mut state = SpaceState::new("handbook");
/// for event in log.read(&ReadRequest::from(Position::new(1)))?.events() {
///     state.apply(&event?);
/// }
/// assert_eq!(state.name(), Some("Handbook"));
/// assert_eq!(state.document("intro").map(|document| document.path()), Some("/intro.md"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceState {
    space_id: Arc<str>,
    name: Option<Arc<str>>,
    status: SpaceStatus,
    revision: Revision,
    created_at: Option<Timestamp>,
    updated_at: Timestamp,
    metadata: Arc<Object>,
    documents: SharedMap<Document>,
    paths: PathCounts,
    variables: SharedMap<Value>,
    /// The references of each document that has any.
    references: SharedMap<References>,
    /// The render state of the space itself.
    space_render: Option<Arc<Render>>,
    renders: SharedMap<Render>,
    sync: SyncState,
    conflicts: SharedMap<Conflict>,
    stale: SharedMap<()>,
    anomalies: Arc<Anomalies>,
    hash: KnownHash,
}

/// The hash of a state, once it was asked for. It is no part of the state.
#[derive(Clone, Debug, Default)]
struct KnownHash(OnceLock<StateHash>);

impl PartialEq for KnownHash {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl SpaceState {
    /// The state of a space before its first event.
    #[must_use]
    pub fn new(space_id: impl Into<Arc<str>>) -> Self {
        Self {
            space_id: space_id.into(),
            name: None,
            status: SpaceStatus::Unknown,
            revision: Revision::NONE,
            created_at: None,
            updated_at: Timestamp::MIN,
            metadata: Arc::default(),
            documents: SharedMap::new(),
            paths: PathCounts::none(),
            variables: SharedMap::new(),
            references: SharedMap::new(),
            space_render: None,
            renders: SharedMap::new(),
            sync: SyncState::default(),
            conflicts: SharedMap::new(),
            stale: SharedMap::new(),
            anomalies: Arc::default(),
            hash: KnownHash::default(),
        }
    }

    /// The id of the space.
    #[must_use]
    pub fn space_id(&self) -> &str {
        &self.space_id
    }

    /// The id of the space, shared with the state.
    #[must_use]
    pub fn shared_space_id(&self) -> Arc<str> {
        Arc::clone(&self.space_id)
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

    /// When the log took the `space.created`, else the first core event; `None` before it, events of an
    /// application's own or not.
    #[must_use]
    pub const fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    /// When the log took the newest event, ignored ones too.
    #[must_use]
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// The metadata.
    #[must_use]
    pub fn metadata(&self) -> &Object {
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
        self.paths.of(&self.documents).contains_key(path)
    }

    /// The document at this path with its id, of several the one with the first id. Cost: one look
    /// when there is none, else a walk over the documents, without allocating.
    ///
    /// ```
    /// use spacefold::SpaceService;
    /// let service = SpaceService::in_memory();
    /// service.batch("handbook").create_space("Handbook").add_document("intro", "/intro.md").commit()?;
    /// let snapshot = service.states().snapshot("handbook")?;
    /// assert_eq!(snapshot.document_at("/intro.md").map(|(id, _)| id), Some("intro"));
    /// assert_eq!(snapshot.document_at("/outro.md"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn document_at(&self, path: &str) -> Option<(&str, &Document)> {
        let mut found = None;
        if self.has_path(path) {
            self.documents.each(|id, document| {
                if document.path() == path && found.is_none_or(|(first, _)| id < first) {
                    found = Some((id, document));
                }
            });
        }
        found
    }

    /// The hash of the content of a document, by which a content store has the bytes. `None` for a
    /// document that is unknown, has no content, or whose hash is another system's: its text is
    /// [`Document::content_hash`].
    ///
    /// ```
    /// use spacefold::{SpaceService, content::ContentHash};
    /// let service = SpaceService::in_memory();
    /// service.batch("handbook").create_space("Handbook").add_document("intro", "/intro.md").commit()?;
    /// service.set_content("handbook", "intro", "# Hello")?;
    /// let snapshot = service.states().snapshot("handbook")?;
    /// assert_eq!(snapshot.content("intro"), Some(ContentHash::of(b"# Hello")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn content(&self, document_id: &str) -> Option<ContentHash> {
        self.document(document_id)?.content_hash()?.content_hash()
    }

    /// The documents with their ids, sorted by path, then id. Cost: a sort.
    #[must_use]
    pub fn documents(&self) -> Vec<(&str, &Document)> {
        let mut documents = self.documents.entries();
        documents.sort_unstable_by(|a, b| (a.1.path(), a.0).cmp(&(b.1.path(), b.0)));
        documents
    }

    /// A page of the documents, sorted by path, then by id: the first `limit` of those that are wanted
    /// and come after this path and id.
    ///
    /// # Cost
    /// A walk over the documents; only the page is sorted.
    ///
    /// # Examples
    /// ```
    /// use spacefold::Spacefold;
    /// let spaces = Spacefold::in_memory()?;
    /// spaces.service().create_space("handbook", "Handbook")?;
    /// for path in ["/c.md", "/a.md", "/b.md"] {
    ///     spaces.service().add_document("handbook", path, path)?;
    /// }
    /// let now = spaces.snapshot("handbook")?;
    /// let page = now.documents_after(Some(("/a.md", "/a.md")), 1, |_, _| true);
    /// assert_eq!(page[0].1.path(), "/b.md");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn documents_after(
        &self,
        after: Option<(&str, &str)>,
        limit: usize,
        is_wanted: impl Fn(&str, &Document) -> bool,
    ) -> Vec<(&str, &Document)> {
        let mut page = Vec::new();
        self.documents.each(|id, document| {
            if after.is_none_or(|after| (document.path(), id) > after) && is_wanted(id, document) {
                page.push((id, document));
            }
        });
        let order = |a: &(&str, &Document), b: &(&str, &Document)| {
            (a.1.path(), a.0).cmp(&(b.1.path(), b.0))
        };
        if page.len() > limit {
            page.select_nth_unstable_by(limit, order);
            page.truncate(limit);
        }
        page.sort_unstable_by(order);
        page
    }

    /// A variable by its name.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    /// The variables, sorted by name. Cost: a sort.
    #[must_use]
    pub fn variables(&self) -> Vec<(&str, &Value)> {
        self.variables.sorted()
    }

    /// The references with the documents that refer, sorted by document id, target, kind. Cost: a
    /// sort.
    #[must_use]
    pub fn references(&self) -> Vec<(&str, &Reference)> {
        self.references
            .sorted()
            .into_iter()
            .flat_map(|(id, references)| {
                references.sorted().into_iter().map(move |reference| (id, reference))
            })
            .collect()
    }

    /// The references of one document, sorted by target, then kind. Cost: a sort.
    pub fn references_of(&self, document_id: &str) -> impl Iterator<Item = &Reference> {
        let references = self.references.get(document_id);
        references.map(References::sorted).unwrap_or_default().into_iter()
    }

    /// The references to this target, word for word, with the documents that refer, sorted by document
    /// id, then kind. Cost: a look at each reference of the space, and a sort of those found.
    ///
    /// ```
    /// use spacefold::{SpaceService, event::Presence};
    /// let service = SpaceService::in_memory();
    /// let batch = service.batch("handbook").create_space("Handbook");
    /// let batch = batch.add_document("intro", "/intro.md").add_document("outro", "/outro.md");
    /// batch.add_reference("intro", "/outro.md", "links").commit()?;
    /// service.add_reference("handbook", "outro", "/gone.md", Presence::Absent)?;
    /// let snapshot = service.states().snapshot("handbook")?;
    /// let from = |references: Vec<(&str, &spacefold::state::Reference)>| references[0].0.to_owned();
    /// assert_eq!(from(snapshot.references_to("/outro.md")), "intro");
    /// assert_eq!(from(snapshot.dangling_references()), "outro");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn references_to(&self, target: &str) -> Vec<(&str, &Reference)> {
        self.references_that(|reference| reference.target == target)
    }

    /// The references whose target is neither the id nor the path of a document of the space, with the
    /// documents that refer, sorted by document id, target, kind. What points out of the space is
    /// among them: its kind or the form of its target tells. Cost: two looks for each reference of the
    /// space, and a sort of those found.
    #[must_use]
    pub fn dangling_references(&self) -> Vec<(&str, &Reference)> {
        self.references_that(|reference| {
            let target = Key::from(&*reference.target);
            !self.documents.contains_key(target)
                && !self.paths.of(&self.documents).contains_key(target)
        })
    }

    fn references_that(&self, is_one: impl Fn(&Reference) -> bool) -> Vec<(&str, &Reference)> {
        let mut found = Vec::new();
        self.references.each(|id, references| {
            references.each(|reference| {
                if is_one(reference) {
                    found.push((id, reference));
                }
            });
        });
        found.sort_unstable();
        found
    }

    /// Whether a document refers to this target in this way.
    #[must_use]
    pub fn has_reference(&self, document_id: &str, target: &str, kind: Option<&str>) -> bool {
        let references = self.references.get(document_id);
        references.is_some_and(|references| references.contains(target, kind))
    }

    /// Whether a document has any references, or any document for `None`.
    #[must_use]
    pub fn has_references(&self, document_id: Option<&str>) -> bool {
        match document_id {
            Some(id) => self.references.contains_key(id),
            None => !self.references.is_empty(),
        }
    }

    /// The render states, that of the space itself (`None`) first, then by document id. Cost: a
    /// sort.
    #[must_use]
    pub fn renders(&self) -> Vec<(Option<&str>, &Render)> {
        let documents = self.renders.sorted().into_iter();
        self.space_render
            .iter()
            .map(|render| (None, &**render))
            .chain(documents.map(|(id, render)| (Some(id), render)))
            .collect()
    }

    /// The render state of a document, or of the space itself for `None`.
    #[must_use]
    pub fn render(&self, document_id: Option<&str>) -> Option<&Render> {
        match document_id {
            Some(id) => self.renders.get(id),
            None => self.space_render.as_deref(),
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
        self.conflicts.sorted()
    }

    /// The open conflict of a document, known or not.
    #[must_use]
    pub fn conflict(&self, document_id: &str) -> Option<&Conflict> {
        self.conflicts.get(document_id)
    }

    /// The ids of the documents that are marked stale, sorted: see [`SpaceState::is_stale`]. Cost: a
    /// sort.
    #[must_use]
    pub fn stale_documents(&self) -> Vec<&str> {
        self.stale.sorted().into_iter().map(|(id, ())| id).collect()
    }

    /// Whether a document is marked stale: a `cache.invalidated` has named it, and no render of it or
    /// of the space has completed since.
    ///
    /// Nothing else sets the mark: a document with new content is not stale. Whether it has to be
    /// rendered is what [`SpaceState::needs_render`] says.
    #[must_use]
    pub fn is_stale(&self, document_id: &str) -> bool {
        self.stale.contains_key(document_id)
    }

    /// Whether a document has content that is newer than its last completed render: none that has
    /// completed shows it.
    ///
    /// - A render shows the content that the document had when it began: content that changed while it
    ///   ran needs another one. Of one that completes without having begun, as in histories that record
    ///   no starts, that is the content when it completed. Where one began while another ran, the one
    ///   that began last counts.
    /// - A completed render of the space is one of each of its documents.
    /// - A render that runs, has failed or was taken over shows nothing, and takes nothing away from the
    ///   last one that completed.
    /// - Attributes, paths and references are no content, nor is the hash that the document has already.
    ///   Content that changed and changed back is newer all the same.
    ///
    /// A document without content needs no render, whether it ever had one or not; one that is unknown,
    /// or of a deleted space, neither. Removed and added again it begins anew. A document that is
    /// [marked stale](SpaceState::is_stale) need not have new content: both are listed by
    /// [`SpaceState::documents_to_render`]. Whether a render may start just now is another question: see
    /// [`SpaceState::render`].
    ///
    /// ```
    /// use spacefold::SpaceService;
    /// let service = SpaceService::in_memory();
    /// service.batch("handbook").create_space("Handbook").add_document("intro", "/intro.md").commit()?;
    /// let needs_render = || -> Result<bool, spacefold::SnapshotError> {
    ///     Ok(service.states().snapshot("handbook")?.needs_render("intro"))
    /// };
    /// assert!(!needs_render()?);
    /// service.set_content("handbook", "intro", "# Hello")?;
    /// assert!(needs_render()?);
    /// service.render("handbook", "intro")?.complete("5d41402a…")?;
    /// assert!(!needs_render()?);
    /// service.move_document("handbook", "intro", "/welcome.md")?;
    /// assert!(!needs_render()?);
    /// service.set_content("handbook", "intro", "# Hello, you")?;
    /// assert!(needs_render()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn needs_render(&self, document_id: &str) -> bool {
        self.document(document_id).is_some_and(|document| self.is_unrendered(document_id, document))
    }

    /// The ids of the documents that there is something to render of, sorted: those that
    /// [need a render](SpaceState::needs_render), and those that are
    /// [marked stale](SpaceState::is_stale). Cost: a walk over the documents, and a sort.
    #[must_use]
    pub fn documents_to_render(&self) -> Vec<&str> {
        let documents = self.documents.sorted().into_iter();
        documents
            .filter(|(id, document)| self.is_stale(id) || self.is_unrendered(id, document))
            .map(|(id, _)| id)
            .collect()
    }

    fn is_unrendered(&self, document_id: &str, document: &Document) -> bool {
        let shows = |id| self.render(id).map_or(Position::START, |render| render.shows);
        document.content_position > shows(Some(document_id)).max(shows(None))
    }

    /// The events that did not fit.
    #[must_use]
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }
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

impl Serialize for StateHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({self})")
    }
}

#[cfg(test)]
mod tests;
