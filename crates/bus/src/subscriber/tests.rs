use std::sync::Mutex;

use spacefold_event_core::{
    AppendRequest, EventFilter, EventLog, EventType, LogReader, LogWriter, MemoryLog, Page,
    RUN_EVENTS, ReadError, ReadRequest, SpaceEvent, testing,
};

use super::*;
use crate::{
    Feed, LagPolicy,
    source::POLL_EVENTS,
    testing::{Woken, positions},
};

/// A log that notes how many events each page was looked for in.
struct Measured {
    log: MemoryLog,
    pages: Mutex<Vec<usize>>,
}

impl Measured {
    fn append_runs(&self, runs: usize) {
        for _ in 0..runs {
            let run = [0; 300].map(|_| SpaceEvent::variable_set("busy", "n", 0));
            self.log.append(&AppendRequest::new(&run)).unwrap();
        }
    }

    /// How many events were looked at since the last time.
    fn looked_at(&self) -> usize {
        std::mem::take(&mut *self.pages.lock().unwrap()).into_iter().sum()
    }
}

impl testing::LogWrapper for Measured {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        let page = self.log.read(read)?;
        let events = usize::try_from(page.next().since(read.from)).unwrap();
        self.pages.lock().unwrap().push(events);
        Ok(page)
    }
}

/// A stream that is polled as an executor would.
struct Polled {
    log: Arc<Measured>,
    stream: Subscriber,
    woken: Arc<Woken>,
}

impl Polled {
    /// Polls until there is something, and holds that each poll looks at few events and that one
    /// that gives nothing before the head has woken its task.
    #[track_caller]
    fn next(&mut self) -> Delivery {
        let waker = self.woken.waker();
        let mut context = Context::from_waker(&waker);
        loop {
            let polled = Pin::new(&mut self.stream).poll_next(&mut context);
            let looked_at = self.log.looked_at();
            assert!(looked_at < POLL_EVENTS + RUN_EVENTS, "{looked_at} events in one poll");
            match polled {
                Poll::Ready(delivery) => return delivery.unwrap().unwrap(),
                Poll::Pending => assert!(self.woken.was_woken(), "nobody polls on"),
            }
        }
    }
}

fn polled(runs: usize, subscription: Subscription) -> Polled {
    let log = Arc::new(Measured { log: MemoryLog::new(), pages: Mutex::default() });
    log.append_runs(runs);
    let feed = Feed::new(log.clone());
    let stream = feed.subscribe(subscription).unwrap();
    Polled { log, stream, woken: Arc::default() }
}

/// Filters that nothing of a busy space passes, some of which take a look at every payload.
fn filters() -> [EventFilter; 5] {
    let all = EventFilter::all;
    [
        all().document("nothing"),
        all().source("nobody"),
        all().correlation_id("none"),
        all().spaces(["quiet"]),
        all().types([EventType::SpaceDeleted]),
    ]
}

#[test]
fn a_poll_looks_at_few_events_where_nothing_passes() {
    // So many that near the head, where pages are shared, and far from it are both seen.
    for filter in filters() {
        let mut polled = polled(100, Subscription::from_start().matching(filter));
        let head = polled.log.durable_head();
        let delivery = polled.next();
        assert!(matches!(delivery, Delivery::CaughtUp { position } if position == head));
        assert_eq!(polled.stream.position(), head);
    }
}

#[test]
fn a_poll_looks_at_few_events_where_something_passes_seldom() {
    let mut polled = polled(40, Subscription::from_start().spaces(["quiet"]));
    let quiet =
        polled.log.append(&AppendRequest::new(&[SpaceEvent::space_archived("quiet")])).unwrap();
    polled.log.append_runs(60);
    assert_eq!(positions(polled.next()), [quiet.last_position().get()]);
    assert!(matches!(polled.next(), Delivery::CaughtUp { .. }));
}

#[test]
fn a_poll_counts_few_events_of_what_is_left_out() {
    for (filter, passing) in [
        (EventFilter::all().types([EventType::VariableSet]), 30_000 - 5_000),
        (EventFilter::all().document("nothing"), 0),
        (EventFilter::all(), 30_000 - 5_000),
    ] {
        let subscription = Subscription::from_now().matching(filter).lagging_after(10_000);
        let mut polled = polled(1, subscription.lag_policy(LagPolicy::SkipOldest));
        assert!(matches!(polled.next(), Delivery::CaughtUp { .. }));
        polled.log.append_runs(100);
        let head = polled.log.durable_head();
        while polled.stream.source.announced() < head {
            std::thread::yield_now();
        }
        if passing > 0 {
            let Delivery::Skipped { from, to, events } = polled.next() else { panic!("nothing") };
            let (first, last) = (Position::new(301), Position::new(300 + passing));
            assert_eq!((from, to, events), (first, last, passing));
        }
        while polled.stream.position() < head {
            let waker = polled.woken.waker();
            drop(Pin::new(&mut polled.stream).poll_next(&mut Context::from_waker(&waker)));
            assert!(polled.log.looked_at() < POLL_EVENTS + RUN_EVENTS);
        }
    }
}

#[test]
fn a_thread_of_its_own_gets_the_same() {
    let subscription = || Subscription::from_start().types([EventType::SpaceArchived]);
    let mut awaited = polled(30, subscription());
    awaited.log.append(&AppendRequest::new(&[SpaceEvent::space_archived("quiet")])).unwrap();
    let mut waited = polled(30, subscription());
    waited.log.append(&AppendRequest::new(&[SpaceEvent::space_archived("quiet")])).unwrap();
    let received = positions(waited.stream.recv().unwrap());
    assert_eq!(positions(awaited.next()), received);
    assert!(matches!(waited.stream.recv().unwrap(), Delivery::CaughtUp { .. }));
    // In large steps, since nobody else waits for the thread.
    assert!(waited.log.pages.lock().unwrap().iter().any(|events| *events > 2 * POLL_EVENTS));
}
