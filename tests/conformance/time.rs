//! When events were recorded, and waiting for them.

use std::time::{Duration, Instant};

use spacefold_event_core::{
    AppendError, AppendRequest, EventLog, Position, ReadRequest, SpaceEvent, Timestamp,
};

use crate::{LogFactory, append, events_of, fill, second, set, whole_log};

/// Longer than any test takes: a wait that ends by it has failed.
const LONG: Duration = Duration::from_secs(60);

fn append_at(log: &dyn EventLog, seconds: &[i64]) {
    let times: Vec<Timestamp> = seconds.iter().map(|number| second(*number)).collect();
    let events: Vec<SpaceEvent> = times.iter().map(|_| set("a", "n", 0)).collect();
    log.append(&AppendRequest::new(&events).recorded_at(&times)).unwrap();
}

fn recorded(log: &dyn EventLog) -> Vec<Timestamp> {
    whole_log(log).iter().map(|event| event.recorded_at).collect()
}

/// As of a time: the last position that was recorded at it or before.
pub fn finds_the_last_position_as_of_a_time(factory: &impl LogFactory) {
    let log = factory.open();
    let as_of = |time: Timestamp| log.position_as_of(time).unwrap().get();
    assert_eq!(as_of(Timestamp::MAX), 0);
    append_at(&*log, &[10, 10, 20]);
    append_at(&*log, &[20]);
    append_at(&*log, &[20, 30]);
    append_at(&*log, &[50]);
    for (time, position) in
        [(9, 0), (10, 2), (11, 2), (19, 2), (20, 5), (29, 5), (30, 6), (49, 6), (50, 7), (51, 7)]
    {
        assert_eq!(as_of(second(time)), position, "{time} s");
    }
    assert_eq!(as_of(Timestamp::MIN), 0);
    assert_eq!(as_of(Timestamp::MAX), 7);
    let before = Timestamp::from_micros(second(20).as_micros() - 1).unwrap();
    assert_eq!(as_of(before), 2);
}

/// Times that are handed in are clamped up to the one before and down to the present.
pub fn clamps_recording_times(factory: &impl LogFactory) {
    let log = factory.open();
    append_at(&*log, &[30, 10, 40, 20]);
    append_at(&*log, &[5]);
    append_at(&*log, &[45, 44]);
    let expected = [30, 30, 40, 40, 40, 45, 45].map(second);
    assert_eq!(recorded(&*log), expected);
    let before = Timestamp::now();
    log.append(&AppendRequest::new(&[set("a", "n", 0)]).recorded_at(&[Timestamp::MAX])).unwrap();
    let after = Timestamp::now();
    let last = *recorded(&*log).last().unwrap();
    assert!(before <= last && last <= after, "{last} is not the present");
    append_at(&*log, &[50]);
    assert_eq!(*recorded(&*log).last().unwrap(), last);
}

/// The log records the present, and never before what it recorded last.
pub fn never_records_backwards(factory: &impl LogFactory) {
    let log = factory.open();
    let before = Timestamp::now();
    for _ in 0..20 {
        append(&*log, &[set("a", "n", 0), set("b", "n", 0)]);
    }
    let after = Timestamp::now();
    let times = recorded(&*log);
    assert!(times.is_sorted());
    assert!(before <= times[0] && times[times.len() - 1] <= after);
    for pair in times.chunks(2) {
        assert_eq!(pair[0], pair[1], "one append is recorded at one time");
    }
}

/// There is a recording time for every event, or for none.
pub fn refuses_another_number_of_times(factory: &impl LogFactory) {
    let log = factory.open();
    let events = [set("a", "n", 0), set("a", "n", 1)];
    for times in [&[][..], &[second(1)], &[second(1); 3]] {
        match log.append(&AppendRequest::new(&events).recorded_at(times)) {
            Err(AppendError::TimesMismatch { events: 2, times: found }) => {
                assert_eq!(found, times.len());
            }
            other => panic!("expected a mismatch, not {other:?}"),
        }
    }
    assert_eq!(log.head(), Position::START);
}

/// A wait ends once the position is durable, at once when it is already.
pub fn waits_until_a_position_is_durable(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "a", 2);
    let began = Instant::now();
    assert_eq!(log.wait_durable(Position::START, LONG).unwrap(), Position::new(2));
    assert_eq!(log.wait_durable(Position::new(2), LONG).unwrap(), Position::new(2));
    std::thread::scope(|scope| {
        let waiting = [3, 4, 5].map(|position| {
            let log = &log;
            scope.spawn(move || {
                let position = Position::new(position);
                let durable = log.wait_durable(position, LONG).unwrap();
                assert!(durable >= position, "{durable} is before {position}");
                let page = log.read(&ReadRequest::from(position).limit(1)).unwrap();
                assert_eq!(events_of(&page)[0].position, position);
            })
        });
        // Long enough for all of them to have begun to wait; they need not have for this to hold.
        std::thread::park_timeout(Duration::from_millis(30));
        fill(&*log, "a", 3);
        for waiter in waiting {
            waiter.join().unwrap();
        }
    });
    assert!(began.elapsed() < LONG / 2, "a wait that was not woken");
}

/// A wait for what does not come ends at its timeout with the durable head.
pub fn stops_waiting_at_the_timeout(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "a", 2);
    for timeout in [Duration::ZERO, Duration::from_millis(30)] {
        let began = Instant::now();
        let durable = log.wait_durable(Position::new(u64::MAX), timeout).unwrap();
        assert_eq!(durable, Position::new(2));
        assert!(began.elapsed() >= timeout);
        assert!(began.elapsed() < LONG / 2);
    }
}
