//! A store that is made of what another has, on a disk of which any call may fail, or be the last one
//! before the power goes.

use std::path::Path;

use fastrand::Rng;
use spacefold_disk::{
    Disk, SimDisk,
    sim::{Fault, Kept},
};
use spacefold_event_core::{
    AppendRequest, EventId, LogReader as _, LogWriter as _, ReadRequest, SpaceEvent, StoreMode,
};

use super::*;
use crate::{
    EmbeddedLog, Follower, FollowerOptions, OpenError, StoreOptions, environment::Environment,
    log_copy::memory::MemoryCopies,
};

const STORE: &str = "/store";

fn open(disk: &SimDisk) -> Result<EmbeddedLog, OpenError> {
    let copies = Arc::new(MemoryCopies::default());
    let environment = Environment::stepped(Arc::new(disk.clone()), copies);
    let options = StoreOptions::default().journal_file_bytes(32 << 10).reserve_bytes(0);
    EmbeddedLog::open_in(&environment, Path::new(STORE), &options)
}

/// A store with segments, and appends behind them, of which some are large.
fn made(rng: &mut Rng) -> (SimDisk, Vec<EventId>) {
    let disk = SimDisk::default();
    let log = open(&disk).unwrap();
    let segments = || {
        let store = disk.root().folder("store".as_ref()).unwrap().unwrap();
        store.folder(SEALED.as_ref()).unwrap().unwrap().names().unwrap().len()
    };
    while segments() < 4 {
        let count = if rng.u8(..3) == 0 { rng.usize(300..900) } else { rng.usize(1..6) };
        let event = |rng: &mut Rng| {
            let text: String = std::iter::repeat_with(|| rng.alphanumeric()).take(40).collect();
            SpaceEvent::variable_set(format!("space-{}", rng.u8(..5)), "v", text)
        };
        let events: Vec<SpaceEvent> = (0..count).map(|_| event(rng)).collect();
        log.append(&AppendRequest::new(&events)).unwrap();
        log.step(true);
    }
    let ids = ids(&log);
    log.close().unwrap();
    (disk.clone(), ids)
}

fn ids(log: &EmbeddedLog) -> Vec<EventId> {
    let mut ids = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        ids.extend(page.unwrap().envelopes().map(|event| event.event_id));
    }
    ids
}

/// What a backup of a store has.
struct Copied {
    head: BackupHead,
    segments: Vec<Vec<u8>>,
    frames: Vec<Vec<u8>>,
}

fn copied(disk: &SimDisk) -> Copied {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let follower = Follower::open_on(disk, Path::new(STORE), &FollowerOptions::default());
    let view = follower.unwrap().backup_view().unwrap();
    let segment = |it| view.read_segment(it).unwrap().bytes;
    let segments: Vec<Vec<u8>> = view.segments().iter().map(segment).collect();
    assert!(segments.len() > 2, "{}", segments.len());
    let frames = view.frames_after(view.sealed_through()).into_iter().map(|it| it.bytes);
    Copied { head: view.head().clone(), segments, frames: frames.collect() }
}

fn restore(of: &Copied, disk: &SimDisk, through: u64) -> Result<RestoredPoint, LogRestoreError> {
    let root = disk.root().create_folder("store".as_ref(), StoreMode::default())?;
    disk.root().sync()?;
    let mut log = LogRestore::begin(root, of.head.clone(), Position::new(through))?;
    of.segments.iter().try_for_each(|bytes| log.segment(bytes))?;
    of.frames.iter().try_for_each(|bytes| log.frames(bytes))?;
    log.finish()
}

#[test]
fn every_cut_is_the_begin_of_the_store_and_goes_on() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (disk, expected) = made(&mut rng);
    let of = copied(&disk);
    let all = expected.len() as u64;
    let mut positions: Vec<u64> = (0..60).map(|_| rng.u64(1..=all)).collect();
    positions.extend([0, 1, all - 1, all]);
    for through in positions {
        let disk = SimDisk::default();
        let point = restore(&of, &disk, through).unwrap();
        assert_eq!(point.position.get(), through);
        for reopened in 0..2 {
            let log = open(&disk).unwrap();
            assert_eq!(log.identity(), point.identity);
            let there = ids(&log);
            let kept = usize::try_from(through).unwrap();
            assert!(there[..kept] == expected[..kept] && there.len() == kept + reopened);
            let appended = log.append(&AppendRequest::new(&[SpaceEvent::space_activated("a")]));
            assert_eq!(appended.unwrap().last_position().get(), through + reopened as u64 + 1);
            log.close().unwrap();
        }
    }
    let beyond = restore(&of, &SimDisk::default(), all + 1).unwrap_err();
    assert!(matches!(beyond, LogRestoreError::Ends { end, .. } if end.get() == all), "{beyond}");
}

#[test]
fn any_call_may_fail_or_be_the_last_and_there_is_the_store_or_none() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (disk, expected) = made(&mut rng);
    let of = copied(&disk);
    let (mut none, mut whole) = (0, 0);
    for _ in 0..12 {
        let through = rng.u64(1..=expected.len() as u64);
        let dry = SimDisk::default();
        restore(&of, &dry, through).unwrap();
        for call in 1..=dry.calls() {
            let disk = SimDisk::default();
            disk.fail_call(call, *rng.choice(&Fault::ALL).unwrap());
            let is_made = restore(&of, &disk, through).is_ok();
            let kept = *rng.choice(&Kept::ALL).unwrap();
            let left = disk.after_power_cut(kept, &mut rng);
            match Follower::open_on(
                Arc::new(left.clone()),
                Path::new(STORE),
                &FollowerOptions::default(),
            ) {
                Ok(_) => {
                    let log = open(&left).unwrap();
                    let through = usize::try_from(through).unwrap();
                    assert!(ids(&log) == expected[..through], "call {call}");
                    log.close().unwrap();
                    whole += 1;
                }
                Err(error) => {
                    let is_none =
                        matches!(error, OpenError::NoStore { .. } | OpenError::NotAStore { .. });
                    assert!(is_none && !is_made, "call {call}: {error}");
                    none += 1;
                }
            }
        }
    }
    println!("{none} times none, {whole} times the store");
    assert!(none > 100 && whole > 0);
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (disk, expected) = made(&mut rng);
    let of = copied(&disk);
    let (other, _) = made(&mut rng);
    let other = copied(&other);
    let through = expected.len() as u64;
    let refused = |of: Copied| {
        let disk = SimDisk::default();
        let refused = restore(&of, &disk, through).unwrap_err();
        let is_named =
            matches!(refused, LogRestoreError::Damaged { .. } | LogRestoreError::Ends { .. });
        assert!(is_named, "{refused}");
        assert!(open(&disk).is_err());
    };
    let part = || Copied {
        head: of.head.clone(),
        segments: of.segments.clone(),
        frames: of.frames.clone(),
    };
    refused(Copied { segments: other.segments.clone(), ..part() });
    refused(Copied { frames: other.frames.clone(), segments: Vec::new(), ..part() });
    refused(Copied { frames: Vec::new(), ..part() });
    let mut swapped = part();
    swapped.segments.swap(0, 1);
    refused(swapped);
    let mut lacking = part();
    lacking.segments.remove(1);
    refused(lacking);
    for _ in 0..200 {
        let mut flipped = part();
        let segment = rng.usize(..flipped.segments.len());
        let bytes = &mut flipped.segments[segment];
        let place = rng.usize(..bytes.len());
        bytes[place] ^= 1 << rng.u8(..8);
        refused(flipped);
        let mut cut = part();
        let frames = cut.frames.last_mut().unwrap();
        frames.truncate(rng.usize(..frames.len()));
        refused(cut);
    }
}
