//! The one place that decides: positions, revisions, times, conditions, and what is durable.
//!
//! One thread at a time has the writer. It takes in what waits, as one group; decides each append
//! against everything before it; writes the group in one go and makes it durable with one sync;
//! shows it to readers; answers. After a failure of the journal nothing is written, and nothing is
//! synced, any more.
//!
//! Whoever appends while nobody has the writer takes it and commits in his own thread, which costs
//! no switch between threads; everything else is handed over through a channel, for which a thread
//! of the writer's own waits.
//!
//! A group goes on in `journal.rs`, and comes back to be shown to readers and answered.

mod ahead;
mod budget;
mod handover;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
use spacefold_disk::PastQuota;
use spacefold_event_core::{
    Answerer, AppendError, Position, Receipt, StorageError,
    append_rules::{self, AppendDecision, Proposal},
    bytes::to_u64,
};

use self::handover::Request;
use crate::{
    folder::now,
    head::{
        Fence,
        format_version::{FormatVersion, format_version_of},
    },
    journal::{Journal, JournalEnd},
    options::StoreOptions,
    progress::StoreFailure,
    run::RecordRun,
    shared::SharedStore,
};

pub(crate) use self::{
    ahead::UndurableAppends,
    handover::{WriterHandle, start},
};

/// Bytes of frames at which a group is closed.
const MAX_GROUP_BYTES: usize = 4 << 20;
/// Bytes that may be written and not synced, whatever the durability.
const MAX_UNSYNCED_BYTES: usize = 16 << 20;
/// The longest that a group is held open for the callers that were answered last; a sync takes
/// several times as long.
const MAX_LINGER: Duration = Duration::from_micros(200);

/// Why a group did not become durable.
#[derive(Clone)]
enum CommitError {
    /// Nothing of it was written.
    Refused(StoreFailure),
    /// Some of it may be on disk.
    Unknown(StorageError),
}

/// What decides appends and commits them.
struct Writer {
    shared: Arc<SharedStore>,
    sealer: Arc<Sender<()>>,
    /// How long what was written may wait for its sync; `None` when it may not.
    sync_within: Option<Duration>,
    end: JournalEnd,
    /// Opened by the first append.
    journal: Option<Journal>,
    ahead: UndurableAppends,
    /// When what has been written must be synced.
    sync_due: Option<Instant>,
    /// How long the last sync took.
    last_sync: Duration,
    /// How many appends the last group had.
    last_group: usize,
    /// The format version that HEAD has in both slots.
    format_version: FormatVersion,
    /// The journal has failed: nothing is known of what it holds behind the durable head.
    failed: Option<StorageError>,
}

/// What an append is answered.
type Answer = Result<Receipt, AppendError>;

/// An append that was handed over, and what became of it so far.
type Taken = (Answerer<Answer>, Result<Accepted, AppendError>);

impl Writer {
    fn new(
        shared: &Arc<SharedStore>,
        end: JournalEnd,
        options: &StoreOptions,
        sealer: Arc<Sender<()>>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            sealer,
            sync_within: options.durability.sync_within(),
            end,
            journal: None,
            ahead: UndurableAppends::new(shared),
            sync_due: None,
            last_sync: Duration::ZERO,
            last_group: 0,
            format_version: shared.lock_head_file().head().format_version,
            failed: None,
        }
    }

    /// Syncs what was written, if that is due by now; when it will be, else.
    fn sync_when_due(&mut self) -> Option<Instant> {
        if self.sync_due.is_some_and(|due| due <= Instant::now()) {
            // Whoever waits learns of a failure by himself.
            drop(self.sync());
        }
        self.sync_due
    }

    /// Serves what waits, and makes everything durable; a failure is noted. Where the journal ends.
    fn finish(mut self, requests: &Receiver<Request>) -> JournalEnd {
        while !requests.is_empty() {
            self.serve(None, requests).answer();
        }
        drop(self.sync());
        self.journal.as_ref().map_or(self.end, Journal::end)
    }

    /// Commits a group: what waits and, behind that, the append of this thread, if it has one.
    fn serve(&mut self, own: Option<&Proposal>, requests: &Receiver<Request>) -> Served {
        let mut group = Vec::with_capacity(self.last_group);
        self.take_ready(requests, &mut group);
        let own = own.map(|proposal| self.accept(proposal));
        let owned = usize::from(own.is_some());
        if group.len() + owned == 0 {
            return Served::default();
        }
        self.hold_open(requests, &mut group, owned);
        self.last_group = group.len() + owned;
        let committed = self.commit(newest_stored(&group, own.as_ref()));
        let answered = |outcome: Result<Accepted, AppendError>| {
            outcome.and_then(|accepted| self.receipt(accepted, &committed))
        };
        let answers = group.into_iter().map(|(answer, outcome)| (answer, answered(outcome)));
        Served { answers: answers.collect(), own: own.map(answered) }
    }

    /// Decides what is waiting now.
    fn take_ready(&mut self, requests: &Receiver<Request>, group: &mut Vec<Taken>) {
        while self.group_bytes() < MAX_GROUP_BYTES
            && let Ok(Request::Append(submission)) = requests.try_recv()
        {
            let outcome = self.accept(&submission.proposal);
            group.push((submission.answer, outcome));
        }
    }

    /// Holds a group open a moment for the callers that were answered last, while it has fewer
    /// appends than the last one.
    fn hold_open(&mut self, requests: &Receiver<Request>, group: &mut Vec<Taken>, owned: usize) {
        if self.sync_within.is_some() || group.len() + owned >= self.last_group {
            return;
        }
        let until = Instant::now() + (self.last_sync / 4).min(MAX_LINGER);
        while group.len() + owned < self.last_group && self.group_bytes() < MAX_GROUP_BYTES {
            self.take_ready(requests, group);
            if Instant::now() >= until {
                break;
            }
            // Others run meanwhile: those that are waited for.
            thread::yield_now();
        }
    }

    fn group_bytes(&self) -> usize {
        self.journal.as_ref().map_or(0, Journal::group_bytes)
    }

    /// Decides one append against everything before it, the earlier ones of its group included, and
    /// adds it to the group if it may happen.
    fn accept(&mut self, proposal: &Proposal) -> Result<Accepted, AppendError> {
        if let Some(failure) = self.shared.progress.failure() {
            return Err(failure.into());
        }
        if let AppendDecision::AlreadyStored(receipt) = append_rules::decide(proposal, &self.ahead)?
        {
            return Ok(Accepted::Stored(receipt));
        }
        if let Err(PastQuota { used, max }) = self.shared.quota.check() {
            return Err(AppendError::PastQuota { used, max });
        }
        let assigned = proposal.assign(&self.ahead, now())?;
        let journal = match &mut self.journal {
            Some(journal) => journal,
            empty => empty.insert(begin(&self.shared, self.end)?),
        };
        let needed = assigned.iter().map(format_version_of).max();
        if let Some(needed) = needed.filter(|needed| *needed > self.format_version) {
            raise_format_version(&self.shared, needed)?;
            self.format_version = needed;
        }
        let receipt = Receipt::of(&assigned, false);
        let bodies = proposal.runs().iter().map(|run| Arc::clone(run.body()));
        let runs =
            assigned.into_iter().zip(bodies).map(|(records, body)| RecordRun { records, body });
        let runs: Vec<RecordRun> = runs.collect();
        journal.add(&runs);
        runs.into_iter().for_each(|run| self.ahead.push(run));
        Ok(Accepted::New(receipt))
    }

    /// Writes the group, and makes it durable where it has to be before it is answered: always, or
    /// when something up to `wanted` is answered that was stored before.
    fn commit(&mut self, wanted: Position) -> Result<(), CommitError> {
        if let Some(journal) = self.journal.as_mut().filter(|journal| journal.group_bytes() > 0) {
            if let Err(failure) = self.shared.progress.wait_for_room(journal.needs_file()) {
                // What is ahead from here on is not in the journal.
                self.failed = Some(failure.clone().while_doing("writing the journal"));
                return Err(CommitError::Refused(failure));
            }
            let head = append_rules::AppendView::head(&self.ahead);
            let written_bytes = journal.group_bytes();
            let written = journal.write(head);
            if journal.nears_file_end() {
                self.shared.journal_files.want_another();
            }
            written.map_err(|error| self.fail(error))?;
            if self.shared.quota.max().is_some() {
                self.shared.quota.add_log(to_u64(written_bytes));
            }
            let files = &self.shared.journal_files;
            self.shared.progress.update(|state| {
                state.head = head;
                state.files_are_full = files.are_full();
            });
        }
        let is_sync = self.sync_within.is_none();
        // Files are given up for what is durable alone: once they run out, nothing may stay behind.
        if is_sync
            || wanted > self.ahead.durable_head()
            || self.ahead.body_bytes() >= MAX_UNSYNCED_BYTES
            || self.shared.journal_files.are_full()
        {
            return self.sync();
        }
        if self.shared.journal_files.is_another_wanted() {
            let _ = self.sealer.try_send(());
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
        let synced = journal.sync();
        let last_frame = journal.end().witness();
        synced.map_err(|error| self.fail(error))?;
        self.last_sync = begun.elapsed();
        self.shared.note_durable_frame(last_frame);
        let mut view = self.shared.view_mut();
        self.ahead.take_durable().for_each(|run| view.publish(run));
        drop(view);
        self.shared.announce();
        self.shared.hint();
        if self.shared.wants_sealer() {
            // A sealer that was told already looks again anyway.
            let _ = self.sealer.try_send(());
        }
        Ok(())
    }

    fn fail(&mut self, error: StorageError) -> CommitError {
        tracing::error!(%error, "the journal failed: appends are refused until reopened");
        self.shared.progress.fail(&error);
        self.failed = Some(error.clone());
        CommitError::Unknown(error)
    }

    /// What the caller of an append is told after its group.
    fn receipt(
        &self,
        accepted: Accepted,
        committed: &Result<(), CommitError>,
    ) -> Result<Receipt, AppendError> {
        let is_durable = accepted.last_position() <= self.ahead.durable_head();
        match committed {
            Err(CommitError::Refused(failure)) if !is_durable => Err(failure.clone().into()),
            Err(CommitError::Unknown(error)) if !is_durable => {
                Err(AppendError::OutcomeUnknown(error.clone()))
            }
            _ => Ok(accepted.receipt(is_durable)),
        }
    }
}

/// A group that was committed, or was not.
#[derive(Default)]
struct Served {
    answers: Vec<(Answerer<Answer>, Answer)>,
    /// What became of the append of the thread that served.
    own: Option<Answer>,
}

impl Served {
    /// Answers whoever waits; what became of the own append. To be called without the writer: the
    /// next group is under way meanwhile.
    fn answer(self) -> Option<Answer> {
        for (answer, outcome) in self.answers {
            answer.answer(outcome);
        }
        self.own
    }
}

/// What became of an append that may be answered with a receipt.
#[derive(Clone, Copy)]
enum Accepted {
    /// It is part of the group.
    New(Receipt),
    /// It was stored before, or earlier in the group.
    Stored(Receipt),
}

impl Accepted {
    fn last_position(self) -> Position {
        let (Self::New(receipt) | Self::Stored(receipt)) = self;
        receipt.last_position()
    }

    fn receipt(self, durable: bool) -> Receipt {
        let (Self::New(accepted) | Self::Stored(accepted)) = self;
        accepted.with_durable(durable)
    }
}

/// The position up to which the group answers what was stored before.
fn newest_stored(group: &[Taken], own: Option<&Result<Accepted, AppendError>>) -> Position {
    let outcomes = group.iter().map(|(_, outcome)| outcome).chain(own);
    let stored = outcomes.filter_map(|outcome| match outcome {
        Ok(stored @ Accepted::Stored(_)) => Some(stored.last_position()),
        _ => None,
    });
    stored.max().unwrap_or(Position::START)
}

/// Takes a new incarnation, recorded and synced before anything is written under it.
fn begin(shared: &SharedStore, end: JournalEnd) -> Result<Journal, AppendError> {
    let mut head_file = shared.lock_head_file();
    let begun = shared.journal_files.prepare_first().and_then(|()| {
        head_file.begin_incarnation(end.head, |head| {
            head.durable_head = end.head;
            head.witness = end.witness();
            head.clean = false;
            head.fence = Fence { position: end.head.next(), incarnation: head.incarnation };
        })
    });
    begun.map_err(|error| cannot_begin(shared, &error))?;
    shared.note_sessions(&head_file.head().sessions);
    Ok(Journal::new(&shared.journal_files, head_file.head(), end))
}

/// Has HEAD say, durably, which version what is written next needs.
fn raise_format_version(shared: &SharedStore, needed: FormatVersion) -> Result<(), AppendError> {
    let raised = shared.lock_head_file().raise_format_version(needed);
    raised.map_err(|error| cannot_begin(shared, &error))
}

/// HEAD could not be changed before what needs it: nothing of that is written, nor of anything else.
fn cannot_begin(shared: &SharedStore, error: &StorageError) -> AppendError {
    let failure = StoreFailure::from(error);
    shared.progress.fail(failure.clone());
    failure.into()
}
