//! Bytes from disk or input, read without trust; lengths and counts between memory and disk.
//!
//! Nothing here believes a length before it is compared with what is there, and nothing panics,
//! whatever the bytes.

use std::{borrow::Cow, str};

/// What a zero byte of an ordered text becomes.
const ESCAPED_ZERO: [u8; 2] = [0, 0xff];
/// What an ordered text ends with: less than whatever another may go on with.
const TEXT_END: [u8; 2] = [0, 1];

const _: () = assert!(usize::BITS == u64::BITS, "lengths in memory are 64 bits, as on disk");

/// A length or count in memory, as one on disk.
#[must_use]
#[inline]
pub const fn to_u64(number: usize) -> u64 {
    number as u64
}

/// A length or count from disk, as one in memory.
#[must_use]
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both are 64 bits wide, as asserted above")]
pub fn to_usize(number: impl Into<u64>) -> usize {
    let number: u64 = number.into();
    number as usize
}

/// A length or count of which a limit holds that it is below 4 GiB, as one on disk.
///
/// # Panics
/// When it is not: the limit was not kept.
#[must_use]
pub fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a length within its limit fits 32 bits")
}

const HASH_BYTES: usize = 32;

/// The bytes with their BLAKE3 hash after them.
#[must_use]
pub fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// The bytes before their hash, if it is theirs.
#[must_use]
pub fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>()?;
    (blake3::hash(body) == *hash).then_some(body)
}

/// Reads fields one after the other, numbers in little endian. Each read is `None`, and takes
/// nothing, where the bytes end too early: what that means for a format, its decoder says.
#[derive(Clone, Debug)]
pub struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// A number of 2 bytes.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A number of 4 bytes.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of 8 bytes.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of 8 bytes with sign.
    #[inline]
    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A number of parts that follow (4 bytes), each of at least `each_bytes`: `None` for more than
    /// can be there, so that no memory is taken for them.
    pub fn count(&mut self, each_bytes: usize) -> Option<usize> {
        let mut after = self.clone();
        let count = to_usize(after.u32()?);
        let is_there = count.checked_mul(each_bytes)? <= after.0.len();
        is_there.then(|| {
            *self = after;
            count
        })
    }

    /// Bytes after their length (4 bytes).
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.count(1)?;
        self.take(length)
    }

    /// A text after its length; `None`, too, when it is no UTF-8.
    pub fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.sized()?).ok()
    }

    /// A byte that says whether a text follows, and the text; `None`, too, for another byte.
    pub fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.u8()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }

    /// A text that [`put_ordered_text`] has put; `None`, too, where it would have put other bytes.
    pub fn ordered_text(&mut self) -> Option<Cow<'a, str>> {
        let mut after = self.clone();
        let mut text = Cow::Borrowed(after.until_zero()?);
        loop {
            match after.array()? {
                TEXT_END => break,
                ESCAPED_ZERO => {
                    let text = text.to_mut();
                    text.push(0);
                    text.extend_from_slice(after.until_zero()?);
                }
                _ => return None,
            }
        }
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(str::from_utf8(text).ok()?),
            Cow::Owned(text) => Cow::Owned(String::from_utf8(text).ok()?),
        };
        *self = after;
        Some(text)
    }

    fn until_zero(&mut self) -> Option<&'a [u8]> {
        self.take(self.0.iter().position(|byte| *byte == 0)?)
    }

    /// The bytes that are left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// What was read, if that was all.
    pub fn end<T>(&self, read: T) -> Option<T> {
        self.0.is_empty().then_some(read)
    }
}

/// Appends a number of 8 bytes.
pub fn put_u64(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

/// Appends a length or count (4 bytes), which its limit holds below 4 GiB.
///
/// # Panics
/// See [`to_u32`].
pub fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&to_u32(count).to_le_bytes());
}

/// Appends bytes after their length.
///
/// # Panics
/// See [`to_u32`].
pub fn put_sized(bytes: &mut Vec<u8>, content: &[u8]) {
    put_count(bytes, content.len());
    bytes.extend_from_slice(content);
}

/// Appends a byte that says whether there is a text, and the text after its length.
///
/// # Panics
/// See [`to_u32`].
pub fn put_optional_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    bytes.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_sized(bytes, text.as_bytes());
    }
}

/// Appends a text of a key so that keys sort as their texts do by their bytes, one text after the
/// other, and no key of some texts begins another key of as many: zero bytes become `00 ff`, and
/// `00 01` ends the text.
pub fn put_ordered_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.reserve(text.len() + TEXT_END.len());
    // Nearly every text has none, which is found out many bytes at a time.
    if !text.as_bytes().contains(&0) {
        bytes.extend_from_slice(text.as_bytes());
    } else {
        let mut parts = text.as_bytes().split(|byte| *byte == 0);
        bytes.extend_from_slice(parts.next().unwrap_or_default());
        for part in parts {
            bytes.extend_from_slice(&ESCAPED_ZERO);
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(&TEXT_END);
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn ordered(texts: &[String]) -> Vec<u8> {
        let mut bytes = Vec::new();
        texts.iter().for_each(|text| put_ordered_text(&mut bytes, text));
        bytes
    }

    /// Texts that often begin alike, with bytes next to those that the encoding adds.
    fn texts(count: usize) -> impl Strategy<Value = Vec<String>> {
        let characters = vec(select(vec!['\0', '\x01', '\x02', 'a', '\u{e9}', '\u{10ffff}']), 0..4);
        vec(characters.prop_map(|characters| characters.into_iter().collect()), count)
    }

    #[test]
    fn a_read_takes_nothing_where_the_bytes_end_too_early() {
        let mut reader = ByteReader::new(&[7, 0, 0, 0, b'a']);
        let read = (reader.u32(), reader.u16(), reader.take(1));
        assert_eq!(read, (Some(7), None, Some(&b"a"[..])));
        assert_eq!(reader.end("all"), Some("all"));
    }

    #[test]
    fn ordered_texts_have_the_bytes_that_the_format_says() {
        let key = ordered(&["a".to_owned(), "b\0".to_owned()]);
        assert_eq!(key, *b"a\0\x01b\0\xff\0\x01");
        let mut reader = ByteReader::new(&key);
        assert_eq!(reader.ordered_text().as_deref(), Some("a"));
        assert_eq!(reader.ordered_text().as_deref(), Some("b\0"));
    }

    proptest! {
        #[test]
        fn ordered_texts_sort_as_their_bytes_and_none_begins_another(
            (one, other) in (0..4_usize).prop_flat_map(|count| (texts(count), texts(count))),
        ) {
            let (one_key, other_key) = (ordered(&one), ordered(&other));
            prop_assert_eq!(one_key.cmp(&other_key), one.cmp(&other));
            prop_assert_eq!(one_key.starts_with(&other_key), one == other);
        }

        #[test]
        fn ordered_texts_begin_with_those_of_their_first_and_no_others(
            one in texts(3), other in texts(1),
        ) {
            prop_assert_eq!(ordered(&one).starts_with(&ordered(&other)), one[..1] == other[..]);
        }

        #[test]
        fn ordered_texts_are_read_back_and_not_where_they_are_cut(texts in texts(3)) {
            let bytes = ordered(&texts);
            for cut in 0..=bytes.len() {
                let mut reader = ByteReader::new(&bytes[..cut]);
                let read: Option<Vec<_>> = texts.iter().map(|_| reader.ordered_text()).collect();
                prop_assert_eq!(read.is_some_and(|read| read == texts), cut == bytes.len());
            }
        }

        #[test]
        fn only_what_is_put_as_an_ordered_text_is_read_as_one(
            bytes in vec(select(vec![0, 1, 2, 0xff, b'a', 0xc3, 0xa9]), 0..8),
        ) {
            let mut reader = ByteReader::new(&bytes);
            match reader.ordered_text() {
                Some(text) => {
                    let put = ordered(&[text.into_owned()]);
                    prop_assert_eq!([&put, reader.rest()].concat(), bytes);
                }
                None => prop_assert_eq!(reader.rest(), &bytes[..]),
            }
        }
    }

    #[test]
    fn a_sealed_value_is_found_damaged_whichever_bit_is() {
        let sealed = seal(b"content".to_vec());
        assert_eq!(unseal(&sealed), Some(&b"content"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn a_reader_ends_where_the_bytes_do() {
        let mut reader = ByteReader::new(&[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(reader.u32(), Some(0x0403_0201));
        assert_eq!((reader.u64(), reader.i64(), reader.array::<4>()), (None, None, None));
        assert_eq!(reader.end(()), None);
        assert_eq!(reader.u16(), Some(0x0605));
        assert_eq!(reader.u8(), Some(7));
        assert_eq!(reader.u8(), None);
        assert_eq!(reader.take(0), Some(&[][..]));
        assert_eq!(reader.take(1), None);
        assert_eq!(reader.end(()), Some(()));
    }

    #[test]
    fn what_was_put_is_read_back_and_nothing_beyond_the_end() {
        let mut bytes = Vec::new();
        put_u64(&mut bytes, 7);
        put_sized(&mut bytes, b"ab");
        put_optional_text(&mut bytes, None);
        put_optional_text(&mut bytes, Some("\u{e9}"));
        for cut in 0..=bytes.len() {
            let mut reader = ByteReader::new(&bytes[..cut]);
            let read =
                (reader.u64(), reader.sized(), reader.optional_text(), reader.optional_text());
            let whole = (Some(7), Some(&b"ab"[..]), Some(None), Some(Some("\u{e9}")));
            assert_eq!(read == whole, cut == bytes.len(), "{cut}");
        }
    }

    #[test]
    fn a_count_of_more_than_can_be_there_is_none_and_takes_nothing() {
        for (bytes, each) in [(&[255; 4][..], 1), (&[255; 64][..], 8), (&[255; 64], usize::MAX)] {
            let mut reader = ByteReader::new(bytes);
            assert_eq!(reader.count(each), None);
            assert_eq!(reader.rest(), bytes);
        }
        let mut reader = ByteReader::new(&[2, 0, 0, 0, 1, 1]);
        assert_eq!((reader.count(1), reader.take(2)), (Some(2), Some(&[1, 1][..])));
    }
}
