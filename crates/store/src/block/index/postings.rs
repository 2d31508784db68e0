//! Posting lists as bytes: numbers that are small, seven bits a byte.
//!
//! A list is the revision of its space after its last block, then the blocks, each as the difference
//! to the one before (the first to the block that the key names), with the revision before it as the
//! difference to the one before.

use spacefold_event_core::Revision;

/// A block that a space is in, and the revision of the space before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posting {
    /// The block, counted from the first of the log.
    pub(super) block: u32,
    pub(super) base_revision: u64,
}

/// Writes the postings of one space, ascending, of blocks from `first_block` on, after which the space
/// is at a revision.
pub(super) fn encode(postings: &[Posting], revision: Revision, first_block: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(&mut bytes, revision.get());
    put_postings(&mut bytes, postings.iter().copied(), first_block);
    bytes
}

fn put_postings(bytes: &mut Vec<u8>, postings: impl Iterator<Item = Posting>, first_block: u32) {
    let mut before = Posting { block: first_block, base_revision: 0 };
    for posting in postings {
        put_number(bytes, u64::from(posting.block.saturating_sub(before.block)));
        put_number(bytes, posting.base_revision.saturating_sub(before.base_revision));
        before = posting;
    }
}

/// The revision after the last of the postings that [`encode`] wrote, and these; they end early when
/// the bytes are none of its.
pub(super) fn decode(
    mut bytes: &[u8],
    first_block: u32,
) -> Option<(Revision, impl Iterator<Item = Posting>)> {
    let revision = Revision::new(take_number(&mut bytes)?);
    let mut before = Posting { block: first_block, base_revision: 0 };
    let postings = std::iter::from_fn(move || {
        let blocks = u32::try_from(take_number(&mut bytes)?).ok()?;
        let revisions = take_number(&mut bytes)?;
        before = Posting {
            block: before.block.checked_add(blocks)?,
            base_revision: before.base_revision.checked_add(revisions)?,
        };
        Some(before)
    });
    Some((revision, postings))
}

/// Writes two lists of one space, of which the second follows the first, as one that begins at the
/// block of the first; whether both are lists.
pub(super) fn join(earlier: (u32, &[u8]), later: (u32, &[u8]), joined: &mut Vec<u8>) -> bool {
    let lists = decode(earlier.1, earlier.0).zip(decode(later.1, later.0));
    let Some(((_, earlier_postings), (revision, later_postings))) = lists else { return false };
    put_number(joined, revision.get());
    put_postings(joined, earlier_postings.chain(later_postings), earlier.0);
    true
}

pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while let Some(low) = u8::try_from(number & 0x7f).ok().filter(|_| number > 0x7f) {
        bytes.push(low | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or(0));
}

pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive(numbers in proptest::collection::vec((any::<u64>(), 0_u32..64), 0..20)) {
            let numbers: Vec<u64> = numbers.into_iter().map(|(n, shift)| n >> shift).collect();
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| put_number(&mut bytes, *number));
            let mut rest = bytes.as_slice();
            for number in numbers {
                prop_assert_eq!(take_number(&mut rest), Some(number));
            }
            prop_assert_eq!(take_number(&mut rest), None);
        }

        #[test]
        fn any_bytes_end_somewhere(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let decoded = decode(&bytes, 7).map_or(0, |(_, postings)| postings.count());
            prop_assert!(decoded <= bytes.len() / 2);
        }
    }
}
