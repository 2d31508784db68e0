//! How fast a late subscriber gets through the history, and how fast handlers are called.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use spacefold_bus::{BusOptions, Delivery, EventBus, Feed, Handler, Subscription};
use spacefold_event_core::{LogReader, MAX_APPEND_EVENTS, Position};
use spacefold_store::EmbeddedLog;

use crate::sample::{Size, fill, median, rate};

pub(crate) fn run(size: Size) {
    let events = size.pick(1_000, 1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(EmbeddedLog::open(folder.path().join("store")).unwrap());
    fill(&*log, events, MAX_APPEND_EVENTS);
    let feed = Feed::new(log.clone());
    println!("\ncatching up from position 1, million events/s");
    let ways: [(&str, &dyn Fn() -> usize); 4] = [
        ("pages", &|| pages(&feed, Subscription::from_start(), false)),
        ("pages, decoded", &|| pages(&feed, Subscription::from_start(), true)),
        ("owned events", &|| owned(&feed)),
        ("handler of a bus", &|| handled(&feed, log.durable_head())),
    ];
    for (name, way) in ways {
        let figures: Vec<f64> = (0..size.pick(1, 5))
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(way(), events);
                rate(events, begun.elapsed()) / 1e6
            })
            .collect();
        println!("{name:>20} {:>8.2}", median(&figures));
    }
    feed.close();
    log.close().unwrap();
}

fn pages(feed: &Feed, subscription: Subscription, decodes: bool) -> usize {
    let mut subscriber = feed.subscribe(subscription).unwrap();
    let mut seen = 0;
    loop {
        match subscriber.recv().unwrap() {
            Delivery::Events(page) if decodes => {
                seen += page.events().map(|event| usize::from(event.is_ok())).sum::<usize>();
            }
            Delivery::Events(page) => seen += page.len(),
            _ => return seen,
        }
    }
}

fn owned(feed: &Feed) -> usize {
    let items = feed.subscribe(Subscription::from_start()).unwrap().into_iter();
    items.take_while(|item| matches!(item, Ok(Delivery::Events(_)))).count()
}

fn handled(feed: &Feed, head: Position) -> usize {
    let begin = Subscription::from_start();
    let bus = EventBus::durable(feed, "bench", &begin, BusOptions::new()).unwrap();
    bus.register(Handler::new(|_| ()).named("nothing")).unwrap();
    bus.start().unwrap();
    let handled = bus.wait_handled(head, Duration::from_secs(600)).unwrap();
    bus.close();
    feed.remove_durable("bench").unwrap();
    usize::try_from(handled.get()).unwrap()
}
