//! How what this crate persists is written: numbers little endian, texts and bytes behind their
//! length, a digest or a hash at the end.

/// Bytes that are read from front to back; every read is `None` where they end too early.
pub(crate) struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
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

    /// A number of things that follow, each of at least so many bytes: memory is taken for no
    /// more than can be there.
    pub(crate) fn count(&mut self, each_bytes: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(each_bytes)? <= self.0.len()).then_some(count)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count(1)?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.u8()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }

    /// What was read, if that was all.
    pub(crate) fn end<T>(&self, read: T) -> Option<T> {
        self.0.is_empty().then_some(read)
    }
}

/// Appends a length that is bounded far below 4 GiB.
pub(crate) fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

pub(crate) fn put_u64(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

/// Appends bytes behind their length.
pub(crate) fn put_bytes(bytes: &mut Vec<u8>, content: &[u8]) {
    put_count(bytes, content.len());
    bytes.extend_from_slice(content);
}

pub(crate) fn put_optional_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    bytes.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_bytes(bytes, text.as_bytes());
    }
}

const HASH_BYTES: usize = 32;

/// The bytes with their BLAKE3 hash behind them.
pub(crate) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// The bytes in front of their hash, if it is theirs.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>()?;
    (blake3::hash(body) == *hash).then_some(body)
}

/// A digest of 64 bits that finds accidents, and no forgery. Frozen: it is persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(0x243f_6a88_85a3_08d3, seed))
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0 = mix(self.0, number);
    }

    /// Takes in bytes and their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.0 = mix(self.0, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.0 = mix(self.0, u64::from_le_bytes(last));
        self.0 = mix(self.0, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    pub(crate) const fn get(self) -> u64 {
        let mixed = mix(self.0, 0x1319_8a2e_0370_7344);
        mixed ^ (mixed >> 32)
    }
}

const fn mix(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed.rotate_right(23) ^ mixed.rotate_right(41)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_was_put_is_read_back_and_nothing_beyond_the_end() {
        let mut bytes = Vec::new();
        put_u64(&mut bytes, 7);
        put_bytes(&mut bytes, b"ab");
        put_optional_text(&mut bytes, None);
        put_optional_text(&mut bytes, Some("\u{e9}"));
        for cut in 0..=bytes.len() {
            let mut wire = Wire::new(&bytes[..cut]);
            let read = (wire.u64(), wire.bytes(), wire.optional_text(), wire.optional_text());
            let whole = (Some(7), Some(&b"ab"[..]), Some(None), Some(Some("\u{e9}")));
            assert_eq!(read == whole, cut == bytes.len(), "{cut}");
        }
        // A length that promises more than there is takes no memory.
        assert_eq!(Wire::new(&[255; 4]).bytes(), None);
        assert_eq!(Wire::new(&[255; 64]).count(8), None);
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
    fn digests_tell_apart_what_differs_in_one_bit_or_in_where_it_is_divided() {
        let digest = |parts: &[&[u8]]| {
            let mut digest = Digest::new(1);
            parts.iter().for_each(|part| digest.bytes(part));
            digest.get()
        };
        let mut seen = HashSet::new();
        for length in 0..24 {
            let bytes = vec![0; length];
            assert!(seen.insert(digest(&[&bytes])));
            for bit in 0..length * 8 {
                let mut other = bytes.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(digest(&[&other])), "{length} {bit}");
            }
        }
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        // Frozen.
        assert_eq!(digest(&[b"spacefold"]), FROZEN);
    }

    const FROZEN: u64 = 16_184_411_443_246_984_855;
}
