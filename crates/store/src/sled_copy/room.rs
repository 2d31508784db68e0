//! Whether there is memory to open sled in, where the process may have only so much.

use std::fs;

use rustix::process::{Resource, getrlimit};
use spacefold_event_core::{StorageError, StorageErrorKind, bytes::to_u64};

/// Address space that sled takes while it is opened: its threads with their heaps, and a page table
/// of which it does not ask whether it got the memory. Where it did not the process ends without a
/// word.
const OPENING_BYTES: u64 = 56 << 20;

/// Makes sure of that memory.
///
/// # Errors
/// [`StorageError`] of the kind *no memory* when the limit of the process leaves too little.
pub(super) fn check() -> Result<(), StorageError> {
    let Some(limit) = getrlimit(Resource::As).current else { return Ok(()) };
    let sizes = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = sizes.split(' ').next().and_then(|size| size.parse().ok()).unwrap_or(0);
    let taken = pages.saturating_mul(to_u64(rustix::param::page_size()));
    if taken.saturating_add(OPENING_BYTES) <= limit {
        return Ok(());
    }
    let what = format!(
        "the process may have {limit} bytes of addresses and has {taken}: it takes {OPENING_BYTES} more"
    );
    Err(StorageError::new("opening sled", what).of_kind(StorageErrorKind::NoMemory))
}
