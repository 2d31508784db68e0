//! The one thread that decides: positions, revisions, times, conditions, and what is durable.
//!
//! It takes in what waits, as one group; decides each append against everything before it; writes
//! the group in one go and makes it durable with one sync; shows it to readers; answers. After a
//! failure of the journal nothing is written, and nothing is synced, any more.

mod ahead;
mod budget;
mod pending;
mod window;

use std::{
    ops::ControlFlow,
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use spacefold_event_core::{
    AppendError, Position, Receipt, StorageError,
    append_rules::{self, Proposal, Verdict},
};

use self::{
    ahead::Ahead,
    budget::{ByteBudget, Permit},
    pending::{Answer, pending},
};
use crate::{
    folder::now,
    head::Fence,
    journal::{Journal, JournalEnd},
    options::StoreOptions,
    shared::Shared,
    view::tail::TailRun,
};

pub use self::pending::{AwaitedAppend, PendingAppend};

/// Bytes of appends that may wait for the writer; further callers wait to hand over.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Bytes of frames at which a group is closed.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// Bytes that may be written and not synced, whatever the durability.
const MAX_UNSYNCED_BYTES: usize = 16 << 20;
/// The longest that a group is held open for the callers that were answered last; a sync takes
/// several times as long.
const MAX_LINGER: Duration = Duration::from_micros(200);

enum Request {
    Append(Submission),
    Close,
}

struct Submission {
    proposal: Box<Proposal>,
    answer: oneshot::Sender<Answer>,
    _permit: Permit,
}

/// Where appends are handed over to the writer.
#[derive(Clone)]
pub(crate) struct WriterHandle {
    requests: Sender<Request>,
    budget: Arc<ByteBudget>,
}

impl WriterHandle {
    /// Hands an append over, once there is room for its bytes.
    pub(crate) fn submit(&self, proposal: Box<Proposal>) -> Result<PendingAppend, AppendError> {
        let permit = self.budget.take(proposal.body().bytes.len());
        let (answer, pending) = pending();
        let submission = Submission { proposal, answer, _permit: permit };
        self.requests.send(Request::Append(submission)).map_err(|_| AppendError::Closed)?;
        Ok(pending)
    }

    /// Asks the writer to end, after everything that was handed over before.
    pub(crate) fn close(&self) {
        // The writer is gone already when this cannot be sent.
        let _ = self.requests.send(Request::Close);
    }
}

/// Starts the writer; it ends when it is asked to, or nobody can ask any more.
pub(crate) fn start(
    shared: &Arc<Shared>,
    end: JournalEnd,
    options: &StoreOptions,
    sealer: Sender<()>,
) -> Result<(WriterHandle, thread::JoinHandle<JournalEnd>), StorageError> {
    let (requests, waiting) = unbounded();
    let budget = Arc::new(ByteBudget::new(MAX_WAITING_BYTES));
    let shared = Arc::clone(shared);
    let options = options.clone();
    let thread = thread::Builder::new()
        .name("spacefold-writer".to_owned())
        .spawn(move || Writer::new(&shared, end, &options, sealer).run(&waiting))
        .map_err(|error| StorageError::new("starting the writer thread", error))?;
    Ok((WriterHandle { requests, budget }, thread))
}

/// Why a group did not become durable.
#[derive(Clone)]
enum CommitError {
    /// Nothing of it was written.
    Refused(String),
    /// Some of it may be on disk.
    Unknown(StorageError),
}

/// The writer's own state.
struct Writer<'s> {
    shared: &'s Shared,
    sealer: Sender<()>,
    /// How long what was written may wait for its sync; `None` when it may not.
    sync_within: Option<Duration>,
    end: JournalEnd,
    /// Opened by the first append.
    journal: Option<Journal>,
    ahead: Ahead<'s>,
    /// When what has been written must be synced.
    sync_due: Option<Instant>,
    /// How long the last sync took.
    last_sync: Duration,
    /// How many appends the last group had.
    last_group: usize,
    /// The journal has failed: nothing is known of what it holds behind the durable head.
    failed: Option<StorageError>,
}

impl<'s> Writer<'s> {
    fn new(
        shared: &'s Arc<Shared>,
        end: JournalEnd,
        options: &StoreOptions,
        sealer: Sender<()>,
    ) -> Self {
        Self {
            shared,
            sealer,
            sync_within: options.durability.sync_within(),
            end,
            journal: None,
            ahead: Ahead::new(shared, options.retry_window_events),
            sync_due: None,
            last_sync: Duration::ZERO,
            last_group: 0,
            failed: None,
        }
    }

    /// Serves until it is told to end; where the journal ends then.
    fn run(mut self, requests: &Receiver<Request>) -> JournalEnd {
        loop {
            let request = match self.sync_due {
                Some(due) => requests.recv_deadline(due),
                None => requests.recv().map_err(RecvTimeoutError::from),
            };
            match request {
                Ok(Request::Append(first)) => {
                    if self.serve_group(first, requests).is_break() {
                        break;
                    }
                }
                // Whoever waits learns of a failure by himself.
                Err(RecvTimeoutError::Timeout) => drop(self.sync()),
                Ok(Request::Close) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // The store is closed with all that was appended; a failure is noted.
        drop(self.sync());
        self.journal.as_ref().map_or(self.end, Journal::end)
    }

    /// Takes in what waits, commits it, and answers.
    fn serve_group(&mut self, first: Submission, requests: &Receiver<Request>) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        let mut answers = Vec::with_capacity(self.last_group);
        let mut held_until = None;
        let mut next = Some(Request::Append(first));
        while let Some(request) = next.take() {
            let Request::Append(submission) = request else {
                flow = ControlFlow::Break(());
                break;
            };
            let outcome = self.accept(&submission.proposal);
            answers.push((submission.answer, outcome));
            let group_bytes = self.journal.as_ref().map_or(0, Journal::group_bytes);
            if group_bytes < MAX_GROUP_BYTES {
                next = requests.try_recv().ok();
                if next.is_none() && answers.len() < self.last_group && self.sync_within.is_none() {
                    let until = held_until.get_or_insert_with(|| Instant::now() + self.linger());
                    next = next_within(requests, *until);
                }
            }
        }
        self.last_group = answers.len();
        if cfg!(feature = "bug-ack-early") {
            for (answer, outcome) in answers.extract_if(.., |(_, outcome)| outcome.is_ok()) {
                let _ = answer.send(outcome.map(|taken| taken.receipt(true)));
            }
        }
        let committed = self.commit(newest_stored(&answers));
        for (answer, outcome) in answers {
            let outcome = outcome.and_then(|taken| self.receipt(taken, &committed));
            // Whoever does not wait for the answer any more does not need it.
            let _ = answer.send(outcome);
        }
        flow
    }

    /// How long the group may be held open for the callers that were answered last.
    fn linger(&self) -> Duration {
        (self.last_sync / 4).min(MAX_LINGER)
    }

    /// Decides one append against everything before it, the earlier ones of its group included, and
    /// adds it to the group if it may happen.
    fn accept(&mut self, proposal: &Proposal) -> Result<Taken, AppendError> {
        if let Some(reason) = self.shared.progress.failure() {
            return Err(AppendError::Refused { reason });
        }
        if let Verdict::AlreadyStored(receipt) = append_rules::decide(proposal, &self.ahead)? {
            return Ok(Taken::Stored(receipt));
        }
        let records = proposal.assign(&self.ahead, self.ahead.last_recorded_at(), now())?;
        let journal = match &mut self.journal {
            Some(journal) => journal,
            empty => empty.insert(begin(self.shared, self.end)?),
        };
        journal.add(&records, proposal.body());
        let receipt = records.receipt(false);
        self.ahead.push(TailRun { records, body_bytes: proposal.body().bytes.len() });
        Ok(Taken::New(receipt))
    }

    /// Writes the group, and makes it durable where it has to be before it is answered: always, or
    /// when something up to `wanted` is answered that was stored before.
    fn commit(&mut self, wanted: Position) -> Result<(), CommitError> {
        if let Some(journal) = self.journal.as_mut().filter(|journal| journal.group_bytes() > 0) {
            if let Err(reason) = self.shared.progress.wait_for_room(journal.needs_file()) {
                // What is ahead from here on is not in the journal.
                self.failed = Some(StorageError::new("writing the journal", reason.as_str()));
                return Err(CommitError::Refused(reason));
            }
            let head = append_rules::AppendView::head(&self.ahead);
            let written = journal.write(head);
            if journal.nears_file_end() {
                self.shared.journal_files.want_another();
            }
            written.map_err(|error| self.fail(error))?;
            let files = &self.shared.journal_files;
            self.shared.progress.update(|state| {
                state.head = head;
                state.files_are_full = files.are_full();
            });
        }
        let is_sync = self.sync_within.is_none();
        if is_sync
            || wanted > self.ahead.durable_head()
            || self.ahead.body_bytes() >= MAX_UNSYNCED_BYTES
        {
            return self.sync();
        }
        let within = self.sync_within.unwrap_or_default();
        self.sync_due.get_or_insert_with(|| Instant::now() + within);
        Ok(())
    }

    /// Makes durable what was written, and shows it to readers. A sync that failed is not tried
    /// again: the kernel may have dropped what it could not write.
    fn sync(&mut self) -> Result<(), CommitError> {
        self.sync_due = None;
        if let Some(error) = &self.failed {
            return Err(CommitError::Unknown(error.clone()));
        }
        let Some(journal) = self.journal.as_mut().filter(|_| self.ahead.body_bytes() > 0) else {
            return Ok(());
        };
        let begun = Instant::now();
        journal.sync().map_err(|error| self.fail(error))?;
        self.last_sync = begun.elapsed();
        let mut view = self.shared.view_mut();
        self.ahead.take_durable().for_each(|run| view.publish(run));
        drop(view);
        self.shared.announce();
        // A sealer that was told already looks again anyway.
        let _ = self.sealer.try_send(());
        Ok(())
    }

    fn fail(&mut self, error: StorageError) -> CommitError {
        tracing::error!(%error, "the journal failed: appends are refused until reopened");
        self.shared.progress.fail(error.to_string());
        self.failed = Some(error.clone());
        CommitError::Unknown(error)
    }

    /// What the caller of an append is told after its group.
    fn receipt(
        &self,
        taken: Taken,
        committed: &Result<(), CommitError>,
    ) -> Result<Receipt, AppendError> {
        let is_durable = taken.position() <= self.ahead.durable_head();
        match committed {
            Err(CommitError::Refused(reason)) if !is_durable => {
                Err(AppendError::Refused { reason: reason.clone() })
            }
            Err(CommitError::Unknown(error)) if !is_durable => {
                Err(AppendError::OutcomeUnknown(error.clone()))
            }
            _ => Ok(taken.receipt(is_durable)),
        }
    }
}

/// What became of an append that may be answered with a receipt.
#[derive(Clone, Copy)]
enum Taken {
    /// It is part of the group.
    New(Receipt),
    /// It was stored before, or earlier in the group.
    Stored(Receipt),
}

impl Taken {
    fn position(self) -> Position {
        let (Self::New(receipt) | Self::Stored(receipt)) = self;
        receipt.position()
    }

    fn receipt(self, durable: bool) -> Receipt {
        let (Self::New(taken) | Self::Stored(taken)) = self;
        Receipt::new(taken.first_position(), taken.position(), taken.revision(), durable)
    }
}

/// The position up to which the group answers what was stored before.
fn newest_stored(answers: &[(oneshot::Sender<Answer>, Result<Taken, AppendError>)]) -> Position {
    let stored = answers.iter().filter_map(|(_, outcome)| match outcome {
        Ok(stored @ Taken::Stored(_)) => Some(stored.position()),
        _ => None,
    });
    stored.max().unwrap_or(Position::START)
}

/// The next request, if one comes in time. Others run meanwhile: those that are waited for.
fn next_within(requests: &Receiver<Request>, until: Instant) -> Option<Request> {
    loop {
        if let Ok(request) = requests.try_recv() {
            return Some(request);
        }
        if Instant::now() >= until {
            return None;
        }
        thread::yield_now();
    }
}

/// Takes a new incarnation, recorded and synced before anything is written under it.
fn begin(shared: &Shared, end: JournalEnd) -> Result<Journal, AppendError> {
    let mut head_file = shared.head_file.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = head_file.begin_incarnation(|head| {
        head.durable_head = end.head;
        head.clean = false;
        head.fence = Fence { position: end.head.next(), incarnation: head.incarnation };
    });
    if let Err(error) = begun {
        shared.progress.fail(error.to_string());
        return Err(AppendError::Refused { reason: error.to_string() });
    }
    let incarnation = head_file.head().incarnation;
    Ok(Journal::new(&shared.journal_files, shared.store_id, incarnation, end))
}
