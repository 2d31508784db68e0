//! Everything that a store answers with.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use spacefold::{
    AppendError, OpenError, Position, Receipt, SpaceEvent, StorageError,
    log::{AppendRequest, LogReader, LogWriter, ReadRequest},
    state::{DerivedState, LiveStates, SpaceStates},
};
use spacefold_store::{EmbeddedLog, StoreOptions};

/// A store and the states that it folds to, opened with files as small as they can be.
#[derive(Debug)]
pub struct OpenStore {
    log: Arc<EmbeddedLog>,
    states: LiveStates,
}

impl OpenStore {
    /// Opens a store; creates an empty one when nothing is there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let options =
            StoreOptions::default().journal_file_bytes(0).reserve_bytes(4_096).begin_with_copy();
        let log = Arc::new(EmbeddedLog::open_with(path, &options)?);
        let states = LiveStates::new(log.clone(), DerivedState::in_folder(log.derived_folder()));
        Ok(Self { log, states })
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &EmbeddedLog {
        &self.log
    }

    /// Appends on no condition.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&self, events: &[SpaceEvent]) -> Result<Receipt, AppendError> {
        self.log.append(&AppendRequest::new(events))
    }

    /// Keeps the states and closes the store.
    ///
    /// # Errors
    /// [`StorageError`] of closing; states that could not be kept are folded again.
    pub fn close(&self) -> Result<(), StorageError> {
        let _ = self.states.save();
        self.log.close()
    }
}

/// The events of a store, and the states that they fold to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Every event in order: the interchange form with position, revision and recording time.
    pub events: Vec<String>,
    /// The hash of the state of each space, as the store has it.
    pub states: BTreeMap<String, String>,
    /// The same, of the states that the events fold to.
    pub folded: BTreeMap<String, String>,
}

/// How contents compare with those that are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The same, events and states.
    Identical,
    /// The events end after so many; up to there they are the same.
    EndsAfter(u64),
    /// Other events, or other states.
    Different,
}

impl Contents {
    /// Reads everything.
    ///
    /// # Errors
    /// What the store answered instead.
    pub fn of(store: &OpenStore) -> Result<Self, String> {
        let log = store.log();
        let mut events = Vec::new();
        let mut fold = SpaceStates::new();
        for page in log.pages(ReadRequest::from(Position::new(1))) {
            let page = page.map_err(|error| error.to_string())?;
            for event in page.events() {
                let event = event.map_err(|error| error.to_string())?;
                fold.apply(&event);
                events.push(event.to_owned_event().to_json());
            }
        }
        let snapshots = store.states.snapshot_all().map_err(|error| error.to_string())?;
        let states = snapshots.iter().map(|snapshot| {
            (snapshot.space_id().to_owned(), snapshot.state().state_hash().to_string())
        });
        let states = states.collect();
        let folded = fold
            .sorted()
            .into_iter()
            .map(|state| (state.space_id().to_owned(), state.state_hash().to_string()));
        Ok(Self { events, states, folded: folded.collect() })
    }

    /// Compares with what is expected.
    #[must_use]
    pub fn likeness(&self, expected: &Self) -> Likeness {
        if self == expected {
            return Likeness::Identical;
        }
        let is_shorter = self.events.len() < expected.events.len();
        let is_folded = self.states == self.folded;
        if is_shorter && is_folded && expected.events.starts_with(&self.events) {
            return Likeness::EndsAfter(self.events.len() as u64);
        }
        Likeness::Different
    }
}
