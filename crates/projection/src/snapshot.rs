//! The state of a space as of one position, shared and immutable.

use std::{ops::Deref, sync::Arc};

use spacefold_event_core::{Position, write_string};

use crate::{
    json::{append, write_array, write_members, write_object, write_optional},
    space_state::SpaceState,
};

/// The state of one space as of one position of the log: shared, immutable, cheap to clone.
///
/// Dereferences to its [`SpaceState`].
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    state: Arc<SpaceState>,
    position: Position,
}

impl Snapshot {
    pub(crate) const fn new(state: Arc<SpaceState>, position: Position) -> Self {
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
        let mut json = String::with_capacity(1024);
        self.write_json(&mut json);
        json
    }

    /// Appends what [`Snapshot::to_json`] gives.
    pub fn write_json(&self, json: &mut String) {
        let state = &*self.state;
        json.push_str("{\"space_id\":");
        write_string(json, state.space_id());
        json.push_str(",\"name\":");
        write_optional(json, state.name());
        append(
            json,
            format_args!(
                ",\"status\":\"{}\",\"position\":{},\"revision\":{}",
                state.status(),
                self.position,
                state.revision()
            ),
        );
        append(
            json,
            format_args!(
                ",\"created_at\":\"{}\",\"updated_at\":\"{}\",\"metadata\":",
                state.created_at(),
                state.updated_at()
            ),
        );
        write_object(json, state.metadata());
        write_documents(json, state);
        json.push_str(",\"variables\":");
        write_members(json, state.variables());
        write_references(json, state);
        write_renders(json, state);
        write_sync(json, state);
        json.push_str(",\"stale_documents\":");
        write_array(json, state.stale_documents(), write_string);
        write_anomalies(json, state);
        append(json, format_args!(",\"state_hash\":\"{}\"}}", state.state_hash()));
    }
}

impl Deref for Snapshot {
    type Target = SpaceState;

    fn deref(&self) -> &SpaceState {
        &self.state
    }
}

fn write_documents(json: &mut String, state: &SpaceState) {
    json.push_str(",\"documents\":");
    write_array(json, state.documents(), |json, (id, document)| {
        json.push_str("{\"document_id\":");
        write_string(json, id);
        json.push_str(",\"path\":");
        write_string(json, document.path());
        json.push_str(",\"content_hash\":");
        write_optional(json, document.content_hash());
        json.push_str(",\"attributes\":");
        write_object(json, document.attributes());
        append(
            json,
            format_args!(
                ",\"added_position\":{},\"updated_position\":{}}}",
                document.added_position(),
                document.updated_position()
            ),
        );
    });
}

fn write_references(json: &mut String, state: &SpaceState) {
    json.push_str(",\"references\":");
    write_array(json, state.references(), |json, (id, reference)| {
        json.push_str("{\"document_id\":");
        write_string(json, id);
        json.push_str(",\"target\":");
        write_string(json, &reference.target);
        json.push_str(",\"kind\":");
        write_optional(json, reference.kind.as_deref());
        json.push('}');
    });
}

fn write_renders(json: &mut String, state: &SpaceState) {
    json.push_str(",\"renders\":");
    write_array(json, state.renders(), |json, (id, render)| {
        json.push_str("{\"document_id\":");
        write_optional(json, id);
        append(json, format_args!(",\"status\":\"{}\",\"output_hash\":", render.status()));
        write_optional(json, render.output_hash());
        json.push_str(",\"error\":");
        write_optional(json, render.error());
        append(json, format_args!(",\"position\":{}}}", render.position()));
    });
}

fn write_sync(json: &mut String, state: &SpaceState) {
    let sync = state.sync();
    append(json, format_args!(",\"sync\":{{\"status\":\"{}\"", sync.status));
    match sync.last_completed {
        Some((position, time)) => append(
            json,
            format_args!(
                ",\"last_completed_position\":{position},\"last_completed_at\":\"{time}\""
            ),
        ),
        None => json.push_str(",\"last_completed_position\":null,\"last_completed_at\":null"),
    }
    json.push_str(",\"conflicts\":");
    write_array(json, state.conflicts(), |json, (id, conflict)| {
        json.push_str("{\"document_id\":");
        write_string(json, id);
        json.push_str(",\"local_hash\":");
        write_optional(json, conflict.local_hash());
        json.push_str(",\"remote_hash\":");
        write_optional(json, conflict.remote_hash());
        append(json, format_args!(",\"position\":{}}}", conflict.position()));
    });
    json.push('}');
}

fn write_anomalies(json: &mut String, state: &SpaceState) {
    let anomalies = state.anomalies();
    append(json, format_args!(",\"anomalies\":{{\"count\":{},\"first\":", anomalies.count()));
    write_array(json, anomalies.first(), |json, anomaly| {
        append(
            json,
            format_args!(
                "{{\"position\":{},\"event_type\":\"{}\",\"reason\":\"{}\"}}",
                anomaly.position, anomaly.event_type, anomaly.reason
            ),
        );
    });
    json.push('}');
}
