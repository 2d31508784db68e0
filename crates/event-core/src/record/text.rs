//! The texts of a run: each distinct text once, hex and UUIDs packed.

use std::str;

use bincode::{Decode, Encode};
use rustc_hash::FxHashMap;

use super::corrupt::CorruptRecords;

/// A text of the run, by its place in the run's text table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TextId(pub(super) u32);

/// How the bytes of a text stand in the table: the low two bits of its entry.
const RAW: u32 = 0;
const HEX: u32 = 1;
const UUID: u32 = 2;
const KIND_BITS: u32 = 2;

/// The shortest text worth packing, in bytes.
const MIN_PACKED_LEN: usize = 16;
const UUID_LEN: usize = 36;
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Collects the texts of a run, each distinct one once.
#[derive(Default)]
pub(super) struct TextTableBuilder<'t> {
    known: FxHashMap<&'t str, u32>,
    /// `stored length << KIND_BITS | kind` of each text.
    pub(super) entries: Vec<u32>,
    /// The stored bytes of all texts, one after the other.
    pub(super) bytes: Vec<u8>,
    /// The texts as they will be unpacked.
    pub(super) unpacked: TextTable,
}

impl<'t> TextTableBuilder<'t> {
    /// The place of `text` in the table, and the bytes it takes there.
    pub(super) fn intern(&mut self, text: &'t str) -> (TextId, usize) {
        let next = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let id = *self.known.entry(text).or_insert(next);
        if id == next {
            let start = self.bytes.len();
            let kind = pack(text, &mut self.bytes);
            // A text longer than a u32 can say belongs to an event that is refused for its size.
            let len = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX >> KIND_BITS);
            self.entries.push(len << KIND_BITS | kind);
            self.unpacked.push(text);
        }
        let entry = usize::try_from(id).ok().and_then(|index| self.entries.get(index));
        let stored = entry.map_or(text.len(), |entry| to_usize(entry >> KIND_BITS));
        (TextId(id), stored)
    }
}

/// Appends the stored form of `text` and says which it is.
fn pack(text: &str, out: &mut Vec<u8>) -> u32 {
    if let Some(digits) = uuid_digits(text) {
        pack_hex(&digits, out);
        UUID
    } else if is_hex(text) {
        pack_hex(text.as_bytes(), out);
        HEX
    } else {
        out.extend_from_slice(text.as_bytes());
        RAW
    }
}

fn is_hex(text: &str) -> bool {
    text.len() >= MIN_PACKED_LEN && text.len().is_multiple_of(2) && all_hex(text.as_bytes())
}

/// The digits of a UUID without its hyphens.
fn uuid_digits(text: &str) -> Option<[u8; 32]> {
    if text.len() != UUID_LEN {
        return None;
    }
    let mut digits = [0; 32];
    let mut places = digits.iter_mut();
    for (index, byte) in text.bytes().enumerate() {
        if HYPHENS.contains(&index) {
            if byte != b'-' {
                return None;
            }
        } else if let Some(place) = places.next() {
            *place = byte;
        }
    }
    all_hex(&digits).then_some(digits)
}

/// Whether all bytes are lower-case hex digits. Looks at a run of them without a branch.
fn all_hex(bytes: &[u8]) -> bool {
    bytes.chunks(32).all(|run| run.iter().fold(true, |hex, byte| hex & is_hex_digit(*byte)))
}

const fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Appends two digits a byte.
fn pack_hex(digits: &[u8], out: &mut Vec<u8>) {
    // The low half of a letter counts from 1, and only letters have bit 6.
    let value = |digit: u8| (digit & 15) + 9 * (digit >> 6);
    let (pairs, _) = digits.as_chunks::<2>();
    out.extend(pairs.iter().map(|[high, low]| value(*high) << 4 | value(*low)));
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The texts of a run, unpacked once so that every text can be borrowed.
#[derive(Debug, Default)]
pub(super) struct TextTable {
    text: String,
    ends: Vec<u32>,
}

impl TextTable {
    /// Unpacks a table.
    pub(super) fn decode(entries: &[u32], bytes: &[u8]) -> Result<Self, CorruptRecords> {
        let mut unpacked = Vec::with_capacity(bytes.len() * 2);
        let mut ends = Vec::with_capacity(entries.len());
        let mut rest = bytes;
        for entry in entries {
            let len = usize::try_from(entry >> KIND_BITS).unwrap_or(usize::MAX);
            let (stored, after) =
                rest.split_at_checked(len).ok_or(CorruptRecords("a text beyond the table"))?;
            rest = after;
            match entry & ((1 << KIND_BITS) - 1) {
                RAW => unpacked.extend_from_slice(stored),
                HEX => unpack_hex(stored, &mut unpacked),
                UUID => unpack_uuid(stored, &mut unpacked)?,
                _ => return Err(CorruptRecords("a text of unknown kind")),
            }
            let end = u32::try_from(unpacked.len())
                .map_err(|_| CorruptRecords("a text table beyond 4 GiB"))?;
            ends.push(end);
        }
        if !rest.is_empty() {
            return Err(CorruptRecords("bytes after the last text"));
        }
        let not_utf8 = CorruptRecords("a text that is not UTF-8");
        let text = String::from_utf8(unpacked).map_err(|_| not_utf8)?;
        // All of them together are UTF-8; so is each, when it ends where a character does.
        let is_end = |end: &u32| text.is_char_boundary(to_usize(*end));
        if ends.iter().all(is_end) { Ok(Self { text, ends }) } else { Err(not_utf8) }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        // A table that is longer belongs to events that are refused for their size.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// The text at a place of the table.
    pub(super) fn get(&self, id: TextId) -> Result<&str, CorruptRecords> {
        let index = usize::try_from(id.0).unwrap_or(usize::MAX);
        self.lookup(index).ok_or(CorruptRecords("a text that is not in the table"))
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes this table holds in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    fn lookup(&self, index: usize) -> Option<&str> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?,
        };
        let end = usize::try_from(*self.ends.get(index)?).ok()?;
        self.text.get(start..end)
    }
}

/// Both hex digits of every byte value.
const HEX_PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

fn unpack_hex(stored: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + stored.len() * 2, 0);
    let (pairs, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(stored) {
        if let Some(digits) = HEX_PAIRS.get(usize::from(*byte)) {
            *pair = *digits;
        }
    }
}

fn unpack_uuid(stored: &[u8], out: &mut Vec<u8>) -> Result<(), CorruptRecords> {
    let mut rest = stored;
    for (index, len) in [4, 2, 2, 2, 6].into_iter().enumerate() {
        let (group, after) =
            rest.split_at_checked(len).ok_or(CorruptRecords("a UUID that has not 16 bytes"))?;
        if index > 0 {
            out.push(b'-');
        }
        unpack_hex(group, out);
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(CorruptRecords("a UUID that has not 16 bytes")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(texts: &[&str]) -> Vec<String> {
        let mut builder = TextTableBuilder::default();
        let ids: Vec<TextId> = texts.iter().map(|text| builder.intern(text).0).collect();
        let table = TextTable::decode(&builder.entries, &builder.bytes).unwrap();
        ids.into_iter().map(|id| table.get(id).unwrap().to_owned()).collect()
    }

    #[test]
    fn packs_lower_case_hex_and_uuids_and_leaves_the_rest() {
        for (text, stored) in [
            ("", 0),
            ("0123456789abcdef", 8),
            ("0123456789abcde", 15),
            ("0123456789ABCDEF", 16),
            ("00cc4488-aa63-5459-bab8-6565b79405ae", 16),
            ("00CC4488-aa63-5459-bab8-6565b79405ae", 36),
            ("00cc4488aaa63-5459-bab8-6565b79405ae", 36),
            ("größe", 7),
        ] {
            let mut builder = TextTableBuilder::default();
            assert_eq!(builder.intern(text).1, stored, "{text:?}");
            assert_eq!(builder.bytes.len(), stored, "{text:?}");
            assert_eq!(round_trip(&[text]), [text]);
        }
    }

    #[test]
    fn keeps_each_text_once() {
        let mut builder = TextTableBuilder::default();
        let first = builder.intern("intro").0;
        assert_eq!(builder.intern("intro").0, first);
        assert_ne!(builder.intern("outro").0, first);
        assert_eq!(builder.entries.len(), 2);
    }

    #[test]
    fn refuses_damaged_tables() {
        let decode = |entries: &[u32], bytes: &[u8]| TextTable::decode(entries, bytes).unwrap_err();
        assert_eq!(decode(&[3 << 2], b"ab"), CorruptRecords("a text beyond the table"));
        assert_eq!(decode(&[1 << 2], b"ab"), CorruptRecords("bytes after the last text"));
        assert_eq!(decode(&[1 << 2], b"\xff"), CorruptRecords("a text that is not UTF-8"));
        assert_eq!(
            decode(&[1 << 2, 1 << 2], "é".as_bytes()),
            CorruptRecords("a text that is not UTF-8")
        );
        assert_eq!(decode(&[2 << 2 | UUID], b"ab"), CorruptRecords("a UUID that has not 16 bytes"));
        assert_eq!(decode(&[2 << 2 | 3], b"ab"), CorruptRecords("a text of unknown kind"));
    }

    proptest! {
        #[test]
        fn any_texts_survive(texts in proptest::collection::vec("\\PC{0,40}|[0-9a-f]{14,70}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", 0..20)) {
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(round_trip(&borrowed), texts);
        }
    }
}
