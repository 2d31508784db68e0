//! How commands fail.

use spacefold_event_core::{AppendError, ContentError, ReadError, Revision};
use spacefold_projection::SnapshotError;

use crate::{
    refusal::Refusal,
    submission_budget::{MAX_SUBMITTED_BYTES, MAX_SUBMITTED_COMMANDS},
};

/// Why a command did not happen. After every variant but a [`CommandError::Append`] with
/// [`AppendError::OutcomeUnknown`], nothing of it is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The command does not fit the state of the space. Nothing is stored, of a batch neither.
    #[error("{}space {space_id:?}: {refusal}; nothing was written", of_batch(*index))]
    Refused {
        /// The space.
        space_id: String,
        /// Which command of a batch, from 0; `None` outside a batch.
        index: Option<usize>,
        /// The rule that it breaks, and what was found.
        #[source]
        refusal: Refusal,
    },
    /// Other writers were faster every time. Nothing is stored: try again.
    #[error(
        "space {space_id:?} has changed under the command {attempts} times, from revision {read} to \
         {found} the last time; nothing was written"
    )]
    Conflict {
        /// The space.
        space_id: String,
        /// How often the command was decided anew.
        attempts: u32,
        /// The revision that it was decided at last.
        read: Revision,
        /// The revision that was found after that.
        found: Revision,
    },
    /// The state of the space could not be read, or what was recorded before under the key. Nothing more
    /// is stored.
    #[error("the command could not be checked; nothing was written: {0}")]
    State(#[from] SnapshotError),
    /// The content was not taken. No event is stored.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The service has no content store: it records hashes only. Nothing is stored.
    #[error("the service has no content store to keep bytes in; nothing was written")]
    NoContentStore,
    /// More is submitted than [`MAX_SUBMITTED_COMMANDS`](crate::MAX_SUBMITTED_COMMANDS) or
    /// [`MAX_SUBMITTED_BYTES`](crate::MAX_SUBMITTED_BYTES) allow. Nothing is stored: wait for some of the
    /// answers, and submit it again.
    #[error(
        "{commands} commands of {bytes} bytes are submitted and not answered yet, the most that may be \
         are {MAX_SUBMITTED_COMMANDS} of {MAX_SUBMITTED_BYTES}; nothing was written"
    )]
    TooManySubmitted {
        /// The commands that are submitted and not answered yet.
        commands: usize,
        /// The bytes of memory that they hold, about.
        bytes: usize,
    },
    /// The log did not take the event.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl CommandError {
    /// The rule that a refused command breaks.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

impl From<ReadError> for CommandError {
    fn from(error: ReadError) -> Self {
        Self::State(error.into())
    }
}

fn of_batch(index: Option<usize>) -> String {
    index.map_or_else(String::new, |index| format!("command {index} of the batch: "))
}
