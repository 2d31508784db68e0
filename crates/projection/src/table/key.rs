//! Keys of rows that are put together from parts.

use spacefold_event_core::{
    Position,
    bytes::{ByteReader, to_usize},
};

/// First byte of a text that is packed: 64 lower-case hex digits as 32 bytes.
const PACKED_HEX: u8 = 1;
/// First byte of a text that stands as it is, behind its length.
const PLAIN: u8 = 0;
const HEX_DIGITS: usize = 64;

/// A key of a row, put together from parts so that all keys with equal first parts stand together
/// and begin with the same bytes: a prefix to scan. Numbers and positions sort as they do; texts
/// sort by length first, and hex hashes take half their bytes.
///
/// ```
/// use spacefold::RowKey;
/// let of_space = RowKey::new(b'd').text("handbook");
/// let of_document = RowKey::new(b'd').text("handbook").text("intro");
/// assert!(of_document.as_bytes().starts_with(of_space.as_bytes()));
/// let other = RowKey::new(b'd').text("handbook-2").text("intro");
/// assert!(!other.as_bytes().starts_with(of_space.as_bytes()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowKey(Vec<u8>);

impl RowKey {
    /// A key whose first byte says what kind of row it is.
    #[must_use]
    pub fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(kind);
        Self(bytes)
    }

    /// The key with one more text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        if let Some(packed) = pack_hex(text) {
            self.0.push(PACKED_HEX);
            self.0.extend_from_slice(&packed);
        } else {
            self.0.push(PLAIN);
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            self.0.extend_from_slice(&length.to_be_bytes());
            self.0.extend_from_slice(text.as_bytes());
        }
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

/// Reads the parts of a [`RowKey`] back, in order; `None` where the bytes are no such part.
#[derive(Clone, Debug)]
pub struct RowKeyReader<'a>(ByteReader<'a>);

impl<'a> RowKeyReader<'a> {
    /// The parts behind the first byte.
    #[must_use]
    pub fn new(key: &'a [u8]) -> Self {
        Self(ByteReader::new(key.get(1..).unwrap_or_default()))
    }

    /// The next part, a text.
    pub fn text(&mut self) -> Option<String> {
        let form = self.byte()?;
        if form == PACKED_HEX {
            let packed: [u8; HEX_DIGITS / 2] = self.0.array()?;
            return Some(blake3::Hash::from_bytes(packed).to_hex().to_string());
        }
        let length = to_usize(u32::from_be_bytes(self.0.array()?));
        std::str::from_utf8(self.0.take(length)?).ok().map(str::to_owned)
    }

    /// The next part, a number.
    pub fn number(&mut self) -> Option<u64> {
        self.0.array().map(u64::from_be_bytes)
    }

    /// The next part, a byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.0.u8()
    }

    /// The next part, a position.
    pub fn position(&mut self) -> Option<Position> {
        self.number().map(Position::new)
    }
}

fn pack_hex(text: &str) -> Option<[u8; HEX_DIGITS / 2]> {
    if text.len() != HEX_DIGITS || text.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_back() {
        let hash = "0123456789abcdef".repeat(4);
        for text in ["", "a", "\u{e9}/b", hash.as_str(), &hash.to_uppercase(), &hash[1..]] {
            let key = RowKey::new(b'k').text(text).number(u64::MAX).byte(7).text("end");
            let mut reader = RowKeyReader::new(key.as_bytes());
            assert_eq!(reader.text().as_deref(), Some(text));
            assert_eq!((reader.number(), reader.byte()), (Some(u64::MAX), Some(7)));
            assert_eq!(reader.text().as_deref(), Some("end"));
            assert_eq!(reader.byte(), None);
        }
        assert_eq!(RowKeyReader::new(b"").text(), None);
        assert_eq!(RowKeyReader::new(b"k\0\xff\xff\xff\xffa").text(), None);
    }

    #[test]
    fn a_hash_takes_half_its_digits() {
        assert_eq!(RowKey::new(b'k').text(&"ab".repeat(32)).as_bytes().len(), 34);
    }
}
