//! Order does not depend on the clock: a store that was written while the clock stood somewhere
//! else goes on without going back, and answers as ever.
//!
//! The time of the last frame is changed on disk, its checksum made to fit: so the clock seems to
//! have gone back by a century, or to have stood at 1970 or at the ends of what there is.

use std::{fs, path::Path};

use damage::{
    contents::{Contents, OpenStore},
    layout::Layout,
    stores::scratch,
};
use spacefold::{
    Position, SpaceEvent, Timestamp,
    admin::{VerifyOptions, verify},
    log::{AppendRequest, LogReader, LogWriter, ReadRequest},
};
use spacefold_store::fuzzing::Decoder;

/// Where a frame has the time of its first event.
const RECORDED_AT: usize = 56;
/// Where HEAD has its slots, and these the length of their extension fields and the checksum.
const HEAD_SLOTS: [usize; 2] = [0, 4_096];
const HEAD_EXTENSION: usize = 128;
const HEAD_CHECKSUM: usize = 508;

fn events(count: u64) -> Vec<SpaceEvent> {
    (0..count).map(|n| SpaceEvent::variable_set("a", "n", n)).collect()
}

/// What fills a block, so that the times go through blocks as well.
fn filler() -> SpaceEvent {
    SpaceEvent::variable_set("b", "filler", "x".repeat(50_000))
}

fn recorded(store: &OpenStore) -> Vec<Timestamp> {
    let mut times = Vec::new();
    for page in store.log().pages(ReadRequest::from(Position::new(1))) {
        times.extend(page.unwrap().envelopes().map(|event| event.recorded_at));
    }
    times
}

/// Takes what HEAD says of frames out of it, as if an earlier version had written it.
fn forget_frames(store: &Path) {
    let path = store.join("HEAD");
    let mut head = fs::read(&path).unwrap();
    for slot in HEAD_SLOTS {
        head[slot + HEAD_EXTENSION..slot + HEAD_CHECKSUM].fill(0);
    }
    Decoder::Head.repair(&mut head);
    fs::write(path, head).unwrap();
}

/// A store of one append of three events, taken at `clock`, goes on at the present.
fn goes_on_from(clock: Timestamp) {
    let folder = scratch();
    let path = folder.path().join("store");
    let store = OpenStore::open(&path).unwrap();
    store.append(&events(3)).unwrap();
    store.close().unwrap();
    drop(store);
    let frame = Layout::of(&path).frames.remove(0);
    let file = path.join(&frame.file);
    let mut bytes = fs::read(&file).unwrap();
    let stored = &mut bytes[frame.start as usize..frame.end as usize];
    stored[RECORDED_AT..RECORDED_AT + 8].copy_from_slice(&clock.as_micros().to_le_bytes());
    Decoder::Frame.repair(stored);
    fs::write(&file, bytes).unwrap();
    forget_frames(&path);
    // Folded before the time was changed.
    fs::remove_dir_all(path.join("sled")).unwrap();

    let before = Timestamp::now();
    let store = OpenStore::open(&path).unwrap();
    assert_eq!(recorded(&store), [clock; 3]);
    let ahead = store.log().ahead_of_clock().unwrap();
    assert_eq!(ahead.map(|ahead| ahead.since.get()), (clock > before).then_some(1));
    let a_day_on = before.as_micros() + 25 * 3_600_000_000;
    assert_eq!(ahead.is_some_and(|ahead| ahead.is_long()), clock.as_micros() > a_day_on);
    for _ in 0..3 {
        store.append(&events(2)).unwrap();
        store.append(&[filler()]).unwrap();
    }
    let wished = [Timestamp::MIN, Timestamp::MAX];
    let imported = events(2);
    store.log().append(&AppendRequest::new(&imported).recorded_at(&wished)).unwrap();
    check(&store, clock, before);
    store.close().unwrap();
    drop(store);

    assert!(verify(&path, VerifyOptions::default()).unwrap().problems.is_empty());
    let store = OpenStore::open(&path).unwrap();
    check(&store, clock, before);
    store.append(&events(1)).unwrap();
    check(&store, clock, before);
}

fn check(store: &OpenStore, clock: Timestamp, before: Timestamp) {
    let times = recorded(store);
    assert!(times.len() >= 14);
    assert!(times.is_sorted(), "{times:?}");
    let (early, late) = (clock.min(before), clock.max(Timestamp::now()));
    assert!(times.iter().all(|time| (early..=late).contains(time)), "{times:?}");
    if clock > before {
        assert!(times.iter().all(|time| *time == clock), "{times:?}");
    }
    for time in times.iter().copied().chain([Timestamp::MIN, Timestamp::MAX]) {
        let expected = times.iter().filter(|other| **other <= time).count() as u64;
        assert_eq!(store.log().position_as_of(time).unwrap().get(), expected, "{time}");
    }
    let contents = Contents::of(store).unwrap();
    assert_eq!(contents.states, contents.folded);
}

fn years(count: i64) -> i64 {
    count * 365 * 24 * 3_600 * 1_000_000
}

#[test]
fn a_clock_that_stood_a_century_ahead() {
    let ahead = Timestamp::now().as_micros() + years(100);
    goes_on_from(Timestamp::from_micros(ahead).unwrap());
}

#[test]
fn a_clock_that_stood_an_hour_ahead() {
    goes_on_from(Timestamp::from_micros(Timestamp::now().as_micros() + 3_600_000_000).unwrap());
}

#[test]
fn a_clock_that_stood_at_1970() {
    goes_on_from(Timestamp::from_micros(0).unwrap());
}

#[test]
fn a_clock_that_stood_before_1970() {
    goes_on_from(Timestamp::from_micros(-years(100)).unwrap());
}

#[test]
fn clocks_at_the_ends_of_what_there_is() {
    goes_on_from(Timestamp::MIN);
    goes_on_from(Timestamp::MAX);
}
