//! Goes through the rows of one run in order.

use std::{ops::Bound, sync::Arc};

use crate::{
    cache::PageCache,
    error::RunsError,
    page::{Row, RunPage},
    run::RunFile,
};

/// Stands on a row of a run, or after the last one.
#[derive(Debug)]
pub(crate) struct RunCursor<'a> {
    run: Arc<RunFile>,
    cache: Option<&'a PageCache>,
    /// The way to the row: the root, a page of each level, the leaf; and the row of each. Empty after
    /// the last row.
    way: Vec<(RunPage, usize)>,
}

impl<'a> RunCursor<'a> {
    /// Begins at the first row whose key is `from` or after it. What is read on the way is kept
    /// in the cache if there is one.
    pub(crate) fn new(
        run: &Arc<RunFile>,
        from: &[u8],
        cache: Option<&'a PageCache>,
    ) -> Result<Self, RunsError> {
        let mut cursor = Self { run: Arc::clone(run), cache, way: Vec::new() };
        cursor.descend(
            run.root().clone(),
            usize::from(run.levels()),
            |page, level| match level {
                0 => page.seek(from),
                _ => page.seek_back(Bound::Included(from)).unwrap_or(0),
            },
        )?;
        cursor.settle()?;
        Ok(cursor)
    }

    pub(crate) fn row(&self) -> Option<Row<'_>> {
        let (page, index) = self.way.last()?;
        page.row(*index)
    }

    pub(crate) fn advance(&mut self) -> Result<(), RunsError> {
        if let Some((_, index)) = self.way.last_mut() {
            *index += 1;
        }
        self.settle()
    }

    /// Where the leaf has no row left, goes on to the first row of the next one.
    fn settle(&mut self) -> Result<(), RunsError> {
        let is_past = |(page, index): &(RunPage, usize)| *index >= page.len();
        if !self.way.last().is_some_and(is_past) {
            return Ok(());
        }
        let levels = self.way.len();
        while self.way.last().is_some_and(is_past) {
            self.way.pop();
            if let Some((_, index)) = self.way.last_mut() {
                *index += 1;
            }
        }
        let Some((page, index)) = self.way.last() else { return Ok(()) };
        let below = levels - 1 - self.way.len();
        let child = self.run.child(page, *index)?;
        let page = self.run.page(child.page, self.cache)?;
        self.descend(page, below, |_, _| 0)
    }

    /// Goes down from a page that is `level` levels above the leaves.
    fn descend(
        &mut self,
        mut page: RunPage,
        mut level: usize,
        choose: impl Fn(&RunPage, usize) -> usize,
    ) -> Result<(), RunsError> {
        loop {
            let index = choose(&page, level);
            self.way.push((page, index));
            let Some((page_above, _)) = self.way.last().filter(|_| level > 0) else {
                return Ok(());
            };
            let child = self.run.child(page_above, index)?;
            page = self.run.page(child.page, self.cache)?;
            level -= 1;
        }
    }
}
