//! Which keys a run surely does not have.

use spacefold_event_core::bytes::{ByteReader, put_count, put_u64, to_u64, to_usize};

use crate::wire::Digest;

/// Bits for each row, and how many of them a key sets: some 1 % of absent keys seem to be there.
const BITS_PER_ROW: u64 = 10;
const PROBES: u64 = 6;

#[derive(Debug)]
pub(super) struct Bloom {
    words: Vec<u64>,
}

impl Bloom {
    /// For about so many rows.
    pub(super) fn with_rows(rows: u64) -> Self {
        let words = rows.saturating_mul(BITS_PER_ROW).div_ceil(64).max(1);
        Self { words: vec![0; to_usize(words)] }
    }

    /// What stands for a key: the same in every run, so that it is made once for all. It is
    /// persisted, and so has no secret: keys that are chosen to seem to be there cost a look at one
    /// page of each run, of which a table has few.
    pub(super) fn digest(key: &[u8]) -> u64 {
        let mut digest = Digest::new(0);
        digest.bytes(key);
        digest.get()
    }

    pub(super) fn add(&mut self, digest: u64) {
        for bit in self.bits(digest) {
            if let Some(word) = self.words.get_mut(to_usize(bit / 64)) {
                *word |= 1 << (bit % 64);
            }
        }
    }

    pub(super) fn may_have(&self, digest: u64) -> bool {
        self.bits(digest).all(|bit| {
            let word = self.words.get(to_usize(bit / 64));
            word.is_some_and(|word| word & (1 << (bit % 64)) != 0)
        })
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_count(bytes, self.words.len());
        self.words.iter().for_each(|word| put_u64(bytes, *word));
    }

    pub(super) fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let count = reader.count(8)?;
        let words = (0..count).map(|_| reader.u64()).collect::<Option<Vec<u64>>>()?;
        (!words.is_empty()).then_some(Self { words })
    }

    fn bits(&self, digest: u64) -> impl Iterator<Item = u64> + use<> {
        let count = to_u64(self.words.len()).max(1) * 64;
        let step = digest.rotate_left(32) | 1;
        (0..PROBES).map(move |probe| digest.wrapping_add(probe.wrapping_mul(step)) % count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let mut bloom = Bloom::with_rows(10_000);
        let digest = |n: u32| Bloom::digest(&n.to_be_bytes());
        (0..10_000).for_each(|n| bloom.add(digest(n)));
        let mut bytes = Vec::new();
        bloom.encode(&mut bytes);
        let bloom = Bloom::decode(&mut ByteReader::new(&bytes)).unwrap();
        assert!((0..10_000).all(|n| bloom.may_have(digest(n))));
        let mistaken = (10_000..110_000).filter(|n| bloom.may_have(digest(*n))).count();
        assert!(mistaken < 2_500, "{mistaken} of 100,000");
        assert!(Bloom::decode(&mut ByteReader::new(&[0; 4])).is_none());
    }
}
