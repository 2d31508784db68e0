//! Makes backups of a store: of one that is closed, one that is open in this process, and one that another
//! process has, all by the same way: beside its owner, over its files.

mod content;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use serde::Serialize;
use spacefold_content::ContentBackup;
use spacefold_disk::{Access, Disk as _, RealDisk};
use spacefold_event_core::{Position, StorageError, Timestamp, bytes::to_u64};
use spacefold_objects::{ObjectKey, ObjectStorage};
use spacefold_store::{BackupFrames, BackupHead, BackupView, Follower, FollowerOptions};
use uuid::Uuid;

use self::content::ContentCopier;
pub use self::report::{ArchiverRound, BackupReport};
use crate::{
    error::ArchiveError,
    manifest::{
        ArchivedFrames, ArchivedSegment, BackupManifest, FORMAT, HashText, IdText, InParts,
        MAX_LOG_FILE_BYTES, MAX_PART_BYTES, MAX_PLACES_BYTES, ManifestTime, PAGE_ENTRIES,
        StoredCommitment, StoredHead, StoredList, StoredPart, nameless,
    },
    object_kind::ObjectKind,
    repository::{BackupRepository, ManifestLists},
};

/// How long is waited at a time, between two looks at whether it is to end.
const SLICE: Duration = Duration::from_millis(100);
/// How long is waited between two looks at a store, however short a time is asked for.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// So often at least a running archiver makes a backup, of a store in which nothing happens too: whoever
/// watches is to see that it is there.
const AT_LEAST_EVERY: Duration = Duration::from_secs(3_600);

/// Makes backups of one store into one repository. Writers are not stopped, and nothing in the folder of
/// the store is locked or written.
///
/// # Durability
/// A backup is there once its manifest is, which is put last: whatever interrupts one, the backup before
/// is the newest.
///
/// # Cost
/// Of each backup after the first: what is new since the one before is read, hashed and put, and a
/// manifest of some 30 KB. In memory is one part of a file, 16 MiB, and what a [`Follower`] keeps.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use spacefold::{SpaceEvent, Spacefold};
/// use spacefold_archive::{Archiver, FolderStorage, BackupRepository, RestoreOptions, restore};
/// # let scratch = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// # let (data, backups, copy) = (scratch.join("data"), scratch.join("backups"), scratch.join("copy"));
/// let spaces = Spacefold::open(&data)?;
/// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
///
/// let storage = Arc::new(FolderStorage::at(&backups));
/// let report = Archiver::open(&data, storage.clone())?.backup()?;
/// assert_eq!((report.number, report.head.get()), (1, 1));
///
/// let restored = restore(&BackupRepository::open(storage)?, &copy, &RestoreOptions::default())?;
/// assert_eq!(restored.position.get(), 1);
/// let copy = Spacefold::open(&copy)?;
/// assert_eq!(copy.snapshot("handbook")?.name(), Some("Handbook"));
/// # copy.close()?;
/// # spaces.close()?;
/// # std::fs::remove_dir_all(&scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Archiver {
    path: PathBuf,
    log: Follower,
    content: ContentBackup,
    repository: BackupRepository,
    /// The newest backup that this archiver has made or found, with its lists.
    known: Option<(BackupManifest, ManifestLists)>,
    /// What the attempts at the next backup have put.
    put: BTreeSet<ObjectKey>,
    /// The last attempt: the answer to one that came to a backup may have been lost.
    attempt: Option<IdText>,
    /// Whether this one has made a backup.
    has_made: bool,
}

impl Archiver {
    /// Opens the store in a folder to be backed up, whoever has it, and its repository, which is made
    /// where nothing is.
    ///
    /// # Errors
    /// [`ArchiveError`]: above all [`OtherStore`](ArchiveError::OtherStore),
    /// [`NotARepository`](ArchiveError::NotARepository) and [`Store`](ArchiveError::Store).
    ///
    /// # Cost
    /// As [`Follower::open`]; lists the repository.
    pub fn open(
        store: impl AsRef<Path>,
        storage: Arc<dyn ObjectStorage>,
    ) -> Result<Self, ArchiveError> {
        let path = store.as_ref().to_owned();
        let log = Follower::open(&path, &FollowerOptions::default())?;
        let content = ContentBackup::at(Arc::new(RealDisk), &path.join("content"))?;
        let repository = BackupRepository::open_or_create(storage, log.store_id())?;
        Ok(Self {
            path,
            log,
            content,
            repository,
            known: None,
            put: BTreeSet::new(),
            attempt: None,
            has_made: false,
        })
    }

    /// The repository.
    #[must_use]
    pub const fn repository(&self) -> &BackupRepository {
        &self.repository
    }

    /// Backs up all that is durable now.
    ///
    /// # Errors
    /// [`ArchiveError`]; the backups that are there stay, and what was put of this one is used by the
    /// next.
    pub fn backup(&mut self) -> Result<BackupReport, ArchiveError> {
        let begun = Clock::now();
        // First: no place is beyond the log then.
        let places = self.places()?;
        let view = self.log.backup_view()?;
        let base = self.base(&view)?;
        let number = base.as_ref().map_or(1, |(manifest, _)| manifest.number + 1);
        let (base, listed) =
            base.map_or((None, ManifestLists::default()), |(base, listed)| (Some(base), listed));
        let attempt = IdText(Uuid::new_v4().into_bytes());
        let mut putting = Putting::new(&self.repository, &mut self.put, number);
        let same = base.as_ref().filter(|base| base.identity() == view.head().identity);

        let (segments, newest) = segments(&view, &listed.segments, &mut putting)?;
        let own_frames = same.map_or(&[][..], |base| &base.frames);
        let frames = frames(&view, own_frames, &mut putting)?;
        let copier = ContentCopier { content: &self.content, base: same, known: &listed.packs };
        let (packs, content_generation) = copier.copy(&mut putting)?;
        let places = match places {
            Some(bytes) => {
                let had = base.as_ref().and_then(|base| base.places.as_ref());
                Some(putting.nameless(ObjectKind::Places, &bytes, had)?)
            }
            None => None,
        };
        let before = base.as_ref().map_or(&[][..], |base| &base.commitments);
        let (sealed_through, end) = (view.sealed_through(), view.end());
        let manifest = BackupManifest {
            format: FORMAT,
            number,
            created_at: ManifestTime(Timestamp::now()),
            tool: concat!("spacefold ", env!("CARGO_PKG_VERSION")).to_owned(),
            attempt,
            store: StoredHead::of(view.head()),
            head: end.get(),
            recorded_at: (end > Position::START).then(|| ManifestTime(view.last_recorded_at())),
            sealed_through: sealed_through.get(),
            chain_hash: HashText(view.chain_hash()),
            commitments: newest_of(before, newest, sealed_through),
            segments: putting.list(&segments, base.as_ref().map(|base| &base.segments))?,
            frames,
            content_generation,
            packs: putting.list(&packs, base.as_ref().map(|base| &base.packs))?,
            places,
        };
        let is_new = base.as_ref().is_none_or(|base| differs(base, &manifest));
        self.attempt = Some(attempt);
        self.repository.put_manifest(&manifest)?;
        let report =
            BackupReport::of(&manifest, &putting, &segments, &packs, is_new, begun.elapsed());
        self.put.clear();
        self.has_made = true;
        self.known = Some((manifest, ManifestLists { segments, packs }));
        Ok(report)
    }

    /// Makes a backup, and then another whenever something is new, but for `every` at a time, until it is
    /// to end. What may pass is told, and tried again.
    ///
    /// # Errors
    /// [`ArchiveError`]: above all [`AnotherArchiver`](ArchiveError::AnotherArchiver). That it was to end
    /// is none.
    ///
    /// # Blocking
    /// Until it is to end, which it asks ten times a second, and after each backup.
    pub fn run(
        &mut self,
        every: Duration,
        is_to_end: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(ArchiverRound<'_>),
    ) -> Result<(), ArchiveError> {
        let every = every.max(LEAST_PAUSE);
        while !is_to_end() {
            let begun = Clock::now();
            match self.backup_if_new() {
                Ok(Some(report)) => {
                    let behind = self.log.refresh().map_or(0, |now| now.since(report.head));
                    tell(ArchiverRound::Made { report: &report, events_behind: behind });
                }
                Ok(None) => {}
                Err(error) if error.may_pass() => {
                    let lag = self.known.as_ref().map(|(newest, _)| newest.created_at());
                    tell(ArchiverRound::Failed { error: &error, newest: lag });
                }
                Err(error) => return Err(error),
            }
            while begun.elapsed() < every && !is_to_end() {
                std::thread::sleep(SLICE.min(every.saturating_sub(begun.elapsed())));
            }
        }
        Ok(())
    }

    fn backup_if_new(&mut self) -> Result<Option<BackupReport>, ArchiveError> {
        if self.has_made && !self.has_news()? {
            return Ok(None);
        }
        self.backup().map(Some)
    }

    fn has_news(&self) -> Result<bool, ArchiveError> {
        let Some((newest, listed)) = &self.known else { return Ok(true) };
        let age = Timestamp::now().as_micros().saturating_sub(newest.created_at().as_micros());
        if u128::try_from(age).is_ok_and(|age| age >= AT_LEAST_EVERY.as_micros()) {
            return Ok(true);
        }
        if self.log.refresh()? != newest.head() {
            return Ok(true);
        }
        let places = self.places()?.map(|bytes| HashText(*blake3::hash(&bytes).as_bytes()));
        if places != newest.places.as_ref().map(|places| places.blake3) {
            return Ok(true);
        }
        if self.content.generation()? != newest.content_generation {
            return Ok(true);
        }
        content::has_changed(&self.content, &listed.packs)
    }

    /// The file of the places of durable subscriptions.
    fn places(&self) -> Result<Option<Vec<u8>>, ArchiveError> {
        let folder = RealDisk.folder(&self.path.join("subscriptions"))?;
        let file = folder.map(|folder| folder.find("places", Access::Read)).transpose()?.flatten();
        let Some(file) = file else { return Ok(None) };
        if file.bytes()? > MAX_PLACES_BYTES {
            let doing = format!("reading {}", file.path().display());
            return Err(
                StorageError::new(doing, io::Error::from(io::ErrorKind::FileTooLarge)).into()
            );
        }
        Ok(Some(file.read_all()?))
    }

    /// The newest backup, which this one goes on from, with its lists.
    fn base(
        &mut self,
        view: &BackupView,
    ) -> Result<Option<(BackupManifest, ManifestLists)>, ArchiveError> {
        let Some(newest) = self.repository.numbers()?.last().copied() else { return Ok(None) };
        let known = self.known.take().filter(|(known, _)| known.number == newest);
        let (manifest, listed) = match known {
            Some(known) => known,
            None => {
                let manifest = self.repository.manifest(newest)?;
                if self.has_made && self.attempt != Some(manifest.attempt) {
                    let place = self.repository.place();
                    return Err(ArchiveError::AnotherArchiver { place, number: newest });
                }
                let listed = self.repository.listed(&manifest)?;
                (manifest, listed)
            }
        };
        self.check_course(view, &manifest, &listed)?;
        // Kept, so that it is there again when this attempt fails.
        self.known = Some((manifest.clone(), listed.clone()));
        Ok(Some((manifest, listed)))
    }

    /// Makes sure that the store has taken the course of the newest backup, up to where that ends, or
    /// parted from it before, by being restored from it.
    fn check_course(
        &self,
        view: &BackupView,
        base: &BackupManifest,
        listed: &ManifestLists,
    ) -> Result<(), ArchiveError> {
        let refused = |what| ArchiveError::OtherCourse {
            place: self.repository.place(),
            number: base.number,
            head: base.head(),
            end: view.end(),
            what,
        };
        let then: BackupHead = base.store.to_head();
        let now = view.head();
        if now.identity.log_id != then.identity.log_id {
            return Err(refused("the log is another"));
        }
        if now.identity.timeline != then.identity.timeline {
            let is_restored = now.identity.fork.is_some_and(|fork| {
                fork.parent == then.identity.timeline && fork.position <= base.head()
            });
            return match is_restored {
                true => Ok(()),
                false => Err(refused(
                    "it is of another timeline, and this store was not restored from it",
                )),
            };
        }
        if view.end() < base.head() {
            return Err(refused("this store is an older copy"));
        }
        if !now.goes_on_from(&then, base.head()) {
            return Err(refused("this store is a copy that has gone on apart"));
        }
        let here: BTreeMap<u64, [u8; 32]> =
            view.segments().iter().map(|it| (it.last.get(), it.chain_hash)).collect();
        let differs = |it: &ArchivedSegment| {
            here.get(&it.last).is_some_and(|it_is| *it_is != it.chain_hash.0)
        };
        match listed.segments.iter().any(differs) {
            true => Err(refused("it has other events at the same positions")),
            false => Ok(()),
        }
    }
}

/// Whether a backup has anything that the one before has not.
fn differs(base: &BackupManifest, new: &BackupManifest) -> bool {
    base.head != new.head
        || base.store != new.store
        || base.segments != new.segments
        || base.packs != new.packs
        || base.places != new.places
}

/// What is put of a backup.
#[derive(Debug)]
struct Putting<'a> {
    repository: &'a BackupRepository,
    /// What is put already.
    put: &'a mut BTreeSet<ObjectKey>,
    number: u64,
    objects: u64,
    bytes: u64,
}

impl<'a> Putting<'a> {
    fn new(
        repository: &'a BackupRepository,
        put: &'a mut BTreeSet<ObjectKey>,
        number: u64,
    ) -> Self {
        Self { repository, put, number, objects: 0, bytes: 0 }
    }

    fn put(&mut self, key: &ObjectKey, bytes: &[u8]) -> Result<(), ArchiveError> {
        if self.put.contains(key) {
            return Ok(());
        }
        // What an attempt that was interrupted has left may not be there for good: it is put again.
        self.repository.storage().put(key, bytes)?;
        self.objects += 1;
        self.bytes += to_u64(bytes.len());
        self.put.insert(key.clone());
        Ok(())
    }

    /// Puts the next part of a file, which begins there.
    fn part(
        &mut self,
        (kind, stem): &(ObjectKind, String),
        offset: u64,
        bytes: &[u8],
    ) -> Result<StoredPart, ArchiveError> {
        let part = StoredPart::of(bytes, self.number);
        self.put(&part.key(*kind, &format!("{stem}-{offset:010}")), bytes)?;
        Ok(part)
    }

    /// Puts a file that is in memory, in parts.
    fn file(
        &mut self,
        key: &(ObjectKind, String),
        bytes: &[u8],
    ) -> Result<Vec<StoredPart>, ArchiveError> {
        let most = usize::try_from(MAX_PART_BYTES).unwrap_or(usize::MAX);
        let mut offset = 0;
        let mut parts = Vec::new();
        for part in bytes.chunks(most) {
            parts.push(self.part(key, offset, part)?);
            offset += to_u64(part.len());
        }
        Ok(parts)
    }

    /// Puts an object that has no name but its hash, unless the backup before has it.
    fn nameless(
        &mut self,
        kind: ObjectKind,
        bytes: &[u8],
        had: Option<&StoredPart>,
    ) -> Result<StoredPart, ArchiveError> {
        let part = StoredPart::of(bytes, self.number);
        if let Some(had) = had.filter(|had| (had.bytes, had.blake3) == (part.bytes, part.blake3)) {
            return Ok(had.clone());
        }
        self.put(&nameless(kind, &part), bytes)?;
        Ok(part)
    }

    /// Puts the pages of a list that the backup before has not.
    fn list<T: Serialize + Clone>(
        &mut self,
        entries: &[T],
        had: Option<&StoredList<T>>,
    ) -> Result<StoredList<T>, ArchiveError> {
        let (pages, rest) = entries.split_at(entries.len() / PAGE_ENTRIES * PAGE_ENTRIES);
        let mut stored = StoredList { pages: Vec::new(), rest: rest.to_vec() };
        for (place, page) in pages.chunks(PAGE_ENTRIES).enumerate() {
            let bytes = serde_json::to_vec(page).unwrap_or_default();
            let had = had.and_then(|had| had.pages.get(place));
            stored.pages.push(self.nameless(ObjectKind::Page, &bytes, had)?);
        }
        Ok(stored)
    }
}

/// The segments, of which the backup before has most, and what the new ones say of states.
fn segments(
    view: &BackupView,
    known: &[ArchivedSegment],
    putting: &mut Putting<'_>,
) -> Result<(Vec<ArchivedSegment>, Vec<StoredCommitment>), ArchiveError> {
    let known: BTreeMap<(u64, u64), &ArchivedSegment> =
        known.iter().map(|entry| ((entry.first, entry.last), entry)).collect();
    let mut entries = Vec::with_capacity(view.segments().len());
    let mut commitments = Vec::new();
    for segment in view.segments() {
        let (first, last) = (segment.first.get(), segment.last.get());
        let same = known.get(&(first, last)).filter(|it| it.chain_hash.0 == segment.chain_hash);
        if let Some(same) = same {
            entries.push((*same).clone());
            continue;
        }
        if segment.bytes > MAX_LOG_FILE_BYTES {
            let doing = format!("backing up the segment of positions {first} to {last}");
            let what = format!("it has {} bytes: 1 GiB are the most", segment.bytes);
            return Err(StorageError::new(doing, what).into());
        }
        let read = view.read_segment(segment)?;
        commitments.extend(read.commitments.iter().map(StoredCommitment::of));
        let mut entry = ArchivedSegment {
            first,
            last,
            recorded_at: ManifestTime(read.last_recorded_at),
            chain_hash: HashText(segment.chain_hash),
            parts: Vec::new(),
        };
        entry.parts = putting.file(&entry.key(), &read.bytes)?;
        entries.push(entry);
    }
    Ok((entries, commitments))
}

/// The newest commitment of each fold: those before, and those of new segments. What is beyond the
/// segments now is of a timeline that was left.
fn newest_of(
    before: &[StoredCommitment],
    new: Vec<StoredCommitment>,
    through: Position,
) -> Vec<StoredCommitment> {
    let mut newest: BTreeMap<(String, u32), StoredCommitment> = BTreeMap::new();
    let kept = before.iter().filter(|of| of.position <= through.get()).cloned();
    for commitment in kept.chain(new) {
        let key = (commitment.projection.clone(), commitment.version);
        let is_older = newest.get(&key).is_some_and(|it| it.position > commitment.position);
        if !is_older {
            newest.insert(key, commitment);
        }
    }
    newest.into_values().collect()
}

/// What is behind the segments: what the backup before has of it, then new frames. Small ones before them
/// are put together with them, so that there are few, and each event is put again a few times at most.
fn frames(
    view: &BackupView,
    known: &[ArchivedFrames],
    putting: &mut Putting<'_>,
) -> Result<Vec<ArchivedFrames>, ArchiveError> {
    let sealed = view.sealed_through().get();
    let mut kept: Vec<ArchivedFrames> =
        known.iter().filter(|entry| entry.last > sealed).cloned().collect();
    if kept.first().is_some_and(|first| first.first > sealed + 1) {
        kept.clear();
    }
    let end_of = |kept: &[ArchivedFrames]| kept.last().map_or(sealed, |last| last.last);
    while let Some(last) = kept.last()
        && end_of(&kept) < view.end().get()
        && last.part_bytes() <= view.frame_bytes_after(Position::new(end_of(&kept)))
    {
        kept.pop();
    }
    let end = Position::new(end_of(&kept));
    for piece in view.frames_after(end) {
        let BackupFrames { first, last, last_recorded_at, bytes } = piece;
        let (first, last) = (first.get(), last.get());
        let recorded_at = ManifestTime(last_recorded_at);
        let mut entry = ArchivedFrames { first, last, recorded_at, parts: Vec::new() };
        entry.parts = putting.file(&entry.key(), &bytes)?;
        kept.push(entry);
    }
    Ok(kept)
}
