//! A set of runs in a folder of its own, and the manifest that says which count.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use spacefold_disk::{Folder, NewFile};
use spacefold_event_core::StorageError;

use crate::{
    cache::PageCache,
    cursor::RunCursor,
    error::RunsError,
    joining::{Join, Joining},
    manifest::Manifest,
    merge::{MergeSource, Merged},
    page::{MAX_KEY_BYTES, PageBuilder, Row},
    run::{RunFile, RunName, file_name, id_of},
    view::View,
    writer::RunWriter,
};

/// How many runs of about one size become one.
const MERGED_RUNS: usize = 8;
/// Runs of up to this many bytes are of the lowest level; those of the next have up to
/// [`MERGED_RUNS`] times as many.
const LOWEST_LEVEL_BYTES: u64 = 64 << 10;

/// What a set is made for. The same for as long as it is there.
#[derive(Clone, Copy, Debug)]
pub struct RunSetOptions {
    /// Whose set it is: one of another kind is taken for damaged.
    pub kind: [u8; 8],
    /// What filters have of a key: all of it, or the first part by which rows are grouped and looked
    /// for ([`View::floor`]).
    pub filter_key: fn(&[u8]) -> &[u8],
    /// Changes of up to this many bytes are kept in the manifest instead of a run of their own. They
    /// stay with the owner, who hands them over again the next time.
    pub inline_bytes: usize,
    /// What becomes of neighbours when runs are merged.
    pub join: Option<Join>,
    /// Whether the rows of a filter key are written in the order of their keys, each once: a run has
    /// only later ones than every older run. [`View::floor`] looks no further than the newest run then
    /// that has such a row.
    pub is_ascending: bool,
}

/// A set of runs: its owner writes, one at a time, and anybody reads through a [`View`].
pub struct RunSet {
    folder: Arc<dyn Folder>,
    options: RunSetOptions,
    view: View,
    next_run: AtomicU64,
}

/// A set as its manifest has it.
#[derive(Debug)]
pub struct Opened {
    /// The set.
    pub set: RunSet,
    /// What its owner has kept with it.
    pub owner: Vec<u8>,
    /// The changes that are in no run, sorted by key: the owner's to hand over again.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What was written, for [`RunSet::adopt`].
#[derive(Debug)]
#[must_use = "the set goes on from what was written only once it is adopted"]
pub struct Written {
    runs: Vec<Arc<RunFile>>,
    superseded: Vec<RunName>,
    is_inline: bool,
}

impl Written {
    /// Whether the changes are in no run: the owner is to hand them over again the next time.
    #[must_use]
    pub const fn is_inline(&self) -> bool {
        self.is_inline
    }
}

impl RunSet {
    /// An empty set; whatever is in the folder is nothing to it. Nothing is written before the
    /// first [`RunSet::write`].
    ///
    /// # Errors
    /// [`RunsError::Storage`] when the folder cannot be listed.
    pub fn empty(
        folder: Arc<dyn Folder>,
        options: RunSetOptions,
        cache: Arc<PageCache>,
    ) -> Result<Self, RunsError> {
        let newest = folder.names()?.iter().filter_map(|name| id_of(name)).max();
        let next_run = newest.map_or(1, |newest| newest.saturating_add(1));
        Ok(Self::of(folder, options, cache, (Vec::new(), next_run)))
    }

    /// The set of a folder; `None` when it has no manifest.
    ///
    /// # Errors
    /// [`RunsError::Damaged`] when the manifest or a run that it names is not what was written, as
    /// far as opening sees; [`RunsError::Storage`] when the disk fails. Nothing is changed.
    ///
    /// # Cost
    /// Two small reads of each run, of which there are some eight for each factor of eight in size.
    pub fn open(
        folder: Arc<dyn Folder>,
        options: RunSetOptions,
        cache: Arc<PageCache>,
    ) -> Result<Option<Opened>, RunsError> {
        let Some(manifest) = Manifest::read(&folder, options.kind)? else { return Ok(None) };
        let open = |name| RunFile::open(&folder, name, &cache).map(Arc::new);
        let runs = manifest.runs.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        // A process that was killed may have left newer ones, which nothing names.
        let newest = folder.names()?.iter().filter_map(|name| id_of(name)).max();
        let next_run = manifest.next_run.max(newest.map_or(0, |newest| newest.saturating_add(1)));
        let changes = manifest.changes.iter().flat_map(|page| {
            let owned = |(key, value): Row<'_>| (key.to_vec(), value.map(<[u8]>::to_vec));
            (0..page.len()).filter_map(move |index| page.row(index).map(owned))
        });
        let changes = changes.collect();
        let set = Self::of(folder, options, cache, (runs, next_run));
        Ok(Some(Opened { set, owner: manifest.owner, changes }))
    }

    fn of(
        folder: Arc<dyn Folder>,
        options: RunSetOptions,
        cache: Arc<PageCache>,
        (runs, next_run): (Vec<Arc<RunFile>>, u64),
    ) -> Self {
        let (filter_key, is_ascending) = (options.filter_key, options.is_ascending);
        let view = View { runs: runs.into(), cache, filter_key, is_ascending };
        Self { folder, options, view, next_run: AtomicU64::new(next_run) }
    }

    /// The rows as the set has them now.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Writes changes, sorted by key, as [`RunSet::writing`] does.
    ///
    /// # Errors
    /// As [`Writing::finish`].
    pub fn write<'r>(
        &self,
        changes: impl Iterator<Item = Row<'r>>,
        owner: &[u8],
    ) -> Result<Written, RunsError> {
        let mut writing = self.writing();
        for row in changes {
            writing.push(row)?;
        }
        writing.finish(owner)
    }

    /// Begins to write changes, row by row. Readers are not held up. Dropped before
    /// [`Writing::finish`], nothing has changed.
    pub fn writing(&self) -> Writing<'_> {
        let number = self.take_id();
        Writing { set: self, number, inline: PageBuilder::default(), bytes: 0, run: None }
    }

    /// Goes on from what was written.
    pub fn adopt(&mut self, written: Written) {
        self.view.runs = written.runs.into();
        for name in written.superseded {
            if let Err(error) = self.folder.remove(&file_name(name.id)) {
                // It is in nobody's way, and is swept when the set is opened.
                tracing::warn!(%error, run = name.id, "a superseded run could not be removed");
            }
        }
    }

    /// Removes what a process that was killed has left in the folder and no manifest names.
    ///
    /// # Errors
    /// [`RunsError::Storage`] when the folder cannot be listed or changed.
    pub fn sweep(&self) -> Result<(), RunsError> {
        let counts = |id: u64| self.view.runs.iter().any(|run| run.name().id == id);
        for name in self.folder.names()? {
            let is_left = id_of(&name).is_some_and(|id| !counts(id));
            if is_left || NewFile::name_of_unfinished(&name).is_some() {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Removes every file of the set that is in a folder, the manifest first.
    ///
    /// # Errors
    /// [`StorageError`]: some may be left.
    pub fn remove(folder: &Arc<dyn Folder>) -> Result<(), StorageError> {
        Manifest::remove(folder)?;
        for name in folder.names()? {
            if id_of(&name).is_some() || NewFile::name_of_unfinished(&name).is_some() {
                folder.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Makes one run of the newest ones.
    fn merge(&self, written: &mut Written, count: usize) -> Result<(), RunsError> {
        let merged = written.runs.split_off(written.runs.len().saturating_sub(count));
        let is_oldest = written.runs.is_empty();
        let cursor = |run| RunCursor::new(run, b"", None).map(MergeSource::Run);
        let sources = merged.iter().rev().map(cursor).collect::<Result<Vec<_>, _>>()?;
        let mut rows = Merged::new(sources);
        let mut writer = self.writer(self.take_id())?;
        let mut joining = Joining::new(self.options.join);
        while let Some(row) = rows.next()? {
            joining.add(row, |row| push(&mut writer, row, is_oldest))?;
        }
        joining.finish(|row| push(&mut writer, row, is_oldest))?;
        written.runs.extend(writer.finish(&self.view.cache)?.map(Arc::new));
        let known = |name: &RunName| self.view.runs.iter().any(|run| run.name() == *name);
        for name in merged.iter().map(|run| run.name()) {
            if known(&name) {
                written.superseded.push(name);
            } else {
                // It was made on the way here, and no manifest has named it.
                self.folder.remove(&file_name(name.id))?;
            }
        }
        Ok(())
    }

    fn writer(&self, id: u64) -> Result<RunWriter<'_>, RunsError> {
        RunWriter::create(&self.folder, id, self.options.filter_key)
    }

    fn take_id(&self) -> u64 {
        self.next_run.fetch_add(1, Ordering::Relaxed)
    }
}

/// Changes of a set that are being written, in the order of their keys.
#[derive(Debug)]
#[must_use = "nothing counts before it is finished"]
pub struct Writing<'s> {
    set: &'s RunSet,
    /// The id of the run, where they are too many for the manifest.
    number: u64,
    /// The changes, for as long as they are few enough to be in the manifest.
    inline: PageBuilder,
    bytes: usize,
    run: Option<RunWriter<'s>>,
}

impl Writing<'_> {
    /// A number that is not that of any other changes which count: for keys that are never written
    /// twice.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Adds a row, whose key is after that of every row before.
    ///
    /// # Errors
    /// [`RunsError::KeyTooLong`]; [`RunsError::Storage`] when the disk fails.
    pub fn push(&mut self, row: Row<'_>) -> Result<(), RunsError> {
        let is_oldest = self.set.view.runs.is_empty();
        if let Some(run) = &mut self.run {
            return push(run, row, is_oldest);
        }
        let (key, value) = row;
        if key.len() > MAX_KEY_BYTES {
            return Err(RunsError::KeyTooLong { bytes: key.len() });
        }
        self.bytes += key.len() + value.map_or(0, <[u8]>::len);
        if self.bytes <= self.set.options.inline_bytes {
            self.inline.push(row);
            return Ok(());
        }
        let mut run = self.set.writer(self.number)?;
        self.inline.drain(|row| push(&mut run, row, is_oldest))?;
        push(self.run.insert(run), row, is_oldest)
    }

    /// Merges runs that have become many, and makes the changes and `owner` durable in one step: from
    /// then on the set opens as of it. [`RunSet::adopt`] is to follow.
    ///
    /// # Errors
    /// [`RunsError`]: the set opens as of before or, where it was the folder that could not be synced,
    /// as of what was to be written. It may be tried again: every file is written anew then, under a
    /// name that no attempt before has used or in the place of one, and nothing is built on a sync that
    /// failed.
    ///
    /// # Cost
    /// That of writing the changes; each row is written again once for each factor of eight that
    /// the set grows by.
    pub fn finish(mut self, owner: &[u8]) -> Result<Written, RunsError> {
        let set = self.set;
        let is_inline = self.run.is_none();
        let mut written =
            Written { runs: set.view.runs.to_vec(), superseded: Vec::new(), is_inline };
        if let Some(run) = self.run {
            written.runs.extend(run.finish(&set.view.cache)?.map(Arc::new));
            while let Some(crowd) = crowd(&written.runs) {
                set.merge(&mut written, crowd)?;
            }
        }
        let names: Vec<RunName> = written.runs.iter().map(|run| run.name()).collect();
        let next_run = set.next_run.load(Ordering::Relaxed);
        let (kind, counts) = (set.options.kind, (next_run, &*names));
        Manifest::replace(&set.folder, kind, counts, &mut self.inline, owner)?;
        Ok(written)
    }
}

/// Adds a row to a run; a removed key only if an older run may have it.
fn push(writer: &mut RunWriter<'_>, row: Row<'_>, is_oldest: bool) -> Result<(), RunsError> {
    if is_oldest && row.1.is_none() { Ok(()) } else { writer.push(row) }
}

/// How many of the newest runs are to become one, if they have become many: those that are no larger
/// than the newest one by a level.
fn crowd(runs: &[Arc<RunFile>]) -> Option<usize> {
    let level = |run: &Arc<RunFile>| level_of(run.name().bytes);
    let newest = level(runs.last()?);
    let count = runs.iter().rev().take_while(|run| level(run) <= newest).count();
    (count >= MERGED_RUNS).then_some(count)
}

fn level_of(bytes: u64) -> u32 {
    (bytes / LOWEST_LEVEL_BYTES).checked_ilog(MERGED_RUNS as u64).map_or(0, |level| level + 1)
}

impl fmt::Debug for RunSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.path();
        f.debug_struct("RunSet")
            .field("folder", &folder)
            .field("runs", &self.view.runs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
