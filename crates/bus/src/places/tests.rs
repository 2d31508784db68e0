use super::*;
use crate::testing::{LONG, SyncedStore};

fn places(within: Duration) -> (Arc<SyncedStore>, Places) {
    let store = Arc::new(SyncedStore::default());
    let places = Places::new(store.clone());
    places.sync_within(within);
    (store, places)
}

/// Waits until the thread is gone.
fn wait_until_idle(places: &Places) {
    let end = Instant::now() + LONG;
    while places.due.state.lock().has_thread {
        assert!(Instant::now() < end, "the thread stays");
        thread::yield_now();
    }
}

#[test]
fn what_moved_is_synced_by_itself_and_the_thread_ends() {
    let (store, places) = places(Duration::from_millis(1));
    for round in 0..3_u8 {
        places.put(b"a", &[round]).unwrap();
        assert!(store.wait_until_synced(b"a", &[round]), "round {round}");
        wait_until_idle(&places);
        places.remove(b"a").unwrap();
        assert!(store.wait_until(|synced| !synced.contains_key(&b"a"[..])));
    }
}

#[test]
fn one_sync_is_for_all_that_moved() {
    let (store, places) = places(LONG);
    for n in 0..100_u8 {
        places.put(&[n], b"x").unwrap();
    }
    assert_eq!(store.syncs(), 0);
    places.sync().unwrap();
    assert_eq!(store.syncs(), 1);
    // Nothing is left to be synced as the last one lets go.
    drop(places);
    assert_eq!(store.syncs(), 1);
}

#[test]
fn what_moves_is_synced_by_closing_or_refused() {
    for _ in 0..50 {
        let (store, places) = places(LONG);
        thread::scope(|scope| {
            let moving = scope
                .spawn(|| (0..=u8::MAX).take_while(|n| places.put(b"a", &[*n]).is_ok()).last());
            thread::yield_now();
            places.close().unwrap();
            if let Some(last) = moving.join().unwrap() {
                assert!(store.is_synced(b"a", &[last]), "{last} was taken, and kept nowhere");
            }
        });
        for refused in [places.put(b"a", b"x"), places.remove(b"a")] {
            assert!(refused.unwrap_err().to_string().contains("the store is closed"));
        }
    }
}

#[test]
fn what_is_left_is_synced_at_the_end_and_nobody_has_the_store_then() {
    let (store, places) = places(LONG);
    places.put(b"a", b"1").unwrap();
    drop(places);
    assert!(store.is_synced(b"a", b"1"));
    // The thread may still be on its way out, but not with the store.
    assert_eq!(Arc::strong_count(&store), 1);
}

#[test]
fn nobody_has_the_store_after_a_sync_under_way() {
    for _ in 0..50 {
        let (store, places) = places(Duration::ZERO);
        places.put(b"a", b"1").unwrap();
        places.put(b"b", b"2").unwrap();
        drop(places);
        assert_eq!(Arc::strong_count(&store), 1);
        assert!(store.is_synced(b"b", b"2"));
    }
}

#[test]
fn a_sync_that_fails_is_tried_again_with_the_next_move() {
    let (store, places) = places(Duration::from_millis(1));
    store.fail_syncs(true);
    places.put(b"a", b"1").unwrap();
    assert!(store.wait_for_syncs(1));
    wait_until_idle(&places);
    assert!(places.sync().is_err());
    store.fail_syncs(false);
    places.put(b"b", b"2").unwrap();
    assert!(store.wait_until_synced(b"b", b"2"));
    assert!(store.is_synced(b"a", b"1"));
}
