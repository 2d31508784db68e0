//! What blocks say of states, against what the events lead to.

use std::collections::BTreeMap;

use spacefold_event_core::Position;

use super::{JournalEvents, Problem, VerifyDepth, VerifyReport};
use crate::{
    block,
    commitment::{StateCommitment, StateFold},
    error::OpenError,
    folder::Folder,
    head::Head,
    journal::sealed_files::SealedFiles,
    sled_copy::SledCopy,
};

/// Commitments by the position of the state, each with the first position of its block.
type Found = BTreeMap<Position, Vec<(Position, StateCommitment)>>;

/// Folds the events, and compares at every position that a block says something of.
///
/// The journal has been read whole before. An event that cannot be read ends it: nothing behind it
/// can be known.
pub(super) fn check(
    folder: &Folder,
    head: &Head,
    fold: &mut dyn StateFold,
    report: &mut VerifyReport,
) -> Result<(), OpenError> {
    let sealed = SealedFiles::open(folder, head.store_id)?;
    let head = Head { sealed_through: sealed.end(), ..head.clone() };
    let mut found = find(folder, &head, &sealed)?;
    found.values_mut().for_each(|found| found.retain(|(_, of)| fold.is_of(of)));
    found.retain(|_, found| !found.is_empty());
    let known = head.durable_head.max(sealed.end());
    let depth = VerifyDepth::Full;
    let journal = JournalEvents { folder, head: &head, sealed: &sealed, known, depth };
    let mut folded = Position::START;
    let mut ended = false;
    journal.runs(&mut |records| {
        for envelope in records.envelopes() {
            if ended || found.is_empty() {
                break;
            }
            if envelope.position <= folded {
                continue;
            }
            folded = envelope.position;
            let Ok(event) = envelope.decode() else {
                ended = true;
                break;
            };
            fold.apply(&event);
            let Some(due) = found.remove(&folded) else { continue };
            let hash = fold.hash();
            report.commitments += u64::try_from(due.len()).unwrap_or(u64::MAX);
            for (block, commitment) in due {
                if commitment.hash != hash {
                    report.problems.push(problem(block, &commitment, hash));
                }
            }
        }
        Ok(())
    })?;
    if !ended {
        let beyond = found.into_values().flatten();
        report
            .problems
            .extend(beyond.map(|(block, commitment)| problem_beyond(block, &commitment)));
    }
    Ok(())
}

/// Every commitment of the blocks in sealed files, then of those that sled alone has.
fn find(folder: &Folder, head: &Head, sealed: &SealedFiles) -> Result<Found, OpenError> {
    let mut found = Found::new();
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
    if std::fs::symlink_metadata(folder.sled()).is_ok()
        && let Ok(sled) = SledCopy::open(&folder.sled())
        && let Ok(firsts) = sled.first_positions()
    {
        for first in firsts.into_iter().filter(|first| *first > head.sealed_through) {
            let Ok(Some(stored)) = sled.block_at_or_before(first) else { break };
            let Ok(block) = block::decode(&stored.bytes(), head.store_id) else { break };
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
