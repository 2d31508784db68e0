//! The embedded log: one store, open.
//!
//! An append is checked and encoded in the caller's thread by `append_rules.rs` of event-core, and
//! goes on in `writer/handover.rs`.

mod encoded;
mod health;
mod in_memory;
mod info;

pub use self::{
    health::{LogHealth, StoreBytes},
    info::StoreInfo,
};

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use spacefold_disk::{Folder as DiskFolder, FolderGate, FolderLock, SpaceQuota};
use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventId, EventOrigin, FailedCondition, Ingested,
    LogIdentity, LogOrigin, LogReader, LogWriter, Page, PendingAppend, Position, ReadError,
    ReadRequest, Receipt, RecordedEvent, Revision, StorageError, StoreMode, Timestamp,
    append_rules::{self, AppendView, LookedFor, Proposal},
    closing::CloseOnce,
    lock::Lock,
};
use uuid::Uuid;

use crate::{
    clock::{self, AheadOfClock},
    commitment::StateCommitment,
    creation,
    environment::Environment,
    error::OpenError,
    folder::{StoreFolder, now},
    head::{Head, format_version::FormatVersion},
    id_lookup::make_ids_behind,
    ids::IdLook,
    journal::JournalEnd,
    opener,
    options::StoreOptions,
    progress::WaitError,
    reading,
    recovery::{self, Recovered},
    reserve,
    sealer::{self, RunningSealer},
    shared::SharedStore,
    writer::{self, WriterHandle},
};

/// An [`EventLog`](spacefold_event_core::EventLog) in a folder: a journal that makes events durable,
/// and blocks in sled that they are read from. Clones share one store; the last one dropped closes it.
///
/// # Durability
/// By default an append is answered once its events are on disk, after one `fdatasync` that it may
/// share with other appends; [`Durability`](crate::Durability) has other ways. What is not on disk
/// yet is not read either.
///
/// # Blocking
/// Appending and ingesting block until that sync, [`EmbeddedLog::submit`] does not. Reading blocks on
/// files, never on a sync, but for what asks for more than is durable
/// ([`newest_revision`](LogReader::newest_revision), [`failed_parts`](LogReader::failed_parts),
/// [`find_event`](LogReader::find_event)): that waits for a group of appends under way.
/// [`EmbeddedLog::close`], and dropping the last clone of a log that was not closed, wait for the
/// appends under way, sync, and end the threads of the store.
///
/// # Examples
/// ```
/// use spacefold::{
///     AppendCondition, AppendError, SpaceEvent, log::{AppendRequest, EmbeddedLog, LogWriter},
/// };
/// # let path = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let log = EmbeddedLog::open(&path)?;
/// let events = [SpaceEvent::space_created("handbook", "Handbook")];
/// let receipt = log.append(&AppendRequest::new(&events).on(AppendCondition::no_space("handbook")))?;
/// assert!(receipt.is_durable());
///
/// let other = [SpaceEvent::space_created("handbook", "Another")];
/// let refused = log.append(&AppendRequest::new(&other).on(AppendCondition::no_space("handbook")));
/// assert!(matches!(refused, Err(AppendError::ConditionFailed { .. })));
/// log.close()?;
/// # std::fs::remove_dir_all(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EmbeddedLog {
    inner: Arc<LogInner>,
}

struct LogInner {
    shared: Arc<SharedStore>,
    closing: CloseOnce<Result<(), StorageError>>,
    running: Lock<Option<OpenThreads>>,
    writer: WriterHandle,
    /// Ends, with the store, what others write in its folder.
    gate: FolderGate,
}

/// What only an open store has.
struct OpenThreads {
    /// Opens sled's copy.
    opener: Option<JoinHandle<()>>,
    /// Makes the index of ids, where that lacks some.
    id_maker: Option<JoinHandle<()>>,
    writer: JoinHandle<()>,
    sealer: RunningSealer,
    lock: FolderLock,
}

impl EmbeddedLog {
    /// Opens the store in a folder; makes an empty one when the folder is absent or empty.
    ///
    /// # Durability
    /// A new store is on disk, complete, when this returns; before that it is absent.
    ///
    /// # Where nothing can be written
    /// On a full disk, if the space that was set aside is used up too, on a file system or in a
    /// folder that takes no changes, and if the process may not write files as large, a store that
    /// is there still opens, and changes nothing: events are read, in order and by space, from the
    /// journal and its segments. Appends are refused with the reason, which
    /// [`EmbeddedLog::refusal`] has too.
    ///
    /// # Errors
    /// [`OpenError`]; what is stored is not changed by it.
    ///
    /// # Cost
    /// In proportion to the events that are not in blocks yet, and to the number of blocks; where
    /// nothing can be written, to all events.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, &StoreOptions::default())
    }

    /// Opens a store as [`EmbeddedLog::open`] does, with options.
    ///
    /// # Errors
    /// [`OpenError`]; what is stored is not changed by it.
    pub fn open_with(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_in(&Environment::of(options), path.as_ref(), options)
    }

    pub(crate) fn open_in(
        environment: &Environment,
        path: &Path,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        clock::check()?;
        let folder = StoreFolder::open(environment, path)?;
        let folder = folder.map_or_else(|| create(environment, path, options), Ok)?;
        Self::start(&folder, options)
    }

    /// Makes a store whose log is another one's, by this identity, in a folder that is absent or empty.
    pub(crate) fn create_as(
        path: &Path,
        options: &StoreOptions,
        identity: LogIdentity,
    ) -> Result<Self, OpenError> {
        clock::check()?;
        let environment = &Environment::of(options);
        if StoreFolder::open(environment, path)?.is_some() {
            let what = "it is a store already".to_owned();
            return Err(OpenError::NotAStore { path: path.to_owned(), what });
        }
        let store_id = Uuid::new_v4().into_bytes();
        let head = Head {
            format_version: FormatVersion::Second,
            identity,
            ..creation::new_head(store_id)
        };
        Self::start(&creation::create(environment, path, &head, options.mode)?, options)
    }

    /// Opens the store in a folder; creates nothing.
    ///
    /// # Errors
    /// [`OpenError::NoStore`] when none is there, and every other [`OpenError`].
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_existing_with(path, &StoreOptions::default())
    }

    /// Opens a store as [`EmbeddedLog::open_existing`] does, with options.
    ///
    /// # Errors
    /// [`OpenError::NoStore`] when none is there, and every other [`OpenError`].
    pub fn open_existing_with(
        path: impl AsRef<Path>,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        Self::open_existing_in(&Environment::of(options), path.as_ref(), options)
    }

    pub(crate) fn open_existing_in(
        environment: &Environment,
        path: &Path,
        options: &StoreOptions,
    ) -> Result<Self, OpenError> {
        clock::check()?;
        let no_store = || OpenError::NoStore { path: path.to_owned() };
        let folder = StoreFolder::open(environment, path)?.ok_or_else(no_store)?;
        Self::start(&folder, options)
    }

    fn start(folder: &StoreFolder, options: &StoreOptions) -> Result<Self, OpenError> {
        let begun = Instant::now();
        let lock = folder.lock()?;
        let recovered = match recover(folder, options.journal_file_bytes) {
            Ok(recovered) => recovered,
            Err(error) => {
                lock.give_back();
                return Err(error);
            }
        };
        let shared = Arc::new(recovered.shared);
        if options.begins_with_copy {
            shared.copy.demand();
        }
        shared.watch_folder(&lock)?;
        shared.begin_hints();
        shared.quota.set_max(options.max_bytes);
        shared.count_bytes();
        shared.copy_on_demand.store(options.copy_on_demand, Ordering::Relaxed);
        let (wake, woken) = bounded(1);
        let wake = Arc::new(wake);
        let sealer = sealer::start(&shared, options.reserve_bytes, &wake, woken)?;
        let (waker, id_waker) = (Arc::downgrade(&wake), Arc::downgrade(&wake));
        shared.ids.hold_filters(options.id_filter_bytes);
        match writer::start(&shared, recovered.end, options, wake) {
            Ok((handle, writer)) => {
                let opener = opener::open_behind(&shared, waker, options.copy_on_demand);
                let id_maker = make_ids_behind(&shared, id_waker);
                let running = OpenThreads { opener, id_maker, writer, sealer, lock };
                let running = Lock::new(Some(running));
                let closing = CloseOnce::default();
                let noting = Arc::downgrade(&shared);
                // Nothing that is kept comes of events that a log may lose unnoticed.
                let gate = FolderGate::before_renames(move || {
                    noting.upgrade().map_or(Ok(()), |shared| shared.note_durable_head())
                });
                let inner = LogInner { shared, closing, running, writer: handle, gate };
                let log = Self { inner: Arc::new(inner) };
                let (path, head) = (folder.root().display(), log.head());
                tracing::info!(%path, %head, took = ?begun.elapsed(), "opened the store");
                log.warn_when_ahead_of_clock();
                Ok(log)
            }
            Err(error) => {
                // With the writer the one who wakes the sealer is gone. Nothing of it may go on
                // once another process has the lock.
                shared.progress.fail(&error);
                let _ = sealer.finish();
                shared.progress.wait_until_archived();
                shared.copy.close();
                Err(error.into())
            }
        }
    }

    /// Why the store was opened to be read only, or has come to that since; `None` while it takes
    /// appends. See [`EmbeddedLog::open`]. Waits until sled's copy is open.
    #[must_use]
    pub fn refusal(&self) -> Option<StorageError> {
        if !self.inner.shared.needs_no_copy() {
            // Why it cannot be opened is why the store takes no appends.
            let _ = self.inner.shared.sled();
        }
        self.known_refusal()
    }

    /// As [`EmbeddedLog::refusal`], as far as that is known by now: waits for nothing.
    #[must_use]
    pub fn known_refusal(&self) -> Option<StorageError> {
        let failure = self.inner.shared.progress.failure();
        failure.map(|failure| failure.while_doing("the store takes no appends"))
    }

    /// Sets another limit of what the store may take, or none. What it takes is counted anew.
    pub fn set_max_bytes(&self, max: Option<u64>) {
        self.inner.shared.quota.set_max(max);
        self.inner.shared.count_bytes();
    }

    /// How many bytes the store may take, to be raised or lowered while it is open, and shared with what
    /// else takes some of them: see [`StoreOptions::max_bytes`].
    #[must_use]
    pub fn quota(&self) -> &Arc<SpaceQuota> {
        &self.inner.shared.quota
    }

    /// The folder of the store for what is derived from its log, which is made when something is made
    /// in it. Nothing changes in it through this handle once the store is closed.
    #[must_use]
    pub fn derived_folder(&self) -> Arc<dyn DiskFolder> {
        self.inner.gate.around(self.inner.shared.folder.derived())
    }

    /// The folder of the store for how far its subscribers have come, which cannot be derived from the
    /// log. It is made, and closed, as [`EmbeddedLog::derived_folder`].
    #[must_use]
    pub fn subscriptions_folder(&self) -> Arc<dyn DiskFolder> {
        self.inner.gate.around(self.inner.shared.folder.subscriptions())
    }

    /// Who may read and change the files of the store, as its folder says.
    #[must_use]
    pub fn mode(&self) -> StoreMode {
        self.inner.shared.folder.mode()
    }

    /// Hands an append over and returns at once; appends that are under way together become
    /// durable together. The checks that need no log are made before. Blocks only while more than
    /// 32 MiB of appends wait for the writer, or the index of event ids, lost, is made anew.
    ///
    /// # Errors
    /// As [`LogWriter::append`]; nothing of the append is stored then.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, log::{AppendRequest, EmbeddedLog}};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// let log = EmbeddedLog::open(&data)?;
    /// let events = [SpaceEvent::space_created("handbook", "Handbook")];
    /// let pending = log.submit(&AppendRequest::new(&events))?;
    /// assert_eq!(pending.wait()?.count(), 1);
    /// # log.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        LogWriter::submit(self, append)
    }

    /// What is done in the caller's thread before an append is decided.
    fn propose(&self, append: &AppendRequest<'_>) -> Result<(Box<Proposal>, IdLook), AppendError> {
        let schemas = self.inner.shared.folder.schemas();
        let mut proposal = Box::new(append_rules::propose(append, schemas)?);
        let look = self.look_for_keys(&mut proposal)?;
        // What is stored is answered whatever the condition says.
        if !proposal.has_stored_id() {
            proposal.look_for_matches(self)?;
        }
        Ok((proposal, look))
    }

    /// Looks for the ids and the origins of an append as far as the index of ids goes, in the caller's
    /// thread. The look is over once the append is decided.
    fn look_for_keys(&self, proposal: &mut Proposal) -> Result<IdLook, AppendError> {
        let shared = &self.inner.shared;
        let failed = |error| match error {
            ReadError::Closed => AppendError::Closed,
            error => error.into(),
        };
        let ids = proposal.event_ids();
        let look = shared.ids.begin_look();
        let looked_for = shared.check_open().and_then(|()| shared.look_for_ids(ids, &look));
        proposal.note_ids(looked_for.map_err(failed)?);
        if !proposal.origins().is_empty() && !proposal.has_stored_id() {
            let looked_for = shared.look_for_origins(proposal.origins(), &look);
            proposal.note_origins(looked_for.map_err(failed)?);
        }
        Ok(look)
    }

    /// The spaces with their revisions at the durable head, sorted by id.
    ///
    /// # Errors
    /// [`ReadError::Closed`].
    pub fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError> {
        self.inner.shared.check_open()?;
        self.inner.shared.spaces()
    }

    /// The identity of the store, the bytes of a UUID. Cost: none, it is in memory.
    #[must_use]
    pub fn store_id(&self) -> [u8; 16] {
        self.inner.shared.store_id
    }

    /// Has the sealer of a store that is stepped do what is to be done.
    #[cfg(test)]
    pub(crate) fn step(&self, notes_head: bool) {
        let mut running = self.inner.running.lock();
        if let Some(running) = running.as_mut() {
            running.sealer.step(notes_head);
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<SharedStore> {
        &self.inner.shared
    }

    /// When the newest durable event was recorded.
    pub(crate) fn last_recorded_at(&self) -> Timestamp {
        self.inner.shared.view().last_recorded_at()
    }

    /// The folder of the store.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inner.shared.folder.root().to_owned()
    }

    /// Offers the hash of a state to stand in the next block that reaches its position: covered by the
    /// block's own hash, so that whoever has a copy of the log can check states against it. Returns at
    /// once; nothing waits for it.
    ///
    /// Of several that a block reaches it takes the newest of each projection. A position that the
    /// log has not come to yet is waited for; one that is before the newest that was taken, or a name
    /// past its limit, is let go.
    ///
    /// # Durability
    /// As that of the block. A block that no segment has yet may be made anew after a crash, from
    /// the events alone: without what it said of states.
    pub fn offer_commitment(&self, commitment: StateCommitment) {
        self.inner.shared.commitments.offer(commitment);
    }

    /// The position of the newest commitment that has gone into a block since the store was opened;
    /// before the first event when none has.
    #[must_use]
    pub fn last_commitment(&self) -> Position {
        self.inner.shared.commitments.taken()
    }

    /// Waits for the appends under way, then closes the store: nothing is read or appended through
    /// any clone after it, and another process may open it. Whoever closes it again waits until it is
    /// closed, and is answered the same.
    ///
    /// # Errors
    /// [`StorageError`] when what makes the next opening faster could not be written: the store is
    /// closed all the same, and has lost nothing.
    pub fn close(&self) -> Result<(), StorageError> {
        self.inner.close()
    }

    /// Ends every wait for the durable head with [`ReadError::Closed`], those to come too: for
    /// whoever is about to close the store, and first waits for others who may be in such a wait.
    /// Appends and reads go on.
    pub fn stop_waiting(&self) {
        self.inner.shared.progress.close();
    }
}

/// Makes an empty store.
fn create(
    environment: &Environment,
    path: &Path,
    options: &StoreOptions,
) -> Result<StoreFolder, OpenError> {
    let head = creation::new_head(Uuid::new_v4().into_bytes());
    creation::create(environment, path, &head, options.mode)
}

impl EmbeddedLog {
    /// Whether the newest events were recorded ahead of the clock, since when, and by how much.
    ///
    /// # Errors
    /// [`ReadError`]; the log is not changed by it.
    pub fn ahead_of_clock(&self) -> Result<Option<AheadOfClock>, ReadError> {
        let (newest, now) = (self.last_recorded_at(), now());
        if newest <= now {
            return Ok(None);
        }
        let since = self.position_as_of(now)?.next();
        Ok(Some(AheadOfClock { since, newest, now }))
    }

    /// Has whoever reads the traces know that the times of new events say nothing.
    pub(crate) fn warn_when_ahead_of_clock(&self) {
        let (newest, now) = (self.last_recorded_at(), now());
        let ahead = AheadOfClock { since: self.head(), newest, now };
        if ahead.is_long() {
            tracing::warn!(
                %newest,
                %now,
                "the newest event was recorded ahead of the clock: until the clock gets there, new \
                 events are recorded at its time"
            );
        }
    }
}

/// Reads a store back, if need be with the space that was set aside; where nothing can be written
/// all the same, to be read only.
fn recover(folder: &StoreFolder, journal_file_bytes: u64) -> Result<Recovered, OpenError> {
    let recovered = match recovery::recover(folder, journal_file_bytes) {
        Err(OpenError::Storage(error)) if error.is_disk_full() && reserve::give_back(folder) => {
            tracing::warn!(%error, "the disk is full: the space set aside was given back");
            recovery::recover(folder, journal_file_bytes)
        }
        recovered => recovered,
    };
    match recovered {
        Err(OpenError::Storage(why)) if why.kind().forbids_writing_only() => {
            tracing::error!(%why, "nothing can be written: the store is opened to be read only");
            reading::open(folder, journal_file_bytes, &why)
        }
        recovered => recovered,
    }
}

impl LogInner {
    fn close(&self) -> Result<(), StorageError> {
        self.closing.run(|| self.close_now()).unwrap_or(Ok(()))
    }

    fn close_now(&self) -> Result<(), StorageError> {
        let running = self.running.lock().take();
        let Some(running) = running else {
            return Ok(());
        };
        let panicked =
            |thread| StorageError::new("closing the store", format!("the {thread} panicked"));
        self.gate.close();
        let end = self.writer.close().ok_or_else(|| panicked("writer"));
        let end = running.writer.join().map_err(|_| panicked("writer")).and(end);
        // With the writer the last one who wakes the sealer is gone: it ends.
        let sealed = running.sealer.finish().map_err(|_| panicked("sealer"));
        // After a failure too: what is archived later would overwrite what the next opening files.
        self.shared.progress.wait_until_archived();
        if self.shared.copy_on_demand.load(Ordering::Relaxed) {
            // Whoever waits for an append to open sled's copy waits no longer.
            self.shared.progress.close();
        }
        let opened =
            running.opener.map_or(Ok(()), JoinHandle::join).map_err(|_| panicked("opener"));
        let made = running.id_maker.map_or(Ok(()), JoinHandle::join);
        let end = opened.and(made.map_err(|_| panicked("maker of the index of ids"))).and(end);
        let finished = end.and_then(|end| sealed.and_then(|()| self.finish(end)));
        self.shared.copy.close();
        self.shared.ids.finish();
        self.shared.progress.close();
        drop(running.lock);
        let (path, head) = (self.shared.folder.root().display(), self.shared.progress.head());
        match &finished {
            Ok(()) => tracing::info!(%path, %head, "closed the store"),
            Err(error) => tracing::warn!(%path, %head, %error, "closed the store uncleanly"),
        }
        finished
    }

    /// Notes that the store was closed, and what helps the next opening.
    fn finish(&self, end: JournalEnd) -> Result<(), StorageError> {
        self.shared.check_folder()?;
        if self.shared.progress.failure().is_some() {
            return Ok(());
        }
        if self.shared.leaves_copy_alone() {
            return Ok(());
        }
        if !self.shared.needs_no_copy() {
            let sled = self.shared.sled().map_err(|error| StorageError::new("closing", error))?;
            self.shared
                .note_lineage(sled.as_ref())
                .map_err(|error| StorageError::new("closing", error))?;
        }
        if self.shared.copy_changed.load(Ordering::Relaxed) {
            sealer::checkpoint(&self.shared)?;
        }
        let mut head_file = self.shared.head_file.lock();
        if head_file.head().clean {
            return Ok(());
        }
        head_file.update(|head| {
            head.durable_head = end.head;
            head.witness = end.witness();
            head.clean = true;
        })
    }
}

impl Drop for LogInner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store was closed without all that helps the next opening");
        }
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl LogReader for EmbeddedLog {
    fn identity(&self) -> LogIdentity {
        self.inner.shared.identity
    }

    fn head(&self) -> Position {
        self.inner.shared.progress.head()
    }

    fn durable_head(&self) -> Position {
        self.inner.shared.progress.durable_head()
    }

    fn wait_durable(&self, position: Position, timeout: Duration) -> Result<Position, ReadError> {
        let waited = self.inner.shared.progress.wait_durable(position, timeout);
        waited.map_err(|error| match error {
            WaitError::Closed => ReadError::Closed,
            WaitError::Failed(failure) => {
                failure.while_doing("waiting for the durable head").into()
            }
        })
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        read.check()?;
        self.inner.shared.check_open()?;
        self.inner.shared.read(read)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        ReadRequest::from(Position::new(1)).limit(limit).check()?;
        self.inner.shared.check_open()?;
        self.inner.shared.read_space(space_id, from, limit)
    }

    fn revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.inner.shared.check_open()?;
        self.inner.shared.revision(space_id)
    }

    fn newest_revision(&self, space_id: &str) -> Result<Revision, ReadError> {
        self.inner.shared.check_open()?;
        self.inner.writer.look_ahead(|ahead| ahead.revision(space_id))
    }

    fn failed_parts(&self, condition: &AppendCondition) -> Result<Vec<FailedCondition>, ReadError> {
        self.inner.shared.check_open()?;
        // What is durable is looked through here, not while the writer is held.
        let looked_for = LookedFor::by(condition, self)?;
        let failed =
            |ahead: &dyn AppendView| append_rules::failed_parts(condition, &looked_for, ahead);
        self.inner.writer.look_ahead(failed)
    }

    fn find_event(&self, id: EventId) -> Result<Option<Position>, ReadError> {
        let found = self.find_events(&[id])?;
        Ok(found.into_iter().flatten().next())
    }

    fn find_events(&self, ids: &[EventId]) -> Result<Vec<Option<Position>>, ReadError> {
        self.inner.shared.check_open()?;
        self.inner.shared.find_events(ids, &|look| self.inner.writer.look_ahead(look))
    }

    fn find_origins(&self, origins: &[EventOrigin]) -> Result<Vec<Option<Position>>, ReadError> {
        self.inner.shared.check_open()?;
        self.inner.shared.find_origins(origins, &|look| self.inner.writer.look_ahead(look))
    }

    fn position_as_of(&self, time: Timestamp) -> Result<Position, ReadError> {
        self.inner.shared.check_open()?;
        self.inner.shared.position_as_of(time)
    }

    fn origin(&self) -> Option<LogOrigin> {
        Some(self.inner.shared.origin())
    }

    fn comes_from(&self, origin: &LogOrigin) -> bool {
        self.inner.shared.comes_from(origin)
    }

    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        self.inner.shared.check_open()?;
        self.inner.shared.spaces_after(after, limit)
    }
}

impl LogWriter for EmbeddedLog {
    fn append(&self, append: &AppendRequest<'_>) -> Result<Receipt, AppendError> {
        self.inner.writer.append(self.propose(append)?)
    }

    fn submit(&self, append: &AppendRequest<'_>) -> Result<PendingAppend, AppendError> {
        self.inner.writer.submit(self.propose(append)?)
    }

    fn ingest(&self, records: &[RecordedEvent]) -> Result<Ingested, AppendError> {
        let schemas = self.inner.shared.folder.schemas();
        append_rules::ingest(self, records, schemas, |mut proposal| {
            let look = self.look_for_keys(&mut proposal)?;
            self.inner.writer.append((Box::new(proposal), look))
        })
    }
}

#[cfg(test)]
mod tests;
