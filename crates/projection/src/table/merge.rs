//! Rows of several sources as one, the newer ones in front of the older.

use std::{cmp::Ordering, iter::Peekable, sync::Arc};

use super::{
    TableError,
    cache::PageCache,
    page::{Page, Row},
    run::Run,
};

/// Goes through the rows of one run.
pub(super) struct RunCursor<'a> {
    run: Arc<Run>,
    cache: Option<&'a PageCache>,
    /// The page at hand, and the number of the one behind it.
    page: Option<Page>,
    next: usize,
    index: usize,
}

impl<'a> RunCursor<'a> {
    /// Begins at the first row whose key is `from` or behind it.
    pub(super) fn new(
        run: &Arc<Run>,
        from: &[u8],
        cache: Option<&'a PageCache>,
    ) -> Result<Self, TableError> {
        let first = run.page_of(from).saturating_sub(1);
        let mut cursor = Self { run: Arc::clone(run), cache, page: None, next: first, index: 0 };
        cursor.turn()?;
        if let Some(page) = &cursor.page {
            cursor.index = page.seek(from);
            if cursor.index >= page.len() {
                cursor.turn()?;
            }
        }
        Ok(cursor)
    }

    fn row(&self) -> Option<Row<'_>> {
        self.page.as_ref()?.row(self.index)
    }

    fn advance(&mut self) -> Result<(), TableError> {
        self.index += 1;
        if self.page.as_ref().is_some_and(|page| self.index >= page.len()) {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), TableError> {
        self.index = 0;
        self.page = match self.next < self.run.pages() {
            true => Some(self.run.page(self.next, self.cache)?),
            false => None,
        };
        self.next += 1;
        Ok(())
    }
}

/// Rows of one source, in order.
pub(super) enum Source<'a> {
    Run(RunCursor<'a>),
    Recent(Peekable<Box<dyn Iterator<Item = Row<'a>> + 'a>>),
}

impl Source<'_> {
    fn row(&mut self) -> Option<Row<'_>> {
        match self {
            Self::Run(cursor) => cursor.row(),
            Self::Recent(rows) => rows.peek().copied(),
        }
    }

    fn advance(&mut self) -> Result<(), TableError> {
        match self {
            Self::Run(cursor) => cursor.advance(),
            Self::Recent(rows) => {
                rows.next();
                Ok(())
            }
        }
    }
}

/// The rows of all sources in order; of those with equal keys the one of the first source.
pub(super) struct Merged<'a> {
    sources: Vec<Source<'a>>,
    /// The key that was shown last: every source is to move behind it.
    shown: Option<Vec<u8>>,
    /// The source of that row.
    at: usize,
}

impl<'a> Merged<'a> {
    /// Of these sources, the newest first.
    pub(super) const fn new(sources: Vec<Source<'a>>) -> Self {
        Self { sources, shown: None, at: 0 }
    }

    /// The next row, removed ones too.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, TableError> {
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
                && first.is_none_or(|(_, least)| key.cmp(least) == Ordering::Less)
            {
                first = Some((index, key));
            }
        }
        let Some((index, key)) = first else {
            return Ok(None);
        };
        let shown = self.shown.get_or_insert_default();
        shown.clear();
        shown.extend_from_slice(key);
        self.at = index;
        Ok(self.shown_row())
    }

    /// The row that was shown last, once more.
    pub(super) fn shown_row(&mut self) -> Option<Row<'_>> {
        self.sources.get_mut(self.at).and_then(Source::row)
    }
}
