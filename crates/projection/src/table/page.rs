//! A page of rows: sorted, immutable, bound to its place by a digest.
//!
//! Bytes: digest of all that follows, seeded with the page's place (u64), number of rows (u32),
//! where each row ends behind the ends (u32 each), rows. Row: length of the key (u16), 1 with a
//! value and 0 for a row that is removed, key, value.

use std::sync::Arc;

use spacefold_event_core::bytes::{ByteReader, put_u64, to_usize};

use crate::wire::Digest;

/// Bytes of the rows of one page, unless one row is larger.
pub(super) const PAGE_BYTES: usize = 4 << 10;

const DIGEST_BYTES: usize = 8;
const COUNT_BYTES: usize = 4;
const END_BYTES: usize = 4;

/// A row as a page holds it: the key, and the value or that there is none any more.
pub(super) type Row<'a> = (&'a [u8], Option<&'a [u8]>);

#[derive(Clone, Debug)]
pub(super) struct Page {
    bytes: Arc<[u8]>,
    count: usize,
}

impl Page {
    /// The page from its bytes; `None` when they are damaged or of another place.
    pub(super) fn decode(bytes: Vec<u8>, place: u64) -> Option<Self> {
        let (digest, body) = bytes.split_first_chunk::<DIGEST_BYTES>()?;
        if u64::from_le_bytes(*digest) != digest_of(body, place) {
            return None;
        }
        let (count, _) = body.split_first_chunk::<COUNT_BYTES>()?;
        let count = to_usize(u32::from_le_bytes(*count));
        let page = Self { bytes: bytes.into(), count };
        // Looked at once, so that no row is missing later.
        (0..count).all(|index| page.row(index).is_some()).then_some(page)
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn row(&self, index: usize) -> Option<Row<'_>> {
        if index >= self.count {
            return None;
        }
        let begin = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.end(before)?,
        };
        let rows = DIGEST_BYTES + COUNT_BYTES + self.count * END_BYTES;
        let row = self.bytes.get(rows..)?.get(begin..self.end(index)?)?;
        let (key_bytes, rest) = row.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let key_bytes = usize::from(u16::from_le_bytes(*key_bytes));
        let (key, value) = rest.split_at_checked(key_bytes)?;
        Some((key, (*kind == 1).then_some(value)))
    }

    /// The index of the first row whose key is `key` or behind it.
    pub(super) fn seek(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.row(middle).is_some_and(|(found, _)| found < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn end(&self, index: usize) -> Option<usize> {
        let at = DIGEST_BYTES + COUNT_BYTES + index * END_BYTES;
        ByteReader::new(self.bytes.get(at..)?).u32().map(to_usize)
    }
}

/// Puts rows together, which come in order.
#[derive(Default)]
pub(super) struct PageBuilder {
    ends: Vec<u32>,
    rows: Vec<u8>,
}

impl PageBuilder {
    pub(super) const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether a row of so many bytes still has its place in the page.
    pub(super) const fn has_room(&self, row_bytes: usize) -> bool {
        self.ends.is_empty() || self.rows.len() + row_bytes <= PAGE_BYTES
    }

    pub(super) fn push(&mut self, (key, value): Row<'_>) {
        let key_bytes = u16::try_from(key.len()).unwrap_or(u16::MAX);
        self.rows.extend_from_slice(&key_bytes.to_le_bytes());
        self.rows.push(u8::from(value.is_some()));
        self.rows.extend_from_slice(key);
        self.rows.extend_from_slice(value.unwrap_or_default());
        self.ends.push(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
    }

    /// The bytes of the page at this place, and an empty builder.
    pub(super) fn finish(&mut self, place: u64) -> Vec<u8> {
        let ends = std::mem::take(&mut self.ends);
        let mut body = Vec::with_capacity(COUNT_BYTES + ends.len() * END_BYTES + self.rows.len());
        let count = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&count.to_le_bytes());
        for end in ends {
            body.extend_from_slice(&end.to_le_bytes());
        }
        body.append(&mut self.rows);
        let mut bytes = Vec::with_capacity(DIGEST_BYTES + body.len());
        put_u64(&mut bytes, digest_of(&body, place));
        bytes.extend_from_slice(&body);
        bytes
    }
}

fn digest_of(body: &[u8], place: u64) -> u64 {
    let mut digest = Digest::new(place);
    digest.bytes(body);
    digest.get()
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
        let bytes = builder.finish(5);
        assert!(builder.is_empty());
        let page = Page::decode(bytes.clone(), 5).unwrap();
        assert_eq!(
            (0..5).map(|n| page.row(n)).collect::<Vec<_>>(),
            [Some(rows[0]), Some(rows[1]), Some(rows[2]), Some(rows[3]), None]
        );
        let sought: Vec<usize> =
            [&b""[..], b"A", b"a", b"aa", b"bb", b"c"].iter().map(|key| page.seek(key)).collect();
        assert_eq!(sought, [0, 1, 1, 2, 3, 4]);
        assert!(Page::decode(bytes.clone(), 6).is_none(), "another place");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Page::decode(damaged, 5).is_none(), "bit {bit}");
        }
    }
}
