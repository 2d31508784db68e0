//! What the index has in sorted runs: its rows, and how they are found.
//!
//! | key | value |
//! |---|---|
//! | `d`, the position of the first event of a block (u64) | what is known of that block and those after it |
//! | `g`, the first position of a segment (u64) | what is known of the segment |
//! | `n`, a block (u32) | the first position in that block, which begins a row of blocks |
//! | `s`, a space id, a block (u32) | postings of the space, of which the first is of that block |
//! | `t`, a tag, a block (u32) | postings of the tag, of which the first is of that block |
//!
//! Blocks count from 0; their numbers are big endian, and ids are escaped, so that keys sort as they do.

use spacefold_event_core::{Position, Revision};
use spacefold_runs::{KeyValue, RunSetOptions, RunsError, View};

use super::postings::{self, Posting, SpacePosting, TagPosting};

/// Bytes of a value that neighbours are joined up to when runs are merged.
const JOINED_BYTES: usize = 2 << 10;
/// Rows of one space after which the next space is looked for anew.
const MAX_PASSED_ROWS: usize = 16;

const DIRECTORY: u8 = b'd';
const SEGMENT: u8 = b'g';
const NUMBER: u8 = b'n';
/// What a zero byte of an id becomes, and what ends an id: it sorts before every byte of one.
const ESCAPED_ZERO: [u8; 2] = [0, 0xff];
const ID_END: [u8; 2] = [0, 1];
const BLOCK_BYTES: usize = size_of::<u32>();

pub(super) const OPTIONS: RunSetOptions = RunSetOptions {
    kind: *b"SFBLKIX\x02",
    filter_key: group_of,
    inline_bytes: 0,
    join: Some(join),
    // Rows of segments may come again; nobody looks for the last one of them.
    is_ascending: true,
};

/// A row in memory.
pub(super) type IndexRow = (Vec<u8>, Vec<u8>);

/// The key of what is known of the blocks from one on that begins at a position.
pub(super) fn directory_key(first: Position) -> Vec<u8> {
    [&[DIRECTORY][..], &first.get().to_be_bytes()].concat()
}

/// The key of where the block of a number begins, if that begins a row of blocks.
pub(super) fn number_key(block: u32) -> Vec<u8> {
    [&[NUMBER][..], &block.to_be_bytes()].concat()
}

/// The key of what is known of the segment that begins at a position.
pub(super) fn segment_key(first: Position) -> Vec<u8> {
    [&[SEGMENT][..], &first.get().to_be_bytes()].concat()
}

/// The first position of the segment whose key this is.
pub(super) fn segment_of(key: &[u8]) -> Option<Position> {
    let first = key.strip_prefix(&[SEGMENT])?;
    first.try_into().ok().map(|first| Position::new(u64::from_be_bytes(first)))
}

/// Whether a key is one of the directory.
pub(super) fn is_directory(key: &[u8]) -> bool {
    key.first() == Some(&DIRECTORY)
}

/// The key of the postings of a space or a tag of which the first is of a block.
pub(super) fn list_key<P: Posting>(id: &str, block: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + id.len() + ID_END.len() + BLOCK_BYTES);
    key.push(P::KEY);
    let mut parts = id.as_bytes().split(|byte| *byte == 0);
    key.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        key.extend_from_slice(&ESCAPED_ZERO);
        key.extend_from_slice(part);
    }
    key.extend_from_slice(&ID_END);
    key.extend_from_slice(&block.to_be_bytes());
    key
}

fn space_key(space_id: &str, block: u32) -> Vec<u8> {
    list_key::<SpacePosting>(space_id, block)
}

/// The id of the space whose postings have this key.
fn space_of(key: &[u8]) -> Option<String> {
    let escaped = without_block(key).strip_prefix(&[SpacePosting::KEY])?.strip_suffix(&ID_END)?;
    let mut id = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(byte) = rest.next() {
        id.push(*byte);
        if *byte == 0 {
            rest.next();
        }
    }
    String::from_utf8(id).ok()
}

/// What rows are found by: of lists the space or the tag, of others their kind.
fn group_of(key: &[u8]) -> &[u8] {
    match key.split_first_chunk::<1>() {
        Some(([DIRECTORY | SEGMENT | NUMBER], _)) => key.get(..1).unwrap_or(key),
        _ => without_block(key),
    }
}

fn without_block(key: &[u8]) -> &[u8] {
    key.split_last_chunk::<BLOCK_BYTES>().map_or(key, |(group, _)| group)
}

/// The block that a key ends with.
pub(super) fn block_of(key: &[u8]) -> Option<u32> {
    key.last_chunk().map(|block| u32::from_be_bytes(*block))
}

fn join(earlier: KeyValue<'_>, later: KeyValue<'_>, joined: &mut Vec<u8>) -> bool {
    let has_room = earlier.1.len() + later.1.len() <= JOINED_BYTES;
    let is_of_one = without_block(earlier.0) == without_block(later.0);
    let blocks = block_of(earlier.0).zip(block_of(later.0));
    let Some((first, second)) = blocks.filter(|_| has_room && is_of_one) else { return false };
    let lists = ((first, earlier.1), (second, later.1));
    match earlier.0.first() {
        Some(&SpacePosting::KEY) => postings::join::<SpacePosting>(lists.0, lists.1, joined),
        Some(&TagPosting::KEY) => postings::join::<TagPosting>(lists.0, lists.1, joined),
        _ => false,
    }
}

/// The block that may have a revision, where one block has one before it and another, later one has one
/// at or after it.
fn interpolate(revision: u64, (low, before): (u32, u64), (high, after): (u32, u64)) -> u32 {
    let part = u128::from(revision.saturating_sub(before));
    let whole = u128::from(after.saturating_sub(before)).max(1);
    let blocks = u128::from(high.saturating_sub(low)) * part / whole;
    let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
    low.saturating_add(blocks).min(high.saturating_sub(1))
}

fn decode_space(
    bytes: &[u8],
    first_block: u32,
) -> Option<(Revision, impl Iterator<Item = SpacePosting>)> {
    postings::decode(bytes, first_block)
}

/// The postings of the blocks that the runs have.
#[derive(Clone, Debug)]
pub(crate) struct KeptPostings(pub(super) View);

impl KeptPostings {
    /// The revision of a space after the last of the blocks; `None` when it is in none of them.
    pub(crate) fn revision(&self, space_id: &str) -> Result<Option<Revision>, RunsError> {
        let Some((key, value)) = self.0.floor(&space_key(space_id, u32::MAX))? else {
            return Ok(None);
        };
        let list = block_of(&key).and_then(|block| decode_space(&value, block));
        Ok(list.map(|(revision, _)| revision))
    }

    /// The block that holds this revision of a space, if one does.
    pub(super) fn block_of_revision(
        &self,
        space_id: &str,
        revision: Revision,
    ) -> Result<Option<u32>, RunsError> {
        // The list that has it begins at a block from `low` on and before `high`, of which these are the
        // revisions; most look for what is new.
        let (mut low, mut high, mut probe) = (0, u32::MAX, u32::MAX);
        let (mut before, mut after_it) = (0, u64::MAX);
        for step in 0_u32.. {
            if low >= high {
                break;
            }
            let row = self.0.floor(&space_key(space_id, probe))?;
            let row = row.and_then(|(key, value)| Some((block_of(&key)?, value)));
            let list = row.as_ref().filter(|(first, _)| *first >= low);
            let list = list.and_then(|(first, value)| {
                let (after, postings) = decode_space(value, *first)?;
                let mut postings = postings.peekable();
                let base = postings.peek()?.base_revision;
                let is_before = |posting: &SpacePosting| posting.base_revision < revision.get();
                Some((*first, base, after, postings.take_while(is_before).last()))
            });
            match list {
                // None begins from there up to the probe.
                None => low = probe.saturating_add(1),
                Some((first, base, _, None)) => (high, after_it) = (first, base),
                Some((_, _, after, Some(last))) if revision <= after => {
                    return Ok(Some(last.block));
                }
                Some((_, _, after, Some(last))) => {
                    (low, before) = (last.block.max(probe).saturating_add(1), after.get());
                }
            }
            // Events of a space come evenly, mostly; where they do not, every other step halves.
            probe = match step % 2 {
                0 => interpolate(revision.get(), (low, before), (high, after_it)),
                _ => low.midpoint(high),
            };
        }
        Ok(None)
    }

    /// The blocks from `start` on that a space or a tag is in, ascending, `most` at least if there are as many;
    /// and whether these are all.
    pub(super) fn blocks<P: Posting>(
        &self,
        id: &str,
        start: u32,
        most: usize,
    ) -> Result<(Vec<u32>, bool), RunsError> {
        let listed = |key: &[u8], value: &[u8]| {
            let list = block_of(key).and_then(|block| postings::decode::<P>(value, block));
            let blocks = list.into_iter().flat_map(|(_, postings)| postings.map(Posting::block));
            blocks.filter(|block| *block >= start).collect::<Vec<_>>()
        };
        // Most of what is asked for is nowhere, or in the newest list.
        let Some((newest, value)) = self.0.floor(&list_key::<P>(id, u32::MAX))? else {
            return Ok((Vec::new(), true));
        };
        if block_of(&newest).is_some_and(|first| first <= start) {
            return Ok((listed(&newest, &value), true));
        }
        drop(value);
        let from = match start {
            0 => None,
            start => self.0.floor(&list_key::<P>(id, start))?,
        };
        let from = from.map_or_else(|| list_key::<P>(id, start), |(key, _)| key);
        let mut rows = self.0.scan_group(&from, &list_key::<P>(id, u32::MAX))?;
        let mut blocks = Vec::new();
        while let Some((key, value)) = rows.next_row()? {
            if without_block(key) != without_block(&from) {
                break;
            }
            blocks.extend(listed(key, value));
            if blocks.len() >= most {
                return Ok((blocks, false));
            }
        }
        Ok((blocks, true))
    }

    /// The next spaces after `after`, `most` at the most, in the order of their ids, with their revisions
    /// after the last of the blocks.
    pub(crate) fn spaces(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Revision)>, RunsError> {
        let mut from =
            after.map_or_else(|| vec![SpacePosting::KEY], |after| space_key(after, u32::MAX));
        let mut spaces = Vec::new();
        // The space at hand, its revision so far, and how many rows of it were passed.
        let mut last: Option<(Vec<u8>, Revision, usize)> = None;
        let mut rows = self.0.scan(&from)?;
        let mut is_passed = false;
        loop {
            if std::mem::take(&mut is_passed) {
                rows = self.0.scan(&from)?;
            }
            let row = rows.next_row()?.filter(|(key, _)| key.first() == Some(&SpacePosting::KEY));
            let group = row.map(|(key, _)| without_block(key));
            if let Some((key, revision, _)) =
                last.take_if(|(key, ..)| group != Some(without_block(key)))
            {
                spaces.extend(space_of(&key).map(|id| (id, revision)));
            }
            let Some((key, value)) = row.filter(|_| spaces.len() < most) else { break };
            let list = block_of(key).and_then(|block| decode_space(value, block));
            let Some((revision, _)) = list else { continue };
            let (_, newest, passed) = last.get_or_insert_with(|| (key.to_vec(), revision, 0));
            *newest = revision;
            *passed += 1;
            if *passed >= MAX_PASSED_ROWS {
                // A few looks instead of all that there is of a large space.
                from = [without_block(key), &u32::MAX.to_be_bytes()].concat();
                if let Some((key, value)) = self.0.floor(&from)?
                    && let Some((revision, _)) =
                        block_of(&key).and_then(|block| decode_space(&value, block))
                {
                    *newest = revision;
                }
                is_passed = true;
            }
        }
        Ok(spaces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_ids_do_and_lead_back_to_them() {
        let mut ids =
            ["", "a", "a\0", "a\0\0b", "a\0\u{1}", "a\u{1}", "ab", "b\0", "ä", "\0", "\u{1}"];
        ids.sort_unstable();
        let keys: Vec<Vec<u8>> = ids
            .iter()
            .flat_map(|id| [0, 1, 256, u32::MAX].map(|block| space_key(id, block)))
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        for (key, id) in keys.iter().zip(ids.iter().flat_map(|id| [id; 4])) {
            assert_eq!(space_of(key).as_deref(), Some(*id));
        }
        for id in ids {
            let tag = list_key::<TagPosting>(id, 7);
            assert_eq!(space_of(&tag), None);
            assert!(keys.last().is_some_and(|last| *last < tag), "tags are after spaces");
            assert_eq!(block_of(&tag), Some(7));
        }
    }
}
