//! The past is what the log says, whatever is kept of it.

use proptest::prelude::*;
use spacefold_event_core::{Append, LogWriter, MemoryLog, MemoryStateStore, SpaceEvent};
use spacefold_state::testing::{events, fold, log_of, record};

use super::{stretch::PREFIX, *};

const SPACES: [&str; 3] = ["s", "s2", "t"];

fn over(log: &Arc<MemoryLog>, store: &Arc<MemoryStateStore>) -> Past {
    Past::new(log.clone(), store.clone(), PastOptions::default())
}

#[track_caller]
fn agrees(past: &Past, log: &MemoryLog, positions: impl Iterator<Item = u64>) {
    for position in positions {
        for space_id in SPACES {
            let state = past.state_at(space_id, Position::new(position)).unwrap();
            let expected = fold(log, space_id, position);
            match state {
                Some(state) => assert_eq!(*state, expected, "{space_id} at {position}"),
                None => assert_eq!(expected.revision(), Revision::NONE, "{space_id} at {position}"),
            }
        }
    }
}

/// A log in which one event in twenty is of `s`, with parts that change again and again.
fn sparse(events: usize) -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::new());
    let event = |n: usize| match n % 20 {
        7 if n.is_multiple_of(3) => SpaceEvent::variable_set("s", format!("v{}", n % 50), n as u64),
        7 => SpaceEvent::document_added("s", format!("d{}", n % 200), format!("/{n}")),
        m => SpaceEvent::variable_set("t", format!("v{m}"), n as u64),
    };
    let all: Vec<SpaceEvent> = (0..events).map(event).collect();
    for part in all.chunks(4_096) {
        log.append(&Append::new(part)).unwrap();
    }
    log
}

fn kept(store: &MemoryStateStore, kind: u8) -> Vec<Vec<u8>> {
    let keys = store.keys(PREFIX).unwrap();
    keys.into_iter().filter(|key| key[PREFIX.len()] == kind).collect()
}

#[test]
fn sparse_spaces_have_stretches_and_states_and_dense_ones_only_states() {
    let log = sparse(45_000);
    let store = Arc::new(MemoryStateStore::new());
    let past = over(&log, &store);
    assert!(past.weave().unwrap(), "a stride of it is done, and more is left");
    assert!(!past.weave().unwrap(), "what is left is less than a stride");
    past.weave_all().unwrap();
    let (stretches, states) = (kept(&store, b'e'), kept(&store, b's'));
    let of = |keys: &[Vec<u8>], id: &str| {
        let prefix = if keys == stretches {
            stretch::stretches_prefix(id)
        } else {
            stretch::states_prefix(id)
        };
        keys.iter().filter(|key| key.starts_with(&prefix)).count()
    };
    assert_eq!((of(&stretches, "s"), of(&stretches, "t")), (3, 0));
    assert!(
        of(&states, "s") >= 1 && of(&states, "t") >= 2,
        "{} {}",
        of(&states, "s"),
        of(&states, "t")
    );
    // In memory, from disk, and through stretches alone.
    let positions = || (0..45_000).step_by(3_571).chain([1, 16_384, 16_385, 44_999, 45_000]);
    agrees(&past, &log, positions());
    agrees(&over(&log, &store), &log, positions());
    for key in states {
        store.remove(&key).unwrap();
    }
    agrees(&over(&log, &store), &log, positions());
}

#[test]
fn what_is_damaged_or_missing_is_done_without() {
    let log = sparse(40_000);
    let whole = Arc::new(MemoryStateStore::new());
    over(&log, &whole).weave_all().unwrap();
    let keys = whole.keys(b"space-past").unwrap();
    assert!(keys.len() >= 5);
    for key in &keys {
        let blob = whole.get(key).unwrap().unwrap();
        for harm in 0..4 {
            let store = Arc::new(MemoryStateStore::new());
            for other in &keys {
                store.put(other, &whole.get(other).unwrap().unwrap()).unwrap();
            }
            let mut harmed = blob.clone();
            match harm {
                0 => store.remove(key).unwrap(),
                1 => store.put(key, &[]).unwrap(),
                2 => {
                    let middle = harmed.len() / 2;
                    harmed[middle] ^= 4;
                    store.put(key, &harmed).unwrap();
                }
                // What another key holds.
                _ => store.put(key, &whole.get(&keys[1]).unwrap().unwrap()).unwrap(),
            }
            let past = over(&log, &store);
            agrees(&past, &log, [13_000, 40_000].into_iter());
            past.weave_all().unwrap();
            agrees(&past, &log, [27_777].into_iter());
        }
    }
}

#[test]
fn the_past_of_another_log_is_not_taken() {
    let (log, other) = (sparse(40_000), sparse(40_000));
    let store = Arc::new(MemoryStateStore::new());
    over(&other, &store).weave_all().unwrap();
    let foreign = kept(&store, b'e').len();
    assert!(foreign > 0);
    agrees(&over(&log, &store), &log, [20_000, 39_000].into_iter());
    assert!(kept(&store, b'e').len() < foreign, "what was found out is removed");
    // The marker is not of this log either: all goes before anything is kept anew.
    let past = over(&log, &store);
    past.weave_all().unwrap();
    agrees(&past, &log, [20_000, 39_000].into_iter());
}

#[test]
fn nothing_is_kept_when_that_is_turned_off_or_after_it_was_removed() {
    let log = sparse(40_000);
    let store = Arc::new(MemoryStateStore::new());
    let options = PastOptions { on_disk: PastOnDisk::NotKept, ..PastOptions::default() };
    let past = Past::new(log.clone(), store.clone(), options);
    past.weave_all().unwrap();
    assert!(!past.weave().unwrap());
    assert_eq!(store.keys(b"").unwrap().len(), 0);
    agrees(&past, &log, [30_000].into_iter());
    let past = over(&log, &store);
    past.weave_all().unwrap();
    assert!(!store.keys(b"").unwrap().is_empty());
    past.remove().unwrap();
    assert_eq!(store.keys(b"").unwrap().len(), 0);
    agrees(&past, &log, [30_000].into_iter());
}

#[test]
fn versions_in_memory_stay_within_their_bytes_and_share_what_did_not_change() {
    let log = sparse(60_000);
    let store = Arc::new(MemoryStateStore::new());
    let options = PastOptions { cache_bytes: 400_000, ..PastOptions::default() };
    let past = Past::new(log.clone(), store, options);
    for position in (0..60_000).rev().step_by(611) {
        past.state_at("s", Position::new(position)).unwrap();
        past.state_at("t", Position::new(position)).unwrap();
        assert!(past.versions.lock().bytes() <= 400_000);
    }
    agrees(&past, &log, [59_999, 100].into_iter());
    let [before, after] =
        past.states_at("s", Position::new(50_000), Position::new(50_100)).unwrap();
    let changes = spacefold_state::diff(before.as_deref(), after.as_deref());
    assert_eq!(
        changes,
        spacefold_state::diff(Some(&fold(&log, "s", 50_000)), Some(&fold(&log, "s", 50_100)))
    );
    assert!(!changes.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn at_every_position_it_is_the_fold(
        first in events(0..80), second in events(0..40), seed in any::<u64>()
    ) {
        let log = log_of(first);
        let store = Arc::new(MemoryStateStore::new());
        let past = over(&log, &store);
        past.weave_all().unwrap();
        record(&log, second);
        let head = log.durable_head().get();
        // In an order that does not lead from one to the next.
        let scattered = |n: u64| n.wrapping_mul(seed | 1) % (head + 1);
        agrees(&past, &log, (0..=head).map(scattered));
        past.weave_all().unwrap();
        agrees(&over(&log, &store), &log, (0..=head).map(scattered));
    }
}
