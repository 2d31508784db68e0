//! The index of the blocks of a store, harmed in every way: what is looked up is right all the same.

mod queries;

use spacefold_event_core::{
    AppendRequest, EventFilter, LogReader as _, LogWriter as _, Position, ReadError, ReadRequest,
    Revision, SpaceEvent, StorageErrorKind,
};

use crate::{
    EmbeddedLog,
    log_copy::memory::lost::Left,
    stored::{Stored, harmed},
};

/// Every so many events one is of a space that has few.
const RARE: u64 = 9;

fn space_of(position: u64) -> String {
    match position.is_multiple_of(RARE) {
        true => format!("rare-{}", position / RARE / 2),
        false => format!("space-{}", position % 7),
    }
}

/// The tags of the event at a position: common ones, rarer ones, one that no other has, or none.
fn tags_of(position: u64) -> Vec<String> {
    let common = || "common".to_owned();
    match position % 4 {
        0 => vec![common()],
        1 => vec![format!("some-{}", position % 50), common()],
        2 => vec![format!("only-{position}")],
        _ => vec![],
    }
}

/// A store with blocks in many segments, blocks in none, and a tail.
fn filled(events: u64) -> Stored {
    let stored = Stored::new("block-index");
    let log = stored.open();
    append(&log, events);
    log.close().unwrap();
    stored
}

fn append(log: &EmbeddedLog, events: u64) {
    let end = log.head().get() + events;
    while log.head().get() < end {
        let first = log.head().get() + 1;
        let events = (first..=end.min(first + 199)).map(|position| {
            let value = format!("{position}");
            SpaceEvent::variable_set(space_of(position), "v", value).with_tags(tags_of(position))
        });
        let events: Vec<SpaceEvent> = events.collect();
        log.step(true);
        log.append(&AppendRequest::new(&events)).unwrap();
    }
    log.step(true);
}

/// Everything that is looked up, compared with what was appended.
fn check(log: &EmbeddedLog) -> Result<(), ReadError> {
    let end = log.head().get();
    let mut spaces = std::collections::BTreeMap::<String, Vec<u64>>::new();
    (1..=end).for_each(|position| spaces.entry(space_of(position)).or_default().push(position));
    let counts: Vec<(String, Revision)> =
        spaces.iter().map(|(id, own)| (id.clone(), Revision::new(own.len() as u64))).collect();
    assert_eq!(log.spaces()?, counts);
    let ids: Vec<String> = spaces.keys().cloned().collect();
    assert_eq!(log.spaces_after(None, usize::MAX)?, ids);
    let place = ids.partition_point(|id| id.as_str() <= "rare-1");
    assert_eq!(log.spaces_after(Some("rare-1"), 3)?, ids[place..place + 3]);
    assert_eq!(log.revision("nobody")?, Revision::NONE);
    for (space_id, positions) in spaces.iter().step_by(spaces.len() / 50 + 1) {
        assert_eq!(log.revision(space_id)?.get(), positions.len() as u64);
        for n in [0, positions.len() / 2, positions.len() - 1] {
            let page = log.read_space(space_id, Revision::new(n as u64 + 1), 1)?;
            let found: Vec<u64> = page.envelopes().map(|event| event.position.get()).collect();
            assert_eq!(found, [positions[n]], "{space_id} {n}");
        }
    }
    for filter in [&["rare-1"][..], &["rare-0", "space-3", "nobody"], &["space-1"]] {
        let mut found = Vec::new();
        let read = ReadRequest::from(Position::new(1));
        for page in log.pages(read.matching(EventFilter::all().spaces(filter.iter().copied()))) {
            found.extend(page?.envelopes().map(|event| event.position.get()));
        }
        let mut expected: Vec<u64> =
            filter.iter().filter_map(|id| spaces.get(*id)).flatten().copied().collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter:?}");
    }
    let newest = end - end % 4 - 2;
    for (space, tags) in [
        (None, vec!["common".to_owned()]),
        (None, vec!["some-21".to_owned()]),
        (Some("rare-0"), vec!["common".to_owned()]),
        (Some("space-1"), vec!["common".to_owned(), "some-1".to_owned()]),
        (None, vec!["only-6".to_owned()]),
        (None, vec![format!("only-{newest}")]),
        (None, vec!["only-6".to_owned(), "common".to_owned()]),
    ] {
        let filter = EventFilter::all().tags(&tags);
        let filter = space.iter().fold(filter, |filter, space| filter.spaces([space]));
        let mut found = Vec::new();
        for page in log.pages(ReadRequest::from(Position::new(1)).matching(filter)) {
            found.extend(page?.envelopes().map(|event| event.position.get()));
        }
        let passes = |position: &u64| {
            let own = tags_of(*position);
            tags.iter().all(|tag| own.contains(tag))
                && space.is_none_or(|space| space_of(*position) == space)
        };
        assert_eq!(found, (1..=end).filter(passes).collect::<Vec<_>>(), "{space:?} {tags:?}");
    }
    Ok(())
}

#[test]
fn an_index_that_is_lost_old_or_damaged_answers_what_was_appended() {
    let stored = filled(9_000);
    let older = stored.files();
    let log = stored.open();
    append(&log, 6_000);
    check(&log).unwrap();
    log.close().unwrap();
    let whole = stored.files();
    assert!(whole.len() > 2, "{} files", whole.len());
    let other = filled(12_000).files();
    let is_of = |files: &[(String, Vec<u8>)]| {
        stored.put(files);
        let log = stored.open();
        check(&log).unwrap();
        log.close().unwrap();
        // What was made anew is whole.
        let log = stored.open();
        check(&log).unwrap();
        log.close().unwrap();
    };
    harmed(&whole, &[&older, &other], is_of);
}

#[test]
fn damage_that_comes_up_while_the_store_is_open_is_answered_by_making_anew() {
    let stored = filled(15_000);
    let log = stored.open();
    for (name, _) in stored.files().iter().filter(|(name, _)| name != "MANIFEST") {
        // Every page of rows, but not the ends that opening has read.
        stored.change(name, |bytes| {
            let rows = bytes.len() / 2;
            bytes[8..rows].iter_mut().for_each(|byte| *byte ^= 1);
        });
    }
    let epoch = log.shared().view().index.epoch();
    check(&log).unwrap();
    assert!(log.shared().view().index.epoch() > epoch, "no damage was noticed");
    append(&log, 3_000);
    check(&log).unwrap();
    assert_eq!(log.info().healed, 0, "no copy of the log was wrong");
    log.close().unwrap();
    let log = stored.open();
    check(&log).unwrap();
}

#[test]
fn revisions_are_brought_into_memory_while_blocks_are_made() {
    let stored = filled(9_000);
    let log = stored.open();
    assert!(log.shared().view().index.spaces().is_none());
    let rounds = std::cell::Cell::new(0_u32);
    let over = || {
        rounds.set(rounds.get() + 1);
        if rounds.get() == 1 {
            append(&log, 6_000);
        }
        false
    };
    log.shared().load_revisions(over).unwrap();
    assert!(log.shared().view().index.spaces().is_some());
    check(&log).unwrap();
}

#[test]
fn reading_and_appending_wait_for_no_copy() {
    let stored = filled(9_000);
    let log = stored.open();
    // As where sled is never done.
    check(&log).unwrap();
    let receipt =
        log.append(&AppendRequest::new(&[SpaceEvent::space_archived("space-1")])).unwrap();
    assert!(receipt.is_durable());
    assert_eq!(log.read(&ReadRequest::from(receipt.last_position())).unwrap().len(), 1);
    assert!(log.shared().copy.is_unopened());
    assert_eq!(log.info().healed, 0);
    assert!(!log.shared().copy.is_unopened());
}

#[test]
fn a_copy_that_cannot_be_opened_ends_appends_and_not_reading() {
    let stored = filled(9_000);
    let copies = stored.copies.after_power_cut(Left::Refused, &mut fastrand::Rng::with_seed(0));
    let stored = Stored { copies, ..stored };
    let log = stored.open();
    let one = [SpaceEvent::space_archived("space-1")];
    let last = log.append(&AppendRequest::new(&one)).unwrap().last_position();
    let refusal = log.refusal().unwrap();
    assert_eq!(refusal.kind(), StorageErrorKind::ReadOnly);
    assert!(log.append(&AppendRequest::new(&one)).is_err());
    assert_eq!(log.durable_head(), last);
    assert_eq!(log.read(&ReadRequest::from(last)).unwrap().len(), 1);
    log.close().unwrap();
}
