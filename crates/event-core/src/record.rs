//! The binary form of events: runs of records, shared by journal frames and blocks.
//!
//! A run is a stretch of the log. Its *body* is all that the caller decided (ids, types, texts,
//! payloads) and is encoded in the caller's thread; its *assignments* are what the one writer
//! decided (positions, revisions, times) and are small. `docs/format.md` has every byte.
//!
//! Each payload has a version of its own. Those of earlier versions are read as those of today
//! (`upcast.rs`); one of a later version is refused when it is read, and nothing else of its run is.

mod body;
mod builder;
mod columns;
mod part;
mod payload_bytes;
mod rare;
mod records;
mod schemas;
mod stored_columns;
mod text;
mod upcast;

#[cfg(any(test, feature = "testing"))]
pub(crate) mod planted;

pub use self::{
    builder::{EncodedBody, RecordsBuilder},
    records::{Assignments, Envelope, Records},
    schemas::Schemas,
};

/// Events at which a run of an append is closed, and the next one begun: what fills a block, so that
/// a large append becomes blocks as it is.
pub const RUN_EVENTS: usize = 512;
/// Bytes of a body at which a run of an append is closed.
pub const RUN_BYTES: usize = 48 << 10;

/// Bytes that one encoding call may claim; no run of records comes near it.
const CODEC_LIMIT_BYTES: usize = 256 << 20;

pub(crate) type BincodeConfig = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<CODEC_LIMIT_BYTES>,
>;

/// The one configuration of the binary codec: little endian, variable-length integers, a limit.
pub(crate) const fn codec() -> BincodeConfig {
    bincode::config::standard().with_limit::<CODEC_LIMIT_BYTES>()
}
