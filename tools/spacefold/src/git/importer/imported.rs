//! What earlier imports have left in the store.

use std::collections::{HashMap, HashSet};

use spacefold::{
    EventId, EventType, Position, ReadError, Snapshot, Spacefold, Timestamp, Value,
    event::{EventFilter, Payload, RecordedEventRef},
    log::{LogReader as _, ReadRequest},
    state::SpaceStatus,
};

use super::{
    commit_events::{
        Documents, HEAD, METADATA, REWOUND_FROM, REWOUND_TO, SOURCE, SpacePer, TrackedDocument,
    },
    error::ImportGitError,
};
use crate::git::path::{self, ATTRIBUTE_PATH_HEX};

/// What earlier imports have left.
#[derive(Default)]
pub(super) struct Earlier {
    /// The last commit that is there whole; `None` when there is none.
    pub(super) head: Option<String>,
    /// The position of the last event of that commit, its space, and what time it has.
    pub(super) whole: Position,
    pub(super) space: Option<String>,
    pub(super) time: Option<Timestamp>,
    /// Where the last rewinding to an earlier commit has ended.
    pub(super) rewound_at: Option<Position>,
    /// The documents of each space, as that commit left them.
    pub(super) spaces: HashMap<String, Documents>,
    /// What an import that was stopped in the middle has stored behind it.
    pub(super) unfinished: Unfinished,
}

/// Events of a commit, or of a rewinding, that is not there whole.
#[derive(Default)]
pub(super) struct Unfinished {
    pub(super) events: HashSet<EventId>,
    /// The commit that they are of, or that was rewound to.
    pub(super) commit: Option<String>,
    /// Spaces and ids of the documents that they are about.
    pub(super) documents: HashSet<(String, String)>,
}

/// What the store has of spaces called `name`.
pub(super) fn load(
    store: &Spacefold,
    name: &str,
    space_per: SpacePer,
) -> Result<Earlier, ImportGitError> {
    let spaces = spaces_of(store, name, space_per)?;
    let mut earlier = Earlier::default();
    if spaces.is_empty() {
        return Ok(earlier);
    }
    each_head(store, &spaces, &mut |event, head| {
        earlier.head = head.map(str::to_owned);
        earlier.whole = event.position;
        earlier.space = Some(event.space_id.to_owned());
        earlier.time = Some(event.timestamp);
        if has(event, REWOUND_TO) {
            earlier.rewound_at = Some(event.position);
        }
    })?;
    let of_git = EventFilter::all().spaces(spaces.iter().cloned()).source(SOURCE);
    each_event(store, earlier.whole, of_git, &mut |event| {
        // Behind the head of one space come those of the others that the commit changed.
        let is_end =
            matches!(event.payload, Payload::SyncCompleted { .. } | Payload::VariableSet { .. });
        if !is_end || event.correlation_id != earlier.head.as_deref() {
            earlier.unfinished.add(event);
        }
    })?;
    // Where an import was stopped in the middle of a commit, all of it is derived again; else what
    // was done to the documents since the import counts.
    let is_unfinished = !earlier.unfinished.events.is_empty();
    let at = if is_unfinished { earlier.whole } else { store.durable_head() };
    for snapshot in snapshots(store, name, space_per, at)? {
        let space_id = snapshot.space_id();
        if !is_of_import(&snapshot, space_per) {
            return Err(ImportGitError::SpaceInUse { space_id: space_id.to_owned() });
        }
        earlier.spaces.insert(space_id.to_owned(), documents(&snapshot));
    }
    let known = |space_id: &String| earlier.spaces.contains_key(space_id) || is_unfinished;
    match spaces.into_iter().find(|space_id| !known(space_id)) {
        Some(space_id) => Err(ImportGitError::SpaceInUse { space_id }),
        None => Ok(earlier),
    }
}

/// Where the events of each commit end, and in which space, that was ever imported whole or rewound
/// to.
pub(super) fn positions_of_commits(
    store: &Spacefold,
    name: &str,
    space_per: SpacePer,
) -> Result<HashMap<String, (Position, String)>, ImportGitError> {
    let spaces = spaces_of(store, name, space_per)?;
    let mut positions = HashMap::new();
    each_head(store, &spaces, &mut |event, head| {
        if let Some(head) = head {
            let at = (event.position, event.space_id.to_owned());
            positions.insert(head.to_owned(), at);
        }
    })?;
    Ok(positions)
}

/// The states at a position of the spaces that may be of the import.
pub(super) fn snapshots(
    store: &Spacefold,
    name: &str,
    space_per: SpacePer,
    at: Position,
) -> Result<Vec<Snapshot>, ImportGitError> {
    let mut snapshots = store.at(at).snapshot_all()?;
    snapshots.retain(|snapshot| space_per.covers(name, snapshot.space_id()));
    Ok(snapshots)
}

fn spaces_of(store: &Spacefold, name: &str, space_per: SpacePer) -> Result<Vec<String>, ReadError> {
    let spaces = store.spaces()?.into_iter().map(|(space_id, _)| space_id);
    Ok(spaces.filter(|space_id| space_per.covers(name, space_id)).collect())
}

/// Visits what says which commit is there whole: after a rewinding that may be none. The heads of
/// other spaces that are set back together with it say nothing about the whole.
fn each_head(
    store: &Spacefold,
    spaces: &[String],
    visit: &mut dyn FnMut(&RecordedEventRef<'_>, Option<&str>),
) -> Result<(), ReadError> {
    // A filter without spaces is one for all of them.
    if spaces.is_empty() {
        return Ok(());
    }
    let heads = EventFilter::all().spaces(spaces.iter().cloned()).source(SOURCE);
    each_event(store, Position::START, heads.types([EventType::VariableSet]), &mut |event| {
        let Payload::VariableSet { name: HEAD, value, .. } = &event.payload else { return };
        match value.as_str() {
            None if !has(event, REWOUND_TO) => {}
            Some(_) if has(event, REWOUND_FROM) && !has(event, REWOUND_TO) => {}
            head => visit(event, head),
        }
    })
}

/// Whether a variable was set with this key beside its name and value.
fn has(event: &RecordedEventRef<'_>, key: &str) -> bool {
    let Payload::VariableSet { extra, .. } = &event.payload else { return false };
    extra.get(key).is_some()
}

impl Unfinished {
    fn add(&mut self, event: &RecordedEventRef<'_>) {
        self.events.insert(event.event_id);
        self.commit = event.correlation_id.map(str::to_owned);
        match &event.payload {
            Payload::DocumentAdded { document_id, .. }
            | Payload::DocumentUpdated { document_id, .. }
            | Payload::DocumentMoved { document_id, .. }
            | Payload::DocumentRemoved { document_id, .. }
            | Payload::DocumentContentChanged { document_id, .. } => {
                let document = (event.space_id.to_owned(), (*document_id).to_owned());
                self.documents.insert(document);
            }
            _ => {}
        }
    }
}

fn is_of_import(snapshot: &Snapshot, space_per: SpacePer) -> bool {
    let how = match snapshot.metadata().get(METADATA) {
        Some(Value::Object(how)) => how.get("space_per").and_then(Value::as_str),
        _ => None,
    };
    how == Some(space_per.name()) && snapshot.status() != SpaceStatus::Deleted
}

/// The documents of a space, by the bytes of their paths.
pub(super) fn documents(snapshot: &Snapshot) -> Documents {
    let documents = snapshot.documents();
    let tracked = documents.into_iter().map(|(id, document)| {
        let hex = document.attributes().get(ATTRIBUTE_PATH_HEX).and_then(Value::as_str);
        let bytes = hex.and_then(path::bytes_of);
        let bytes = bytes.unwrap_or_else(|| document.path().as_bytes().to_vec());
        let tracked = TrackedDocument {
            id: id.to_owned(),
            content_hash: document.content_hash().map(|hash| hash.to_string()),
            attributes: document.attributes().clone(),
        };
        (bytes, tracked)
    });
    tracked.collect()
}

fn each_event(
    store: &Spacefold,
    after: Position,
    filter: EventFilter,
    visit: &mut dyn FnMut(&RecordedEventRef<'_>),
) -> Result<(), ReadError> {
    for page in store.log().pages(ReadRequest::from(after.next()).matching(filter)) {
        let page = page?;
        for event in page.events() {
            visit(&event?);
        }
    }
    Ok(())
}
