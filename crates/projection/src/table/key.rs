//! Keys of rows that are put together from parts.

use std::borrow::Cow;

use spacefold_event_core::{
    Position,
    bytes::{ByteReader, put_ordered_text},
};

/// A key of a row, put together from parts so that keys sort as their parts do, one part after the
/// other: texts by their bytes, numbers and positions by size. All keys with equal first parts
/// begin with the same bytes, and no key with others does: a prefix to scan.
///
/// A text takes two bytes more than it has, and a third for every zero byte in it; a number takes
/// eight. It is these bytes that [`MAX_ROW_KEY_BYTES`](crate::MAX_ROW_KEY_BYTES) limits.
///
/// ```
/// use spacefold::projection::RowKey;
/// let of_space = RowKey::new(b'd').text("handbook");
/// let of_document = RowKey::new(b'd').text("handbook").text("intro");
/// assert!(of_document.as_bytes().starts_with(of_space.as_bytes()));
/// let other = RowKey::new(b'd').text("handbook-2").text("intro");
/// assert!(!other.as_bytes().starts_with(of_space.as_bytes()));
/// assert!(of_document < other);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(Vec<u8>);

impl RowKey {
    /// A key whose first byte says what kind of row it is.
    #[must_use]
    pub fn new(kind: u8) -> Self {
        // A hash and some more.
        let mut bytes = Vec::with_capacity(96);
        bytes.push(kind);
        Self(bytes)
    }

    /// The key with one more text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        put_ordered_text(&mut self.0, text);
        self
    }

    /// The key with one more number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// The key with one more byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// The key with one more position.
    #[must_use]
    pub fn position(self, position: Position) -> Self {
        self.number(position.get())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for RowKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads the parts of a [`RowKey`] back, in order: [`RowKeyReader::kind`] is what [`RowKey::new`]
/// was given, and every other method reads what that of [`RowKey`] with the same name has added.
/// `None`, with nothing read, where the bytes are no such part.
///
/// ```
/// use spacefold::projection::{RowKey, RowKeyReader};
/// let key = RowKey::new(b'd').text("handbook").number(7);
/// let mut parts = RowKeyReader::new(key.as_bytes());
/// assert_eq!(parts.kind(), Some(b'd'));
/// assert_eq!((parts.text().as_deref(), parts.number()), (Some("handbook"), Some(7)));
/// assert!(parts.is_at_end());
/// ```
#[derive(Clone, Debug)]
pub struct RowKeyReader<'a> {
    kind: Option<u8>,
    parts: ByteReader<'a>,
}

impl<'a> RowKeyReader<'a> {
    /// A reader of the bytes of a key.
    #[must_use]
    pub fn new(key: &'a [u8]) -> Self {
        let mut parts = ByteReader::new(key);
        Self { kind: parts.u8(), parts }
    }

    /// The byte that says what kind of row it is, whatever was read before; `None` for no bytes.
    #[must_use]
    pub const fn kind(&self) -> Option<u8> {
        self.kind
    }

    /// The next part, a text.
    pub fn text(&mut self) -> Option<String> {
        self.parts.ordered_text().map(Cow::into_owned)
    }

    /// The next part, a number.
    pub fn number(&mut self) -> Option<u64> {
        self.parts.array().map(u64::from_be_bytes)
    }

    /// The next part, a byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.parts.u8()
    }

    /// The next part, a position.
    pub fn position(&mut self) -> Option<Position> {
        self.number().map(Position::new)
    }

    /// Whether every part was read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.parts.rest().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// A part of a key, which sorts as the key does.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Part {
        Text(String),
        Number(u64),
        Byte(u8),
        Position(u64),
    }

    fn key(kind: u8, parts: &[Part]) -> RowKey {
        parts.iter().fold(RowKey::new(kind), |key, part| match part {
            Part::Text(text) => key.text(text),
            Part::Number(number) => key.number(*number),
            Part::Byte(byte) => key.byte(*byte),
            Part::Position(position) => key.position(Position::new(*position)),
        })
    }

    fn read(reader: &mut RowKeyReader<'_>, like: &Part) -> Option<Part> {
        match like {
            Part::Text(_) => reader.text().map(Part::Text),
            Part::Number(_) => reader.number().map(Part::Number),
            Part::Byte(_) => reader.byte().map(Part::Byte),
            Part::Position(_) => reader.position().map(|position| Part::Position(position.get())),
        }
    }

    fn text() -> impl Strategy<Value = Part> {
        let hash = "0123456789abcdef".repeat(4);
        let whole = select(vec![hash.to_uppercase(), hash[1..].to_owned(), hash, "b".repeat(70)]);
        prop_oneof![3 => "[\0\x01ab\u{e9}]{0,4}", 1 => whole].prop_map(Part::Text)
    }

    /// Two keys of one shape and of one kind or two.
    fn alike() -> impl Strategy<Value = [(u8, Vec<Part>); 2]> {
        let number = || prop_oneof![0..3_u64, 255..258_u64, any::<u64>()];
        let pair = prop_oneof![
            4 => [text(), text()],
            1 => [number().prop_map(Part::Number), number().prop_map(Part::Number)],
            1 => [any::<u8>().prop_map(Part::Byte), any::<u8>().prop_map(Part::Byte)],
            1 => [number().prop_map(Part::Position), number().prop_map(Part::Position)],
        ];
        let pairs = proptest::collection::vec(pair, 0..4);
        (select(vec![[1, 1], [1, 2]]), pairs).prop_map(|([one, other], pairs)| {
            let (ones, others) = pairs.into_iter().map(|[one, other]| (one, other)).unzip();
            [(one, ones), (other, others)]
        })
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_parts_and_begin_with_those_of_their_first_parts(
            [one, other] in alike(),
        ) {
            let (one_key, other_key) = (key(one.0, &one.1), key(other.0, &other.1));
            prop_assert_eq!(one_key.as_bytes().cmp(other_key.as_bytes()), one.cmp(&other));
            for parts in 0..=one.1.len() {
                let prefix = key(other.0, &other.1[..parts]);
                let is_of_prefix = one.0 == other.0 && one.1[..parts] == other.1[..parts];
                prop_assert_eq!(one_key.as_bytes().starts_with(prefix.as_bytes()), is_of_prefix);
            }
        }

        #[test]
        fn parts_are_read_back_and_not_where_they_are_cut([(kind, parts), _] in alike()) {
            let key = key(kind, &parts);
            for cut in 1..=key.as_bytes().len() {
                let mut reader = RowKeyReader::new(&key.as_bytes()[..cut]);
                prop_assert_eq!(reader.kind(), Some(kind));
                let read: Option<Vec<_>> =
                    parts.iter().map(|part| read(&mut reader, part)).collect();
                let is_whole = cut == key.as_bytes().len();
                prop_assert_eq!(read.is_some_and(|read| read == parts), is_whole);
                prop_assert!(!is_whole || reader.is_at_end());
            }
        }
    }

    #[test]
    fn what_is_no_key_is_not_read_as_one() {
        let mut reader = RowKeyReader::new(b"");
        assert_eq!((reader.kind(), reader.text(), reader.byte()), (None, None, None));
        for hostile in [&b"ka"[..], b"ka\0", b"ka\0\0", b"ka\0\x02", b"k\xff\0\x01"] {
            let mut reader = RowKeyReader::new(hostile);
            assert_eq!(reader.text(), None);
            assert_eq!(reader.byte(), Some(hostile[1]), "nothing was read");
        }
    }
}
