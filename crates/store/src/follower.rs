//! A reader of a store that another process has open, or nobody: over its files alone.
//!
//! - It takes no lock, writes nothing into the folder, mends nothing and never opens sled: the disk
//!   that it reads through refuses whatever would change something. Its owner does not notice it.
//! - It shows what is proved to be durable, and never goes back ([`following`]): what HEAD says, what
//!   frames of the journal say of those before them ([`journal`]), and the owner's hint ([`live`]),
//!   which counts while the lock is held.
//! - It reads as an open store does that has no copy in sled: through a [`SharedStore`].
//!
//! [`live`]: crate::live

mod backup;
mod following;
mod journal;
mod options;
mod waiting;

pub(crate) use self::backup::NO_INCARNATION;
pub use self::{
    backup::{BackupFrames, BackupHead, BackupSegment, BackupView, SegmentBytes},
    options::FollowerOptions,
};

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use spacefold_disk::{Disk, RealDisk};
use spacefold_event_core::{
    AppendCondition, EventId, EventOrigin, FailedCondition, LogIdentity, LogOrigin, LogReader,
    Page, Position, ReadError, ReadRequest, Revision, StorageError, Timestamp,
    append_rules::{self, AppendView, LookedFor},
    lock::Lock,
};

use self::{
    following::{Following, MAX_READS, Misfit, moving},
    waiting::{Waiting, WaitingLook},
};
use crate::{
    block::{self, index::kept::FoundIndex},
    copy_in_use::Copy,
    embedded_log::{StoreBytes, StoreInfo},
    environment::Environment,
    error::OpenError,
    folder::StoreFolder,
    head_file::HeadFile,
    ids::IdIndex,
    journal::{
        JournalEnd,
        files::{FileSet, JournalFiles},
        segments::Segments,
    },
    recovery::parts::{check_folders, known_head},
    shared::SharedStore,
    view::LogView,
    writer::UndurableAppends,
};

/// How long what was seen of the files is taken for the present by who asks for the head.
const SEEN_FOR: Duration = Duration::from_millis(2);

/// A [`LogReader`] of a store that another process has open, or that nobody has: it reads the files
/// of the store alone, and changes nothing. Clones share what they know.
///
/// It sees what is durable, at once where the owner is this version or a later one and the file system
/// tells of changes; else after the next append, or a second. What it has shown once is there after
/// any crash, at the same position.
///
/// # Blocking
/// Every call reads files; none waits for the owner, but [`wait_durable`](LogReader::wait_durable) for
/// new events. It has no thread of its own: whoever asks for the head, or waits, looks at the files.
///
/// # Cost
/// What is in no segment yet is kept in memory, as in the owner's: some tens of megabytes at the most.
/// An index of blocks or ids that the owner has not kept is made in memory, from all segments.
///
/// # Examples
/// ```
/// use spacefold::{
///     Position, SpaceEvent,
///     log::{AppendRequest, EmbeddedLog, Follower, FollowerOptions, LogWriter},
/// };
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let log = EmbeddedLog::open(&data)?;
/// let follower = Follower::open(&data, &FollowerOptions::default())?;
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// assert_eq!(follower.refresh()?, Position::new(1));
/// # log.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Follower {
    inner: Arc<FollowerInner>,
}

struct FollowerInner {
    shared: Arc<SharedStore>,
    following: Lock<Following>,
    /// What answers of the newest events, as a writer's does that has taken none.
    ahead: Lock<UndurableAppends>,
    waiting: Waiting,
    seen_at: Lock<Option<Instant>>,
}

/// Who has a store open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreOwner {
    /// The number of the process, as it has noted it with the lock; `None` where it has not. In a
    /// container it may be another one's.
    pub pid: Option<u32>,
}

impl Follower {
    /// Opens the store in a folder to follow it.
    ///
    /// # Errors
    /// Every [`OpenError`] but [`OpenError::AlreadyOpen`]. Nothing is mended: a store whose journal is
    /// damaged, or whose HEAD is older than its journal, is refused, though its owner could mend it.
    ///
    /// # Cost
    /// In proportion to the events that are in no segment yet, and to the number of blocks.
    pub fn open(path: impl AsRef<Path>, options: &FollowerOptions) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk), path.as_ref(), options)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: &FollowerOptions,
    ) -> Result<Self, OpenError> {
        let environment = &Environment::read_only(disk, options.schemas);
        let no_store = || OpenError::NoStore { path: path.to_owned() };
        let folder = StoreFolder::open(environment, path)?.ok_or_else(no_store)?;
        check_folders(&folder)?;
        let (shared, segments) = read_segments(&folder)?;
        shared.ids.hold_filters(options.id_filter_bytes);
        let mut following = Following::new(&folder, shared.store_id, segments);
        following.look(&shared)?;
        let ahead = Lock::new(UndurableAppends::new(&shared));
        let waiting = Waiting::new(folder.held(), options.poll_interval);
        let (following, seen_at) = (Lock::new(following), Lock::default());
        Ok(Self { inner: Arc::new(FollowerInner { shared, following, ahead, waiting, seen_at }) })
    }

    /// Looks at the files now; answers the durable head.
    ///
    /// # Errors
    /// [`ReadError::Closed`]; [`ReadError::Storage`] when the files cannot be read, are damaged, or,
    /// of kind [`FolderGone`](spacefold_event_core::StorageErrorKind::FolderGone), are another store's
    /// by now. What was shown stays, and can be read.
    ///
    /// # Cost
    /// Two system calls while the owner says that there is nothing new; else some ten, and reading what
    /// is new. Where a segment was made of what is shown, a MiB of it is read as well.
    pub fn refresh(&self) -> Result<Position, ReadError> {
        let inner = &self.inner;
        inner.shared.check_open()?;
        let looked = inner.following.lock().look(&inner.shared);
        *inner.seen_at.lock() = Some(Instant::now());
        looked.map_err(|error| self.failed(error))?;
        Ok(inner.shared.progress.durable_head())
    }

    /// The identity of the store, the bytes of a UUID. Cost: none, it is in memory.
    #[must_use]
    pub fn store_id(&self) -> [u8; 16] {
        self.inner.shared.store_id
    }

    /// The folder of the store.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inner.shared.folder.root().to_owned()
    }

    /// Who has the store open, this process included; `None` when nobody has.
    ///
    /// # Errors
    /// [`ReadError::Storage`] when that cannot be asked, as on a file system without locks.
    ///
    /// # Cost
    /// Some system calls. The lock is asked for, not taken.
    pub fn owner(&self) -> Result<Option<StoreOwner>, ReadError> {
        let owner = self.inner.following.lock().owner();
        Ok(owner?)
    }

    /// The spaces with their revisions at the durable head, sorted by id.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError> {
        self.reading(SharedStore::spaces)
    }

    /// The store at a glance, as far as it was seen. Its blocks are those of segments. Cost: looks at
    /// every file of the folder.
    #[must_use]
    pub fn info(&self) -> StoreInfo {
        StoreInfo::of(&self.inner.shared)
    }

    /// Ends every wait for new events with [`ReadError::Closed`], those to come too. Reads go on.
    pub fn stop_waiting(&self) {
        self.inner.waiting.stop();
    }

    /// Nothing is read any more, through any clone. There is nothing to be written, and dropping the
    /// last clone does as well.
    pub fn close(&self) {
        self.inner.shared.copy.close();
        self.inner.waiting.stop();
    }

    /// Reads everything that is read to show something once more; answers what is wrong with it.
    pub(crate) fn look_anew(&self) -> Result<(), OpenError> {
        self.inner.following.lock().look_anew(&self.inner.shared)
    }

    /// The bytes of the files of the store, by what they are. Cost: looks at every file of the folder.
    #[must_use]
    pub fn file_bytes(&self) -> StoreBytes {
        StoreBytes::of(&self.inner.shared.folder)
    }

    fn failed(&self, error: OpenError) -> ReadError {
        match error {
            OpenError::Storage(error) => error.into(),
            error => {
                let path = self.inner.shared.folder.root();
                let doing = format!("following the store in {}", path.display());
                StorageError::new(doing, error).into()
            }
        }
    }

    /// Looks at the files, unless that was done a moment ago or is being done. What fails is for those
    /// to say who can.
    fn see(&self) -> Position {
        let inner = &self.inner;
        let is_due = inner.seen_at.lock().is_none_or(|then| then.elapsed() >= SEEN_FOR);
        if is_due
            && inner.shared.check_open().is_ok()
            && let Some(mut following) = inner.following.try_lock()
        {
            if let Err(error) = following.look(&inner.shared) {
                tracing::debug!(%error, "the store cannot be followed");
            }
            *inner.seen_at.lock() = Some(Instant::now());
        }
        inner.shared.progress.durable_head()
    }

    /// Reads; once more where a file was not what it was, after looking at all of them anew.
    fn reading<T>(
        &self,
        read: impl Fn(&SharedStore) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let shared = &self.inner.shared;
        shared.check_open()?;
        match read(shared) {
            Err(error @ (ReadError::Storage(_) | ReadError::NothingGiven { .. })) => {
                tracing::debug!(%error, "the store is read again");
                self.look_anew().map_err(|error| self.failed(error))?;
                read(shared)
            }
            read => read,
        }
    }

    /// Looks at the newest events, as a writer does that has taken none.
    fn look_ahead<T>(
        &self,
        look: impl FnOnce(&dyn AppendView) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut ahead = self.inner.ahead.lock();
        ahead.follow();
        look(&*ahead)
    }
}

/// The store as its segments have it, and these, while another process may write them.
fn read_segments(folder: &StoreFolder) -> Result<(Arc<SharedStore>, Segments), OpenError> {
    let mut misfit = Misfit::default();
    for _ in 0..MAX_READS {
        let head_file = HeadFile::open_to_read(folder)?;
        let sequence = head_file.head().sequence;
        match read_segments_of(folder, head_file) {
            Ok((shared, segments)) => return Ok((Arc::new(shared), segments)),
            Err(error) => misfit.note(sequence, error)?,
        }
    }
    Err(moving(folder).into())
}

fn read_segments_of(
    folder: &StoreFolder,
    head_file: HeadFile,
) -> Result<(SharedStore, Segments), OpenError> {
    let store_id = head_file.head().store_id;
    let (derived, genesis) = (folder.derived(), block::genesis(store_id));
    let found = FoundIndex::look(&derived);
    let segments = Segments::open_noted(folder, store_id, &found.noted_segments())?;
    known_head(head_file.head(), &segments, folder)?;
    let is_end = |end, hash: &_| segments.hash_at(end) == Some(*hash);
    let (kept_index, mut index) = found.open(genesis, is_end)?;
    if index.end() < segments.end() {
        // It may have been in the middle of being written.
        index = kept_index.open_again(genesis, index.epoch(), is_end)?;
    }
    kept_index.catch_up(&mut index, false, &[], &|from, visit| {
        segments.blocks_from(from, &mut |block, _| visit(block))
    })?;
    let ids = IdIndex::open_to_follow(&derived, store_id, &segments)?;
    let known = (kept_index, ids, LogView::new(index));
    // Neither is ever asked for.
    let files = JournalFiles::new(folder, 0, FileSet::default());
    let end = JournalEnd { slot: None, number: 0, offset: 0, crc: 0, head: Position::START };
    let copy = Copy::Unusable(StorageError::new(
        "reading a segment",
        "it is not there, or not as it was: sled's copy is its owner's",
    ));
    let shared = SharedStore::new(folder.clone(), head_file, known, copy, files.into(), &end);
    shared.sealed.sealed_through(segments.end());
    Ok((shared, segments))
}

impl LogReader for Follower {
    fn identity(&self) -> LogIdentity {
        self.inner.shared.identity
    }

    /// The durable head: what the owner has taken beyond it is not known.
    fn head(&self) -> Position {
        self.see()
    }

    fn durable_head(&self) -> Position {
        self.see()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        self.inner.waiting.wait(position, timeout, || {
            let head = self.refresh()?;
            let following = self.inner.following.lock();
            let is_behind = following.is_behind(&self.inner.shared);
            Ok(WaitingLook { head, is_told: following.is_told(), is_behind })
        })
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        read.check()?;
        let to = read.to.min(self.inner.shared.progress.durable_head());
        self.reading(|shared| {
            let page = shared.read(read)?;
            if page.next() <= to {
                page.check_progress(read)?;
            }
            Ok(page)
        })
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        ReadRequest::from(Position::new(1)).limit(limit).check()?;
        self.reading(|shared| shared.read_space(space_id, from, limit))
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.reading(|shared| shared.revision(space_id))
    }

    /// Of what is durable: what the owner has taken beyond that is not known.
    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.revision(space_id)
    }

    /// Of what is durable: what the owner has taken beyond that is not known.
    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.reading(|_| {
            let looked_for = LookedFor::by(condition, self)?;
            self.look_ahead(|ahead| append_rules::failed_parts(condition, &looked_for, ahead))
        })
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        let found = self.find_events(&[id])?;
        Ok(found.into_iter().flatten().next())
    }

    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        self.reading(|shared| shared.find_events(ids, &|look| self.look_ahead(look)))
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        self.reading(|shared| shared.find_origins(origins, &|look| self.look_ahead(look)))
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.reading(|shared| shared.position_as_of(time))
    }

    fn origin(&self) -> Option<LogOrigin> {
        Some(self.inner.shared.origin())
    }

    fn comes_from(&self, origin: &LogOrigin) -> bool {
        self.inner.shared.comes_from(origin)
    }

    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        self.reading(|shared| shared.spaces_after(after, limit))
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("path", &self.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
