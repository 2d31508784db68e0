//! What earlier imports have left in the store.

use std::collections::{HashMap, HashSet};

use spacefold::{
    EventFilter, EventId, EventType, Pages, Payload, Position, Read, ReadError, RecordedEventRef,
    Snapshot, SpaceStatus, Spacefold, Value,
};

use super::{
    ImportGitError,
    commit_events::{Documents, HEAD, METADATA, SOURCE, SpacePer, Tracked},
};
use crate::git::{ATTRIBUTE_PATH_HEX, path};

/// What earlier imports have left.
#[derive(Default)]
pub(super) struct Earlier {
    /// The last commit that is there whole; `None` when there is none.
    pub(super) head: Option<String>,
    /// The documents of each space, as that commit left them.
    pub(super) spaces: HashMap<String, Documents>,
    /// Events of the commit after it, of an import that was stopped in the middle.
    pub(super) unfinished: HashSet<EventId>,
}

/// What the store has of spaces called `name`.
pub(super) fn load(
    store: &Spacefold,
    name: &str,
    space_per: SpacePer,
) -> Result<Earlier, ImportGitError> {
    let spaces: Vec<String> = store
        .spaces()?
        .into_iter()
        .map(|(space_id, _)| space_id)
        .filter(|space_id| space_per.covers(name, space_id))
        .collect();
    let mut earlier = Earlier::default();
    if spaces.is_empty() {
        return Ok(earlier);
    }
    let of_git = EventFilter::all().spaces(spaces.iter().cloned()).source(SOURCE);
    let mut whole = Position::START;
    let heads = of_git.clone().types([EventType::VariableSet]);
    each_event(store, Position::START, heads, &mut |event| {
        if let Payload::VariableSet { name: HEAD, value, .. } = &event.payload
            && let Some(commit) = value.as_str()
        {
            earlier.head = Some(commit.to_owned());
            whole = event.position;
        }
    })?;
    each_event(store, whole, of_git, &mut |event| {
        earlier.unfinished.insert(event.event_id);
    })?;
    // Where an import was stopped in the middle of a commit, all of it is derived again; else what
    // was done to the documents since the import counts.
    let at = if earlier.unfinished.is_empty() { store.durable_head() } else { whole };
    for snapshot in store.snapshot_all_at(at)? {
        let space_id = snapshot.space_id();
        if !space_per.covers(name, space_id) {
            continue;
        }
        if !is_of_import(&snapshot, space_per) {
            return Err(ImportGitError::SpaceInUse { space_id: space_id.to_owned() });
        }
        earlier.spaces.insert(space_id.to_owned(), documents(&snapshot));
    }
    let known = |space_id: &String| earlier.spaces.contains_key(space_id) || at == whole;
    match spaces.into_iter().find(|space_id| !known(space_id)) {
        Some(space_id) => Err(ImportGitError::SpaceInUse { space_id }),
        None => Ok(earlier),
    }
}

fn is_of_import(snapshot: &Snapshot, space_per: SpacePer) -> bool {
    let how = match snapshot.metadata().get(METADATA) {
        Some(Value::Object(how)) => how.get("space_per").and_then(Value::as_str),
        _ => None,
    };
    how == Some(space_per.name()) && snapshot.status() != SpaceStatus::Deleted
}

fn documents(snapshot: &Snapshot) -> Documents {
    let documents = snapshot.documents();
    let tracked = documents.into_iter().map(|(id, document)| {
        let hex = document.attributes().get(ATTRIBUTE_PATH_HEX).and_then(Value::as_str);
        let bytes = hex.and_then(path::bytes_of);
        let bytes = bytes.unwrap_or_else(|| document.path().as_bytes().to_vec());
        let tracked = Tracked {
            id: id.to_owned(),
            content_hash: document.content_hash().map(str::to_owned),
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
    for page in Pages::of(store.log(), Read::from(after.next()).matching(filter)) {
        let page = page?;
        for envelope in page.envelopes() {
            let position = envelope.position;
            visit(&envelope.decode().map_err(|cause| ReadError::Corrupt { position, cause })?);
        }
    }
    Ok(())
}
