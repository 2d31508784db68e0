//! What commands say of themselves, beside what they do.

use spacefold_event_core::{Object, SpaceEvent, Timestamp};

use crate::{command::Held, idempotency_key::KeyInLog, refusal::Refusal};

/// What goes into each event of a command: who did it, what it belongs to, when it happened, and
/// the key by which a repetition is recognised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attribution {
    pub(crate) source: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) tags: Vec<String>,
    /// Payload keys beside those of the contract.
    pub(crate) extra: Object,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) key: Option<KeyInLog>,
}

impl Attribution {
    /// The bytes of memory that it holds, about.
    pub(crate) fn held_bytes(&self) -> usize {
        let label = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let key = self.key.as_ref().map_or(0, |key| key.key().as_str().len());
        let labels = label(&self.source) + label(&self.correlation_id) + key;
        size_of::<Self>() + labels + self.tags.held_bytes() + self.extra.held_bytes()
    }

    /// The event, the one at `index` of its command, with all of this.
    pub(crate) fn mark(&self, event: SpaceEvent, index: usize) -> Result<SpaceEvent, Refusal> {
        let mut event = self.mark_without_extra(event, index);
        for (key, value) in self.extra.iter() {
            if event.payload.extra().get(key).is_some() {
                return Err(Refusal::KeyInPayload { key: key.clone() });
            }
            event = event.with_extra(key.as_str(), value.clone())?;
        }
        if !(self.tags.is_empty() && self.extra.is_empty()) {
            event.check_limits()?;
        }
        Ok(event)
    }

    /// As [`Attribution::mark`], but for what goes into the payload.
    pub(crate) fn mark_without_extra(&self, mut event: SpaceEvent, index: usize) -> SpaceEvent {
        event.source.clone_from(&self.source);
        event.correlation_id.clone_from(&self.correlation_id);
        event.tags.clone_from(&self.tags);
        if let Some(timestamp) = self.timestamp {
            event = event.with_timestamp(timestamp);
        }
        if let Some(key) = &self.key {
            event.event_id = key.event_id(index);
        }
        event
    }
}
