//! What the state of a space is made of: texts and attributes are shared by all versions of a state
//! that have them.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};
use spacefold_event_core::{EventType, Object, Position, RecordedHash, Timestamp};

/// Makes a fieldless enum whose variants have a frozen code and a name in the text formats.
macro_rules! named {
    (
        $(#[$doc:meta])*
        $type:ident { $( $(#[$variant_doc:meta])* $variant:ident = $code:literal, $name:literal, )* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $( $(#[$variant_doc])* $variant, )*
        }

        impl $type {
            /// The name in the text formats.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The frozen code in stored states and state hashes.
            pub(crate) const fn code(self) -> u8 {
                match self { $( Self::$variant => $code, )* }
            }

            pub(crate) const fn from_code(code: u8) -> Option<Self> {
                match code { $( $code => Some(Self::$variant), )* _ => None }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

named! {
    /// The status of a space.
    SpaceStatus {
        /// Its first event was not `space.created`.
        Unknown = 0, "unknown",
        /// It was created.
        Created = 1, "created",
        /// It was activated.
        Active = 2, "active",
        /// It was archived.
        Archived = 3, "archived",
        /// It was deleted.
        Deleted = 4, "deleted",
    }
}

named! {
    /// How far a rendering is.
    RenderStatus {
        /// It began.
        Running = 1, "running",
        /// It ended well.
        Completed = 2, "completed",
        /// It failed.
        Failed = 3, "failed",
    }
}

named! {
    /// Whether a synchronisation is under way.
    SyncStatus {
        /// None is.
        Idle = 0, "idle",
        /// One is.
        Running = 1, "running",
    }
}

named! {
    /// Why an event did not fit the state it came to.
    AnomalyReason {
        /// The first event of the space is not `space.created`.
        SpaceNotCreated = 1, "space_not_created",
        /// `space.created` on a live space.
        SpaceExists = 2, "space_exists",
        /// An event after `space.deleted`: ignored.
        SpaceDeleted = 3, "space_deleted",
        /// A document that the space does not have: ignored for that document.
        UnknownDocument = 4, "unknown_document",
        /// `document.added` of a document that the space has.
        DocumentExists = 5, "document_exists",
        /// Another document is at the path.
        PathTaken = 6, "path_taken",
    }
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Document {
    pub(super) path: Arc<str>,
    pub(super) content_hash: Option<Arc<str>>,
    /// `None` while it has none.
    #[serde(serialize_with = "attributes_or_none")]
    pub(super) attributes: Option<Arc<Object>>,
    pub(super) added_position: Position,
    pub(super) updated_position: Position,
    /// The position of the event that gave it the content that it has; before the first when it has none.
    #[serde(skip)]
    pub(super) content_position: Position,
}

static NO_ATTRIBUTES: Object = Object::new();

fn attributes_or_none<S: Serializer>(
    attributes: &Option<Arc<Object>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    attributes.as_deref().unwrap_or(&NO_ATTRIBUTES).serialize(serializer)
}

impl Document {
    /// Its path in the space.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The hash of its content, when it is known.
    #[must_use]
    pub fn content_hash(&self) -> Option<RecordedHash<&str>> {
        self.content_hash.as_deref().map(RecordedHash::from)
    }

    /// Its attributes.
    #[must_use]
    pub fn attributes(&self) -> &Object {
        self.attributes.as_deref().unwrap_or(&NO_ATTRIBUTES)
    }

    /// The position of the event that added it.
    #[must_use]
    pub const fn added_position(&self) -> Position {
        self.added_position
    }

    /// Where the newest of its added, updated, moved and content events stands.
    #[must_use]
    pub const fn updated_position(&self) -> Position {
        self.updated_position
    }
}

/// What a document refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Reference {
    /// What it refers to.
    pub target: String,
    /// In which way.
    pub kind: Option<String>,
}

/// To the target, in no particular way.
impl From<&str> for Reference {
    fn from(target: &str) -> Self {
        Self::from(target.to_owned())
    }
}

/// To the target, in no particular way.
impl From<String> for Reference {
    fn from(target: String) -> Self {
        Self { target, kind: None }
    }
}

/// To the target, in the way that the kind says.
impl<T: Into<String>, K: Into<String>> From<(T, K)> for Reference {
    fn from((target, kind): (T, K)) -> Self {
        Self { target: target.into(), kind: Some(kind.into()) }
    }
}

/// The render state of a document or of the space itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Render {
    pub(super) status: RenderStatus,
    pub(super) output_hash: Option<Arc<str>>,
    pub(super) error: Option<Arc<str>>,
    pub(super) position: Position,
    /// What stood up to here when the last one that completed began, it shows.
    #[serde(skip)]
    pub(super) shows: Position,
}

impl Render {
    /// The same one behind the one that was there.
    ///
    /// A render shows what stood when it began. One that completes without a start, as in histories that
    /// record no starts, shows what stood when it completed. What has completed is shown until another
    /// one completes, whatever begins or fails meanwhile.
    pub(super) fn after(self, before: Option<&Self>) -> Self {
        let shows = match (self.status, before) {
            (RenderStatus::Completed, Some(before)) if before.status == RenderStatus::Running => {
                before.position
            }
            (RenderStatus::Completed, _) => self.position,
            (_, before) => before.map_or(Position::START, |before| before.shows),
        };
        Self { shows, ..self }
    }

    /// How far it is.
    #[must_use]
    pub const fn status(&self) -> RenderStatus {
        self.status
    }

    /// What the caller says of what a completed one gave, such as its hash: it is no document's
    /// content.
    #[must_use]
    pub fn output_hash(&self) -> Option<&str> {
        self.output_hash.as_deref()
    }

    /// What went wrong with a failed one.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The position of the event that said so.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}

/// How far synchronisation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncState {
    /// Whether one is under way.
    pub status: SyncStatus,
    /// The position of the event that started the one that is under way.
    pub started: Option<Position>,
    /// The position of the event that completed the last one, and when the log took it.
    pub last_completed: Option<(Position, Timestamp)>,
}

impl Default for SyncState {
    fn default() -> Self {
        Self { status: SyncStatus::Idle, started: None, last_completed: None }
    }
}

/// An open conflict of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    pub(super) local_hash: Option<Arc<str>>,
    pub(super) remote_hash: Option<Arc<str>>,
    pub(super) position: Position,
}

impl Conflict {
    /// The content hash here.
    #[must_use]
    pub fn local_hash(&self) -> Option<RecordedHash<&str>> {
        self.local_hash.as_deref().map(RecordedHash::from)
    }

    /// The content hash at the other side.
    #[must_use]
    pub fn remote_hash(&self) -> Option<RecordedHash<&str>> {
        self.remote_hash.as_deref().map(RecordedHash::from)
    }

    /// The position of the event that opened it.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}

/// How many anomalies are kept with their particulars: the first ones.
pub const MAX_KEPT_ANOMALIES: usize = 32;

/// The events of a space that did not fit its state: how many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Anomalies {
    pub(super) count: u64,
    pub(super) first: Vec<Anomaly>,
}

impl Anomalies {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The first [`MAX_KEPT_ANOMALIES`] of them.
    #[must_use]
    pub fn first(&self) -> &[Anomaly] {
        &self.first
    }

    pub(super) fn add(&mut self, anomaly: Anomaly) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < MAX_KEPT_ANOMALIES {
            self.first.push(anomaly);
        }
    }
}

/// An event that did not fit the state it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Anomaly {
    /// Its position.
    pub position: Position,
    /// Its type.
    pub event_type: EventType,
    /// The first reason that applies.
    pub reason: AnomalyReason,
}
