//! Where a content is, found in the log itself, without rows: in the spaces that name it.

use std::collections::BTreeSet;

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    EventType, LogReader, Payload, Position, ReadError, ReadRequest, RecordedEventRef,
};
use spacefold_state::SpaceState;

use super::Occurrence;
use crate::replay::replay_space;

/// The occurrences in one space.
struct OccurrenceScan<'a> {
    content_hash: &'a str,
    /// By document where the content is: its place among what was found.
    open: RapidHashMap<Box<str>, usize>,
    found: &'a mut Vec<Occurrence>,
}

/// Every document that has or had the content with this hash, up to the durable head.
pub(super) fn occurrences(
    log: &dyn LogReader,
    content_hash: &str,
) -> Result<Vec<Occurrence>, ReadError> {
    let head = log.durable_head();
    let mut found = Vec::new();
    for space_id in spaces_with(log, content_hash, head)? {
        let open = RapidHashMap::default();
        let mut scan = OccurrenceScan { content_hash, open, found: &mut found };
        replay_space(log, &mut SpaceState::new(space_id), head, |_, event, effect| {
            if !effect.is_ignored() {
                scan.apply(event);
            }
        })?;
    }
    found.sort_unstable_by_key(|occurrence| occurrence.from);
    Ok(found)
}

/// The spaces that have an event which gives a document the content, whether it took effect or not.
fn spaces_with(
    log: &dyn LogReader,
    content_hash: &str,
    head: Position,
) -> Result<BTreeSet<String>, ReadError> {
    let mut spaces = BTreeSet::new();
    for page in log.pages(ReadRequest::from(Position::new(1)).to(head)) {
        for envelope in page?.envelopes() {
            if envelope.event_type == EventType::DocumentContentChanged
                && !spaces.contains(envelope.space_id)
                && let Payload::DocumentContentChanged { new_hash, .. } = envelope.decode()?.payload
                && *new_hash == *content_hash
            {
                spaces.insert(envelope.space_id.to_owned());
            }
        }
    }
    Ok(spaces)
}

impl OccurrenceScan<'_> {
    fn apply(&mut self, event: &RecordedEventRef<'_>) {
        match &event.payload {
            Payload::SpaceDeleted { .. } => {
                let open = std::mem::take(&mut self.open);
                open.into_values().for_each(|place| self.close(place, event));
            }
            Payload::DocumentContentChanged { document_id, new_hash, .. }
                if **new_hash == *self.content_hash =>
            {
                if self.open.contains_key(&**document_id) {
                    return;
                }
                self.open.insert((**document_id).into(), self.found.len());
                self.found.push(Occurrence {
                    space_id: event.space_id.to_owned(),
                    document_id: (**document_id).to_owned(),
                    from: event.position,
                    until: None,
                });
            }
            Payload::DocumentContentChanged { document_id, .. }
            | Payload::DocumentRemoved { document_id, .. } => {
                if let Some(place) = self.open.remove(&**document_id) {
                    self.close(place, event);
                }
            }
            _ => {}
        }
    }

    /// Notes that a document had the content until this event.
    fn close(&mut self, place: usize, event: &RecordedEventRef<'_>) {
        if let Some(occurrence) = self.found.get_mut(place) {
            occurrence.until = Some(event.position);
        }
    }
}
