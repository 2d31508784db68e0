//! Makes a store of a backup, as it was at a position or time: complete beside its place, then renamed.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use spacefold::{
    Folding, Options, Spacefold,
    admin::{RebuildMode, RebuildOptions},
    content::StoreId,
    state::SpaceStates,
};
use spacefold_content::{BackupPack, ContentRestore};
use spacefold_disk::{Disk as _, Folder, Found, RealDisk};
use spacefold_event_core::{LogIdentity, Position, StorageError, StoreMode, Timestamp};
use spacefold_store::{LogRestore, frames_position_by, segment_position_by};

use crate::{
    error::ArchiveError,
    manifest::{BackupManifest, InParts as _, MAX_LOG_FILE_BYTES, MAX_PLACES_BYTES, nameless},
    object_kind::ObjectKind,
    repository::{BackupRepository, ManifestLists},
};

/// What is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestorePoint {
    /// All of a backup.
    #[default]
    Newest,
    /// Everything up to a position. Where that is in the midst of an append, the append is cut there:
    /// what a log has sealed does not say any more which events were appended together.
    At(Position),
    /// Everything that was recorded at a time or before.
    AsOf(Timestamp),
}

/// How a store is restored.
///
/// ```
/// use spacefold_archive::{RestoreOptions, RestorePoint};
/// use spacefold::Position;
/// let options = RestoreOptions::default().to(RestorePoint::At(Position::new(80))).backup(17);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    backup: Option<u64>,
    to: RestorePoint,
    mode: StoreMode,
}

impl RestoreOptions {
    /// Of this backup; of the newest unless told.
    #[must_use]
    pub const fn backup(mut self, number: u64) -> Self {
        self.backup = Some(number);
        self
    }

    /// Up to this point; all of the backup unless told.
    #[must_use]
    pub const fn to(mut self, point: RestorePoint) -> Self {
        self.to = point;
        self
    }

    /// Who may read and change the store: its owner alone unless told.
    #[must_use]
    pub const fn mode(mut self, mode: StoreMode) -> Self {
        self.mode = mode;
        self
    }
}

/// What would be restored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestorePlan {
    /// The backup.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The store, the bytes of a UUID.
    pub store_id: [u8; 16],
    /// The log and the timeline that it is restored from.
    pub identity: LogIdentity,
    /// The last position that is restored.
    pub position: Position,
    /// Bytes that are read for it.
    pub bytes: u64,
}

/// A store that was restored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Where it is.
    pub path: PathBuf,
    /// The backup that it was made of.
    pub number: u64,
    /// The store, the bytes of a UUID: that of the backup.
    pub store_id: [u8; 16],
    /// The log and its new timeline, which says where it parted from that of the backup.
    pub identity: LogIdentity,
    /// The position of the last event; 0 where there is none.
    pub position: Position,
    /// When that was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The last position in a segment, and the hash of the chain of blocks there, as it was restored.
    pub chain: (Position, [u8; 32]),
    /// The hash of the states that the events lead to: folded anew.
    pub state_hash: String,
    /// Bytes that were read.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// A backup with its lists, and how far it is restored.
struct Chosen {
    manifest: BackupManifest,
    listed: ManifestLists,
    position: Position,
}

/// What [`restore`] would restore. Nothing is written.
///
/// # Errors
/// As [`restore`], but for what only writing meets.
///
/// # Cost
/// Reads the manifest, and of a time one segment.
pub fn plan_restore(
    repository: &BackupRepository,
    options: &RestoreOptions,
) -> Result<RestorePlan, ArchiveError> {
    let Chosen { manifest, listed, position } = choose(repository, options)?;
    Ok(RestorePlan {
        number: manifest.number,
        created_at: manifest.created_at(),
        store_id: manifest.store_id(),
        identity: manifest.identity(),
        position,
        bytes: bytes_of(&manifest, &listed, position),
    })
}

/// Restores a store to a path where nothing is, or an empty folder: everything that is written was held
/// against its hash, and the events are folded. It keeps the id of the store, and goes on in a timeline of
/// its own, drawn at random: from where it parted on, an event at a position is another one than the
/// backup's. Places of durable subscriptions come along; one beyond the position is refused when it is
/// used, until it is reset.
///
/// # Durability
/// The store is there, whole and synced, or it is not: what is left of one that was interrupted is a
/// folder `.<name>.new-<process id>` beside, which may be removed.
///
/// # Errors
/// [`ArchiveError`]: above all [`Damaged`](ArchiveError::Damaged), which names the object,
/// [`Beyond`](ArchiveError::Beyond), [`BeforeFirst`](ArchiveError::BeforeFirst) and
/// [`NotEmpty`](ArchiveError::NotEmpty). Nothing is at the path then.
///
/// # Cost
/// Reads and writes all that is restored, unpacks and hashes every block, folds every event. One segment
/// or one part of a pack is in memory at a time.
pub fn restore(
    repository: &BackupRepository,
    path: impl AsRef<Path>,
    options: &RestoreOptions,
) -> Result<RestoreReport, ArchiveError> {
    let (begun, path) = (Clock::now(), path.as_ref());
    check_free(path)?;
    let chosen = choose(repository, options)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    RealDisk.create_folders(parent)?;
    let missing = || {
        let doing = format!("opening {}", parent.display());
        StorageError::new(doing, std::io::Error::from(std::io::ErrorKind::NotFound))
    };
    let above = RealDisk.folder(parent)?.ok_or_else(missing)?;
    let name = path.file_name().ok_or_else(missing)?;
    let beside = format!(".{}.new-{}", name.to_string_lossy(), process::id());
    let made = restore_beside(repository, &chosen, above.as_ref(), &beside, options.mode);
    let made = made.and_then(|(point, hash)| {
        // One that was made there meanwhile stays.
        check_free(path)?;
        above.rename(Path::new(&beside), Path::new(name))?;
        Ok((point, hash))
    });
    if made.is_err() {
        // What cannot be removed is in nobody's way.
        let _ = above.remove_folder(OsStr::new(&beside));
    }
    let (point, state_hash) = made?;
    above.sync()?;
    let Chosen { manifest, listed, position } = &chosen;
    Ok(RestoreReport {
        path: path.to_owned(),
        number: manifest.number,
        store_id: manifest.store_id(),
        identity: point.identity,
        position: point.position,
        recorded_at: (point.position > Position::START).then_some(point.recorded_at),
        chain: point.chain,
        state_hash,
        bytes: bytes_of(manifest, listed, *position),
        took: begun.elapsed(),
    })
}

/// Makes sure that nothing is at a path, or an empty folder.
fn check_free(path: &Path) -> Result<(), ArchiveError> {
    let is_free = match RealDisk.look(path)? {
        None => true,
        Some(Found::Folder) => RealDisk
            .folder(path)?
            .map_or(Ok(true), |there| there.names().map(|it| it.is_empty()))?,
        Some(_) => false,
    };
    if is_free { Ok(()) } else { Err(ArchiveError::NotEmpty { path: path.to_owned() }) }
}

fn restore_beside(
    repository: &BackupRepository,
    chosen: &Chosen,
    above: &dyn Folder,
    beside: &str,
    mode: StoreMode,
) -> Result<(spacefold_store::RestoredPoint, String), ArchiveError> {
    above.remove_folder(OsStr::new(beside))?;
    let root = above.create_folder(OsStr::new(beside), mode)?;
    let Chosen { manifest, listed, position } = chosen;
    restore_content(repository, listed, &root, manifest.store_id())?;
    restore_places(repository, manifest, &root)?;
    let point = restore_log(repository, manifest, listed, *position, &root)?;
    Ok((point, fold(root.path())?))
}

fn restore_log(
    repository: &BackupRepository,
    manifest: &BackupManifest,
    listed: &ManifestLists,
    position: Position,
    root: &Arc<dyn Folder>,
) -> Result<spacefold_store::RestoredPoint, ArchiveError> {
    let mut log = LogRestore::begin(Arc::clone(root), manifest.store.to_head(), position)?;
    for segment in &listed.segments {
        if log.is_whole() {
            break;
        }
        log.segment(&repository.whole(segment, MAX_LOG_FILE_BYTES)?)?;
    }
    for frames in &manifest.frames {
        if log.is_whole() {
            break;
        }
        log.frames(&repository.whole(frames, MAX_LOG_FILE_BYTES)?)?;
    }
    Ok(log.finish()?)
}

/// The content of all positions: what is collected no event names.
fn restore_content(
    repository: &BackupRepository,
    listed: &ManifestLists,
    root: &Arc<dyn Folder>,
    store_id: [u8; 16],
) -> Result<(), ArchiveError> {
    let Some(store) = StoreId::from_bytes(store_id).filter(|_| !listed.packs.is_empty()) else {
        return Ok(());
    };
    let folder = root.create_folder(OsStr::new("content"), root.mode())?;
    let mut content = ContentRestore::begin(folder, store);
    for pack in &listed.packs {
        let file = content.pack(&BackupPack {
            id: pack.id.0,
            number: pack.number,
            is_sealed: pack.sealed,
            bytes: pack.bytes,
            synced: pack.bytes,
        })?;
        repository.parts(pack, &mut |offset, bytes| Ok(file.write_all_at(&bytes, offset)?))?;
        file.sync_all()?;
    }
    Ok(content.finish()?)
}

fn restore_places(
    repository: &BackupRepository,
    manifest: &BackupManifest,
    root: &Arc<dyn Folder>,
) -> Result<(), ArchiveError> {
    let Some(places) = &manifest.places else { return Ok(()) };
    let key = nameless(ObjectKind::Places, places);
    let bytes = repository.part(&key, places, MAX_PLACES_BYTES)?;
    let folder = root.create_folder(OsStr::new("subscriptions"), root.mode())?;
    let file = folder.create("places")?;
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    Ok(folder.sync()?)
}

/// Opens a restored store for the first time, so that everything that is derived is made, folds its events
/// from the first on, and closes it.
fn fold(path: &Path) -> Result<String, ArchiveError> {
    let spaces = Options::new(path).existing_only().folding(Folding::OnDemand).open()?;
    let folded = hash_of(&spaces);
    spaces.close()?;
    folded
}

fn hash_of(spaces: &Spacefold) -> Result<String, ArchiveError> {
    let failed = |what: String| ArchiveError::Fold { what };
    let name = SpaceStates::NAME.to_owned();
    let options = RebuildOptions::new(RebuildMode::Replace);
    let outcomes = spaces.admin().rebuild(std::slice::from_ref(&name), &options);
    let outcomes = outcomes.map_err(|error| failed(error.to_string()))?;
    let hash = outcomes.into_iter().find(|outcome| outcome.name == name);
    hash.map(|outcome| outcome.new_hash).ok_or_else(|| failed("nothing was folded".to_owned()))
}

/// The backup, and the position that is asked of it.
fn choose(repository: &BackupRepository, options: &RestoreOptions) -> Result<Chosen, ArchiveError> {
    let none = || ArchiveError::NoBackup { place: repository.place(), number: None };
    let manifest = match options.backup {
        Some(number) => repository.manifest(number)?,
        None => repository.newest()?.ok_or_else(none)?,
    };
    let listed = repository.listed(&manifest)?;
    let head = manifest.head();
    let position = match options.to {
        RestorePoint::Newest => head,
        RestorePoint::At(asked) if asked > head => {
            return Err(ArchiveError::Beyond { asked, number: manifest.number, head });
        }
        RestorePoint::At(position) => position,
        RestorePoint::AsOf(time) => position_by(repository, &manifest, &listed, time)?,
    };
    Ok(Chosen { manifest, listed, position })
}

/// The position of the last event that was recorded at a time or before.
fn position_by(
    repository: &BackupRepository,
    manifest: &BackupManifest,
    listed: &ManifestLists,
    time: Timestamp,
) -> Result<Position, ArchiveError> {
    let store_id = manifest.store_id();
    let mut before = Position::START;
    for segment in &listed.segments {
        if segment.recorded_at.0 <= time {
            before = Position::new(segment.last);
            continue;
        }
        let bytes = repository.whole(segment, MAX_LOG_FILE_BYTES)?;
        return found_by(segment_position_by(&bytes, store_id, time)?, before, time);
    }
    for frames in &manifest.frames {
        if frames.recorded_at.0 <= time {
            before = Position::new(frames.last);
            continue;
        }
        let bytes = repository.whole(frames, MAX_LOG_FILE_BYTES)?;
        return found_by(frames_position_by(&bytes, store_id, time)?, before, time);
    }
    found_by(None, before, time)
}

fn found_by(
    found: Option<Position>,
    before: Position,
    asked: Timestamp,
) -> Result<Position, ArchiveError> {
    let position = found.map_or(before, |found| found.max(before));
    if position == Position::START {
        return Err(ArchiveError::BeforeFirst { asked });
    }
    Ok(position)
}

/// Bytes that are read to restore up to a position.
fn bytes_of(manifest: &BackupManifest, listed: &ManifestLists, position: Position) -> u64 {
    let needed = |first: u64| first <= position.get();
    let segments = listed.segments.iter().filter(|it| needed(it.first)).map(|it| it.part_bytes());
    let frames = manifest.frames.iter().filter(|it| needed(it.first)).map(|it| it.part_bytes());
    let packs = listed.packs.iter().map(|it| it.part_bytes());
    let places = manifest.places.as_ref().map_or(0, |places| places.bytes);
    segments.chain(frames).chain(packs).fold(places, u64::saturating_add)
}
