//! Bringing a follower up to what is proved to be durable: HEAD, then the segments, then the journal
//! behind them, while another process goes on writing all of them.
//!
//! What is read may be of two moments, and then something does not fit. That is no damage: all of it is
//! read again. What does not fit in the same way three times, with HEAD the same and some milliseconds in
//! between, is as it is.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use spacefold_disk::{Access, File, FolderLock};
use spacefold_event_core::{Position, StorageError, StorageErrorKind};

use super::{StoreOwner, journal::JournalCursor};
use crate::{
    block::{
        self,
        index::{BlockIndex, IndexedBlock},
    },
    error::OpenError,
    folder::{HEAD, LOCK, StoreFolder},
    head::Head,
    journal::segments::Segments,
    live::{LIVE, LiveHint},
    recovery::parts::known_head,
    run::RecordRun,
    shared::SharedStore,
    view::LogView,
};

/// How long a hint is believed without a look at HEAD: as long as HEAD may be behind.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// How long is waited before what does not fit is read again: the first time, and where it was the same.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(20)];
/// How often something that does not fit, in another way each time, is read again.
pub(super) const MAX_READS: usize = 1_000;
/// Bytes of blocks that one look takes in, for each new segment that has some: what is new is shown
/// before, and the next look is not far.
const TAKEN_BYTES: usize = 1 << 20;

/// What has been read of the store that is followed.
#[derive(Debug)]
pub(super) struct Following {
    folder: StoreFolder,
    segments: Segments,
    journal: JournalCursor,
    lock: Option<Arc<dyn File>>,
    live: Option<Arc<dyn File>>,
    /// When HEAD was looked at.
    looked_at: Option<Instant>,
    /// When it was looked for the folder.
    found_at: Instant,
    /// Whether the last hint was one to be believed.
    is_told: bool,
}

/// What did not fit, the number of HEAD then, and how often that was so.
#[derive(Debug, Default)]
pub(super) struct Misfit {
    found: (u64, String),
    times: usize,
}

impl Misfit {
    /// Notes what does not fit: it is as it is when it was the same before, and before that too. The
    /// owner may have been interrupted between two of its steps, so some time is let go by.
    pub(super) fn note(&mut self, sequence: u64, error: OpenError) -> Result<(), OpenError> {
        let found = (sequence, error.to_string());
        self.times = if self.found == found { self.times + 1 } else { 0 };
        self.found = found;
        let Some(pause) = PAUSES.get(self.times) else { return Err(error) };
        thread::sleep(*pause);
        Ok(())
    }
}

impl Following {
    pub(super) fn new(folder: &StoreFolder, store_id: [u8; 16], segments: Segments) -> Self {
        Self {
            folder: folder.clone(),
            segments,
            journal: JournalCursor::new(folder, store_id),
            lock: None,
            live: None,
            looked_at: None,
            found_at: Instant::now(),
            is_told: false,
        }
    }

    pub(super) const fn segments(&self) -> &Segments {
        &self.segments
    }

    /// Whether the store has an owner whose hints are to be believed, as far as is known.
    pub(super) const fn is_told(&self) -> bool {
        self.is_told
    }

    /// Whether segments have blocks that the index is yet to take in. Their events are shown.
    pub(super) fn is_behind(&self, shared: &SharedStore) -> bool {
        shared.view().index.end() < self.segments.end()
    }

    /// Shows what has become durable since. Of new segments it takes in a part.
    ///
    /// # Errors
    /// [`OpenError`]: what was shown stays.
    pub(super) fn look(&mut self, shared: &SharedStore) -> Result<(), OpenError> {
        let shown = shared.progress.durable_head();
        let incarnation = shared.lock_head_file().head().incarnation;
        let hint = self.hint(shared.store_id);
        self.is_told = hint.is_some_and(|hint| hint.incarnation == incarnation);
        let is_fresh = self.looked_at.is_some_and(|then| then.elapsed() < BELIEVED_FOR);
        if self.is_told
            && is_fresh
            && hint.is_some_and(|hint| hint.durable_head <= shown)
            // What fails is tried again, with all of it.
            && self.take_in(shared).is_ok()
        {
            return Ok(());
        }
        if self.found_at.elapsed() >= BELIEVED_FOR {
            self.check_folder(shared)?;
            self.found_at = Instant::now();
        }
        self.look_at_all(shared, hint)
    }

    /// Reads everything anew, and shows it: what was read before has turned out not to be there.
    pub(super) fn look_anew(&mut self, shared: &SharedStore) -> Result<(), OpenError> {
        self.until_it_fits(|following| {
            let (head, anew) = following.read_head(shared);
            let anew = anew.and_then(|()| following.read_anew(shared));
            match anew {
                Ok(()) => following.read_once(shared, None),
                Err(error) => (head.sequence, Err(error)),
            }
        })?;
        shared.cache.clear();
        Ok(())
    }

    fn read_anew(&mut self, shared: &SharedStore) -> Result<(), OpenError> {
        self.segments = Segments::open(&self.folder, shared.store_id)?;
        self.journal.begin_anew();
        self.show_anew(shared, Vec::new())
    }

    fn look_at_all(
        &mut self,
        shared: &SharedStore,
        hint: Option<LiveHint>,
    ) -> Result<(), OpenError> {
        self.until_it_fits(|following| following.read_once(shared, hint))
    }

    /// Reads until what is read fits: the number of HEAD, and what came of reading what it says.
    fn until_it_fits(
        &mut self,
        read: impl Fn(&mut Self) -> (u64, Result<(), OpenError>),
    ) -> Result<(), OpenError> {
        let mut misfit = Misfit::default();
        for _ in 0..MAX_READS {
            let (sequence, read) = read(self);
            let Err(error) = read else {
                self.looked_at = Some(Instant::now());
                return Ok(());
            };
            misfit.note(sequence, error)?;
            self.journal.begin_anew();
        }
        Err(moving(&self.folder).into())
    }

    fn read_once(
        &mut self,
        shared: &SharedStore,
        hint: Option<LiveHint>,
    ) -> (u64, Result<(), OpenError>) {
        let (head, read) = self.read_head(shared);
        (head.sequence, read.and_then(|()| self.read_behind(shared, &head, hint)))
    }

    /// HEAD as it is now, or as it was read last, and why.
    fn read_head(&self, shared: &SharedStore) -> (Head, Result<(), OpenError>) {
        let mut head_file = shared.lock_head_file();
        let read = head_file.read_again(&self.folder);
        (head_file.head().clone(), read)
    }

    fn read_behind(
        &mut self,
        shared: &SharedStore,
        head: &Head,
        hint: Option<LiveHint>,
    ) -> Result<(), OpenError> {
        if head.store_id != shared.store_id || head.identity != shared.identity {
            let what = "another store, or another timeline of it, is in its place";
            return Err(gone(&self.folder, what).into());
        }
        shared.note_sessions(&head.sessions);
        let shown = shared.progress.durable_head();
        if head.sealed_through > self.segments.end() || shown < self.segments.end() {
            self.segments.read_on()?;
        }
        let known = known_head(head, &self.segments, &self.folder)?;
        let hint = hint.filter(|hint| hint.incarnation == head.incarnation);
        self.is_told = hint.is_some();
        let hinted = hint.map_or(Position::START, |hint| hint.durable_head);
        let wanted = known.durable_head.max(hinted).max(shown);
        let sealed = self.segments.end();
        self.journal.read_on(&known, sealed, shown, wanted, hint.is_none())?;
        let runs = self.journal.take_durable(wanted.max(self.journal.proved()));
        if sealed > shown {
            // What is between is in segments alone.
            self.show_segments(shared, runs)?;
        } else if !runs.is_empty() {
            publish(&mut shared.view_mut(), runs);
        }
        // First: who waits for what is new does not wait for what is only sealed.
        shared.announce();
        self.take_in(shared)?;
        Ok(())
    }

    /// Takes in some of the blocks of new segments, all of whose events are shown already. The more
    /// segments wait, the more of them, so that they do not become ever more.
    fn take_in(&self, shared: &SharedStore) -> Result<(), OpenError> {
        let (mut next, mut last_hash) = {
            let index = &shared.view().index;
            (index.end().next(), index.last_hash())
        };
        let waiting = self.segments.files_after(next.previous());
        if waiting == 0 {
            return Ok(());
        }
        // First: a block that others see is one that they can read.
        shared.sealed.sealed_through(self.segments.end());
        let mut has_some = false;
        let max_bytes = TAKEN_BYTES.saturating_mul(waiting);
        self.segments.some_blocks_from(next, max_bytes, &mut |block, _| {
            if block.records.first_position() == next && block.previous == last_hash {
                shared.view_mut().seal(&block.records, block.hash);
                (next, last_hash) = (block.records.last_position().next(), block.hash);
                has_some = true;
            }
            Ok(())
        })?;
        if !has_some {
            return self.show_anew(shared, Vec::new());
        }
        let (has_much, end) = {
            let index = &shared.view().index;
            (index.has_much_in_memory(), index.end())
        };
        if has_much && let Some(index) = self.newer_index(shared, end) {
            self.put_in_place(shared, index, Vec::new())?;
        }
        if !self.is_behind(shared) {
            shared.ids.follow(&self.folder.derived(), &self.segments);
        }
        shared.announce();
        Ok(())
    }

    /// Shows new segments, which go further than what is shown, and what is behind them.
    fn show_segments(&self, shared: &SharedStore, runs: Vec<RecordRun>) -> Result<(), OpenError> {
        if let Some(index) = self.newer_index(shared, Position::START) {
            return self.show(shared, index, runs);
        }
        // The owner keeps no index, or has not yet: those before are not read once more for that.
        let mut next = shared.view().index.end().next();
        let mut blocks = Vec::new();
        self.segments.blocks_from(next, &mut |block, _| {
            if block.records.first_position() == next {
                blocks.push(IndexedBlock::of(&block.records, block.hash));
                next = block.records.last_position().next();
            }
            Ok(())
        })?;
        if next <= self.segments.end() {
            return self.show_anew(shared, runs);
        }
        // First: a block that others see is one that they can read.
        shared.sealed.sealed_through(self.segments.end());
        let mut view = shared.view_mut();
        view.pass(&blocks);
        publish(&mut view, runs);
        drop(view);
        shared.ids.follow(&self.folder.derived(), &self.segments);
        Ok(())
    }

    /// The index as the owner has kept it since, if that has more blocks, and ends at a position or
    /// behind it.
    fn newer_index(&self, shared: &SharedStore, least_end: Position) -> Option<BlockIndex> {
        let known = {
            let view = shared.view();
            (view.index.epoch(), view.index.kept_blocks())
        };
        let is_end = |end, hash: &_| end >= least_end && self.segments.hash_at(end) == Some(*hash);
        shared.kept_index.open_newer(block::genesis(shared.store_id), known, is_end)
    }

    /// Shows what the segments have, with the index as it is kept by now, and what is behind them.
    fn show_anew(&self, shared: &SharedStore, runs: Vec<RecordRun>) -> Result<(), OpenError> {
        let epoch = shared.view().index.epoch();
        let is_end = |end, hash: &_| self.segments.hash_at(end) == Some(*hash);
        let genesis = block::genesis(shared.store_id);
        let index = shared.kept_index.open_again(genesis, epoch, is_end)?;
        self.show(shared, index, runs)
    }

    fn show(
        &self,
        shared: &SharedStore,
        mut index: BlockIndex,
        runs: Vec<RecordRun>,
    ) -> Result<(), OpenError> {
        shared.kept_index.catch_up(&mut index, false, &[], &|from, visit| {
            self.segments.blocks_from(from, &mut |block, _| visit(block))
        })?;
        self.put_in_place(shared, index, runs)?;
        shared.ids.follow(&self.folder.derived(), &self.segments);
        Ok(())
    }

    /// Shows an index, what is known of behind it, and what is new.
    fn put_in_place(
        &self,
        shared: &SharedStore,
        index: BlockIndex,
        runs: Vec<RecordRun>,
    ) -> Result<(), OpenError> {
        let mut view = shared.view_mut();
        let shown = view.durable_head();
        let behind = view.runs_behind(&index);
        let mut new = LogView::new(index);
        publish(&mut new, behind);
        publish(&mut new, runs);
        if new.durable_head() < shown {
            return Err(OpenError::JournalDamaged {
                position: new.durable_head().next(),
                file: self.folder.sealed_path(),
                offset: 0,
                what: format!("the segments lack what was read of them up to {shown}"),
            });
        }
        // First: a block that others see is one that they can read.
        shared.sealed.sealed_through(self.segments.end());
        *view = new;
        Ok(())
    }

    /// Whether another handle has the store open. Nothing is taken for it.
    ///
    /// # Errors
    /// When the file system has no locks, or refuses to say.
    pub(super) fn is_owned(&mut self) -> Result<bool, StorageError> {
        if self.lock.is_none() {
            self.lock = self.folder.held().find(LOCK, Access::Read)?;
        }
        let Some(file) = &self.lock else { return Ok(false) };
        let doing = || format!("asking for the lock of {}", self.folder.root().display());
        file.is_locked().map_err(|error| StorageError::new(doing(), error))
    }

    /// What the process says that has the store open. That is believed while it has it.
    fn hint(&mut self, store_id: [u8; 16]) -> Option<LiveHint> {
        if !self.is_owned().unwrap_or(false) {
            return None;
        }
        if self.live.is_none() {
            self.live = self.folder.held().find(LIVE, Access::Read).ok().flatten();
        }
        let file = self.live.as_ref()?;
        // It may be in the middle of being written.
        let hint = LiveHint::read(file.as_ref()).or_else(|| LiveHint::read(file.as_ref()));
        hint.filter(|hint| hint.store_id == store_id)
    }

    /// The process that has the store open, as far as that is told: by whoever has the lock, if it gives
    /// hints or not.
    pub(super) fn owner(&mut self) -> Result<Option<StoreOwner>, StorageError> {
        if !self.is_owned()? {
            return Ok(None);
        }
        let pid = self.lock.as_deref().and_then(FolderLock::noted_holder);
        Ok(Some(StoreOwner { pid }))
    }

    /// Makes sure that the store is still where it was.
    fn check_folder(&self, shared: &SharedStore) -> Result<(), OpenError> {
        let held = shared.lock_head_file().file().id()?;
        // What cannot be looked at counts as there.
        match self.folder.held().id_by_path(HEAD) {
            Ok(found) if found != Some(held) => {
                Err(gone(&self.folder, "it was deleted, renamed or replaced").into())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Shows runs, but for those that a block has.
fn publish(view: &mut LogView, runs: Vec<RecordRun>) {
    let end = view.index.end();
    let behind = runs.into_iter().filter(|run| run.records.last_position() > end);
    behind.for_each(|run| view.publish(run));
}

pub(super) fn gone(folder: &StoreFolder, what: &str) -> StorageError {
    let doing = format!("following the store in {}", folder.root().display());
    StorageError::new(doing, what).of_kind(StorageErrorKind::FolderGone)
}

/// What is read changes all the time.
pub(super) fn moving(folder: &StoreFolder) -> StorageError {
    let doing = format!("following the store in {}", folder.root().display());
    StorageError::new(doing, "its files change faster than they can be read: try again")
}
