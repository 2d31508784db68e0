//! Stores that are forked, and mended in their place.

use super::*;

#[test]
fn a_fork_has_the_same_events_under_an_id_and_a_timeline_of_its_own() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let log = EmbeddedLog::open_with(&store, &small_files()).unwrap();
    (0..100).for_each(|_| append(&log, &events(&mut random, 400)));
    let original = all(&log);
    // Beside the process that has it.
    let new = folder.path().join("new");
    let forked = fork(&store, &new, ForkOptions::default(), &mut |_| true).unwrap();
    assert_eq!((forked.log.events, forked.log.retimed), (original.len() as u64, 0));
    let other = EmbeddedLog::open_existing(&new).unwrap();
    assert!(all(&other) == original);
    let (own, its) = (log.identity(), other.identity());
    assert_ne!(log.store_id(), other.store_id());
    assert_eq!(own.log_id, its.log_id);
    assert_ne!(own.timeline, its.timeline);
    let parted = its.fork.unwrap();
    assert_eq!((parted.parent, parted.position), (own.timeline, log.durable_head()));
    append(&other, &events(&mut random, 10));
    assert!(all(&log) == original);
    other.close().unwrap();
    log.close().unwrap();
    let verified = spacefold_store::verify(&new, VerifyOptions::default()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
}

#[test]
fn a_fork_may_give_events_of_the_future_their_times_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, store) = (folder.path().join("plain"), folder.path().join("store"));
    let micros = |micros: i64| Timestamp::from_micros(micros).unwrap();
    let now = Timestamp::now().as_micros();
    let ahead = micros(now + 70 * 365 * 86_400 * 1_000_000);
    let past = |seconds: i64| micros(now - (1_000 - seconds) * 1_000_000);
    // Two before, two of the session in the future, two after it, which have their own times.
    let own = [past(1), past(2), ahead, ahead, past(5), past(6)];
    let taken = [past(1), past(2), ahead, ahead, ahead, ahead];
    let event = |time: &Timestamp| SpaceEvent::space_activated("a").with_timestamp(*time);
    let events: Vec<SpaceEvent> = own.iter().map(event).collect();
    let recorded = |(index, event): (usize, &SpaceEvent)| {
        let number = u64::try_from(index).unwrap() + 1;
        RecordedEvent {
            event: event.clone(),
            position: Position::new(number),
            revision: spacefold_event_core::Revision::new(number),
            recorded_at: taken[index],
        }
    };
    let recorded: Vec<RecordedEvent> = events.iter().enumerate().map(recorded).collect();
    let log = EmbeddedLog::open(&store).unwrap();
    log.ingest(&recorded).unwrap();
    log.close().unwrap();
    let times = |path: &Path| {
        let log = EmbeddedLog::open_existing(path).unwrap();
        let times: Vec<Timestamp> = all(&log).iter().map(|event| event.recorded_at).collect();
        log.close().unwrap();
        times
    };
    fork(&store, &plain, ForkOptions::default(), &mut |_| true).unwrap();
    assert_eq!(times(&plain), taken);
    let mended = folder.path().join("mended");
    let forked = fork(&store, &mended, ForkOptions::default().retime(), &mut |_| true).unwrap();
    assert_eq!(forked.log.retimed, 4);
    assert_eq!(times(&mended), [past(1), past(2), past(2), past(2), past(5), past(6)]);
    // New events are recorded at the time of the clock again.
    let spaces = Options::new(&mended).open().unwrap();
    assert!(spaces.log().ahead_of_clock().unwrap().is_none());
    spaces.close().unwrap();
}

#[test]
fn what_a_store_lacks_is_taken_from_another_copy_of_it_where_the_chain_proves_it() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (store, backup, apart) = (path("store"), path("backup"), path("apart"));
    let original = large_store(&store, &mut random);
    copy(&store, &backup);
    copy(&store, &apart);
    // It went on by itself.
    let log = EmbeddedLog::open_with(&apart, &small_files()).unwrap();
    (0..400).for_each(|_| append(&log, &events(&mut random, 4_000)));
    log.close().unwrap();
    fs::remove_dir_all(store.join("sled")).unwrap();
    for segment in listed(&store.join("sealed")) {
        damage(&segment, segment.metadata().unwrap().len() / 2);
    }
    for file in listed(&store.join("journal")) {
        let len = file.metadata().unwrap().len();
        (1..40).for_each(|part| damage(&file, part * len / 41));
    }
    let before = files(&store);
    let refused = repair(&store, None);
    assert!(matches!(refused, Err(RemakeError::Open(_))), "{refused:?}");
    assert!(files(&store) == before, "something was changed");
    let other = path("other");
    Spacefold::open(&other).unwrap().append([SpaceEvent::space_created("a", "A")]).unwrap();
    let refused = repair(&store, Some(&other));
    assert!(matches!(refused, Err(RemakeError::NothingThere { .. })), "{refused:?}");
    assert!(files(&store) == before, "something was changed");
    // A copy that is damaged too, elsewhere, and has neither HEAD nor sled.
    fs::remove_file(backup.join("HEAD")).unwrap();
    fs::remove_dir_all(backup.join("sled")).unwrap();
    for lacks_nothing in [true, false] {
        let (harmed, from) = (path("harmed"), if lacks_nothing { &backup } else { &apart });
        copy(&store, &harmed);
        let from_before = files(from);
        match repair(&harmed, Some(from)) {
            Ok(repaired) => {
                assert!(repaired.log.log_mended);
                let log = EmbeddedLog::open_existing(&harmed).unwrap();
                assert!(all(&log) == original, "other events");
                log.close().unwrap();
                let verified = spacefold_store::verify(&harmed, VerifyOptions::default()).unwrap();
                assert!(verified.problems.is_empty(), "{:?}", verified.problems);
                // What was replaced is beside it, as it was.
                let kept = files(&harmed);
                for (file, bytes) in &before {
                    let name = file.strip_prefix(&store).unwrap();
                    let is_kept = kept.values().any(|kept| kept == bytes);
                    let is_derived = name.starts_with("derived") || name.ends_with("LOCK");
                    let is_live = ["live", "reserve"].iter().any(|it| name.ends_with(it));
                    assert!(is_kept || is_derived || is_live, "{} is gone", name.display());
                }
            }
            Err(error) => {
                assert!(!lacks_nothing, "{error}");
                let changed = files(&harmed).into_values().eq(before.values().cloned());
                assert!(changed, "something was changed");
            }
        }
        assert!(files(from) == from_before, "the other store was changed");
        fs::remove_dir_all(harmed).unwrap();
    }
}

#[test]
fn what_is_derived_is_made_anew_and_lost_content_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = (folder.path().join("store"), folder.path().join("other"));
    let spaces = Spacefold::open(&store).unwrap();
    let service = spaces.service();
    service.create_space("a", "A").unwrap();
    service.add_document("a", "d", "/d").unwrap();
    service.set_content("a", "d", Random(7).text(4_000).as_bytes()).unwrap();
    let hash = contents::hash_in(&spaces.snapshot("a").unwrap(), "d").unwrap();
    spaces.close().unwrap();
    copy(&store, &other);
    let content = listed(&store.join("content"));
    let pack = content.iter().find(|it| it.extension().is_some_and(|it| it == "pack")).unwrap();
    damage(pack, 500);
    fs::write(store.join("derived/space-state/MANIFEST"), "noise").unwrap();
    let repaired = repair(&store, None).unwrap();
    assert!(!repaired.log.log_mended);
    assert_eq!((repaired.content_mended, repaired.content_lacking), (0, 1));
    assert!(repaired.log.set_aside.iter().any(|name| name.starts_with("derived.set-aside-")));
    let repaired = repair(&store, Some(&other)).unwrap();
    assert_eq!((repaired.content_mended, repaired.content_lacking), (1, 0));
    let spaces = Spacefold::open_existing(&store).unwrap();
    assert_eq!(spaces.content().get(&hash, 10_000).unwrap(), Random(7).text(4_000).as_bytes());
    assert_eq!(spaces.snapshot("a").unwrap().name(), Some("A"));
    spaces.close().unwrap();
}

#[test]
fn a_damaged_store_is_not_forked() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    large_store(&store, &mut random);
    let segment = &listed(&store.join("sealed"))[0];
    damage(segment, segment.metadata().unwrap().len() / 2);
    let new = folder.path().join("new");
    let refused = fork(&store, &new, ForkOptions::default(), &mut |_| true);
    assert!(matches!(refused, Err(RemakeError::Read(_))), "{refused:?}");
    assert_eq!(listed(folder.path()), [store]);
}
