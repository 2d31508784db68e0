//! The traits whose methods logs and stores are used by, for one import of them all.
//!
//! ```
//! use spacefold::{Position, SpaceEvent, log::{AppendRequest, MemoryLog}, prelude::*};
//! let log = MemoryLog::new();
//! log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
//! assert_eq!(log.head(), Position::new(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use crate::{
    content_store::ContentStore,
    log::{EventLog, LogReader, LogWriter},
};
