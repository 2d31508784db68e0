//! Blocks that are on their way, and the appends that wait for them.

use std::{sync::Arc, time::Instant};

use spacefold_event_core::{
    Answerer, AppendError, Position, Receipt, StorageError, StorageErrorKind,
    append_rules::Proposal, lock::Lock,
};

use crate::{
    block_log::{PutAnswer, PutOutcome},
    group_block::GroupBlockHash,
    wake::Wake,
};

/// An append that was handed over.
#[derive(Debug)]
pub(crate) struct ReplicatedSubmission {
    pub(crate) proposal: Box<Proposal>,
    pub(crate) answer: Answerer<Result<Receipt, AppendError>>,
    /// Until when it may take.
    pub(crate) deadline: Instant,
}

/// What was decided of an append, if the block that it waits for lands.
#[derive(Debug)]
pub(crate) enum FlightVerdict {
    /// It is in the group.
    Taken(Receipt),
    /// It is stored before, or earlier in a group under way.
    Stored(Receipt),
    /// It is refused, as the log is in the place of the block.
    Refused(AppendError),
}

/// A block under way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) place: u64,
    pub(crate) hash: GroupBlockHash,
    pub(crate) block: Arc<[u8]>,
    /// What became of its put; `None` before that was made.
    pub(crate) put: Option<PutState>,
    /// The appends that are answered once it has landed: those of its group, where it is the last block
    /// of that.
    pub(crate) decided: Vec<(ReplicatedSubmission, FlightVerdict)>,
}

/// What became of a put, as far as it was said.
#[derive(Clone, Debug)]
pub(crate) struct PutState(Arc<Lock<Option<PutOutcome>>>);

impl PutState {
    /// A put of which nothing was said, and where that is said; `wake` is told.
    pub(crate) fn new(wake: &Arc<Wake>) -> (Self, PutAnswer) {
        let state = Self(Arc::default());
        let (cell, wake) = (Arc::clone(&state.0), Arc::clone(wake));
        let answer = PutAnswer::new(move |outcome| {
            *cell.lock() = Some(outcome);
            wake.notify();
        });
        (state, answer)
    }

    pub(crate) fn outcome(&self) -> Option<PutOutcome> {
        *self.0.lock()
    }
}

impl Flight {
    pub(crate) fn outcome(&self) -> Option<PutOutcome> {
        self.put.as_ref().and_then(PutState::outcome)
    }

    /// Whether an append that waits for it may not wait any longer.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        self.decided.iter().any(|(submission, _)| submission.deadline <= now)
    }

    /// Answers those who wait for it: it has landed, and the log is at `head` with it.
    pub(crate) fn answer_landed(self, head: Position) {
        for (submission, verdict) in self.decided {
            submission.answer.answer(match verdict {
                FlightVerdict::Taken(receipt) | FlightVerdict::Stored(receipt)
                    if receipt.last_position() <= head =>
                {
                    Ok(receipt.with_durable(true))
                }
                FlightVerdict::Taken(_) | FlightVerdict::Stored(_) => {
                    Err(outcome_unknown("the group has landed without all of its events"))
                }
                FlightVerdict::Refused(error) => Err(error),
            });
        }
    }

    /// Answers those who wait for it: nobody knows whether it has landed, or will.
    pub(crate) fn answer_unknown(self, why: &str) {
        for (submission, verdict) in self.decided {
            submission.answer.answer(Err(match verdict {
                FlightVerdict::Taken(_) => outcome_unknown(why),
                FlightVerdict::Stored(_) | FlightVerdict::Refused(_) => undecided(why),
            }));
        }
    }
}

/// An append that may be stored or not.
pub(crate) fn outcome_unknown(why: &str) -> AppendError {
    AppendError::OutcomeUnknown(StorageError::new("appending to the replicated log", why))
}

/// An append that is not stored: it never left, or is only asked about.
pub(crate) fn undecided(why: &str) -> AppendError {
    AppendError::Refused { kind: StorageErrorKind::Other, reason: why.to_owned() }
}
