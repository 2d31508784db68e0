//! Rows of several sources as one, the newer ones before the older.

use std::{cmp::Ordering, fmt, iter::Peekable};

use crate::{
    cursor::RunCursor,
    error::RunsError,
    joining::KeyValue,
    page::{Row, prefix},
};

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

    /// How the key of the row begins.
    fn head(&mut self) -> Option<u128> {
        self.row().map(|(key, _)| prefix(key))
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
    /// How the key of each source's row begins, so that most are told apart without a look at it;
    /// `None` after its last row.
    heads: Vec<Option<u128>>,
    /// The source of the row that was shown last: every source is to move past that.
    shown: Option<usize>,
}

impl<'a> Merged<'a> {
    /// Of these sources, the newest first.
    pub(crate) fn new(mut sources: Vec<MergeSource<'a>>) -> Self {
        let heads = sources.iter_mut().map(MergeSource::head).collect();
        Self { sources, heads, shown: None }
    }

    /// The next row, those of removed keys too.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, RunsError> {
        if let Some(shown) = self.shown {
            for other in 0..self.sources.len() {
                if other != shown && self.compare(other, shown) == Ordering::Equal {
                    self.advance(other)?;
                }
            }
            self.advance(shown)?;
        }
        let mut first: Option<usize> = None;
        for source in 0..self.sources.len() {
            if self.heads.get(source).is_some_and(Option::is_some)
                && first.is_none_or(|first| self.compare(source, first) == Ordering::Less)
            {
                first = Some(source);
            }
        }
        self.shown = first;
        Ok(self.shown_row())
    }

    fn advance(&mut self, source: usize) -> Result<(), RunsError> {
        if let (Some(source), Some(head)) =
            (self.sources.get_mut(source), self.heads.get_mut(source))
        {
            source.advance()?;
            *head = source.head();
        }
        Ok(())
    }

    /// Which of two sources has the row with the lower key; one that is at its end has the highest.
    fn compare(&mut self, one: usize, other: usize) -> Ordering {
        let head = |source| self.heads.get(source).copied().flatten();
        let by_heads = match (head(one), head(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            (one, other) => return other.is_some().cmp(&one.is_some()),
        };
        by_heads.then_with(|| match self.sources.get_disjoint_mut([one, other]) {
            Ok([one, other]) => one.row().map(|(key, _)| key).cmp(&other.row().map(|(key, _)| key)),
            Err(_) => Ordering::Equal,
        })
    }

    /// The row that was shown last, once more.
    fn shown_row(&mut self) -> Option<Row<'_>> {
        self.sources.get_mut(self.shown?).and_then(MergeSource::row)
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
