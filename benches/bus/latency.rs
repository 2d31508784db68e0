//! How long it takes from durable to delivered, when nobody is behind.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use spacefold_bus::{Delivery, Feed, Subscription};
use spacefold_event_core::{MemoryLog, Position};

use crate::{
    paced_log::PacedLog,
    sample::{Size, fill, quantile},
};

/// Time between two events.
const PACE: Duration = Duration::from_micros(500);

pub(crate) fn run(size: Size) {
    println!("\nfrom durable to delivered, one event every {PACE:?}");
    println!("{:>12} {:>10} {:>10} {:>10}", "subscribers", "p50 µs", "p99 µs", "most µs");
    for subscribers in size.pick(&[1][..], &[1, 8, 64]) {
        let micros = measure(*subscribers, size.pick(10, 2_000));
        let [middle, late, last] = [0.5, 0.99, 1.0].map(|part| quantile(&micros, part));
        println!("{subscribers:>12} {middle:>10.1} {late:>10.1} {last:>10.1}");
    }
}

/// The latency of every delivery, in microseconds.
fn measure(subscribers: usize, events: usize) -> Vec<f64> {
    let memory = MemoryLog::new();
    fill(&memory, events, 1);
    let log = Arc::new(PacedLog::over(Arc::new(memory)));
    let feed = Feed::new(log.clone());
    let (delivered, deliveries) = mpsc::channel();
    for _ in 0..subscribers {
        let mut subscriber = feed.subscribe(Subscription::from_now()).unwrap();
        let delivered = delivered.clone();
        thread::spawn(move || {
            let mut seen = 0;
            while seen < events {
                if let Delivery::Events(page) = subscriber.recv().unwrap() {
                    let now = Instant::now();
                    for event in page.envelopes() {
                        seen += 1;
                        delivered.send((event.position, now)).unwrap();
                    }
                }
            }
        });
    }
    drop(delivered);
    let durable: Vec<Instant> = (1..=u64::try_from(events).unwrap())
        .map(|position| {
            thread::sleep(PACE);
            let now = Instant::now();
            log.make_durable(Position::new(position));
            now
        })
        .collect();
    let micros = deliveries.iter().map(|(position, at)| {
        let place = usize::try_from(position.get() - 1).unwrap();
        at.saturating_duration_since(durable[place]).as_secs_f64() * 1e6
    });
    micros.collect()
}
