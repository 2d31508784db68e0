//! A late subscriber who wants to know how things are, while others append.

use std::sync::atomic::{AtomicBool, Ordering};

use spacefold::{
    Delivery, Revision, SpaceEvent, Spacefold, Subscription, subscribe::SnapshotStream,
};

const ROUNDS: usize = 30;

/// The next event of the space, and the space as it was, leave nothing out between them.
fn check(late: SnapshotStream) {
    let known = late.snapshots.first().map_or(Revision::NONE, |snapshot| snapshot.revision());
    let mut items = late.tail.into_iter();
    let event = items.find_map(|item| match item.unwrap() {
        Delivery::Events(event) => Some(event),
        _ => None,
    });
    let event = event.unwrap();
    assert_eq!(event.revision, known.next());
    assert!(event.position > late.position);
}

#[test]
fn nothing_is_missing_between_the_states_and_what_follows_them() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("data")).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let events = ["a", "b"].map(SpaceEvent::space_activated);
                spaces.append(events).unwrap();
            }
        });
        for _ in 0..ROUNDS {
            let subscription = Subscription::from_start().spaces(["a"]);
            check(spaces.snapshot_then_subscribe(subscription).unwrap());
        }
        is_done.store(true, Ordering::Relaxed);
    });
    spaces.close().unwrap();
}
