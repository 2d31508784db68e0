//! What commands say of themselves, beside what they do.

use spacefold_event_core::{SpaceEvent, Timestamp};

use crate::idempotency_key::KeyInLog;

/// What goes into each event of a command: who did it, what it belongs to, when it happened, and
/// the key by which a repetition is recognised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attribution {
    pub(crate) source: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) key: Option<KeyInLog>,
}

impl Attribution {
    /// The event, the one at `index` of its command, with all of this.
    pub(crate) fn mark(&self, mut event: SpaceEvent, index: usize) -> SpaceEvent {
        event.source.clone_from(&self.source);
        event.correlation_id.clone_from(&self.correlation_id);
        if let Some(timestamp) = self.timestamp {
            event = event.with_timestamp(timestamp);
        }
        if let Some(key) = &self.key {
            event.event_id = key.event_id(index);
            // A repetition is recognised here, not by the log: it is to say that it is one.
            let timestamp = event.timestamp;
            event = event.with_timestamp(timestamp);
        }
        event
    }
}
