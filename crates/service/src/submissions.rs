//! Commands that were handed over: one thread decides them, space by space in the order in which they
//! came, and goes on with others while their appends become durable.
//!
//! Appends are answered through the handle of the log, content is synced by a thread of its own, and a
//! command that lost a race to another writer, which has to wait until it can read what that wrote, goes
//! on in a thread of its own too. What is not an append after all has to ask the log whether the decision
//! holds: a refusal, a command that changes nothing, a repetition under a key. That may wait for a sync
//! that is under way, and the commands on other spaces with it.

use std::{
    cell::Cell,
    collections::VecDeque,
    future::{Future, IntoFuture},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle},
};

use rapidhash::RapidHashMap;
use spacefold_event_core::{
    Answerer, AppendError, AppendFuture, AppendRequest, Awaited, ContentError, ContentStore,
    Pending, PendingAppend, StorageError, lock::Lock,
};

use crate::{
    attribution::Attribution,
    command_error::CommandError,
    commands::{Commands, DecidedEvents},
    condition::Conditions,
    executor::{AttemptStep, Executor, Order},
    known_states::SpaceTurn,
    outcome::Outcome,
};

/// The answer to a command or batch that was handed over: see
/// [`SpaceService::submit`](crate::SpaceService::submit).
pub type PendingOutcome = Pending<Result<Outcome, CommandError>>;

type SubmissionAnswer = Answerer<Result<Outcome, CommandError>>;

/// What is handed over.
pub(crate) struct CommandSubmission {
    pub(crate) space_id: Arc<str>,
    pub(crate) commands: Commands,
    pub(crate) attribution: Attribution,
    pub(crate) conditions: Arc<Conditions>,
    /// Where content was put that the commands name.
    pub(crate) content: Option<Arc<dyn ContentStore>>,
}

/// Where the clones of a service hand commands over. The thread starts with the first of them; the
/// last clone that is dropped waits for it.
pub(crate) struct Submissions {
    executor: Arc<Executor>,
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
    /// No more is handed over.
    Close,
}

impl Submissions {
    pub(crate) const fn new(executor: Arc<Executor>) -> Self {
        Self { executor, running: Lock::new(None) }
    }

    pub(crate) fn submit(&self, submission: CommandSubmission) -> PendingOutcome {
        let (answer, pending) = PendingOutcome::new(|| Err(lost().into()));
        let submitted = Box::new(Submitted { submission, synced: None, answer });
        match self.messages() {
            // When it cannot be sent, it is dropped and answers that it is lost.
            Ok(messages) => drop(messages.send(Message::Submitted(submitted))),
            Err(error) => submitted.answer.answer(Err(AppendError::from(error).into())),
        }
        pending
    }

    fn messages(&self) -> Result<Sender<Message>, NoThread> {
        let mut running = self.running.lock();
        if let Some(running) = &*running {
            return Ok(running.messages.clone());
        }
        let (messages, received) = mpsc::channel();
        let courier = Courier {
            executor: Arc::clone(&self.executor),
            messages: messages.clone(),
            lanes: RapidHashMap::default(),
            contenders: Vec::new(),
            syncing: None,
        };
        let thread = thread::Builder::new()
            .name("spacefold-commands".to_owned())
            .spawn(move || courier.run(&received))
            .map_err(NoThread)?;
        *running = Some(RunningSubmissions { messages: messages.clone(), thread });
        Ok(messages)
    }
}

impl Drop for Submissions {
    /// Waits until what was handed over is answered.
    fn drop(&mut self) {
        let Some(RunningSubmissions { messages, thread }) = self.running.lock().take() else {
            return;
        };
        let _ = messages.send(Message::Close);
        // Whoever is woken by an answer may let go of the service: the thread that has answered is
        // waited for itself.
        if !ANSWERS.get() {
            let _ = thread.join();
        }
    }
}

thread_local! {
    /// Whether this thread answers commands that were handed over.
    static ANSWERS: Cell<bool> = const { Cell::new(false) };
}

/// There is no thread to be had.
struct NoThread(std::io::Error);

impl From<NoThread> for AppendError {
    fn from(NoThread(error): NoThread) -> Self {
        let error = StorageError::new("starting the thread of submitted commands", error);
        Self::Refused { kind: error.kind(), reason: error.to_string() }
    }
}

fn lost() -> AppendError {
    let why = "the thread that was to answer has panicked";
    AppendError::OutcomeUnknown(StorageError::new("waiting for a command", why))
}

/// A submission on its way.
struct Submitted {
    submission: CommandSubmission,
    /// Until its content is durable.
    synced: Option<Awaited<Result<(), ContentError>>>,
    answer: SubmissionAnswer,
}

impl Submitted {
    fn order(&self) -> Order<'_> {
        let CommandSubmission { space_id, commands, attribution, conditions, .. } =
            &self.submission;
        Order { space_id, commands, attribution, conditions }
    }
}

/// The commands on a space.
struct SpaceQueue {
    waiting: VecDeque<Box<Submitted>>,
    in_flight: Option<AppendUnderWay>,
    /// Brings the courier back to the lane.
    waker: Waker,
}

/// A command whose events were handed over to the log.
struct AppendUnderWay {
    submitted: Box<Submitted>,
    turn: SpaceTurn,
    decided: DecidedEvents,
    appended: AppendFuture,
}

/// The thread that decides.
struct Courier {
    executor: Arc<Executor>,
    messages: Sender<Message>,
    /// Spaces on which commands wait or are in flight.
    lanes: RapidHashMap<Arc<str>, SpaceQueue>,
    /// Threads with commands that have lost a race.
    contenders: Vec<JoinHandle<()>>,
    syncing: Option<Syncing>,
}

impl Courier {
    fn run(mut self, received: &Receiver<Message>) {
        ANSWERS.set(true);
        let mut is_closed = false;
        while !(is_closed && self.lanes.is_empty()) {
            // There is always a sender: this thread has one.
            let Ok(message) = received.recv() else { break };
            match message {
                Message::Submitted(submitted) => self.take(submitted),
                Message::Woken(space_id) => self.advance(&space_id),
                Message::Close => is_closed = true,
            }
        }
        let threads = self.contenders.into_iter().chain(self.syncing.map(|syncing| syncing.thread));
        threads.for_each(|thread| drop(thread.join()));
    }

    fn take(&mut self, mut submitted: Box<Submitted>) {
        if let Some(store) = submitted.submission.content.take() {
            match self.sync(store) {
                Ok(synced) => submitted.synced = Some(synced),
                Err(error) => {
                    return submitted.answer.answer(Err(AppendError::from(error).into()));
                }
            }
        }
        let space_id = Arc::clone(&submitted.submission.space_id);
        let lane = self.lanes.entry(Arc::clone(&space_id)).or_insert_with(|| {
            let notice = Notice { messages: self.messages.clone(), space_id: space_id.clone() };
            SpaceQueue { waiting: VecDeque::new(), in_flight: None, waker: Arc::new(notice).into() }
        });
        lane.waiting.push_back(submitted);
        self.advance(&space_id);
    }

    /// Has content synced: at once, so that what waits for its turn shares the sync.
    fn sync(
        &mut self,
        store: Arc<dyn ContentStore>,
    ) -> Result<Awaited<Result<(), ContentError>>, NoThread> {
        let syncing = match &mut self.syncing {
            Some(syncing) => syncing,
            none => none.insert(Syncing::start()?),
        };
        Ok(syncing.sync(store).into_future())
    }

    /// Does what can be done on a space now.
    fn advance(&mut self, space_id: &Arc<str>) {
        let Some(mut lane) = self.lanes.remove(space_id) else { return };
        // Logs and stores of others may panic: that ends the commands on this space alone.
        let advanced = catch_unwind(AssertUnwindSafe(|| while lane.step(self) {}));
        if advanced.is_ok() && !lane.is_empty() {
            self.lanes.insert(Arc::clone(space_id), lane);
        }
    }

    /// Goes on with a command that has lost a race: it waits for what it lost to.
    fn contend(&mut self, submitted: Box<Submitted>, mut turn: SpaceTurn) {
        let executor = Arc::clone(&self.executor);
        let contend = move || {
            ANSWERS.set(true);
            let answer = executor.execute_in(&mut turn, submitted.order(), None);
            drop(turn);
            submitted.answer.answer(answer);
        };
        self.contenders.retain(|thread| !thread.is_finished());
        let thread = thread::Builder::new().name("spacefold-contender".to_owned()).spawn(contend);
        self.contenders.extend(thread);
    }
}

impl SpaceQueue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// One step for the command that is first; `false` when that waits for something, or there is none.
    fn step(&mut self, courier: &mut Courier) -> bool {
        let mut context = Context::from_waker(&self.waker);
        if let Some(in_flight) = &mut self.in_flight {
            let Poll::Ready(appended) = Pin::new(&mut in_flight.appended).poll(&mut context) else {
                return false;
            };
            self.land(appended, courier);
            return true;
        }
        let Some(first) = self.waiting.front_mut() else { return false };
        let synced = match &mut first.synced {
            Some(synced) => Pin::new(synced).poll(&mut context),
            None => Poll::Ready(Ok(())),
        };
        let Poll::Ready(synced) = synced else { return false };
        // Lest it be polled again while the turn is another's.
        first.synced = None;
        if let Err(error) = synced {
            if let Some(submitted) = self.waiting.pop_front() {
                submitted.answer.answer(Err(error.into()));
            }
            return true;
        }
        let space_id = &first.submission.space_id;
        let Some(turn) = courier.executor.known().place(space_id).try_take(&self.waker) else {
            return false;
        };
        self.decide(turn, courier)
    }

    fn decide(&mut self, mut turn: SpaceTurn, courier: &mut Courier) -> bool {
        let Some(submitted) = self.waiting.pop_front() else { return false };
        match courier.executor.decide(submitted.order(), &mut turn, false) {
            Ok(AttemptStep::Append { decided, condition }) => {
                let append = AppendRequest::new(&decided.events).on(condition);
                let appended = courier.executor.log().submit(&append);
                let appended = appended.unwrap_or_else(|error| PendingAppend::answered(Err(error)));
                let appended = appended.into_future();
                self.in_flight = Some(AppendUnderWay { submitted, turn, decided, appended });
            }
            Ok(AttemptStep::GiveWay) => courier.contend(submitted, turn),
            Ok(AttemptStep::Answer(outcome)) => submitted.answer.answer(Ok(outcome)),
            Err(error) => submitted.answer.answer(Err(error)),
        }
        true
    }

    /// Answers the command in flight.
    fn land(&mut self, appended: <AppendFuture as Future>::Output, courier: &mut Courier) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let AppendUnderWay { submitted, mut turn, decided, .. } = in_flight;
        let answer = courier.executor.answer(submitted.order(), &mut turn, decided, appended);
        match answer.transpose() {
            Some(answer) => submitted.answer.answer(answer),
            None => courier.contend(submitted, turn),
        }
    }
}

/// Wakes the courier for a space.
struct Notice {
    messages: Sender<Message>,
    space_id: Arc<str>,
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        // Nobody is there any more once everything is answered.
        let _ = self.messages.send(Message::Woken(Arc::clone(&self.space_id)));
    }
}

/// A store to sync, and who is to be told.
type SyncRequest = (Arc<dyn ContentStore>, Answerer<Result<(), ContentError>>);

/// The thread that syncs content.
struct Syncing {
    requests: Sender<SyncRequest>,
    thread: JoinHandle<()>,
}

impl Syncing {
    fn start() -> Result<Self, NoThread> {
        let (requests, received) = mpsc::channel::<SyncRequest>();
        let serve = move || {
            for (store, answer) in received {
                // Of those that wait meanwhile, the next sync finds nothing left to do.
                // A store of others that panics ends its own sync alone: the answer is lost.
                if let Ok(synced) = catch_unwind(AssertUnwindSafe(|| store.sync())) {
                    answer.answer(synced);
                }
            }
        };
        let thread = thread::Builder::new().name("spacefold-content-sync".to_owned());
        Ok(Self { requests, thread: thread.spawn(serve).map_err(NoThread)? })
    }

    fn sync(&self, store: Arc<dyn ContentStore>) -> Pending<Result<(), ContentError>> {
        let lost = || {
            let why = "the store has panicked";
            Err(ContentError::Storage(StorageError::new("syncing content", why)))
        };
        let (answer, pending) = Pending::new(lost);
        // When it cannot be sent, it is dropped and answers that it is lost.
        let _ = self.requests.send((store, answer));
        pending
    }
}
