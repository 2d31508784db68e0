//! What the threads of an open store share: the state of the store as each of them sees it.

use std::sync::{
    Arc, MutexGuard, OnceLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, Ordering},
};

use quick_cache::{Weighter, sync::Cache};
use spacefold_disk::{FolderLock, SpaceQuota};
use spacefold_event_core::{
    LogIdentity, LogOrigin, Position, ReadError, Records, StorageError,
    bytes::to_u64,
    lock::{Lock, SharedLock},
};

use crate::{
    block::{EncodedBlock, index::kept::KeptIndex},
    commitment::Offers,
    copy_in_use::{Copy, CopyInUse},
    error::StorePart,
    folder::StoreFolder,
    head::{extension::Witness, sessions::Sessions},
    head_file::HeadFile,
    ids::IdIndex,
    journal::{JournalEnd, files::JournalFiles, segments::SegmentScan},
    lineage::Lineage,
    live::HintFile,
    log_copy::{LogCopy, SledError},
    progress::Progress,
    unfiled::UnfiledBlock,
    view::LogView,
    watch::FolderWatch,
};

/// Bytes of unpacked blocks that are kept for the next read.
const CACHE_BYTES: u64 = 32 << 20;

const REPLACING: &str = "sled's copy of the log could not be rebuilt";

/// An open store, as all of its threads see it.
///
/// # Lock order
/// Locks are taken in this order, and none while a later one is held: the writer's seat
/// (`writer/handover.rs`), the making of a journal file, `maintenance`, `head_file`, the set of an index (`block/index/kept.rs`,
/// `ids.rs`), `copy`, the state of `progress`, `view`, `unarchived`. All others (`durable_frame`,
/// `sessions`, caches) are held for a look alone and take none. So `announce`, which takes `progress`
/// and then `view`, is called with neither held.
pub(crate) struct SharedStore {
    pub(crate) folder: StoreFolder,
    pub(crate) store_id: [u8; 16],
    /// The log of the store, and its timeline.
    pub(crate) identity: LogIdentity,
    pub(crate) head_file: Lock<HeadFile>,
    /// Held while blocks are made, archived or rebuilt.
    pub(crate) maintenance: Lock<()>,
    /// Whether the sealer is going to note the durable head in HEAD.
    pub(crate) is_head_note_due: AtomicBool,
    /// Whether blocks were put into sled's copy since it was synced.
    pub(crate) copy_changed: AtomicBool,
    /// Nobody opens sled's copy who does not need it.
    pub(crate) copy_on_demand: AtomicBool,
    view: SharedLock<LogView>,
    pub(crate) copy: CopyInUse,
    /// Blocks that sled's copy had when it was opened and no segment: the sealer takes them.
    pub(crate) unarchived: Lock<Vec<UnfiledBlock>>,
    pub(crate) sealed: SegmentScan,
    pub(crate) cache: Cache<Position, Records, RecordsWeight>,
    pub(crate) kept_index: KeptIndex,
    pub(crate) ids: IdIndex,
    pub(crate) journal_files: Arc<JournalFiles>,
    pub(crate) progress: Progress,
    /// How many bytes the store may take.
    pub(crate) quota: Arc<SpaceQuota>,
    /// What the next blocks are to say of states.
    pub(crate) commitments: Offers,
    /// Notices that the folder is gone; none while the store is opened, and in one that is read only.
    watch: OnceLock<FolderWatch>,
    /// Tells those who follow the store how far it is durable; none while the store is opened, and in
    /// one that is read only.
    live: OnceLock<HintFile>,
    durable_frame: Lock<Option<Witness>>,
    sessions: Lock<Sessions>,
    /// While a test holds it, segments are written and HEAD does not come to know of them.
    #[cfg(test)]
    pub(crate) noting_sealed: Lock<()>,
}

#[derive(Clone)]
pub(crate) struct RecordsWeight;

impl Weighter<Position, Records> for RecordsWeight {
    fn weight(&self, _: &Position, records: &Records) -> u64 {
        to_u64(records.memory_bytes()).max(1)
    }
}

impl SharedStore {
    pub(crate) fn new(
        folder: StoreFolder,
        head_file: HeadFile,
        (kept_index, ids, view): (KeptIndex, IdIndex, LogView),
        copy: Copy,
        journal_files: Arc<JournalFiles>,
        end: &JournalEnd,
    ) -> Self {
        let store_id = head_file.head().store_id;
        let sessions = head_file.head().sessions.clone();
        let identity = head_file.head().identity;
        let progress = Progress::new(view.durable_head(), view.tail.body_bytes());
        let sealed = SegmentScan::new(folder.clone(), store_id, head_file.head().sealed_through);
        Self {
            folder,
            store_id,
            identity,
            head_file: Lock::new(head_file),
            maintenance: Lock::new(()),
            is_head_note_due: AtomicBool::new(false),
            copy_changed: AtomicBool::new(false),
            copy_on_demand: AtomicBool::new(false),
            view: SharedLock::new(view),
            copy: CopyInUse::new(copy),
            unarchived: Lock::default(),
            sealed,
            cache: Cache::with_weighter(1_024, CACHE_BYTES, RecordsWeight),
            kept_index,
            ids,
            journal_files,
            progress,
            quota: Arc::new(SpaceQuota::new(None)),
            commitments: Offers::default(),
            watch: OnceLock::new(),
            live: OnceLock::new(),
            durable_frame: Lock::new(end.witness()),
            sessions: Lock::new(sessions),
            #[cfg(test)]
            noting_sealed: Lock::new(()),
        }
    }

    /// Notices from now on that the folder of the store, whose lock is held, is gone.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub(crate) fn watch_folder(&self, lock: &FolderLock) -> Result<(), StorageError> {
        let head = self.lock_head_file().file().id()?;
        let durable_head = self.progress.durable_head();
        let watch = FolderWatch::new(&self.folder, head, durable_head, lock)?;
        // One that is watched already stays so.
        let _ = self.watch.set(watch);
        Ok(())
    }

    /// Tells those who follow the store how far it is durable, from now on. Where that cannot be done
    /// they learn it from HEAD.
    pub(crate) fn begin_hints(&self) {
        if self.progress.failure().is_some() {
            return;
        }
        let incarnation = self.lock_head_file().head().incarnation;
        match HintFile::open(&self.folder, self.store_id, incarnation) {
            Ok(live) => {
                let _ = self.live.set(live);
                self.hint();
            }
            Err(error) => {
                tracing::warn!(%error, "those that follow the store learn of new events late");
            }
        }
    }

    /// Tells those who follow the store how far it is durable.
    pub(crate) fn hint(&self) {
        if let Some(live) = self.live.get() {
            live.note(self.progress.durable_head());
        }
    }

    /// Fails when the folder of the store, or something of it that no store is without, is not where it
    /// was.
    pub(crate) fn check_folder(&self) -> Result<(), StorageError> {
        let check =
            |watch: &FolderWatch| watch.check(self.progress.durable_head(), &self.journal_files);
        self.watch.get().map_or(Ok(()), check)
    }

    /// Refuses appends from now on, and answers why: where the folder of the store is gone, that is why
    /// whatever else has failed.
    pub(crate) fn fail(&self, error: StorageError) -> StorageError {
        let error = self.check_folder().err().unwrap_or(error);
        self.progress.fail(&error);
        error
    }

    /// Has HEAD say that everything durable is: whatever lacks some of it is noticed then.
    ///
    /// # Errors
    /// When HEAD cannot be written, if it has to be.
    pub(crate) fn note_durable_head(&self) -> Result<(), StorageError> {
        let durable_head = self.progress.durable_head();
        let witness = self.durable_frame();
        let mut head_file = self.head_file.lock();
        if head_file.head().durable_head >= durable_head {
            return Ok(());
        }
        head_file.update(|head| head.note_durable(durable_head, witness))
    }

    /// The newest frame that is durable.
    pub(crate) fn durable_frame(&self) -> Option<Witness> {
        *self.durable_frame.lock()
    }

    pub(crate) fn note_durable_frame(&self, frame: Option<Witness>) {
        *self.durable_frame.lock() = frame;
    }

    /// Says which sessions there are, now that another one writes.
    pub(crate) fn note_sessions(&self, sessions: &Sessions) {
        self.sessions.lock().clone_from(sessions);
        if let (Some(live), Some(newest)) = (self.live.get(), sessions.newest()) {
            live.begin_incarnation(newest.incarnation);
        }
    }

    /// What sled's copy may come to know of the log now.
    pub(crate) fn lineage(&self) -> Lineage {
        // Read before the sessions: it is no later than they are.
        let position = self.progress.durable_head();
        let sessions = self.sessions.lock().clone();
        let last_block_after = {
            let last_block = self.view().index.last_block();
            if last_block == Position::START { last_block } else { last_block.previous() }
        };
        Lineage { store_id: self.store_id, position, last_block_after, sessions }
    }

    /// Which store this is, and which session has written to it last.
    pub(crate) fn origin(&self) -> LogOrigin {
        let newest = self.sessions.lock().newest();
        let session = newest.map_or(0, |session| session.incarnation);
        LogOrigin { store_id: self.store_id, session }
    }

    /// Whether the store has had this session, as far as is remembered, and none since forgotten.
    pub(crate) fn comes_from(&self, origin: &LogOrigin) -> bool {
        let sessions = self.sessions.lock();
        let newest = sessions.newest().map_or(0, |session| session.incarnation);
        origin.store_id == self.store_id
            && origin.session <= newest
            && !sessions.excludes(origin.session)
    }

    /// To be called before anything is put into sled's copy that comes from the log as it is now.
    pub(crate) fn note_lineage(&self, sled: &dyn LogCopy) -> Result<(), SledError> {
        sled.note_lineage(&self.lineage())
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, LogView> {
        self.view.read()
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, LogView> {
        self.view.write()
    }

    pub(crate) fn lock_maintenance(&self) -> MutexGuard<'_, ()> {
        self.maintenance.lock()
    }

    pub(crate) fn lock_head_file(&self) -> MutexGuard<'_, HeadFile> {
        self.head_file.lock()
    }

    /// Goes on with sled's copy, and the blocks that it alone has, in place of the begin of the tail.
    pub(crate) fn adopt(&self, sled: Arc<dyn LogCopy>, blocks: Vec<(Records, EncodedBlock)>) {
        let mut copy = self.copy.write();
        let mut view = self.view_mut();
        let mut unarchived = self.unarchived.lock();
        for (records, block) in blocks {
            view.seal(&records, block.hash);
            unarchived.push(UnfiledBlock::of(&records, block));
        }
        *copy = Copy::Open(sled);
        drop((unarchived, view, copy));
        self.announce();
    }

    /// Fails when the store is closed.
    pub(crate) fn check_open(&self) -> Result<(), ReadError> {
        self.copy.check_open()
    }

    /// Whether sled's copy stays as it is when the store is closed: nobody has needed it, and nothing
    /// was appended.
    pub(crate) fn leaves_copy_alone(&self) -> bool {
        self.copy_on_demand.load(Ordering::Relaxed)
            && self.copy.is_unopened()
            && self.head_file.lock().head().clean
    }

    /// Puts what `make` makes in the place of the copy that is there, which may change what readers see.
    /// Readers wait meanwhile. After an error there is no copy any more, but for the error.
    pub(crate) fn replace_copy(
        &self,
        make: impl FnOnce(&mut LogView) -> Result<Copy, ReadError>,
    ) -> Result<(), ReadError> {
        let mut sled = self.copy.write();
        // Dropped first: of two copies in one folder neither would open.
        *sled = Copy::Closed;
        self.unarchived.lock().clear();
        let mut view = self.view_mut();
        match make(&mut view) {
            Ok(made) => {
                *sled = made;
                self.cache.clear();
                Ok(())
            }
            Err(error) => {
                *sled = Copy::Unusable(StorageError::new(REPLACING, error.clone()));
                Err(error)
            }
        }
    }

    /// Counts the bytes that the log takes, where they are limited.
    pub(crate) fn count_bytes(&self) {
        if self.quota.max().is_some() {
            let parts = [StorePart::Journal, StorePart::Segments, StorePart::Sled];
            self.quota.set_log(parts.into_iter().map(|part| self.folder.bytes_of(part)).sum());
        }
    }

    /// Whether the sealer has something to do.
    pub(crate) fn wants_sealer(&self) -> bool {
        !self.is_head_note_due.load(Ordering::Relaxed)
            || self.journal_files.is_another_wanted()
            || self.wants_blocks()
    }

    /// Whether blocks should be made of what is in the tail.
    pub(crate) fn wants_blocks(&self) -> bool {
        let (fills_a_batch, tail_bytes) = {
            let tail = &self.view().tail;
            (tail.fills_a_batch(), tail.body_bytes())
        };
        fills_a_batch || self.journal_files.are_short_of(tail_bytes)
    }

    /// Whether there is no copy in sled, and none is needed: a store begins without one, and so takes
    /// less of the disk, of memory and of time. It is made with the first blocks.
    pub(crate) fn needs_no_copy(&self) -> bool {
        self.copy.is_missing() && {
            let view = self.view();
            view.index.end() == Position::START && view.tail.needs_no_copy()
        }
    }

    /// Tells whoever waits what the view has come to.
    pub(crate) fn announce(&self) {
        self.progress.update(|state| {
            let view = self.view();
            state.durable_head = state.durable_head.max(view.durable_head());
            state.head = state.head.max(state.durable_head);
            state.tail_bytes = view.tail.body_bytes();
        });
    }
}
