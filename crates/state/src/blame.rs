//! Which event gave each part of a space its value.

use std::collections::BTreeMap;

use serde::Serialize;
use spacefold_event_core::{EventId, Position, RecordedEventRef, Revision, Timestamp};

use crate::space_state::{Document, Reference, References, SpaceState};

/// An event that gave something the value that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlamedEvent {
    /// Its position.
    pub position: Position,
    /// Its id.
    pub event_id: EventId,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// Who says so, if the event does.
    pub source: Option<String>,
    /// What it belongs to, if the event says so.
    pub correlation_id: Option<String>,
}

impl From<&RecordedEventRef<'_>> for BlamedEvent {
    fn from(event: &RecordedEventRef<'_>) -> Self {
        Self {
            position: event.position,
            event_id: event.event_id,
            recorded_at: event.recorded_at,
            source: event.source.map(str::to_owned),
            correlation_id: event.correlation_id.map(str::to_owned),
        }
    }
}

/// Which events made a document what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct VariableBlame {
    /// The name of the variable.
    pub name: String,
    /// What gave it its value.
    pub set: BlamedEvent,
}

/// Which event added a reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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
#[non_exhaustive]
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

/// The events of a space, folded to what they are to blame for.
#[derive(Debug)]
pub struct BlameFold {
    state: SpaceState,
    blamed: Blamed,
}

impl BlameFold {
    /// A space that has had no event.
    #[must_use]
    pub fn new(space_id: &str) -> Self {
        Self { state: SpaceState::new(space_id), blamed: Blamed::default() }
    }

    /// Takes in the next event of the space.
    pub fn apply(&mut self, event: &RecordedEventRef<'_>) {
        let before = self.state.clone();
        self.state.apply(event);
        self.blamed.take(&before, &self.state, event);
    }

    /// What came of it, as of a position; `None` when the space has had no event.
    #[must_use]
    pub fn finish(self, position: Position) -> Option<Blame> {
        let is_there = self.state.revision() > Revision::NONE;
        is_there.then(|| self.blamed.of(self.state.space_id(), position))
    }
}

#[derive(Debug, Default)]
struct Blamed {
    documents: BTreeMap<String, DocumentBlame>,
    variables: BTreeMap<String, BlamedEvent>,
    references: BTreeMap<(String, Reference), BlamedEvent>,
}

impl Blamed {
    /// Notes what an event has changed.
    fn take(&mut self, before: &SpaceState, after: &SpaceState, event: &RecordedEventRef<'_>) {
        let parting = before.parting(after);
        for difference in parting.documents {
            match difference.after {
                Some(document) => {
                    self.document(difference.key, difference.before, document, event);
                }
                None => {
                    self.documents.remove(difference.key);
                }
            }
        }
        for difference in parting.variables {
            match difference.after {
                Some(_) => {
                    self.variables.insert(difference.key.to_owned(), event.into());
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
                self.references.insert((id.to_owned(), new.clone()), event.into());
            }
        }
    }

    fn document(
        &mut self,
        id: &str,
        before: Option<&Document>,
        after: &Document,
        event: &RecordedEventRef<'_>,
    ) {
        let known = self.documents.entry(id.to_owned()).or_insert_with(|| DocumentBlame {
            document_id: id.to_owned(),
            path: event.into(),
            content: None,
            attributes: None,
        });
        let Some(before) = before else { return };
        if before.path() != after.path() {
            known.path = event.into();
        }
        if before.content_hash() != after.content_hash() {
            known.content = Some(event.into());
        }
        if before.attributes() != after.attributes() {
            known.attributes = Some(event.into());
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
