#![doc = include_str!("../README.md")]
//!
//! The event log of spacefold over an engine that several machines share.
//!
//! A [`BlockLog`] is all that such an engine must give: places that are taken once. [`ReplicatedLog`]
//! makes an event log of it, for each process that has it open: groups of appends are put as blocks,
//! each chained to the one before, and followed into a log of the process's own.
//!
//! ```text
//! append ─▶ replica: decide ─▶ block ─▶ put_if_absent(next place) ─▶ landed? ─▶ answer
//!                                            │ lost: read the winner, decide again
//! other processes' blocks ─▶ tail: hash, chain, positions ─▶ own log ─▶ readers
//! ```
//!
//! [`ObjectBlocks`] is the backend of a folder or a bucket. The crate knows no network and no runtime:
//! those are the backends'.

mod ahead;
mod block_log;
mod bookmark;
mod error;
mod flight;
mod group_block;
#[cfg(test)]
mod model;
mod object_blocks;
mod replica;
mod replicated_log;
#[cfg(any(test, feature = "sim"))]
mod sim_blocks;
mod tail;
mod wake;

#[cfg(any(test, feature = "sim"))]
pub use self::sim_blocks::{BlockLie, SimBlocks};
pub use self::{
    block_log::{BlockLog, BlockLogLimits, PutAnswer, PutOutcome},
    error::{BlockDamage, ReplicatedOpenError},
    group_block::GroupBlockError,
    object_blocks::ObjectBlocks,
    replicated_log::{ReplicatedLog, ReplicatedOptions},
};
