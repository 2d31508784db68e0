//! Hashes of the states in the log: offered while it is folded, checked when it is verified.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use spacefold_event_core::{Position, RecordedEventRef};
use spacefold_projection::SpaceStates;
use spacefold_store::{
    OpenError, StateCommitment, StateFold, VerifyOptions, VerifyReport, verify_states,
};

use crate::{follower::Shared, options::Commitments};

/// Hashing takes one of so many parts of the time.
const TIME_SHARE: u32 = 50;

/// When the folding thread hashes the states.
pub(crate) struct Committing {
    commitments: Commitments,
    /// Where it has hashed them last.
    last: Position,
    /// Not before then, so that hashing takes its share of the time.
    not_before: Instant,
}

impl Committing {
    /// Hashes the states behind a position for the first time.
    pub(crate) fn new(commitments: Commitments, from: Position) -> Self {
        Self { commitments, last: from, not_before: Instant::now() }
    }

    /// Hashes the states when it is time to, and offers the hash to the log.
    pub(crate) fn passed(&mut self, folded: Position, shared: &Shared) {
        let Commitments::EveryEvents(events) = self.commitments else { return };
        let started = Instant::now();
        if folded.since(self.last) < events.get() || started < self.not_before {
            return;
        }
        match commitment(shared) {
            Ok(commitment) => shared.log.offer_commitment(commitment),
            // The next round of the follower tells what is wrong.
            Err(error) => tracing::debug!(%error, "the states were not hashed"),
        }
        self.last = folded;
        let took: Duration = started.elapsed();
        self.not_before = started + took * TIME_SHARE;
    }
}

/// The hash of all states at the durable head.
fn commitment(shared: &Shared) -> Result<StateCommitment, spacefold_projection::SnapshotError> {
    let (position, states) = shared.live.snapshot_of_spaces(None)?;
    let hashes = states.iter().map(|state| (state.space_id(), state.state_hash()));
    Ok(StateCommitment {
        projection: SpaceStates::NAME.to_owned(),
        version: SpaceStates::VERSION,
        position,
        hash: *SpaceStates::hash_of(hashes).as_bytes(),
    })
}

/// Checks the store in a folder, which must not be open; when it is to be full, what its blocks say of
/// states too, against a fold of all events.
///
/// # Errors
/// [`OpenError`] when there is no store, it is in use, or the disk refuses; damage is no error but
/// part of the report.
///
/// # Cost
/// Full: reads and hashes every byte of both copies, and folds every event.
pub fn verify(path: &Path, options: VerifyOptions) -> Result<VerifyReport, OpenError> {
    verify_states(path, options, &mut Refold(SpaceStates::new()))
}

struct Refold(SpaceStates);

impl StateFold for Refold {
    fn is_of(&self, commitment: &StateCommitment) -> bool {
        commitment.projection == SpaceStates::NAME && commitment.version == SpaceStates::VERSION
    }

    fn apply(&mut self, event: &RecordedEventRef<'_>) {
        self.0.apply(event);
    }

    fn hash(&self) -> [u8; 32] {
        *self.0.hash().as_bytes()
    }
}
