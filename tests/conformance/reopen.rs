//! What outlives the handle of a log. A log that does not outlive it passes without a word.

use spacefold_event_core::{AppendCondition, AppendError, Position, Revision, SpaceEvent};

use crate::{LogFactory, append, append_on, assert_holds, fill, set, whole_log};

/// Everything recorded is read again as it was.
pub fn keeps_events_over_a_reopen(factory: &impl LogFactory) {
    let log = factory.open();
    for count in [1, 300, 2, 4_096, 1] {
        let events: Vec<SpaceEvent> =
            (0..count).map(|n| set(&format!("space-{}", n % 7), &format!("n{n}"), n)).collect();
        append(&*log, &events);
    }
    let before = whole_log(&*log);
    let Some(log) = factory.reopen(log) else {
        return;
    };
    assert_eq!(log.head(), Position::new(4_400));
    assert_eq!(log.durable_head(), Position::new(4_400));
    assert_eq!(whole_log(&*log), before);
    append(&*log, &[set("space-1", "n", 0)]);
    let after = whole_log(&*log);
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after[..before.len()], before);
}

/// Revisions go on where they were, and conditions are checked against them.
pub fn keeps_revisions_and_conditions_over_a_reopen(factory: &impl LogFactory) {
    let log = factory.open();
    fill(&*log, "a", 3);
    fill(&*log, "b", 2);
    let Some(log) = factory.reopen(log) else {
        return;
    };
    assert_eq!(log.revision("a").unwrap(), Revision::new(3));
    assert_eq!(log.revision("b").unwrap(), Revision::new(2));
    let stale = append_on(&*log, &[set("a", "n", 0)], AppendCondition::no_space("a"));
    assert!(matches!(stale, Err(AppendError::ConditionFailed { .. })), "{stale:?}");
    let exact = AppendCondition::exact("a", Revision::new(3));
    let receipt = append_on(&*log, &[set("a", "n", 0)], exact).unwrap();
    assert_eq!(receipt.revision(), Revision::new(4));
    assert_eq!(receipt.last_position(), Position::new(6));
    let page = log.read_space("a", Revision::new(3), 5).unwrap();
    assert_eq!(page.len(), 2);
}

/// A retry is recognised by whoever opens the log next.
pub fn recognises_retries_over_a_reopen(factory: &impl LogFactory) {
    let log = factory.open();
    let strong = [set("a", "n", 1), set("a", "n", 2)];
    let weak = [set("b", "n", 1), set("c", "n", 2)];
    let no_space = AppendCondition::no_space("a");
    let first = append_on(&*log, &strong, no_space.clone()).unwrap();
    let second = append(&*log, &weak);
    let Some(log) = factory.reopen(log) else {
        return;
    };
    assert_eq!(append(&*log, &weak), second);
    assert_eq!(append_on(&*log, &strong, no_space).unwrap(), first);
    let reused = set("z", "n", 1).with_event_id(weak[1].event_id);
    let refused = append_on(&*log, &[reused], AppendCondition::none());
    assert!(
        matches!(refused, Err(AppendError::EventIdReused { id, position })
            if id == weak[1].event_id && position == Position::new(4)),
        "{refused:?}"
    );
    let expected: Vec<SpaceEvent> = strong.into_iter().chain(weak).collect();
    assert_holds(&*log, &expected);
}

/// Opening changes nothing, however often.
pub fn goes_on_over_many_reopens(factory: &impl LogFactory) {
    let mut log = factory.open();
    let mut expected = Vec::new();
    for round in 0..6 {
        let events: Vec<SpaceEvent> = (0..round * 3).map(|n| set("a", "n", n)).collect();
        if !events.is_empty() {
            append(&*log, &events);
            expected.extend(events);
        }
        match factory.reopen(log) {
            Some(again) => log = again,
            None => return,
        }
        assert_holds(&*log, &expected);
    }
}
