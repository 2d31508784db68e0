//! Leaving out what a later event of the same document makes old.

use rapidhash::RapidHashMap;
use spacefold_event_core::{Page, Payload, Position, ReadError};

/// Of the events of a page only the newest of each document, and those about no single document.
pub(crate) fn coalesce(page: &Page) -> Result<Page, ReadError> {
    let mut newest: RapidHashMap<(&str, &str), Position> = RapidHashMap::default();
    let mut alone = Vec::new();
    for envelope in page.envelopes() {
        let position = envelope.position;
        let event = envelope.decode().map_err(|cause| ReadError::Corrupt { position, cause })?;
        if let Some(document_id) = document_of(&event.payload) {
            newest.insert((event.envelope.space_id, document_id), position);
        } else {
            alone.push(position);
        }
    }
    let mut kept: Vec<Position> = newest.into_values().chain(alone).collect();
    kept.sort_unstable();
    Ok(page.at_positions(&kept))
}

/// The one document that an event is about.
fn document_of<'a>(payload: &Payload<&'a str>) -> Option<&'a str> {
    match payload {
        Payload::DocumentAdded { document_id, .. }
        | Payload::DocumentUpdated { document_id, .. }
        | Payload::DocumentRemoved { document_id, .. }
        | Payload::DocumentMoved { document_id, .. }
        | Payload::DocumentContentChanged { document_id, .. }
        | Payload::ReferenceAdded { document_id, .. }
        | Payload::SyncConflict { document_id, .. } => Some(document_id),
        Payload::ReferenceCleared { document_id, .. }
        | Payload::RenderStarted { document_id, .. }
        | Payload::RenderCompleted { document_id, .. }
        | Payload::RenderFailed { document_id, .. } => document_id.as_ref().copied(),
        _ => None,
    }
}
