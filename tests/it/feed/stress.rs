//! 64 subscribers, some slow, some dying, beside 16 producers: nothing lost, nothing twice, nothing
//! in another order. For a soak set `SPACEFOLD_STRESS_SECONDS`.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use spacefold::{
    Delivery, Position, SpaceEvent, Spacefold, Subscriber, Subscription,
    event::EventFilter,
    subscribe::{Feed, LagPolicy},
};
use spacefold_event_core::Envelope;

const PRODUCERS: u64 = 16;
const SUBSCRIBERS: u64 = 64;
/// Appends of each producer, unless a time is set.
const APPENDS: u64 = 40;
const SPACES: u64 = 7;
/// The space of the last event, which every subscriber waits for.
const END: &str = "end";

/// What a subscriber does with itself.
#[derive(Clone, Copy, Debug)]
enum Conduct {
    Steady,
    /// Gives way to everybody else after each page.
    Slow(LagPolicy),
    /// Is dropped now and then, and goes on behind what it has seen.
    Dying,
    /// Dies as well, and goes on behind what it has acknowledged, with the result kept there.
    Durable,
}

/// All that was seen, in its order, as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    skipped: u64,
    hash: u64,
    last: u64,
}

impl Tally {
    fn add(&mut self, event: &Envelope<'_>) {
        let position = event.position.get();
        assert!(position > self.last, "{position} behind {}", self.last);
        self.last = position;
        self.count += 1;
        for byte in event.event_id.as_bytes() {
            self.hash = (self.hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7);
        }
    }

    fn encode(self) -> Vec<u8> {
        [self.count, self.hash, self.last].map(u64::to_le_bytes).concat()
    }

    fn decode(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks(8).map(|n| u64::from_le_bytes(n.try_into().unwrap()));
        let mut next = || numbers.next().unwrap_or(0);
        Self { count: next(), hash: next(), last: next(), skipped: 0 }
    }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn conduct(number: u64) -> Conduct {
    match number % 8 {
        0 | 1 => Conduct::Steady,
        2 => Conduct::Slow(LagPolicy::ReadOn),
        3 => Conduct::Slow(LagPolicy::SkipOldest),
        4 => Conduct::Slow(LagPolicy::CoalesceDocuments),
        5 | 6 => Conduct::Dying,
        _ => Conduct::Durable,
    }
}

fn filter(number: u64) -> EventFilter {
    match number % 3 {
        0 => EventFilter::all(),
        1 => EventFilter::all().spaces([space(number), END.to_owned()]),
        _ => EventFilter::all().spaces((0..3).map(space).chain([END.to_owned()])),
    }
}

fn space(number: u64) -> String {
    format!("space-{}", number % SPACES)
}

fn seed() -> u64 {
    let given = std::env::var("SPACEFOLD_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or(0x9e37_79b9_7f4a_7c15)
}

/// Until when producers go on; `None` when they append a fixed number of times.
fn deadline() -> Option<Instant> {
    let seconds = std::env::var("SPACEFOLD_STRESS_SECONDS").ok()?.parse().ok()?;
    Some(Instant::now() + Duration::from_secs(seconds))
}

fn produce(spaces: &Spacefold, number: u64, deadline: Option<Instant>) {
    let mut random = Random(seed() ^ (number + 1));
    let mut appends = 0;
    while deadline.map_or(appends < APPENDS, |deadline| Instant::now() < deadline) {
        let event = |n| {
            let document_id = format!("document-{}", n % 5);
            SpaceEvent::document_content_changed(space(n), document_id, None::<String>, "hash")
        };
        let count = 1 + random.below(8);
        let events: Vec<SpaceEvent> = (0..count).map(|_| event(random.below(1_000))).collect();
        spaces.append(events).unwrap();
        appends += 1;
    }
}

/// Takes a page into account; whether it has the last event.
fn take(tally: &mut Tally, delivery: &Delivery) -> bool {
    let mut is_last = false;
    match delivery {
        Delivery::Events(page) => {
            for event in page.envelopes() {
                tally.add(&event);
                is_last = event.space_id == END;
            }
        }
        Delivery::Skipped { events, .. } => tally.skipped += events,
        _ => {}
    }
    is_last
}

fn subscribe(feed: &Feed, number: u64, after: Position) -> Subscriber {
    let subscription = Subscription::after(after).matching(filter(number)).lagging_after(200);
    let lag_policy = match conduct(number) {
        Conduct::Slow(lag_policy) => lag_policy,
        _ => LagPolicy::ReadOn,
    };
    feed.subscribe(subscription.lag_policy(lag_policy)).unwrap()
}

fn consume(feed: &Feed, number: u64) -> Tally {
    let mut random = Random(seed().rotate_left(32) ^ (number + 1));
    let mut tally = Tally::default();
    if matches!(conduct(number), Conduct::Durable) {
        return consume_durably(feed, number, &mut random);
    }
    loop {
        let mut subscriber = subscribe(feed, number, Position::new(tally.last));
        let mut life = random.below(30);
        while life > 0 {
            if take(&mut tally, &subscriber.recv().unwrap()) {
                return tally;
            }
            match conduct(number) {
                Conduct::Dying => life -= 1,
                Conduct::Slow(_) => (0..random.below(300)).for_each(|_| thread::yield_now()),
                Conduct::Steady | Conduct::Durable => {}
            }
            if life == 0 {
                assert!(matches!(conduct(number), Conduct::Dying));
            }
        }
    }
}

/// What it has seen is kept with what it has acknowledged; the rest is forgotten when it dies.
fn consume_durably(feed: &Feed, number: u64, random: &mut Random) -> Tally {
    let subscription = Subscription::from_start().matching(filter(number));
    loop {
        let name = format!("durable-{number}");
        let mut subscriber = feed.subscribe_durable(&name, &subscription).unwrap();
        let mut tally = Tally::decode(subscriber.result());
        for _ in 0..random.below(30) {
            let is_last = take(&mut tally, &subscriber.recv().unwrap());
            if is_last || random.below(3) == 0 {
                subscriber.ack_with(subscriber.position(), tally.encode()).unwrap();
            }
            if is_last {
                return tally;
            }
        }
    }
}

/// What a subscriber has to see.
fn expected(spaces: &Spacefold, number: u64) -> Tally {
    let mut subscriber =
        spaces.subscribe(Subscription::from_start().matching(filter(number))).unwrap();
    let mut tally = Tally::default();
    while !take(&mut tally, &subscriber.recv().unwrap()) {}
    tally
}

#[test]
fn nothing_is_lost_repeated_or_out_of_order() {
    println!("seed {:#x}", seed());
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("data")).unwrap();
    let start = Arc::new(Barrier::new(usize::try_from(PRODUCERS + SUBSCRIBERS).unwrap()));
    let deadline = deadline();
    let (tallies, head) = thread::scope(|scope| {
        let (spaces, start) = (&spaces, &start);
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| {
                scope.spawn(move || {
                    start.wait();
                    produce(spaces, number, deadline);
                })
            })
            .collect();
        let subscribers: Vec<_> = (0..SUBSCRIBERS)
            .map(|number| {
                scope.spawn(move || {
                    start.wait();
                    consume(spaces.feed(), number)
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        let end = SpaceEvent::space_archived(END);
        let head = spaces.append([end]).unwrap().last_position();
        let tallies: Vec<Tally> = subscribers.into_iter().map(|s| s.join().unwrap()).collect();
        (tallies, head)
    });
    let mut delivered = 0;
    let mut by_filter: Vec<(EventFilter, Tally)> = Vec::new();
    for (number, tally) in (0..).zip(&tallies) {
        let known = by_filter.iter().find(|(known, _)| *known == filter(number));
        let expected = known.map_or_else(|| expected(&spaces, number), |(_, expected)| *expected);
        by_filter.push((filter(number), expected));
        delivered += tally.count;
        assert_eq!(tally.count + tally.skipped, expected.count, "{:?}", conduct(number));
        if tally.skipped == 0 {
            assert_eq!(tally.hash, expected.hash, "{:?}", conduct(number));
        }
    }
    let skipped: u64 = tallies.iter().map(|tally| tally.skipped).sum();
    println!(
        "{PRODUCERS} producers, {SUBSCRIBERS} subscribers: {head} events, {delivered} deliveries, \
         {skipped} left out as wanted, 0 lost, 0 twice, 0 out of order"
    );
    assert!(spaces.feed().subscribers().is_empty());
    spaces.close().unwrap();
}
