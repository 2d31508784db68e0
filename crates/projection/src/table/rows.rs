//! All rows of one table: runs in the store, and in memory what was changed since.
//!
//! A checkpoint writes what was changed as a run, or keeps it with the checkpoint itself while that
//! is little. Eight runs of about one size become one, so that a row is written a few times
//! at the most, and looked for in few places. Runs never change: whoever reads an old set of
//! them goes on, and their blobs go when nobody does.

use std::sync::Arc;

use spacefold_event_core::{
    StorageError,
    bytes::{ByteReader, put_count, put_sized, put_u64, to_u64},
};
use spacefold_state::StateHash;

use super::{
    TableError,
    bloom::Bloom,
    cache::PageCache,
    merge::{Merged, RunCursor, Source},
    page::{Page, PageBuilder, Row},
    place::Place,
    recent::Recent,
    run::{Run, RunWriter},
};

/// What was changed is kept with the checkpoint itself up to so many bytes.
const MAX_INLINE_BYTES: usize = 8 << 10;
/// How many runs of one level become one.
const MERGED_RUNS: usize = 8;
/// The place of the rows that are kept with the checkpoint.
const INLINE_PLACE: u64 = u64::MAX;

pub(crate) struct Rows {
    place: Place,
    /// The oldest first.
    runs: Vec<Arc<Run>>,
    recent: Recent,
    next_run: u64,
    cache: Arc<PageCache>,
}

/// What a checkpoint made of a table, to be taken over once it counts.
pub(crate) struct Flushed {
    runs: Vec<Arc<Run>>,
    superseded: Vec<Arc<Run>>,
    next_run: u64,
    /// The rows that the checkpoint is to keep itself.
    inline: Vec<u8>,
}

impl Rows {
    pub(crate) fn empty(place: Place) -> Self {
        let (recent, cache) = (Recent::default(), Arc::default());
        Self { place, runs: Vec::new(), recent, next_run: 1, cache }
    }

    /// The value under a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        if let Some(change) = self.recent.get(key) {
            return Ok(change.map(<[u8]>::to_vec));
        }
        let digest = Bloom::digest(key);
        for run in self.runs.iter().rev() {
            if let Some(change) = run.get(key, digest, &self.cache)? {
                return Ok(change);
            }
        }
        Ok(None)
    }

    /// Changes a row, for the event at hand.
    pub(crate) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.recent.set(key, value);
    }

    /// The keys that the event at hand has changed so far.
    pub(crate) fn changing(&self) -> impl Iterator<Item = &[u8]> {
        self.recent.changing()
    }

    /// Takes the changes of the event at hand for good, and answers their digest.
    pub(crate) fn accept(&mut self) -> u32 {
        self.recent.accept()
    }

    /// Takes the changes of the event at hand back.
    pub(crate) fn reject(&mut self) {
        self.recent.reject();
    }

    /// Bytes of what was changed since the last checkpoint, about.
    pub(crate) const fn recent_bytes(&self) -> usize {
        self.recent.memory_bytes()
    }

    /// The rows whose keys are `from` or behind it, in order.
    pub(crate) fn rows_from(&self, from: &[u8]) -> Result<RowsFrom<'_>, TableError> {
        let recent: Box<dyn Iterator<Item = Row<'_>>> = Box::new(self.recent.rows_from(from));
        let mut sources = vec![Source::Recent(recent.peekable())];
        for run in self.runs.iter().rev() {
            sources.push(Source::Run(RunCursor::new(run, from, Some(&self.cache))?));
        }
        Ok(RowsFrom { merged: Merged::new(sources) })
    }

    /// The rows as they are, to be read while others go on.
    pub(crate) fn snapshot(&self) -> Self {
        Self {
            place: self.place.clone(),
            runs: self.runs.clone(),
            recent: self.recent.clone(),
            next_run: self.next_run,
            cache: Arc::clone(&self.cache),
        }
    }

    /// The hash of the whole table: BLAKE3 over each key and value, in order of the keys, each
    /// behind its length as 64 bits, little endian.
    pub(crate) fn hash(&self) -> Result<StateHash, TableError> {
        let mut hasher = blake3::Hasher::new();
        let mut rows = self.rows_from(b"")?;
        while let Some((key, value)) = rows.next_row()? {
            for part in [key, value] {
                hasher.update(&to_u64(part.len()).to_le_bytes());
                hasher.update(part);
            }
        }
        Ok(StateHash::from_bytes(*hasher.finalize().as_bytes()))
    }

    /// Writes what was changed, and merges runs that have become many. Nothing counts of it until a
    /// checkpoint has [`Flushed::encode`] and [`Rows::take_over`] follows.
    pub(crate) fn flush(&self) -> Result<Flushed, TableError> {
        let mut flushed = Flushed {
            runs: self.runs.clone(),
            superseded: Vec::new(),
            next_run: self.next_run,
            inline: Vec::new(),
        };
        if self.recent.is_empty() {
            return Ok(flushed);
        }
        if self.recent.memory_bytes() <= MAX_INLINE_BYTES {
            let mut page = PageBuilder::default();
            self.recent.rows_from(b"").for_each(|row| page.push(row));
            flushed.inline = page.finish(INLINE_PLACE);
            return Ok(flushed);
        }
        let rows: Box<dyn Iterator<Item = Row<'_>>> = Box::new(self.recent.rows_from(b""));
        let mut merged = Merged::new(vec![Source::Recent(rows.peekable())]);
        let rows_at_most = self.recent.len();
        flushed.write_run(&self.place, 0, &mut merged, rows_at_most)?;
        while let Some(level) = flushed.crowded_level() {
            flushed.merge(&self.place, level)?;
        }
        Ok(flushed)
    }

    /// Goes on from what a checkpoint has made durable.
    pub(crate) fn take_over(&mut self, flushed: Flushed) {
        if flushed.inline.is_empty() {
            self.recent.clear();
        }
        self.runs = flushed.runs;
        self.next_run = flushed.next_run;
        flushed.superseded.iter().for_each(|run| run.supersede());
    }

    /// The table as a checkpoint has it.
    pub(crate) fn decode(place: Place, reader: &mut ByteReader<'_>) -> Result<Self, TableError> {
        let cut = || TableError::damaged("the list of its runs is cut");
        let mut rows = Self::empty(place);
        rows.next_run = reader.u64().ok_or_else(cut)?;
        for _ in 0..reader.count(8).ok_or_else(cut)? {
            let run = Run::load(&rows.place, reader.u64().ok_or_else(cut)?)?;
            rows.runs.push(Arc::new(run));
        }
        let inline = reader.sized().ok_or_else(cut)?;
        if !inline.is_empty() {
            let page = Page::decode(inline.to_vec(), INLINE_PLACE).ok_or_else(cut)?;
            (0..page.len()).filter_map(|n| page.row(n)).for_each(|row| rows.recent.restore(row));
        }
        Ok(rows)
    }

    /// Removes what a process that was killed has left of runs that count no more, or not yet.
    pub(crate) fn sweep(&self) -> Result<(), StorageError> {
        let counts = |id: u64| self.runs.iter().any(|run| run.id() == id);
        let runs = self.place.runs()?;
        // The one that was being written has no footer yet.
        let unfinished = runs.iter().map(|id| id + 1).max().unwrap_or(0).max(self.next_run);
        let left = runs.into_iter().chain([unfinished]).filter(|id| !counts(*id));
        left.into_iter().try_for_each(|id| self.place.remove_run(id))
    }
}

impl Flushed {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        put_u64(bytes, self.next_run);
        put_count(bytes, self.runs.len());
        self.runs.iter().for_each(|run| put_u64(bytes, run.id()));
        put_sized(bytes, &self.inline);
    }

    /// The level of the newest runs, if there are so many of it that they are to become one.
    fn crowded_level(&self) -> Option<u8> {
        let level = self.runs.last()?.level();
        let crowd = self.runs.iter().rev().take_while(|run| run.level() == level).count();
        (crowd >= MERGED_RUNS).then_some(level)
    }

    /// Makes one run of all the newest ones that are of this level.
    fn merge(&mut self, place: &Place, level: u8) -> Result<(), TableError> {
        let first = self.runs.iter().rposition(|run| run.level() != level).map_or(0, |n| n + 1);
        let old = self.runs.split_off(first);
        let rows_at_most = old.iter().map(|run| run.rows()).sum();
        let mut sources = Vec::with_capacity(old.len());
        for run in old.iter().rev() {
            sources.push(Source::Run(RunCursor::new(run, b"", None)?));
        }
        let mut merged = Merged::new(sources);
        self.write_run(place, level.saturating_add(1), &mut merged, rows_at_most)?;
        self.superseded.extend(old);
        Ok(())
    }

    /// Writes these rows as the newest run; those that are removed only if an older run may have
    /// them.
    fn write_run(
        &mut self,
        place: &Place,
        level: u8,
        rows: &mut Merged<'_>,
        rows_at_most: u64,
    ) -> Result<(), TableError> {
        let mut writer = RunWriter::new(place, self.next_run, level, rows_at_most);
        self.next_run += 1;
        let is_oldest = self.runs.is_empty();
        while let Some(row) = rows.next()? {
            if !(is_oldest && row.1.is_none()) {
                writer.push(row)?;
            }
        }
        self.runs.extend(writer.finish()?.map(Arc::new));
        Ok(())
    }
}

/// A key and its value, borrowed.
type KeyValue<'a> = (&'a [u8], &'a [u8]);

/// Rows in order, without those that are removed.
pub(crate) struct RowsFrom<'a> {
    merged: Merged<'a>,
}

impl RowsFrom<'_> {
    pub(crate) fn next_row(&mut self) -> Result<Option<KeyValue<'_>>, TableError> {
        // The loop borrows anew each time: what is shown last is looked at again to be given away.
        loop {
            match self.merged.next()? {
                None => return Ok(None),
                Some((_, None)) => {}
                Some((_, Some(_))) => break,
            }
        }
        Ok(self.merged.shown_row().and_then(|(key, value)| Some((key, value?))))
    }
}
