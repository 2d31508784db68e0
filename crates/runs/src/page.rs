//! A page: sorted rows, immutable, bound to its place by a digest.
//!
//! Bytes: digest of all that follows (u64), number of rows (u32), where each row ends after the ends
//! (u32 each), rows. Row: length of the key (u16), 1 with a value and 0 for a key that is removed,
//! key, value. All numbers are little endian. The digest is XXH3 with 64 bits, seeded with the run and
//! the offset of the page.

use std::{ops::Bound, sync::Arc};

use twox_hash::XxHash3_64;

/// Bytes of a key.
pub const MAX_KEY_BYTES: usize = 8 << 10;

/// Bytes of the rows of a page, unless one row is larger.
pub(crate) const PAGE_BYTES: usize = 4 << 10;

const DIGEST_BYTES: usize = 8;
const COUNT_BYTES: usize = 4;
const END_BYTES: usize = 4;

/// A key, and its value or that it is removed.
pub type Row<'a> = (&'a [u8], Option<&'a [u8]>);

/// The seed of the digest of what is at an offset of a run.
pub(crate) const fn place(run: u64, offset: u64) -> u64 {
    run.rotate_left(40) ^ offset
}

/// The digest of bytes at a place.
pub(crate) fn digest(place: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(place, bytes)
}

/// A page whose bytes are those that were written.
#[derive(Clone, Debug)]
pub(crate) struct RunPage {
    /// As they were read: a copy of a value of many MiB would cost more than reading it.
    bytes: Arc<Vec<u8>>,
    count: usize,
}

impl RunPage {
    /// The page from its bytes; `None` when they are damaged or of another place.
    pub(crate) fn decode(bytes: Vec<u8>, place: u64) -> Option<Self> {
        let (stored, body) = bytes.split_first_chunk::<DIGEST_BYTES>()?;
        if u64::from_le_bytes(*stored) != digest(place, body) {
            return None;
        }
        let (count, _) = body.split_first_chunk::<COUNT_BYTES>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let page = Self { bytes: Arc::new(bytes), count };
        // Checked once, so that no row is missing later.
        (0..count).all(|index| page.row(index).is_some()).then_some(page)
    }

    /// How many rows there are.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn row(&self, index: usize) -> Option<Row<'_>> {
        if index >= self.count {
            return None;
        }
        let begin = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.end(before)?,
        };
        let rows = DIGEST_BYTES + COUNT_BYTES + self.count * END_BYTES;
        row_of(self.bytes.get(rows..)?.get(begin..self.end(index)?)?)
    }

    /// The index of the first row whose key is `key` or after it.
    pub(crate) fn seek(&self, key: &[u8]) -> usize {
        self.partition_point(|found| found < key)
    }

    /// The index of the last row whose key is within a bound.
    pub(crate) fn seek_back(&self, to: Bound<&[u8]>) -> Option<usize> {
        let after = match to {
            Bound::Included(key) => self.partition_point(|found| found <= key),
            Bound::Excluded(key) => self.seek(key),
            Bound::Unbounded => self.count,
        };
        after.checked_sub(1)
    }

    fn partition_point(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.row(middle).is_some_and(|(found, _)| is_before(found)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn end(&self, index: usize) -> Option<usize> {
        let at = DIGEST_BYTES + COUNT_BYTES + index * END_BYTES;
        let end = self.bytes.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*end)).ok()
    }
}

/// How a key begins, as a number: keys in order are numbers in order, but for keys that begin alike.
pub(crate) fn prefix(key: &[u8]) -> u128 {
    if let Some(bytes) = key.first_chunk() {
        return u128::from_be_bytes(*bytes);
    }
    let mut bytes = [0; size_of::<u128>()];
    for (to, from) in bytes.iter_mut().zip(key) {
        *to = *from;
    }
    u128::from_be_bytes(bytes)
}

/// The row that bytes of a page are.
fn row_of(bytes: &[u8]) -> Option<Row<'_>> {
    let (key_bytes, rest) = bytes.split_first_chunk()?;
    let (kind, rest) = rest.split_first()?;
    let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_bytes)))?;
    Some((key, (*kind == 1).then_some(value)))
}

/// Puts a page together from rows that come in order.
#[derive(Debug, Default)]
pub(crate) struct PageBuilder {
    ends: Vec<u32>,
    rows: Vec<u8>,
}

impl PageBuilder {
    pub(crate) const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether a row of this many bytes goes into the page.
    pub(crate) const fn has_room(&self, row_bytes: usize) -> bool {
        self.ends.is_empty() || self.rows.len() + row_bytes <= PAGE_BYTES
    }

    /// Adds a row, whose key has at most [`MAX_KEY_BYTES`].
    pub(crate) fn push(&mut self, (key, value): Row<'_>) {
        let key_bytes = u16::try_from(key.len()).unwrap_or(u16::MAX);
        self.rows.extend_from_slice(&key_bytes.to_le_bytes());
        self.rows.push(u8::from(value.is_some()));
        self.rows.extend_from_slice(key);
        self.rows.extend_from_slice(value.unwrap_or_default());
        self.ends.push(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
    }

    /// Hands the rows over, in order, and is empty again.
    pub(crate) fn drain<E>(
        &mut self,
        mut take: impl FnMut(Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { ends, rows } = std::mem::take(self);
        let begins = std::iter::once(0).chain(ends.iter().copied());
        for (begin, end) in begins.zip(&ends) {
            let range = usize::try_from(begin).unwrap_or(0)..usize::try_from(*end).unwrap_or(0);
            if let Some(row) = rows.get(range).and_then(row_of) {
                take(row)?;
            }
        }
        Ok(())
    }

    /// Adds the bytes of the page at this place to `bytes`, and is empty again.
    pub(crate) fn finish(&mut self, place: u64, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; DIGEST_BYTES]);
        let count = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        self.ends.drain(..).for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        bytes.append(&mut self.rows);
        let page = bytes.get_mut(start..).unwrap_or_default();
        if let Some((stored, body)) = page.split_first_chunk_mut::<DIGEST_BYTES>() {
            *stored = digest(place, body).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_and_no_damaged_page_is_taken() {
        let mut builder = PageBuilder::default();
        let rows: [Row<'_>; 4] =
            [(b"", Some(b"empty key")), (b"a", None), (b"b", Some(b"")), (b"bb", Some(b"2"))];
        rows.into_iter().for_each(|row| builder.push(row));
        let mut bytes = Vec::new();
        builder.finish(5, &mut bytes);
        assert!(builder.is_empty());
        let page = RunPage::decode(bytes.clone(), 5).unwrap();
        let found: Vec<_> = (0..5).map(|n| page.row(n)).collect();
        assert_eq!(found, [Some(rows[0]), Some(rows[1]), Some(rows[2]), Some(rows[3]), None]);
        let sought = [&b""[..], b"A", b"a", b"aa", b"bb", b"c"];
        let first: Vec<usize> = sought.iter().map(|key| page.seek(key)).collect();
        assert_eq!(first, [0, 1, 1, 2, 3, 4]);
        let back = |key: &&[u8]| page.seek_back(Bound::Included(*key));
        let last: Vec<_> = sought.iter().map(back).collect();
        assert_eq!(last, [Some(0), Some(0), Some(1), Some(1), Some(3), Some(3)]);
        let back = |key: &&[u8]| page.seek_back(Bound::Excluded(*key));
        let before: Vec<_> = sought.iter().map(back).collect();
        assert_eq!(before, [None, Some(0), Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(page.seek_back(Bound::Unbounded), Some(3));
        assert!(RunPage::decode(bytes.clone(), 6).is_none(), "another place");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(RunPage::decode(damaged, 5).is_none(), "bit {bit}");
        }
    }
}
