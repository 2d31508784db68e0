//! Where a content is, found in the log itself: without rows, and so in one pass that writes
//! nothing, by the rules by which the rows are made.

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    EventType, LogReader, Payload, Position, Read, ReadError, RecordedEventRef,
};

use super::{ContentIndex, Occurrence};
use crate::projection::Projection;

/// What is known of a space.
#[derive(Default)]
struct Space {
    is_deleted: bool,
    /// Its documents; those that have the content, with where that began: a place among what was
    /// found.
    documents: RapidHashMap<Box<str>, Option<usize>>,
}

struct Scan<'a> {
    content_hash: &'a str,
    spaces: RapidHashMap<Box<str>, Space>,
    found: Vec<Occurrence>,
}

/// Every document that has or had the content with this hash, up to the durable head.
pub(super) fn occurrences(
    log: &dyn LogReader,
    content_hash: &str,
) -> Result<Vec<Occurrence>, ReadError> {
    let head = log.durable_head();
    let types = ContentIndex.event_types();
    let mut scan = Scan { content_hash, spaces: RapidHashMap::default(), found: Vec::new() };
    for page in log.pages(Read::from(Position::new(1)).to(head)) {
        let page = page?;
        for envelope in page.envelopes().filter(|event| types.contains(event.event_type)) {
            scan.apply(&envelope.decode()?);
        }
    }
    Ok(scan.found)
}

impl Scan<'_> {
    fn apply(&mut self, event: &RecordedEventRef<'_>) {
        if !self.spaces.contains_key(event.space_id) {
            self.spaces.insert(event.space_id.into(), Space::default());
        }
        let Some(space) = self.spaces.get_mut(event.space_id) else { return };
        if space.is_deleted {
            space.is_deleted = event.event_type != EventType::SpaceCreated;
            return;
        }
        let found = &mut self.found;
        let mut close = |place: Option<usize>| {
            if let Some(occurrence) = place.and_then(|place| found.get_mut(place)) {
                occurrence.until = Some(event.position);
            }
        };
        match &event.payload {
            Payload::SpaceDeleted { .. } => {
                space.documents.drain().for_each(|(_, place)| close(place));
                space.is_deleted = true;
            }
            Payload::DocumentAdded { document_id, .. } => {
                space.documents.entry((**document_id).into()).or_insert(None);
            }
            Payload::DocumentRemoved { document_id, .. } => {
                close(space.documents.remove(&**document_id).flatten());
            }
            Payload::DocumentContentChanged { document_id, new_hash, .. } => {
                let Some(place) = space.documents.get_mut(&**document_id) else { return };
                if **new_hash != *self.content_hash {
                    close(place.take());
                } else if place.is_none() {
                    *place = Some(found.len());
                    found.push(Occurrence {
                        space_id: event.space_id.to_owned(),
                        document_id: (**document_id).to_owned(),
                        from: event.position,
                        until: None,
                    });
                }
            }
            _ => {}
        }
    }
}
