//! What bytes are that are no records.

use crate::varint::Malformed;

/// Bytes that are no run of records: what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt records: {0}")]
pub struct CorruptRecords(pub(super) &'static str);

impl From<Malformed> for CorruptRecords {
    fn from(Malformed: Malformed) -> Self {
        Self("columns that do not decode")
    }
}
