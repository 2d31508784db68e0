//! What a handle is told it has seen.

use spacefold_event_core::Receipt;

use super::SpacesReader;

impl SpacesReader {
    /// Has every later snapshot of now through this handle include what a receipt is for: for whoever
    /// appends through the [log](SpacesReader::log) itself, as by
    /// [`LogWriter::submit`](crate::log::LogWriter::submit), and reads here. Of an append that is not
    /// durable yet it does nothing.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold, log::{AppendRequest, LogWriter}};
    /// let spaces = Spacefold::in_memory()?;
    /// let created = [SpaceEvent::space_created("handbook", "Handbook")];
    /// let pending = spaces.log().submit(&AppendRequest::new(&created))?;
    /// // `pending.await?` where there is a runtime.
    /// spaces.observe(&pending.wait()?);
    /// assert_eq!(spaces.snapshot("handbook")?.name(), Some("Handbook"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn observe(&self, receipt: &Receipt) {
        if receipt.is_durable() {
            self.raise_floor(receipt.last_position().min(self.durable_head()));
        }
    }
}
