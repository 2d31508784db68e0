//! The texts of a run: each distinct text once, hex and UUIDs packed.

use std::{
    fmt,
    hash::{BuildHasher, Hasher},
};

use rapidhash::fast::GlobalState;

use crate::{
    bytes::to_usize, corrupt_records::CorruptRecords, hash_index::HashIndex, tags::TagTexts,
    value::StoredText,
};

/// A text of the run, by its place in the run's text table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextId(pub(crate) u32);

impl StoredText for TextId {
    fn known(&self) -> Option<&str> {
        None
    }
}

/// How the bytes of a text stand in the table: the low two bits of its entry.
const RAW: u32 = 0;
const HEX: u32 = 1;
const UUID: u32 = 2;
const KIND_BITS: u32 = 2;
const KIND_MASK: u32 = (1 << KIND_BITS) - 1;

/// The shortest text worth packing, in bytes.
const MIN_PACKED_LEN: usize = 16;
const UUID_LEN: usize = 36;
const UUID_DIGITS: usize = 32;
const UUID_BYTES: usize = 16;
const UUID_BYTES_U32: u32 = 16;
const HYPHENS_U32: u32 = 4;
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Where the groups of digits of a UUID begin among the digits and in the text, and their lengths.
const UUID_GROUPS: [(usize, usize, usize); 5] =
    [(0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 12)];

/// Collects the texts of a run, each distinct one once.
#[derive(Debug, Default)]
pub(super) struct TextTableBuilder {
    places: HashIndex,
    /// `stored length << KIND_BITS | kind` of each text.
    entries: Vec<u32>,
    /// The length of all stored texts.
    stored_bytes: usize,
    texts: TextTable,
}

impl TextTableBuilder {
    /// A table with room for this many distinct texts of this many bytes.
    pub(super) fn with_capacity(texts: usize, bytes: usize) -> Self {
        Self {
            places: HashIndex::with_capacity(texts),
            entries: Vec::with_capacity(texts),
            stored_bytes: 0,
            texts: TextTable {
                text: String::with_capacity(bytes),
                spans: Vec::with_capacity(texts),
            },
        }
    }

    /// A table that has these texts at the same places, and room for more.
    pub(super) fn with_texts_of(texts: &TextTable) -> Result<Self, CorruptRecords> {
        let mut table = Self::with_capacity(texts.len(), texts.text.len());
        for place in 0..texts.len() {
            let text = texts.lookup(place).unwrap_or_default();
            if to_usize(table.intern(text).0.0) != place {
                return Err(CorruptRecords::Malformed("a text that is in the table twice"));
            }
        }
        Ok(table)
    }

    /// The place of `text` in the table, and the bytes it takes there.
    pub(super) fn intern(&mut self, text: &str) -> (TextId, usize) {
        let next = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let texts = &self.texts;
        let is_it = |place| texts.bytes_at(to_usize(place)) == Some(text.as_bytes());
        let id = self.places.find_or_add(hash(text), next, is_it);
        if id == next {
            let entry = entry_of(text);
            self.entries.push(entry);
            self.stored_bytes += to_usize(entry >> KIND_BITS);
            self.texts.push(text);
        }
        let entry = self.entries.get(to_usize(id));
        let stored = entry.map_or(text.len(), |entry| to_usize(entry >> KIND_BITS));
        (TextId(id), stored)
    }

    pub(super) fn entries(&self) -> &[u32] {
        &self.entries
    }

    pub(super) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// The length of the texts that are stored as they are.
    pub(super) fn raw_bytes(&self) -> usize {
        self.stored_bytes - packed_bytes(&self.entries)
    }

    /// Appends the texts that are stored as they are, one after the other.
    pub(super) fn put_raw(&self, out: &mut Vec<u8>) {
        for (entry, text) in self.entries_and_texts() {
            if entry & KIND_MASK == RAW {
                out.extend_from_slice(text);
            }
        }
    }

    /// Appends the packed bytes of the others, one after the other.
    pub(super) fn put_packed(&self, out: &mut Vec<u8>) {
        for (entry, text) in self.entries_and_texts() {
            match entry & KIND_MASK {
                UUID => pack_uuid(text, out),
                HEX => pack_hex(text, out),
                _ => {}
            }
        }
    }

    fn entries_and_texts(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let texts = (0..).map(|place| self.texts.bytes_at(place).unwrap_or_default());
        self.entries.iter().copied().zip(texts)
    }

    /// The texts as they will be unpacked.
    pub(super) fn into_texts(self) -> TextTable {
        self.texts
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = GlobalState::new().build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// What the table says of a text: how long it is when stored, and how.
fn entry_of(text: &str) -> u32 {
    let (len, kind) = if is_uuid(text) {
        (text.len() / 2 - 2, UUID)
    } else if is_hex(text) {
        (text.len() / 2, HEX)
    } else {
        (text.len(), RAW)
    };
    // A text longer than a u32 can say belongs to an event that is refused for its size.
    u32::try_from(len).unwrap_or(u32::MAX >> KIND_BITS) << KIND_BITS | kind
}

fn is_hex(text: &str) -> bool {
    text.len() >= MIN_PACKED_LEN && text.len().is_multiple_of(2) && all_hex(text.as_bytes())
}

fn is_uuid(text: &str) -> bool {
    <&[u8; UUID_LEN]>::try_from(text.as_bytes()).is_ok_and(|bytes| {
        let hex_digits: u8 = bytes.iter().map(|byte| u8::from(is_hex_digit(*byte))).sum();
        HYPHENS.iter().all(|place| bytes.get(*place) == Some(&b'-'))
            && usize::from(hex_digits) == UUID_DIGITS
    })
}

/// Whether all bytes are lower-case hex digits. Looks at a run of them without a branch.
fn all_hex(bytes: &[u8]) -> bool {
    bytes.chunks(32).all(|run| run.iter().fold(true, |hex, byte| hex & is_hex_digit(*byte)))
}

const fn is_hex_digit(byte: u8) -> bool {
    (byte.wrapping_sub(b'0') < 10) | (byte.wrapping_sub(b'a') < 6)
}

/// Appends two digits a byte.
fn pack_hex(digits: &[u8], out: &mut Vec<u8>) {
    let (runs, rest) = digits.as_chunks::<UUID_DIGITS>();
    runs.iter().for_each(|run| out.extend_from_slice(&pack_run(run)));
    let (pairs, _) = rest.as_chunks::<2>();
    out.extend(pairs.iter().map(|pair| pack_pair(*pair)));
}

fn pack_uuid(uuid: &[u8], out: &mut Vec<u8>) {
    let mut digits = [0; UUID_DIGITS];
    for (place, at, len) in UUID_GROUPS {
        copy(uuid, at, &mut digits, place, len);
    }
    out.extend_from_slice(&pack_run(&digits));
}

/// As many digits as are worth packing at once.
fn pack_run(digits: &[u8; UUID_DIGITS]) -> [u8; UUID_BYTES] {
    let mut bytes = [0; UUID_BYTES];
    let (pairs, _) = digits.as_chunks::<2>();
    bytes.iter_mut().zip(pairs).for_each(|(byte, pair)| *byte = pack_pair(*pair));
    bytes
}

/// The byte of two digits, which are computed as one number.
fn pack_pair(pair: [u8; 2]) -> u8 {
    let digits = u16::from_le_bytes(pair);
    // The low half of a letter counts from 1, and only letters have bit 6.
    let values = (digits & 0x0f0f) + 9 * (digits >> 6 & 0x0101);
    let [byte, _] = (values << 4 | values >> 8).to_le_bytes();
    byte
}

/// The texts of a run, unpacked once so that every text can be borrowed.
#[derive(Default)]
pub(super) struct TextTable {
    text: String,
    spans: Vec<Span>,
}

/// Where a text is among all of them.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl TextTable {
    /// Unpacks a table: `raw` has the texts that are stored as they are, `packed` the others.
    ///
    /// Texts of one kind stand together, so that they are copied or unpacked together.
    pub(super) fn decode(
        entries: &[u32],
        raw: &[u8],
        packed: &[u8],
    ) -> Result<Self, CorruptRecords> {
        let TextLayout { spans, uuids, unpacked_len } =
            TextLayout::of(entries, raw.len(), packed.len())?;
        let mut unpacked = Vec::with_capacity(unpacked_len);
        unpacked.extend_from_slice(raw);
        unpack(packed, &uuids, &mut unpacked);
        let not_utf8 = CorruptRecords::Malformed("a text that is not UTF-8");
        let text = String::from_utf8(unpacked).map_err(|_| not_utf8)?;
        // All of them together are UTF-8; so is each, when it ends where a character does.
        let is_end = |span: &Span| text.is_char_boundary(to_usize(span.end));
        if raw.is_ascii() || spans.iter().all(is_end) {
            Ok(Self { text, spans })
        } else {
            Err(not_utf8)
        }
    }

    fn push(&mut self, text: &str) {
        // A table that is longer belongs to events that are refused for their size.
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(text);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.spans.push(Span { start, end });
    }

    /// The text at a place of the table, if it has one.
    pub(super) fn get(&self, id: TextId) -> Option<&str> {
        self.lookup(to_usize(id.0))
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes this table holds in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.text.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    fn bytes_at(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = self.bounds(index)?;
        self.text.as_bytes().get(start..end)
    }

    fn lookup(&self, index: usize) -> Option<&str> {
        let (start, end) = self.bounds(index)?;
        self.text.get(start..end)
    }

    fn bounds(&self, index: usize) -> Option<(usize, usize)> {
        let Span { start, end } = self.spans.get(index)?;
        Some((to_usize(*start), to_usize(*end)))
    }
}

impl TagTexts for TextTable {
    fn tag(&self, place: u32) -> &str {
        self.get(TextId(place)).unwrap_or_default()
    }
}

impl fmt::Debug for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not where they are in memory, which depends on whether they were packed.
        f.debug_list().entries((0..self.len()).map(|place| self.lookup(place))).finish()
    }
}

/// What the packed texts among these take of the table.
pub(super) fn packed_bytes(entries: &[u32]) -> usize {
    let packed = entries.iter().filter(|entry| **entry & KIND_MASK != RAW);
    packed.map(|entry| to_usize(entry >> KIND_BITS)).sum()
}

/// Where all texts are once they are unpacked: those that are stored as they are in front of the
/// others.
struct TextLayout {
    spans: Vec<Span>,
    /// Where the UUIDs begin among the packed bytes.
    uuids: Vec<u32>,
    unpacked_len: usize,
}

impl TextLayout {
    /// The layout that the entries say, if it takes all bytes there are: no room is made for what
    /// they do not have.
    ///
    /// The kinds of texts follow each other in no order that a processor would guess, so that what
    /// they come to is computed for each without a branch; what is wrong is looked at in the end.
    fn of(entries: &[u32], raw_len: usize, packed_len: usize) -> Result<Self, CorruptRecords> {
        // A text takes at most three times what it is stored as.
        let most = raw_len.saturating_add(packed_len.saturating_mul(3));
        u32::try_from(most).map_err(|_| CorruptRecords::Malformed("a text table beyond 4 GiB"))?;
        let offset = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let (raw_len, packed_len) = (offset(raw_len), offset(packed_len));
        // Where the next text goes that is stored as it is, and the next of the others; neither wraps
        // while all take what there is.
        let mut ends = [0, raw_len];
        let (mut packed_end, mut stored) = (0_u32, 0_u64);
        let (mut is_unknown, mut is_no_uuid) = (false, false);
        let (mut uuids, mut uuid_count) = (vec![0; entries.len() + 1], 0);
        let spans = entries.iter().map(|entry| {
            let (kind, len) = (entry & KIND_MASK, entry >> KIND_BITS);
            let (is_packed, is_uuid) = (u32::from(kind != RAW), u32::from(kind == UUID));
            is_unknown |= kind > UUID;
            is_no_uuid |= (len != UUID_BYTES_U32) & (kind == UUID);
            if let Some(uuid) = uuids.get_mut(uuid_count) {
                *uuid = packed_end;
            }
            uuid_count += usize::from(kind == UUID);
            packed_end = packed_end.wrapping_add(len * is_packed);
            stored += u64::from(len);
            // Two digits a byte, and the hyphens.
            let unpacked = (len << is_packed).wrapping_add(HYPHENS_U32 * is_uuid);
            let [raw, other] = &mut ends;
            let place = if kind == RAW { raw } else { other };
            let start = *place;
            *place = start.wrapping_add(unpacked);
            Span { start, end: *place }
        });
        let spans: Vec<Span> = spans.collect();
        let [raw_end, end] = ends;
        if is_no_uuid {
            return Err(CorruptRecords::Malformed("a UUID that has not 16 bytes"));
        }
        if is_unknown {
            return Err(CorruptRecords::Malformed("a text of unknown kind"));
        }
        let is_beyond = stored > u64::from(raw_len) + u64::from(packed_len);
        if is_beyond || raw_end > raw_len || packed_end > packed_len {
            return Err(CorruptRecords::Malformed("a text beyond the table"));
        }
        if raw_end < raw_len || packed_end < packed_len {
            return Err(CorruptRecords::Malformed("bytes after the last text"));
        }
        uuids.truncate(uuid_count);
        Ok(Self { spans, uuids, unpacked_len: to_usize(end) })
    }
}

/// Appends the packed texts, unpacked: all hex between two UUIDs at once.
fn unpack(packed: &[u8], uuids: &[u32], out: &mut Vec<u8>) {
    let mut rest = packed;
    let mut unpacked = 0;
    for uuid in uuids {
        let hex_len = to_usize(*uuid) - unpacked;
        let Some((hex, after)) = rest.split_at_checked(hex_len) else { return };
        unpack_hex(hex, out);
        let Some((uuid, after)) = after.split_first_chunk() else { return };
        out.extend_from_slice(&unpack_uuid(uuid));
        rest = after;
        unpacked += hex_len + UUID_BYTES;
    }
    unpack_hex(rest, out);
}

/// Appends two digits a byte.
fn unpack_hex(stored: &[u8], out: &mut Vec<u8>) {
    let (runs, rest) = stored.as_chunks::<UUID_BYTES>();
    runs.iter().for_each(|run| out.extend_from_slice(&unpack_run(run)));
    rest.iter().for_each(|byte| out.extend_from_slice(&unpack_byte(*byte)));
}

fn unpack_uuid(stored: &[u8; UUID_BYTES]) -> [u8; UUID_LEN] {
    let digits = unpack_run(stored);
    let mut uuid = [b'-'; UUID_LEN];
    for (place, at, len) in UUID_GROUPS {
        copy(&digits, place, &mut uuid, at, len);
    }
    uuid
}

/// As many bytes as make the digits of a UUID. Without a branch and a table, so that many are made
/// at once.
fn unpack_run(stored: &[u8; UUID_BYTES]) -> [u8; UUID_DIGITS] {
    let mut digits = [0; UUID_DIGITS];
    let (pairs, _) = digits.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(stored) {
        *pair = unpack_byte(*byte);
    }
    digits
}

const fn unpack_byte(byte: u8) -> [u8; 2] {
    const fn digit(value: u8) -> u8 {
        // The bool is 1 for what is written as a letter.
        value + b'0' + (b'a' - b'0' - 10) * (value > 9) as u8
    }
    [digit(byte >> 4), digit(byte & 15)]
}

/// Copies `len` bytes from one place to another; none where there are not as many.
#[inline(always)]
fn copy(from: &[u8], at: usize, to: &mut [u8], place: usize, len: usize) {
    if let (Some(from), Some(to)) = (from.get(at..at + len), to.get_mut(place..place + len)) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use rustc_hash::FxBuildHasher;

    use super::*;

    fn stored(put: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes);
        bytes
    }

    fn round_trip(texts: &[&str]) -> Vec<String> {
        let mut builder = TextTableBuilder::default();
        let ids: Vec<TextId> = texts.iter().map(|text| builder.intern(text).0).collect();
        let raw = stored(|out| builder.put_raw(out));
        let packed = stored(|out| builder.put_packed(out));
        let table = TextTable::decode(builder.entries(), &raw, &packed).unwrap();
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
            assert_eq!(builder.stored_bytes(), stored, "{text:?}");
            assert_eq!(builder.raw_bytes(), self::stored(|out| builder.put_raw(out)).len());
            let packed = self::stored(|out| builder.put_packed(out));
            assert_eq!(builder.raw_bytes() + packed.len(), stored, "{text:?}");
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

    /// A text that collides with all others of this making in a table of rustc-hash's: behind the first
    /// 16 bytes its state is the last 8, which make one of two factors zero.
    fn colliding(n: u32) -> String {
        let text = format!("colliding-045138{n:08}[bceSfev");
        let other = "colliding-04513800000000[bceSfev";
        assert_eq!(FxBuildHasher.hash_one(&text), FxBuildHasher.hash_one(other));
        text
    }

    #[test]
    fn texts_that_are_chosen_to_collide_cost_what_others_do() {
        for count in [5_000, 10_000, 20_000] {
            let texts: Vec<String> = (0..count).map(colliding).collect();
            let (mut index, compared) = (HashIndex::default(), Cell::new(0));
            for (place, text) in (0..).zip(&texts) {
                let is_it = |other: u32| {
                    compared.set(compared.get() + 1);
                    texts[to_usize(other)] == *text
                };
                assert_eq!(index.find_or_add(hash(text), place, is_it), place);
            }
            assert!(compared.get() <= 16, "{} comparisons of {count} texts", compared.get());
        }
    }

    #[test]
    fn refuses_damaged_tables() {
        let decode = |entries: &[u32], raw: &[u8]| {
            TextTable::decode(entries, raw, b"").map(|_| ()).unwrap_err()
        };
        assert_eq!(decode(&[3 << 2], b"ab"), CorruptRecords::Malformed("a text beyond the table"));
        assert_eq!(
            decode(&[1 << 2], b"ab"),
            CorruptRecords::Malformed("bytes after the last text")
        );
        assert_eq!(
            decode(&[1 << 2], b"\xff"),
            CorruptRecords::Malformed("a text that is not UTF-8")
        );
        assert_eq!(
            decode(&[1 << 2, 1 << 2], "é".as_bytes()),
            CorruptRecords::Malformed("a text that is not UTF-8")
        );
        assert_eq!(
            decode(&[2 << 2 | UUID], b"ab"),
            CorruptRecords::Malformed("a UUID that has not 16 bytes")
        );
        assert_eq!(
            decode(&[2 << 2 | 3], b"ab"),
            CorruptRecords::Malformed("a text of unknown kind")
        );
        let swapped = TextTable::decode(&[8 << 2 | HEX], b"abcdefgh", b"").unwrap_err();
        assert_eq!(swapped, CorruptRecords::Malformed("a text beyond the table"));
        let too_much = TextTable::decode(&[2 << 2], b"ab", b"c").unwrap_err();
        assert_eq!(too_much, CorruptRecords::Malformed("bytes after the last text"));
    }

    proptest! {
        #[test]
        fn any_texts_survive(texts in proptest::collection::vec("\\PC{0,40}|[0-9a-f]{14,70}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", 0..20)) {
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(round_trip(&borrowed), texts);
        }
    }
}
