//! What bytes are that are no records.

/// Bytes that are no run of records: what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt records: {0}")]
pub struct CorruptRecords(pub(super) &'static str);
