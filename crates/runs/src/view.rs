//! The rows of a set as of one manifest, to be read while others go on.

use std::{
    ops::{Bound, Deref},
    sync::Arc,
};

use crate::{
    cache::PageCache,
    cursor::RunCursor,
    error::RunsError,
    filter::key_digest,
    merge::{MergeSource, Merged, RunScan},
    page::Row,
    run::{FoundRow, KeyRange, RunFile},
};

/// The rows of a set as of one manifest. A clone is cheap, and both go on to read what the set was
/// then, whatever is written or removed.
#[derive(Clone, Debug)]
pub struct View {
    /// The oldest first.
    pub(crate) runs: Arc<[Arc<RunFile>]>,
    pub(crate) cache: Arc<PageCache>,
    pub(crate) filter_key: fn(&[u8]) -> &[u8],
    pub(crate) is_ascending: bool,
}

/// A key and its value.
pub type OwnedKeyValue = (Vec<u8>, Vec<u8>);

/// What a set has of a key.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// Nothing.
    Absent,
    /// That it is removed.
    Removed,
    /// A value.
    Value(RowValue),
}

/// A value, in memory for as long as this is.
#[derive(Clone, Debug)]
pub struct RowValue(FoundRow);

impl Deref for RowValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.row().and_then(|(_, value)| value).unwrap_or_default()
    }
}

impl AsRef<[u8]> for RowValue {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Lookup {
    fn of(found: FoundRow) -> Self {
        match found.row() {
            Some((_, Some(_))) => Self::Value(RowValue(found)),
            _ => Self::Removed,
        }
    }

    /// The value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<RowValue> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Removed => None,
        }
    }
}

impl View {
    /// What the runs have of a key.
    ///
    /// # Errors
    /// [`RunsError`] when a page is damaged or cannot be read.
    ///
    /// # Cost
    /// A page of each level of the index, a filter and a leaf of the runs that may have it: at most some
    /// three reads of 4 KiB, mostly none. Runs without the key cost a look at a filter.
    pub fn get(&self, key: &[u8]) -> Result<Lookup, RunsError> {
        let filtered = key_digest((self.filter_key)(key));
        for run in self.runs.iter().rev() {
            if let Some(found) = run.get(key, filtered, &self.cache)? {
                return Ok(Lookup::of(found));
            }
        }
        Ok(Lookup::Absent)
    }

    /// The last row whose key is `key` or before it, among those whose filter key is that of
    /// `key`; its key and its value.
    ///
    /// # Errors
    /// As [`View::get`].
    ///
    /// # Cost
    /// As [`View::get`], once more for each removed key that is passed. Where rows are
    /// [ascending](crate::RunSetOptions::is_ascending), runs older than the one that has it cost nothing.
    pub fn floor(&self, key: &[u8]) -> Result<Option<(Vec<u8>, RowValue)>, RunsError> {
        let group = (self.filter_key)(key);
        let filtered = key_digest(group);
        let mut to = Bound::Included(key.to_vec());
        loop {
            let mut last: Option<(Vec<u8>, FoundRow)> = None;
            for run in self.runs.iter().rev() {
                let to = to.as_ref().map(Vec::as_slice);
                let Some(found) = run.last_row(to, filtered, &self.cache)? else { continue };
                let Some((at, _)) = found.row() else { continue };
                let is_of_group = (self.filter_key)(at) == group;
                if is_of_group && last.as_ref().is_none_or(|(last, _)| last.as_slice() < at) {
                    last = Some((at.to_vec(), found));
                    if self.is_ascending {
                        break;
                    }
                }
            }
            match last {
                None => return Ok(None),
                Some((at, found)) => match Lookup::of(found) {
                    Lookup::Value(value) => return Ok(Some((at, value))),
                    Lookup::Absent | Lookup::Removed => to = Bound::Excluded(at),
                },
            }
        }
    }

    /// The first rows whose keys are `from` or after it, in order: `most` at most.
    ///
    /// # Errors
    /// As [`View::get`].
    ///
    /// # Cost
    /// That of the runs that have some of these rows; of the others a comparison with the first and the
    /// last key of each, which are in memory.
    pub fn rows_from(&self, from: &[u8], most: usize) -> Result<Vec<OwnedKeyValue>, RunsError> {
        let mut runs = Vec::with_capacity(self.runs.len());
        for (age, run) in self.runs.iter().rev().enumerate() {
            let Some(KeyRange { first, last }) = run.key_range(&self.cache)? else { continue };
            if from <= last {
                runs.push((first.max(from), age, run));
            }
        }
        runs.sort_unstable_by_key(|(first, ..)| *first);
        let (mut rows, mut used) = (Vec::new(), 0);
        // The key up to which runs are looked into; all of them where there are too few rows.
        let mut bound = runs.first().map(|(first, ..)| first.to_vec());
        loop {
            let is_in = |first: &[u8]| bound.as_deref().is_none_or(|bound| first <= bound);
            let count = runs.partition_point(|(first, ..)| is_in(first));
            if count == used {
                return Ok(rows);
            }
            used = count;
            let mut sources: Vec<_> =
                runs.iter().take(used).map(|(_, age, run)| (*age, *run)).collect();
            sources.sort_unstable_by_key(|(age, _)| *age);
            let cursor = |(_, run)| RunCursor::new(run, from, Some(&*self.cache));
            let sources = sources.into_iter().map(|source| cursor(source).map(MergeSource::Run));
            let mut scan = RunScan::new(Merged::new(sources.collect::<Result<_, _>>()?));
            rows.clear();
            while rows.len() < most
                && let Some((key, value)) = scan.next_row()?
            {
                rows.push((key.to_vec(), value.to_vec()));
            }
            bound = rows.last().filter(|_| rows.len() == most).map(|(key, _)| key.clone());
        }
    }

    /// The rows whose keys are `from` or after it, in order.
    ///
    /// # Errors
    /// As [`View::get`].
    ///
    /// # Cost
    /// Reads each page once, in order.
    pub fn scan(&self, from: &[u8]) -> Result<RunScan<'_>, RunsError> {
        Ok(RunScan::new(Merged::new(self.sources(from)?)))
    }

    /// As [`View::scan`], with changes that are in no run yet: sorted, from `from` on.
    ///
    /// # Errors
    /// As [`View::get`].
    pub fn scan_with<'a>(
        &'a self,
        changes: impl Iterator<Item = Row<'a>> + 'a,
        from: &[u8],
    ) -> Result<RunScan<'a>, RunsError> {
        let changes: Box<dyn Iterator<Item = Row<'a>> + 'a> = Box::new(changes);
        let mut sources = vec![MergeSource::Changes(changes.peekable())];
        sources.extend(self.sources(from)?);
        Ok(RunScan::new(Merged::new(sources)))
    }

    /// As [`View::scan`], of rows whose filter key is that of `from`, up to `to` at least: runs
    /// without such a row are left alone, so that rows of other filter keys may be missing.
    ///
    /// # Errors
    /// As [`View::get`].
    ///
    /// # Cost
    /// That of [`View::floor`], then each page once, in order.
    pub fn scan_group(&self, from: &[u8], to: &[u8]) -> Result<RunScan<'_>, RunsError> {
        let group = (self.filter_key)(from);
        let filtered = key_digest(group);
        let mut sources = Vec::new();
        for run in self.runs.iter().rev() {
            let last = run.last_row(Bound::Included(to), filtered, &self.cache)?;
            let is_of_group = |(key, _): Row<'_>| key >= from && (self.filter_key)(key) == group;
            if last.as_ref().and_then(FoundRow::row).is_some_and(is_of_group) {
                sources.push(MergeSource::Run(RunCursor::new(run, from, Some(&*self.cache))?));
            }
        }
        Ok(RunScan::new(Merged::new(sources)))
    }

    /// How many rows the runs have, those of removed keys and of several runs too.
    #[must_use]
    pub fn rows_at_most(&self) -> u64 {
        self.runs.iter().map(|run| run.rows()).sum()
    }

    fn sources(&self, from: &[u8]) -> Result<Vec<MergeSource<'_>>, RunsError> {
        let cursor = |run| RunCursor::new(run, from, Some(&*self.cache)).map(MergeSource::Run);
        self.runs.iter().rev().map(cursor).collect()
    }
}
