//! The background thread that turns the tail into blocks: into sled, and into segments for
//! which the journal files are given up. It also makes the next journal file ready, and notes in
//! HEAD how far the store is durable.

mod archive;
mod batch;

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use spacefold_event_core::{Records, StorageError};

use self::batch::SealBatch;
use crate::{
    block::EncodedBlock, block::plan::give_way, log_copy::LogCopy, log_copy::SledError, opener,
    reserve, shared::SharedStore, unfiled::Unfiled, unfiled::UnfiledBlock, watch::WATCH_INTERVAL,
};

/// Bytes of blocks that make a segment; fewer do when journal files are needed.
const SEGMENT_BYTES: usize = 8 << 20;
/// Bytes of blocks that closing leaves in no segment at most: the next opening has them, and what
/// fills no block, in the tail.
const CLOSING_FILE_BYTES: usize = 1 << 20;
/// Blocks after which sled's copy is synced, so that opening has less to catch up with.
const BLOCKS_BETWEEN_CHECKPOINTS: u64 = 2_048;
/// How long HEAD may lag behind the durable head.
const HEAD_LAG: Duration = Duration::from_secs(1);

/// How often sled's copy may turn out to be wrong before one block is in it.
const MAX_REBUILDS: u32 = 8;

/// How often the bytes that the store takes are counted, where they are limited: what is written in
/// between is added.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

const SYNCING: &str = "syncing sled's copy";

pub(crate) struct Sealer {
    shared: Arc<SharedStore>,
    reserve_bytes: u64,
    /// The next blocks, encoded ahead.
    encoded: Option<SealBatch>,
    unarchived: Unfiled,
    /// What wakes it. Those who file use it too: more may have become due meanwhile.
    wake: Weak<Sender<()>>,
    blocks_since_checkpoint: u64,
    /// Every full block is made then.
    is_closing: bool,
    /// How often sled's copy was made anew since the last block.
    rebuilds: u32,
    /// When HEAD must be brought up to the durable head.
    head_due: Option<Instant>,
    /// When it is to be looked for the folder again.
    watch_due: Instant,
    /// When bytes are to be counted again, where they are limited.
    count_due: Instant,
    /// Makes sled's copy, if the store was opened without one.
    opener: Option<thread::JoinHandle<()>>,
}

/// Why a block was not sealed.
enum SealError {
    /// Sled's copy is wrong.
    CopyWrong(StorageError),
    Failed(StorageError),
}

impl From<StorageError> for SealError {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

fn seal_error(doing: &str, error: SledError) -> SealError {
    match error {
        SledError::Broken(_) => SealError::CopyWrong(StorageError::new(doing, error)),
        error => SealError::Failed(StorageError::new(doing, error)),
    }
}

/// The sealer of an open store.
pub(crate) enum RunningSealer {
    /// It ends when nobody can wake it any more.
    Thread(thread::JoinHandle<()>),
    /// It works when it is told to, in the thread that tells it.
    Stepped(Box<Sealer>),
}

impl RunningSealer {
    /// Ends it, once all that wakes it is gone.
    pub(crate) fn finish(self) -> thread::Result<()> {
        match self {
            Self::Thread(thread) => thread.join(),
            Self::Stepped(mut sealer) => {
                sealer.finish();
                Ok(())
            }
        }
    }

    /// Does what is to be done now; with `notes_head`, what would be due in a while too.
    #[cfg(test)]
    pub(crate) fn step(&mut self, notes_head: bool) {
        if let Self::Stepped(sealer) = self {
            sealer.step(notes_head);
        }
    }
}

/// Starts the sealer.
pub(crate) fn start(
    shared: &Arc<SharedStore>,
    reserve_bytes: u64,
    wake: &Arc<Sender<()>>,
    woken: Receiver<()>,
) -> Result<RunningSealer, StorageError> {
    let sealer = Sealer {
        shared: Arc::clone(shared),
        reserve_bytes,
        encoded: None,
        unarchived: Unfiled::default(),
        wake: Arc::downgrade(wake),
        blocks_since_checkpoint: 0,
        is_closing: false,
        rebuilds: 0,
        head_due: None,
        watch_due: Instant::now() + WATCH_INTERVAL,
        count_due: Instant::now() + COUNT_INTERVAL,
        opener: None,
    };
    if shared.folder.environment().is_stepped {
        return Ok(RunningSealer::Stepped(Box::new(sealer)));
    }
    let thread = thread::Builder::new().name("spacefold-sealer".to_owned());
    let thread = thread.spawn(move || sealer.run(&woken));
    let thread = thread.map_err(|error| StorageError::new("starting the sealer thread", error))?;
    Ok(RunningSealer::Thread(thread))
}

impl Sealer {
    fn run(mut self, woken: &Receiver<()>) {
        if self.shared.progress.failure().is_some() {
            // Opened to be read only.
            return;
        }
        // Also once before anybody calls: opening may have left much to do.
        let mut outcome = self.work();
        while outcome.is_ok() {
            let due = self.head_due.map_or(self.watch_due, |due| due.min(self.watch_due));
            outcome = match woken.recv_deadline(due) {
                Ok(()) => self.work(),
                Err(RecvTimeoutError::Timeout) => self.do_what_is_due(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
        }
        match outcome {
            Ok(()) => self.finish(),
            failed => self.note_failure(failed),
        }
        if self.opener.take().is_some_and(|opener| opener.join().is_err()) {
            tracing::error!("the thread that makes sled's copy has panicked");
        }
    }

    /// Makes every full block, unless appends are refused.
    fn finish(&mut self) {
        if self.shared.progress.failure().is_none() {
            self.is_closing = true;
            let outcome = self.work().and_then(|()| self.file_at_closing());
            self.note_failure(outcome);
        }
    }

    #[cfg(test)]
    fn step(&mut self, notes_head: bool) {
        if self.shared.progress.failure().is_none() {
            let mut outcome = self.work();
            if outcome.is_ok() && notes_head && self.head_due.is_some() {
                outcome = self.note_durable_head();
            }
            self.note_failure(outcome);
        }
    }

    fn note_failure(&self, outcome: Result<(), StorageError>) {
        if let Err(error) = outcome {
            let error = self.shared.fail(error);
            tracing::error!(%error, "the sealer failed: appends are refused until reopened");
        }
    }

    fn work(&mut self) -> Result<(), StorageError> {
        self.prepare_file()?;
        self.watch_folder()?;
        while self.may_seal() && self.seal_next()? {
            self.prepare_file()?;
            self.watch_folder()?;
        }
        self.count_bytes();
        // What was sealed while others were archived: appends may wait for the files that it is in.
        if self.shared.journal_files.are_full() {
            self.file_when_due()?;
            self.let_appends_exceed_the_files();
        }
        if self.shared.progress.durable_head() > self.head_file_durable_head() {
            self.head_due.get_or_insert_with(|| Instant::now() + HEAD_LAG);
            self.shared.is_head_note_due.store(true, Ordering::Relaxed);
            self.make_reserve(!self.shared.needs_no_copy());
        }
        Ok(())
    }

    /// Counts the bytes that the log takes, where they are limited, once a second at the most.
    fn count_bytes(&mut self) {
        let now = Instant::now();
        if self.shared.quota.max().is_some() && self.count_due <= now {
            self.shared.count_bytes();
            self.count_due = now + COUNT_INTERVAL;
        }
    }

    /// Sets space aside: what the store, which has a copy in sled or has none, may need to be opened.
    fn make_reserve(&self, has_copy: bool) {
        let folder = &self.shared.folder;
        let bytes = match has_copy {
            true => self.reserve_bytes,
            false => reserve::without_copy(folder).min(self.reserve_bytes),
        };
        reserve::make(folder, bytes);
    }

    /// Whether blocks are to be made, and can be: while another thread is about to open sled's copy they
    /// wait, unless there is no time left.
    fn may_seal(&mut self) -> bool {
        if self.shared.leaves_copy_alone() {
            return false;
        }
        if self.is_closing {
            return !self.shared.needs_no_copy();
        }
        if !self.shared.wants_blocks() {
            return false;
        }
        let is_stepped = self.shared.folder.environment().is_stepped;
        if !is_stepped && self.opener.is_none() && self.shared.copy.is_missing() {
            self.make_copy_behind();
        }
        !self.shared.copy.is_awaited()
    }

    /// Begins to make the copy that the store has done without so far: files of the journal are made
    /// ready meanwhile.
    fn make_copy_behind(&mut self) {
        // Before there is one, which may need it to be opened again.
        self.make_reserve(true);
        // Where there is no thread to be had the sealer opens it.
        self.opener = opener::start(&self.shared, Weak::clone(&self.wake), false);
    }

    /// Where all files are full and none can be given up, since what is in them fills no block, an
    /// append begins another one: nobody else would make room for it.
    fn let_appends_exceed_the_files(&self) {
        if !self.shared.progress.is_archiving() {
            self.shared.progress.update(|state| state.files_are_full = false);
        }
    }

    fn do_what_is_due(&mut self) -> Result<(), StorageError> {
        self.watch_folder()?;
        if self.head_due.is_some_and(|due| due <= Instant::now()) {
            return self.note_durable_head();
        }
        Ok(())
    }

    /// Looks for the folder of the store, if it is time to.
    fn watch_folder(&mut self) -> Result<(), StorageError> {
        if Instant::now() < self.watch_due {
            return Ok(());
        }
        self.watch_due = Instant::now() + WATCH_INTERVAL;
        self.shared.check_folder()
    }

    fn prepare_file(&self) -> Result<(), StorageError> {
        let files = &self.shared.journal_files;
        if files.prepare_wanted()? {
            self.shared.progress.update(|state| state.files_are_full = files.are_full());
        }
        Ok(())
    }

    fn head_file_durable_head(&self) -> spacefold_event_core::Position {
        let head_file = self.shared.head_file.lock();
        head_file.head().durable_head
    }

    fn note_durable_head(&mut self) -> Result<(), StorageError> {
        self.head_due = None;
        self.shared.is_head_note_due.store(false, Ordering::Relaxed);
        self.shared.note_durable_head()
    }

    /// Makes the next blocks of the tail; whether to look for more. When sled's copy turns out to be
    /// wrong it is made anew.
    fn seal_next(&mut self) -> Result<bool, StorageError> {
        let shared = Arc::clone(&self.shared);
        let failed = |error| StorageError::new("making a block", error);
        if shared.copy.is_missing() && !shared.copy.is_awaited() {
            self.make_reserve(true);
        }
        shared.sled().map_err(failed)?;
        let maintenance = shared.maintenance.lock();
        let sled = shared.copy.opened().map_err(failed)?;
        let sealed = self.seal_batch(sled.as_ref());
        drop(maintenance);
        match sealed {
            Err(SealError::CopyWrong(error)) if self.rebuilds < MAX_REBUILDS => {
                self.rebuilds += 1;
                self.unarchived = Unfiled::default();
                shared.rebuild_copy(&sled, error).map_err(|error| {
                    StorageError::new("rebuilding sled's copy of the log", error)
                })?;
                Ok(true)
            }
            Err(SealError::CopyWrong(error) | SealError::Failed(error)) => Err(error),
            Ok(has_sealed) => {
                self.rebuilds = 0;
                Ok(has_sealed)
            }
        }
    }

    /// Makes the next blocks of the tail, if that fills some; whether it did. While they are put where
    /// they belong, those behind them are encoded.
    fn seal_batch(&mut self, sled: &dyn LogCopy) -> Result<bool, SealError> {
        let (from, previous) = {
            let view = self.shared.view();
            (view.index.end().next(), view.index.last_hash())
        };
        let ahead = self.encoded.take().filter(|batch| batch.follows(from, previous));
        let batch =
            ahead.unwrap_or_else(|| SealBatch::behind(from, previous)).encode(&self.shared)?;
        self.take_unarchived();
        let Some((from, previous)) = batch.end() else {
            return Ok(false);
        };
        if batch.is_longest() {
            let shared = Arc::clone(&self.shared);
            let (put, encoded) = thread::scope(|scope| {
                let encode = move || SealBatch::behind(from, previous).encode(&shared);
                // Where there is no thread to be had the next round does it.
                let encoder = thread::Builder::new().spawn_scoped(scope, encode).ok();
                (self.put_batch(sled, batch), encoder.map(ScopedJoinHandle::join))
            });
            put?;
            let panicked = |_| StorageError::new("making a block", "the encoder panicked");
            self.encoded = encoded.map(|encoded| encoded.map_err(panicked)?).transpose()?;
        } else {
            self.put_batch(sled, batch)?;
        }
        Ok(true)
    }

    /// Takes the blocks of earlier sessions that no segment has.
    fn take_unarchived(&mut self) {
        let earlier = std::mem::take(&mut *self.shared.unarchived.lock());
        earlier.into_iter().for_each(|block| self.unarchived.push(block));
    }

    fn put_batch(&mut self, sled: &dyn LogCopy, batch: SealBatch) -> Result<(), SealError> {
        self.shared
            .note_lineage(sled)
            .map_err(|error| seal_error("noting what sled's copy knows", error))?;
        if batch.blocks.len() > 1 {
            let places = batch.blocks.iter();
            let mut places =
                places.map(|(records, block)| (records.first_position(), block.bytes.len()));
            sled.keep_places(&mut places)
                .map_err(|error| seal_error("keeping places for blocks", error))?;
        }
        for (records, encoded) in batch.blocks {
            self.seal(sled, &records, encoded)?;
        }
        // Opening takes the rest of the journal to be behind the blocks.
        self.shared
            .note_lineage(sled)
            .map_err(|error| seal_error("noting what sled's copy knows", error))
    }

    /// Puts a block where it belongs, and shows it to readers.
    fn seal(
        &mut self,
        sled: &dyn LogCopy,
        records: &Records,
        encoded: EncodedBlock,
    ) -> Result<(), SealError> {
        let first = records.first_position();
        sled.put_block(first, &encoded.bytes)
            .map_err(|error| seal_error(&format!("putting the block at {first}"), error))?;
        give_way();
        self.shared.view_mut().seal(records, encoded.hash);
        self.shared.copy_changed.store(true, Ordering::Relaxed);
        self.shared.announce();
        self.blocks_since_checkpoint += 1;
        self.unarchived.push(UnfiledBlock::of(records, encoded));
        self.file_when_due()?;
        if self.blocks_since_checkpoint >= BLOCKS_BETWEEN_CHECKPOINTS {
            sync_copy(&self.shared, sled)?;
            self.blocks_since_checkpoint = 0;
        }
        Ok(())
    }

    /// Begins to file what is in no segment when that is enough for one, or when journal files
    /// are needed and nothing else is being archived.
    fn file_when_due(&mut self) -> Result<(), StorageError> {
        let bytes = self.unarchived.bytes();
        let are_files_needed = || {
            let through = self.shared.view().index.end();
            self.shared.journal_files.should_give_up_through(through)
        };
        let is_due = bytes >= SEGMENT_BYTES
            || (bytes > 0 && !self.shared.progress.is_archiving() && are_files_needed());
        if is_due { self.file_blocks() } else { Ok(()) }
    }

    /// Puts the blocks that are in no segment into one, if there is much of them: the next opening reads
    /// them out of the journal else.
    fn file_at_closing(&mut self) -> Result<(), StorageError> {
        if self.unarchived.bytes() >= CLOSING_FILE_BYTES { self.file_blocks() } else { Ok(()) }
    }

    /// Begins to put the blocks that are in no segment into one, once those before them are.
    fn file_blocks(&mut self) -> Result<(), StorageError> {
        self.shared.progress.wait_until_archived();
        if let Some(failure) = self.shared.progress.failure() {
            return Err(failure.while_doing("archiving blocks"));
        }
        let blocks = self.unarchived.take();
        archive::start(&self.shared, blocks, Weak::clone(&self.wake))
    }
}

/// Syncs sled's copy, so that the next opening finds what is in it.
pub(crate) fn checkpoint(shared: &SharedStore) -> Result<(), StorageError> {
    let _maintenance = shared.maintenance.lock();
    let sled = shared.copy.opened().map_err(|error| StorageError::new(SYNCING, error))?;
    sync_copy(shared, sled.as_ref()).map_err(|error| match error {
        SealError::CopyWrong(error) | SealError::Failed(error) => error,
    })
}

fn sync_copy(shared: &SharedStore, sled: &dyn LogCopy) -> Result<(), SealError> {
    shared.copy_changed.store(false, Ordering::Relaxed);
    sled.sync().map_err(|error| seal_error(SYNCING, error))
}

#[cfg(test)]
mod tests;
