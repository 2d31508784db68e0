//! Many spaces within little memory.

use proptest::prelude::*;

use super::*;

/// How many states are in memory.
fn in_memory(states: &LiveStates) -> usize {
    states.published.load().as_ref().map_or(0, |root| root.spaces.len())
}

fn id(n: u32) -> String {
    format!("{:08x}", n.wrapping_mul(0x9e37_79b1))
}

fn within(log: &Arc<MemoryLog>, disk: &MemoryDisk, bytes: u64) -> LiveStates {
    over(log, disk).with_memory_bytes(bytes)
}

#[test]
fn twice_the_spaces_are_folded_and_listed_in_no_more_memory() {
    const MAX_BYTES: u64 = 4 << 20;
    let most = [10_000, 20_000, 40_000].map(|count| {
        let log = Arc::new(MemoryLog::new());
        let events: Vec<_> = (0..count).map(|n| SpaceEvent::space_created(id(n), id(n))).collect();
        events.chunks(1_000).for_each(|some| {
            log.append(&AppendRequest::new(some)).unwrap();
        });
        let disk = MemoryDisk::new();
        let states = within(&log, &disk, MAX_BYTES);
        states.catch_up().unwrap();
        let mut most = in_memory(&states);
        let mut last = String::new();
        let mut listed = 0;
        for snapshot in states.snapshots_from(Position::START) {
            let snapshot = snapshot.unwrap();
            assert!(*last < *snapshot.space_id());
            last = snapshot.space_id().to_owned();
            listed += 1;
            most = most.max(in_memory(&states));
        }
        assert_eq!(listed, count);
        for n in 0..count {
            assert_eq!(states.snapshot(&id(n)).unwrap().name(), Some(&*id(n)));
            most = most.max(in_memory(&states));
        }
        most
    });
    // Half as many again, and those of a page.
    assert!(most.iter().all(|most| *most < 16_000), "{most:?} states in memory");
}

#[test]
fn states_that_were_let_go_of_are_there_for_the_next_session() {
    let log = log_of((0..200).map(|n| SpaceEvent::space_created(id(n), id(n))));
    let disk = MemoryDisk::new();
    let states = within(&log, &disk, 0);
    states.catch_up().unwrap();
    // What no event has changed since the last time goes when there is more.
    record(&log, (200..400).map(|n| SpaceEvent::space_created(id(n), id(n))));
    states.catch_up().unwrap();
    assert!(in_memory(&states) <= 300, "{} in memory", in_memory(&states));
    assert_eq!(states.snapshot(&id(0)).unwrap().name(), Some(&*id(0)));
    states.save().unwrap();
    assert_eq!(persisted_spaces(&disk.root()).len(), 400);
    // What another session finds is not folded again: nothing is there to fold it from.
    let events = log.read(&ReadRequest::from(at(1)).limit(usize::MAX)).unwrap();
    assert_eq!(events.len(), 400);
    let again = over(&log, &disk);
    assert_eq!(again.checkpoints().unwrap()[0].position, at(400));
    assert_eq!(again.snapshot_all().unwrap().len(), 400);
}

#[test]
fn a_space_that_alone_takes_more_is_not_stored_with_each_event() {
    let log = log_of((0..200).map(|n| SpaceEvent::variable_set("s", format!("v{n}"), n)));
    let disk = SimDisk::default();
    disk.fail_call(1, Fault::PowerCut);
    let states = states_in(&log, MemoryDisk::new().root()).with_memory_bytes(100);
    for n in 0..200 {
        states.catch_up().unwrap();
        record(&log, [SpaceEvent::variable_set("s", format!("v{n}"), n + 1)]);
    }
    agree(&states, &log);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn states_in_little_memory_are_those_in_much(
        events in events(0..40),
        bytes in prop::sample::select(&[0, 2_000, 4_000, 1 << 30][..]),
        cuts in any::<u64>(),
    ) {
        let log = Arc::new(MemoryLog::new());
        let disk = MemoryDisk::new();
        let mut states = within(&log, &disk, bytes);
        for (index, event) in events.into_iter().enumerate() {
            record(&log, [event]);
            match (cuts >> ((index % 32) * 2)) & 3 {
                0 => {}
                1 => agree(&states, &log),
                2 => {
                    states.catch_up().unwrap();
                    states.save().unwrap();
                }
                // Without saving: what was let go of may be ahead of the marker.
                _ => states = within(&log, &disk, bytes),
            }
            let snapshots: Vec<Snapshot> =
                states.snapshots_from(log.head()).map(Result::unwrap).collect();
            prop_assert_eq!(&snapshots, &states.snapshot_all().unwrap());
            let mut expected = SpaceStates::new();
            snapshots.iter().for_each(|snapshot| expected.insert(Arc::clone(snapshot.state())));
            prop_assert_eq!(states.hash_of_spaces().unwrap(), (log.head(), expected.hash()));
        }
        agree(&states, &log);
    }
}
