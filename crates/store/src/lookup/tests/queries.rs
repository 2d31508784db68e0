//! Queries by tags, spaces and types, of a log whose events are in segments, in other blocks, in the
//! tail, and taken but not durable: what is found is what a look at every event finds.

use std::time::Duration;

use fastrand::Rng;
use spacefold_event_core::{
    AppendCondition, EventQuery, EventType, FailedCondition, Object, TypePattern,
};

use super::*;
use crate::Durability;

/// A log, and every event that it was given, in order.
struct Filled {
    log: EmbeddedLog,
    events: Vec<SpaceEvent>,
}

fn event(rng: &mut Rng) -> SpaceEvent {
    let space = format!("space-{}", if rng.bool() { rng.u8(..3) } else { rng.u8(..100) });
    let event = match rng.u8(..4) {
        0 => SpaceEvent::space_activated(space),
        1 => SpaceEvent::variable_set(space, "v", i64::from(rng.u8(..))),
        2 => SpaceEvent::application(space, "com.example.made", Object::new()).unwrap(),
        _ => SpaceEvent::application(space, "org.example.sent", Object::new()).unwrap(),
    };
    event.with_tags(tags(rng))
}

/// Up to three tags: of three common ones, twenty rarer ones, or many.
fn tags(rng: &mut Rng) -> Vec<String> {
    let count = rng.usize(..4);
    let mut tags: Vec<String> = std::iter::repeat_with(|| match rng.u8(..3) {
        0 => format!("common-{}", rng.u8(..3)),
        1 => format!("some-{}", rng.u8(..20)),
        _ => format!("many-{}", rng.u16(..5_000)),
    })
    .take(count)
    .collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn filter(rng: &mut Rng, events: &[SpaceEvent]) -> EventFilter {
    let like = rng.choice(events).unwrap();
    let mut filter = EventFilter::all();
    if rng.u8(..3) > 0 {
        // Those of some event, or any that may be of none.
        let wanted = if rng.u8(..3) > 0 { like.tags.clone() } else { tags(rng) };
        filter = filter.tags(wanted);
    }
    if rng.u8(..3) == 0 {
        filter = filter.spaces([like.space_id.clone(), format!("space-{}", rng.u8(..))]);
    }
    match rng.u8(..5) {
        0 => filter.types([TypePattern::from(EventType::SpaceActivated)]),
        1 => filter.types(["com.example.*".parse::<TypePattern>().unwrap()]),
        2 => filter
            .types(["org.example.sent", "variable.set"].map(|it| it.parse().unwrap())
                as [TypePattern; 2]),
        _ => filter,
    }
}

fn query(rng: &mut Rng, events: &[SpaceEvent]) -> EventQuery {
    EventQuery::any_of((0..rng.usize(1..4)).map(|_| filter(rng, events)).collect::<Vec<_>>())
}

impl Filled {
    fn append(&mut self, rng: &mut Rng, count: usize) {
        let until = self.events.len() + count;
        while self.events.len() < until {
            let count = if rng.bool() { 1 } else { rng.usize(1..600) };
            let events: Vec<SpaceEvent> = (0..count).map(|_| event(rng)).collect();
            self.log.append(&AppendRequest::new(&events)).unwrap();
            self.events.extend(events);
            if self.log.shared().journal_files.are_full() {
                self.log.step(false);
            }
        }
    }

    /// Makes everything durable: it is, before what was stored is answered once more.
    fn sync(&self) {
        let last = self.events.last().map(std::slice::from_ref).unwrap();
        self.log.append(&AppendRequest::new(last)).unwrap();
        assert_eq!(self.log.durable_head(), self.log.head());
    }

    /// Positions after one of the events up to another that pass.
    fn expected(&self, query: &EventQuery, after: usize) -> Vec<u64> {
        let positions = (after as u64 + 1..).zip(&self.events[after..]);
        positions.filter(|(_, event)| query.selects(event)).map(|(position, _)| position).collect()
    }

    fn check(&self, rng: &mut Rng, rounds: usize) {
        for _ in 0..rounds {
            let query = query(rng, &self.events);
            let after = if rng.bool() { 0 } else { rng.usize(..=self.events.len()) };
            let expected = self.expected(&query, after);
            let from = Position::new(after as u64 + 1);
            let durable = self.log.durable_head().get();
            let mut found = Vec::new();
            let limit = *rng.choice(&[60, 1_000]).unwrap();
            for page in self.log.pages(ReadRequest::from(from).matching(query.clone()).limit(limit))
            {
                found.extend(page.unwrap().envelopes().map(|event| event.position.get()));
            }
            let seen: Vec<u64> =
                expected.iter().copied().take_while(|position| *position <= durable).collect();
            assert_eq!(found, seen, "{query} after {after}");
            let condition =
                AppendCondition::no_event_matching(query.clone(), Position::new(after as u64));
            let failed = self.log.failed_parts(&condition).unwrap();
            let position = failed.first().map(|failed| match failed {
                FailedCondition::EventMatches { position, .. } => position.get(),
                other => panic!("{other:?}"),
            });
            assert_eq!(position, expected.first().copied(), "{query} after {after}");
        }
    }
}

#[test]
fn a_query_finds_what_a_look_at_every_event_finds() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let stored = Stored::new("block-index");
    let open = || stored.open_with(256 << 10, Durability::Interval(Duration::from_secs(3_600)));
    let mut filled = Filled { log: open(), events: Vec::new() };
    let mut was_ahead = false;
    for round in 0..4 {
        filled.append(&mut rng, 7_000);
        filled.check(&mut rng, 20);
        was_ahead |= filled.log.head() > filled.log.durable_head();
        filled.sync();
        filled.check(&mut rng, 20);
        filled.log.step(true);
        filled.check(&mut rng, 20);
        if round % 2 == 0 {
            filled.log.close().unwrap();
            filled.log = open();
            filled.check(&mut rng, 20);
        }
    }
    assert!(was_ahead, "nothing was taken and not durable");
    assert!(filled.log.shared().view().index.is_kept(Position::new(1)));
}

/// How many pages a read takes that looks at one run for each.
fn pages(log: &EmbeddedLog, filter: EventFilter) -> (usize, usize) {
    let read = ReadRequest::from(Position::new(1)).matching(filter).looking_at(1);
    let pages: Vec<_> = log.pages(read).map(Result::unwrap).collect();
    (pages.len(), pages.iter().map(spacefold_event_core::Page::len).sum())
}

/// In blocks and in the tail alike: what carries no tag of a filter is not looked at.
#[test]
fn a_filter_by_tag_reads_what_carries_the_tag_and_not_the_log() {
    let stored = Stored::new("block-index");
    let log = stored.open_with(4 << 20, Durability::Sync);
    let all = ["all".to_owned()];
    for n in 0..12_000_u32 {
        let mut event = SpaceEvent::space_activated(format!("space-{}", n % 7)).with_tags(&all);
        if n % 1_500 == 0 {
            event.tags.push("rare".to_owned());
        }
        if n % 2_500 == 1 {
            event.tags.push("other".to_owned());
        }
        log.append(&AppendRequest::new(&[event])).unwrap();
        if n == 9_000 {
            log.step(true);
        }
    }
    assert!(log.shared().view().index.end() < Position::new(10_000), "nothing is in the tail");
    let tagged = |tags: &[&str]| EventFilter::all().tags(tags.iter().copied());
    for (filter, found, looked_at) in [
        (tagged(&["rare"]), 8, 8),
        (tagged(&["rare", "all"]), 8, 8),
        (tagged(&["all", "other"]), 5, 5),
        (tagged(&["nothing", "all"]), 0, 0),
        (tagged(&["rare"]).spaces(["space-1"]), 1, 8),
        (tagged(&["rare"]).spaces(["nowhere"]), 0, 0),
        (EventFilter::all().spaces(["nowhere"]), 0, 0),
    ] {
        let (pages, events) = pages(&log, filter.clone());
        assert_eq!(events, found, "{filter}");
        assert!(pages <= looked_at + 2, "{filter}: {pages} pages");
    }
}
