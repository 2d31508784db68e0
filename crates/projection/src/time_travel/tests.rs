use std::sync::Arc;

use proptest::prelude::*;
use spacefold_disk::MemoryDisk;
use spacefold_event_core::MemoryLog;
use spacefold_state::testing::{events, log_of, recorded_at};

use super::*;
use crate::testing::{sample, states_in};

fn at(position: u64) -> Position {
    Position::new(position)
}

fn over(log: &Arc<MemoryLog>) -> (Arc<LiveStates>, TimeTravel) {
    let live = Arc::new(states_in(log, MemoryDisk::new().root()));
    (Arc::clone(&live), TimeTravel::new(live))
}

#[test]
fn travels_to_positions_and_times() {
    let log = log_of(sample());
    let (live, past) = over(&log);
    let snapshot = past.snapshot_at("s", at(4)).unwrap();
    assert_eq!((snapshot.position(), snapshot.revision()), (at(4), Revision::new(2)));
    let unknown = |result: Result<Snapshot, SnapshotError>| matches!(result, Err(SnapshotError::UnknownSpace { space_id }) if space_id == "t");
    assert!(unknown(past.snapshot_at("t", at(1))));
    assert!(unknown(past.snapshot_at("t", Position::START)));
    assert!(past.snapshot_at("t", at(2)).is_ok());
    let beyond = past.snapshot_at("t", at(6)).unwrap_err();
    assert_eq!(beyond.to_string(), "position 6 lies beyond the head, which is 5");
    assert!(matches!(
        past.snapshot_all_at(at(6)),
        Err(SnapshotError::BeyondHead { asked, head }) if (asked, head) == (at(6), at(5))
    ));
    assert_eq!(past.snapshot_all_at(Position::START).unwrap(), []);
    assert_eq!(past.snapshot_all_at(at(1)).unwrap().len(), 1);
    assert_eq!(past.snapshot_all_at(at(5)).unwrap(), live.snapshot_all().unwrap());

    let snapshot = past.snapshot_at("s", past.position_as_of(recorded_at(4)).unwrap()).unwrap();
    assert_eq!(snapshot.position(), at(4));
    assert!(unknown(past.snapshot_at("t", past.position_as_of(recorded_at(1)).unwrap())));
    assert_eq!(past.position_as_of(Timestamp::MIN).unwrap(), Position::START);
    assert_eq!(past.position_as_of(Timestamp::MAX).unwrap(), at(5));
}

#[test]
fn diffs_between_positions_in_either_order() {
    let log = log_of(sample());
    let (_, past) = over(&log);
    let kinds = |a: u64, b: u64| -> Vec<&str> {
        let changes = past.diff("s", at(a), at(b)).unwrap();
        changes.iter().map(Change::kind).collect()
    };
    assert_eq!(kinds(1, 5), ["document_added", "variable_set"]);
    assert_eq!(kinds(5, 1), ["document_removed", "variable_deleted"]);
    assert_eq!(kinds(0, 1), ["space_created"]);
    assert_eq!(kinds(4, 0), ["space_deleted"]);
    assert_eq!(kinds(3, 4), [""; 0]);
    assert!(matches!(past.diff("x", at(0), at(1)), Err(SnapshotError::UnknownSpace { .. })));
    assert!(matches!(past.diff("s", at(0), at(6)), Err(SnapshotError::BeyondHead { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn states_one_after_the_other_in_little_memory_are_all_there_were(
        events in events(0..40),
        bytes in prop::sample::select(&[0, 2_000, 4_000, 1 << 30][..]),
    ) {
        let log = log_of(events);
        let (_, past) = over(&log);
        for position in 0..=log.head().get() {
            let there = past.snapshots_within(at(position), bytes);
            let there: Vec<Snapshot> = there.map(Result::unwrap).collect();
            prop_assert_eq!(there, past.snapshot_all_at(at(position)).unwrap());
        }
        prop_assert!(past.snapshots_at(log.head().next()).is_err());
    }
}
