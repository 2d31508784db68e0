//! Leaving out what a later event of the same document makes old.

use rapidhash::RapidHashMap;
use spacefold_event_core::{NamedDocuments, Page, Position, ReadError};

/// Of the events of a page only the newest of each document, and those about no single document.
pub(crate) fn coalesce(page: &Page) -> Result<Page, ReadError> {
    let mut newest: RapidHashMap<(&str, &str), Position> = RapidHashMap::default();
    let mut alone = Vec::new();
    for envelope in page.envelopes() {
        let position = envelope.position;
        let event = envelope.decode()?;
        if let NamedDocuments::One(document_id) = event.payload.documents() {
            newest.insert((event.space_id, document_id), position);
        } else {
            alone.push(position);
        }
    }
    let mut kept: Vec<Position> = newest.into_values().chain(alone).collect();
    kept.sort_unstable();
    Ok(page.at_positions(&kept))
}
