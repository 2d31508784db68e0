//! Numbering, atomicity, and what an append keeps.

use spacefold_event_core::{
    AppendCondition, AppendError, Position, Presence, Receipt, Revision, SpaceEvent,
};

use crate::{LogFactory, append, append_on, assert_holds, second, set, whole_log};

/// Positions count from 1 over the log, revisions from 1 in each space.
pub fn numbers_positions_and_revisions_from_one(factory: &impl LogFactory) {
    let log = factory.open();
    assert_eq!(log.head(), Position::START);
    assert_eq!(log.durable_head(), Position::START);
    let spaces = ["a", "b", "a", "a", "b"];
    let revisions = [1, 1, 2, 3, 2];
    for (index, (space_id, revision)) in spaces.into_iter().zip(revisions).enumerate() {
        let position = Position::new(index as u64 + 1);
        let receipt = append(&*log, &[set(space_id, "n", 0)]);
        let revision = Revision::new(revision);
        let time = whole_log(&*log).last().unwrap().recorded_at;
        assert_eq!(receipt, Receipt::new(position, position, revision, time, true));
        assert_eq!(log.head(), position);
        assert_eq!(log.durable_head(), position);
        assert_eq!(log.revision(space_id).unwrap(), revision);
    }
    assert_eq!(log.revision("c").unwrap(), Revision::NONE);
    assert_eq!(whole_log(&*log).len(), spaces.len());
}

/// The events of an append stand at consecutive positions in the order they were handed in.
pub fn keeps_an_append_whole_and_in_order(factory: &impl LogFactory) {
    let log = factory.open();
    let mut expected = Vec::new();
    for (number, count) in [1, 2, 7, 64, 1, 500].into_iter().enumerate() {
        let events: Vec<SpaceEvent> =
            (0..count).map(|n| set("a", &format!("v{number}"), n)).collect();
        let receipt = append(&*log, &events);
        assert_eq!(receipt.count(), count);
        assert_eq!(receipt.first_position(), Position::new(expected.len() as u64 + 1));
        expected.extend(events);
        assert_eq!(receipt.last_position(), Position::new(expected.len() as u64));
        assert_eq!(receipt.revision(), Revision::new(expected.len() as u64));
    }
    assert_holds(&*log, &expected);
}

/// One append may hold events of several spaces; its receipt has the revision of its last event.
pub fn appends_to_several_spaces_at_once(factory: &impl LogFactory) {
    let log = factory.open();
    append(&*log, &[set("b", "n", 0)]);
    let events = ["a", "b", "a", "c", "b", "a"].map(|space_id| set(space_id, "n", 1));
    let receipt = append(&*log, &events);
    let (first, last, revision) = (Position::new(2), Position::new(7), Revision::new(3));
    let time = whole_log(&*log).last().unwrap().recorded_at;
    assert_eq!(receipt, Receipt::new(first, last, revision, time, true));
    for (space_id, revision) in [("a", 3), ("b", 3), ("c", 1)] {
        assert_eq!(log.revision(space_id).unwrap(), Revision::new(revision));
    }
    let revisions: Vec<u64> = whole_log(&*log).iter().map(|event| event.revision.get()).collect();
    assert_eq!(revisions, [1, 1, 2, 2, 1, 3, 3]);
}

/// An append needs an event.
pub fn refuses_an_append_without_events(factory: &impl LogFactory) {
    let log = factory.open();
    let refused = append_on(&*log, &[], AppendCondition::none());
    assert!(matches!(refused, Err(AppendError::Empty)), "{refused:?}");
    // Even where the condition would fail: the caller's mistake is named first.
    let refused = append_on(&*log, &[], AppendCondition::exists("a"));
    assert!(matches!(refused, Err(AppendError::Empty)), "{refused:?}");
    assert_eq!(log.head(), Position::START);
}

/// Ids, times, sources, absent and null keys and extra keys come back as they went in.
pub fn keeps_every_part_of_an_event(factory: &impl LogFactory) {
    let log = factory.open();
    let events = [
        SpaceEvent::space_deleted("ä ö \u{1F600}", Presence::Absent).with_source(""),
        SpaceEvent::space_deleted("ä ö \u{1F600}", Presence::Null)
            .with_correlation_id("c".repeat(512)),
        SpaceEvent::space_deleted("ä ö \u{1F600}", "\0\n\u{10FFFF}"),
        SpaceEvent::cache_invalidated("a", Vec::<String>::new(), None).with_timestamp(second(-5)),
        SpaceEvent::document_added("a", "d", "")
            .with_extra("pages", 12.into())
            .unwrap()
            .with_extra("", u64::MAX.into())
            .unwrap(),
    ];
    append(&*log, &events);
    assert_holds(&*log, &events);
}
