//! How folding a registered projection fails.

use spacefold_event_core::{ReadError, StorageError};

use super::{generation::Stopped, paused::Paused};
use crate::table::TableError;

/// Why a projection did not get where it was to. What was checkpointed before still counts.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatchUpError {
    /// It has met an event that it cannot take in.
    #[error("the projection is {0}")]
    Paused(Paused),
    /// More events are left out than may be: the projection is to be mended.
    #[error(
        "no further event may be skipped: the limit is {}",
        super::generation::MAX_SKIPPED_EVENTS
    )]
    TooManySkipped,
    /// There is no projection of that name.
    #[error("there is no projection {name:?}: expected one of {}", known.join(", "))]
    UnknownProjection {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// A projection that comes with the crate could not be registered.
    #[error(transparent)]
    NotRegistered(#[from] RegisterError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The rows could not be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl From<StorageError> for CatchUpError {
    fn from(error: StorageError) -> Self {
        Self::Table(error.into())
    }
}

impl From<Stopped> for CatchUpError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Event(paused) => Self::Paused(paused),
            Stopped::Table(error) => Self::Table(error),
        }
    }
}

/// Why a projection was not registered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is not made of 1 to 100 letters, digits, dots, dashes and underscores, or is kept
    /// for the states of the spaces.
    #[error("{name:?} cannot be the name of a projection")]
    InvalidName {
        /// The name.
        name: &'static str,
    },
    /// Another projection has that name.
    #[error("there is a projection {name:?} already")]
    NameTaken {
        /// The name.
        name: &'static str,
    },
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is persisted could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
}
