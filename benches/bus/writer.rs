//! What appends cost beside subscribers: those whom no event concerns, and those who get all.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use spacefold_bus::{Feed, Subscription, SubscriptionHandle};
use spacefold_event_core::{AppendRequest, EventLog, MemoryLog, SpaceEvent};
use spacefold_store::EmbeddedLog;

use crate::sample::{Size, event, median, quantile, rate};

const SUBSCRIBERS: usize = 64;

pub(crate) fn run(size: Size) {
    idle(size);
    live(size);
}

fn idle(size: Size) {
    println!("\nappends beside {SUBSCRIBERS} subscribers whom none of the events passes");
    println!("{:>20} {:>12} {:>12} {:>8}", "", "events/s: 0", SUBSCRIBERS, "ratio");
    let folder = tempfile::tempdir().unwrap();
    let embedded = Arc::new(EmbeddedLog::open(folder.path().join("store")).unwrap());
    for per_append in [1, 64] {
        measure(&format!("embedded, {per_append}"), embedded.clone(), per_append, size);
    }
    embedded.close().unwrap();
    for per_append in [1, 64] {
        measure(&format!("memory, {per_append}"), Arc::new(MemoryLog::new()), per_append, size);
    }
}

/// Slices without and with subscribers, in turn.
fn measure(name: &str, log: Arc<dyn EventLog>, per_append: usize, size: Size) {
    let slice = Duration::from_millis(size.pick(2, 250));
    let mut figures = [vec![], vec![]];
    let mut ratios = Vec::new();
    for round in 0..size.pick(1, 16) {
        let mut pair = [0.0; 2];
        // In another order each time.
        for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            pair[which] = appended(&log, per_append, slice, which * SUBSCRIBERS);
            figures[which].push(pair[which]);
        }
        ratios.push(pair[1] / pair[0]);
    }
    let [none, idle] = figures.map(|figures| median(&figures));
    println!("{name:>20} {none:>12.0} {idle:>12.0} {:>8.2}", median(&ratios));
}

fn appended(
    log: &Arc<dyn EventLog>,
    per_append: usize,
    slice: Duration,
    subscribers: usize,
) -> f64 {
    let feed = Feed::new(log.clone());
    let nowhere = |n| Subscription::from_now().spaces([format!("nowhere-{n}")]);
    let open = Open::subscribers(&feed, (0..subscribers).map(nowhere));
    let events: Vec<SpaceEvent> = (0..per_append).map(event).collect();
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < slice {
        let again: Vec<SpaceEvent> = events
            .iter()
            .map(|event| event.clone().with_event_id(spacefold_event_core::EventId::new()))
            .collect();
        log.append(&AppendRequest::new(&again)).unwrap();
        count += per_append;
    }
    let rate = rate(count, begun.elapsed());
    assert_eq!(open.close(), 0, "an event concerned somebody");
    rate
}

/// Durable appends of one event each, beside subscribers that receive it.
fn live(size: Size) {
    println!("\nappending one event, durable, beside subscribers that get it");
    println!("{:>12} {:>10} {:>10}", "subscribers", "p50 µs", "p99 µs");
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(folder.path().join("store")).unwrap());
    let counts = [0, 1, 8, 64];
    let mut micros = counts.map(|_| Vec::new());
    for _ in 0..size.pick(1, 10) {
        for (subscribers, micros) in counts.iter().zip(&mut micros) {
            let feed = Feed::new(log.clone());
            let all = (0..*subscribers).map(|_| Subscription::from_now());
            let open = Open::subscribers(&feed, all);
            for n in 0..size.pick(3, 300) {
                let events = [event(n)];
                let begun = Instant::now();
                log.append(&AppendRequest::new(&events)).unwrap();
                micros.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            open.close();
        }
    }
    for (subscribers, micros) in counts.iter().zip(&micros) {
        let [middle, late] = [0.5, 0.99].map(|part| quantile(micros, part));
        println!("{subscribers:>12} {middle:>10.1} {late:>10.1}");
    }
}

/// Subscribers, each with a thread that receives until it is closed.
struct Open {
    closers: Vec<SubscriptionHandle>,
    threads: Vec<JoinHandle<usize>>,
}

impl Open {
    fn subscribers(feed: &Feed, subscriptions: impl Iterator<Item = Subscription>) -> Self {
        let (closers, threads) = subscriptions
            .map(|subscription| {
                let mut subscriber = feed.subscribe(subscription).unwrap();
                let closer = subscriber.handle();
                // It has caught up before anything is measured.
                subscriber.recv().unwrap();
                let receive = move || {
                    let mut deliveries = 0;
                    while subscriber.recv().is_ok() {
                        deliveries += 1;
                    }
                    deliveries
                };
                (closer, thread::spawn(receive))
            })
            .unzip();
        Self { closers, threads }
    }

    /// Closes them all: how many deliveries they had.
    fn close(self) -> usize {
        self.closers.iter().for_each(SubscriptionHandle::close);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}
