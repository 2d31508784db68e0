//! Random histories of appends, subscribers and durable subscriptions against a model that is the
//! log as a list: what each subscriber saw is what the log committed, exactly.

use std::sync::Arc;

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use spacefold_bus::{
    Delivery, DurableSubscriber, Feed, LagPolicy, PlaceFile, PlaceStore, ReceiveError,
    SubscribeError, Subscriber, Subscription,
};
use spacefold_event_core::{
    AppendRequest, EventFilter, EventLog, EventType, MemoryLog, Position, RecordedEvent, SpaceEvent,
};
use spacefold_store::EmbeddedLog;
use tempfile::TempDir;

const NAMES: [&str; 2] = ["mailer", "indexer"];

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Appends these events; more than one makes a group.
    Append(Vec<(u8, u8, u8)>),
    Subscribe(Wanted),
    /// Receives so often from some subscriber.
    Receive(Index, usize),
    Close(Index),
    Drop(Index),
    OpenDurable(usize, Wanted),
    /// Receives so often, and acknowledges a part of what was received.
    Work(usize, usize, Index),
    DropDurable(usize),
    Reset(usize, Index),
    Remove(usize),
    /// Closes the log and opens it again.
    Reopen,
}

#[derive(Clone, Debug)]
struct Wanted {
    start: Start,
    filter: u8,
    lag_policy: LagPolicy,
    lagging_after: u64,
}

#[derive(Clone, Debug)]
enum Start {
    First,
    After(Index),
    Now,
    TimeOf(Index),
}

fn filter(number: u8) -> EventFilter {
    let all = EventFilter::all();
    match number % 8 {
        0 | 1 => all,
        2 => all.spaces(["a"]),
        3 => all.types([EventType::DocumentAdded, EventType::VariableSet]),
        4 => all.document("d1"),
        5 => all.source("s1"),
        6 => all.correlation_id("c0").spaces(["b", "c"]),
        _ => all.spaces(["nowhere"]),
    }
}

fn event((space, kind, label): (u8, u8, u8)) -> SpaceEvent {
    let space_id = ["a", "b", "c"][usize::from(space % 3)];
    let document_id = format!("d{}", kind / 4 % 3);
    let event = match kind % 4 {
        0 => SpaceEvent::document_added(space_id, document_id, "/p"),
        1 => SpaceEvent::document_content_changed(space_id, document_id, None::<String>, "h"),
        2 => SpaceEvent::variable_set(space_id, "n", i64::from(label)),
        _ => SpaceEvent::space_activated(space_id),
    };
    event.with_source(format!("s{}", label % 3)).with_correlation_id(format!("c{}", label % 2))
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let start = prop_oneof![
        2 => Just(Start::First),
        1 => any::<Index>().prop_map(Start::After),
        1 => Just(Start::Now),
        1 => any::<Index>().prop_map(Start::TimeOf),
    ];
    let lag_policy = prop_oneof![
        2 => Just(LagPolicy::ReadOn),
        1 => Just(LagPolicy::CoalesceDocuments),
        1 => Just(LagPolicy::SkipOldest),
    ];
    (start, any::<u8>(), lag_policy, 0..12_u64).prop_map(
        |(start, filter, lag_policy, lagging_after)| Wanted {
            start,
            filter,
            lag_policy,
            lagging_after,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let times = 1..6_usize;
    prop_oneof![
        8 => vec(any::<(u8, u8, u8)>(), 1..9).prop_map(Step::Append),
        3 => wanted().prop_map(Step::Subscribe),
        8 => (any::<Index>(), times.clone()).prop_map(|(which, times)| Step::Receive(which, times)),
        1 => any::<Index>().prop_map(Step::Close),
        1 => any::<Index>().prop_map(Step::Drop),
        3 => (0..2_usize, wanted()).prop_map(|(name, wanted)| Step::OpenDurable(name, wanted)),
        5 => (0..2_usize, times, any::<Index>()).prop_map(|(n, times, ack)| Step::Work(n, times, ack)),
        1 => (0..2_usize).prop_map(Step::DropDurable),
        1 => (0..2_usize, any::<Index>()).prop_map(|(name, to)| Step::Reset(name, to)),
        1 => (0..2_usize).prop_map(Step::Remove),
        1 => Just(Step::Reopen),
    ]
}

/// A log, its store of positions, and how it is opened again.
trait Subject {
    fn log(&self) -> Arc<dyn EventLog>;
    fn store(&self) -> Arc<dyn PlaceStore>;
    /// `false` when the log does not outlive its handle.
    fn reopen(&mut self) -> bool;
}

struct InMemory(Arc<MemoryLog>, Arc<PlaceFile>);

impl Subject for InMemory {
    fn log(&self) -> Arc<dyn EventLog> {
        self.0.clone()
    }

    fn store(&self) -> Arc<dyn PlaceStore> {
        self.1.clone()
    }

    fn reopen(&mut self) -> bool {
        false
    }
}

struct OnDisk {
    log: EmbeddedLog,
    places: Arc<PlaceFile>,
    folder: TempDir,
}

/// The places that a store keeps.
fn places_of(log: &EmbeddedLog) -> Arc<PlaceFile> {
    Arc::new(PlaceFile::in_folder(log.derived_folder()))
}

impl OnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path().join("store")).unwrap();
        let places = places_of(&log);
        Self { log, places, folder }
    }
}

impl Subject for OnDisk {
    fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(self.log.clone())
    }

    fn store(&self) -> Arc<dyn PlaceStore> {
        Arc::clone(&self.places) as _
    }

    fn reopen(&mut self) -> bool {
        self.places.sync().unwrap();
        self.log.close().unwrap();
        self.log = EmbeddedLog::open_existing(self.folder.path().join("store")).unwrap();
        self.places = places_of(&self.log);
        true
    }
}

/// What a subscriber must have seen.
struct Expected {
    wanted: Wanted,
    filter: EventFilter,
    /// The last position that it needs no more.
    position: u64,
    is_live: bool,
}

struct History<S> {
    subject: S,
    feed: Feed,
    events: Vec<RecordedEvent>,
    subscribers: Vec<(Subscriber, Expected)>,
    durable: [Option<(DurableSubscriber, Expected)>; 2],
    /// What is acknowledged under each name; `None` when there is no such subscription.
    acknowledged: [Option<u64>; 2],
    /// The filter that is kept under each name.
    filters: [Option<EventFilter>; 2],
}

impl<S: Subject> History<S> {
    fn new(subject: S) -> Self {
        let feed = Feed::kept_in(subject.log(), subject.store());
        Self {
            subject,
            feed,
            events: Vec::new(),
            subscribers: Vec::new(),
            durable: [None, None],
            acknowledged: [None, None],
            filters: [None, None],
        }
    }

    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(events) => self.append(events.iter().copied().map(event).collect()),
            Step::Subscribe(wanted) => {
                let (subscription, after) = self.subscription(wanted);
                let subscriber = self.feed.subscribe(subscription).unwrap();
                self.subscribers.push((subscriber, Expected::new(wanted, after)));
            }
            Step::Receive(which, times) => {
                if !self.subscribers.is_empty() {
                    let which = which.index(self.subscribers.len());
                    let (subscriber, expected) = &mut self.subscribers[which];
                    for _ in 0..*times {
                        let received = subscriber.try_recv().unwrap();
                        expected.check(received, &self.events);
                    }
                    assert_eq!(subscriber.position().get(), expected.position);
                }
            }
            Step::Close(which) => {
                if !self.subscribers.is_empty() {
                    let which = which.index(self.subscribers.len());
                    let (mut subscriber, _) = self.subscribers.swap_remove(which);
                    subscriber.handle().close();
                    assert!(matches!(subscriber.recv(), Err(ReceiveError::Closed)));
                }
            }
            Step::Drop(which) => {
                if !self.subscribers.is_empty() {
                    self.subscribers.swap_remove(which.index(self.subscribers.len()));
                }
            }
            Step::OpenDurable(name, wanted) => self.open_durable(*name, wanted),
            Step::Work(name, times, ack) => self.work(*name, *times, ack),
            Step::DropDurable(name) => self.durable[*name] = None,
            Step::Reset(name, to) => self.reset(*name, to.index(self.events.len() + 1) as u64),
            Step::Remove(name) => self.remove(*name),
            Step::Reopen => self.reopen(),
        }
    }

    fn append(&mut self, events: Vec<SpaceEvent>) {
        let receipt = self.subject.log().append(&AppendRequest::new(&events)).unwrap();
        assert_eq!(receipt.last_position().get(), self.head() + events.len() as u64);
        let read = spacefold_event_core::ReadRequest::from(receipt.first_position());
        let page = self.subject.log().read(&read).unwrap();
        self.events.extend(page.events().map(|event| event.unwrap().to_owned_event()));
        assert_eq!(receipt.last_position().get(), self.head());
    }

    /// The subscription, and the position that it begins behind.
    fn subscription(&self, wanted: &Wanted) -> (Subscription, u64) {
        let (subscription, after) = match &wanted.start {
            Start::First => (Subscription::from_start(), 0),
            Start::After(index) => {
                let after = index.index(self.events.len() + 1) as u64;
                (Subscription::after(Position::new(after)), after)
            }
            Start::Now => (Subscription::from_now(), self.head()),
            Start::TimeOf(_) if self.events.is_empty() => (Subscription::from_start(), 0),
            Start::TimeOf(index) => {
                let time = index.get(&self.events).recorded_at;
                let before = self.events.iter().filter(|event| event.recorded_at < time).count();
                (Subscription::from_time(time), before as u64)
            }
        };
        let subscription = subscription
            .matching(filter(wanted.filter))
            .lag_policy(wanted.lag_policy)
            .lagging_after(wanted.lagging_after);
        (subscription, after)
    }

    fn open_durable(&mut self, name: usize, wanted: &Wanted) {
        let (subscription, after) = self.subscription(wanted);
        let opened = self.feed.subscribe_durable(NAMES[name], &subscription);
        if self.durable[name].is_some() {
            assert!(matches!(opened, Err(SubscribeError::Owned { .. })));
            return;
        }
        let after = *self.acknowledged[name].get_or_insert(after);
        let asked = subscription.filter();
        let opened = match self.filters[name].replace(asked.clone()) {
            Some(kept) if kept != *asked => {
                assert!(matches!(opened, Err(SubscribeError::OtherFilter { .. })));
                // On purpose, from where it is.
                let after = Position::new(after);
                self.feed.change_durable_filter(NAMES[name], asked, after).unwrap();
                self.feed.subscribe_durable(NAMES[name], &subscription)
            }
            _ => opened,
        };
        let subscriber = opened.unwrap();
        assert_eq!(subscriber.acknowledged().get(), after);
        self.durable[name] = Some((subscriber, Expected::new(wanted, after)));
    }

    fn work(&mut self, name: usize, times: usize, ack: &Index) {
        let Some((subscriber, expected)) = &mut self.durable[name] else {
            return;
        };
        for _ in 0..times {
            expected.check(subscriber.try_recv().unwrap(), &self.events);
        }
        let received = expected.position;
        let beyond = Position::new(received + 1);
        assert!(subscriber.ack(beyond).is_err(), "acknowledged what was not received");
        let acknowledged = subscriber.acknowledged().get();
        let position = acknowledged + ack.index((received - acknowledged) as usize + 1) as u64;
        // The result says what it is made of.
        subscriber.ack_with(Position::new(position), position.to_le_bytes()).unwrap();
        self.acknowledged[name] = Some(position);
        self.check_durable();
    }

    fn reset(&mut self, name: usize, to: u64) {
        let reset = self.feed.reset_durable(NAMES[name], Position::new(to));
        match (&self.durable[name], self.acknowledged[name]) {
            (Some(_), _) => assert!(matches!(reset, Err(SubscribeError::Owned { .. }))),
            (None, None) => assert!(matches!(reset, Err(SubscribeError::Unknown { .. }))),
            (None, Some(_)) => {
                reset.unwrap();
                self.acknowledged[name] = Some(to);
            }
        }
        self.check_durable();
    }

    fn remove(&mut self, name: usize) {
        let removed = self.feed.remove_durable(NAMES[name]);
        match (&self.durable[name], self.acknowledged[name]) {
            (Some(_), _) => assert!(matches!(removed, Err(SubscribeError::Owned { .. }))),
            (None, None) => assert!(matches!(removed, Err(SubscribeError::Unknown { .. }))),
            (None, Some(_)) => {
                removed.unwrap();
                self.acknowledged[name] = None;
                self.filters[name] = None;
            }
        }
        self.check_durable();
    }

    fn check_durable(&self) {
        let listed = self.feed.durable_subscriptions().unwrap();
        let listed: Vec<(&str, u64, u64, bool)> = listed
            .iter()
            .map(|d| (d.name.as_str(), d.position.unwrap().get(), d.lag, d.is_owned))
            .collect();
        let mut expected = Vec::new();
        for name in [1, 0] {
            if let Some(position) = self.acknowledged[name] {
                let is_owned = self.durable[name].is_some();
                expected.push((NAMES[name], position, self.head() - position, is_owned));
            }
        }
        assert_eq!(listed, expected);
    }

    fn reopen(&mut self) {
        if self.subject.reopen() {
            for (mut subscriber, _) in self.subscribers.drain(..) {
                loop {
                    match subscriber.recv() {
                        Ok(_) => {}
                        Err(ReceiveError::Closed) => break,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            self.durable = [None, None];
            self.feed = Feed::kept_in(self.subject.log(), self.subject.store());
            self.check_durable();
        }
    }

    /// Everybody receives to the end.
    fn finish(mut self) {
        for (subscriber, expected) in &mut self.subscribers {
            while let Some(received) = subscriber.try_recv().unwrap() {
                expected.check(Some(received), &self.events);
            }
            expected.check(None, &self.events);
        }
        for (subscriber, expected) in self.durable.iter_mut().flatten() {
            while let Some(received) = subscriber.try_recv().unwrap() {
                expected.check(Some(received), &self.events);
            }
            expected.check(None, &self.events);
        }
    }
}

impl Expected {
    fn new(wanted: &Wanted, after: u64) -> Self {
        let filter = filter(wanted.filter);
        Self { wanted: wanted.clone(), filter, position: after, is_live: false }
    }

    /// The events that pass and stand in a range, both ends inclusive.
    fn passing<'a>(
        &'a self,
        events: &'a [RecordedEvent],
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = &'a RecordedEvent> {
        let to = usize::try_from(to).unwrap().min(events.len());
        let from = usize::try_from(from - 1).unwrap().min(to);
        events[from..to].iter().filter(|event| self.filter.selects(&event.event))
    }

    /// It has come to a position without being given an event in between.
    fn pass_to(&mut self, position: u64, events: &[RecordedEvent]) {
        assert!(position >= self.position);
        let missed = self.passing(events, self.position + 1, position).count();
        assert_eq!(missed, 0, "events were passed over");
        self.position = position;
    }

    fn check(&mut self, received: Option<Delivery>, events: &[RecordedEvent]) {
        let head = events.len() as u64;
        match received {
            None => {
                assert!(self.is_live, "silent before it has caught up");
                self.pass_to(head, events);
            }
            Some(Delivery::Events(page)) => {
                let seen: Vec<RecordedEvent> =
                    page.events().map(|event| event.unwrap().to_owned_event()).collect();
                assert!(!seen.is_empty());
                let through = page.next().previous().get();
                let all: Vec<RecordedEvent> =
                    self.passing(events, self.position + 1, through).cloned().collect();
                if all != seen {
                    assert_eq!(self.wanted.lag_policy, LagPolicy::CoalesceDocuments);
                    assert!(!self.is_live, "coalesced though it was not behind");
                    assert_eq!(seen, coalesced(&all));
                }
                self.position = through;
            }
            Some(Delivery::CaughtUp { position }) => {
                assert!(!self.is_live, "caught up twice");
                assert_eq!(position.get(), head);
                self.pass_to(head, events);
                self.is_live = true;
            }
            Some(Delivery::Lagging { position, lag }) => {
                assert!(self.is_live && self.wanted.lag_policy != LagPolicy::SkipOldest);
                self.pass_to(position.get(), events);
                assert_eq!(lag, head - self.position);
                assert!(lag > self.wanted.lagging_after);
                self.is_live = false;
            }
            Some(Delivery::Skipped { from, to, events: skipped }) => {
                self.check_skipped(from.get(), to.get(), skipped, events);
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    fn check_skipped(&mut self, from: u64, to: u64, skipped: u64, events: &[RecordedEvent]) {
        let head = events.len() as u64;
        self.pass_to(from - 1, events);
        let passing = self.passing(events, from, to).count() as u64;
        match self.wanted.lag_policy {
            LagPolicy::SkipOldest => {
                assert!(self.is_live && head - self.position > self.wanted.lagging_after);
                assert_eq!(skipped, passing);
                assert_eq!(to, head - self.wanted.lagging_after / 2);
                self.position = to;
            }
            LagPolicy::CoalesceDocuments => {
                assert!(!self.is_live);
                let all: Vec<RecordedEvent> = self.passing(events, from, to).cloned().collect();
                assert_eq!(skipped, passing - coalesced(&all).len() as u64);
            }
            other => panic!("{other:?} skips nothing"),
        }
    }
}

/// The newest event of each document, and those about none.
fn coalesced(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let document = |event: &RecordedEvent| {
        let named = |id: &&str| event.event.payload.names_document(id);
        ["d0", "d1", "d2"].iter().find(|id| named(id)).copied()
    };
    let is_old = |index: usize, event: &RecordedEvent| {
        document(event).is_some()
            && events[index + 1..].iter().any(|later| {
                later.event.space_id == event.event.space_id && document(later) == document(event)
            })
    };
    let kept = events.iter().enumerate().filter(|(index, event)| !is_old(*index, event));
    kept.map(|(_, event)| event.clone()).collect()
}

fn check<S: Subject>(cases: u32, make: impl Fn() -> S) {
    let cases =
        std::env::var("SPACEFOLD_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let mut runner = TestRunner::new(Config { cases, ..Config::default() });
    let outcome = runner.run(&vec(step(), 1..60), |steps| {
        let mut history = History::new(make());
        steps.iter().for_each(|step| history.take(step));
        history.finish();
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn subscribers_of_a_log_in_memory_see_what_it_committed() {
    check(600, || InMemory(Arc::default(), Arc::new(PlaceFile::in_memory())));
}

#[test]
fn subscribers_of_a_log_on_disk_see_what_it_committed() {
    check(40, OnDisk::new);
}
