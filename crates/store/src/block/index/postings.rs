//! Posting lists as bytes: numbers that are small, seven bits a byte.
//!
//! A list is what is known after its last block (of a space its revision, of a tag nothing), then the
//! blocks, each as the difference to the one before (the first to the block that the key names); of a
//! space each with the revision before it as the difference to the one before.

use std::fmt::Debug;

use spacefold_event_core::Revision;

/// A block that something is in, and what a list says of it there.
pub(super) trait Posting: Copy + Debug {
    /// The first byte of the keys of its lists.
    const KEY: u8;
    /// What a list says after its last block.
    type After: Copy + Debug;

    /// What the first posting of a list that begins at a block is written as a difference to.
    fn before_first(block: u32) -> Self;

    fn block(self) -> u32;

    /// What a list says that ends right before this posting.
    fn ended_before(self) -> Self::After;

    fn put_after(after: Self::After, bytes: &mut Vec<u8>);

    fn take_after(bytes: &mut &[u8]) -> Option<Self::After>;

    fn put(self, before: Self, bytes: &mut Vec<u8>);

    fn take(before: Self, bytes: &mut &[u8]) -> Option<Self>;
}

/// A block that a space is in, and the revision of the space before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpacePosting {
    /// The block, counted from the first of the log.
    pub(super) block: u32,
    pub(super) base_revision: u64,
}

/// A block that a tag is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TagPosting {
    pub(super) block: u32,
}

impl Posting for SpacePosting {
    const KEY: u8 = b's';
    type After = Revision;

    fn before_first(block: u32) -> Self {
        Self { block, base_revision: 0 }
    }

    fn block(self) -> u32 {
        self.block
    }

    fn ended_before(self) -> Revision {
        Revision::new(self.base_revision)
    }

    fn put_after(after: Revision, bytes: &mut Vec<u8>) {
        put_number(bytes, after.get());
    }

    fn take_after(bytes: &mut &[u8]) -> Option<Revision> {
        take_number(bytes).map(Revision::new)
    }

    fn put(self, before: Self, bytes: &mut Vec<u8>) {
        put_number(bytes, u64::from(self.block.saturating_sub(before.block)));
        put_number(bytes, self.base_revision.saturating_sub(before.base_revision));
    }

    fn take(before: Self, bytes: &mut &[u8]) -> Option<Self> {
        let block = take_block(before.block, bytes)?;
        let base_revision = before.base_revision.checked_add(take_number(bytes)?)?;
        Some(Self { block, base_revision })
    }
}

impl Posting for TagPosting {
    const KEY: u8 = b't';
    type After = ();

    fn before_first(block: u32) -> Self {
        Self { block }
    }

    fn block(self) -> u32 {
        self.block
    }

    fn ended_before(self) {}

    fn put_after((): (), _: &mut Vec<u8>) {}

    fn take_after(_: &mut &[u8]) -> Option<()> {
        Some(())
    }

    fn put(self, before: Self, bytes: &mut Vec<u8>) {
        put_number(bytes, u64::from(self.block.saturating_sub(before.block)));
    }

    fn take(before: Self, bytes: &mut &[u8]) -> Option<Self> {
        take_block(before.block, bytes).map(|block| Self { block })
    }
}

fn take_block(before: u32, bytes: &mut &[u8]) -> Option<u32> {
    before.checked_add(u32::try_from(take_number(bytes)?).ok()?)
}

/// Writes the postings of one list, ascending, of blocks from `first_block` on, and what is known after
/// them.
pub(super) fn encode<P: Posting>(postings: &[P], after: P::After, first_block: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    P::put_after(after, &mut bytes);
    put_postings(&mut bytes, postings.iter().copied(), first_block);
    bytes
}

fn put_postings<P: Posting>(
    bytes: &mut Vec<u8>,
    postings: impl Iterator<Item = P>,
    first_block: u32,
) {
    let mut before = P::before_first(first_block);
    for posting in postings {
        posting.put(before, bytes);
        before = posting;
    }
}

/// What is known after the last of the postings that [`encode`] wrote, and these; they end early when
/// the bytes are none of its.
pub(super) fn decode<P: Posting>(
    mut bytes: &[u8],
    first_block: u32,
) -> Option<(P::After, impl Iterator<Item = P>)> {
    let after = P::take_after(&mut bytes)?;
    let mut before = P::before_first(first_block);
    let postings = std::iter::from_fn(move || {
        before = P::take(before, &mut bytes)?;
        Some(before)
    });
    Some((after, postings))
}

/// Writes two lists of one thing, of which the second follows the first, as one that begins at the
/// block of the first; whether both are lists.
pub(super) fn join<P: Posting>(
    earlier: (u32, &[u8]),
    later: (u32, &[u8]),
    joined: &mut Vec<u8>,
) -> bool {
    let lists = decode::<P>(earlier.1, earlier.0).zip(decode::<P>(later.1, later.0));
    let Some(((_, earlier_postings), (after, later_postings))) = lists else { return false };
    P::put_after(after, joined);
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
            let decoded = decode::<SpacePosting>(&bytes, 7).map_or(0, |(_, list)| list.count());
            prop_assert!(decoded <= bytes.len() / 2);
            let decoded = decode::<TagPosting>(&bytes, 7).map_or(0, |(_, list)| list.count());
            prop_assert!(decoded <= bytes.len());
        }
    }
}
