//! Stores that are made anew of what is in another folder: salvaged from a damaged one, or forked.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use rapidhash::RapidHashSet;
use spacefold_content::{ContentOptions, PackStore, StoreId};
use spacefold_event_core::{
    ContentError, ContentHash, ContentStore, Position, StorageError, StoreMode,
};
use spacefold_projection::{RebuildError, RebuildMode, RebuildOptions};
use spacefold_store::{
    Follower, FollowerOptions, ForkOptions, ForkReport, RemakeError, RepairReport, SalvageOptions,
    SalvageReport,
};

use crate::{
    contents,
    options::{Folding, Options},
};

/// Contents that are missing of which the account tells one by one.
const MAX_TOLD: usize = 1_000;

/// The content that events of a new store name, and how much of it there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopiedContent {
    /// Contents that the events name.
    pub named: u64,
    /// Contents that were copied.
    pub copied: u64,
    /// Contents that were lost, or are damaged, in the folder that the events come from.
    pub lacking: u64,
    /// The first thousand of these.
    pub told: Vec<LackingContent>,
    /// Contents that are not there while nothing of the content is damaged: they were never put there,
    /// as of events that were imported, or are gone with all that tells of them.
    pub absent: u64,
}

/// Content that events name and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LackingContent {
    /// Its hash.
    pub hash: ContentHash,
    /// The first event of the new store that names it.
    pub position: Position,
    /// What is wrong with it.
    pub what: String,
}

/// What came of [`salvage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvagedStore {
    /// The events.
    pub log: SalvageReport,
    /// The content that they name.
    pub content: CopiedContent,
}

/// What came of [`fork`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForkedStore {
    /// The events.
    pub log: ForkReport,
    /// The content that they name.
    pub content: CopiedContent,
}

/// Takes everything that is whole by its own proof out of the folder `from` into a new store at `to`:
/// events, and the content that they name. `from` may be in any condition, and nothing is changed in
/// it: a copy made while the store was written, HEAD lost, files torn, damaged, or mixed up with those
/// of others. `goes_on` is asked now and then, with the number of events taken.
///
/// Events keep id, space, time, tags, origin and order; positions and revisions as far as nothing is
/// missing before. Behind a gap the numbers go on without it, and an event that has no other origin has
/// its old position as that: see [`SalvageReport`]. Places of subscriptions are not taken over.
///
/// # Durability
/// The new store is on disk, whole, when this answers; until then nothing is at `to`.
///
/// # Errors
/// [`RemakeError`]; nothing is at `to` then.
///
/// # Cost
/// Reads every byte of the log twice, and every content that is named once. Where the journal and its
/// segments are not whole sled's copy is copied, beside `to`.
///
/// # Examples
/// ```
/// use spacefold::{SpaceEvent, Spacefold, admin};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// # let new = data.with_extension("new");
/// # let spaces = Spacefold::open(&data)?;
/// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
/// spaces.close()?;
/// std::fs::remove_file(data.join("HEAD"))?;
/// let salvaged = admin::salvage(&data, &new, &admin::SalvageOptions::default(), &mut |_| true)?;
/// assert_eq!((salvaged.log.events, salvaged.log.missing()), (1, 0));
/// let spaces = Spacefold::open_existing(&new)?;
/// assert_eq!(spaces.snapshot("handbook")?.name(), Some("Handbook"));
/// # spaces.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # std::fs::remove_dir_all(&new)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn salvage(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    options: &SalvageOptions,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<SalvagedStore, RemakeError> {
    let from = from.as_ref();
    let beside = Beside::of(to.as_ref(), from)?;
    let scratch = beside.work.join("scratch");
    let log = spacefold_store::salvage(from, &beside.store(), &scratch, options, goes_on)?;
    let content = beside.copy_content(from, options.new_mode(), goes_on)?;
    beside.put_in_place()?;
    Ok(SalvagedStore { log, content })
}

/// Makes a store at `to` of the durable events of the one at `from`, which another process may have
/// open: of an id and a timeline of its own, with the same events at the same positions, encoded anew,
/// and the content that they name. What it comes from stays, and is noted as its lineage. `goes_on` is
/// asked now and then, with the number of events taken.
///
/// # Durability
/// As [`salvage`].
///
/// # Errors
/// [`RemakeError`], also where anything of the log does not read; nothing is at `to` then.
///
/// # Cost
/// Reads and writes every event, and every content that is named.
///
/// # Examples
/// ```
/// use spacefold::{SpaceEvent, Spacefold, admin, prelude::*};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// # let new = data.with_extension("new");
/// # let spaces = Spacefold::open(&data)?;
/// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
/// admin::fork(&data, &new, admin::ForkOptions::default(), &mut |_| true)?;
/// let forked = Spacefold::open_existing(&new)?;
/// assert_ne!(forked.log().store_id(), spaces.log().store_id());
/// assert_eq!(forked.log().identity().log_id, spaces.log().identity().log_id);
/// # forked.close()?;
/// # spaces.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # std::fs::remove_dir_all(&new)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fork(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    options: ForkOptions,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<ForkedStore, RemakeError> {
    let from = from.as_ref();
    let source = Follower::open(from, &FollowerOptions::default())?;
    let beside = Beside::of(to.as_ref(), from)?;
    let log = spacefold_store::fork(&source, &beside.store(), options, goes_on)?;
    let content = beside.copy_content(from, options.new_mode(), goes_on)?;
    beside.put_in_place()?;
    Ok(ForkedStore { log, content })
}

/// What came of a [`repair`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairedStore {
    /// The log, and what was set aside.
    pub log: RepairReport,
    /// Projections that were folded anew, the states of the spaces among them.
    pub projections: Vec<String>,
    /// Contents that were taken from the other store.
    pub content_mended: u64,
    /// Contents that events name and that are still damaged or lost.
    pub content_lacking: u64,
}

/// Mends the store at `path`, which nobody may have open, in its place: what is damaged of the log from
/// what is whole, what is derived from the log, and damaged content from another store. With `other`, a
/// folder with a copy of this store in whatever condition, what is lacking is taken from there, where
/// the chain, or the hash of a content, proves that it fits. Whatever is replaced is set aside, and
/// stays.
///
/// # Errors
/// [`RemakeError::Open`] with what cannot be mended; of the log nothing is changed then.
///
/// # Cost
/// Reads every byte of the store and of `other`, and folds every projection anew.
///
/// # Examples
/// ```
/// use spacefold::{SpaceEvent, Spacefold, admin};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// # let spaces = Spacefold::open(&data)?;
/// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
/// spaces.close()?;
/// let repaired = admin::repair(&data, None)?;
/// assert!(!repaired.log.log_mended);
/// assert!(repaired.projections.contains(&"space-state".to_owned()));
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repair(path: impl AsRef<Path>, other: Option<&Path>) -> Result<RepairedStore, RemakeError> {
    let path = path.as_ref();
    let log = spacefold_store::repair_log(path, other)?;
    let content = contents::verify_content(path)?;
    let spaces = Options::new(path).existing_only().folding(Folding::OnDemand).open()?;
    let mut repaired = RepairedStore { log, ..RepairedStore::default() };
    let failed = |error: RebuildError| StorageError::new("folding the projections again", error);
    let rebuilt = spaces.admin().rebuild(&[], &RebuildOptions::new(RebuildMode::Replace));
    repaired.projections = rebuilt.map_err(failed)?.iter().map(|it| it.name.to_owned()).collect();
    if !content.problems.is_empty() || !content.incomplete.is_empty() || other.is_some() {
        let source = other.map(contents::follow).transpose()?;
        for hash in contents::named(spaces.log())? {
            if content.is_sound(&hash) {
                continue;
            }
            let copied = source.as_ref().map(|it| copy_one(it, spaces.content().as_ref(), hash));
            match copied.transpose()? {
                Some(Copied::Whole) => repaired.content_mended += 1,
                _ => repaired.content_lacking += 1,
            }
        }
        spaces.content().sync()?;
    }
    // What was never put here is not lost.
    if content.problems.is_empty() && content.incomplete.is_empty() {
        repaired.content_lacking = 0;
    }
    spaces.close()?;
    Ok(repaired)
}

/// Where a store is made before it is put in its place: a folder beside that, which goes with this.
struct Beside {
    to: PathBuf,
    above: PathBuf,
    work: PathBuf,
}

impl Beside {
    /// Makes the folder, where something may be put at `to`.
    fn of(to: &Path, from: &Path) -> Result<Self, RemakeError> {
        let taken = || RemakeError::Taken { path: to.to_owned() };
        let is_free = match fs::read_dir(to) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !is_free {
            return Err(taken());
        }
        let Some(name) = to.file_name() else { return Err(taken()) };
        let above = match to.parent() {
            Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
            _ => PathBuf::from("."),
        };
        let doing = |what: &str, path: &Path| format!("{what} {}", path.display());
        let failed = |what: &str, path: &Path, error| StorageError::new(doing(what, path), error);
        // Nothing may change in the folder that is read.
        let there = above.ancestors().find_map(|path| match path.as_os_str().is_empty() {
            true => Path::new(".").canonicalize().ok(),
            false => path.canonicalize().ok(),
        });
        if there.zip(from.canonicalize().ok()).is_some_and(|(it, from)| it.starts_with(from)) {
            return Err(RemakeError::Inside { path: to.to_owned() });
        }
        fs::create_dir_all(&above).map_err(|error| failed("creating", &above, error))?;
        let name = name.to_string_lossy();
        let work = above.join(format!(".{name}.unfinished-{}", process::id()));
        let beside = Self { to: to.to_owned(), above, work };
        beside.remove().map_err(|error| failed("removing", &beside.work, error))?;
        fs::create_dir(&beside.work).map_err(|error| failed("creating", &beside.work, error))?;
        Ok(beside)
    }

    fn store(&self) -> PathBuf {
        self.work.join("store")
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Copies the content that the events name.
    fn copy_content(
        &self,
        from: &Path,
        mode: StoreMode,
        goes_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<CopiedContent, RemakeError> {
        let log = Follower::open(self.store(), &FollowerOptions::default())?;
        let mut named = RapidHashSet::default();
        let mut in_order = Vec::new();
        contents::visit_named_content(&log, &mut |position, hash| {
            if named.insert(hash) {
                in_order.push((position, hash));
            }
        })?;
        let mut copied = CopiedContent::default();
        let mut missing = Vec::new();
        if in_order.is_empty() {
            return Ok(copied);
        }
        let source = contents::follow(from)?;
        let prepared = PackStore::prepare(&self.store().join(contents::CONTENT_FOLDER));
        let opened = prepared.and_then(|content| {
            content.open(ContentOptions::default().mode(mode), StoreId::from_bytes(log.store_id()))
        });
        let target = opened.map_err(|error| contents::open_error(error, &self.to))?;
        for (position, hash) in in_order {
            if !goes_on(0) {
                return Err(RemakeError::Stopped);
            }
            copied.named += 1;
            match copy_one(&source, &target, hash)? {
                Copied::Whole => copied.copied += 1,
                Copied::Missing(what) => missing.push(LackingContent { hash, position, what }),
                Copied::Damaged(what) => copied.note(LackingContent { hash, position, what }),
            }
        }
        let is_damaged = || copied.lacking > 0 || is_content_damaged(from);
        if !missing.is_empty() && is_damaged() {
            missing.into_iter().for_each(|it| copied.note(it));
        } else {
            copied.absent = u64::try_from(missing.len()).unwrap_or(u64::MAX);
        }
        target.close()?;
        Ok(copied)
    }

    /// Puts the store in its place, durably.
    fn put_in_place(&self) -> Result<(), RemakeError> {
        let synced = fs::rename(self.store(), &self.to)
            .and_then(|()| fs::File::open(&self.above)?.sync_all());
        synced.map_err(|error| {
            StorageError::new(format!("renaming the new store to {}", self.to.display()), error)
        })?;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(folder = %self.work.display(), %error, "an unfinished store stays");
        }
    }
}

impl CopiedContent {
    fn note(&mut self, lacking: LackingContent) {
        self.lacking += 1;
        if self.told.len() < MAX_TOLD {
            self.told.push(lacking);
        }
    }
}

/// Whether anything of the content in a folder is damaged or lost, as far as it says itself.
fn is_content_damaged(from: &Path) -> bool {
    contents::verify_beside(from)
        .map_or(true, |report| !report.problems.is_empty() || !report.incomplete.is_empty())
}

/// What became of one content.
enum Copied {
    Whole,
    Missing(String),
    Damaged(String),
}

/// Copies one content.
fn copy_one(
    source: &dyn ContentStore,
    target: &dyn ContentStore,
    hash: ContentHash,
) -> Result<Copied, RemakeError> {
    let mut content = match source.open(&hash) {
        Ok(content) => content,
        Err(error @ ContentError::Missing { .. }) => {
            return Ok(Copied::Missing(error.to_string()));
        }
        Err(error) => return Ok(Copied::Damaged(error.to_string())),
    };
    match target.put(&mut content) {
        Ok(stored) if stored.hash == hash => Ok(Copied::Whole),
        Ok(stored) => Ok(Copied::Damaged(format!("its bytes have the hash {}", stored.hash))),
        Err(ContentError::Source(error)) => Ok(Copied::Damaged(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
