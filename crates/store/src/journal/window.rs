//! The bytes of a journal file that are looked at, and some more behind them. Most of a file in use is
//! what was filled with zeros ahead: that is looked at too, but never held whole.

use std::sync::Arc;

use spacefold_disk::File;
use spacefold_event_core::{StorageError, bytes::to_usize};

use super::frame::{self, FRAME_HEADER_BYTES};

/// Bytes that are read where perhaps nothing more is, and at a time where much is.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 256 << 10;

/// Bytes of a file that were read together.
pub(crate) struct JournalWindow {
    file: Arc<dyn File>,
    /// The bytes of the file.
    len: u64,
    start: u64,
    bytes: Vec<u8>,
    ahead: usize,
}

impl JournalWindow {
    /// Nothing of a file was read yet, of which so many bytes are to be.
    pub(crate) fn new(file: &Arc<dyn File>, len: u64) -> Self {
        Self { file: Arc::clone(file), len, start: 0, bytes: Vec::new(), ahead: 0 }
    }

    /// The bytes of the file.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Bytes from an offset on: `wanted` of them, or all there are, and perhaps more.
    pub(crate) fn read(&mut self, offset: u64, wanted: usize) -> Result<&[u8], StorageError> {
        let left = to_usize(self.len.saturating_sub(offset));
        let wanted = wanted.min(left);
        let skipped = offset.checked_sub(self.start).map(to_usize);
        let has = skipped.and_then(|skipped| self.bytes.len().checked_sub(skipped));
        if has.is_none_or(|has| has < wanted) {
            // The more was read, the more follows, mostly.
            self.ahead = (self.ahead * 2).clamp(LEAST_READ, MOST_READ);
            self.bytes.resize(wanted.max(self.ahead).min(left), 0);
            self.start = offset;
            self.file.read_exact_at(&mut self.bytes, offset)?;
        }
        let start = to_usize(offset.saturating_sub(self.start));
        Ok(self.bytes.get(start..).unwrap_or_default())
    }

    /// The bytes from an offset on, as many as the frame has that seems to begin there, if they are there.
    pub(crate) fn frame_bytes(&mut self, offset: u64) -> Result<&[u8], StorageError> {
        let begin = self.read(offset, FRAME_HEADER_BYTES)?;
        let wanted = frame::peek(begin).map_or(FRAME_HEADER_BYTES, |extent| extent.len);
        self.read(offset, wanted)
    }
}
