use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use spacefold_event_core::{ContentHash, EventType, MemoryContentStore, RecordedEventRef};

use super::*;
use crate::{
    apply_context::ApplyContext, apply_error::ApplyError, builtin::OpenProblems,
    projections::PauseKind, table::Table,
};

/// A projection of what a function does.
struct Applied<F>(F);

impl<F> Projection for Applied<F>
where
    F: Fn(&RecordedEventRef<'_>, &ApplyContext<'_>, &mut Table<'_>) -> Result<(), ApplyError>
        + Send
        + Sync
        + 'static,
{
    fn name(&self) -> &'static str {
        "applied"
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        context: &ApplyContext<'_>,
        table: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        (self.0)(event, context, table)
    }
}

/// A projection that puts what a function makes of each variable under the variable's space.
fn of_variables(value: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> impl Projection {
    let apply = move |event: &RecordedEventRef<'_>, _: &ApplyContext<'_>, table: &mut Table<'_>| {
        match event.event_type {
            EventType::VariableSet => Ok(table.put(event.space_id, value(event.position.get()))?),
            _ => Ok(table.put("last", event.event_type.to_string())?),
        }
    };
    Applied(apply)
}

/// The third event is the first that sets a variable.
fn history() -> Vec<SpaceEvent> {
    let variables = (0..9).map(|n| SpaceEvent::variable_set("s", "n", n));
    let begin = [SpaceEvent::space_created("s", "S"), SpaceEvent::space_activated("s")];
    begin.into_iter().chain(variables).collect()
}

#[test]
fn rows_are_those_of_what_is_given() {
    let test = ProjectionTest::new(of_variables(|position| vec![u8::try_from(position).unwrap()]));
    assert!(test.rows().is_empty());
    test.assert_repeatable();
    let test = test.given(history());
    let expected = [("last", b"space.activated".to_vec()), ("s", vec![11])];
    assert_eq!(test.rows(), expected.map(|(key, value)| (key.as_bytes().to_vec(), value)));
    let test = test.given([SpaceEvent::variable_set("t", "n", 1)]);
    assert_eq!((test.get("t"), test.get("u")), (Some(vec![12]), None));
    assert_eq!(test.handle().position(), Position::new(12));
    test.assert_repeatable();
}

#[test]
fn what_goes_by_effects_and_content_is_repeatable() {
    let events = || history().into_iter().chain([SpaceEvent::space_deleted("s", None)]);
    ProjectionTest::from_fn(|| OpenProblems).given(events()).assert_repeatable();
    let content = Arc::new(MemoryContentStore::new());
    content.put(&mut b"hello".as_slice()).unwrap();
    let hash = ContentHash::of(b"hello").to_string();
    let apply =
        move |_: &RecordedEventRef<'_>, context: &ApplyContext<'_>, table: &mut Table<'_>| {
            let found = context.content(&hash)?;
            Ok(table.put("content", found.unwrap_or_default())?)
        };
    let test = ProjectionTest::new(Applied(apply)).with_content(content).given(events());
    assert_eq!(test.get("content"), Some(b"hello".to_vec()));
    test.assert_repeatable();
}

#[test]
#[should_panic(expected = "in one session than after a rebuild: they part at position 3: \
                           variable.set \"s\" {\"name\":\"n\",\"value\":0}")]
fn what_depends_on_a_clock_is_found() {
    let clock = |_| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now.as_nanos().to_le_bytes().to_vec()
    };
    ProjectionTest::new(of_variables(clock)).given(history()).assert_repeatable();
}

#[test]
#[should_panic(expected = "they part at position 3: variable.set")]
fn what_depends_on_random_numbers_is_found() {
    let random = |_| fastrand::u64(..).to_le_bytes().to_vec();
    ProjectionTest::new(of_variables(random)).given(history()).assert_repeatable();
}

#[test]
#[should_panic(expected = "they part at position 3: variable.set")]
fn what_depends_on_the_order_of_a_hash_map_is_found() {
    let order = |_| (0..32_u8).map(|n| (n, ())).collect::<HashMap<_, _>>().into_keys().collect();
    ProjectionTest::new(of_variables(order)).given(history()).assert_repeatable();
}

#[test]
#[should_panic(expected = "in one session than after a rebuild: they part at position 3")]
fn what_a_field_has_counted_is_found() {
    let count = AtomicU64::new(0);
    let counted = move |_| count.fetch_add(1, Ordering::Relaxed).to_le_bytes().to_vec();
    ProjectionTest::new(of_variables(counted)).given(history()).assert_repeatable();
}

/// One that lets a field count, which begins anew with each session.
fn counting() -> impl Projection {
    let count = AtomicU64::new(0);
    of_variables(move |_| count.fetch_add(1, Ordering::Relaxed).to_le_bytes().to_vec())
}

#[test]
#[should_panic(
    expected = "in sessions of 1 events than after a rebuild: they part at position 4: \
                           variable.set \"s\" {\"name\":\"n\",\"value\":1}"
)]
fn what_a_field_loses_between_sessions_is_found() {
    ProjectionTest::from_fn(counting).given(history()).assert_repeatable();
}

#[test]
#[should_panic(expected = "in sessions of 7 events")]
fn sessions_of_a_long_history_are_longer() {
    let history = (0..400).map(|n| SpaceEvent::variable_set("s", "n", n));
    ProjectionTest::from_fn(counting).given(history).assert_repeatable();
}

fn refusing() -> impl Projection {
    let refuse = |event: &RecordedEventRef<'_>, _: &ApplyContext<'_>, _: &mut Table<'_>| match event
        .event_type
    {
        EventType::VariableSet => Err(ApplyError::refused("no variables here")),
        _ => Ok(()),
    };
    Applied(refuse)
}

#[test]
fn a_refused_event_is_told() {
    let test = ProjectionTest::new(refusing()).given(history().into_iter().take(2));
    assert_eq!(test.paused(), None);
    let paused = test.given(history().into_iter().skip(2)).paused().unwrap();
    assert_eq!((paused.position, paused.kind), (Position::new(3), PauseKind::Refused));
}

#[test]
#[should_panic(expected = "the projection is paused in front of position 3 (refused): \
                           no variables here: position 3: variable.set \"s\"")]
fn rows_behind_a_refused_event_are_none() {
    let _ = ProjectionTest::new(refusing()).given(history()).rows();
}

#[test]
#[should_panic(expected = "no variables here: position 3: variable.set \"s\"")]
fn a_check_ends_at_a_refused_event() {
    ProjectionTest::new(refusing()).given(history()).assert_repeatable();
}

/// Which type the event at each position has.
struct Types;

impl SingleValue for Types {
    type Value = HashMap<u64, String>;

    fn name(&self) -> &'static str {
        "types"
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        _: &ApplyContext<'_>,
        types: &mut Self::Value,
    ) -> Result<(), ApplyError> {
        types.insert(event.position.get(), event.event_type.to_string());
        Ok(())
    }
}

#[test]
fn a_value_is_typed() {
    let test = ProjectionTest::new(SingleValueProjection(Types)).given(history());
    let types = test.value();
    assert_eq!((types.len(), types[&3].as_str()), (11, "variable.set"));
}

#[test]
#[should_panic(expected = "they part at position")]
fn a_value_that_is_a_hash_map_is_found() {
    let test = ProjectionTest::new(SingleValueProjection(Types)).given(history());
    test.assert_repeatable();
}

#[test]
#[should_panic(expected = "\"no name\" cannot be the name of a projection")]
fn a_name_that_is_none_is_told() {
    struct Unnamed;
    impl Projection for Unnamed {
        fn name(&self) -> &'static str {
            "no name"
        }

        fn version(&self) -> u32 {
            1
        }

        fn apply(
            &self,
            _: &RecordedEventRef<'_>,
            _: &ApplyContext<'_>,
            _: &mut Table<'_>,
        ) -> Result<(), ApplyError> {
            Ok(())
        }
    }
    let _ = ProjectionTest::new(Unnamed);
}
