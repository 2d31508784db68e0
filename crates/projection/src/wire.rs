//! A digest that tells what this crate persists from damage.

use spacefold_event_core::bytes::to_u64;

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
        self.0 = mix(self.0, to_u64(bytes.len()));
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
