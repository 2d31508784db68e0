//! What servers answer.

use serde::Deserialize;
use serde_json::value::RawValue;
use spacefold::{Position, Receipt, Revision};

/// A store, as its server presents it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteStore {
    /// The id of the store.
    pub store_id: String,
    /// Under which id its log began.
    pub log_id: String,
    /// Which course its events have taken.
    pub timeline: String,
    /// The position of the last event that it has taken.
    pub head: Position,
    /// The position of the last event that is read.
    pub durable_head: Position,
    /// Whether it takes events and commands.
    pub is_writable: bool,
}

#[derive(Deserialize)]
pub(crate) struct WrittenStore {
    store_id: String,
    log_id: String,
    timeline: String,
    head: u64,
    durable_head: u64,
    writable: bool,
}

impl From<WrittenStore> for RemoteStore {
    fn from(written: WrittenStore) -> Self {
        let WrittenStore { store_id, log_id, timeline, head, durable_head, writable } = written;
        let (head, durable_head) = (Position::new(head), Position::new(durable_head));
        Self { store_id, log_id, timeline, head, durable_head, is_writable: writable }
    }
}

/// A space, as a list of them has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SpaceListing {
    /// Its id.
    pub space_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its status.
    pub status: String,
    /// Its revision.
    pub revision: u64,
    /// How many documents it has.
    pub documents: u64,
    /// When it changed last.
    pub updated_at: String,
}

#[derive(Deserialize)]
pub(crate) struct WrittenSpaces {
    pub(crate) spaces: Vec<SpaceListing>,
    pub(crate) next: Option<String>,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteReceipt {
    /// What a log says of it.
    pub receipt: Receipt,
    /// Whether the events were there before the request came.
    pub is_replayed: bool,
}

#[derive(Deserialize)]
pub(crate) struct WrittenReceipt {
    first_position: u64,
    last_position: u64,
    revision: u64,
    recorded_at: String,
    durable: bool,
    replayed: bool,
}

impl WrittenReceipt {
    /// The receipt; none where it is of no append.
    pub(crate) fn read(self) -> Option<RemoteReceipt> {
        let is_one = 0 < self.first_position && self.first_position <= self.last_position;
        let receipt = Receipt::new(
            Position::new(self.first_position),
            Position::new(self.last_position),
            Revision::new(self.revision),
            self.recorded_at.parse().ok()?,
            self.durable,
        );
        is_one.then_some(RemoteReceipt { receipt, is_replayed: self.replayed })
    }
}

/// What a command came to.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct CommandAnswer {
    /// The events that were recorded, in the interchange form with position, revision and time of
    /// recording.
    pub events: Vec<Box<RawValue>>,
    /// The revision of the space after it.
    pub revision: u64,
    /// Whether nothing changed.
    #[serde(rename = "unchanged")]
    pub is_unchanged: bool,
    /// Whether the events were durable when it was answered.
    #[serde(rename = "durable")]
    pub is_durable: bool,
    /// Whether it was recorded before, under its key.
    #[serde(rename = "replayed")]
    pub is_replayed: bool,
}

/// What changed in a space from one moment to another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteDiff {
    /// The position of the state before.
    pub from: Position,
    /// The position of the state after.
    pub to: Position,
    /// The changes, each as a [`Change`](spacefold::Change) is printed.
    pub changes: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(crate) struct WrittenDiff {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) changes: Vec<Box<RawValue>>,
    pub(crate) next: Option<u64>,
}
