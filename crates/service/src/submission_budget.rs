//! How many commands may be submitted and not answered yet.

use std::sync::Arc;

use spacefold_event_core::lock::Lock;

/// Commands that a service has been given by [`SpaceService::submit`](crate::SpaceService::submit) and
/// [`Batch::submit`](crate::Batch::submit), those of batches counted one by one, and has not answered
/// yet, at the most. More are refused with
/// [`CommandError::TooManySubmitted`](crate::CommandError::TooManySubmitted).
pub const MAX_SUBMITTED_COMMANDS: usize = 65_536;
/// Bytes that those commands hold in memory, about, at the most: with the id of their space, and with
/// what goes into all of their events. What alone has more is taken while nothing else is submitted.
pub const MAX_SUBMITTED_BYTES: usize = 64 << 20;

/// What is submitted to a service, and not answered yet.
#[derive(Default)]
pub(crate) struct SubmissionBudget {
    taken: Lock<SubmittedLoad>,
}

/// Commands, and the bytes of memory that they hold, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SubmittedLoad {
    pub(crate) commands: usize,
    pub(crate) bytes: usize,
}

/// The place of a submission in the budget, given back when it is dropped.
pub(crate) struct SubmissionPermit {
    budget: Arc<SubmissionBudget>,
    own: SubmittedLoad,
}

impl SubmissionBudget {
    /// A place for what has this load; the load that there is, when it is too much beside that.
    pub(crate) fn take(
        self: &Arc<Self>,
        own: SubmittedLoad,
    ) -> Result<SubmissionPermit, SubmittedLoad> {
        let mut taken = self.taken.lock();
        let is_alone = taken.commands == 0;
        let (commands, bytes) = (taken.commands + own.commands, taken.bytes + own.bytes);
        if !is_alone && (commands > MAX_SUBMITTED_COMMANDS || bytes > MAX_SUBMITTED_BYTES) {
            return Err(*taken);
        }
        *taken = SubmittedLoad { commands, bytes };
        Ok(SubmissionPermit { budget: Arc::clone(self), own })
    }
}

impl Drop for SubmissionPermit {
    fn drop(&mut self) {
        let mut taken = self.budget.taken.lock();
        taken.commands -= self.own.commands;
        taken.bytes -= self.own.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn load(commands: usize, bytes: usize) -> SubmittedLoad {
        SubmittedLoad { commands, bytes }
    }

    #[test]
    fn each_limit_is_held_up_to_the_last_and_given_back() {
        let one = load(1, 1);
        let limits = [load(MAX_SUBMITTED_COMMANDS - 1, 0), load(1, MAX_SUBMITTED_BYTES - 1)];
        for most in limits {
            let budget = Arc::new(SubmissionBudget::default());
            let first = budget.take(most).unwrap();
            let second = budget.take(one).unwrap();
            let full = load(most.commands + 1, most.bytes + 1);
            assert_eq!(budget.take(one).err(), Some(full));
            drop(second);
            drop(budget.take(one).unwrap());
            drop(first);
            drop(budget.take(most).unwrap());
        }
    }

    #[test]
    fn what_is_past_a_limit_alone_is_taken_alone() {
        let budget = Arc::new(SubmissionBudget::default());
        let (small, large) =
            (load(1, 0), load(MAX_SUBMITTED_COMMANDS + 1, MAX_SUBMITTED_BYTES + 1));
        let first = budget.take(small).unwrap();
        assert_eq!(budget.take(large).err(), Some(small));
        drop(first);
        let first = budget.take(large).unwrap();
        assert_eq!(budget.take(small).err(), Some(large));
        drop(first);
        assert!(budget.take(small).is_ok());
    }
}
