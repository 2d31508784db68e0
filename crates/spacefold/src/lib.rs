//! An event-sourced storage engine for information spaces, embedded as a library.
//!
//! An *information space* is a named collection of documents with variables, references, and the
//! state of its rendering, syncing and caching. Everything that happens to one is an event in an
//! ordered, durable log; what a space looks like, now or at any time before, is folded from it.
//!
//! [`Spacefold`] is the way in. It puts together four crates that can be used alone:
//! `spacefold-event-core` (events and the log as a trait), `spacefold-store` (the log on disk),
//! `spacefold-projection` (states, snapshots, differences) and `spacefold-bus` (subscriptions and
//! handlers). What one needs of them is re-exported here.
//!
//! ```
//! use spacefold::{AppendCondition, Position, Revision, SpaceEvent, Spacefold};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("data");
//! let spaces = Spacefold::open(&path)?;
//! spaces.append(
//!     [
//!         SpaceEvent::space_created("handbook", "Handbook"),
//!         SpaceEvent::document_added("handbook", "intro", "/intro.md"),
//!     ],
//!     AppendCondition::no_space("handbook"),
//! )?;
//! let receipt = spaces.append(
//!     [SpaceEvent::document_removed("handbook", "intro", "/intro.md")],
//!     AppendCondition::exact("handbook", Revision::new(2)),
//! )?;
//!
//! assert_eq!(receipt.position(), Position::new(3));
//! let then = spaces.snapshot_at("handbook", Position::new(2))?;
//! assert!(then.to_json().contains("/intro.md"));
//! let now = spaces.snapshot("handbook")?;
//! assert!(!now.to_json().contains("/intro.md"));
//! assert_eq!(spaces.diff("handbook", Position::new(2), Position::new(3))?.len(), 1);
//! spaces.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod follower;
mod import;
mod lines;
mod options;
mod snapshot_and_tail;
mod spacefold;

pub use self::{
    import::{
        BadLine, ImportError, ImportFailure, ImportHooks, ImportOptions, ImportReport, OnBadLine,
        RecordingTimes,
    },
    lines::{Line, LineReader, LineText},
    options::{Folding, Options},
    snapshot_and_tail::{SnapshotAndTail, SnapshotAndTailError},
    spacefold::Spacefold,
};
pub use spacefold_bus::{
    AckError, AfterFailure, BusError, BusOptions, Closer, Delivery, DurableSubscriber,
    DurableSubscription, EventBus, Feed, FeedItem, FeedItems, Handler, HandlerError,
    HandlerFailure, HandlerId, HandlerOutcome, ParkedEvent, ParkedId, Priority, Published,
    ReceiveError, RetryPolicy, SubscribeError, Subscriber, SubscriberInfo, Subscription,
    WhenBehind,
};
pub use spacefold_event_core::*;
pub use spacefold_projection::{
    Anomalies, Anomaly, AnomalyReason, Blame, BlamedEvent, Change, CheckpointInfo, Conflict,
    ConflictHashes, Divergence, Document, DocumentBlame, DocumentContent, Followed, History,
    LiveStates, PastOnDisk, PastOptions, Projection, RebuildError, RebuildMode, RebuildOptions,
    RebuildOutcome, Reference, ReferenceBlame, Render, RenderOutcome, RenderStatus, Snapshot,
    SnapshotError, SpaceHeader, SpaceState, SpaceStates, SpaceStatus, StateHash, SyncStatus,
    VariableBlame, Verdict, diff, rebuild,
};
pub use spacefold_store::{
    AwaitedAppend, Durability, EmbeddedLog, OnDamage, OpenError, PendingAppend, Problem, StoreInfo,
    StoreOptions, VerifyDepth, VerifyOptions, VerifyReport, verify,
};
