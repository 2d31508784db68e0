//! The state of a space as of one position, shared and immutable.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeMap};
use spacefold_event_core::{Position, Timestamp};

use crate::space_state::{Conflict, SpaceState, SyncStatus};

/// The state of one space as of one position of the log: shared, immutable, cheap to clone.
///
/// Dereferences to its [`SpaceState`].
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    state: Arc<SpaceState>,
    position: Position,
}

impl Snapshot {
    /// A state, as of a position.
    #[must_use]
    pub const fn new(state: Arc<SpaceState>, position: Position) -> Self {
        Self { state, position }
    }

    /// The id of the space.
    #[must_use]
    pub fn space_id(&self) -> &str {
        self.state.space_id()
    }

    /// The position of the log that the state is of: the one asked for, the head when none was.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The state, shared.
    #[must_use]
    pub const fn state(&self) -> &Arc<SpaceState> {
        &self.state
    }

    /// The snapshot as one JSON object without line breaks, its keys in the order of the contract;
    /// equal snapshots print equal bytes. Cost: a walk over the whole state.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a snapshot is valid JSON")
    }
}

impl Deref for Snapshot {
    type Target = SpaceState;

    fn deref(&self) -> &SpaceState {
        &self.state
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = &*self.state;
        let (last_completed_position, last_completed_at) = state.sync().last_completed.unzip();
        let documents = state.documents().into_iter().map(of_document);
        let references = state.references().into_iter().map(of_document);
        let conflicts = state.conflicts().into_iter().map(of_document);
        let renders = state.renders().into_iter();
        let renders = renders.map(|(document_id, part)| Of { document_id, part });
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("space_id", state.space_id())?;
        json.serialize_entry("name", &state.name())?;
        json.serialize_entry("status", &state.status())?;
        json.serialize_entry("position", &self.position)?;
        json.serialize_entry("revision", &state.revision())?;
        json.serialize_entry("created_at", &state.created_at())?;
        json.serialize_entry("updated_at", &state.updated_at())?;
        json.serialize_entry("metadata", state.metadata())?;
        json.serialize_entry("documents", &documents.collect::<Vec<_>>())?;
        json.serialize_entry(
            "variables",
            &state.variables().into_iter().collect::<BTreeMap<_, _>>(),
        )?;
        json.serialize_entry("references", &references.collect::<Vec<_>>())?;
        json.serialize_entry("renders", &renders.collect::<Vec<_>>())?;
        json.serialize_entry(
            "sync",
            &Sync {
                status: state.sync().status,
                last_completed_position,
                last_completed_at,
                conflicts: conflicts.collect(),
            },
        )?;
        json.serialize_entry("stale_documents", &state.stale_documents())?;
        json.serialize_entry("anomalies", state.anomalies())?;
        json.serialize_entry("state_hash", &state.state_hash())?;
        json.end()
    }
}

/// A part of a state, and the document that it is of; `None` for the space itself.
#[derive(Serialize)]
struct Of<'a, T> {
    document_id: Option<&'a str>,
    #[serde(flatten)]
    part: &'a T,
}

const fn of_document<'a, T>((document_id, part): (&'a str, &'a T)) -> Of<'a, T> {
    Of { document_id: Some(document_id), part }
}

/// What is printed of a [`SyncState`](crate::SyncState), and the conflicts beside it.
#[derive(Serialize)]
struct Sync<'a> {
    status: SyncStatus,
    last_completed_position: Option<Position>,
    last_completed_at: Option<Timestamp>,
    conflicts: Vec<Of<'a, Conflict>>,
}
