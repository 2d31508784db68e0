//! Taking events as another log recorded them.

use std::{sync::Barrier, thread};

use spacefold_event_core::{
    AppendError, AppendRequest, Discontinuity, EventId, EventLog, LimitExceeded, LogWriter,
    MAX_APPEND_EVENTS, MemoryLog, Position, RUN_EVENTS, RecordedEvent, Revision, SpaceEvent,
    Timestamp, Value,
};

use crate::{LogFactory, append, assert_numbered, second, set, whole_log};

/// What another log has recorded of two spaces: appends of several sizes, in the past.
fn recorded(events: u64) -> Vec<RecordedEvent> {
    let log = MemoryLog::new();
    let mut next = 0;
    while next < events {
        let count = (next % 7 + 1).min(events - next);
        let appended: Vec<SpaceEvent> = (next..next + count)
            .map(|n| set(if n % 3 == 0 { "a" } else { "b" }, "n", n).with_source("other"))
            .collect();
        let times: Vec<Timestamp> =
            (next..next + count).map(|n| second(i64::try_from(n).unwrap())).collect();
        log.append(&AppendRequest::new(&appended).recorded_at(&times)).unwrap();
        next += count;
    }
    whole_log(&log)
}

/// Sees events refused, and nothing of them stored.
#[track_caller]
fn refused(log: &dyn EventLog, records: &[RecordedEvent]) -> AppendError {
    let before = whole_log(log);
    let error = log.ingest(records).unwrap_err();
    assert_eq!(whole_log(log), before, "{error}");
    error
}

#[track_caller]
fn assert_discontinuity(
    log: &dyn EventLog,
    records: &[RecordedEvent],
    at: u64,
    expected: &Discontinuity,
) {
    match refused(log, records) {
        AppendError::DoesNotFollow { position, why } => {
            assert_eq!((position, &why), (Position::new(at), expected));
        }
        error => panic!("expected {expected:?}, not {error}"),
    }
}

/// The events with one of them changed.
fn with(
    records: &[RecordedEvent],
    index: usize,
    change: impl FnOnce(&mut RecordedEvent),
) -> Vec<RecordedEvent> {
    let mut records = records.to_vec();
    change(&mut records[index]);
    records
}

/// Ids, positions, revisions, times and all that events say are as they were in the other log; the
/// log then goes on as if it had recorded them itself.
pub fn takes_events_as_they_were_recorded(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(40);
    let first = log.ingest(&records[..25]).unwrap();
    assert_eq!((first.skipped(), first.taken()), (0, 25));
    let receipt = first.receipt().unwrap();
    assert_eq!(receipt.first_position(), Position::new(1));
    assert_eq!(
        (receipt.last_position(), receipt.revision()),
        (Position::new(25), records[24].revision)
    );
    assert_eq!(receipt.recorded_at(), records[24].recorded_at);
    assert_eq!(log.ingest(&records[25..]).unwrap().taken(), 15);
    assert_eq!(whole_log(&*log), records);
    // Known as what the log has recorded itself: by revision, by id.
    assert_eq!(log.newest_revision("a").unwrap(), Revision::new(14));
    let third = &records[2];
    assert_eq!(log.find_event(third.event.event_id).unwrap(), Some(third.position));
    let again = append(&*log, std::slice::from_ref(&third.event));
    assert_eq!((again.last_position(), again.recorded_at()), (third.position, third.recorded_at));
    let next = append(&*log, &[set("a", "n", 1)]);
    assert_eq!((next.last_position(), next.revision()), (Position::new(41), Revision::new(15)));
    assert_numbered(&whole_log(&*log));
}

/// An append of the other log may be cut in two, and two may be one call: of several runs, too.
pub fn takes_as_many_events_as_an_append(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(u64::try_from(MAX_APPEND_EVENTS).unwrap() + 1);
    let AppendError::Limit { index, limit } = refused(&*log, &records) else {
        panic!("expected a limit")
    };
    assert_eq!(index, MAX_APPEND_EVENTS);
    assert_eq!(limit, LimitExceeded::TooManyEvents { events: MAX_APPEND_EVENTS + 1 });
    assert_eq!(log.ingest(&records[..MAX_APPEND_EVENTS]).unwrap().taken(), 4_096);
    assert_eq!(log.ingest(&records[MAX_APPEND_EVENTS..]).unwrap().taken(), 1);
    assert_eq!(whole_log(&*log), records);
}

/// What is stored already is skipped and counted; no event at all is nothing to do.
pub fn skips_events_that_are_stored(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(30);
    let nothing = log.ingest(&[]).unwrap();
    assert_eq!((nothing.skipped(), nothing.receipt()), (0, None));
    log.ingest(&records[..20]).unwrap();
    for (range, skipped) in [(0..20, 20), (5..11, 6), (19..20, 1)] {
        let ingested = log.ingest(&records[range]).unwrap();
        assert_eq!((ingested.skipped(), ingested.receipt()), (skipped, None));
    }
    assert_eq!(log.head(), Position::new(20));
    let ingested = log.ingest(&records[12..]).unwrap();
    assert_eq!((ingested.skipped(), ingested.taken()), (8, 10));
    assert_eq!(ingested.receipt().unwrap().first_position(), Position::new(21));
    assert_eq!(whole_log(&*log), records);
}

/// Another event where one is stored is refused with its position, and so is all that came with it.
pub fn refuses_events_that_differ_from_the_stored(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(30);
    log.ingest(&records[..20]).unwrap();
    let changes: [fn(&mut RecordedEvent); 6] = [
        |record| record.event.event_id = EventId::new(),
        |record| record.event = record.event.clone().with_extra("x", Value::Null).unwrap(),
        |record| record.event.space_id.push('!'),
        |record| record.event.source = None,
        |record| record.revision = record.revision.next(),
        |record| record.recorded_at = second(1_000),
    ];
    for (index, change) in [0, 7, 19].into_iter().flat_map(|n| changes.map(|change| (n, change))) {
        let at = records[index].position.get();
        assert_discontinuity(&*log, &with(&records, index, change), at, &Discontinuity::Stored);
    }
    // What the log has recorded itself is no other log's.
    let own = append(&*log, &[set("a", "own", 1)]).last_position().get();
    assert_discontinuity(&*log, &records[20..], own, &Discontinuity::Stored);
}

/// Positions begin where the log ends, and leave none out.
pub fn refuses_positions_that_do_not_follow(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(30);
    let expected = |expected| Discontinuity::Position { expected: Position::new(expected) };
    assert_discontinuity(&*log, &records[1..], 2, &expected(1));
    assert_discontinuity(&*log, &[&records[..3], &records[4..]].concat(), 5, &expected(4));
    assert_discontinuity(&*log, &[&records[..3], &records[2..]].concat(), 3, &expected(4));
    let zero = with(&records, 0, |record| record.position = Position::START);
    assert_discontinuity(&*log, &zero, 0, &expected(1));
    log.ingest(&records[..10]).unwrap();
    assert_discontinuity(&*log, &records[11..], 12, &expected(11));
    assert_discontinuity(&*log, &[&records[..12], &records[13..]].concat(), 14, &expected(13));
    let last = Position::new(u64::MAX);
    let far = with(&records[..1], 0, |record| record.position = last);
    assert_discontinuity(&*log, &far, u64::MAX, &expected(11));
    log.ingest(&records).unwrap();
    assert_eq!(whole_log(&*log), records);
}

/// Revisions of each space are dense, over what is stored and within what is given.
pub fn refuses_revisions_that_do_not_follow(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(u64::try_from(RUN_EVENTS).unwrap() + 30);
    let late = RUN_EVENTS + 20;
    log.ingest(&records[..10]).unwrap();
    for (index, change) in [(10, 1), (20, -1), (late, 1), (late, -2)] {
        let record = &records[index];
        let changed = Revision::new(record.revision.get().checked_add_signed(change).unwrap());
        let why = Discontinuity::Revision {
            space_id: record.event.space_id.clone(),
            expected: record.revision,
            found: changed,
        };
        let wrong = with(&records, index, |record| record.revision = changed);
        assert_discontinuity(&*log, &wrong[10..], record.position.get(), &why);
    }
    let new = with(&records, 11, |record| record.event.space_id = "new".to_owned());
    let why = Discontinuity::Revision {
        space_id: "new".to_owned(),
        expected: Revision::new(1),
        found: records[11].revision,
    };
    assert_discontinuity(&*log, &new[10..], 12, &why);
    log.ingest(&records).unwrap();
    assert_eq!(whole_log(&*log), records);
}

/// Times never go back; they may be equal, and ahead of the present.
pub fn refuses_times_that_go_back(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(30);
    log.ingest(&records[..10]).unwrap();
    for index in [10, 20] {
        let found = second(3);
        let wrong = with(&records, index, |record| record.recorded_at = found);
        let why = Discontinuity::Time { last: records[index - 1].recorded_at, found };
        assert_discontinuity(&*log, &wrong[10..], wrong[index].position.get(), &why);
    }
    let mut records = records;
    for record in &mut records[10..] {
        record.recorded_at = records_time(record.position);
    }
    log.ingest(&records[10..]).unwrap();
    assert_eq!(whole_log(&*log), records);
    let next = append(&*log, &[set("a", "n", 1)]);
    assert_eq!(
        next.recorded_at(),
        records[29].recorded_at,
        "time stands still, and does not go back"
    );
}

/// Two events each at one time, in the year 9000.
fn records_time(position: Position) -> Timestamp {
    let year: Timestamp = "9000-01-01T00:00:00Z".parse().unwrap();
    let micros = i64::try_from(position.get() / 2).unwrap();
    Timestamp::from_micros(year.as_micros() + micros).unwrap()
}

/// An id is stored once: not twice of those that are given, nor at another position again.
pub fn refuses_ids_that_are_there_already(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(u64::try_from(RUN_EVENTS).unwrap() + 30);
    let twice = |index: usize, of: usize| {
        with(&records, index, |record| record.event.event_id = records[of].event.event_id)
    };
    for (index, of) in [(5, 4), (29, 0), (RUN_EVENTS + 20, 3)] {
        let AppendError::DuplicateEventId { id } = refused(&*log, &twice(index, of)) else {
            panic!("expected an id twice")
        };
        assert_eq!(id, records[of].event.event_id);
    }
    log.ingest(&records[..10]).unwrap();
    for (index, of) in [(10, 9), (29, 0), (RUN_EVENTS + 20, 3)] {
        let AppendError::EventIdReused { id, position } = refused(&*log, &twice(index, of)[10..])
        else {
            panic!("expected an id that is stored")
        };
        assert_eq!((id, position), (records[of].event.event_id, records[of].position));
    }
    // Of those that are stored and those that are not, together.
    assert!(matches!(refused(&*log, &twice(12, 3)), AppendError::DuplicateEventId { .. }));
}

/// The same limits as for an append.
pub fn holds_the_limits_of_an_append(factory: &impl LogFactory) {
    let log = factory.open();
    let records = with(&recorded(3), 1, |record| record.event.space_id = "x".repeat(513));
    let AppendError::Limit { index, .. } = refused(&*log, &records) else {
        panic!("expected a limit")
    };
    assert_eq!(index, 1);
}

/// What was taken is there after a reopen, as it was.
pub fn keeps_ingested_events_over_a_reopen(factory: &impl LogFactory) {
    let log = factory.open();
    let records = recorded(1_000);
    log.ingest(&records[..600]).unwrap();
    let Some(log) = factory.crash(log) else { return };
    assert_eq!(whole_log(&*log), records[..600]);
    let ingested = log.ingest(&records[500..]).unwrap();
    assert_eq!((ingested.skipped(), ingested.taken()), (100, 400));
    let Some(log) = factory.reopen(log) else { return };
    assert_eq!(whole_log(&*log), records);
}

/// Of several that ingest the same events each is answered, and each event is taken once.
pub fn takes_each_event_once_from_many(factory: &impl LogFactory) {
    const THREADS: usize = 4;
    let log = factory.open();
    let records = recorded(300);
    let begin = Barrier::new(THREADS);
    let taken: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (log, records, begin) = (&log, &records, &begin);
                scope.spawn(move || {
                    begin.wait();
                    let ingest = |records: &[RecordedEvent]| {
                        let ingested = log.ingest(records).unwrap();
                        assert_eq!(ingested.skipped() + ingested.taken(), records.len() as u64);
                        ingested.taken()
                    };
                    // Those that are behind what the log has; each goes on by as many as it likes.
                    records.chunks(thread * 3 + 5).map(ingest).sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 300);
    assert_eq!(whole_log(&*log), records);
}
