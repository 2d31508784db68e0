//! The fold that comes to mind first, for the rivals: owned texts in maps of the standard library.
//! It does what spacefold's fold does with the events that the workload has.

use std::collections::HashMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::record::{OwnedBody, OwnedRecord};

/// The states of all spaces.
#[derive(Default)]
pub(crate) struct ObviousStates {
    spaces: HashMap<String, Space>,
}

#[derive(Default)]
struct Space {
    revision: u64,
    created_at: i64,
    updated_at: i64,
    documents: HashMap<String, Document>,
    /// How many documents are at each path.
    paths: HashMap<String, u64>,
    variables: HashMap<String, String>,
    renders: HashMap<String, Render>,
    anomalies: u64,
}

struct Document {
    path: String,
    content_hash: Option<String>,
    added_position: u64,
    updated_position: u64,
}

struct Render {
    output_hash: Option<String>,
    position: u64,
}

/// What a fold came to: the same for every subject that folds the same events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many spaces there are.
    pub(crate) spaces: u64,
    /// The sum of their revisions.
    pub(crate) revisions: u64,
    /// How many documents they have.
    pub(crate) documents: u64,
    /// How many variables.
    pub(crate) variables: u64,
    /// How many render states.
    pub(crate) renders: u64,
    /// How many events did not fit.
    pub(crate) anomalies: u64,
    /// The sum of all positions in the states.
    pub(crate) positions: u64,
}

impl ObviousStates {
    /// Folds in the record under a number.
    pub(crate) fn apply(&mut self, position: u64, bytes: &[u8]) -> Result<()> {
        let record = OwnedRecord::decode(bytes)?;
        std::hint::black_box((&record.event_id, record.timestamp));
        std::hint::black_box((&record.source, &record.correlation_id));
        let space = self.spaces.entry(record.space_id).or_default();
        space.apply(position, record.recorded_at, record.body);
        Ok(())
    }

    /// What they have come to.
    pub(crate) fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for space in self.spaces.values() {
            std::hint::black_box((space.created_at, space.updated_at));
            summary.spaces += 1;
            summary.revisions += space.revision;
            summary.documents += space.documents.len() as u64;
            summary.variables += space.variables.len() as u64;
            summary.renders += space.renders.len() as u64;
            summary.anomalies += space.anomalies;
            for document in space.documents.values() {
                std::hint::black_box(&document.content_hash);
                summary.positions += document.added_position + document.updated_position;
            }
            for render in space.renders.values() {
                std::hint::black_box(&render.output_hash);
                summary.positions += render.position;
            }
        }
        summary
    }
}

impl Space {
    fn apply(&mut self, position: u64, recorded_at: i64, body: OwnedBody) {
        self.revision += 1;
        self.updated_at = recorded_at;
        let is_first = self.revision == 1;
        if is_first {
            self.created_at = recorded_at;
        }
        // The workload creates no space: its first event does not fit.
        let fits = self.apply_body(position, body);
        self.anomalies += u64::from(is_first || !fits);
    }

    /// Answers whether the event fits.
    fn apply_body(&mut self, position: u64, body: OwnedBody) -> bool {
        match body {
            OwnedBody::DocumentAdded { document_id, space_path } => {
                self.add_document(position, document_id, space_path)
            }
            OwnedBody::ContentChanged { document_id, old_hash, new_hash } => {
                std::hint::black_box(&old_hash);
                let Some(document) = self.documents.get_mut(&document_id) else {
                    return false;
                };
                document.content_hash = Some(new_hash);
                document.updated_position = position;
                true
            }
            OwnedBody::VariableSet { name, value } => {
                self.variables.insert(name, value);
                true
            }
            OwnedBody::RenderCompleted { document_id, output_hash } => {
                let Some(id) = document_id.filter(|id| self.documents.contains_key(id)) else {
                    return false;
                };
                self.renders.insert(id, Render { output_hash, position });
                true
            }
        }
    }

    fn add_document(&mut self, position: u64, id: String, path: String) -> bool {
        let known = self.documents.get_mut(&id);
        let is_new = known.is_none();
        let stays = known.as_ref().is_some_and(|document| document.path == path);
        match known {
            Some(document) => {
                let before = std::mem::replace(&mut document.path, path.clone());
                document.updated_position = position;
                if !stays && let Some(count) = self.paths.get_mut(&before) {
                    *count -= 1;
                    if *count == 0 {
                        self.paths.remove(&before);
                    }
                }
            }
            None => {
                let (added_position, updated_position) = (position, position);
                let path = path.clone();
                let document =
                    Document { path, content_hash: None, added_position, updated_position };
                self.documents.insert(id, document);
            }
        }
        let mut is_taken = false;
        if !stays {
            let count = self.paths.entry(path).or_default();
            is_taken = *count > 0;
            *count += 1;
        }
        is_new && !is_taken
    }
}
