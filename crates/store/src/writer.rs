//! The one thread that decides: positions, revisions, times, conditions, and what is durable.

use std::{cell::RefCell, sync::Arc, thread};

use crossbeam_channel::{Receiver, Sender};
use rustc_hash::FxHashMap;
use spacefold_event_core::{
    AppendError, EventFilter, EventId, Position, Read, ReadError, Receipt, RecordedEvent, Records,
    Revision, StorageError, Timestamp,
    append_rules::{self, AppendView, Proposal, RetryWindow, Verdict},
};

use crate::{
    folder::now,
    journal::{Journal, JournalEnd},
    shared::{Shared, recorded_event},
    view::tail::TailRun,
};

/// Bytes of frames at which a group is closed.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// What is asked of the writer.
pub(crate) enum Request {
    Append { proposal: Box<Proposal>, answer: Sender<Result<Receipt, AppendError>> },
    Close,
}

/// The writer's own state.
struct Writer {
    shared: Arc<Shared>,
    end: JournalEnd,
    /// Opened by the first append.
    journal: Option<Journal>,
    window: RefCell<Option<RetryWindow>>,
    retry_window_events: usize,
    sealer: Sender<()>,
}

/// Starts the writer; it ends when it is asked to close or nobody can ask any more.
pub(crate) fn start(
    shared: &Arc<Shared>,
    end: JournalEnd,
    retry_window_events: usize,
    requests: Receiver<Request>,
    sealer: Sender<()>,
) -> Result<thread::JoinHandle<JournalEnd>, StorageError> {
    let mut writer = Writer {
        shared: Arc::clone(shared),
        end,
        journal: None,
        window: RefCell::new(None),
        retry_window_events,
        sealer,
    };
    thread::Builder::new()
        .name("spacefold-writer".to_owned())
        .spawn(move || writer.run(&requests))
        .map_err(|error| StorageError::new("starting the writer thread", error))
}

impl Writer {
    fn run(&mut self, requests: &Receiver<Request>) -> JournalEnd {
        let mut closing = false;
        while !closing {
            let Ok(first) = requests.recv() else { break };
            let mut group = Group::new(&self.shared, &self.window, self.retry_window_events);
            let mut next = Some(first);
            let mut answers = Vec::new();
            while let Some(request) = next.take() {
                match request {
                    Request::Close => {
                        closing = true;
                        break;
                    }
                    Request::Append { proposal, answer } => {
                        let outcome = match refusal(&self.shared) {
                            Some(refused) => Err(refused),
                            None => accept(
                                &mut group,
                                &mut self.journal,
                                &self.shared,
                                self.end,
                                &proposal,
                            ),
                        };
                        answers.push((answer, outcome));
                    }
                }
                let bytes = self.journal.as_ref().map_or(0, Journal::group_bytes);
                if bytes < MAX_GROUP_BYTES {
                    next = requests.try_recv().ok();
                }
            }
            let (head, runs) = (group.head, group.runs);
            if cfg!(feature = "bug-ack-early") {
                for (answer, outcome) in answers.extract_if(.., |(_, outcome)| outcome.is_ok()) {
                    let _ = answer.send(outcome);
                }
            }
            let committed = if runs.is_empty() { Ok(()) } else { self.commit(head, runs) };
            for (answer, outcome) in answers {
                let outcome = match (&committed, outcome) {
                    (Err(error), Ok(receipt))
                        if receipt.position() > self.shared.durable_head() =>
                    {
                        Err(AppendError::OutcomeUnknown(error.clone()))
                    }
                    (_, outcome) => outcome,
                };
                // Whoever does not wait for the answer any more does not need it.
                let _ = answer.send(outcome);
            }
        }
        self.journal.as_ref().map_or(self.end, Journal::end)
    }

    /// Makes the group durable and shows it to readers.
    fn commit(&mut self, head: Position, runs: Vec<TailRun>) -> Result<(), StorageError> {
        self.shared.wait_for_room();
        let Some(journal) = &mut self.journal else {
            return Err(StorageError::new("committing a group", "no journal is open"));
        };
        if let Err(error) = journal.commit(head) {
            tracing::error!(%error, "the journal failed: appends are refused until reopened");
            self.shared.fail(&error);
            return Err(error);
        }
        let mut view = self.shared.view_mut();
        runs.into_iter().for_each(|run| view.publish(run));
        drop(view);
        self.shared.announce();
        // A sealer that was told already looks again anyway.
        let _ = self.sealer.try_send(());
        Ok(())
    }
}

/// Why the store takes no appends, if it does not.
fn refusal(shared: &Shared) -> Option<AppendError> {
    shared.failure().map(|reason| AppendError::Refused { reason })
}

/// Decides one append against everything before it, the earlier ones of its group included, and
/// adds it to the group if it may happen.
fn accept(
    group: &mut Group<'_>,
    journal: &mut Option<Journal>,
    shared: &Shared,
    end: JournalEnd,
    proposal: &Proposal,
) -> Result<Receipt, AppendError> {
    if let Verdict::AlreadyStored(receipt) = append_rules::decide(proposal, group)? {
        return Ok(receipt);
    }
    let records = proposal.assign(group, group.last_recorded_at, now())?;
    let journal = match journal {
        Some(journal) => journal,
        None => journal.insert(begin(shared, end)?),
    };
    journal.add(&records, proposal.body());
    let receipt = records.receipt(true);
    group.push(TailRun { records, body_bytes: proposal.body().bytes.len() });
    Ok(receipt)
}

/// Takes a new incarnation, recorded and synced before anything is written under it.
fn begin(shared: &Shared, end: JournalEnd) -> Result<Journal, AppendError> {
    let mut head_file = shared.head_file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let begun = head_file.begin_incarnation(|head| {
        head.durable_head = end.head;
        head.clean = false;
    });
    if let Err(error) = begun {
        shared.fail(&error);
        return Err(AppendError::Refused { reason: error.to_string() });
    }
    Ok(Journal::new(&shared.folder, shared.store_id, head_file.head().incarnation, end))
}

/// The appends that become durable together, and the log as it will be after them.
struct Group<'w> {
    shared: &'w Shared,
    window: &'w RefCell<Option<RetryWindow>>,
    retry_window_events: usize,
    durable_head: Position,
    head: Position,
    last_recorded_at: Timestamp,
    revisions: FxHashMap<String, Revision>,
    runs: Vec<TailRun>,
}

impl<'w> Group<'w> {
    fn new(
        shared: &'w Shared,
        window: &'w RefCell<Option<RetryWindow>>,
        retry_window_events: usize,
    ) -> Self {
        let (durable_head, last_recorded_at) = {
            let view = shared.view();
            (view.durable_head(), view.last_recorded_at())
        };
        Self {
            shared,
            window,
            retry_window_events,
            durable_head,
            head: durable_head,
            last_recorded_at,
            revisions: FxHashMap::default(),
            runs: Vec::new(),
        }
    }

    fn push(&mut self, run: TailRun) {
        self.head = run.records.last_position();
        self.last_recorded_at = run.records.last_recorded_at();
        for (space_id, _, after) in run.records.spaces() {
            self.revisions.insert(space_id.to_owned(), after);
        }
        if let Some(window) = self.window.borrow_mut().as_mut() {
            run.records.event_ids().iter().for_each(|id| window.push(*id));
        }
        self.runs.push(run);
    }

    fn records(&self) -> impl Iterator<Item = &Records> {
        self.runs.iter().map(|run| &run.records)
    }

    /// Loads the ids of the newest events, those of the group included.
    fn load_window(&self) -> Result<RetryWindow, ReadError> {
        let events = u64::try_from(self.retry_window_events).unwrap_or(u64::MAX);
        let before = Position::new(self.durable_head.since(Position::new(events)));
        let mut window = RetryWindow::new(self.retry_window_events, before);
        let mut next = before.next();
        while next <= self.durable_head {
            let Some(records) = self.shared.records_at(next)? else {
                break;
            };
            let skipped = next.since(records.first_position());
            let ids = records.event_ids().iter().skip(usize::try_from(skipped).unwrap_or(0));
            ids.for_each(|id| window.push(*id));
            next = records.last_position().next();
        }
        self.records().flat_map(Records::event_ids).for_each(|id| window.push(*id));
        Ok(window)
    }
}

impl AppendView for Group<'_> {
    fn head(&self) -> Position {
        self.head
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        let own = self.revisions.get(space_id).copied();
        Ok(own.unwrap_or_else(|| self.shared.view().revision(space_id)))
    }

    fn position_of(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Result<Option<Position>, ReadError> {
        if let Some(position) = self.shared.position_of(space_id, revision)? {
            return Ok(Some(position));
        }
        let mut envelopes = self.records().flat_map(Records::envelopes);
        let found = envelopes.find(|e| e.space_id == space_id && e.revision == revision);
        Ok(found.map(|event| event.position))
    }

    fn find(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        let mut slot = self.window.borrow_mut();
        let window = match &mut *slot {
            Some(window) => window,
            empty => empty.insert(self.load_window()?),
        };
        Ok(window.find(id))
    }

    fn event(&self, position: Position) -> Result<Option<RecordedEvent>, ReadError> {
        if position <= self.durable_head {
            return self.shared.event(position);
        }
        let holds = |records: &&Records| {
            (records.first_position()..=records.last_position()).contains(&position)
        };
        self.records().find(holds).map_or(Ok(None), |records| recorded_event(records, position))
    }

    fn first_match(
        &self,
        filter: &EventFilter,
        after: Position,
    ) -> Result<Option<(Position, EventId)>, ReadError> {
        let mut next = after.next();
        while next <= self.durable_head {
            let page = self.shared.read(&Read::from(next).matching(filter.clone()).limit(1))?;
            if let Some(event) = page.envelopes().next() {
                return Ok(Some((event.position, event.event_id)));
            }
            next = page.next();
        }
        for records in self.records() {
            let selected = filter.select(records);
            let position = records.first_position();
            let selected = selected.map_err(|cause| ReadError::Corrupt { position, cause })?;
            let mut envelopes = selected.into_iter().filter_map(|index| records.envelope(index));
            if let Some(event) = envelopes.find(|event| event.position > after) {
                return Ok(Some((event.position, event.event_id)));
            }
        }
        Ok(None)
    }
}
