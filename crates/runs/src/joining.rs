//! Neighbouring rows of a merge that become one.

use crate::{error::RunsError, page::Row};

/// A key and its value.
pub type KeyValue<'a> = (&'a [u8], &'a [u8]);

/// Joins two neighbouring rows of a merge into one under the key of the first: puts its value into
/// the empty buffer and answers `true`, or answers `false`.
///
/// Made for lists that grow at their end: each run has the newest part of a list as a row of its
/// own, and merges make few rows of many.
pub type Join = fn(earlier: KeyValue<'_>, later: KeyValue<'_>, joined: &mut Vec<u8>) -> bool;

/// The row at hand, to which those after it may be joined.
pub(crate) struct Joining {
    join: Option<Join>,
    row: Option<(Vec<u8>, Vec<u8>)>,
    joined: Vec<u8>,
}

impl Joining {
    pub(crate) const fn new(join: Option<Join>) -> Self {
        Self { join, row: None, joined: Vec::new() }
    }

    /// Takes the next row, and hands over what is not joined any further.
    pub(crate) fn add(
        &mut self,
        row: Row<'_>,
        mut push: impl FnMut(Row<'_>) -> Result<(), RunsError>,
    ) -> Result<(), RunsError> {
        let Some(join) = self.join else { return push(row) };
        let Some(value) = row.1 else {
            self.finish(&mut push)?;
            return push(row);
        };
        if let Some((key, earlier)) = &mut self.row {
            self.joined.clear();
            if join((key, earlier), (row.0, value), &mut self.joined) {
                std::mem::swap(earlier, &mut self.joined);
                return Ok(());
            }
            push((key, Some(earlier)))?;
        }
        let (key, kept) = self.row.get_or_insert_default();
        for (to, from) in [(key, row.0), (kept, value)] {
            to.clear();
            to.extend_from_slice(from);
        }
        Ok(())
    }

    /// Hands over the row at hand.
    pub(crate) fn finish(
        &mut self,
        mut push: impl FnMut(Row<'_>) -> Result<(), RunsError>,
    ) -> Result<(), RunsError> {
        match self.row.take() {
            Some((key, value)) => push((&key, Some(&value))),
            None => Ok(()),
        }
    }
}
