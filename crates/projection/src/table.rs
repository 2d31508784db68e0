//! The table that a projection keeps its state in.

mod key;
mod recent;
mod rows;

use std::fmt;

use spacefold_event_core::{Position, StorageError};
use spacefold_runs::RunsError;

pub use self::key::{RowKey, RowKeyReader};
pub(crate) use self::rows::TableRows;

/// Bytes of the key of a row, as it is kept: those that a [`RowKey`] adds to texts count.
pub const MAX_ROW_KEY_BYTES: usize = 4_096;
/// Bytes of the value of a row.
pub const MAX_ROW_VALUE_BYTES: usize = 4 << 20;

/// The rows of a projection while an event is applied: keys and values are bytes, sorted by key.
///
/// Changes count together with the event that made them, or not at all. What was changed since the
/// last checkpoint is in memory, everything else is read from where it is kept: memory does not
/// grow with the table.
pub struct Table<'a> {
    rows: &'a mut TableRows,
}

impl<'a> Table<'a> {
    pub(crate) const fn new(rows: &'a mut TableRows) -> Self {
        Self { rows }
    }

    /// The value under a key.
    ///
    /// # Errors
    /// [`TableError`], which an `apply` is to hand on.
    ///
    /// # Cost
    /// At most a page read, mostly none.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, TableError> {
        self.rows.get(key.as_ref())
    }

    /// Puts a value under a key, in place of the one that is there.
    ///
    /// # Errors
    /// [`TableError::KeyTooLong`] and [`TableError::ValueTooLong`]: nothing is changed then.
    pub fn put(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), TableError> {
        let value = value.as_ref();
        if value.len() > MAX_ROW_VALUE_BYTES {
            return Err(TableError::ValueTooLong { bytes: value.len() });
        }
        self.rows.set(checked(key.as_ref())?, Some(value));
        Ok(())
    }

    /// Removes the value under a key, if there is one.
    ///
    /// # Errors
    /// [`TableError::KeyTooLong`]: nothing is changed then.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Result<(), TableError> {
        self.rows.set(checked(key.as_ref())?, None);
        Ok(())
    }

    /// The rows whose keys begin with `prefix`, in order of their keys.
    ///
    /// # Errors
    /// [`TableError`]; the iterator ends behind the first one.
    pub fn scan(&self, prefix: impl AsRef<[u8]>) -> Result<Scan<'_>, TableError> {
        Scan::new(self.rows, prefix.as_ref(), ScanLimit::Prefix(prefix.as_ref().to_vec()))
    }

    /// The rows whose keys are `from` or behind it, and before `to`, in order of their keys.
    ///
    /// # Errors
    /// As [`Table::scan`].
    pub fn range(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<Scan<'_>, TableError> {
        Scan::new(self.rows, from.as_ref(), ScanLimit::Before(to.as_ref().to_vec()))
    }
}

fn checked(key: &[u8]) -> Result<&[u8], TableError> {
    if key.len() > MAX_ROW_KEY_BYTES {
        return Err(TableError::KeyTooLong { bytes: key.len() });
    }
    Ok(key)
}

/// The rows of a projection as of one position, for a query.
pub struct TableView<'a> {
    rows: &'a TableRows,
    position: Position,
    version: u32,
}

impl<'a> TableView<'a> {
    pub(crate) const fn new(rows: &'a TableRows, position: Position, version: u32) -> Self {
        Self { rows, position, version }
    }

    /// The position up to which the log is folded.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The version of the fold that made the rows: the one before, while a new one is built.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The value under a key.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, TableError> {
        self.rows.get(key.as_ref())
    }

    /// The rows whose keys begin with `prefix`, in order of their keys.
    ///
    /// # Errors
    /// [`TableError`]; the iterator ends behind the first one.
    pub fn scan(&self, prefix: impl AsRef<[u8]>) -> Result<Scan<'_>, TableError> {
        Scan::new(self.rows, prefix.as_ref(), ScanLimit::Prefix(prefix.as_ref().to_vec()))
    }

    /// The rows whose keys are `from` or behind it, and before `to`, in order of their keys.
    ///
    /// # Errors
    /// As [`TableView::scan`].
    pub fn range(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<Scan<'_>, TableError> {
        Scan::new(self.rows, from.as_ref(), ScanLimit::Before(to.as_ref().to_vec()))
    }
}

/// A key and its value.
pub(crate) type OwnedRow = (Vec<u8>, Vec<u8>);

/// Where a scan ends.
enum ScanLimit {
    Prefix(Vec<u8>),
    Before(Vec<u8>),
}

/// Rows, one after the other, in order of their keys: each a key and a value.
pub struct Scan<'a> {
    rows: Option<spacefold_runs::RunScan<'a>>,
    limits: ScanLimit,
}

impl<'a> Scan<'a> {
    fn new(rows: &'a TableRows, from: &[u8], limits: ScanLimit) -> Result<Self, TableError> {
        Ok(Self { rows: Some(rows.rows_from(from)?), limits })
    }

    fn step(&mut self) -> Result<Option<OwnedRow>, TableError> {
        let Some(rows) = &mut self.rows else {
            return Ok(None);
        };
        let Some((key, value)) = rows.next_row()? else {
            return Ok(None);
        };
        let is_within = match &self.limits {
            ScanLimit::Prefix(prefix) => key.starts_with(prefix),
            ScanLimit::Before(end) => key < end.as_slice(),
        };
        Ok(is_within.then(|| (key.to_vec(), value.to_vec())))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<OwnedRow, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step().transpose();
        if !matches!(step, Some(Ok(_))) {
            self.rows = None;
        }
        step
    }
}

/// Why a table gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A key is past its limit.
    #[error("the key of a row has {bytes} bytes: the limit is {MAX_ROW_KEY_BYTES}")]
    KeyTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// A value is past its limit.
    #[error("the value of a row has {bytes} bytes: the limit is {MAX_ROW_VALUE_BYTES}")]
    ValueTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// What is persisted of the table is not what was written: it is derived, and is folded anew.
    #[error("the table is damaged, fold it again: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// The store of persisted states failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<RunsError> for TableError {
    fn from(error: RunsError) -> Self {
        match error {
            RunsError::Storage(error) => Self::Storage(error),
            RunsError::KeyTooLong { bytes } => Self::KeyTooLong { bytes },
            damaged => Self::damaged(damaged),
        }
    }
}

impl TableError {
    pub(crate) fn damaged(what: impl fmt::Display) -> Self {
        Self::Damaged { what: what.to_string() }
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl fmt::Debug for TableView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, version, .. } = self;
        f.debug_struct("TableView")
            .field("position", position)
            .field("version", version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
