//! Reading a log to its end: the one loop over pages.

use std::{fmt, ops::Deref};

use crate::{LogReader, Page, Position, Read, ReadError};

type ReadPage<'a> = dyn Fn(&Read) -> Result<Page, ReadError> + Send + Sync + 'a;

/// The pages of a read, one after the other, up to the durable head as it was at the beginning.
///
/// Each page leads beyond the one before. A log that has a head and gives nothing on the way to it
/// is an error, never the end: whoever counts, marks or folds must not take a part for the whole.
/// Pages may be empty, since a filter passes over much; they say how far the read has come. The
/// first error ends it.
///
/// ```
/// use spacefold::{Append, LogReader, LogWriter, MemoryLog, Position, Read, SpaceEvent};
/// let log = MemoryLog::new();
/// log.append(&Append::new(&[SpaceEvent::space_created("handbook", "Handbook")]))?;
/// let mut events = 0;
/// for page in log.pages(Read::from(Position::new(1)).limit(100)) {
///     events += page?.len();
/// }
/// assert_eq!(events, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pages<'a> {
    read_page: Box<ReadPage<'a>>,
    /// What is left to be read.
    read: Read,
    has_ended: bool,
}

impl<'a> Pages<'a> {
    /// The pages of this read: of a reference to the log, as [`LogReader::pages`] gives them, or of a
    /// handle that owns it.
    #[must_use]
    pub fn of<L>(log: L, mut read: Read) -> Self
    where
        L: Deref<Target: LogReader> + Send + Sync + 'a,
    {
        read.to = read.to.min(log.durable_head());
        read.from = read.from.max(Position::new(1));
        Self { read_page: Box::new(move |read| log.read(read)), read, has_ended: false }
    }

    /// The first position that has not been looked at.
    #[must_use]
    pub const fn next_position(&self) -> Position {
        self.read.from
    }

    /// The last position that is read.
    #[must_use]
    pub const fn last_position(&self) -> Position {
        self.read.to
    }

    fn read_on(&mut self) -> Result<Page, ReadError> {
        let page = (self.read_page)(&self.read)?;
        page.check_progress(&self.read)?;
        self.read.from = page.next();
        Ok(page)
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Page, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended || self.read.from > self.read.to {
            return None;
        }
        let page = self.read_on();
        self.has_ended = page.is_err();
        Some(page)
    }
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, has_ended, .. } = self;
        f.debug_struct("Pages").field("read", read).field("has_ended", has_ended).finish()
    }
}

#[cfg(test)]
mod tests;
