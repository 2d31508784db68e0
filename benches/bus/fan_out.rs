//! One producer, many subscribers: batches that are committed already, handed to all, beside the
//! same batches sent through channels by hand.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use spacefold_bus::{Delivery, Feed, Subscription};
use spacefold_event_core::{LogReader, MemoryLog, Page, Position, ReadRequest};

use crate::{
    paced_log::PacedLog,
    sample::{Size, fill, median, rate, resident_kib},
};

/// Events in a batch, which is one append.
const BATCH_EVENTS: usize = 64;
const STACK_BYTES: usize = 128 << 10;

pub(crate) fn run(size: Size) {
    println!("fan-out of batches of {BATCH_EVENTS} events, million deliveries/s");
    println!(
        "{:>12} {:>10} {:>10} {:>10} {:>14}",
        "subscribers", "bus", "crossbeam", "tokio", "bus/crossbeam"
    );
    let sizes = size
        .pick(&[(1, 20), (8, 20)][..], &[(1, 20_000), (8, 20_000), (64, 10_000), (1_000, 1_000)]);
    let most = sizes.iter().map(|(_, batches)| *batches).max().unwrap_or(0);
    let log = Arc::new(MemoryLog::new());
    fill(&*log, most * BATCH_EVENTS, BATCH_EVENTS);
    let pages = pages(&log);
    for (subscribers, batches) in sizes {
        measure(&log, &pages[..*batches], *subscribers, size.pick(1, 15));
    }
    memory(size.pick(10, 1_000));
}

/// Rounds of all three, in turn.
fn measure(log: &Arc<MemoryLog>, pages: &[Arc<Page>], subscribers: usize, rounds: usize) {
    let deliveries = subscribers * pages.len() * BATCH_EVENTS;
    let mut figures = [vec![], vec![], vec![]];
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let bus = rate(deliveries, bus(log, pages.len(), subscribers));
        let crossbeam = rate(deliveries, crossbeam(pages, subscribers));
        let tokio = rate(deliveries, tokio(pages, subscribers));
        for (figures, figure) in figures.iter_mut().zip([bus, crossbeam, tokio]) {
            figures.push(figure / 1e6);
        }
        ratios.push(bus / crossbeam);
    }
    let [bus, crossbeam, tokio] = figures.map(|figures| median(&figures));
    let ratio = median(&ratios);
    println!("{subscribers:>12} {bus:>10.1} {crossbeam:>10.1} {tokio:>10.1} {ratio:>14.2}");
}

/// The batches as pages, to be sent through channels.
fn pages(log: &MemoryLog) -> Vec<Arc<Page>> {
    let pages = log.pages(ReadRequest::from(Position::new(1)).limit(BATCH_EVENTS));
    pages.map(|page| Arc::new(page.unwrap())).collect()
}

/// Runs subscribers beside a producer: the time from the first batch until all have all.
fn timed(
    subscribers: usize,
    wanted: usize,
    mut subscriber: impl FnMut() -> Box<dyn FnMut() -> usize + Send>,
    produce: impl FnOnce(),
) -> Duration {
    let start = Arc::new(Barrier::new(subscribers + 1));
    let threads: Vec<_> = (0..subscribers)
        .map(|_| {
            let (mut receive, start) = (subscriber(), Arc::clone(&start));
            let work = move || {
                start.wait();
                let mut seen = 0;
                while seen < wanted {
                    seen += receive();
                }
                assert_eq!(seen, wanted);
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap()
        })
        .collect();
    start.wait();
    let begun = Instant::now();
    produce();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    begun.elapsed()
}

fn bus(log: &Arc<MemoryLog>, batches: usize, subscribers: usize) -> Duration {
    let log = Arc::new(PacedLog::over(Arc::clone(log)));
    let feed = Feed::new(log.clone());
    let subscriber = || {
        let mut subscriber = feed.subscribe(Subscription::from_start()).unwrap();
        let receive = move || match subscriber.recv().unwrap() {
            Delivery::Events(page) => page.len(),
            _ => 0,
        };
        Box::new(receive) as Box<dyn FnMut() -> usize + Send>
    };
    timed(subscribers, batches * BATCH_EVENTS, subscriber, || {
        for batch in 1..=batches {
            log.make_durable(Position::new(u64::try_from(batch * BATCH_EVENTS).unwrap()));
        }
    })
}

fn crossbeam(pages: &[Arc<Page>], subscribers: usize) -> Duration {
    let wanted = pages.len() * BATCH_EVENTS;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..subscribers).map(|_| crossbeam_channel::unbounded::<Arc<Page>>()).unzip();
    let mut receivers = receivers.into_iter();
    let subscriber = || {
        let receiver = receivers.next().unwrap();
        Box::new(move || receiver.recv().unwrap().len()) as Box<dyn FnMut() -> usize + Send>
    };
    timed(subscribers, wanted, subscriber, || {
        for page in pages {
            senders.iter().for_each(|sender| sender.send(Arc::clone(page)).unwrap());
        }
    })
}

fn tokio(pages: &[Arc<Page>], subscribers: usize) -> Duration {
    // As long as all batches: it drops what does not fit.
    let (sender, _) = tokio::sync::broadcast::channel::<Arc<Page>>(pages.len());
    let subscriber = || {
        let mut receiver = sender.subscribe();
        let receive = move || receiver.blocking_recv().unwrap().len();
        Box::new(receive) as Box<dyn FnMut() -> usize + Send>
    };
    timed(subscribers, pages.len() * BATCH_EVENTS, subscriber, || {
        for page in pages {
            sender.send(Arc::clone(page)).unwrap();
        }
    })
}

/// What an open subscriber holds in memory, without a thread of its own.
fn memory(subscribers: usize) {
    let log = Arc::new(MemoryLog::new());
    fill(&*log, 1_000, 100);
    let feed = Feed::new(log);
    let before = resident_kib();
    let open: Vec<_> = (0..subscribers)
        .map(|_| {
            let mut subscriber = feed.subscribe(Subscription::from_start()).unwrap();
            while subscriber.try_recv().unwrap().is_some() {}
            subscriber
        })
        .collect();
    let grown = resident_kib().saturating_sub(before);
    println!("{} subscribers that are caught up: {grown} KiB more resident", open.len());
}
