//! Threads for what may wait: the courier hands it over, and goes on with the commands on other spaces.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::Sender},
    thread::JoinHandle,
    time::Duration,
};

use spacefold_event_core::{
    AppendCondition, AppendError, Receipt,
    lock::{Condition, Lock},
};

use super::{
    Message, Submitted,
    threads::{NoThread, ThreadStarter},
};
use crate::{
    command_error::CommandError,
    commands::DecidedEvents,
    executor::{AttemptStep, Executor},
    known_states::SpaceTurn,
};

/// Threads at once. A command that waits has a space to itself, so that commands on this many spaces
/// can wait without holding up what else is to be asked of the log.
const MAX_WORKERS: usize = 64;
/// How long a thread waits for more to do.
const MAX_IDLE: Duration = Duration::from_secs(1);
/// The name of the threads.
pub(crate) const THREAD: &str = "spacefold-command";

/// A command that may have to wait before it is answered or appended.
pub(super) struct SlowCommand {
    pub(super) submitted: Box<Submitted>,
    pub(super) turn: SpaceTurn,
    /// Its append, which was not taken.
    pub(super) failed: Option<FailedAppend>,
}

/// An append that was not taken.
pub(super) struct FailedAppend {
    pub(super) decided: DecidedEvents,
    pub(super) error: AppendError,
}

/// A command whose events are to be appended.
pub(super) struct DecidedCommand {
    pub(super) submitted: Box<Submitted>,
    pub(super) turn: SpaceTurn,
    pub(super) decided: DecidedEvents,
    pub(super) condition: AppendCondition,
}

/// The threads. Each ends when there is nothing to do for a while.
pub(super) struct Workers {
    threads: Arc<ThreadStarter>,
    shared: Arc<WorkersShared>,
}

struct WorkersShared {
    executor: Arc<Executor>,
    messages: Sender<Message>,
    state: Lock<WorkersState>,
    /// Whether there is something to do, or never will be.
    changed: Condition,
}

#[derive(Default)]
struct WorkersState {
    waiting: VecDeque<SlowCommand>,
    running: usize,
    /// Those of the running that wait for something to do, also when it is there and they have not woken
    /// up yet.
    idle: usize,
    is_finished: bool,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn new(
        executor: Arc<Executor>,
        threads: Arc<ThreadStarter>,
        messages: Sender<Message>,
    ) -> Self {
        let (state, changed) = (Lock::default(), Condition::new());
        Self { threads, shared: Arc::new(WorkersShared { executor, messages, state, changed }) }
    }

    /// Has a command dealt with: a [`Message::Decided`] or a [`Message::Answered`] comes of it. Whether
    /// one will: where there is no thread to be had, it is answered here.
    pub(super) fn hand_over(&self, slow: SlowCommand) -> bool {
        let mut state = self.shared.state.lock();
        state.waiting.push_back(slow);
        if state.waiting.len() <= state.idle {
            self.shared.changed.notify_one();
            return true;
        }
        if state.running == MAX_WORKERS {
            return true;
        }
        state.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(&self.shared);
        match self.threads.start(THREAD, move || shared.serve()) {
            Ok(thread) => {
                state.running += 1;
                state.threads.push(thread);
                true
            }
            // Those that run take it when they are done.
            Err(_) if state.running > 0 => true,
            Err(error) => {
                let slow = state.waiting.pop_back();
                drop(state);
                if let Some(slow) = slow {
                    slow.answer_without_thread(error);
                }
                false
            }
        }
    }

    /// Waits until every thread has ended. Nothing is handed over any more.
    pub(super) fn finish(self) {
        let mut state = self.shared.state.lock();
        state.is_finished = true;
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.changed.notify_all();
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl WorkersShared {
    fn serve(&self) {
        super::ANSWERS.set(true);
        while let Some(slow) = self.next() {
            // Logs of others may panic: that ends the one command, whose answer is lost then.
            let done = catch_unwind(AssertUnwindSafe(|| slow.deal_with(&self.executor)));
            let message = match done {
                Ok(Some(decided)) => Message::Decided(Box::new(decided)),
                Ok(None) | Err(_) => Message::Answered,
            };
            // The courier waits for it.
            let _ = self.messages.send(message);
        }
    }

    fn next(&self) -> Option<SlowCommand> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            state.idle += 1;
            let goes_on = |state: &mut WorkersState| state.waiting.is_empty() && !state.is_finished;
            (state, _) = self.changed.wait_timeout_while(state, MAX_IDLE, goes_on);
            state.idle -= 1;
        }
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.running -= 1;
        }
        next
    }
}

impl SlowCommand {
    /// Answers the command, unless it comes to an append: that is for the courier to hand over, so that
    /// it shares a sync with others.
    fn deal_with(self, executor: &Executor) -> Option<DecidedCommand> {
        let Self { submitted, mut turn, failed } = self;
        let order = submitted.order();
        let answer = match failed {
            None => match executor.decide(order, &mut turn, false) {
                Ok(AttemptStep::Append { decided, condition }) => {
                    return Some(DecidedCommand { submitted, turn, decided, condition });
                }
                Ok(AttemptStep::Answer(outcome)) => Ok(outcome),
                Ok(AttemptStep::GiveWay) => executor.execute_in(&mut turn, order, None),
                Err(error) => Err(error),
            },
            Some(FailedAppend { decided, error }) => {
                let appended: Result<Receipt, AppendError> = Err(error);
                match executor.answer(order, &mut turn, decided, appended) {
                    Ok(Some(outcome)) => Ok(outcome),
                    // It has lost a race: it waits for what it lost to.
                    Ok(None) => executor.execute_in(&mut turn, order, None),
                    Err(error) => Err(error),
                }
            }
        };
        drop(turn);
        submitted.answer(answer);
        None
    }

    /// Says that nothing is stored, or what the log has said.
    fn answer_without_thread(self, no_thread: NoThread) {
        let Self { submitted, turn, failed } = self;
        drop(turn);
        let error = match failed.map(|failed| failed.error) {
            None | Some(AppendError::ConditionFailed { .. }) => CommandError::from(no_thread),
            Some(error) => error.into(),
        };
        submitted.answer(Err(error));
    }
}
