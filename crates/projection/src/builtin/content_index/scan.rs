//! Where a content is, found in the log itself, in one pass without rows.

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    EventTypes, LogReader, Payload, Position, ReadError, ReadRequest, RecordedEventRef,
};
use spacefold_state::Effect;

use super::{EVENT_TYPES, Occurrence};
use crate::effects::{EffectSource, Reading};

struct OccurrenceScan<'a> {
    content_hash: &'a str,
    /// By space and document where the content is: its place among what was found.
    open: RapidHashMap<Box<str>, RapidHashMap<Box<str>, usize>>,
    found: Vec<Occurrence>,
}

/// Every document that has or had the content with this hash, up to the durable head.
pub(super) fn occurrences(
    log: &dyn LogReader,
    effects: &dyn EffectSource,
    content_hash: &str,
) -> Result<Vec<Occurrence>, ReadError> {
    let head = log.durable_head();
    let types: EventTypes = EVENT_TYPES.into_iter().collect();
    let mut scan =
        OccurrenceScan { content_hash, open: RapidHashMap::default(), found: Vec::new() };
    let mut after = Position::START;
    for page in log.pages(ReadRequest::from(after.next()).to(head)) {
        let Reading { page, effects } = Reading::of(page?, (after, head), Some(effects))?;
        after = page.next().previous();
        for envelope in page.envelopes().filter(|event| types.contains(event.event_type)) {
            let effect = effects.as_ref().and_then(|effects| effects.of(envelope.position));
            if !effect.is_some_and(Effect::is_ignored) {
                scan.apply(&envelope.decode()?);
            }
        }
    }
    Ok(scan.found)
}

impl OccurrenceScan<'_> {
    fn apply(&mut self, event: &RecordedEventRef<'_>) {
        match &event.payload {
            Payload::SpaceDeleted { .. } => {
                let documents = self.open.remove(event.space_id);
                documents.into_iter().flatten().for_each(|(_, place)| self.close(place, event));
            }
            Payload::DocumentContentChanged { document_id, new_hash, .. }
                if **new_hash == *self.content_hash =>
            {
                let documents = self.open.entry(event.space_id.into()).or_default();
                if documents.contains_key(&**document_id) {
                    return;
                }
                documents.insert((**document_id).into(), self.found.len());
                self.found.push(Occurrence {
                    space_id: event.space_id.to_owned(),
                    document_id: (**document_id).to_owned(),
                    from: event.position,
                    until: None,
                });
            }
            Payload::DocumentContentChanged { document_id, .. }
            | Payload::DocumentRemoved { document_id, .. } => {
                let documents = self.open.get_mut(event.space_id);
                if let Some(place) = documents.and_then(|open| open.remove(&**document_id)) {
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
