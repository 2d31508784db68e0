//! What appends cost beside subscribers whom no event concerns.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use spacefold_bus::{Closer, Feed, Subscription};
use spacefold_event_core::{Append, EventLog, MemoryLog, SpaceEvent};
use spacefold_store::EmbeddedLog;

use crate::sample::{Size, event, median, rate};

const SUBSCRIBERS: usize = 64;

pub(crate) fn run(size: Size) {
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
    let feed = Feed::new(Arc::clone(log));
    let (closers, threads): (Vec<Closer>, Vec<_>) = (0..subscribers)
        .map(|n| {
            let subscription = Subscription::from_now().spaces([format!("nowhere-{n}")]);
            let subscriber = feed.subscribe(subscription).unwrap();
            (subscriber.closer(), thread::spawn(move || subscriber.into_iter().count()))
        })
        .unzip();
    let events: Vec<SpaceEvent> = (0..per_append).map(event).collect();
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < slice {
        let again: Vec<SpaceEvent> = events
            .iter()
            .map(|event| event.clone().with_event_id(spacefold_event_core::EventId::new()))
            .collect();
        log.append(&Append::new(&again)).unwrap();
        count += per_append;
    }
    let rate = rate(count, begun.elapsed());
    closers.iter().for_each(Closer::close);
    for thread in threads {
        // Told once that it has caught up.
        assert_eq!(thread.join().unwrap(), 1);
    }
    rate
}
