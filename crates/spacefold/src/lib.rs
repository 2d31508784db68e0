//! An event-sourced storage engine for information spaces, embedded as a library.
//!
//! An *information space* is a named collection of documents with variables, references, and the
//! state of its rendering, syncing and caching. Everything that happens to one is an event in an
//! ordered, durable log; what a space looks like, now or at any time before, is folded from it.
//!
//! [`Spacefold`] is the way in. It puts together six crates that can be used alone:
//! `spacefold-event-core` (events and the log as a trait), `spacefold-store` (the log on disk),
//! `spacefold-content` (the bytes of documents), `spacefold-projection` (states, snapshots,
//! differences), `spacefold-service` (commands) and `spacefold-bus` (subscriptions and handlers).
//! What one needs of them is re-exported here.
//!
//! ```
//! use spacefold::{Position, Refusal, Spacefold};
//! # let path = std::env::temp_dir().join(spacefold::EventId::new().to_string());
//! let spaces = Spacefold::open(&path)?;
//! let service = spaces.service();
//! service.create_space("handbook", "Handbook")?;
//! service.add_document("handbook", "intro", "/intro.md")?;
//! service.set_content("handbook", "intro", b"# Hello")?;
//! service.batch("handbook").move_document("intro", "/start.md").activate_space().commit()?;
//! let refused = service.add_document("handbook", "other", "/start.md").unwrap_err();
//! assert!(matches!(refused.refusal(), Some(Refusal::PathTaken { .. })));
//!
//! let now = spaces.snapshot("handbook")?;
//! assert!(now.has_path("/start.md"));
//! let then = spaces.snapshot_at("handbook", Position::new(2))?;
//! assert!(then.has_path("/intro.md"));
//! assert_eq!(spaces.diff("handbook", Position::new(2), Position::new(5))?.len(), 3);
//! spaces.close()?;
//! # std::fs::remove_dir_all(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod commitments;
mod contents;
mod engine;
mod follower;
mod import;
mod lines;
mod options;
mod snapshot_and_tail;
mod spacefold;
mod views;

pub use self::{
    commitments::verify,
    contents::{CollectError, ContentAtError, verify_content, visit_named_content},
    import::{
        BadLine, Clamped, ClampedLine, FutureTimes, ImportError, ImportFailure, ImportHooks,
        ImportOptions, ImportReport, MissingIds, OnBadLine, RecordingTimes,
    },
    lines::{BYTE_ORDER_MARK, Line, LineReader, LineText},
    options::{Commitments, Folding, Options},
    snapshot_and_tail::{SnapshotAndTail, SnapshotAndTailError},
    spacefold::Spacefold,
};
pub use spacefold_bus::{
    AckError, AfterFailure, BusError, BusOptions, Closer, Delivery, DurableSubscriber,
    DurableSubscription, EventBus, Feed, FeedItems, Handler, HandlerError, HandlerFailure,
    HandlerId, HandlerOutcome, ParkedEvent, ParkedId, PlaceFile, PlaceStore, Priority, Published,
    ReceiveError, RetryPolicy, SubscribeError, Subscriber, SubscriberInfo, Subscription,
    WhenBehind,
};
pub use spacefold_content::{
    CollectReport, ContentInfo, ContentOptions, ContentProblem, ContentReport, InvalidStoreId,
    MAX_CHUNK_BYTES, MAX_PACK_BYTES, MIN_PACK_BYTES, OpenContentError, PackStore, StoreId,
    WHOLE_CONTENT_BYTES,
};
pub use spacefold_event_core::*;
pub use spacefold_projection::{
    Activity, ActivityCount, ActivityFilter, ApplyContext, ApplyError, Building, Builtin,
    CatchUpError, CheckpointInfo, ContentIndex, Day, DerivedState, Divergence, Followed, History,
    HistoryCacheOnDisk, HistoryCacheOptions, InvalidDay, LIVE_STATES_MEMORY_BYTES, LiveStates,
    MAX_APPLY_CONTENT_BYTES, MAX_PROJECTION_NAME_BYTES, MAX_ROW_KEY_BYTES, MAX_ROW_VALUE_BYTES,
    MAX_SKIPPED_EVENTS, Occurrence, OneValue, OpenProblem, OpenProblems, PauseKind, Paused,
    ProblemDetail, ProblemFilter, ProblemKind, Projection, ProjectionHandle, ProjectionInfo,
    Projections, RangedHash, RangedStates, RebuildError, RebuildMode, RebuildOptions,
    RebuildOutcome, RegisterError, Resume, RowKey, RowKeyReader, STATES_MEMORY_BYTES, Scan,
    SnapshotError, Snapshots, Table, TableError, TableView, TimeTravel, ValueProjection, Verdict,
    rebuild,
};
pub use spacefold_service::{
    Batch, Command, CommandError, CommandFields, FailedPrecondition, Field, FieldKind,
    IdempotencyKey, Operation, Outcome, PendingOutcome, Refusal, RenderGuard, Scope, SpaceService,
};
pub use spacefold_state::{
    Anomalies, Anomaly, AnomalyReason, Blame, BlamedEvent, Change, Conflict, ConflictHashes,
    CorruptState, Document, DocumentBlame, DocumentContent, Effect, Effects, MAX_KEPT_ANOMALIES,
    Reference, ReferenceBlame, Render, RenderOutcome, RenderStatus, Snapshot, SpaceHeader,
    SpaceState, SpaceStates, SpaceStatus, StateHash, SyncState, SyncStatus, VariableBlame, diff,
};
pub use spacefold_store::{
    AheadOfClock, Durability, EmbeddedLog, OnDamage, OpenError, Problem, StateCommitment,
    StoreInfo, StoreOptions, StorePart, VerifyDepth, VerifyOptions, VerifyReport, is_store,
};

/// Tests of what is built on the crate, over a log in memory: of what commands record
/// ([`given`](testing::given), when, then), of projections ([`ProjectionTest`](testing::ProjectionTest))
/// and of handlers ([`HandlerTest`](testing::HandlerTest)).
pub mod testing {
    pub use spacefold_bus::{Handled, HandlerTest};
    pub use spacefold_projection::ProjectionTest;
    pub use spacefold_service::testing::{Expected, Given, Then, given};
}
