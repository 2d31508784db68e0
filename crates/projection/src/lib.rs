//! Folding an event log into the state of its spaces: snapshots, time travel, diffs, rebuilds.
//!
//! - [`SpaceState`] is the state of one space: a total fold that never fails and never panics,
//!   whatever order events come in. [`SpaceStates`] is all of them, and a [`Projection`].
//! - [`LiveStates`] folds a log live behind its durable head and answers [`Snapshot`]s: of now, of
//!   any position, of any time. It persists what it folded in a
//!   [`StateStore`](spacefold_event_core::StateStore).
//! - [`diff`] says what changed between two states, as [`Change`]s.
//! - [`rebuild`] folds anew from the first event, compares, and swaps in one step.
//!
//! The crate knows no disk: it reads through the `EventLog` trait and keeps blobs through
//! `StateStore`. Nothing that it stores is the only copy of anything.

mod blame;
mod checkpoint;
mod diff;
mod history;
mod json;
mod live_states;
mod past;
mod projection;
mod rebuild;
mod shared_map;
mod snapshot;
mod space_state;
mod space_states;

pub use self::{
    blame::{Blame, BlamedEvent, DocumentBlame, ReferenceBlame, VariableBlame},
    checkpoint::CheckpointInfo,
    diff::{Change, ConflictHashes, DocumentContent, RenderOutcome, SpaceHeader, diff},
    history::History,
    live_states::{Followed, LiveStates, SnapshotError},
    past::{PastOnDisk, PastOptions},
    projection::Projection,
    rebuild::{
        Divergence, RebuildError, RebuildMode, RebuildOptions, RebuildOutcome, Verdict, rebuild,
    },
    snapshot::Snapshot,
    space_state::{
        Anomalies, Anomaly, AnomalyReason, Conflict, CorruptState, Document, MAX_KEPT_ANOMALIES,
        Reference, Render, RenderStatus, SpaceState, SpaceStatus, StateHash, SyncState, SyncStatus,
    },
    space_states::SpaceStates,
};

#[cfg(test)]
mod testing;
