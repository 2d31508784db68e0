//! What blocks say of states, against what the events lead to.

use std::collections::BTreeMap;

use spacefold_event_core::{Position, bytes::to_u64};

use super::{JournalEvents, Problem, VerifyDepth, VerifyReport};
use crate::{
    commitment::{StateCommitment, StateFold},
    error::OpenError,
    folder::StoreFolder,
    head::Head,
    journal::segments::Segments,
};

/// Commitments by the position of the state, each with the first position of its block.
type CommitmentsByPosition = BTreeMap<Position, Vec<(Position, StateCommitment)>>;

/// Folds the events, as often as the fold asks for them, and compares at every position that a block
/// says something of.
///
/// The journal has been read whole before. An event that cannot be read ends it: nothing behind it
/// can be known.
pub(super) fn check(
    folder: &StoreFolder,
    head: &Head,
    fold: &mut dyn StateFold,
    report: &mut VerifyReport,
) -> Result<(), OpenError> {
    let sealed = Segments::open(folder, head.store_id)?;
    let head = Head { sealed_through: sealed.end(), ..head.clone() };
    let mut found = find(folder, &head, &sealed)?;
    found.values_mut().for_each(|found| found.retain(|(_, of)| fold.is_of(of)));
    found.retain(|_, found| !found.is_empty());
    let known = head.durable_head.max(sealed.end());
    let depth = VerifyDepth::Full;
    let journal = JournalEvents { folder, head: &head, sealed: &sealed, known, depth };
    let Some(last) = found.keys().next_back().copied() else { return Ok(()) };
    let mut read = fold_through(&journal, last, &found, fold)?;
    while fold.goes_on() {
        read = fold_through(&journal, last, &found, fold)?;
    }
    let is_reached = |position: Position| position <= read.through;
    for (position, due) in found {
        if is_reached(position) {
            let hash = fold.hash(position);
            report.commitments += to_u64(due.len());
            let wrong = due.into_iter().filter(|(_, commitment)| commitment.hash != hash);
            report
                .problems
                .extend(wrong.map(|(block, commitment)| problem(block, &commitment, hash)));
        } else if !read.is_cut_short {
            let beyond = due.into_iter();
            report.problems.extend(beyond.map(|(block, of)| problem_beyond(block, &of)));
        }
    }
    Ok(())
}

/// How far the events were read.
struct ReadThrough {
    through: Position,
    /// Whether the next one cannot be read.
    is_cut_short: bool,
}

/// Hands the events up to a position to the fold, and tells it where it is asked for its hash.
fn fold_through(
    journal: &JournalEvents<'_>,
    last: Position,
    found: &CommitmentsByPosition,
    fold: &mut dyn StateFold,
) -> Result<ReadThrough, OpenError> {
    let mut read = ReadThrough { through: Position::START, is_cut_short: false };
    journal.runs(&mut |records| {
        for envelope in records.envelopes() {
            if read.is_cut_short || read.through >= last {
                return Ok(());
            }
            // An append may begin in the last sealed block and go on behind it.
            if envelope.position <= read.through {
                continue;
            }
            let Ok(event) = envelope.decode() else {
                read.is_cut_short = true;
                return Ok(());
            };
            read.through = envelope.position;
            fold.apply(&event);
            if found.contains_key(&read.through) {
                fold.reach(read.through);
            }
        }
        fold.has_read(records.memory_bytes());
        Ok(())
    })?;
    Ok(read)
}

/// Every commitment of the blocks in segments, then of those that sled alone has.
fn find(
    folder: &StoreFolder,
    head: &Head,
    sealed: &Segments,
) -> Result<CommitmentsByPosition, OpenError> {
    let mut found = CommitmentsByPosition::new();
    let mut add = |first: Position, extension: &[u8]| {
        for commitment in StateCommitment::decode(extension) {
            found.entry(commitment.position).or_default().push((first, commitment));
        }
    };
    sealed.blocks_from(Position::new(1), &mut |block, _| {
        add(block.records.first_position(), &block.extension);
        Ok(())
    })?;
    // What is wrong with sled's copy has been found before: as far as it goes, then.
    if folder.copies().is_there()
        && let Ok(sled) = folder.copies().open()
        && let Ok(firsts) = sled.first_positions()
    {
        for first in firsts.into_iter().filter(|first| *first > head.sealed_through) {
            let Ok(Some(stored)) = sled.block_at_or_before(first) else { break };
            let Ok(block) = sealed.decode(&stored.bytes()) else { break };
            add(first, &block.extension);
        }
    }
    Ok(found)
}

fn problem(block: Position, commitment: &StateCommitment, hash: [u8; 32]) -> Problem {
    let hex = |hash: [u8; 32]| blake3::Hash::from_bytes(hash).to_hex();
    let StateCommitment { projection, version, position, .. } = commitment;
    let detail = format!(
        "the block at position {block} says that {projection} version {version} has the state {} at \
         position {position}: the events lead to {}",
        hex(commitment.hash),
        hex(hash)
    );
    Problem {
        position: Some(*position),
        file: None,
        offset: None,
        kind: "commitment",
        detail,
        healed: false,
    }
}

fn problem_beyond(block: Position, commitment: &StateCommitment) -> Problem {
    let StateCommitment { projection, position, .. } = commitment;
    Problem {
        position: Some(*position),
        file: None,
        offset: None,
        kind: "commitment",
        detail: format!(
            "the block at position {block} speaks of the state of {projection} at position \
             {position}, which no event has"
        ),
        healed: false,
    }
}
