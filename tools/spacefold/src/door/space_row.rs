//! A space as a list has it.

use serde::Serialize;
use spacefold::Snapshot;
use spacefold_client::SpaceListing;
use spacefold_event_core::bytes::to_u64;

/// What is printed of a space in a list.
#[derive(Serialize)]
pub(crate) struct SpaceRow {
    pub(crate) space_id: String,
    pub(crate) name: Option<String>,
    pub(crate) status: String,
    pub(crate) revision: u64,
    pub(crate) documents: u64,
    pub(crate) updated_at: String,
}

impl SpaceRow {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            space_id: snapshot.space_id().to_owned(),
            name: snapshot.name().map(str::to_owned),
            status: snapshot.status().to_string(),
            revision: snapshot.revision().get(),
            documents: to_u64(snapshot.document_count()),
            updated_at: snapshot.updated_at().to_string(),
        }
    }
}

impl From<SpaceListing> for SpaceRow {
    fn from(listing: SpaceListing) -> Self {
        let SpaceListing { space_id, name, status, revision, documents, updated_at, .. } = listing;
        Self { space_id, name, status, revision, documents, updated_at }
    }
}
