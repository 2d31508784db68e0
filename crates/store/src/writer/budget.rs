//! How many bytes of appends may wait for the writer.

use std::sync::Arc;

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes, parts of which are taken and given back.
#[derive(Debug)]
pub(crate) struct ByteBudget {
    limit: usize,
    state: Mutex<BudgetState>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct BudgetState {
    taken: usize,
    waiting: usize,
}

/// A part of the budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::new(BudgetState::default()), given_back: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a part, once there is room for it. One that is larger than the whole budget is given
    /// when nothing else is taken.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Permit {
        let mut state = self.state();
        while state.taken > 0 && state.taken.saturating_add(bytes) > self.limit {
            state.waiting += 1;
            state = self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.taken = state.taken.saturating_add(bytes);
        Permit { budget: Arc::clone(self), bytes }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.taken = state.taken.saturating_sub(self.bytes);
        // Waking nobody still costs a system call.
        if state.waiting > 0 {
            self.budget.given_back.notify_all();
        }
    }
}
