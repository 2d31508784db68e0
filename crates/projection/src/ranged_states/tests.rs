//! States a range at a time against all of them at once, and what is in memory.

use proptest::prelude::*;
use spacefold_event_core::{LogReader, Position, ReadRequest, SpaceEvent};
use spacefold_state::testing::{events, log_of, record};

use super::*;

/// Reads the log as often as it is asked for; the most spaces that were in memory, and all states.
fn in_ranges(log: &dyn LogReader, max_bytes: u64) -> (usize, usize, Vec<Arc<SpaceState>>) {
    let mut states = RangedStates::new(max_bytes);
    let (mut most, mut readings, mut found) = (0, 0, Vec::new());
    loop {
        readings += 1;
        for page in log.pages(ReadRequest::from(Position::new(1)).limit(100)) {
            let page = page.unwrap();
            page.events().for_each(|event| states.apply(&event.unwrap()));
            states.has_read(page.memory_bytes());
            most = most.max(states.sorted().len());
        }
        found.extend(states.sorted().into_iter().map(Arc::clone));
        if !states.next_range() {
            return (most, readings, found);
        }
    }
}

#[test]
fn twice_the_spaces_take_twice_the_readings_and_no_more_memory() {
    const MAX_BYTES: u64 = 1 << 20;
    let of = |count: u32| {
        let log = log_of((0..count).map(|n| {
            let id = format!("{:08x}", n.wrapping_mul(0x9e37_79b1));
            SpaceEvent::space_created(id.clone(), id)
        }));
        let (most, readings, found) = in_ranges(&*log, MAX_BYTES);
        assert_eq!(found.len(), usize::try_from(count).unwrap());
        assert!(found.is_sorted_by(|a, b| a.space_id() < b.space_id()));
        (most, readings)
    };
    let seen = [1_000, 2_000, 4_000].map(of);
    for (most, _) in seen {
        assert!(most * usize::try_from(NEW_STATE_BYTES).unwrap() <= 2 << 20, "{seen:?}");
    }
    assert!(seen[2].1 > 1 && seen[2].1 <= 16, "{seen:?}");
}

#[test]
fn one_space_is_not_divided() {
    let log = log_of((0..500).map(|n| SpaceEvent::variable_set("s", format!("v{n}"), n)));
    let (most, readings, found) = in_ranges(&*log, 10);
    assert_eq!((most, readings, found.len()), (1, 1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn they_are_what_all_at_once_are_and_so_are_their_hashes(
        first in events(0..30),
        then in events(0..30),
        max_bytes in prop::sample::select(&[0, 3_000, 6_000, 1 << 30][..]),
    ) {
        let log = log_of(first);
        let middle = log.durable_head();
        record(&log, then);
        let mut expected = SpaceStates::new();
        let mut hashes = [SpaceStates::new().hash(); 2];
        let mut ranged = RangedStates::new(max_bytes);
        let mut ranged_hashes = [RangedHash::default(), RangedHash::default()];
        let page = log.read(&ReadRequest::from(Position::new(1)).limit(usize::MAX)).unwrap();
        for event in page.events().map(Result::unwrap) {
            expected.apply(&event);
            if event.position == middle {
                hashes[0] = expected.hash();
            }
        }
        hashes[1] = expected.hash();
        let mut found = Vec::new();
        loop {
            for event in page.events().map(Result::unwrap) {
                ranged.apply(&event);
                ranged.has_read(100);
                if event.position == middle {
                    ranged_hashes[0].take_in(&ranged);
                }
            }
            ranged_hashes[1].take_in(&ranged);
            found.extend(ranged.sorted().into_iter().map(Arc::clone));
            if !ranged.next_range() {
                break;
            }
        }
        let all: Vec<_> = expected.sorted().into_iter().map(Arc::clone).collect();
        prop_assert_eq!(found, all);
        prop_assert_eq!(ranged_hashes.each_ref().map(RangedHash::hash), hashes);
    }
}
