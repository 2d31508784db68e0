//! The state of an information space as a pure value.
//!
//! - [`SpaceState`] is the state of one space: a total fold that never fails and never panics,
//!   whatever order events come in. A clone shares what does not change. [`SpaceStates`] is all of
//!   them.
//! - [`Effect`] is what an event did to its space, and [`Effects`] what the events of a stretch of the
//!   log did, for projections.
//! - [`Snapshot`] is a state as of a position, for those who ask.
//! - [`diff`] says what changed between two states, as [`Change`]s.
//! - [`Blame`] says which event gave each part of a space its value.
//!
//! Knows no log and no store: events come in, values go out.

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
