//! Appends of events that were encoded ahead: for what encodes in several threads.

use spacefold_event_core::{
    AppendError, PendingAppend, Timestamp,
    append_rules::{self, EncodedEvents, EventEncoder},
};

use super::EmbeddedLog;

impl EmbeddedLog {
    /// An encoder of about so many events for [`EmbeddedLog::submit_encoded`], which may work in
    /// another thread.
    #[must_use]
    pub fn encoder(&self, events: usize) -> EventEncoder {
        EventEncoder::new(self.inner.shared.folder.schemas(), events)
    }

    /// Hands an append of events over that were encoded ahead, as [`EmbeddedLog::submit`] does: each
    /// recorded at the time given for it, as of
    /// [`recorded_at`](spacefold_event_core::AppendRequest::recorded_at). No two of them have one id;
    /// events of types that are spacefold's own are taken.
    ///
    /// # Errors
    /// As [`EmbeddedLog::submit`].
    pub fn submit_encoded(
        &self,
        events: EncodedEvents,
        recorded_at: Option<Vec<Timestamp>>,
    ) -> Result<PendingAppend, AppendError> {
        let mut proposal = Box::new(append_rules::propose_encoded(events, recorded_at)?);
        let look = self.look_for_keys(&mut proposal)?;
        self.inner.writer.submit((proposal, look))
    }
}
