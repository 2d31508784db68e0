//! What a look at a store does when a segment was made of what is shown.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use spacefold_disk::SimDisk;

use super::*;
use crate::{environment::Environment, log_copy::memory::MemoryCopies};

/// Calls that are made to see what is new: HEAD, the hint, the segments, the journal.
const FEW_CALLS: u64 = 40;
/// Calls that are made for a piece of a segment: its blocks have some 26,000 bytes each.
const PIECE_CALLS: u64 = 60;

fn append_noise(log: &EmbeddedLog, rng: &mut fastrand::Rng, count: usize) {
    let event = |place: usize| {
        let text: String = std::iter::repeat_with(|| rng.alphanumeric()).take(4_000).collect();
        SpaceEvent::variable_set(format!("space-{}", place % 7), "v", text)
    };
    let events: Vec<SpaceEvent> = (0..count).map(event).collect();
    log.append(&AppendRequest::new(&events)).unwrap();
}

#[test]
fn what_is_new_is_shown_before_a_segment_is_read_and_that_is_read_in_pieces() {
    let (disk, path) = (SimDisk::default(), Path::new("/store"));
    let copies = Arc::new(MemoryCopies::default());
    let owner = Environment::stepped(Arc::new(disk.beside()), copies);
    let options = StoreOptions::default().reserve_bytes(0);
    let log = EmbeddedLog::open_in(&owner, path, &options).unwrap();
    let following = Arc::new(disk.clone());
    let follower = Follower::open_on(following, path, &FollowerOptions::default()).unwrap();
    let mut rng = fastrand::Rng::with_seed(11);
    while log.info().sealed_bytes == 0 {
        append_noise(&log, &mut rng, 100);
        assert_eq!(follower.refresh().unwrap(), log.durable_head());
        log.step(true);
    }
    append_noise(&log, &mut rng, 1);
    let new = log.durable_head();

    let (unshown, shown) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let seen = Arc::clone(&follower.inner.shared);
    let counts = [&unshown, &shown].map(Arc::clone);
    disk.look_between_calls(Some(Box::new(move || {
        let is_shown = seen.progress.durable_head() >= new;
        counts[usize::from(is_shown)].fetch_add(1, Ordering::Relaxed);
    })));
    let taken = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
    assert_eq!(follower.refresh().unwrap(), new);
    let before = taken(&unshown);
    assert!(before < FEW_CALLS, "{before} calls before what is new was shown");
    let mut looks = 1;
    let is_behind = || follower.inner.following.lock().is_behind(&follower.inner.shared);
    while is_behind() {
        let calls = taken(&shown);
        assert!(calls < PIECE_CALLS, "{calls} calls in one look");
        // Nothing is new: it goes on all the same.
        assert_eq!(follower.refresh().unwrap(), new);
        looks += 1;
    }
    assert!(looks >= 8, "a segment of 8 MiB was read in {looks} looks");
    disk.look_between_calls(None);
    assert_same(&follower, &log);
}
