//! Counts against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spacefold_event_core::{AppendRequest, LogWriter, MemoryLog, Payload, Timestamp, TypePattern};
use spacefold_state::testing::{events, recorded};

use super::*;
use crate::testing::folded;

/// The day, the code and the name of the type, the source.
type CountKey = (Day, (u8, String), Option<String>);

const DAY_MICROS: i64 = 86_400_000_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_event_is_counted_once_where_it_belongs(
        events in events(0..60),
        sources in prop::collection::vec(prop::sample::select(&[None, Some(""), Some("editor")][..]), 60),
        days in prop::collection::vec(0..4_i64, 60),
        from in prop::option::of(0..5_i64),
        to in prop::option::of(0..5_i64),
    ) {
        let log = std::sync::Arc::new(MemoryLog::new());
        let mut model: BTreeMap<CountKey, u64> = BTreeMap::new();
        let mut tagged = model.clone();
        let mut day = 0;
        for ((event, source), step) in events.into_iter().zip(sources).zip(days) {
            // Half an hour before midnight, or after: the days are those of UTC.
            day += step / 2;
            let micros = day * DAY_MICROS + 30 * 60_000_000 * (2 * (step % 2) - 1);
            let time = Timestamp::from_micros(micros).unwrap();
            let mut event = event;
            event.source = source.map(str::to_owned);
            if step % 2 == 1 {
                event.payload = Payload::Application {
                    name: format!("com.example.{day}"),
                    extra: event.payload.to_object(),
                };
            }
            if step >= 2 {
                event.tags = vec!["x".to_owned(), "tag".to_owned()];
            }
            log.append(&AppendRequest::new(std::slice::from_ref(&event)).recorded_at(&[time])).unwrap();
        }
        for event in recorded(&log) {
            let types = (event.event.event_type().code(), event.event.type_name().to_owned());
            let key = (Day::of(event.recorded_at), types, event.event.source);
            if event.event.tags.iter().any(|tag| tag == "tag") {
                *tagged.entry(key.clone()).or_default() += 1;
            }
            *model.entry(key).or_default() += 1;
        }
        let day = |n: i64| Day::of(Timestamp::from_micros(n * DAY_MICROS).unwrap());
        let some = EventType::CORE.into_iter().step_by(2).map(TypePattern::from);
        let some = TypeSelection::of(some.chain(["com.example.1".parse().unwrap()]));
        let selections = [
            (TypeSelection::ALL, None, &model),
            (some.clone(), None, &model),
            (some, Some("tag"), &tagged),
            (TypeSelection::ALL, Some("tag"), &tagged),
        ];
        for (types, tag, model) in selections {
            let tag = tag.map(str::to_owned);
            let filter = ActivityFilter { from: from.map(day), to: to.map(day), types, tag };
            let expected: Vec<ActivityCount> = model
                .iter()
                .filter(|((day, (_, name), _), _)| {
                    filter.from.is_none_or(|from| from <= *day)
                        && filter.to.is_none_or(|to| *day <= to)
                        && filter.types.selects(name)
                })
                .map(|((day, (_, name), source), events)| ActivityCount {
                    day: *day,
                    type_name: name.clone(),
                    source: source.clone(),
                    events: *events,
                })
                .collect();
            prop_assert_eq!(folded(&log, Activity).counts(&filter).unwrap(), expected);
        }
    }
}
