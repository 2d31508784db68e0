//! Logs that have a head and do not give what is before it: nothing that reads on may take that for
//! the end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use spacefold::{
    Position, ReadError, Revision, SpaceEvent, SpaceService, Subscription, Timestamp,
    admin::{Clamped, RebuildMode, RebuildOptions, Verdict},
    command::IdempotencyKey,
    content::{ContentHash, visit_named_content},
    event::EventFilter,
    log::{AppendRequest, EventLog, LogReader, LogWriter, MemoryLog, Page, ReadRequest},
    projection::{Builtin, Projections},
    state::{DerivedState, LiveStates, TimeTravel},
    subscribe::{Feed, ReceiveError},
};
use spacefold_event_core::testing;

/// A log in memory that gives nothing from some position on.
struct Withholding {
    log: MemoryLog,
    /// 0 while it gives everything.
    from: AtomicU64,
    /// Whether its pages lead to the head all the same.
    leaps: bool,
    /// Whether it withholds only when it is asked for one space.
    of_spaces_alone: AtomicBool,
}

const EVENTS: u64 = 40;

impl Withholding {
    /// Contents of two documents, in one event each.
    fn new() -> Arc<Self> {
        let log = MemoryLog::new();
        log.append(&AppendRequest::new(&[SpaceEvent::space_created("s", "S")])).unwrap();
        for n in 1..EVENTS {
            let (hash, document) = (ContentHash::of(&n.to_le_bytes()), format!("d{}", n % 2));
            let changed = SpaceEvent::document_content_changed(
                "s",
                document,
                None::<String>,
                hash.to_string(),
            );
            log.append(&AppendRequest::new(&[changed])).unwrap();
        }
        Arc::new({
            let (from, of_spaces_alone) = (AtomicU64::new(0), AtomicBool::new(false));
            Self { log, from, leaps: false, of_spaces_alone }
        })
    }

    /// From a position on it gives nothing.
    fn from(from: u64) -> Arc<Self> {
        let log = Self::new();
        log.from.store(from, Ordering::SeqCst);
        log
    }

    /// From a position on it gives nothing, and says that it has given all.
    fn leaping(from: u64) -> Arc<Self> {
        let mut log = Self::from(from);
        Arc::get_mut(&mut log).unwrap().leaps = true;
        log
    }

    fn given(&self, to: Position) -> Position {
        match self.from.load(Ordering::SeqCst) {
            0 => to,
            from => to.min(Position::new(from - 1)),
        }
    }
}

impl testing::LogWrapper for Withholding {
    fn inner(&self) -> &dyn EventLog {
        &self.log
    }

    fn read(&self, read: &ReadRequest) -> Result<Page, ReadError> {
        if self.of_spaces_alone.load(Ordering::SeqCst) {
            return self.log.read(read);
        }
        let missing = self.given(read.to).next();
        if self.leaps && read.from >= missing {
            return Ok(Page::empty(read.to.min(self.log.durable_head()).next()));
        }
        let page = self.log.read(&read.clone().to(self.given(read.to)).limit(read.limit.min(7)))?;
        assert!(page.next() <= read.from.max(self.given(read.to).next()));
        Ok(page)
    }

    fn read_space(&self, space_id: &str, from: Revision, limit: usize) -> Result<Page, ReadError> {
        // In this log the revisions of its one space are the positions.
        let position = Position::new(from.get().max(1));
        if position > self.given(Position::new(u64::MAX)) {
            return Ok(Page::empty(LogReader::durable_head(self).next()));
        }
        let filter = EventFilter::all().spaces([space_id]);
        LogReader::read(self, &ReadRequest::from(position).matching(filter).limit(limit))
    }

    /// As a log that does not know its spaces.
    fn spaces_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        testing::spaces_of(self.pages(ReadRequest::from(Position::new(1))), after, limit)
    }
}

/// Where logs stop to give: at the first event, at the end of a page, in the middle of one, last.
const MISSING: [u64; 4] = [1, 8, 20, EVENTS];

fn says_so(answer: &dyn std::fmt::Display, missing: u64) {
    let said = answer.to_string();
    assert!(said.contains("gives nothing"), "{missing}: {said}");
}

#[test]
fn nothing_is_collected_by_a_part_of_the_log() {
    for missing in MISSING {
        let log = Withholding::from(missing);
        let mut named = BTreeSet::new();
        let outcome = visit_named_content(&*log, &mut |position, _| {
            named.insert(position);
        });
        let error = outcome.expect_err("content was marked by a part of the log");
        let (position, to) = (Position::new(missing), Position::new(EVENTS));
        assert!(
            matches!(error, ReadError::NothingGiven { position: p, to: t } if p == position && t == to),
            "{error}"
        );
        assert!(named.iter().all(|named| *named < position));
    }
    let mut named = 0;
    visit_named_content(&*Withholding::new(), &mut |_, _| named += 1).unwrap();
    assert_eq!(named, EVENTS - 1);
}

#[test]
fn states_histories_and_blame_are_never_of_a_part() {
    for missing in MISSING {
        let log = Withholding::from(missing);
        let live = || LiveStates::new(log.clone(), DerivedState::in_memory());
        let past = || TimeTravel::new(Arc::new(live()));
        let (head, before) = (Position::new(EVENTS), Position::new(EVENTS - 1));
        let of_space = EventFilter::all().spaces(["s"]);
        let of_document = |id: &str| of_space.clone().document(id);
        for filter in [of_space.clone(), of_document("d0"), of_document("d1")] {
            let mut pages = past().history(filter).unwrap();
            let error = pages.find_map(Result::err);
            says_so(&error.expect("a history that ends early"), missing);
            assert!(pages.next().is_none());
        }
        says_so(&past().blame("s", head).unwrap_err(), missing);
        says_so(&live().snapshot("s").unwrap_err(), missing);
        says_so(&live().snapshot_all().unwrap_err(), missing);
        if missing < EVENTS {
            says_so(&past().snapshot_at("s", before).unwrap_err(), missing);
            says_so(&past().snapshot_all_at(before).unwrap_err(), missing);
        }
    }
}

#[test]
fn projections_and_rebuilds_do_not_end_early() {
    for missing in MISSING {
        let log = Withholding::from(missing);
        let projections =
            Projections::new(Arc::new(LiveStates::new(log.clone(), DerivedState::in_memory())));
        let builtin = Builtin::register(&projections).unwrap();
        says_so(&builtin.activity.catch_up().unwrap_err(), missing);
        assert!(builtin.activity.position() < Position::new(missing));
        for mode in [RebuildMode::Check, RebuildMode::Replace] {
            for names in [vec![], vec!["activity".to_owned()], vec!["space-state".to_owned()]] {
                let options = RebuildOptions::new(mode);
                let error = spacefold::admin::rebuild(&projections, &names, &options).unwrap_err();
                says_so(&error, missing);
            }
        }
    }
}

#[test]
fn states_that_lag_are_not_said_to_part_where_a_log_gives_nothing_of_their_space() {
    let log = Withholding::new();
    let derived = DerivedState::in_memory();
    let persisted = LiveStates::new(log.clone(), derived.clone());
    persisted.catch_up().unwrap();
    persisted.save().unwrap();
    log.log.append(&AppendRequest::new(&[SpaceEvent::variable_set("s", "later", 1)])).unwrap();
    log.of_spaces_alone.store(true, Ordering::SeqCst);
    log.from.store(EVENTS + 1, Ordering::SeqCst);
    let projections = Projections::new(Arc::new(LiveStates::new(log.clone(), derived)));
    let options = RebuildOptions::new(RebuildMode::Check);
    let names = ["space-state".to_owned()];
    let outcomes = spacefold::admin::rebuild(&projections, &names, &options).unwrap();
    assert_eq!(outcomes[0].verdict, Verdict::Identical, "it is read in the order of the log");
}

#[test]
fn subscribers_are_told_and_pass_over_nothing() {
    for missing in MISSING {
        let log = Withholding::from(missing);
        for subscription in [
            Subscription::from_start(),
            Subscription::from_start().document("d1"),
            Subscription::from_start().spaces(["nowhere"]),
        ] {
            let feed = Feed::new(log.clone());
            let mut subscriber = feed.subscribe(subscription).unwrap();
            let error = loop {
                match subscriber.recv() {
                    Ok(spacefold::Delivery::Events(_)) => {}
                    Ok(other) => panic!("{other:?} instead of an error"),
                    Err(error) => break error,
                }
            };
            assert!(
                matches!(&error, ReceiveError::Read(ReadError::NothingGiven { .. })),
                "{error}"
            );
            assert_eq!(subscriber.position(), Position::new(missing - 1));
            // Once the log gives everything it goes on where it was.
            log.from.store(0, Ordering::SeqCst);
            while !matches!(subscriber.recv().unwrap(), spacefold::Delivery::CaughtUp { .. }) {}
            assert_eq!(subscriber.position(), Position::new(EVENTS));
            log.from.store(missing, Ordering::SeqCst);
        }
    }
}

#[test]
fn subscribers_do_not_leap_over_what_is_missing() {
    for missing in MISSING {
        let feed = Feed::new(Withholding::leaping(missing));
        let mut subscriber = feed.subscribe(Subscription::from_start()).unwrap();
        let error = loop {
            match subscriber.recv() {
                Ok(spacefold::Delivery::Events(_)) => {}
                Ok(other) => panic!("{other:?} instead of an error"),
                Err(error) => break error,
            }
        };
        says_so(&error, missing);
        assert_eq!(subscriber.position(), Position::new(missing - 1));
    }
}

#[test]
fn spaces_are_not_listed_by_a_part() {
    for missing in MISSING {
        for log in [Withholding::from(missing), Withholding::leaping(missing)] {
            says_so(&log.spaces_after(None, 10).unwrap_err(), missing);
        }
    }
    assert_eq!(Withholding::new().spaces_after(None, 10).unwrap(), ["s"]);
}

#[test]
fn one_event_that_is_missing_is_no_end() {
    for missing in MISSING {
        let log = Withholding::from(missing);
        says_so(&log.page_at(Position::new(missing)).unwrap_err(), missing);
        if missing > 1 {
            let before = log.page_at(Position::new(missing - 1)).unwrap().unwrap();
            assert_eq!(before.len(), 1);
        }
        for nowhere in [0, EVENTS + 1] {
            assert!(log.page_at(Position::new(nowhere)).unwrap().is_none());
        }
    }
}

#[test]
fn times_that_were_clamped_are_not_counted_in_a_part() {
    let log = Withholding::new();
    // Both lie ahead of the clock, so that only the log knows when they were recorded.
    let times = [Timestamp::MAX; 2];
    let run = [0; 2].map(|_| SpaceEvent::space_activated("s"));
    let receipt = log.append(&AppendRequest::new(&run).recorded_at(&times)).unwrap();
    let clamped = || Clamped::of(&*log, &receipt, &times);
    assert_eq!(clamped().unwrap().unwrap().events, 2);
    // The event before, the first of them, the last.
    for missing in EVENTS..=EVENTS + 2 {
        log.from.store(missing, Ordering::SeqCst);
        says_so(&clamped().unwrap_err(), missing);
    }
}

#[test]
fn a_repeated_command_is_not_answered_with_a_part_of_its_events() {
    let log = Withholding::new();
    let key = IdempotencyKey::from("k");
    let batch = |service: &SpaceService| {
        let batch = service.with_key(key.clone()).batch("t").create_space("T");
        batch.add_document("d", "/d").activate_space().commit()
    };
    let service = SpaceService::over(log.clone());
    assert_eq!(batch(&service).unwrap().events().len(), 3);
    for missing in EVENTS + 1..=EVENTS + 3 {
        log.from.store(missing, Ordering::SeqCst);
        let error = batch(&SpaceService::over(log.clone())).unwrap_err();
        says_so(&error, missing);
    }
    log.from.store(0, Ordering::SeqCst);
    assert_eq!(batch(&SpaceService::over(log)).unwrap().events().len(), 3);
}
