//! Counts against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spacefold_event_core::{AppendRequest, LogWriter, MemoryLog, SpaceEvent, Timestamp};
use spacefold_state::testing::{events, recorded};

use super::*;
use crate::testing::folded;

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
        let mut model: BTreeMap<(Day, EventType, Option<String>), u64> = BTreeMap::new();
        let mut day = 0;
        for ((event, source), step) in events.into_iter().zip(sources).zip(days) {
            // Half an hour before midnight, or after: the days are those of UTC.
            day += step / 2;
            let micros = day * DAY_MICROS + 30 * 60_000_000 * (2 * (step % 2) - 1);
            let time = Timestamp::from_micros(micros).unwrap();
            let event = SpaceEvent { source: source.map(str::to_owned), ..event };
            log.append(&AppendRequest::new(std::slice::from_ref(&event)).recorded_at(&[time])).unwrap();
        }
        for event in recorded(&log) {
            let key = (Day::of(event.recorded_at), event.event.event_type(), event.event.source);
            *model.entry(key).or_default() += 1;
        }
        let day = |n: i64| Day::of(Timestamp::from_micros(n * DAY_MICROS).unwrap());
        let types: EventTypes = EventType::ALL.into_iter().step_by(2).collect();
        for types in [EventTypes::ALL, types] {
            let filter = ActivityFilter { from: from.map(day), to: to.map(day), types };
            let expected: Vec<ActivityCount> = model
                .iter()
                .filter(|((day, event_type, _), _)| {
                    filter.from.is_none_or(|from| from <= *day)
                        && filter.to.is_none_or(|to| *day <= to)
                        && types.contains(*event_type)
                })
                .map(|((day, event_type, source), events)| ActivityCount {
                    day: *day,
                    event_type: *event_type,
                    source: source.clone(),
                    events: *events,
                })
                .collect();
            prop_assert_eq!(folded(&log, Activity).counts(&filter).unwrap(), expected);
        }
    }
}
