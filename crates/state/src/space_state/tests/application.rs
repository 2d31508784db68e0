//! Events of an application's own change nothing but revision and the time of the newest event.

use proptest::prelude::*;
use spacefold_event_core::{EventType, Position, RecordedEvent, Revision, SpaceEvent};

use super::{added, created, deleted};
use crate::{
    Effect, Snapshot, SpaceState, SpaceStatus,
    testing::{application, events, log_of, object, recorded, recorded_at, state_of},
};

fn own() -> SpaceEvent {
    application("s", "one", object([]))
}

/// All that is said of a state but its revision, the time of its newest event, and its hash.
fn rest(state: &SpaceState) -> serde_json::Value {
    let json = Snapshot::new(state.clone().into(), Position::new(1)).to_json();
    let mut said: serde_json::Value = serde_json::from_str(&json).unwrap();
    for key in ["revision", "updated_at", "state_hash", "position"] {
        assert!(said.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    said
}

fn folded<'a>(events: impl IntoIterator<Item = &'a RecordedEvent>) -> SpaceState {
    let mut state = SpaceState::new("s");
    for event in events {
        let effect = state.apply(&event.as_event_ref());
        if event.event.event_type() == EventType::Application {
            assert_eq!(effect, Effect::Whole);
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn they_change_nothing_else(events in events(0..60)) {
        let all = recorded(&log_of(events));
        let of_space: Vec<_> = all.iter().filter(|event| event.event.space_id == "s").collect();
        let state = folded(of_space.iter().copied());
        let is_core = |event: &&&RecordedEvent| event.event.event_type() != EventType::Application;
        let core = folded(of_space.iter().filter(is_core).copied());
        prop_assert_eq!(rest(&state), rest(&core));
        let newest = of_space.last();
        prop_assert_eq!(state.revision(), newest.map_or(Revision::NONE, |event| event.revision));
        if let Some(newest) = newest {
            prop_assert_eq!(state.updated_at(), newest.recorded_at);
        }
    }
}

#[test]
fn a_space_begins_with_its_first_core_event() {
    let state = state_of([own(), own()]);
    assert_eq!(
        (state.status(), state.name(), state.created_at()),
        (SpaceStatus::Unknown, None, None)
    );
    assert_eq!((state.revision(), state.updated_at()), (Revision::new(2), recorded_at(2)));
    assert_eq!(state.anomalies().count(), 0);

    let state = state_of([own(), created()]);
    assert_eq!((state.status(), state.created_at()), (SpaceStatus::Created, Some(recorded_at(2))));
    assert_eq!(state.anomalies().count(), 0);

    let state = state_of([own(), added("d", "/d")]);
    assert_eq!((state.status(), state.created_at()), (SpaceStatus::Unknown, Some(recorded_at(2))));
    let anomalies: Vec<_> = state.anomalies().first().iter().map(|it| it.reason.name()).collect();
    assert_eq!(anomalies, ["space_not_created"]);
}

#[test]
fn they_are_no_anomaly_after_a_deletion() {
    let state = state_of([created(), deleted(), own()]);
    assert_eq!((state.status(), state.revision()), (SpaceStatus::Deleted, Revision::new(3)));
    assert_eq!(state.anomalies().count(), 0);
}

#[test]
fn a_state_of_them_alone_reads_back() {
    let state = state_of([own()]);
    let again = SpaceState::decode(state.encode()).unwrap();
    assert_eq!((again.created_at(), again.state_hash()), (None, state.state_hash()));
}
