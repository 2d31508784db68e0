//! The log of one of several machines: what is appended goes through the shared blocks, what is read
//! comes from a log of its own that follows them.

mod opening;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use spacefold_disk::Folder;
use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventId, EventLog, EventOrigin, FailedCondition,
    Ingested, LogIdentity, LogOrigin, LogReader, LogWriter, Page, PendingAppend, Position,
    ReadError, ReadRequest, Receipt, RecordedEvent, Revision, Schemas, Timestamp,
    append_rules::{self, AppendView, KeysLookedFor, LookedFor, Proposal},
    closing::CloseOnce,
    lock::Lock,
};

use crate::{
    block_log::BlockLog,
    bookmark,
    error::BlockDamage,
    flight::{ReplicatedSubmission, outcome_unknown},
    replica::Replica,
    wake::Wake,
};

/// The longest that a thread waits without looking around.
const LOOK_AROUND: Duration = Duration::from_millis(200);
/// How long the first flight waits before it is put again, and how long that may become.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long a group of another writer that is there in part is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest that whoever has won pauses for those who have lost.
const LONGEST_YIELD: Duration = Duration::from_millis(20);
/// Blocks after which the bookmark is written again.
const BOOKMARK_BLOCKS: u64 = 1_024;

/// How a replicated log is opened.
#[derive(Clone, Debug)]
pub struct ReplicatedOptions {
    pub(crate) append_timeout: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) damage_after: Duration,
    pub(crate) bookmark: Option<Arc<dyn Folder>>,
}

impl Default for ReplicatedOptions {
    fn default() -> Self {
        Self {
            append_timeout: Duration::from_secs(30),
            open_timeout: Duration::from_secs(30),
            damage_after: Duration::from_secs(5),
            bookmark: None,
        }
    }
}

impl ReplicatedOptions {
    /// How long an append may take; 30 s unless told. One that has not left by then is refused, one
    /// that has is answered [`AppendError::OutcomeUnknown`].
    #[must_use]
    pub const fn append_timeout(mut self, timeout: Duration) -> Self {
        self.append_timeout = timeout;
        self
    }

    /// How long opening waits for a backend that does not answer; 30 s unless told.
    #[must_use]
    pub const fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// How long a block is asked for that the backend says to be there, until it counts as missing; 5 s
    /// unless told.
    #[must_use]
    pub const fn damage_after(mut self, time: Duration) -> Self {
        self.damage_after = time;
        self
    }

    /// A folder for the note of how far the blocks were read. Without one, every opening reads all of
    /// them.
    #[must_use]
    pub fn bookmark_in(mut self, folder: Arc<dyn Folder>) -> Self {
        self.bookmark = Some(folder);
        self
    }
}

/// An [`EventLog`] that several machines share, as one of them has it.
///
/// Appends are decided here, against everything this process has read, and put into the next free place
/// of the blocks; whoever else was first there makes it decide again. What lands is followed into a
/// log of this process alone, from which everything is read: reads are as fast as that log's, and behind
/// the others by the network.
///
/// # Durability
/// An append is answered once its block is in its place, which the backend promises to keep, and its
/// events are in the log of this process. It is never answered by what only this process has.
///
/// # Several writers
/// The place of a block is the only arbiter: no lease, no leader and no clock decides anything. An answer
/// that a condition does not hold, where a later event could make it hold, is confirmed by a block of its
/// own, some 200 bytes, so that it is true of the whole log and not of what this process has read.
///
/// # Damage
/// A block that is missing, is no block, or does not follow is never passed over: nothing beyond it is
/// taken in or appended, [`ReplicatedLog::damage`] says which, and it is asked for again.
pub struct ReplicatedLog<B: BlockLog> {
    shared: Arc<LogShared<B>>,
    threads: Lock<Vec<JoinHandle<()>>>,
    closing: CloseOnce<()>,
}

/// What the threads of a replicated log share.
struct LogShared<B> {
    blocks: B,
    log: Arc<dyn EventLog>,
    identity: LogIdentity,
    options: ReplicatedOptions,
    replica: Lock<Replica>,
    wake: Arc<Wake>,
    is_closing: AtomicBool,
    trouble: Lock<Trouble>,
    /// The place that the bookmark was written for.
    marked: Lock<u64>,
}

/// What is in the way of reading on.
#[derive(Debug, Default)]
struct Trouble {
    damage: Option<BlockDamage>,
    /// What the backend answered last, if it failed.
    unreachable: Option<String>,
    /// Since when a place is asked for that should be taken.
    missing_since: Option<(u64, Instant)>,
}

impl Trouble {
    fn describe(&self) -> String {
        match (&self.damage, &self.unreachable) {
            (Some(damage), _) => format!("the shared log is damaged: {damage}"),
            (None, Some(why)) => format!("the shared log cannot be reached: {why}"),
            (None, None) => "the shared log did not answer in time".to_owned(),
        }
    }
}

impl<B: BlockLog> ReplicatedLog<B> {
    /// What is wrong with the blocks, as far as that is known; `None` while nothing is. It is asked for
    /// again and again, and is gone once another replica gives it whole.
    #[must_use]
    pub fn damage(&self) -> Option<BlockDamage> {
        self.shared.trouble.lock().damage.clone()
    }

    /// How many blocks were read and taken in.
    #[must_use]
    pub fn blocks_read(&self) -> u64 {
        self.shared.replica.lock().tail().next - 1
    }

    /// The backend.
    #[must_use]
    pub fn blocks(&self) -> &B {
        &self.shared.blocks
    }

    /// Waits for the appends under way, as long as each may take, and ends the threads. The log that
    /// follows is for its owner to close.
    pub fn close(&self) {
        self.closing.run(|| {
            self.shared.is_closing.store(true, Ordering::SeqCst);
            self.shared.wake.notify();
            for thread in self.threads.lock().drain(..) {
                let _ = thread.join();
            }
            self.shared.replica.lock().stop();
            self.shared.bookmark(0);
        });
    }

    fn submit_proposal(&self, proposal: Proposal) -> Result<PendingAppend, AppendError> {
        let lost = || Err(outcome_unknown("the thread that commits has ended"));
        let (answer, pending) = PendingAppend::new(lost);
        let deadline = Instant::now() + self.shared.options.append_timeout;
        let mut replica = self.shared.replica.lock();
        if self.shared.is_closing.load(Ordering::SeqCst) {
            return Err(AppendError::Closed);
        }
        replica.submit(ReplicatedSubmission { proposal: Box::new(proposal), answer, deadline });
        drop(replica);
        self.shared.wake.notify();
        Ok(pending)
    }

    /// Looks for what the log that follows tells of an append, in the caller's thread.
    fn look_ahead(&self, proposal: &mut Proposal) -> Result<(), AppendError> {
        let log = &*self.shared.log;
        let through = log.durable_head();
        let mut first = 0;
        let mut found = None;
        for ids in proposal.event_ids() {
            let stored = log.find_events(ids)?;
            let place = stored.iter().position(Option::is_some);
            if let Some(index) = place {
                found = stored.get(index).copied().flatten().map(|at| (first + index, at));
                break;
            }
            first += ids.len();
        }
        proposal.note_ids(KeysLookedFor { through, found });
        if found.is_none() {
            proposal.look_for_matches(log)?;
        }
        Ok(())
    }
}

impl<B: BlockLog> LogShared<B> {
    /// Reads on as far as the backend gives blocks: whether there were any.
    fn catch_up(&self) -> bool {
        let mut has_come_on = false;
        loop {
            let next = self.replica.lock().tail().next;
            match self.blocks.get(next) {
                Ok(blocks) if blocks.is_empty() => {
                    self.look_for_missing(next);
                    return has_come_on;
                }
                Ok(blocks) => {
                    let taken = self.replica.lock().take_blocks(next, &blocks);
                    let is_whole = taken.is_ok();
                    self.note(taken);
                    let now_next = self.replica.lock().tail().next;
                    if now_next > next {
                        has_come_on = true;
                        self.wake.notify();
                    }
                    if !is_whole || now_next == next {
                        return has_come_on;
                    }
                }
                Err(error) => {
                    self.trouble.lock().unreachable = Some(error.to_string());
                    return has_come_on;
                }
            }
        }
    }

    fn note(&self, taken: Result<(), BlockDamage>) {
        let mut trouble = self.trouble.lock();
        trouble.unreachable = None;
        match taken {
            Ok(()) => {
                trouble.damage = None;
                trouble.missing_since = None;
            }
            Err(damage) if trouble.damage.as_ref() != Some(&damage) => {
                tracing::error!(backend = %self.blocks.name(), %damage, "the shared log is damaged");
                trouble.damage = Some(damage);
            }
            Err(_) => {}
        }
    }

    /// A place that is said to be taken and is not given counts as missing after a while.
    fn look_for_missing(&self, place: u64) {
        let hint = self.blocks.head_hint();
        let mut trouble = self.trouble.lock();
        match hint {
            Ok(head) if head >= place => {
                let now = Instant::now();
                let since = trouble.missing_since.filter(|(missing, _)| *missing == place);
                let (_, since) = *trouble.missing_since.insert(since.unwrap_or((place, now)));
                if now.duration_since(since) >= self.options.damage_after {
                    drop(trouble);
                    self.note(Err(BlockDamage::Missing { place, head }));
                }
            }
            Ok(_) => {
                trouble.missing_since = None;
                trouble.unreachable = None;
                // What is beyond the last place is not missing any more.
                if matches!(trouble.damage, Some(BlockDamage::Missing { .. })) {
                    trouble.damage = None;
                }
            }
            Err(error) => trouble.unreachable = Some(error.to_string()),
        }
    }

    /// Notes how far the blocks were read, if that is `blocks` further than was noted last.
    fn bookmark(&self, blocks: u64) {
        let Some(folder) = &self.options.bookmark else { return };
        let tail = self.replica.lock().tail().clone();
        let mut marked = self.marked.lock();
        if tail.next < *marked + blocks.max(1) {
            return;
        }
        match bookmark::write(folder, &tail) {
            Ok(()) => *marked = tail.next,
            Err(error) => tracing::warn!(%error, "how far the blocks were read was not noted"),
        }
    }

    /// The thread that commits.
    fn commit(&self) {
        let mut pause = FIRST_PAUSE;
        let mut begun_since: Option<(u64, Instant)> = None;
        loop {
            let begun = Instant::now();
            if self.may_put(&mut begun_since) {
                while let Some(put) = {
                    let mut replica = self.replica.lock();
                    replica.next_put(begun)
                } {
                    self.blocks.put_if_absent(put.place, put.block, put.answer);
                }
            }
            let (before, taken) = {
                let mut replica = self.replica.lock();
                let before = replica.tail().next;
                let taken = replica.take_landed();
                (before, taken.map(|()| (replica.tail().next, replica.is_contended())))
            };
            match taken {
                Ok((after, is_contended)) => {
                    if after > before {
                        pause = FIRST_PAUSE;
                        self.bookmark(BOOKMARK_BLOCKS);
                    }
                    if after > before && is_contended {
                        // Whoever has lost has to read the winner's block first.
                        thread::sleep(begun.elapsed().min(LONGEST_YIELD));
                    }
                }
                Err(damage) => self.note(Err(damage)),
            }
            if self.replica.lock().is_in_doubt() {
                let place = self.replica.lock().tail().next;
                if self.catch_up() {
                    pause = FIRST_PAUSE;
                } else {
                    self.blocks.wait_for(place, pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.catch_up();
                }
                let put = self.replica.lock().put_again();
                if let Some(put) = put {
                    self.blocks.put_if_absent(put.place, put.block, put.answer);
                }
            }
            let why = self.trouble.lock().describe();
            let now = Instant::now();
            let (is_idle, next_deadline) = {
                let mut replica = self.replica.lock();
                replica.expire(now, &why);
                (replica.is_idle(), replica.next_deadline())
            };
            if is_idle && self.is_closing.load(Ordering::SeqCst) {
                return;
            }
            let left = next_deadline.map(|at| at.saturating_duration_since(now));
            self.wake.wait(left.unwrap_or(LOOK_AROUND).min(LOOK_AROUND));
        }
    }

    /// Whether a group may be put: one of another writer that is there in part is let come first, for a
    /// while.
    fn may_put(&self, begun_since: &mut Option<(u64, Instant)>) -> bool {
        let replica = self.replica.lock();
        if !replica.waits_for_others() {
            *begun_since = None;
            return true;
        }
        let (next, now) = (replica.tail().next, Instant::now());
        let since = begun_since.filter(|(place, _)| *place == next).unwrap_or((next, now));
        *begun_since = Some(since);
        now.duration_since(since.1) >= PATIENCE
    }

    /// The thread that follows what others put.
    fn follow(&self) {
        while !self.is_closing.load(Ordering::SeqCst) {
            let next = self.replica.lock().tail().next;
            let asked = Instant::now();
            self.blocks.wait_for(next, LOOK_AROUND);
            let has_come_on = self.catch_up();
            self.bookmark(BOOKMARK_BLOCKS);
            if !has_come_on && asked.elapsed() < FIRST_PAUSE {
                // It is said to be there, and is not given.
                thread::sleep(LONGEST_PAUSE / 10);
            }
        }
    }
}

impl<B: BlockLog> LogReader for ReplicatedLog<B> {
    fn identity(&self) -> LogIdentity {
        self.shared.identity
    }

    fn head(&self) -> Position {
        AppendView::head(&self.shared.replica.lock().view())
    }

    fn durable_head(&self) -> Position {
        self.shared.log.durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.shared.log.wait_durable(position, timeout)
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        self.shared.log.read(read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        self.shared.log.read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.shared.log.revision(space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.shared.replica.lock().view().revision(space_id)
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        // What is durable is looked through here, not while the replica is held.
        let looked_for = LookedFor::by(condition, &*self.shared.log)?;
        append_rules::failed_parts(condition, &looked_for, &self.shared.replica.lock().view())
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        let ahead = self.shared.replica.lock().ahead().find(&id);
        ahead.map_or_else(|| self.shared.log.find_event(id), |position| Ok(Some(position)))
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        let ahead: Vec<Option<Position>> = {
            let replica = self.shared.replica.lock();
            origins.iter().map(|origin| replica.ahead().find_origin(origin)).collect()
        };
        let stored = self.shared.log.find_origins(origins)?;
        Ok(ahead.into_iter().zip(stored).map(|(ahead, stored)| stored.or(ahead)).collect())
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.shared.log.position_as_of(time)
    }

    fn origin(&self) -> Option<LogOrigin> {
        self.shared.log.origin()
    }

    fn comes_from(&self, origin: &LogOrigin) -> bool {
        self.shared.log.comes_from(origin)
    }

    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        self.shared.log.spaces_after(after, limit)
    }
}

impl<B: BlockLog> LogWriter for ReplicatedLog<B> {
    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        self.submit(append)?.wait()
    }

    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        let mut proposal = append_rules::propose(append, Schemas::today())?;
        self.look_ahead(&mut proposal)?;
        self.submit_proposal(proposal)
    }

    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError> {
        append_rules::ingest(self, records, Schemas::today(), |proposal| {
            self.submit_proposal(proposal)?.wait()
        })
    }
}

impl<B: BlockLog> Drop for ReplicatedLog<B> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<B: BlockLog> fmt::Debug for ReplicatedLog<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicatedLog").field("blocks", &self.shared.blocks).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
