//! A Bloom filter (B. H. Bloom, *Space/time trade-offs in hash coding with allowable errors*, 1970)
//! over the keys of one page of the lowest level of a run's index.
//!
//! Bytes: digest of all that follows, as that of a page (u64), words (u64 each).

use std::sync::Arc;

use crate::page::digest;

/// Bits for each key, and how many of them a key sets: some 1 % of absent keys seem to be there.
const BITS_PER_KEY: usize = 10;
const PROBES: u64 = 6;

const WORD_BYTES: usize = 8;

/// What represents a key in every filter. It is persisted, and so has no secret: keys chosen to seem to be
/// there cost a look at one page of each run.
pub(crate) fn key_digest(key: &[u8]) -> u64 {
    digest(0, key)
}

/// A filter whose bytes are those that were written.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Arc<[u8]>);

impl Filter {
    pub(crate) fn decode(bytes: Vec<u8>, place: u64) -> Option<Self> {
        let (stored, words) = bytes.split_first_chunk::<WORD_BYTES>()?;
        let is_whole = u64::from_le_bytes(*stored) == digest(place, words);
        (is_whole && !words.is_empty() && words.len() % WORD_BYTES == 0).then(|| Self(bytes.into()))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether a key may be there; `false` is certain.
    pub(crate) fn may_have(&self, key: u64) -> bool {
        let words = self.0.get(WORD_BYTES..).unwrap_or_default();
        bits(key, words.len()).all(|bit| {
            let byte = usize::try_from(bit / 8).ok().and_then(|at| words.get(at));
            byte.is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
        })
    }
}

/// Adds the bytes of the filter of these keys, at a place, to `bytes`.
pub(crate) fn encode(keys: &[u64], place: u64, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    let words = (keys.len() * BITS_PER_KEY).div_ceil(64).max(1);
    bytes.resize(start + (1 + words) * WORD_BYTES, 0);
    let filter = bytes.get_mut(start..).unwrap_or_default();
    let Some((stored, words)) = filter.split_first_chunk_mut::<WORD_BYTES>() else { return };
    let length = words.len();
    for bit in keys.iter().flat_map(|key| bits(*key, length)) {
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| words.get_mut(at)) {
            *byte |= 1 << (bit % 8);
        }
    }
    *stored = digest(place, words).to_le_bytes();
}

fn bits(key: u64, bytes: usize) -> impl Iterator<Item = u64> {
    let count = u64::try_from(bytes).unwrap_or(1).max(1) * 8;
    let step = key.rotate_left(32) | 1;
    (0..PROBES).map(move |probe| key.wrapping_add(probe.wrapping_mul(step)) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let key = |n: u32| key_digest(&n.to_be_bytes());
        let keys: Vec<u64> = (0..10_000).map(key).collect();
        let mut bytes = Vec::new();
        encode(&keys, 9, &mut bytes);
        let filter = Filter::decode(bytes.clone(), 9).unwrap();
        assert!(keys.iter().all(|key| filter.may_have(*key)));
        let mistaken = (10_000..110_000).filter(|n| filter.may_have(key(*n))).count();
        assert!(mistaken < 2_500, "{mistaken} of 100,000");
        assert!(Filter::decode(bytes.clone(), 8).is_none());
        for byte in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1;
            assert!(Filter::decode(damaged, 9).is_none(), "byte {byte}");
        }
    }
}
