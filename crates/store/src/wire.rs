//! What all formats on disk share: reading fixed fields, extension fields, limits on lengths.
//!
//! Nothing here or in the formats above believes a length before it is compared with a limit, and
//! nothing panics, whatever the bytes.

/// Bytes of an encoded body of records. An append has at most 16 MiB of events; what the columns
/// add to the fields that this limit counts stays far below the last MiB.
pub(crate) const MAX_BODY_BYTES: usize = 17 << 20;
/// Bytes of encoded assignments: two numbers of at most nine bytes for each of 4,096 records.
pub(crate) const MAX_ASSIGNMENTS_BYTES: usize = 128 << 10;
/// Bytes of all extension fields of one header.
pub(crate) const MAX_EXTENSION_BYTES: usize = 64 << 10;

/// Reads little-endian fields one after the other.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Whether `bytes` are extension fields without a remainder: type u16, length u32, that many
/// bytes, and so on. What the fields of a type hold is for whoever knows the type to say; the others
/// are skipped.
pub(crate) fn is_extension(bytes: &[u8]) -> bool {
    if bytes.len() > MAX_EXTENSION_BYTES {
        return false;
    }
    let mut cursor = Cursor::new(bytes);
    while !cursor.rest().is_empty() {
        let field =
            cursor.u16().and_then(|_type| cursor.u32()).and_then(|len| cursor.take(to_usize(len)));
        if field.is_none() {
            return false;
        }
    }
    true
}

/// A length or count from disk as memory counts them.
pub(crate) fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A length that its limit holds below 4 GiB, as it stands on disk.
pub(crate) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a length within its limit fits 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_fields_fill_their_bytes_exactly() {
        let mut fields = vec![7, 0, 3, 0, 0, 0, b'a', b'b', b'c'];
        fields.extend_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
        assert!(is_extension(b""));
        assert!(is_extension(&fields));
        for len in [1, 5, 6, 8, 10, 14] {
            assert!(!is_extension(&fields[..len]), "{len}");
        }
        assert!(!is_extension(&[1, 0, 0xff, 0xff, 0xff, 0xff, 0]));
        let full = |len: usize| {
            let mut field = vec![1, 0];
            field.extend_from_slice(&u32::try_from(len - 6).unwrap().to_le_bytes());
            field.resize(len, 0);
            field
        };
        assert!(is_extension(&full(MAX_EXTENSION_BYTES)));
        assert!(!is_extension(&full(MAX_EXTENSION_BYTES + 1)));
    }

    #[test]
    fn a_cursor_ends_where_the_bytes_do() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(cursor.u32(), Some(0x0403_0201));
        assert_eq!(cursor.u64(), None);
        assert_eq!(cursor.u16(), Some(0x0605));
        assert_eq!(cursor.u8(), Some(7));
        assert_eq!(cursor.u8(), None);
        assert_eq!(cursor.take(0), Some(&[][..]));
        assert_eq!(cursor.take(1), None);
    }
}
