//! Which event gave each part of a space its value.

use std::collections::BTreeMap;

use serde::Serialize;
use spacefold_event_core::{
    EventFilter, EventId, LogReader, Position, Read, RecordedEventRef, Revision, Timestamp,
};

use crate::{
    snapshot_error::SnapshotError,
    space_state::{Document, Reference, References, SpaceState},
};

/// How many events are read at a time.
const PAGE_EVENTS: usize = 1_024;

/// An event that gave something the value that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlamedEvent {
    /// Where it stands.
    pub position: Position,
    /// Its id.
    pub event_id: EventId,
    /// When the log took it.
    pub recorded_at: Timestamp,
}

/// Which events made a document what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DocumentBlame {
    /// The id of the document.
    pub document_id: String,
    /// What put it where it is.
    pub path: BlamedEvent,
    /// What gave it its content hash, when it has one.
    pub content: Option<BlamedEvent>,
    /// What changed its attributes last, when any did.
    pub attributes: Option<BlamedEvent>,
}

/// Which event gave a variable its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VariableBlame {
    /// The name of the variable.
    pub name: String,
    /// What gave it its value.
    pub set: BlamedEvent,
}

/// Which event added a reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferenceBlame {
    /// The document that refers.
    pub document_id: String,
    /// What it refers to.
    #[serde(flatten)]
    pub reference: Reference,
    /// What added it.
    pub added: BlamedEvent,
}

/// For each part of a space, the event that gave it the value that it has: an event that sets what
/// is there already changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blame {
    /// The space.
    pub space_id: String,
    /// The position that it is of.
    pub position: Position,
    /// Its documents, sorted by id.
    pub documents: Vec<DocumentBlame>,
    /// Its variables, sorted by name.
    pub variables: Vec<VariableBlame>,
    /// Its references, sorted by document id, target, kind.
    pub references: Vec<ReferenceBlame>,
}

/// `None` when the space has had no event up to the position.
pub(crate) fn blame(
    log: &dyn LogReader,
    space_id: &str,
    position: Position,
) -> Result<Option<Blame>, SnapshotError> {
    let mut state = SpaceState::new(space_id);
    let mut blamed = Blamed::default();
    let filter = EventFilter::all().spaces([space_id]);
    let read = Read::from(Position::new(1)).to(position).limit(PAGE_EVENTS);
    for page in log.pages(read.matching(filter)) {
        let page = page?;
        for event in page.events() {
            let event = event?;
            let before = state.clone();
            state.apply(&event);
            blamed.take(&before, &state, &event);
        }
    }
    let is_there = state.revision() > Revision::NONE;
    Ok(is_there.then(|| blamed.of(space_id, position)))
}

#[derive(Default)]
struct Blamed {
    documents: BTreeMap<String, DocumentBlame>,
    variables: BTreeMap<String, BlamedEvent>,
    references: BTreeMap<(String, Reference), BlamedEvent>,
}

impl Blamed {
    /// Notes what an event has changed.
    fn take(&mut self, before: &SpaceState, after: &SpaceState, event: &RecordedEventRef<'_>) {
        let (position, event_id) = (event.position, event.event_id);
        let blamed = BlamedEvent { position, event_id, recorded_at: event.recorded_at };
        let parting = before.parting(after);
        for difference in parting.documents {
            match difference.after {
                Some(document) => {
                    self.document(difference.key, difference.before, document, blamed);
                }
                None => {
                    self.documents.remove(difference.key);
                }
            }
        }
        for difference in parting.variables {
            match difference.after {
                Some(_) => {
                    self.variables.insert(difference.key.to_owned(), blamed);
                }
                None => {
                    self.variables.remove(difference.key);
                }
            }
        }
        for difference in parting.references {
            let id = difference.key;
            let (gone, new) = References::parting(difference.before, difference.after);
            for gone in gone {
                self.references.remove(&(id.to_owned(), gone.clone()));
            }
            for new in new {
                self.references.insert((id.to_owned(), new.clone()), blamed);
            }
        }
    }

    fn document(
        &mut self,
        id: &str,
        before: Option<&Document>,
        after: &Document,
        blamed: BlamedEvent,
    ) {
        let known = self.documents.entry(id.to_owned()).or_insert_with(|| DocumentBlame {
            document_id: id.to_owned(),
            path: blamed,
            content: None,
            attributes: None,
        });
        let Some(before) = before else { return };
        if before.path() != after.path() {
            known.path = blamed;
        }
        if before.content_hash() != after.content_hash() {
            known.content = Some(blamed);
        }
        if before.attributes() != after.attributes() {
            known.attributes = Some(blamed);
        }
    }

    fn of(self, space_id: &str, position: Position) -> Blame {
        let variables = self.variables.into_iter();
        let references = self.references.into_iter();
        Blame {
            space_id: space_id.to_owned(),
            position,
            documents: self.documents.into_values().collect(),
            variables: variables.map(|(name, set)| VariableBlame { name, set }).collect(),
            references: references
                .map(|((document_id, reference), added)| ReferenceBlame {
                    document_id,
                    reference,
                    added,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
