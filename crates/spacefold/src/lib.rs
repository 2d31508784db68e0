#![doc = include_str!("../README.md")]
//!
//! # A longer example
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
//! let then = spaces.at(Position::new(2)).snapshot("handbook")?;
//! assert!(then.has_path("/intro.md"));
//! assert_eq!(spaces.diff("handbook", Position::new(2)..Position::new(5))?.len(), 3);
//! spaces.close()?;
//! # std::fs::remove_dir_all(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A tour in five steps
//!
//! **1. Append.** [`Spacefold::append`] returns when the events are on disk.
//! [`Spacefold::append_if`] appends only if a condition holds, and stores nothing otherwise.
//!
//! ```
//! use spacefold::{AppendCondition, AppendError, SpaceEvent, Spacefold};
//! # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
//! let spaces = Spacefold::open(&data)?;
//! let receipt = spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
//! assert!(receipt.is_durable());
//! let again = [SpaceEvent::space_created("handbook", "Another")];
//! let refused = spaces.append_if(again, AppendCondition::no_space("handbook"));
//! assert!(matches!(refused, Err(AppendError::ConditionFailed { .. })));
//! # spaces.close()?;
//! # std::fs::remove_dir_all(&data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **2. Snapshot.** [`snapshot`](SpacesReader::snapshot) answers what a space looks like now, this
//! handle's own appends included. A space is unknown until it has an event.
//!
//! ```
//! use spacefold::{SnapshotError, SpaceEvent, Spacefold};
//! # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
//! # let spaces = Spacefold::open(&data)?;
//! spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
//! assert_eq!(spaces.snapshot("handbook")?.name(), Some("Handbook"));
//! let unknown = spaces.snapshot("guide");
//! assert!(matches!(unknown, Err(SnapshotError::UnknownSpace { .. })));
//! # spaces.close()?;
//! # std::fs::remove_dir_all(&data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **3. Time travel.** [`at`](SpacesReader::at) takes a position or a time,
//! [`diff`](SpacesReader::diff) a range of them. Nothing is known beyond the durable head.
//!
//! ```
//! use spacefold::{Position, SnapshotError, SpaceEvent, Spacefold};
//! # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
//! # let spaces = Spacefold::open(&data)?;
//! spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
//! spaces.append([SpaceEvent::document_added("handbook", "intro", "/intro.md")])?;
//! let then = spaces.at(Position::new(1)).snapshot("handbook")?;
//! assert!(!then.has_path("/intro.md"));
//! assert_eq!(spaces.diff("handbook", Position::new(1)..Position::new(2))?.len(), 1);
//! let beyond = spaces.at(Position::new(9)).snapshot("handbook");
//! assert!(matches!(beyond, Err(SnapshotError::BeyondHead { .. })));
//! # spaces.close()?;
//! # std::fs::remove_dir_all(&data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **4. Subscribe.** [`subscribe`](SpacesReader::subscribe) gives the history, then what is appended, without a
//! gap. [`Spacefold::bus`] calls handlers instead. Closing the store ends both.
//!
//! ```
//! use spacefold::{Delivery, SpaceEvent, Spacefold, Subscription, subscribe::ReceiveError};
//! # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
//! # let spaces = Spacefold::open(&data)?;
//! spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
//! let mut subscriber = spaces.subscribe(Subscription::from_start())?;
//! assert!(matches!(subscriber.recv()?, Delivery::Events(_)));
//! assert!(matches!(subscriber.recv()?, Delivery::CaughtUp { .. }));
//! spaces.close()?;
//! assert!(matches!(subscriber.recv(), Err(ReceiveError::Closed)));
//! # std::fs::remove_dir_all(&data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **5. Command.** [`Spacefold::service`] checks commands against the state of the space and records
//! what they come to; content is stored before the event that names it. A refusal stores nothing.
//!
//! ```
//! use spacefold::{Refusal, Spacefold};
//! # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
//! # let spaces = Spacefold::open(&data)?;
//! let service = spaces.service();
//! service.create_space("handbook", "Handbook")?;
//! service.add_document("handbook", "intro", "/intro.md")?;
//! service.set_content("handbook", "intro", b"# Hello")?;
//! service.batch("handbook").move_document("intro", "/start.md").activate_space().commit()?;
//! let refused = service.add_document("handbook", "other", "/start.md").unwrap_err();
//! assert!(matches!(refused.refusal(), Some(Refusal::PathTaken { .. })));
//! # spaces.close()?;
//! # std::fs::remove_dir_all(&data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **6. Follow.** [`Spacefold::follow`] reads a store beside the process that has it, and changes
//! nothing in it: all that reads, from snapshots to subscriptions, as the events become durable.
//!
//! ```
//! use spacefold::{CachePlace, Options, SpaceEvent, Spacefold};
//! # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
//! # let spaces = Spacefold::open(&data)?;
//! spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
//! let beside = Options::new(&data).cache(CachePlace::Memory).follow()?;
//! assert_eq!(beside.snapshot("handbook")?.name(), Some("Handbook"));
//! # spaces.close()?;
//! # std::fs::remove_dir_all(&data)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules
//! What the tour names is at the root; everything else is in the module of its topic. The crates
//! that [`Spacefold`] puts together can be used alone: `spacefold-event-core` (events and the log as
//! a trait, for authors of other logs), `spacefold-store` (the log on disk), `spacefold-content`,
//! `spacefold-state`, `spacefold-projection`, `spacefold-service` and `spacefold-bus`.

mod commitments;
mod contents;
mod engine;
mod export;
mod folding;
mod followed_store;
mod follower_cache;
mod import;
mod in_turns;
mod lines;
mod options;
mod pull;
mod remade;
mod snapshot_stream;
mod socket_path;
mod spacefold;
mod spaces_reader;
mod views;

#[doc(inline)]
pub use crate::followed_store::FollowedStore;
#[doc(inline)]
pub use crate::options::{CachePlace, Folding, Options};
#[doc(inline)]
pub use crate::spacefold::Spacefold;
#[doc(inline)]
pub use crate::spaces_reader::{AsOf, Moment, SpacesReader};
#[doc(inline)]
pub use spacefold_bus::{Delivery, EventBus, SubscribeError, Subscriber, Subscription};
#[doc(inline)]
pub use spacefold_event_core::{
    AppendCondition, AppendError, EventId, EventType, Position, ReadError, Receipt, Revision,
    SpaceEvent, StorageError, Timestamp, Value,
};
#[doc(inline)]
pub use spacefold_projection::SnapshotError;
#[doc(inline)]
pub use spacefold_service::{CommandError, Refusal, SpaceService};
#[doc(inline)]
pub use spacefold_state::{Change, Snapshot};
#[doc(inline)]
pub use spacefold_store::{Durability, OpenError};

/// Events: what they carry, their JSON, filters over them.
pub mod event {
    #[doc(inline)]
    pub use spacefold_event_core::{
        COMMAND_UNCHANGED, Digits, EventFilter, EventOrigin, EventQuery, EventTypes, FilledIn,
        Finite, InvalidEventId, InvalidTimestamp, InvalidUtcOffset, JsonError, JsonEvent,
        JsonReader, LimitExceeded, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES,
        MAX_ID_BYTES, MAX_JSON_DEPTH, MAX_JSON_LINE_BYTES, MAX_LABEL_BYTES, MAX_QUERY_FILTERS,
        MAX_TAG_BYTES, MAX_TAGS, MAX_TYPE_NAME_BYTES, MIN_TYPE_NAME_BYTES, NamedDocuments, Object,
        Payload, PayloadError, Presence, RESERVED_LABELS, RecordedEvent, RecordedEventRef,
        SchemaVersion, Tags, TypePattern, TypeSelection, UnknownEventType, UtcOffset, id_of_text,
        id_text, printable,
    };
}

/// The event log: requests, pages, and the traits that other logs implement.
pub mod log {
    #[doc(inline)]
    pub use spacefold_event_core::{
        AppendFuture, AppendRequest, Awaited, CorruptRecords, Discontinuity, EventLog,
        ExpectedRevision, FailedCondition, Ingested, InvalidStoreMode, LogId, LogIdentity,
        LogOrigin, LogReader, LogWriter, MemoryLog, Page, Pages, Pending, PendingAppend,
        ReadRequest, StorageErrorKind, StoreMode, TimelineFork, TimelineId,
    };
    #[doc(inline)]
    pub use spacefold_store::{EmbeddedLog, Follower, FollowerOptions, StoreOptions, StoreOwner};
}

/// The states of spaces: what they have, how they differ, who changed them.
pub mod state {
    #[doc(inline)]
    pub use crate::spacefold::HistoryCacheHandle;
    #[doc(inline)]
    pub use spacefold_projection::{
        DerivedState, Followed, History, HistoryCacheOnDisk, HistoryCacheOptions,
        LIVE_STATES_MEMORY_BYTES, LiveStates, RangedHash, RangedStates, STATES_MEMORY_BYTES,
        Snapshots, TimeTravel,
    };
    #[doc(inline)]
    pub use spacefold_state::{
        Anomalies, Anomaly, AnomalyReason, Blame, BlamedEvent, Conflict, ConflictHashes,
        CorruptState, Document, DocumentBlame, DocumentContent, Effect, Effects,
        MAX_KEPT_ANOMALIES, Reference, ReferenceBlame, Render, RenderOutcome, RenderStatus,
        SpaceHeader, SpaceState, SpaceStates, SpaceStatus, StateHash, SyncState, SyncStatus,
        VariableBlame, diff,
    };
}

/// Read models: those that come with a store, and those of users.
pub mod projection {
    #[doc(inline)]
    pub use crate::spaces_reader::ProjectionsHandle;
    #[doc(inline)]
    pub use spacefold_projection::{
        Activity, ActivityCount, ActivityFilter, ApplyContext, ApplyError, Building, Builtin,
        CatchUpError, ContentIndex, Day, InvalidDay, MAX_APPLY_CONTENT_BYTES,
        MAX_PROJECTION_NAME_BYTES, MAX_ROW_KEY_BYTES, MAX_ROW_VALUE_BYTES, MAX_SKIPPED_EVENTS,
        Occurrence, OpenProblem, OpenProblems, PauseKind, Paused, ProblemDetail, ProblemFilter,
        ProblemKind, Projection, ProjectionHandle, ProjectionInfo, Projections, RegisterError,
        RowKey, RowKeyReader, Scan, SingleValue, SingleValueProjection, Table, TableError,
        TableView,
    };
}

/// Subscriptions: history, then live, pulled by the subscriber.
pub mod subscribe {
    #[doc(inline)]
    pub use crate::snapshot_stream::{SnapshotStream, SnapshotStreamError};
    #[doc(inline)]
    pub use spacefold_bus::{
        AckError, DurablePlace, DurableSubscriber, DurableSubscription, Feed, FeedItems, LagPolicy,
        ParkError, PlaceFile, PlaceStore, ReceiveError, SubscriberInfo, SubscriptionHandle,
    };
}

/// The bus: handlers that are called for events.
pub mod bus {
    #[doc(inline)]
    pub use spacefold_bus::{
        AfterFailure, BusError, BusOptions, Handler, HandlerError, HandlerFailure, HandlerId,
        HandlerOutcome, ParkedEvent, ParkedId, Priority, Published, RetryPolicy,
    };
}

/// Commands: checked against the state of a space, and recorded.
pub mod command {
    #[doc(inline)]
    pub use spacefold_service::{
        Batch, Command, CommandFields, FailedPrecondition, Field, FieldKind, IdempotencyKey,
        MAX_SUBMITTED_BYTES, MAX_SUBMITTED_COMMANDS, Operation, Outcome, PendingOutcome,
        RenderGuard, Scope,
    };
}

/// The bytes of documents, by their hash.
pub mod content {
    #[doc(inline)]
    pub use crate::contents::{CollectError, ContentAtError, verify_content, visit_named_content};
    #[doc(inline)]
    pub use spacefold_content::{
        CollectReport, ContentInfo, ContentOptions, ContentProblem, ContentReport, InvalidStoreId,
        MAX_CHUNK_BYTES, MAX_PACK_BYTES, MIN_PACK_BYTES, OpenContentError, PackStore, StoreId,
        WHOLE_CONTENT_BYTES,
    };
    #[doc(inline)]
    pub use spacefold_event_core::{
        ContentError, ContentHash, ContentReader, ContentStore, HashedContent, InvalidContentHash,
        MAX_CONTENT_BYTES, MemoryContentStore, RecordedHash, StoredContent,
    };
}

/// Operating a store: verification, rebuilds, imports, figures.
pub mod admin {
    #[doc(inline)]
    pub use crate::commitments::verify;
    #[doc(inline)]
    pub use crate::export::JsonLines;
    #[doc(inline)]
    pub use crate::import::{
        BadLine, Clamped, ClampedLine, FutureTimes, ImportError, ImportFailure, ImportHooks,
        ImportOptions, ImportReport, MissingIds, OnBadLine, RecordingTimes,
    };
    #[doc(inline)]
    pub use crate::lines::{BYTE_ORDER_MARK, Line, LineReader, LineText};
    #[doc(inline)]
    pub use crate::options::StateCommitments;
    #[doc(inline)]
    pub use crate::pull::{PullError, PullReport, PullSource, PulledSpace, PulledStore};
    #[doc(inline)]
    pub use crate::remade::{
        CopiedContent, ForkedStore, LackingContent, RepairedStore, SalvagedStore, fork, repair,
        salvage,
    };
    #[doc(inline)]
    pub use crate::socket_path::socket_path;
    #[doc(inline)]
    pub use crate::spacefold::{Admin, StoreHealth, StoreStats};
    #[doc(inline)]
    pub use spacefold_projection::{
        CheckpointInfo, Divergence, RebuildError, RebuildMode, RebuildOptions, RebuildOutcome,
        Resume, Verdict, rebuild,
    };
    #[doc(inline)]
    pub use spacefold_store::{
        AheadOfClock, ForkOptions, ForkReport, LeftOut, LogHealth, LostRevisions, MovedStretch,
        OnDamage, OtherStore, Problem, RefusedEvent, RemakeError, RepairReport, SalvageDamage,
        SalvageGap, SalvageOptions, SalvageReport, StateCommitment, StoreBytes, StoreInfo,
        StorePart, VerifyDepth, VerifyOptions, VerifyReport, is_store,
    };
}

/// The traits whose methods logs and content stores are used by, for one import of them all.
pub use spacefold_event_core::prelude;

/// Tests of what is built on the crate, over a log in memory: of what commands record
/// ([`given`](testing::given), when, then), of projections ([`ProjectionTest`](testing::ProjectionTest))
/// and of handlers ([`HandlerTest`](testing::HandlerTest)).
pub mod testing {
    pub use spacefold_bus::{Handled, HandlerTest};
    pub use spacefold_projection::ProjectionTest;
    pub use spacefold_service::testing::{Expected, Given, Then, given};
}
