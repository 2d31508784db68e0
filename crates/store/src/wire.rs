//! What all formats on disk share: extension fields, limits on lengths.
//!
//! Nothing here or in the formats above believes a length before it is compared with a limit, and
//! nothing panics, whatever the bytes.

use spacefold_event_core::{
    MAX_APPEND_EVENTS,
    bytes::{ByteReader, to_usize},
};

/// Bytes of an encoded body of records. An append has at most 16 MiB of events; what the columns
/// add to the fields that this limit counts stays far below the last MiB.
pub(crate) const MAX_BODY_BYTES: usize = 17 << 20;
/// Bytes of encoded assignments: two numbers of at most nine bytes for each of 4,096 records.
pub(crate) const MAX_ASSIGNMENTS_BYTES: usize = 128 << 10;
/// Bytes of all extension fields of one header.
pub(crate) const MAX_EXTENSION_BYTES: usize = 64 << 10;

/// Whether `bytes` are extension fields without a remainder: type u16, length u32, that many
/// bytes, and so on. What the fields of a type hold is for whoever knows the type to say; the others
/// are skipped.
pub(crate) fn is_extension(bytes: &[u8]) -> bool {
    if bytes.len() > MAX_EXTENSION_BYTES {
        return false;
    }
    let mut cursor = ByteReader::new(bytes);
    while !cursor.rest().is_empty() {
        let field =
            cursor.u16().and_then(|_type| cursor.u32()).and_then(|len| cursor.take(to_usize(len)));
        if field.is_none() {
            return false;
        }
    }
    true
}

/// Checks that a run of so many records can start at this position.
pub(crate) fn check_run(first_position: u64, count: u32) -> Result<(), &'static str> {
    if count == 0 || to_usize(count) > MAX_APPEND_EVENTS {
        return Err("a count of records out of range");
    }
    if first_position == 0 || first_position.checked_add(u64::from(count)).is_none() {
        return Err("a position out of range");
    }
    Ok(())
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
}
