//! The index of ids of a store, harmed in every way and far longer ago than memory goes: every id is
//! found, and none that is not there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use spacefold_disk::sim::Fault;
use spacefold_event_core::{
    AppendError, AppendRequest, EventId, EventOrigin, LogReader as _, LogWriter as _, Page,
    Position, ReadError, ReadRequest, SpaceEvent, StorageErrorKind,
};

use crate::{
    EmbeddedLog,
    stored::{Stored, harmed},
};

/// Makes ids of every kind that programs give: of the time in order, and nearly so; of the time, but
/// old; of no time; one far ahead of its time now and then.
struct Ids(fastrand::Rng);

impl Ids {
    fn id(&mut self, position: u64) -> EventId {
        let millis = 1_700_000_000_000 + u128::from(position);
        let timed = |millis: u128, rest: u128| {
            EventId::from_bytes((millis << 80 | 7 << 76 | 2 << 62 | rest).to_be_bytes())
        };
        let rest = self.0.u128(0..1 << 60);
        match position {
            // A long time of one kind, and of others.
            0..4_000 => timed(millis, rest),
            position if position % 997 == 0 => timed(millis + (1 << 40), rest),
            4_000..8_000 => timed(millis - self.0.u128(0..40), rest),
            8_000..10_000 => EventId::from_bytes((rest << 50 | 4 << 76 | rest).to_be_bytes()),
            // They rise, but the bits that tell the version are any.
            10_000..12_000 => {
                EventId::from_bytes((millis << 80 | self.0.u128(..1 << 80)).to_be_bytes())
            }
            position if position % 2 == 0 => timed(millis - (1 << 34), rest),
            position => EventId::from_bytes(u128::from(position).to_be_bytes()),
        }
    }
}

fn event(id: EventId, position: u64) -> SpaceEvent {
    let space = format!("space-{}", position % 5);
    let at = "2020-01-01".parse().unwrap();
    // Long enough that there are many segments.
    let long = format!("{position:0>200}");
    let mut event = SpaceEvent::variable_set(space, "v", long).with_event_id(id).with_timestamp(at);
    event.origin = has_origin(position).then(|| origin(position));
    event
}

/// Whether the event at a position comes from elsewhere: some do, from some time on.
const fn has_origin(position: u64) -> bool {
    position > 7_600 && position.is_multiple_of(3)
}

fn origin(position: u64) -> EventOrigin {
    EventOrigin { store_id: [1; 16], timeline: [2; 16], position: Position::new(position) }
}

/// Finds the origins of these events, and none of others.
fn check_origins(log: &EmbeddedLog, positions: impl Iterator<Item = u64>) {
    let positions: Vec<u64> = positions.collect();
    let origins: Vec<EventOrigin> = positions.iter().copied().map(origin).collect();
    let found = log.find_origins(&origins).unwrap();
    for (position, found) in positions.into_iter().zip(found) {
        let is_there = has_origin(position) && position <= log.head().get();
        let expected = is_there.then(|| Position::new(position));
        assert_eq!(found, expected, "{position}");
        if expected.is_some() {
            let other = SpaceEvent::space_archived("other").with_origin(origin(position));
            let refused = log.append(&AppendRequest::new(&[other])).unwrap_err();
            let AppendError::OriginReused { origin: of, position: at } = refused else {
                panic!("{refused}")
            };
            assert_eq!((of, at.get()), (origin(position), position));
        }
    }
}

fn append(log: &EmbeddedLog, events: u64, seed: u64) {
    let mut ids = Ids(fastrand::Rng::with_seed(seed));
    let end = log.head().get() + events;
    while log.head().get() < end {
        let first = log.head().get() + 1;
        let events = (first..=end.min(first + 149)).map(|at| event(ids.id(at), at));
        let events: Vec<SpaceEvent> = events.collect();
        log.step(true);
        log.append(&AppendRequest::new(&events)).unwrap();
    }
    log.step(true);
}

fn filled(events: u64, seed: u64) -> Stored {
    let stored = Stored::new("event-ids");
    let log = stored.open();
    append(&log, events, seed);
    log.close().unwrap();
    stored
}

/// Finds ids from the first position to the last, and none that are near to them.
fn check(log: &EmbeddedLog, step: usize) {
    let mut all: Vec<EventId> = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        all.extend(page.unwrap().envelopes().map(|event| event.event_id));
    }
    let looked_for: Vec<(u64, EventId)> = (1..).zip(all.iter().copied()).step_by(step).collect();
    let ids: Vec<EventId> = looked_for.iter().map(|(_, id)| *id).collect();
    let found = log.find_events(&ids).unwrap();
    check_origins(log, looked_for.iter().map(|(position, _)| *position));
    for ((position, id), found) in looked_for.into_iter().zip(found) {
        assert_eq!(found, Some(Position::new(position)), "{id}");
        let mut near = *id.as_bytes();
        near[15] ^= 1;
        let near = EventId::from_bytes(near);
        let expected = all.iter().position(|other| *other == near);
        let expected = expected.map(|place| Position::new(place as u64 + 1));
        assert_eq!(log.find_event(near).unwrap(), expected, "{near}");
        // Appended again it is answered as it was, with other content it is refused.
        let again = event(id, position);
        let receipt = log.append(&AppendRequest::new(std::slice::from_ref(&again))).unwrap();
        assert_eq!(receipt.last_position(), Position::new(position));
        let other = [again.with_source("another")];
        let refused = log.append(&AppendRequest::new(&other)).unwrap_err();
        let AppendError::EventIdReused { id: reused, position: at } = refused else {
            panic!("{refused}")
        };
        assert_eq!((reused, at.get()), (id, position));
    }
}

#[test]
fn every_id_is_known_for_ever() {
    let stored = filled(14_000, 1);
    let log = stored.open();
    assert!(log.shared().ids.is_complete(), "nothing is made at opening");
    assert!(log.shared().ids.end() > Position::new(10_000));
    check(&log, 7);
    log.close().unwrap();
    // Without memory for filters too.
    let log = stored.open();
    log.shared().ids.hold_filters(0);
    check(&log, 41);
    append(&log, 3_000, 2);
    check(&log, 59);
    assert_eq!(log.head(), Position::new(17_000));
}

#[test]
fn origins_of_blocks_in_no_segment_and_of_the_tail_are_known() {
    let stored = Stored::new("event-ids");
    let log = stored.open();
    append(&log, 7_600, 1);
    let indexed = log.shared().ids.end().get();
    while log.shared().ids.end().get() == indexed {
        append(&log, 300, log.head().get());
    }
    // Some in a segment, some in blocks, some in the tail, some ahead of what is durable.
    append(&log, 400, 5);
    let all = || 7_500..=log.head().get() + 3;
    check_origins(&log, all());
    assert!(log.shared().view().index.end() > log.shared().ids.end());
    assert!(log.head() > log.shared().view().index.end());
    let head = log.head().get();
    log.close().unwrap();
    let log = stored.open();
    check_origins(&log, 7_500..=head + 3);
    // A store that nothing says of that it may have origins has none, and none is looked for.
    let plain = filled(3_000, 1);
    let log = plain.open();
    check_origins(&log, 1..=3_000);
    assert_eq!(log.info().format_version, 1);
}

#[test]
fn only_what_looks_for_ids_waits_for_an_index_that_is_lost() {
    let stored = filled(9_000, 1);
    stored.put(&[]);
    let log = stored.open();
    let read = log.read(&ReadRequest::from(Position::new(1)).limit(1)).unwrap();
    assert_eq!(read.len(), 1);
    assert!(!log.shared().ids.is_complete(), "no id is read for that");
    assert_eq!(log.find_event(EventId::new()).unwrap(), None);
    assert!(log.shared().ids.is_complete());
    check(&log, 501);
    log.close().unwrap();
    // What is closed is nobody's to write to.
    stored.put(&[]);
    let log = stored.open();
    log.close().unwrap();
    assert!(log.find_event(EventId::new()).is_err());
    let appended = log.append(&AppendRequest::new(&[event(EventId::new(), 1)]));
    assert!(matches!(appended, Err(AppendError::Closed)), "{appended:?}");
    assert!(stored.files().is_empty());
}

#[test]
fn an_index_that_is_lost_old_or_damaged_finds_what_was_appended() {
    let stored = filled(9_000, 1);
    let older = stored.files();
    let log = stored.open();
    append(&log, 5_000, 2);
    log.close().unwrap();
    let whole = stored.files();
    assert!(whole.len() > 2, "{} files", whole.len());
    let other = filled(12_000, 3).files();
    harmed(&whole, &[&older, &other], |files| {
        stored.put(files);
        let log = stored.open();
        check(&log, 331);
        log.close().unwrap();
        // What was made anew is whole.
        let log = stored.open();
        assert!(log.shared().ids.is_complete());
        check(&log, 733);
        log.close().unwrap();
    });
}

#[test]
fn damage_that_comes_up_while_the_store_is_open_is_answered_by_making_anew() {
    let stored = filled(14_000, 1);
    let log = stored.open();
    for (name, _) in stored.files().iter().filter(|(name, _)| name != "MANIFEST") {
        // Every page of rows, but not the ends that opening has read.
        stored.change(name, |bytes| {
            let rows = bytes.len() / 2;
            bytes[8..rows].iter_mut().for_each(|byte| *byte ^= 1);
        });
    }
    check(&log, 101);
    append(&log, 3_000, 2);
    check(&log, 101);
    assert_eq!(log.info().healed, 0, "no copy of the log was wrong");
    log.close().unwrap();
    let log = stored.open();
    assert!(log.shared().ids.is_complete());
    check(&log, 101);
}

#[test]
fn ids_of_one_time_that_come_late_are_looked_for_in_memory() {
    let stored = filled(8_000, 1);
    let log = stored.open();
    let events = log.read(&ReadRequest::from(Position::new(2_000)).limit(600)).unwrap();
    let ids: Vec<EventId> = events.envelopes().map(|event| event.event_id).collect();
    let near = |id: &EventId| {
        let mut bytes = *id.as_bytes();
        bytes[15] ^= 1;
        EventId::from_bytes(bytes)
    };
    // One at a time, as they are appended; the first ones bring what is near to memory.
    ids.iter().for_each(|id| assert_eq!(log.find_event(near(id)).unwrap(), None));
    let reads = stored.disk.calls();
    ids.iter().for_each(|id| assert_eq!(log.find_event(near(id)).unwrap(), None));
    for (id, position) in ids.iter().zip(2_000..) {
        assert_eq!(log.find_event(*id).unwrap(), Some(Position::new(position)));
    }
    assert_eq!(stored.disk.calls(), reads);
}

#[test]
fn ids_that_rise_take_no_row_each() {
    let bytes = |events: u64| {
        let files = filled(events, 1).files();
        files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    };
    let rising = bytes(3_500);
    let nearly = bytes(7_500) - rising;
    assert!(rising < 3_500 && nearly < 2 * 4_000, "{rising} and {nearly} bytes");
}

#[test]
fn a_store_opened_to_read_changes_nothing_of_its_index() {
    let stored = filled(9_000, 1);
    let older = stored.files();
    let log = stored.open();
    append(&log, 5_000, 2);
    let ids = [9_500, 12_000].map(|at| {
        let page = log.read(&ReadRequest::from(Position::new(at)).limit(1)).unwrap();
        page.envelopes().next().unwrap().event_id
    });
    log.close().unwrap();
    let whole = stored.files();
    for (files, is_complete) in [(whole, true), (older, false), (Vec::new(), false)] {
        stored.put(&files);
        let shared = stored.open_to_read();
        assert_eq!(shared.ids.is_complete(), is_complete);
        let look = shared.ids.begin_look();
        let (found, through) = shared.find_kept_ids(&ids, &look).unwrap();
        assert!(shared.ids.is_complete() && through >= Position::new(12_000));
        assert_eq!(found, [9_500, 12_000].map(|at| Some(Position::new(at))));
        assert!(stored.files() == files, "something was written");
    }
}

#[test]
fn what_keeps_the_index_from_being_written_refuses_no_appends() {
    let stored = filled(4_000, 1);
    let mut log = stored.open();
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut missed, mut first) = (0, 4_001);
    for round in 0..1_000_u64 {
        let ids = (first..first + 150).map(|at| EventId::from_bytes(u128::from(at).to_be_bytes()));
        let events: Vec<SpaceEvent> = ids.zip(first..).map(|(id, at)| event(id, at)).collect();
        log.append(&AppendRequest::new(&events)).unwrap();
        first += 150;
        let fault = if rng.bool() { Fault::Full } else { Fault::Broken };
        stored.disk.fail_call(stored.disk.calls() + rng.u64(1..60), fault);
        log.step(true);
        stored.disk.fail_call(0, fault);
        if let Some(failure) = log.shared().progress.failure() {
            assert!(!failure.reason.contains("event-ids"), "{}", failure.reason);
            let _ = log.close();
            log = stored.open();
        } else if !log.shared().ids.is_complete() {
            missed += 1;
            let at = first - 150;
            let id = EventId::from_bytes(u128::from(at).to_be_bytes());
            assert_eq!(log.find_event(id).unwrap(), Some(Position::new(at)), "round {round}");
            assert!(log.shared().ids.is_complete());
            if missed == 5 {
                break;
            }
        }
    }
    assert_eq!(missed, 5);
    check(&log, 97);
}

#[test]
fn a_full_disk_puts_no_index_in_memory() {
    let stored = filled(9_000, 1);
    let mut refused = 0;
    for call in 1..100 {
        stored.put(&[]);
        let log = stored.open();
        stored.disk.fail_call(stored.disk.calls() + call, Fault::Full);
        let found = log.find_event(EventId::new());
        stored.disk.fail_call(0, Fault::Full);
        if let Err(error) = found {
            let ReadError::Storage(error) = error else { panic!("{error}") };
            assert_eq!(error.kind(), StorageErrorKind::NoRoom, "{error}");
            refused += 1;
            assert_eq!(log.find_event(EventId::new()).unwrap(), None);
        }
        assert!(log.shared().ids.is_complete());
        log.close().unwrap();
        let log = stored.open();
        assert!(log.shared().ids.is_complete(), "call {call}: it is not on disk");
        log.close().unwrap();
    }
    assert!(refused > 0);
}

#[test]
fn an_index_that_is_lost_is_made_behind_what_needs_no_ids_and_nothing_goes_on_after_closing() {
    let stored = filled(9_000, 1);
    stored.put(&[]);
    let log = stored.open_with_threads();
    while !log.shared().ids.is_complete() {
        thread::yield_now();
    }
    let shared = Arc::clone(log.shared());
    log.close().unwrap();
    drop(log);
    assert_eq!(Arc::strong_count(&shared), 1, "a thread has outlived the store");
    let made = stored.files();
    assert_eq!(made.len(), 2, "one run and the manifest");
    // Closed at once, the store waits for the thread, which leaves whatever it has not begun.
    for _ in 0..20 {
        stored.put(&[]);
        let log = stored.open_with_threads();
        let shared = Arc::clone(log.shared());
        log.close().unwrap();
        drop(log);
        assert_eq!(Arc::strong_count(&shared), 1, "a thread has outlived the store");
        let files = stored.files();
        assert!(files.is_empty() || files == made, "half of an index was left");
    }
    let log = stored.open();
    check(&log, 733);
}

#[test]
fn what_archiving_could_not_take_in_is_made_before_an_append_asks_for_it() {
    let stored = filled(1_000, 1);
    let log = stored.open_with_threads();
    let shared = Arc::clone(log.shared());
    let archived = shared.noting_sealed.lock();
    let end = shared.ids.end();
    let is_enough = AtomicBool::new(false);
    thread::scope(|scope| {
        // What is appended may wait for what is archived.
        scope.spawn(|| {
            while !is_enough.load(Ordering::Relaxed) {
                let events: Vec<_> = (1..=150).map(|at| event(EventId::new(), at)).collect();
                log.append(&AppendRequest::new(&events)).unwrap();
            }
        });
        while !shared.progress.is_archiving() {
            thread::yield_now();
        }
        is_enough.store(true, Ordering::Relaxed);
        shared.ids.begin_anew(shared.ids.kept().epoch()).unwrap();
        drop(archived);
    });
    shared.progress.wait_until_archived();
    while !shared.ids.is_complete() {
        thread::yield_now();
    }
    assert!(shared.ids.end() > end);
    log.close().unwrap();
}

#[test]
fn of_the_ids_of_an_append_none_is_looked_for_after_one_that_is_stored() {
    let stored = filled(9_000, 1);
    let log = stored.open();
    let pages = log.pages(ReadRequest::from(Position::new(1)));
    let ids = |page: Page| page.envelopes().map(|event| event.event_id).collect::<Vec<_>>();
    let ids: Vec<EventId> = pages.flat_map(|page| ids(page.unwrap())).step_by(200).collect();
    log.close().unwrap();
    let calls = |ids: &[EventId]| {
        let log = stored.open();
        let before = stored.disk.calls();
        let look = log.shared().ids.begin_look();
        let looked_for = log.shared().look_for_ids(std::iter::once(ids), &look).unwrap();
        assert_eq!(looked_for.found, Some((0, Position::new(1))));
        stored.disk.calls() - before
    };
    assert_eq!(calls(&ids[..30]), calls(&ids[..1]));
}
