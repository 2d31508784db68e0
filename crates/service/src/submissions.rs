//! Commands that were handed over: one thread, the courier, decides them, space by space in the order in
//! which they came, and goes on with others while their appends become durable.
//!
//! It does the plain path alone: a command on a space whose state is known, which comes to an append.
//! Whatever may have to wait goes on in [`workers`]: reading the state of a space, conditions, and what is
//! no append after all, a refusal, a command that changes nothing, a repetition under a key, for which
//! the log has to be asked; and a command that lost a race to another writer. Content is synced by a thread
//! of its own ([`syncing`]). Appends are answered through the handle of the log.

mod courier;
pub(crate) mod syncing;
pub(crate) mod threads;
mod workers;

use std::{
    cell::Cell,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
};

use spacefold_event_core::{
    Answerer, AppendError, Awaited, ContentStore, Pending, StorageError, lock::Lock,
};

use self::{
    courier::Courier,
    syncing::{ContentSyncs, Synced},
    threads::{NoThread, ThreadStarter},
    workers::DecidedCommand,
};
use crate::{
    attribution::Attribution,
    command_error::CommandError,
    commands::Commands,
    condition::Conditions,
    executor::{Executor, Order},
    outcome::Outcome,
    submission_budget::{SubmissionBudget, SubmissionPermit, SubmittedLoad},
};

/// The name of the thread.
const THREAD: &str = "spacefold-commands";

/// The answer to a command or batch that was handed over: see
/// [`SpaceService::submit`](crate::SpaceService::submit).
pub type PendingOutcome = Pending<Result<Outcome, CommandError>>;

/// What is handed over.
pub(crate) struct CommandSubmission {
    pub(crate) space_id: Arc<str>,
    pub(crate) commands: Commands,
    pub(crate) attribution: Arc<Attribution>,
    pub(crate) conditions: Arc<Conditions>,
    /// Where content was put that the commands name.
    pub(crate) content: Option<Arc<dyn ContentStore>>,
}

impl CommandSubmission {
    /// What it counts for while it is not answered.
    fn load(&self) -> SubmittedLoad {
        let SubmittedLoad { commands, bytes } = self.commands.load();
        let bytes = bytes + self.attribution.held_bytes() + self.space_id.len();
        SubmittedLoad { commands, bytes }
    }
}

/// Where the clones of a service hand commands over. The thread starts with the first of them; the
/// last clone that is dropped waits for it.
pub(crate) struct Submissions {
    executor: Arc<Executor>,
    budget: Arc<SubmissionBudget>,
    syncs: Arc<ContentSyncs>,
    pub(crate) threads: Arc<ThreadStarter>,
    running: Lock<Option<RunningSubmissions>>,
}

struct RunningSubmissions {
    messages: Sender<Message>,
    thread: JoinHandle<()>,
}

enum Message {
    Submitted(Box<Submitted>),
    /// Something that the commands on a space wait for may be there.
    Woken(Arc<str>),
    /// A command that was handed to a worker is to be appended.
    Decided(Box<DecidedCommand>),
    /// A command that was handed to a worker is answered.
    Answered,
    /// No more is handed over.
    Close,
}

impl Submissions {
    pub(crate) fn new(executor: Arc<Executor>) -> Self {
        Self {
            executor,
            budget: Arc::default(),
            syncs: Arc::default(),
            threads: Arc::default(),
            running: Lock::new(None),
        }
    }

    pub(crate) fn submit(&self, submission: CommandSubmission) -> PendingOutcome {
        match self.hand_over(submission) {
            Ok(pending) => pending,
            Err(error) => PendingOutcome::answered(Err(error)),
        }
    }

    /// Has the content of a store synced.
    pub(crate) fn sync_content(&self, store: Arc<dyn ContentStore>) -> Pending<Synced> {
        let pending = self.syncs.sync(&self.threads, store);
        pending.unwrap_or_else(|error| Pending::answered(Err(error.into())))
    }

    fn hand_over(&self, mut submission: CommandSubmission) -> Result<PendingOutcome, CommandError> {
        let load = submission.load();
        let full =
            |SubmittedLoad { commands, bytes }| CommandError::TooManySubmitted { commands, bytes };
        let permit = self.budget.take(load).map_err(full)?;
        let messages = self.messages()?;
        // At once, so that what waits for its turn shares the sync.
        let content = submission.content.take();
        let synced = content.map(|store| self.syncs.sync(&self.threads, store)).transpose()?;
        let synced = synced.map(IntoFuture::into_future);
        let (answer, pending) = PendingOutcome::new(|| Err(lost().into()));
        let submitted = Box::new(Submitted { submission, synced, answer, permit });
        // When it cannot be sent, it is dropped and answers that it is lost.
        let _ = messages.send(Message::Submitted(submitted));
        Ok(pending)
    }

    fn messages(&self) -> Result<Sender<Message>, NoThread> {
        let mut running = self.running.lock();
        if let Some(running) = &*running {
            return Ok(running.messages.clone());
        }
        let (messages, received) = mpsc::channel();
        let (executor, threads) = (Arc::clone(&self.executor), Arc::clone(&self.threads));
        let courier = Courier::new(executor, threads, messages.clone());
        let thread = self.threads.start(THREAD, move || courier.run(&received))?;
        *running = Some(RunningSubmissions { messages: messages.clone(), thread });
        Ok(messages)
    }
}

impl Drop for Submissions {
    /// Waits until what was handed over is answered.
    fn drop(&mut self) {
        // Whoever is woken by an answer may let go of the service: the thread that has answered is
        // waited for itself.
        let waits = !ANSWERS.get();
        if let Some(RunningSubmissions { messages, thread }) = self.running.lock().take() {
            let _ = messages.send(Message::Close);
            if waits {
                let _ = thread.join();
            }
        }
        self.syncs.finish(waits);
    }
}

thread_local! {
    /// Whether this thread answers commands that were handed over.
    static ANSWERS: Cell<bool> = const { Cell::new(false) };
}

fn lost() -> AppendError {
    let why = "the thread that was to answer has panicked";
    AppendError::OutcomeUnknown(StorageError::new("waiting for a command", why))
}

/// A submission on its way.
struct Submitted {
    submission: CommandSubmission,
    /// Until its content is durable.
    synced: Option<Awaited<Synced>>,
    answer: Answerer<Result<Outcome, CommandError>>,
    permit: SubmissionPermit,
}

impl Submitted {
    fn order(&self) -> Order<'_> {
        let CommandSubmission { space_id, commands, attribution, conditions, .. } =
            &self.submission;
        Order { space_id, commands, attribution, conditions }
    }

    /// Answers it; by then there is room for another one.
    fn answer(self, answer: Result<Outcome, CommandError>) {
        drop(self.permit);
        self.answer.answer(answer);
    }
}
