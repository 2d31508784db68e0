#![doc = include_str!("../README.md")]

mod blame;
mod diff;
mod shared_map;
mod snapshot;
mod space_state;
mod space_states;
#[cfg(any(feature = "testing", test))]
pub mod testing;

pub use self::{
    blame::{Blame, BlameFold, BlamedEvent, DocumentBlame, ReferenceBlame, VariableBlame},
    diff::{Change, ConflictHashes, DocumentContent, RenderOutcome, SpaceHeader, diff},
    shared_map::{Difference, Key, SharedMap},
    snapshot::Snapshot,
    space_state::{
        Anomalies, Anomaly, AnomalyReason, Conflict, CorruptState, Document, Effect, Effects,
        MAX_KEPT_ANOMALIES, Reference, Render, RenderStatus, SpaceState, SpaceStatus, StateHash,
        SyncState, SyncStatus,
    },
    space_states::SpaceStates,
};
