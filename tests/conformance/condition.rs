//! Conditional appends.

use spacefold_event_core::{
    AppendCondition, AppendError, EventFilter, EventLog, EventType, ExpectedRevision,
    FailedCondition, Position, Revision, SpaceEvent,
};

use crate::{LogFactory, append, append_on, assert_holds, fill, set};

fn exact(revision: u64) -> ExpectedRevision {
    ExpectedRevision::Exact(Revision::new(revision))
}

#[track_caller]
fn failed(
    log: &dyn EventLog,
    event: &SpaceEvent,
    condition: AppendCondition,
) -> Vec<FailedCondition> {
    match append_on(log, std::slice::from_ref(event), condition) {
        Err(AppendError::ConditionFailed { failed }) => failed,
        other => panic!("expected a failed condition, not {other:?}"),
    }
}

fn revision(space_id: &str, expected: ExpectedRevision, current: u64) -> FailedCondition {
    FailedCondition::Revision {
        space_id: space_id.to_owned(),
        expected,
        current: Revision::new(current),
    }
}

/// Every kind of expectation, where it holds.
pub fn takes_appends_whose_expectations_hold(factory: &impl LogFactory) {
    let log = factory.open();
    let on = |condition| append_on(&*log, &[set("a", "n", 0)], condition).unwrap().revision();
    assert_eq!(on(AppendCondition::no_space("a")), Revision::new(1));
    assert_eq!(on(AppendCondition::exists("a")), Revision::new(2));
    assert_eq!(on(AppendCondition::exact("a", Revision::new(2))), Revision::new(3));
    let any = AppendCondition::none()
        .and_expected("a", ExpectedRevision::Any)
        .and_expected("b", ExpectedRevision::Any)
        .and_expected("b", exact(0))
        .and_expected("b", ExpectedRevision::NoSpace)
        .and_expected("a", exact(3));
    assert_eq!(on(any), Revision::new(4));
    assert_eq!(on(AppendCondition::none()), Revision::new(5));
}

/// A failed condition names all of its parts that fail, in order, with what was found.
pub fn names_every_part_that_fails(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "a", 2);
    let deleted = SpaceEvent::space_deleted("a", "A");
    append(&*log, std::slice::from_ref(&deleted));
    let event = set("a", "n", 9);
    let condition = AppendCondition::exact("a", Revision::new(2))
        .and_expected("a", ExpectedRevision::NoSpace)
        .and_expected("a", ExpectedRevision::Exists)
        .and_expected("b", ExpectedRevision::Exists)
        .and_expected("b", ExpectedRevision::Any)
        .and_expected("b", exact(1))
        .and_expected("a", exact(4))
        .and_no_event_matching(EventFilter::all(), Position::new(3))
        .and_no_event_matching(
            EventFilter::all().types([EventType::SpaceDeleted]),
            Position::new(2),
        );
    let expected = [
        revision("a", exact(2), 3),
        revision("a", ExpectedRevision::NoSpace, 3),
        revision("b", ExpectedRevision::Exists, 0),
        revision("b", exact(1), 0),
        revision("a", exact(4), 3),
        FailedCondition::EventMatches {
            after: Position::new(2),
            position: Position::new(3),
            event_id: deleted.event_id,
        },
    ];
    assert_eq!(failed(&*log, &event, condition), expected);
}

/// After a failed condition the log is as before, and the events may be appended later.
pub fn writes_nothing_when_a_condition_fails(factory: &impl LogFactory) {
    let log = factory.open();
    let first = set("a", "n", 0);
    append(&*log, std::slice::from_ref(&first));
    let refused = [set("a", "n", 1), set("b", "n", 1)];
    for condition in [
        AppendCondition::no_space("a"),
        AppendCondition::exists("b"),
        AppendCondition::exact("a", Revision::new(7)),
        AppendCondition::no_event_matching(EventFilter::all(), Position::START),
    ] {
        let outcome = append_on(&*log, &refused, condition);
        assert!(matches!(outcome, Err(AppendError::ConditionFailed { .. })), "{outcome:?}");
        assert_holds(&*log, std::slice::from_ref(&first));
        assert_eq!(log.revision("b").unwrap(), Revision::NONE);
    }
    let receipt = append(&*log, &refused);
    assert_eq!(receipt.first_position(), Position::new(2));
    let [one, two] = refused;
    assert_holds(&*log, &[first, one, two]);
}

/// `no_event_matching` looks behind its position, at types, spaces and documents, and names the
/// first event that matches.
pub fn sees_no_matching_event_after_a_position(factory: &impl LogFactory) {
    let log = factory.open();
    let events = [
        SpaceEvent::document_added("a", "d", "/d"),
        SpaceEvent::document_added("b", "d", "/d"),
        SpaceEvent::document_removed("a", "d", None::<String>),
        SpaceEvent::cache_invalidated("a", vec!["c".to_owned(), "d".to_owned()], "moved"),
    ];
    append(&*log, &events);
    let of_type = EventFilter::all().types([EventType::DocumentAdded]);
    let of_space = EventFilter::all().spaces(["a"]);
    let of_document = EventFilter::all().document("d");
    let of_all = EventFilter::all().types([EventType::DocumentAdded]).spaces(["b"]).document("d");
    let of_other = EventFilter::all().document("e");
    let matched = [
        (&of_type, 0, Some(1)),
        (&of_type, 1, Some(2)),
        (&of_type, 2, None),
        (&of_space, 1, Some(3)),
        (&of_space, 3, Some(4)),
        (&of_space, 4, None),
        (&of_document, 3, Some(4)),
        (&of_all, 0, Some(2)),
        (&of_all, 2, None),
        (&of_other, 0, None),
        (&of_type, u64::MAX, None),
    ];
    // The condition fails beside one that always does, so that nothing is ever appended.
    let never = AppendCondition::exists("nowhere");
    for (filter, after, position) in matched {
        let after = Position::new(after);
        let condition = never.clone().and_no_event_matching(filter.clone(), after);
        let mut expected = vec![revision("nowhere", ExpectedRevision::Exists, 0)];
        expected.extend(position.map(|position| FailedCondition::EventMatches {
            after,
            position: Position::new(position),
            event_id: events[position as usize - 1].event_id,
        }));
        assert_eq!(
            failed(&*log, &set("c", "n", 0), condition),
            expected,
            "{filter:?} after {after}"
        );
    }
    let holds = AppendCondition::no_event_matching(of_type, Position::new(2));
    append_on(&*log, &[set("c", "n", 0)], holds).unwrap();
}

/// A condition may be about spaces that the append leaves alone.
pub fn checks_spaces_that_the_append_does_not_touch(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "a", 3);
    let event = set("b", "n", 0);
    let stale = AppendCondition::exact("a", Revision::new(2));
    assert_eq!(failed(&*log, &event, stale), [revision("a", exact(2), 3)]);
    let current = AppendCondition::exact("a", Revision::new(3));
    let receipt = append_on(&*log, &[event], current).unwrap();
    assert_eq!(receipt.revision(), Revision::new(1));
}
