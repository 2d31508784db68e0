#![doc = include_str!("../README.md")]

mod apply_context;
mod apply_error;
mod blame;
mod builtin;
mod checkpoint;
mod derived_state;
mod effects;
mod generations;
mod history;
mod history_cache;
mod kept_states;
mod live_states;
mod projection;
mod projection_test;
mod projections;
mod ranged_states;
mod rebuild;
mod replay;
mod single_value;
mod snapshot_error;
mod snapshots;
mod table;
mod time_travel;
mod wire;

pub use self::{
    apply_context::ApplyContext,
    apply_error::{ApplyError, MAX_APPLY_CONTENT_BYTES},
    builtin::{
        Activity, ActivityCount, ActivityFilter, Builtin, ContentIndex, Day, InvalidDay,
        Occurrence, OpenProblem, OpenProblems, ProblemDetail, ProblemFilter, ProblemKind,
    },
    checkpoint::CheckpointInfo,
    derived_state::DerivedState,
    history::History,
    history_cache::{HistoryCacheOnDisk, HistoryCacheOptions},
    live_states::{Followed, LIVE_STATES_MEMORY_BYTES, LiveStates},
    projection::Projection,
    projection_test::ProjectionTest,
    projections::{
        Building, CatchUpError, MAX_PROJECTION_NAME_BYTES, MAX_SKIPPED_EVENTS, PauseKind, Paused,
        ProjectionHandle, ProjectionInfo, Projections, RegisterError,
    },
    ranged_states::{RangedHash, RangedStates, STATES_MEMORY_BYTES},
    rebuild::{
        Divergence, RebuildError, RebuildMode, RebuildOptions, RebuildOutcome, Resume, Verdict,
        rebuild,
    },
    single_value::{SingleValue, SingleValueProjection},
    snapshot_error::SnapshotError,
    snapshots::Snapshots,
    table::{
        MAX_ROW_KEY_BYTES, MAX_ROW_VALUE_BYTES, RowKey, RowKeyReader, Scan, Table, TableError,
        TableView,
    },
    time_travel::TimeTravel,
};

#[cfg(test)]
mod testing;
