mod format;
mod killed;

use std::{
    fs,
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use spacefold_event_core::{
    AppendCondition, AppendRequest, EventFilter, EventId, LogReader, LogWriter, Position,
    ReadRequest, RecordedEvent, Revision, SpaceEvent, Value,
};

use super::*;
use crate::{head_file::HeadFile, stored::Stored, verify::verify};

/// Copies a store as a process that is killed leaves it: without closing it.
fn image(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    // HEAD, journal, sealed, sled: in the order in which events move, since that goes on.
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            image(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn added(log: &EmbeddedLog, count: usize, spaces: usize) -> Vec<SpaceEvent> {
    let start = usize::try_from(log.head().get()).unwrap();
    let event = |n: usize| {
        SpaceEvent::document_added(format!("space-{}", n % spaces), format!("doc-{n}"), "/a.md")
            .with_source("test")
    };
    (start..start + count).map(event).collect()
}

fn append(log: &EmbeddedLog, count: usize, spaces: usize) {
    log.append(&AppendRequest::new(&added(log, count, spaces))).unwrap();
}

fn everything(log: &EmbeddedLog) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        events.extend(page.unwrap().events().map(|event| event.unwrap().to_owned_event()));
    }
    events
}

fn assert_dense(events: &[RecordedEvent], count: u64) {
    assert_eq!(u64::try_from(events.len()).unwrap(), count);
    for (event, position) in events.iter().zip(1..) {
        assert_eq!(event.position, Position::new(position));
    }
}

#[test]
fn keeps_everything_over_a_clean_close_and_over_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    for _ in 0..40 {
        append(&log, 97, 7);
        append(&log, 1, 7);
    }
    let before = everything(&log);
    assert_dense(&before, 40 * 98);
    let killed = folder.path().join("killed");
    image(&path, &killed);
    log.close().unwrap();
    assert!(log.read(&ReadRequest::from(Position::new(1))).is_err());

    for path in [&path, &killed, &killed] {
        let log = EmbeddedLog::open(path).unwrap();
        assert_eq!(everything(&log), before, "{}", path.display());
        assert_eq!(log.info().healed, 0);
        append(&log, 1, 7);
        let events = everything(&log);
        assert_eq!(events[..before.len()], before);
        let space = log.read_space("space-3", Revision::new(1), usize::MAX).unwrap();
        assert_eq!(space.len(), 560);
        log.close().unwrap();
        let report = verify(path, crate::VerifyOptions::default()).unwrap();
        assert!(report.is_ok(), "{report:?}");
        if path == &killed {
            break;
        }
    }
}

#[test]
fn makes_sleds_copy_anew_whatever_happened_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    (0..20).for_each(|_| append(&log, 300, 5));
    let before = everything(&log);
    log.close().unwrap();
    let other = folder.path().join("other");
    let log = EmbeddedLog::open(&other).unwrap();
    (0..10).for_each(|_| append(&log, 300, 5));
    log.close().unwrap();

    let sled = path.join("sled");
    let damages: [(&str, &dyn Fn()); 4] = [
        ("deleted", &|| fs::remove_dir_all(&sled).unwrap()),
        ("emptied", &|| {
            fs::remove_dir_all(&sled).unwrap();
            fs::create_dir(&sled).unwrap();
        }),
        ("noise", &|| {
            for file in fs::read_dir(&sled).unwrap().map(|entry| entry.unwrap().path()) {
                if file.is_file() {
                    let noise: Vec<u8> = (0..fs::metadata(&file).unwrap().len())
                        .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 7 & 0xff).unwrap())
                        .collect();
                    fs::write(&file, noise).unwrap();
                }
            }
        }),
        ("another store's", &|| {
            fs::remove_dir_all(&sled).unwrap();
            image(&other.join("sled"), &sled);
        }),
    ];
    let mut healed = 0;
    for (what, damage) in damages {
        damage();
        // Looked at in a copy: sled tidies up in a folder that it opens.
        let looked_at = folder.path().join(format!("verified: {what}"));
        image(&path, &looked_at);
        let report = verify(&looked_at, crate::VerifyOptions::default()).unwrap();
        assert!(!report.is_ok(), "{what} is no damage: {report:?}");
        let healed_before = healed;
        let log = EmbeddedLog::open(&path).unwrap();
        healed = log.info().healed;
        assert_eq!(healed, healed_before + 1, "{what}");
        assert_eq!(everything(&log), before, "{what}");
        log.close().unwrap();
        let report = verify(&path, crate::VerifyOptions::default()).unwrap();
        assert!(report.is_ok(), "{what}: {report:?}");
    }
}

#[test]
fn refuses_a_second_opener_and_names_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    let refused = EmbeddedLog::open(&path).unwrap_err();
    let own = std::process::id();
    assert!(matches!(refused, OpenError::AlreadyOpen { pid: Some(pid), .. } if pid == own));
    log.close().unwrap();
    EmbeddedLog::open(&path).unwrap();
}

#[test]
fn a_torn_tail_is_cut_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    (0..3).for_each(|_| append(&log, 2, 1));
    let killed = folder.path().join("killed");
    image(&path, &killed);
    log.close().unwrap();

    let journal = killed.join("journal/0000.journal");
    let whole = fs::read(&journal).unwrap();
    // Behind the last frame there are zeros.
    let torn = whole.iter().rposition(|byte| *byte != 0).unwrap() - 10;
    fs::write(&journal, &whole[..torn]).unwrap();
    let cut = EmbeddedLog::open(&killed).unwrap();
    assert_dense(&everything(&cut), 4);
    cut.close().unwrap();

    let mut damaged = whole.clone();
    damaged[600] ^= 1;
    fs::write(path.join("journal/0000.journal"), damaged).unwrap();
    let refused = EmbeddedLog::open(&path).unwrap_err();
    assert!(
        matches!(&refused, OpenError::JournalDamaged { position, offset: 512, .. }
            if *position == Position::new(1)),
        "{refused:?}"
    );
}

#[test]
fn large_events_and_filters_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path().join("store")).unwrap();
    let large: String =
        (0..1_000_000_u32).map(|n| char::from(b'a' + u8::try_from(n % 23).unwrap())).collect();
    let events = [
        SpaceEvent::variable_set("big", "v", large.as_str()),
        SpaceEvent::space_created("small", "Small"),
    ];
    log.append(&AppendRequest::new(&events).on(AppendCondition::no_space("small"))).unwrap();
    append(&log, 2_000, 9);
    let read =
        ReadRequest::from(Position::new(1)).matching(EventFilter::all().spaces(["big", "small"]));
    let page = log.read(&read).unwrap();
    assert_eq!(
        page.events().map(|e| e.unwrap().to_owned_event().event).collect::<Vec<_>>(),
        events
    );
    assert!(page.next() > log.durable_head());
}

#[test]
fn a_damaged_journal_is_mended_from_sleds_copy() {
    let heal = crate::VerifyOptions { damage: crate::OnDamage::Heal, ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    (0..30).for_each(|_| append(&log, 100, 4));
    let before = everything(&log);
    log.close().unwrap();
    let journal = path.join("journal/0000.journal");
    let whole = fs::read(&journal).unwrap();
    // In the header of the file, in a frame that sled has too, in the same place again (now the
    // events are in a segment), and in that segment.
    for offset in [8, 600, 20_000] {
        let mut damaged = whole.clone();
        damaged[offset] ^= 4;
        let image_path = folder.path().join(format!("damaged-{offset}"));
        image(&path, &image_path);
        fs::write(image_path.join("journal/0000.journal"), damaged).unwrap();
        let report = verify(&image_path, crate::VerifyOptions::default()).unwrap();
        assert!(!report.is_ok(), "{offset}");
        if offset != 600 {
            let report = verify(&image_path, heal).unwrap();
            assert!(report.is_ok() && report.problems.len() == 1, "{offset}: {report:?}");
        }
        // Opening mends it as well.
        let log = EmbeddedLog::open(&image_path).unwrap();
        assert_eq!(everything(&log), before, "{offset}");
        assert_eq!(log.info().healed, 1);
        append(&log, 5, 4);
        log.close().unwrap();
        for sealed in fs::read_dir(image_path.join("sealed")).unwrap() {
            let sealed = sealed.unwrap().path();
            let mut bytes = fs::read(&sealed).unwrap();
            bytes[3_000] ^= 1;
            fs::write(&sealed, bytes).unwrap();
            let report = verify(&image_path, heal).unwrap();
            assert!(report.is_ok() && report.problems.len() == 1, "{offset}: {report:?}");
        }
        let report = verify(&image_path, crate::VerifyOptions::default()).unwrap();
        assert!(report.is_ok() && report.problems.is_empty(), "{offset}: {report:?}");
        let log = EmbeddedLog::open(&image_path).unwrap();
        assert_eq!(everything(&log)[..before.len()], before, "{offset}");
    }
}

#[test]
fn damage_that_no_copy_can_mend_changes_nothing() {
    let heal = crate::VerifyOptions { damage: crate::OnDamage::Heal, ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    (0..3).for_each(|_| append(&log, 2, 1));
    log.close().unwrap();
    let journal = path.join("journal/0000.journal");
    let mut damaged = fs::read(&journal).unwrap();
    damaged[600] ^= 1;
    fs::write(&journal, &damaged).unwrap();
    let report = verify(&path, heal).unwrap();
    assert!(!report.is_ok(), "{report:?}");
    assert_eq!(fs::read(&journal).unwrap(), damaged);
}

#[test]
fn a_stop_between_a_segment_and_head_seals_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let options = StoreOptions::default().journal_file_bytes(128 << 10);
    let log = EmbeddedLog::open_with(folder.path().join("running"), &options).unwrap();
    let noting = log.inner.shared.noting_sealed.lock();
    let sealed = folder.path().join("running/sealed");
    let is_sealed = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().path().extension().is_some_and(|extension| extension == "sealed")
    };
    let mut appends = 0;
    while !fs::read_dir(&sealed).is_ok_and(|mut files| files.any(is_sealed)) {
        if log.inner.shared.journal_files.are_full() {
            thread::yield_now();
        } else {
            append(&log, 512, 4);
            appends += 1;
        }
    }
    image(&folder.path().join("running"), &path);
    let before = everything(&log);
    drop(noting);
    log.close().unwrap();
    for _ in 0..2 {
        let log = EmbeddedLog::open_with(&path, &options).unwrap();
        assert_eq!(everything(&log)[..before.len()], before);
        (0..40).for_each(|_| append(&log, 512, 4));
        log.close().unwrap();
    }
    assert_dense(&everything(&EmbeddedLog::open(&path).unwrap()), (appends + 2 * 40) * 512);
}

#[test]
fn the_end_of_an_append_is_found_though_its_begin_is_in_a_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    // Blocks and some events that do not fill another; those are of another space.
    let mut events: Vec<SpaceEvent> = (0..1_200)
        .map(|n| SpaceEvent::document_added("first", format!("doc-{n}"), "/a.md"))
        .collect();
    events.push(SpaceEvent::space_created("second", "Second"));
    log.append(&AppendRequest::new(&events)).unwrap();
    log.close().unwrap();
    let log = EmbeddedLog::open(&path).unwrap();
    assert!(log.info().blocks > 0);
    let page = log.read_space("second", Revision::new(1), 10).unwrap();
    assert_eq!(page.envelopes().map(|event| event.position.get()).collect::<Vec<_>>(), [1_201]);
    assert_eq!(log.read_space("first", Revision::new(1_200), 10).unwrap().len(), 1);
}

/// Writes HEAD as `change` leaves it, as a store would.
fn change_head(store: &Path, change: impl FnOnce(&mut crate::head::Head)) {
    let mut head = HeadFile::open(&StoreFolder::at(store)).unwrap();
    head.update(change).unwrap();
}

#[test]
fn a_fresh_tail_that_was_torn_takes_the_place_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    (0..5).for_each(|_| append(&log, 3, 2));
    let before = everything(&log);
    let killed = folder.path().join("killed");
    image(&path, &killed);
    log.close().unwrap();
    // What opening the killed one writes: the newest frame again, to another file.
    let opened = folder.path().join("opened");
    image(&killed, &opened);
    EmbeddedLog::open(&opened).unwrap().close().unwrap();
    let slots = |store: &Path| StoreFolder::at(store).journal_slots().unwrap();
    let fresh = *slots(&opened).iter().find(|slot| !slots(&killed).contains(slot)).unwrap();
    let file = StoreFolder::at(&opened).journal_file_path(fresh);
    let whole = fs::read(&file).unwrap();
    let opened = HeadFile::open(&StoreFolder::at(&opened)).unwrap().head().clone();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for written in [512, 600, end - 1, end] {
        let store = folder.path().join(format!("torn-{written}"));
        image(&killed, &store);
        change_head(&store, |head| {
            (head.incarnation, head.sessions) = (opened.incarnation, opened.sessions.clone());
        });
        let mut torn = whole.clone();
        torn[written..].fill(0);
        fs::write(StoreFolder::at(&store).journal_file_path(fresh), torn).unwrap();
        let log = EmbeddedLog::open(&store).unwrap();
        assert_eq!(everything(&log), before, "{written}");
        assert_eq!(log.info().healed, 0, "{written}");
        append(&log, 1, 2);
        log.close().unwrap();
        assert_eq!(everything(&EmbeddedLog::open(&store).unwrap()).len(), before.len() + 1);
    }
}

#[test]
fn a_store_that_was_closed_is_not_written_again_for_what_its_files_held_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    (0..5).for_each(|_| append(&log, 3, 2));
    log.close().unwrap();
    let head = fs::read(path.join("HEAD")).unwrap();
    // The middle of a frame of an earlier use, where the next group would begin.
    let journal = path.join("journal/0000.journal");
    let mut bytes = fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end.next_multiple_of(512)..][..700].fill(0xab);
    fs::write(&journal, bytes).unwrap();
    let log = EmbeddedLog::open(&path).unwrap();
    assert_eq!(everything(&log).len(), 15);
    log.close().unwrap();
    assert!(fs::read(path.join("HEAD")).unwrap() == head, "opening it wrote HEAD");
}

/// The next opening may file the same blocks: what an earlier one files later would overwrite that.
#[test]
fn a_store_that_failed_is_not_closed_before_what_it_archives_is_archived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let options = StoreOptions::default().journal_file_bytes(128 << 10);
    let log = EmbeddedLog::open_with(&path, &options).unwrap();
    let held_back = log.inner.shared.noting_sealed.lock();
    // In a thread of its own: once files run out an append waits for what is being archived.
    let appending = thread::spawn({
        let log = log.clone();
        move || while log.append(&AppendRequest::new(&added(&log, 97, 7))).is_ok() {}
    });
    while !log.inner.shared.progress.is_archiving() {
        thread::yield_now();
    }
    log.inner.shared.progress.fail(crate::progress::StoreFailure::new("planted"));
    appending.join().unwrap();
    let (closed, is_closed) = mpsc::channel();
    let closing = thread::spawn({
        let log = log.clone();
        move || {
            let outcome = log.close();
            closed.send(log.inner.shared.progress.is_archiving()).unwrap();
            outcome
        }
    });
    let early = is_closed.recv_timeout(Duration::from_millis(300));
    drop(held_back);
    assert_eq!(
        early,
        Err(RecvTimeoutError::Timeout),
        "it was closed while blocks were being archived"
    );
    assert_eq!(is_closed.recv(), Ok(false));
    closing.join().unwrap().unwrap();
}

#[test]
fn a_first_file_of_the_journal_that_was_being_made_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    EmbeddedLog::open(&path).unwrap().close().unwrap();
    // As a disk leaves it that failed before the file was on it, and reads what it does not have.
    let left = path.join("journal/0000.journal");
    fs::write(&left, vec![0; 1 << 20]).unwrap();
    let log = EmbeddedLog::open(&path).unwrap();
    assert!(!left.exists());
    append(&log, 3, 1);
    log.close().unwrap();
    assert_dense(&everything(&EmbeddedLog::open(&path).unwrap()), 3);
}

/// What is archived at first is a part of the first journal file, so that nothing is given up for it;
/// the rest is sealed meanwhile, and is not enough for a segment.
#[test]
fn appends_that_wait_for_what_is_sealed_while_other_blocks_are_archived_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().journal_file_bytes(128 << 10);
    let log = EmbeddedLog::open_with(folder.path().join("store"), &options).unwrap();
    let shared = &log.inner.shared;
    let mut random = fastrand::Rng::with_seed(1);
    let mut event = |bytes: usize| {
        let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(bytes).collect();
        SpaceEvent::document_added("space", EventId::new().to_string(), "/a.md")
            .with_extra("text", Value::from(text))
            .unwrap()
    };
    let noting = shared.noting_sealed.lock();
    let large: Vec<SpaceEvent> = (0..144).map(|_| event(60_000)).collect();
    log.append(&AppendRequest::new(&large)).unwrap();
    while !shared.journal_files.are_full() {
        log.append(&AppendRequest::new(&[event(40_000), event(40_000)])).unwrap();
    }
    let waiting = thread::spawn({
        let (log, event) = (log.clone(), event(120_000));
        move || log.append(&AppendRequest::new(&[event])).map(drop)
    });
    while shared.view().tail.body_bytes() > 100_000 {
        thread::yield_now();
    }
    assert!(shared.progress.is_archiving() && shared.journal_files.are_full());
    drop(noting);
    waiting.join().unwrap().unwrap();
    log.close().unwrap();
}

/// A store whose blocks are in several segments, opened anew, and its events.
fn sealed_store(path: &Path) -> (EmbeddedLog, Vec<RecordedEvent>) {
    let options = StoreOptions::default().journal_file_bytes(128 << 10);
    let mut before = Vec::new();
    while fs::read_dir(path.join("sealed")).map_or(0, Iterator::count) <= 2 {
        let log = EmbeddedLog::open_with(path, &options).unwrap();
        (0..20).for_each(|_| append(&log, 512, 4));
        before = everything(&log);
        log.close().unwrap();
    }
    (EmbeddedLog::open_with(path, &options).unwrap(), before)
}

#[test]
fn reading_takes_nothing_of_sled_that_a_segment_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (log, before) = sealed_store(&path);
    let sled = log.inner.shared.sled().unwrap();
    // A block that is sealed is another one in sled: reading it there would make the copy anew.
    let first = sled.first_positions().unwrap()[1];
    sled.put_block(first, b"no block").unwrap();
    drop(sled);
    assert_eq!(everything(&log), before);
    // Blocks that end in the middle of a page are read where the others are.
    let mut events = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1)).limit(777)) {
        events.extend(page.unwrap().events().map(|event| event.unwrap().to_owned_event()));
    }
    assert_eq!(events, before);
    // Nor does what is looked up.
    let index = usize::try_from(first.get()).unwrap();
    let event = || log.inner.shared.event(first).unwrap();
    assert_eq!(event().as_ref(), before.get(index - 1));
    assert_eq!(log.info().healed, 0);
    // A block that is in no segment yet is read there, and so the copy is made anew.
    let sled = log.inner.shared.sled().unwrap();
    let last = *sled.first_positions().unwrap().last().unwrap();
    sled.put_block(last, b"no block").unwrap();
    drop(sled);
    log.inner.shared.cache.clear();
    let index = usize::try_from(last.get()).unwrap();
    assert_eq!(log.inner.shared.event(last).unwrap().as_ref(), before.get(index - 1));
    assert_eq!(log.info().healed, 1);
    assert_eq!(everything(&log), before);
}

#[test]
fn reading_in_order_goes_on_in_sled_where_a_segment_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (log, before) = sealed_store(&path);
    let mut files: Vec<_> =
        fs::read_dir(path.join("sealed")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let good: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut flipped = good[0].clone();
    flipped.iter_mut().skip(200).step_by(1_000).for_each(|byte| *byte ^= 16);
    fs::write(&files[0], &flipped).unwrap();
    fs::write(&files[1], &good[0]).unwrap();
    fs::remove_file(&files[2]).unwrap();
    assert_eq!(everything(&log), before);
    for (file, bytes) in files.iter().zip(&good) {
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    }
    assert_eq!(everything(&log), before);
    assert_eq!(log.info().healed, 0);
    for (file, bytes) in files.iter().zip(&good) {
        fs::write(file, bytes).unwrap();
    }
    assert_eq!(everything(&log), before);
}

#[test]
fn an_append_that_has_waited_is_decided_without_the_index_of_ids() {
    let stored = Stored::new("event-ids");
    let log = stored.open();
    let event = |n: u64| SpaceEvent::variable_set("s", "v", format!("{n:0>200}"));
    let fill = |events: u64| {
        for n in 0..events / 100 {
            let events: Vec<SpaceEvent> = (0..100).map(|_| event(n)).collect();
            log.append(&AppendRequest::new(&events)).unwrap();
            log.step(true);
        }
    };
    fill(4_000);
    // Of no time, so that they are not new for sure.
    let old = |n: u8| event(1).with_event_id(EventId::from_bytes([0x40 + n; 16]));
    log.append(&AppendRequest::new(&[old(9)])).unwrap();
    let (waited, again) = ([old(1)], [old(2)]);
    let (waited, again) = (AppendRequest::new(&waited), AppendRequest::new(&again));
    let proposals = (log.propose(&waited).unwrap(), log.propose(&again).unwrap());
    let stored_at = log.append(&again).unwrap();
    fill(9_000);
    let ids = &log.shared().ids;
    assert!(ids.end() > stored_at.last_position(), "the index has it by now");
    ids.begin_anew(ids.kept().epoch()).unwrap();
    assert_eq!(log.inner.writer.append(proposals.1).unwrap(), stored_at);
    let receipt = log.inner.writer.append(proposals.0).unwrap();
    assert_eq!(receipt.last_position(), log.head());
    assert!(!ids.is_complete(), "the writer waited for the index");
    assert_eq!(log.find_event(old(1).event_id).unwrap(), Some(log.head()));
    assert_eq!(ids.wanted_in_memory_after(), ids.end(), "memory lets go of what the index has");
}
