use spacefold_event_core::{LogId, TimelineId};

use super::*;

const ONE: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];

fn identity(log: u8) -> LogIdentity {
    let log_id = LogId::from_bytes([log; 16]);
    LogIdentity { log_id, timeline: TimelineId::from_bytes([7; 16]), fork: None }
}

/// A tail that has read the first block.
fn begun() -> BlockTail {
    let mut tail = BlockTail::start();
    let (first, _) = GroupBlockHeader::first(identity(1), OTHER).encode(&[]);
    assert!(tail.take(&first).unwrap().is_empty());
    tail
}

/// The header of a block without events in the next place, made after all was read.
fn next(tail: &BlockTail, writer: [u8; 16]) -> GroupBlockHeader {
    GroupBlockHeader {
        place: tail.next,
        read_through: tail.next - 1,
        previous: tail.last_hash,
        ..GroupBlockHeader::first(identity(1), writer)
    }
}

#[test]
fn what_was_made_on_a_block_that_did_not_land_is_void_and_so_is_what_rests_on_it() {
    let mut tail = begun();
    let mine = next(&tail, ONE);
    let (_, lost) = mine.encode(b"never there");
    let second = GroupBlockHeader { place: mine.place + 1, previous: lost, group: 1, ..mine };
    let (second_bytes, second_hash) = second.encode(&[]);
    let third = GroupBlockHeader { place: mine.place + 2, previous: second_hash, group: 2, ..mine };
    let (winner, _) = next(&tail, OTHER).encode(&[]);
    tail.take(&winner).unwrap();
    assert_eq!(tail.last_void, 0);
    tail.take(&second_bytes).unwrap();
    assert_eq!(tail.last_void, second.place);
    // It follows by its hash, and was decided on what was never there.
    tail.take(&third.encode(&[]).0).unwrap();
    assert_eq!(tail.last_void, third.place);
    // Whoever has read them goes on.
    let after = next(&tail, ONE);
    tail.take(&after.encode(&[]).0).unwrap();
    assert_eq!(tail.last_void, third.place);
}

#[test]
fn a_writer_that_had_read_another_block_is_damage() {
    let mut tail = begun();
    let header = GroupBlockHeader { previous: [9; 32], ..next(&tail, ONE) };
    let damage = tail.take(&header.encode(&[]).0).unwrap_err();
    assert_eq!(damage, BlockDamage::BrokenChain { place: 2 });
}

#[test]
fn blocks_of_other_places_logs_and_positions_are_damage() {
    let tail = begun();
    let take = |header: GroupBlockHeader| tail.clone().take(&header.encode(&[]).0).unwrap_err();
    let good = next(&tail, ONE);
    let misplaced = take(GroupBlockHeader { place: 3, ..good });
    assert_eq!(misplaced, BlockDamage::Misplaced { place: 2, found: 3 });
    let other = GroupBlockHeader { log_id: identity(5).log_id, ..good };
    assert_eq!(take(other), BlockDamage::OtherLog { place: 2 });
    let elsewhere = take(GroupBlockHeader { first_position: Position::new(4), ..good });
    assert!(matches!(elsewhere, BlockDamage::WrongPosition { place: 2, .. }), "{elsewhere}");
    let unreadable = tail.clone().take(b"nonsense").unwrap_err();
    assert!(matches!(unreadable, BlockDamage::Unreadable { place: 2, .. }), "{unreadable}");
}

#[test]
fn a_group_whose_parts_do_not_follow_each_other_is_void() {
    let mut tail = begun();
    let first = GroupBlockHeader { parts: 2, ..next(&tail, ONE) };
    let (bytes, hash) = first.encode(&[]);
    tail.take(&bytes).unwrap();
    assert!(tail.has_begun() && tail.begun_by() == Some(ONE));
    // Another writer that has read the first part goes on without it.
    let mut without = tail.clone();
    without.take(&next(&tail, OTHER).encode(&[]).0).unwrap();
    assert!(!without.has_begun() && without.last_void == 0);
    // A second part of another group is none of it.
    let second = GroupBlockHeader { place: first.place + 1, part: 1, previous: hash, ..first };
    tail.clone().take(&second.encode(&[]).0).unwrap();
    let mut torn = tail.clone();
    torn.take(&GroupBlockHeader { group: 8, ..second }.encode(&[]).0).unwrap();
    assert!(!torn.has_begun() && torn.last_void == second.place);
}
