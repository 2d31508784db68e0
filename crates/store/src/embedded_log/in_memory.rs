//! Stores in memory.

use std::path::Path;

use super::EmbeddedLog;
use crate::{environment::Environment, error::OpenError, options::StoreOptions};

/// Where a store in memory is on its disk.
const PATH: &str = "/in-memory";

impl EmbeddedLog {
    /// An empty store in memory, which is gone with its last handle: for tests of programs that have
    /// a store. It does what one on disk does, in the same way, on a disk in memory that takes every
    /// write and never loses power: what is durable lasts as long as the store does. No other process
    /// sees it, and it cannot be opened again; [`EmbeddedLog::path`] is no path of the operating
    /// system's, so that [`verify`](crate::verify()) finds no store there.
    ///
    /// # Errors
    /// [`OpenError`] when a thread cannot be started.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, log::{AppendRequest, EmbeddedLog, LogWriter, StoreOptions}};
    /// let log = EmbeddedLog::in_memory(&StoreOptions::default())?;
    /// let events = [SpaceEvent::space_created("handbook", "Handbook")];
    /// assert!(log.append(&AppendRequest::new(&events))?.is_durable());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_memory(options: &StoreOptions) -> Result<Self, OpenError> {
        // Memory is nothing to set aside.
        let options = options.clone().reserve_bytes(0);
        Self::open_in(&Environment::in_memory(&options), Path::new(PATH), &options)
    }
}
