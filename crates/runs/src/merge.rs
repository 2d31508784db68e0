//! Rows of several sources as one, the newer ones before the older.

use std::{fmt, iter::Peekable};

use crate::{cursor::RunCursor, error::RunsError, joining::KeyValue, page::Row};

/// Rows of one source, in order.
pub(crate) enum MergeSource<'a> {
    Run(RunCursor<'a>),
    Changes(Peekable<Box<dyn Iterator<Item = Row<'a>> + 'a>>),
}

impl MergeSource<'_> {
    fn row(&mut self) -> Option<Row<'_>> {
        match self {
            Self::Run(cursor) => cursor.row(),
            Self::Changes(rows) => rows.peek().copied(),
        }
    }

    fn advance(&mut self) -> Result<(), RunsError> {
        match self {
            Self::Run(cursor) => cursor.advance(),
            Self::Changes(rows) => {
                rows.next();
                Ok(())
            }
        }
    }
}

/// The rows of all sources in order; of those with equal keys that of the first source.
pub(crate) struct Merged<'a> {
    sources: Vec<MergeSource<'a>>,
    /// The key that was shown last: every source is to move past it.
    shown: Option<Vec<u8>>,
    /// The source of that row.
    at: usize,
}

impl<'a> Merged<'a> {
    /// Of these sources, the newest first.
    pub(crate) const fn new(sources: Vec<MergeSource<'a>>) -> Self {
        Self { sources, shown: None, at: 0 }
    }

    /// The next row, those of removed keys too.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, RunsError> {
        if let Some(shown) = &self.shown {
            for source in &mut self.sources {
                if source.row().is_some_and(|(key, _)| key == shown.as_slice()) {
                    source.advance()?;
                }
            }
        }
        let mut first: Option<(usize, &[u8])> = None;
        for (index, source) in self.sources.iter_mut().enumerate() {
            if let Some((key, _)) = source.row()
                && first.is_none_or(|(_, least)| key < least)
            {
                first = Some((index, key));
            }
        }
        let Some((index, key)) = first else { return Ok(None) };
        let shown = self.shown.get_or_insert_default();
        shown.clear();
        shown.extend_from_slice(key);
        self.at = index;
        Ok(self.shown_row())
    }

    /// The row that was shown last, once more.
    fn shown_row(&mut self) -> Option<Row<'_>> {
        self.sources.get_mut(self.at).and_then(MergeSource::row)
    }
}

/// The rows of a set in order of their keys, without those that are removed.
pub struct RunScan<'a> {
    merged: Merged<'a>,
}

impl<'a> RunScan<'a> {
    pub(crate) const fn new(merged: Merged<'a>) -> Self {
        Self { merged }
    }

    /// The next row: its key and its value.
    ///
    /// # Errors
    /// [`RunsError`] when a page is damaged or cannot be read.
    pub fn next_row(&mut self) -> Result<Option<KeyValue<'_>>, RunsError> {
        // The loop borrows anew each time: the row shown last is looked at again to be given away.
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

impl fmt::Debug for RunScan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}
