//! Hashes of the states in the log: offered while it is folded, checked when it is verified.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use spacefold_event_core::{LogReader as _, Position, RecordedEventRef};
use spacefold_projection::{
    LiveStates, RangedHash, RangedStates, STATES_MEMORY_BYTES, SnapshotError,
};
use spacefold_state::SpaceStates;
use spacefold_store::{
    EmbeddedLog, OpenError, StateCommitment, StateFold, VerifyOptions, VerifyReport, verify_states,
};

use crate::options::StateCommitments;

/// Hashing takes one of this many parts of the time.
const TIME_SHARE: u32 = 50;

/// When the folding thread hashes the states.
pub(crate) struct Committing {
    commitments: StateCommitments,
    log: EmbeddedLog,
    /// Where it has hashed them last.
    last: Position,
    /// Not before then, so that hashing takes its share of the time.
    not_before: Instant,
}

impl Committing {
    /// Hashes the states for a log, behind its durable head for the first time.
    pub(crate) fn new(commitments: StateCommitments, log: EmbeddedLog) -> Self {
        let last = log.durable_head();
        Self { commitments, log, last, not_before: Instant::now() }
    }

    /// Hashes the states when it is time to, and offers the hash to the log.
    pub(crate) fn passed(&mut self, folded: Position, live: &LiveStates) {
        let StateCommitments::Every(events) = self.commitments else { return };
        let started = Instant::now();
        if folded.since(self.last) < events.get() || started < self.not_before {
            return;
        }
        match commitment(live) {
            Ok(commitment) => self.log.offer_commitment(commitment),
            // The next round of the follower tells what is wrong.
            Err(error) => tracing::debug!(%error, "the states were not hashed"),
        }
        self.last = folded;
        let took: Duration = started.elapsed();
        self.not_before = started + took * TIME_SHARE;
    }
}

/// The hash of all states at the durable head.
fn commitment(live: &LiveStates) -> Result<StateCommitment, SnapshotError> {
    let (position, hash) = live.hash_of_spaces()?;
    Ok(StateCommitment {
        projection: SpaceStates::NAME.to_owned(),
        version: SpaceStates::VERSION,
        position,
        hash: *hash.as_bytes(),
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
/// Full: reads and hashes every byte of both copies, and folds every event; once more for every
/// [`STATES_MEMORY_BYTES`] that the states of the spaces take.
pub fn verify(path: &Path, options: VerifyOptions) -> Result<VerifyReport, OpenError> {
    verify_states(path, options, &mut CommitmentFold::within(STATES_MEMORY_BYTES))
}

/// Folds the states of as many spaces at a time as there is memory for.
struct CommitmentFold {
    states: RangedStates,
    hashes: BTreeMap<Position, RangedHash>,
}

impl CommitmentFold {
    const fn within(bytes: u64) -> Self {
        Self { states: RangedStates::new(bytes), hashes: BTreeMap::new() }
    }
}

impl StateFold for CommitmentFold {
    fn is_of(&self, commitment: &StateCommitment) -> bool {
        commitment.projection == SpaceStates::NAME && commitment.version == SpaceStates::VERSION
    }

    fn apply(&mut self, event: &RecordedEventRef<'_>) {
        self.states.apply(event);
    }

    fn has_read(&mut self, bytes: usize) {
        self.states.has_read(bytes);
    }

    fn reach(&mut self, position: Position) {
        self.hashes.entry(position).or_default().take_in(&self.states);
    }

    fn goes_on(&mut self) -> bool {
        self.states.next_range()
    }

    fn hash(&self, position: Position) -> [u8; 32] {
        *self
            .hashes
            .get(&position)
            .map_or_else(|| SpaceStates::new().hash(), RangedHash::hash)
            .as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use spacefold_event_core::SpaceEvent;
    use spacefold_store::StoreOptions;

    use super::*;
    use crate::{Folding, Options, Spacefold};

    fn fill(spaces: &Spacefold, round: u64) {
        let event = |n: u64| {
            let text = format!("{:0128}", round * 512 + n);
            SpaceEvent::variable_set(format!("space-{}", n % 97), "n", text)
        };
        let events: Vec<_> = (0..512).map(event).collect();
        spaces.append(events).unwrap();
    }

    #[test]
    fn commitments_are_checked_in_however_little_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = StoreOptions::default().journal_file_bytes(128 << 10);
        let options = Options::new(&path).folding(Folding::OnDemand).store(store);
        let spaces = options.open().unwrap();
        let mut round = 0;
        // One that is wrong, between two that are right.
        for wrong in [0, 1, 0] {
            fill(&spaces, round);
            let all = spaces.snapshot_all().unwrap();
            let states = all.iter().map(|state| (state.space_id(), state.state_hash()));
            let mut hash = *SpaceStates::hash_of(states).as_bytes();
            hash[7] ^= wrong;
            let (projection, position) = (SpaceStates::NAME.to_owned(), spaces.durable_head());
            let version = SpaceStates::VERSION;
            spaces.log().offer_commitment(StateCommitment { projection, version, position, hash });
            while spaces.log().last_commitment() < position {
                round += 1;
                fill(&spaces, round);
                assert!(round < 20_000, "no block says anything of position {position}");
            }
        }
        spaces.close().unwrap();
        for bytes in [0, 20_000, 1 << 30] {
            let mut fold = CommitmentFold::within(bytes);
            let report = verify_states(&path, VerifyOptions::default(), &mut fold).unwrap();
            assert_eq!((report.commitments, report.problems.len()), (3, 1), "{bytes}");
            assert_eq!(report.problems[0].kind, "commitment");
        }
    }
}
