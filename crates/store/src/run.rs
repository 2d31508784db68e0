//! A run of records with its bytes.

use std::sync::Arc;

use spacefold_event_core::{EncodedBody, Records};

/// An append, or one of the parts that a large one is encoded in: what stands in a frame, in the
/// tail, and in a block when it fills one.
#[derive(Clone, Debug)]
pub(crate) struct RecordRun {
    pub(crate) records: Records,
    /// The records as bytes, but for their assignments.
    pub(crate) body: Arc<EncodedBody>,
}

impl RecordRun {
    pub(crate) fn body_bytes(&self) -> usize {
        self.body.bytes().len()
    }
}
