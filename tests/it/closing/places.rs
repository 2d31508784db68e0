//! Where a store can be closed: every place from which it, or what belongs to it, calls its users.

use std::{
    any::Any,
    io::{self, Cursor},
    sync::{Arc, Mutex},
    thread,
};

use spacefold::{
    EventBus, EventType, SpaceEvent, Spacefold, Subscription,
    admin::{BadLine, ImportHooks, ImportOptions, OnBadLine, RebuildMode, RebuildOptions},
    bus::{BusOptions, Handler, Priority, RetryPolicy},
    content::{ContentStore, visit_named_content},
    event::{RecordedEvent, RecordedEventRef},
    projection::{ApplyContext, ApplyError, Projection, SingleValue, SingleValueProjection, Table},
};

/// What is done in a place, once.
pub(super) type Act = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) name: &'static str,
    /// Has the act done there; what it answers is kept until all is over.
    pub(super) close_in: fn(&Spacefold, Act) -> Box<dyn Any + Send>,
}

/// Those that are not called by the same thread as another one.
pub(super) const OWN_THREAD: &[&str] = &[
    "handler",
    "handler of a durable bus",
    "projection",
    "query",
    "subscriber",
    "import",
    "content",
    "rebuild",
    "publisher",
];

pub(super) const PLACES: &[Place] = &[
    Place { name: "handler", close_in: handler },
    Place { name: "awaited handler", close_in: awaited_handler },
    Place { name: "hook", close_in: hook },
    Place { name: "handler of a durable bus", close_in: durable_handler },
    Place { name: "publisher", close_in: publisher },
    Place { name: "retry", close_in: retry },
    Place { name: "handler that is dropped", close_in: dropped },
    Place { name: "projection", close_in: projection },
    Place { name: "projection that is caught up", close_in: caught_up },
    Place { name: "query", close_in: query },
    Place { name: "subscriber", close_in: subscriber },
    Place { name: "import", close_in: import },
    Place { name: "content", close_in: content },
    Place { name: "visit", close_in: visit },
    Place { name: "rebuild", close_in: rebuild },
];

/// An act that the first call does.
#[derive(Clone)]
struct Once(Arc<Mutex<Option<Act>>>);

impl Once {
    fn new(act: Act) -> Self {
        Self(Arc::new(Mutex::new(Some(act))))
    }

    fn act(&self) {
        let act = self.0.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

/// Appends the event that a place waits for.
fn go(spaces: &Spacefold, place: &str) {
    spaces.append([SpaceEvent::space_activated(place)]).unwrap();
}

fn is_for(event: &RecordedEvent, place: &str) -> bool {
    event.event.space_id == place
}

fn handler(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let once = Once::new(act);
    let called = move |event: &RecordedEvent| {
        if is_for(event, "handler") {
            once.act();
        }
    };
    spaces.bus().on_any(Priority::HIGH, called).unwrap();
    go(spaces, "handler");
    Box::new(())
}

fn awaited_handler(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let once = Once::new(act);
    let called = move |_| {
        let once = once.clone();
        async move { once.act() }
    };
    spaces.bus().on_async(EventType::SpaceActivated, Priority::HIGH, called).unwrap();
    go(spaces, "awaited handler");
    Box::new(())
}

fn hook(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let once = Once::new(act);
    spaces.bus().on_failure(move |_| once.act());
    spaces.bus().register(Handler::new(|_| Err::<(), _>("no room"))).unwrap();
    go(spaces, "hook");
    Box::new(())
}

fn durable_handler(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let once = Once::new(act);
    let begin = Subscription::from_now();
    let bus = EventBus::durable(spaces.feed(), "durable", &begin, BusOptions::new()).unwrap();
    let called = move |event: &RecordedEvent| {
        if is_for(event, "durable handler") {
            once.act();
        }
    };
    bus.on_any(Priority::HIGH, called).unwrap();
    bus.start().unwrap();
    go(spaces, "durable handler");
    Box::new(bus)
}

fn publisher(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let once = Once::new(act);
    let called = move |event: &RecordedEvent| {
        if is_for(event, "publisher") {
            once.act();
        }
    };
    spaces.bus().on_any(Priority::LOW, called).unwrap();
    let bus = spaces.bus().clone();
    Box::new(thread::spawn(move || drop(bus.publish(SpaceEvent::space_activated("publisher")))))
}

fn retry(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let (once, mut is_first) = (Once::new(act), true);
    let first = Mutex::new(move || std::mem::replace(&mut is_first, false));
    let called = Handler::new(move |_| {
        let is_first = first.lock().unwrap()();
        if is_first {
            return Err("no room");
        }
        once.act();
        Ok(())
    });
    spaces.bus().register(called.retry(RetryPolicy::NEVER)).unwrap();
    spaces.bus().publish(SpaceEvent::space_activated("retry")).unwrap();
    let (bus, parked) = (spaces.bus().clone(), spaces.bus().parked().remove(0).id);
    Box::new(thread::spawn(move || drop(bus.retry(parked))))
}

/// What a handler holds, which acts when it is let go of.
struct Held(Once);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.act();
    }
}

/// A handler that is called once is let go of by the thread that called it.
fn dropped(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let held = Held(Once::new(act));
    let called = move |_: &RecordedEvent| {
        let _ = &held;
    };
    spaces.bus().once(EventType::SpaceActivated, Priority::HIGH, called).unwrap();
    go(spaces, "handler that is dropped");
    Box::new(())
}

/// A projection that acts when it is called for an event of its space.
struct Acting {
    name: &'static str,
    once: Once,
}

impl Projection for Acting {
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
        if event.space_id == self.name {
            self.once.act();
        }
        Ok(())
    }
}

fn projection(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let once = Once::new(act);
    let handle = spaces.projections().register(Acting { name: "acting", once }).unwrap();
    go(spaces, "acting");
    Box::new(handle)
}

/// Caught up by a thread of its user.
fn caught_up(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let once = Once::new(act);
    let handle = spaces.projections().register(Acting { name: "caught", once }).unwrap();
    go(spaces, "caught");
    Box::new(thread::spawn(move || drop(handle.catch_up())))
}

struct Count;

impl SingleValue for Count {
    type Value = u64;

    fn name(&self) -> &'static str {
        "count"
    }

    fn version(&self) -> u32 {
        1
    }

    fn apply(
        &self,
        _: &RecordedEventRef<'_>,
        _: &ApplyContext<'_>,
        count: &mut u64,
    ) -> Result<(), ApplyError> {
        *count += 1;
        Ok(())
    }
}

fn query(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let handle = spaces.projections().register(SingleValueProjection(Count)).unwrap();
    let own = spaces.clone();
    let asking = thread::spawn(move || {
        let asked = handle.read(|_| {
            // Folding this waits for the query.
            drop(own.append([SpaceEvent::space_activated("query")]));
            act();
            Ok(())
        });
        asked.unwrap();
    });
    Box::new(asking)
}

fn subscriber(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let subscriber = spaces.subscribe(Subscription::from_now().spaces(["subscriber"])).unwrap();
    let receiving = thread::spawn(move || {
        let mut act = Some(act);
        for delivery in IntoIterator::into_iter(subscriber) {
            if matches!(delivery, Ok(spacefold::Delivery::Events(_)))
                && let Some(act) = act.take()
            {
                act();
            }
        }
    });
    go(spaces, "subscriber");
    Box::new(receiving)
}

struct Hooks(Once);

impl ImportHooks for Hooks {
    fn bad_line(&mut self, _: &BadLine<'_>) -> io::Result<OnBadLine> {
        self.0.act();
        Ok(OnBadLine::Reject)
    }
}

fn import(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let own = spaces.clone();
    Box::new(thread::spawn(move || {
        let line = r#"{"event_type": "space.activated", "space_id": "import", "payload": {}}"#;
        let input = format!("{line}\nnoise\n{line}\n");
        let options = ImportOptions::default();
        drop(own.import(input.as_bytes(), &options, &mut Hooks(Once::new(act))));
    }))
}

/// Content whose reader acts in the middle.
struct Reader {
    once: Once,
    rest: Cursor<Vec<u8>>,
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.position() > 1 << 20 {
            self.once.act();
        }
        self.rest.read(buffer)
    }
}

fn content(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    spaces.service().create_space("content", "C").unwrap();
    spaces.service().add_document("content", "d", "/d").unwrap();
    let own = spaces.clone();
    Box::new(thread::spawn(move || {
        let rest = Cursor::new((0..3_u32 << 20).map(|n| n.to_le_bytes()[1]).collect());
        let mut reader = Reader { once: Once::new(act), rest };
        let put = own.service().set_content_from("content", "d", &mut reader);
        assert!(put.is_err(), "content was put into a store that is closed");
    }))
}

fn visit(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let stored = spaces.content().put(&mut &b"content"[..]).unwrap();
    let changed =
        SpaceEvent::document_content_changed("visit", "d", None::<String>, stored.hash.to_string());
    spaces.append([changed]).unwrap();
    let own = spaces.clone();
    Box::new(thread::spawn(move || {
        let once = Once::new(act);
        drop(visit_named_content(own.log(), &mut |_, _| once.act()));
    }))
}

fn rebuild(spaces: &Spacefold, act: Act) -> Box<dyn Any + Send> {
    let own = spaces.clone();
    Box::new(thread::spawn(move || {
        let once = Once::new(act);
        let progress = |_| once.act();
        let mut options = RebuildOptions::new(RebuildMode::Replace);
        options.progress = &progress;
        // Of one that no other place holds.
        drop(own.admin().rebuild(&["activity".to_owned()], &options));
    }))
}
