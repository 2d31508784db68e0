//! Closing what several threads use: once, by the first caller, while none waits for itself.
//!
//! What is closed may be running code of its users: handlers, projections. Closing waits for that
//! code ([`Callbacks::wait`]), and the code itself may close what runs it, drop the last handle of
//! it, or wait for a lock that is held by code that does. So that none of this can wait forever,
//! there is one rule: *closing that is asked for from within such code waits for no such code*, and
//! from then on nobody else who closes the same thing does ([`Callbacks::hurry`]).

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::{Arc, MutexGuard},
    thread::{self, ThreadId},
};

use crate::lock::{Condition, Lock};

/// Closes something once; later callers wait for the first to be done, and are answered the
/// same.
#[derive(Debug)]
pub struct CloseOnce<T> {
    phase: Lock<ClosePhase<T>>,
    changed: Condition,
}

#[derive(Clone, Copy, Debug)]
enum ClosePhase<T> {
    Open,
    ClosedBy(ThreadId),
    Closed(T),
}

impl<T> Default for CloseOnce<T> {
    fn default() -> Self {
        Self { phase: Lock::new(ClosePhase::Open), changed: Condition::new() }
    }
}

impl<T: Clone> CloseOnce<T> {
    /// Closes by `close`, unless that was done: then this answers as it did. Waits for another
    /// thread that is at it. `None` when this thread is at it itself: in the middle of `close` it
    /// came to something that closes again.
    ///
    /// A panic leaves it open, for the next to close.
    pub fn run(&self, close: impl FnOnce() -> T) -> Option<T> {
        let own = thread::current().id();
        let mut phase = self.phase();
        loop {
            match &*phase {
                ClosePhase::Open => break,
                ClosePhase::ClosedBy(thread) if *thread == own => return None,
                ClosePhase::ClosedBy(_) => {
                    phase = self.changed.wait(phase);
                }
                ClosePhase::Closed(outcome) => return Some(outcome.clone()),
            }
        }
        *phase = ClosePhase::ClosedBy(own);
        drop(phase);
        let mut reached = Reached { of: self, phase: Some(ClosePhase::Open) };
        let outcome = close();
        reached.phase = Some(ClosePhase::Closed(outcome.clone()));
        drop(reached);
        Some(outcome)
    }
}

impl<T> CloseOnce<T> {
    fn phase(&self) -> MutexGuard<'_, ClosePhase<T>> {
        self.phase.lock()
    }
}

/// Puts what closing has come to in place, however that ended.
struct Reached<'a, T> {
    of: &'a CloseOnce<T>,
    phase: Option<ClosePhase<T>>,
}

impl<T> Drop for Reached<'_, T> {
    fn drop(&mut self) {
        if let Some(phase) = self.phase.take() {
            *self.of.phase() = phase;
            self.of.changed.notify_all();
        }
    }
}

/// The code of users that something runs, in whichever threads.
#[derive(Debug, Default)]
pub struct Callbacks {
    state: Lock<CallbacksState>,
    changed: Condition,
}

#[derive(Debug, Default)]
struct CallbacksState {
    running: usize,
    is_urgent: bool,
}

/// Whether code of users may still be running when the wait for it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// None is running.
    AllEnded,
    /// Some may be: that code, or a thread that waits for it, is closing.
    SomeRuns,
}

thread_local! {
    /// How many callbacks, of whatever, this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

impl Callbacks {
    /// Counts as running until the guard is dropped, in any thread.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Running {
        self.state().running += 1;
        Running { of: Arc::clone(self) }
    }

    /// Ends every wait for what runs, those to come too, since it or what it waits for is closing.
    pub fn hurry(&self) {
        self.state().is_urgent = true;
        self.changed.notify_all();
    }

    /// Waits until none is running, or [`Callbacks::hurry`] is called; not at all when this thread
    /// is in a callback.
    pub fn wait(&self) -> Waited {
        if is_in_callback() {
            self.hurry();
        }
        let goes_on = |state: &mut CallbacksState| state.running > 0 && !state.is_urgent;
        match self.changed.wait_while(self.state(), goes_on).running {
            0 => Waited::AllEnded,
            _ => Waited::SomeRuns,
        }
    }

    fn state(&self) -> MutexGuard<'_, CallbacksState> {
        self.state.lock()
    }
}

/// Something of [`Callbacks`] that runs.
#[derive(Debug)]
pub struct Running {
    of: Arc<Callbacks>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.of.state().running -= 1;
        self.of.changed.notify_all();
    }
}

/// Says that its thread is in code of users, for as long as it lives.
#[derive(Debug)]
pub struct InCallback {
    /// It belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl InCallback {
    /// Marks this thread.
    #[must_use]
    pub fn begin() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self { not_send: PhantomData }
    }
}

impl Drop for InCallback {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Whether this thread is in code of users that is run for them, so that whoever closes may be
/// waiting for it.
#[must_use]
pub fn is_in_callback() -> bool {
    DEPTH.with(Cell::get) > 0
}

#[cfg(test)]
mod tests;
