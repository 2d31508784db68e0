//! What `apply` says that an event did, against what it did.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spacefold_event_core::{MemoryLog, Payload, Position, RecordedEvent, SpaceEvent};

use super::{ABSENT, added, created, deleted, stale};
use crate::{
    AnomalyReason, Effect, Effects, SpaceState, SpaceStates,
    testing::{events, log_of, recorded},
};

/// The states before and after each event of a log, with what it did.
fn effects_of(log: &MemoryLog) -> Vec<(RecordedEvent, SpaceState, Effect, SpaceState)> {
    let mut states: BTreeMap<String, SpaceState> = BTreeMap::new();
    let events = recorded(log).into_iter();
    events
        .map(|event| {
            let id = event.event.space_id.clone();
            let state = states.entry(id.clone()).or_insert_with(|| SpaceState::new(&*id));
            let before = state.clone();
            let effect = state.apply(&event.as_event_ref());
            (event, before, effect, state.clone())
        })
        .collect()
}

/// A state without what every event moves, ignored ones too.
fn values(state: &SpaceState) -> SpaceState {
    let mut values = SpaceState::new("values");
    let counted = values.clone();
    values.clone_from(state);
    values.revision = counted.revision;
    values.created_at = counted.created_at;
    values.updated_at = counted.updated_at;
    values.anomalies = counted.anomalies;
    values.hash = counted.hash;
    values
}

/// What is so of a space that an event finds, as the rules say: whether it is ignored.
fn is_ignored(before: &SpaceState, payload: &Payload) -> bool {
    let unknown = |id: &String| before.document(id).is_none();
    let was_deleted = before.status() == crate::SpaceStatus::Deleted;
    match payload {
        Payload::SpaceCreated { .. } | Payload::Application { .. } => false,
        _ if was_deleted => true,
        Payload::DocumentUpdated { document_id, .. }
        | Payload::DocumentRemoved { document_id, .. }
        | Payload::DocumentMoved { document_id, .. }
        | Payload::DocumentContentChanged { document_id, .. }
        | Payload::ReferenceAdded { document_id, .. } => unknown(document_id),
        Payload::ReferenceCleared { document_id, .. }
        | Payload::RenderStarted { document_id, .. }
        | Payload::RenderCompleted { document_id, .. }
        | Payload::RenderFailed { document_id, .. } => {
            document_id.as_deref().map(str::to_owned).as_ref().is_some_and(unknown)
        }
        Payload::CacheInvalidated { document_ids, .. } => {
            !document_ids.is_empty() && document_ids.iter().all(unknown)
        }
        _ => false,
    }
}

#[test]
fn each_kind_of_effect_is_told() {
    use AnomalyReason::{
        DocumentExists, PathTaken, SpaceDeleted, SpaceExists, SpaceNotCreated, UnknownDocument,
    };
    use Effect::{Ignored, Remarked, Whole};
    let removed = |id: &str| SpaceEvent::document_removed("s", id, ABSENT);
    let of_another = |mut event: SpaceEvent| {
        event.space_id = "t".to_owned();
        event
    };
    let told = [
        (removed("d"), Ignored(SpaceNotCreated)),
        (created(), Remarked(SpaceExists)),
        (added("d", "/d"), Whole),
        (added("d", "/d"), Remarked(DocumentExists)),
        (added("e", "/d"), Remarked(PathTaken)),
        (removed("x"), Ignored(UnknownDocument)),
        (stale(&["d", "x", "e", "y"]), Effect::Partial { ignored: [1, 3].into() }),
        (stale(&["x", "x"]), Ignored(UnknownDocument)),
        (stale(&[]), Whole),
        (deleted(), Whole),
        (added("d", "/d"), Ignored(SpaceDeleted)),
        (deleted(), Ignored(SpaceDeleted)),
        (created(), Whole),
        (of_another(added("d", "/d")), Remarked(SpaceNotCreated)),
    ];
    let log = log_of(told.iter().map(|(event, _)| event.clone()));
    for ((event, _, effect, _), (_, expected)) in effects_of(&log).into_iter().zip(told) {
        assert_eq!(effect, expected, "position {}", event.position);
    }
}

proptest! {
    #[test]
    fn an_effect_says_what_became_of_the_state(events in events(0..60)) {
        let log = log_of(events);
        for (event, before, effect, after) in effects_of(&log) {
            let payload = &event.event.payload;
            let (before_it, after_it) = (values(&before), values(&after));
            prop_assert_eq!(effect.is_ignored(), is_ignored(&before, payload), "{:?}", event);
            prop_assert!(!effect.is_ignored() || before_it == after_it, "{:?}", event);
            let counted = after.anomalies().count() - before.anomalies().count();
            prop_assert_eq!(counted, u64::from(effect.reason().is_some()), "{:?}", event);
            if let (Some(anomaly), 1) = (after.anomalies().first().last(), counted)
                && anomaly.position == event.position
            {
                prop_assert_eq!(Some(anomaly.reason), effect.reason(), "{:?}", event);
            }
            let Payload::CacheInvalidated { document_ids, .. } = payload else { continue };
            for (place, id) in document_ids.iter().enumerate() {
                let takes = before.document(id).is_some();
                prop_assert_eq!(effect.takes(place), takes, "{} of {:?}", place, event);
            }
        }
    }

    #[test]
    fn effects_are_the_same_in_whatever_ranges_spaces_are_folded(events in events(0..60)) {
        let log = log_of(events);
        let head = Position::new(recorded(&log).len().try_into().unwrap());
        let folded = |is_own: &dyn Fn(&str) -> bool| {
            let (mut states, mut effects) =
                (SpaceStates::new(), Effects::new(Position::START, head));
            for event in recorded(&log).iter().filter(|event| is_own(&event.event.space_id)) {
                effects.push(event.position, states.apply(&event.as_event_ref()));
            }
            effects
        };
        let whole = folded(&|_| true);
        let mut merged = folded(&|id| id > "s");
        merged.merge(folded(&|id| id <= "s"));
        prop_assert_eq!(merged, whole);
    }
}
