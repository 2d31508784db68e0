//! What is waited for when a store is closed.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use futures_core::Stream;
use spacefold::{
    EventBus, EventType, Position, ReadError, SnapshotError, SpaceEvent, Spacefold, Subscriber,
    Subscription,
    bus::{BusError, BusOptions, Handler, Priority, RetryPolicy},
    event::RecordedEventRef,
    log::LogReader,
    projection::{ApplyContext, ApplyError, CatchUpError, Projection, Table},
    subscribe::ReceiveError,
};

use super::{Store, ends, is_closed, opens_again};
use crate::bus::LONG;

/// Far beyond whatever is appended.
const FAR: Position = Position::new(1 << 40);

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a stream to its end.
fn drain(mut stream: Subscriber) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut stream).poll_next(&mut context) {
            Poll::Ready(None) => return,
            Poll::Ready(Some(delivery)) => drop(delivery.unwrap()),
            Poll::Pending => thread::park(),
        }
    }
}

fn is_closed_snapshot(error: &SnapshotError) -> bool {
    matches!(error, SnapshotError::Read(ReadError::Closed))
}

/// A call that waits.
type Wait = Box<dyn FnOnce(&Spacefold) + Send>;

/// Every call that waits, in a thread of its own: each says that it begins, and must end with an
/// error that says that the store is closed, where it has one.
#[test]
fn every_call_that_waits_ends_and_says_why() {
    let (path, head, _folder) = ends("waiting", || {
        let store = Store::new();
        let begin = || Subscription::from_now().spaces(["never"]);
        let bus = EventBus::durable(store.spaces.feed(), "bus", &begin(), BusOptions::new());
        let bus = bus.unwrap();
        bus.start().unwrap();
        store.spaces.bus().on_any(Priority::LOW, |_| {}).unwrap();
        let handle = store.spaces.projections().activity().unwrap();
        let mut durable = store.spaces.subscribe_durable("mailer", &begin()).unwrap();
        let waits: Vec<(&str, Wait)> = vec![
            (
                "wait_durable",
                Box::new(|own| {
                    let waited = own.log().wait_durable(FAR, LONG);
                    assert!(matches!(waited, Err(ReadError::Closed)), "{waited:?}");
                }),
            ),
            (
                "snapshot_after",
                Box::new(|own| {
                    let error = own.snapshot_after("first", FAR, LONG).unwrap_err();
                    assert!(is_closed_snapshot(&error), "{error}");
                }),
            ),
            (
                "projection",
                Box::new(move |_| {
                    let waited = handle.wait(FAR, LONG);
                    let Err(CatchUpError::Read(ReadError::Closed)) = waited else {
                        panic!("{waited:?}");
                    };
                }),
            ),
            (
                "subscriber",
                Box::new(move |own| {
                    let mut subscriber = own.subscribe(begin()).unwrap();
                    let error = std::iter::repeat_with(|| subscriber.recv()).find_map(Result::err);
                    assert!(matches!(error, Some(ReceiveError::Closed)), "{error:?}");
                }),
            ),
            (
                "durable subscriber",
                Box::new(move |_| {
                    let error = std::iter::repeat_with(|| durable.recv()).find_map(Result::err);
                    assert!(matches!(error, Some(ReceiveError::Closed)), "{error:?}");
                }),
            ),
            ("stream", Box::new(move |own| drain(own.subscribe(begin()).unwrap()))),
            (
                "items",
                Box::new(move |own| {
                    let items = own.subscribe(begin()).unwrap().into_iter();
                    items.for_each(|item| drop(item.unwrap()));
                }),
            ),
            (
                "bus",
                Box::new(|own| {
                    let waited = own.bus().wait_handled(FAR, LONG);
                    assert!(matches!(waited, Err(BusError::Closed)), "{waited:?}");
                }),
            ),
            (
                "durable bus",
                Box::new(move |_| {
                    let waited = bus.wait_handled(FAR, LONG);
                    assert!(matches!(waited, Err(BusError::Closed)), "{waited:?}");
                }),
            ),
        ];
        let (begun, has_begun) = mpsc::channel();
        let waiting: Vec<_> = waits
            .into_iter()
            .map(|(name, wait)| {
                let (own, begun) = (store.spaces.clone(), begun.clone());
                let thread = thread::spawn(move || {
                    begun.send(()).unwrap();
                    wait(&own);
                });
                (name, thread)
            })
            .collect();
        waiting.iter().for_each(|_| has_begun.recv().unwrap());
        store.spaces.close().unwrap();
        for (name, thread) in waiting {
            thread.join().unwrap_or_else(|_| panic!("{name} ends otherwise"));
        }
        (store.path.clone(), store.spaces.durable_head(), store)
    });
    opens_again(&path, "waiting", head);
}

/// Calls something for each event, and says what came of it.
struct Calling<F> {
    name: &'static str,
    call: F,
}

impl<F: Fn(&RecordedEventRef<'_>) + Send + Sync + 'static> Projection for Calling<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        event: &RecordedEventRef<'_>,
        _: &ApplyContext<'_>,
        _: &mut Table<'_>,
    ) -> Result<(), ApplyError> {
        (self.call)(event);
        Ok(())
    }
}

#[test]
fn a_projection_that_asks_for_others_is_told_that_the_store_is_closed() {
    for round in 0..3 {
        let (path, head, _folder) = ends("asking for others", move || {
            let store = Store::new();
            let (in_apply, is_in_apply) = mpsc::channel();
            let own = store.spaces.clone();
            let asking = Calling {
                name: "asking",
                call: move |event: &RecordedEventRef<'_>| {
                    if event.space_id != "ask" {
                        return;
                    }
                    in_apply.send(()).unwrap();
                    // Until the store is closed, which is meanwhile.
                    let asks = || match round {
                        0 => own.projections().content_index().map(drop),
                        1 => own
                            .projections()
                            .activity()
                            .and(own.projections().open_problems())
                            .map(drop),
                        _ => {
                            own.projections().activity().and_then(|it| it.wait(FAR, LONG)).map(drop)
                        }
                    };
                    let error = std::iter::repeat_with(asks).find_map(Result::err).unwrap();
                    assert!(matches!(error, CatchUpError::Read(ReadError::Closed)), "{error}");
                },
            };
            let asking = store.spaces.projections().register(asking).unwrap();
            let ask = SpaceEvent::space_activated("ask");
            store.spaces.append([ask]).unwrap();
            is_in_apply.recv().unwrap();
            store.spaces.close().unwrap();
            assert_eq!(asking.info().paused, None, "it was told something else");
            is_closed(&store.spaces, "asking for others");
            (store.path.clone(), store.spaces.durable_head(), store)
        });
        opens_again(&path, "asking for others", head);
    }
}

#[test]
fn handlers_and_projections_that_wait_for_the_log_hold_nobody_up() {
    let (path, head, _folder) = ends("waiting within", || {
        let store = Store::new();
        let (begun, has_begun) = mpsc::channel();
        let (own, begins) = (store.spaces.clone(), begun.clone());
        let waits = move |space_id: &str| {
            if space_id == "wait" {
                begins.send(()).unwrap();
                let error = own.snapshot_after("first", FAR, LONG).unwrap_err();
                assert!(is_closed_snapshot(&error), "{error}");
            }
        };
        let in_apply = waits.clone();
        let call = move |event: &RecordedEventRef<'_>| in_apply(event.space_id);
        let projection =
            store.spaces.projections().register(Calling { name: "waiting", call }).unwrap();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&failures);
        store.spaces.bus().on_failure(move |it| told.lock().unwrap().push(it.reason.clone()));
        let handler = Handler::new(move |event| waits(&event.event.space_id));
        store.spaces.bus().register(handler.retry(RetryPolicy::NEVER)).unwrap();
        // One that fails and would be tried again in half a minute.
        let own = begun.clone();
        let failing = Handler::new(move |_| {
            own.send(()).unwrap();
            Err::<(), _>("not yet")
        });
        let begin = Subscription::from_now();
        let bus = EventBus::durable(store.spaces.feed(), "bus", &begin, BusOptions::new()).unwrap();
        bus.register(failing.retry(RetryPolicy::new(2, LONG))).unwrap();
        bus.start().unwrap();
        let wait = SpaceEvent::space_activated("wait");
        store.spaces.append([wait]).unwrap();
        (0..3).for_each(|_| has_begun.recv().unwrap());
        store.spaces.close().unwrap();
        assert_eq!(projection.info().paused, None);
        assert_eq!(*failures.lock().unwrap(), [""; 0]);
        is_closed(&store.spaces, "waiting within");
        (store.path.clone(), store.spaces.durable_head(), store)
    });
    opens_again(&path, "waiting within", head);
}

#[test]
fn what_runs_when_a_store_is_closed_from_outside_is_done_first() {
    let (path, head, _folder) = ends("done first", || {
        let store = Store::new();
        let (begun, has_begun) = mpsc::channel();
        let (go_on, goes_on) = mpsc::channel::<()>();
        let (own, goes_on) = (store.spaces.clone(), Mutex::new(goes_on));
        let handler = move |_: &spacefold::event::RecordedEvent| {
            begun.send(()).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
            let answer = SpaceEvent::space_activated("answer");
            own.append([answer]).unwrap();
        };
        let once = store.spaces.bus().once(EventType::SpaceCreated, Priority::HIGH, handler);
        once.unwrap();
        let created = SpaceEvent::space_created("ask", "A");
        store.spaces.append([created]).unwrap();
        has_begun.recv().unwrap();
        let own = store.spaces.clone();
        let closing = thread::spawn(move || own.close().unwrap());
        // Closing has begun once nobody may wait any more.
        while store.spaces.log().wait_durable(FAR, std::time::Duration::ZERO).is_ok() {
            thread::yield_now();
        }
        assert!(!closing.is_finished());
        go_on.send(()).unwrap();
        closing.join().unwrap();
        is_closed(&store.spaces, "done first");
        (store.path.clone(), store.spaces.durable_head(), store)
    });
    assert_eq!(head, Position::new(3));
    opens_again(&path, "done first", head);
}

#[test]
fn the_last_handle_may_be_dropped_by_a_handler() {
    let (path, head, _folder) = ends("the last handle", || {
        let Store { _folder, path, spaces } = Store::new();
        let (dropped, is_dropped) = mpsc::channel();
        let last = Mutex::new(Some(spaces.clone()));
        let (handed_over, is_handed_over) = mpsc::channel::<()>();
        let is_handed_over = Mutex::new(is_handed_over);
        let handler = move |_: &spacefold::event::RecordedEvent| {
            is_handed_over.lock().unwrap().recv().unwrap();
            drop(last.lock().unwrap().take());
            dropped.send(()).unwrap();
        };
        spaces.bus().on(EventType::SpaceActivated, Priority::HIGH, handler).unwrap();
        let go = [SpaceEvent::space_activated("go")];
        let head = spaces.append(go).unwrap().last_position();
        drop(spaces);
        handed_over.send(()).unwrap();
        is_dropped.recv().unwrap();
        (path, head, _folder)
    });
    opens_again(&path, "the last handle", head);
}

#[test]
fn buses_that_close_one_another_do_not_wait_for_one_another() {
    ends("two buses", || {
        let store = Store::new();
        let lock = Arc::new(std::sync::Barrier::new(2));
        let buses: Vec<EventBus> = ["one", "two"]
            .map(|name| {
                let begin = Subscription::from_now();
                EventBus::durable(store.spaces.feed(), name, &begin, BusOptions::new()).unwrap()
            })
            .into();
        let closed = Arc::new(AtomicU64::new(0));
        for (own, other) in [(0, 1), (1, 0)] {
            let (other, both, closed) =
                (buses[other].clone(), Arc::clone(&lock), Arc::clone(&closed));
            let handler = move |_: &spacefold::event::RecordedEvent| {
                both.wait();
                other.close();
                closed.fetch_add(1, Ordering::SeqCst);
            };
            buses[own].on_any(Priority::HIGH, handler).unwrap();
            buses[own].start().unwrap();
        }
        let go = [SpaceEvent::space_activated("go")];
        store.spaces.append(go).unwrap();
        while closed.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
        buses.iter().for_each(EventBus::close);
        store.spaces.close().unwrap();
    });
}
