//! What each event did to a table, as 32 bits: so that the first event after which two folds part
//! can be found when only their tables are there.
//!
//! A page has the digests of [`PAGE_EVENTS`] events (u32 each), the chain of all digests up to its end
//! (u64), and a digest of the page (u64). The digest of an event that changed nothing is 0. Full
//! pages stand one after the other in the file `trail` of the generation; the last page is open, and
//! kept with the checkpoint.

use std::num::NonZeroU64;

use std::sync::Arc;

use spacefold_disk::{Access, Folder};
use spacefold_event_core::{
    Position, StorageError,
    bytes::{ByteReader, put_count, put_u64, to_u64},
};

use crate::{table::TableError, wire::Digest};

/// Events of a page.
const PAGE_EVENTS: u64 = 4_096;
const PAGE_BYTES: usize = 4_096 * size_of::<u32>() + 2 * size_of::<u64>();
const FILE_NAME: &str = "trail";

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
            let digest = page_digest(self.pages, &bytes);
            put_u64(&mut bytes, digest);
            self.pending.push((self.pages, bytes));
            self.pages += 1;
        }
    }

    /// Persists the full pages: they count when a checkpoint covers them.
    pub(crate) fn write(&self, folder: &Arc<dyn Folder>) -> Result<(), StorageError> {
        let Some((first, _)) = self.pending.first() else { return Ok(()) };
        let file = match folder.find(FILE_NAME, Access::ReadWrite)? {
            Some(file) => file,
            None => folder.create(FILE_NAME)?,
        };
        let pages: Vec<&[u8]> = self.pending.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        file.write_all_at(&pages.concat(), offset_of(*first))?;
        file.sync_data()
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
    fn page(&self, folder: &Arc<dyn Folder>, page: u64) -> Result<(Vec<u32>, u64), TableError> {
        if page >= self.pages {
            return Ok((self.open.clone(), self.chain));
        }
        let pending = self.pending.iter().find(|(number, _)| *number == page);
        let bytes = match pending {
            Some((_, bytes)) => Some(bytes.clone()),
            None => read_page(folder, page)?,
        };
        let decode = |bytes: &[u8]| {
            let mut reader = ByteReader::new(bytes);
            let digests = (0..PAGE_EVENTS).map(|_| reader.u32()).collect::<Option<Vec<_>>>()?;
            let chain = reader.u64()?;
            let is_whole = reader.u64()? == page_digest(page, bytes.get(..PAGE_BYTES - 8)?);
            reader.end(is_whole.then_some((digests, chain))?)
        };
        bytes.as_deref().and_then(decode).ok_or_else(|| {
            TableError::damaged(format_args!("page {page} of its trail is not there"))
        })
    }
}

fn offset_of(page: u64) -> u64 {
    page.saturating_mul(to_u64(PAGE_BYTES))
}

fn page_digest(page: u64, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(page);
    digest.bytes(bytes);
    digest.get()
}

/// The bytes of a page, if the file has them.
fn read_page(folder: &Arc<dyn Folder>, page: u64) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(file) = folder.find(FILE_NAME, Access::Read)? else { return Ok(None) };
    let mut bytes = vec![0; PAGE_BYTES];
    Ok(file.read_if_there(&mut bytes, offset_of(page))?.then_some(bytes))
}

/// The first position at which the events of two trails did not do the same, if there is one up to
/// the end of the shorter.
///
/// # Cost
/// By bisection: the logarithm of the log's length in pages of either.
pub(crate) fn first_parting(
    (one, one_folder): (&Trail, &Arc<dyn Folder>),
    (other, other_folder): (&Trail, &Arc<dyn Folder>),
) -> Result<Option<Position>, TableError> {
    let common = one.position().min(other.position());
    let whole_pages = common / PAGE_EVENTS;
    // The chains agree at the end of each page before `low`, and do not at that of `high`.
    let (mut low, mut high) = (0, whole_pages);
    while low < high {
        let middle = u64::midpoint(low, high);
        if one.page(one_folder, middle)?.1 == other.page(other_folder, middle)?.1 {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low * PAGE_EVENTS >= common {
        return Ok(None);
    }
    let begin = low * PAGE_EVENTS;
    let (ones, _) = one.page(one_folder, low)?;
    let (others, _) = other.page(other_folder, low)?;
    let parts = (begin..common).zip(ones.iter().zip(&others)).find(|(_, (a, b))| a != b);
    let position = parts.and_then(|(before, _)| NonZeroU64::new(before + 1));
    Ok(position.map(|position| Position::new(position.get())))
}

#[cfg(test)]
mod tests {
    use spacefold_disk::MemoryDisk;

    use super::*;

    fn trail(folder: &Arc<dyn Folder>, events: u64, wrong: impl Fn(u64) -> bool) -> Trail {
        let mut trail = Trail::default();
        for event in 1..=events {
            let digest = u32::try_from(event % 7).unwrap();
            trail.push(if wrong(event) { 99 } else { digest });
        }
        trail.write(folder).unwrap();
        trail.written();
        trail
    }

    #[test]
    fn the_first_event_that_did_something_else_is_found_wherever_it_is() {
        let (ours, theirs) = (MemoryDisk::new().root(), MemoryDisk::new().root());
        let page = PAGE_EVENTS;
        let last = 5 * page - 120;
        for events in [1, page - 1, page, page + 1, last] {
            let one = trail(&ours, events, |_| false);
            for wrong in
                [1, 2, page - 1, page, page + 1, 2 * page, 2 * page + 1, last - 1, last, last + 1]
            {
                // It goes on being wrong, or is so only once.
                for once in [false, true] {
                    let is_wrong = |n| n == wrong || (!once && n > wrong);
                    let other = trail(&theirs, events.max(3 * page - 72), is_wrong);
                    let found = first_parting((&one, &ours), (&other, &theirs)).unwrap();
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
