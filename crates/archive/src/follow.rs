//! A store that follows an archive that goes on: restored once, and given every later event at its own
//! position, so that it is ready to take over.

use std::{
    io,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use spacefold::{
    Folding, Options, Spacefold,
    content::{ContentStore as _, StoreId},
    log::{LogReader as _, LogWriter as _},
};
use spacefold_content::{BackupPack, ContentFollower, ContentRestore};
use spacefold_disk::{Disk as _, Folder, RealDisk};
use spacefold_event_core::{
    AppendError, ContentHash, LimitExceeded, Position, RecordedEvent, StorageError, StoreMode,
    TimelineId,
};
use spacefold_store::{frames_events, segment_events};

use crate::{
    error::ArchiveError,
    manifest::{ArchivedPack, BackupManifest, MAX_LOG_FILE_BYTES},
    repository::{BackupRepository, ManifestLists},
    restore::{RestoreOptions, restore},
};

/// Events that are appended at a time.
const BATCH_EVENTS: usize = 1_024;
/// How long is waited at a time, between two looks at whether it is to end.
const SLICE: Duration = Duration::from_millis(100);

/// A store that follows the backups of another one. Any number of others may read it beside this, as
/// they read every store that a process has. Its events have the positions, revisions, ids and times that
/// they have in the archive; the content that they name is there before they are.
///
/// It is promoted by ending this and opening the store: from then on it goes on by itself, and is not
/// followed again. Places of durable subscriptions stay as they were restored.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use spacefold::{SpaceEvent, Spacefold, log::StoreMode};
/// use spacefold_archive::{ArchiveFollower, Archiver, BackupRepository, FolderStorage};
/// # let scratch = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// # let (data, backups, copy) = (scratch.join("data"), scratch.join("backups"), scratch.join("copy"));
/// let spaces = Spacefold::open(&data)?;
/// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
/// let storage = Arc::new(FolderStorage::at(&backups));
/// let mut archiver = Archiver::open(&data, storage.clone())?;
/// archiver.backup()?;
///
/// let repository = BackupRepository::open(storage)?;
/// let mut follower = ArchiveFollower::open(repository, &copy, StoreMode::default())?;
/// spaces.append([SpaceEvent::space_activated("handbook")])?;
/// archiver.backup()?;
/// assert_eq!(follower.catch_up()?.map(|round| round.events), Some(1));
/// follower.close()?;
///
/// // The store is lost: the copy takes over.
/// # spaces.close()?;
/// let copy = Spacefold::open(&copy)?;
/// copy.append([SpaceEvent::space_archived("handbook")])?;
/// # copy.close()?;
/// # std::fs::remove_dir_all(&scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ArchiveFollower {
    repository: BackupRepository,
    path: PathBuf,
    spaces: Spacefold,
    /// The timeline of the archive that the store is of.
    timeline: TimelineId,
    /// The newest backup that was taken over.
    taken: Option<u64>,
    /// The packs that content was taken from.
    packs: Vec<ArchivedPack>,
}

/// What was taken over of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowedBackup {
    /// The number of the backup.
    pub number: u64,
    /// The position of the last event now.
    pub head: Position,
    /// Events that were appended.
    pub events: u64,
    /// Contents that they name, were not there, and were put.
    pub contents: u64,
    /// Contents that they name and that the backup has not, as of events that were imported without.
    pub absent: u64,
}

impl ArchiveFollower {
    /// Restores the newest backup where nothing is at the path, and goes on with the store that is there
    /// otherwise.
    ///
    /// # Errors
    /// [`ArchiveError`]: above all [`OtherStore`](ArchiveError::OtherStore),
    /// [`NoBackup`](ArchiveError::NoBackup) and [`Store`](ArchiveError::Store).
    ///
    /// # Cost
    /// As [`restore`] the first time, then as opening a store.
    pub fn open(
        repository: BackupRepository,
        path: impl AsRef<Path>,
        mode: StoreMode,
    ) -> Result<Self, ArchiveError> {
        let path = path.as_ref().to_owned();
        let mut taken = None;
        if !spacefold::admin::is_store(&path) {
            let options = RestoreOptions::default().mode(mode);
            taken = Some(restore(&repository, &path, &options)?.number);
        }
        let options = Options::new(&path).existing_only().folding(Folding::OnDemand);
        let spaces = options.open()?;
        match timeline_of(&repository, &spaces) {
            Ok(timeline) => {
                Ok(Self { repository, path, spaces, timeline, taken, packs: Vec::new() })
            }
            Err(refused) => {
                spaces.close()?;
                Err(refused)
            }
        }
    }

    /// The position of the last event.
    #[must_use]
    pub fn head(&self) -> Position {
        self.spaces.durable_head()
    }

    /// Takes over what the newest backup has and this has not; `None` where that was taken over before.
    ///
    /// # Durability
    /// The events are durable when this answers. What stops it leaves a store that ends earlier.
    ///
    /// # Errors
    /// [`ArchiveError`]: above all [`OtherCourse`](ArchiveError::OtherCourse), of a store that has gone on
    /// by itself, or an archive that did.
    ///
    /// # Cost
    /// Reads the segment or frames that the store ends in, and those after; of content the packs that are
    /// new, where an event names content that is not there.
    pub fn catch_up(&mut self) -> Result<Option<FollowedBackup>, ArchiveError> {
        let none = || ArchiveError::NoBackup { place: self.repository.place(), number: None };
        let newest = self.repository.numbers()?.last().copied().ok_or_else(none)?;
        if self.taken == Some(newest) {
            return Ok(None);
        }
        let manifest = self.repository.manifest(newest)?;
        let listed = self.repository.listed(&manifest)?;
        let head = self.head();
        let mut after = self.course_from(&manifest, head)?;
        let (number, at) = (manifest.number(), manifest.head());
        let mut round = FollowedBackup { number, head: at, events: 0, contents: 0, absent: 0 };
        let begin = after.get();
        for segment in listed.segments.iter().filter(|it| it.last > begin) {
            let bytes = self.repository.whole(segment, MAX_LOG_FILE_BYTES)?;
            let events = segment_events(&bytes, manifest.store_id(), after)?;
            after = self.take(&manifest, &listed, &events, after, &mut round)?;
        }
        for frames in &manifest.frames {
            if frames.last > after.get() {
                let bytes = self.repository.whole(frames, MAX_LOG_FILE_BYTES)?;
                let events = frames_events(&bytes, manifest.store_id(), after)?;
                after = self.take(&manifest, &listed, &events, after, &mut round)?;
            }
        }
        round.events = self.head().since(head);
        self.timeline = manifest.identity().timeline;
        self.taken = Some(newest);
        Ok(Some(round))
    }

    /// Takes over every backup that is made, until it is to end. What may pass is told, and tried again.
    ///
    /// # Errors
    /// [`ArchiveError`], of what does not pass. That it was to end is none.
    ///
    /// # Blocking
    /// Until it is to end, which it asks ten times a second, and after each backup.
    pub fn run(
        &mut self,
        every: Duration,
        is_to_end: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(Result<&FollowedBackup, &ArchiveError>),
    ) -> Result<(), ArchiveError> {
        while !is_to_end() {
            let begun = Clock::now();
            match self.catch_up() {
                Ok(Some(round)) => tell(Ok(&round)),
                Ok(None) => {}
                Err(error) if error.may_pass() => tell(Err(&error)),
                Err(error) => return Err(error),
            }
            while begun.elapsed() < every && !is_to_end() {
                std::thread::sleep(SLICE.min(every.saturating_sub(begun.elapsed())));
            }
        }
        Ok(())
    }

    /// Closes the store, which may be opened by itself then.
    ///
    /// # Errors
    /// As [`Spacefold::close`].
    pub fn close(self) -> Result<(), StorageError> {
        self.spaces.close()
    }

    /// The position after which the events of a backup are taken. What is here already must be the same:
    /// the last event, and where the archive has gone on with a store that was restored from it, every one
    /// from there on.
    fn course_from(
        &self,
        manifest: &BackupManifest,
        end: Position,
    ) -> Result<Position, ArchiveError> {
        let now = manifest.identity();
        let restored = now.fork.filter(|fork| fork.parent == self.timeline);
        let from = match (now.timeline == self.timeline, restored) {
            (true, _) => Some(end.previous()),
            (false, Some(fork)) => Some(fork.position.min(end.previous())),
            (false, None) => None,
        };
        from.filter(|_| manifest.head() >= end).ok_or_else(|| self.other_course(manifest, end))
    }

    fn other_course(&self, manifest: &BackupManifest, end: Position) -> ArchiveError {
        ArchiveError::OtherCourse {
            place: self.repository.place(),
            number: manifest.number(),
            head: manifest.head(),
            end,
            what: "one of the two has gone on by itself",
        }
    }

    /// Appends events, after the content that they name; the last position of them.
    fn take(
        &mut self,
        manifest: &BackupManifest,
        listed: &ManifestLists,
        events: &[RecordedEvent],
        after: Position,
        round: &mut FollowedBackup,
    ) -> Result<Position, ArchiveError> {
        for batch in events.chunks(BATCH_EVENTS) {
            self.take_content(listed, batch, round)?;
            self.append(batch).map_err(|error| match error {
                AppendError::DoesNotFollow { .. } => self.other_course(manifest, self.head()),
                error => {
                    StorageError::new(format!("appending to {}", self.path.display()), error).into()
                }
            })?;
        }
        Ok(events.last().map_or(after, |last| last.position))
    }

    fn append(&self, batch: &[RecordedEvent]) -> Result<(), AppendError> {
        match self.spaces.log().ingest(batch) {
            Err(AppendError::Limit { limit: LimitExceeded::AppendTooLarge { .. }, .. })
                if batch.len() > 1 =>
            {
                let (first, second) = batch.split_at(batch.len() / 2);
                self.append(first)?;
                self.append(second)
            }
            taken => taken.map(|_| ()),
        }
    }

    /// Puts the content that events name and that is not here.
    fn take_content(
        &mut self,
        listed: &ManifestLists,
        events: &[RecordedEvent],
        round: &mut FollowedBackup,
    ) -> Result<(), ArchiveError> {
        let named = events.iter().flat_map(|event| event.event.payload.content_hashes());
        let mut missing: Vec<ContentHash> = Vec::new();
        for hash in named.filter_map(|text| text.parse().ok()) {
            if !self.spaces.content().contains(&hash).map_err(content_failed)? {
                missing.push(hash);
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let new: Vec<&ArchivedPack> =
            listed.packs.iter().filter(|pack| !self.packs.contains(pack)).collect();
        let left = self.copy_content(&new, missing, round)?;
        // What was put earlier than it was named may be in one that was looked at before.
        let left = match left.is_empty() {
            true => left,
            false => self.copy_content(&listed.packs.iter().collect::<Vec<_>>(), left, round)?,
        };
        round.absent += u64::try_from(left.len()).unwrap_or(u64::MAX);
        self.packs.clone_from(&listed.packs);
        Ok(self.spaces.content().sync().map_err(content_failed)?)
    }

    /// Copies contents out of packs; those that are in none of them.
    fn copy_content(
        &self,
        packs: &[&ArchivedPack],
        wanted: Vec<ContentHash>,
        round: &mut FollowedBackup,
    ) -> Result<Vec<ContentHash>, ArchiveError> {
        let store = StoreId::from_bytes(self.repository.store_id());
        let Some(store) = store.filter(|_| !packs.is_empty()) else { return Ok(wanted) };
        let (scratch, folder) = PacksBeside::make(&self.path)?;
        let mut restored = ContentRestore::begin(folder, store);
        for pack in packs {
            let file = restored.pack(&BackupPack {
                id: pack.id.0,
                number: pack.number,
                is_sealed: pack.sealed,
                bytes: pack.bytes,
                synced: pack.bytes,
            })?;
            let write = &mut |offset, bytes: Vec<u8>| Ok(file.write_all_at(&bytes, offset)?);
            self.repository.parts(*pack, write)?;
        }
        restored.finish()?;
        let source = ContentFollower::at(Arc::new(RealDisk), &scratch.0)?;
        let mut left = Vec::new();
        for hash in wanted {
            if !source.contains(&hash).map_err(content_failed)? {
                left.push(hash);
                continue;
            }
            let mut content = source.open(&hash).map_err(content_failed)?;
            let put = self.spaces.content().put(&mut content).map_err(content_failed)?;
            if put.hash != hash {
                let object = format!("content {hash}");
                let what = format!("its bytes have the hash {}", put.hash);
                return Err(ArchiveError::Damaged { object, what });
            }
            round.contents += 1;
        }
        Ok(left)
    }
}

/// The timeline of the archive that a store was restored from.
fn timeline_of(
    repository: &BackupRepository,
    spaces: &Spacefold,
) -> Result<TimelineId, ArchiveError> {
    let (place, has) = (repository.place(), repository.store_id());
    let store = spaces.log().store_id();
    if has != store {
        return Err(ArchiveError::OtherStore { place, has, store });
    }
    if let Some(fork) = spaces.log().identity().fork {
        return Ok(fork.parent);
    }
    let newest = repository.newest()?;
    let (number, head) = newest.map_or((0, Position::START), |it| (it.number(), it.head()));
    let (end, what) = (spaces.durable_head(), "this store was not restored from a backup");
    Err(ArchiveError::OtherCourse { place, number, head, end, what })
}

fn content_failed(error: spacefold_event_core::ContentError) -> StorageError {
    StorageError::new("copying the content of a backup", error)
}

/// A folder beside the store, which goes with this.
#[derive(Debug)]
struct PacksBeside(PathBuf);

impl PacksBeside {
    /// Makes it, for its owner alone.
    fn make(store: &Path) -> Result<(Self, Arc<dyn Folder>), StorageError> {
        let parent = store.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let name = store.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(".{name}.packs-{}", process::id());
        let beside = Self(parent.join(&name));
        beside.remove();
        let above = RealDisk.folder(parent)?.ok_or_else(|| {
            let doing = format!("opening {}", parent.display());
            StorageError::new(doing, io::Error::from(io::ErrorKind::NotFound))
        })?;
        let folder = above.create_folder(name.as_ref(), StoreMode::default())?;
        Ok((beside, folder))
    }

    fn remove(&self) {
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for PacksBeside {
    fn drop(&mut self) {
        self.remove();
    }
}
