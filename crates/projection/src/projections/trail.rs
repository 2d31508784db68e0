//! What each event did to a table, as 32 bits: so that the first event after which two folds part
//! can be found when only their tables are there.
//!
//! A page has the digests of [`PAGE_EVENTS`] events (u32 each) and the chain of all digests up to
//! its end (u64). The digest of an event that changed nothing is 0. Events that are not folded yet
//! have none: the last page is open, and kept with the checkpoint.

use std::num::NonZeroU64;

use spacefold_event_core::{
    Position, StorageError,
    bytes::{ByteReader, put_count, put_u64, to_u64},
};

use crate::{
    table::{Blob, Place, TableError},
    wire::Digest,
};

/// Events of a page.
const PAGE_EVENTS: u64 = 4_096;
const PAGE_BYTES: usize = 4_096 * size_of::<u32>() + size_of::<u64>();

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trail {
    /// How many pages are full.
    pages: u64,
    chain: u64,
    open: Vec<u32>,
    /// Full pages that are not persisted yet.
    pending: Vec<(u64, Vec<u8>)>,
}

impl Trail {
    /// Takes in what the next event did.
    pub(crate) fn push(&mut self, digest: u32) {
        let mut chain = Digest::new(self.chain);
        chain.number(digest.into());
        self.chain = chain.get();
        self.open.push(digest);
        if to_u64(self.open.len()) == PAGE_EVENTS {
            let mut bytes = Vec::with_capacity(PAGE_BYTES);
            for digest in self.open.drain(..) {
                bytes.extend_from_slice(&digest.to_le_bytes());
            }
            put_u64(&mut bytes, self.chain);
            self.pending.push((self.pages, bytes));
            self.pages += 1;
        }
    }

    /// Persists the full pages: they count when a checkpoint covers them.
    pub(crate) fn write(&self, place: &Place) -> Result<(), StorageError> {
        self.pending.iter().try_for_each(|(page, bytes)| place.put(Blob::Trail(*page), bytes))
    }

    /// Lets go of the pages that are persisted.
    pub(crate) fn written(&mut self) {
        self.pending.clear();
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        put_u64(bytes, self.pages);
        put_u64(bytes, self.chain);
        put_count(bytes, self.open.len());
        self.open.iter().for_each(|digest| bytes.extend_from_slice(&digest.to_le_bytes()));
    }

    pub(crate) fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let (pages, chain) = (reader.u64()?, reader.u64()?);
        let open = (0..reader.count(4)?).map(|_| reader.u32()).collect::<Option<_>>()?;
        Some(Self { pages, chain, open, pending: Vec::new() })
    }

    /// The position of the last event that it has.
    fn position(&self) -> u64 {
        self.pages * PAGE_EVENTS + to_u64(self.open.len())
    }

    /// A full page, or the open one: its digests, and the chain at its end.
    fn page(&self, place: &Place, page: u64) -> Result<(Vec<u32>, u64), TableError> {
        if page >= self.pages {
            return Ok((self.open.clone(), self.chain));
        }
        let pending = self.pending.iter().find(|(number, _)| *number == page);
        let bytes = match pending {
            Some((_, bytes)) => Some(bytes.clone()),
            None => place.get(Blob::Trail(page))?,
        };
        let decode = |bytes: &[u8]| {
            let mut reader = ByteReader::new(bytes);
            let digests = (0..PAGE_EVENTS).map(|_| reader.u32()).collect::<Option<Vec<_>>>()?;
            let chain = reader.u64()?;
            reader.end((digests, chain))
        };
        bytes.as_deref().and_then(decode).ok_or_else(|| {
            TableError::damaged(format_args!("page {page} of its trail is not there"))
        })
    }
}

/// The first position at which the events of two trails did not do the same, if there is one up to
/// the end of the shorter.
///
/// # Cost
/// By bisection: the logarithm of the log's length in pages of either.
pub(crate) fn first_parting(
    (one, one_place): (&Trail, &Place),
    (other, other_place): (&Trail, &Place),
) -> Result<Option<Position>, TableError> {
    let common = one.position().min(other.position());
    let whole_pages = common / PAGE_EVENTS;
    // The chains agree at the end of each page before `low`, and do not at that of `high`.
    let (mut low, mut high) = (0, whole_pages);
    while low < high {
        let middle = u64::midpoint(low, high);
        if one.page(one_place, middle)?.1 == other.page(other_place, middle)?.1 {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low * PAGE_EVENTS >= common {
        return Ok(None);
    }
    let begin = low * PAGE_EVENTS;
    let (ones, _) = one.page(one_place, low)?;
    let (others, _) = other.page(other_place, low)?;
    let parts = (begin..common).zip(ones.iter().zip(&others)).find(|(_, (a, b))| a != b);
    let position = parts.and_then(|(before, _)| NonZeroU64::new(before + 1));
    Ok(position.map(|position| Position::new(position.get())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spacefold_event_core::MemoryStateStore;

    use super::*;

    fn trail(place: &Place, events: u64, wrong: impl Fn(u64) -> bool) -> Trail {
        let mut trail = Trail::default();
        for event in 1..=events {
            let digest = u32::try_from(event % 7).unwrap();
            trail.push(if wrong(event) { 99 } else { digest });
        }
        trail.write(place).unwrap();
        trail.written();
        trail
    }

    #[test]
    fn the_first_event_that_did_something_else_is_found_wherever_it_is() {
        let store = Arc::new(MemoryStateStore::new());
        let place = |generation| Place::new(store.clone(), "p", generation);
        let page = PAGE_EVENTS;
        let last = 5 * page - 120;
        for events in [1, page - 1, page, page + 1, last] {
            let one = trail(&place(1), events, |_| false);
            for wrong in
                [1, 2, page - 1, page, page + 1, 2 * page, 2 * page + 1, last - 1, last, last + 1]
            {
                // It goes on being wrong, or is so only once.
                for once in [false, true] {
                    let is_wrong = |n| n == wrong || (!once && n > wrong);
                    let other = trail(&place(2), events.max(3 * page - 72), is_wrong);
                    let found = first_parting((&one, &place(1)), (&other, &place(2))).unwrap();
                    let expected = (wrong <= events).then(|| Position::new(wrong));
                    assert_eq!(found, expected, "{events} {wrong}");
                    let mut bytes = Vec::new();
                    other.encode(&mut bytes);
                    assert_eq!(Trail::decode(&mut ByteReader::new(&bytes)), Some(other));
                }
            }
        }
    }
}
