//! The store at a glance, as it is printed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spacefold::{admin::AheadOfClock, projection::Paused};

#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedInfo {
    pub(crate) store_id: String,
    /// How the store was reached: "open", "socket" of the process that has it, "follow" where that does
    /// not serve it or nothing can be written, or "url".
    #[serde(default)]
    pub(crate) door: String,
    /// Of a store that is followed: the process that has it; `null` where it is not known, or there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) owner: Option<Option<u32>>,
    /// Of a store that is followed: whether another process has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) owned: Option<bool>,
    pub(crate) format_version: u32,
    pub(crate) head: u64,
    pub(crate) durable_head: u64,
    pub(crate) spaces: usize,
    pub(crate) events_by_type: BTreeMap<String, u64>,
    pub(crate) bytes: PrintedParts,
    /// Whether appends would be taken; `null` of a store that is followed.
    pub(crate) accepts_appends: Option<bool>,
    /// Durable events that are in no segment yet.
    pub(crate) seal_lag: u64,
    pub(crate) projections: Vec<PrintedProjection>,
    pub(crate) subscriptions: Vec<PrintedSubscription>,
    pub(crate) healed: u64,
    /// `null` where no event was recorded ahead of the clock.
    pub(crate) ahead_of_clock: Option<PrintedAhead>,
    /// Only where nothing can be written: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read_only: Option<String>,
    pub(crate) log_id: String,
    pub(crate) timeline: String,
    /// `null` where the store was created.
    pub(crate) fork: Option<PrintedFork>,
}

/// Where the timeline parted from another.
#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedFork {
    pub(crate) parent: String,
    pub(crate) position: u64,
}

/// The newest events were recorded ahead of the system's clock.
#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedAhead {
    /// The position of the first of them.
    pub(crate) since: u64,
    /// When the newest was recorded.
    pub(crate) newest: String,
    pub(crate) seconds: u64,
    /// What people are told.
    #[serde(skip)]
    pub(crate) told: String,
}

impl PrintedAhead {
    pub(crate) fn of(ahead: &AheadOfClock) -> Self {
        Self {
            since: ahead.since.get(),
            newest: ahead.newest.to_string(),
            seconds: ahead.by().as_secs(),
            told: ahead.to_string(),
        }
    }

    pub(crate) fn told(&self) -> String {
        let Self { since, newest, seconds, told } = self;
        if !told.is_empty() {
            return told.clone();
        }
        format!(
            "the events from position {since} on were recorded up to {newest}, {seconds} seconds ahead \
             of the clock"
        )
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedParts {
    pub(crate) journal: u64,
    pub(crate) sealed: u64,
    pub(crate) sled: u64,
    pub(crate) content: u64,
    pub(crate) derived: u64,
    pub(crate) reserve: u64,
    pub(crate) set_aside: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedProjection {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) position: u64,
    pub(crate) lag: u64,
    /// Only where it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<PrintedPause>,
}

/// In front of which event a projection stands, and why.
#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedPause {
    pub(crate) position: u64,
    pub(crate) kind: String,
    pub(crate) reason: String,
}

impl PrintedPause {
    pub(crate) fn of(paused: Paused) -> Self {
        let Paused { position, kind, reason } = paused;
        Self { position: position.get(), kind: kind.to_string(), reason }
    }
}

/// A durable subscription, or a durable bus.
#[derive(Serialize, Deserialize)]
pub(crate) struct PrintedSubscription {
    pub(crate) name: String,
    /// `null` when what is kept does not decode.
    pub(crate) position: Option<u64>,
    pub(crate) lag: u64,
    pub(crate) parked: usize,
}

impl PrintedInfo {
    /// What a server says of its store, through this door.
    pub(crate) fn through(self, door: &str) -> Self {
        Self { door: door.to_owned(), owner: None, owned: None, ..self }
    }

    pub(crate) fn door(&self) -> String {
        let door = &self.door;
        match (self.owned, self.owner.flatten()) {
            (Some(_), Some(pid)) => format!("{door}: process {pid} has the store"),
            (Some(true), None) => format!("{door}: another process has the store"),
            (Some(false), None) => format!("{door}: nobody has the store, it is only read"),
            (None, _) => door.clone(),
        }
    }
}
