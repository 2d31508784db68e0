//! What is exported and imported again is the same: events, ids, tags, origins, revisions, times of
//! recording and states, whatever a history has tried.

use std::fs;

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use spacefold::{
    AppendCondition, AppendError, EventId, Options, Position, SpaceEvent, Spacefold, Timestamp,
    Value,
    admin::{ImportError, ImportFailure, ImportOptions, ImportReport},
    event::EventOrigin,
    log::{LogReader as _, ReadRequest},
};
use spacefold_event_core::{COMMAND_UNCHANGED, EventFilter, EventType, RecordedEvent};

use crate::{
    arbitrary,
    support::{Contents, cli, run},
};

const SPACES: [&str; 4] = ["a", "b", "ü space", "c/d"];

/// One step of a history: events that are appended or imported together.
#[derive(Clone, Debug)]
struct Step {
    events: Vec<Tried>,
    is_import: bool,
}

#[derive(Clone, Debug)]
enum Tried {
    New(Box<SpaceEvent>),
    /// One that an earlier step has tried, as it was.
    Again(Index),
    /// Another one under its id.
    OtherContent(Index),
    /// The same one, said to come from elsewhere, or from nowhere.
    OtherOrigin(Index, Option<EventOrigin>),
    /// Another one that comes from where it does.
    SameOrigin(Index),
}

fn origin() -> impl Strategy<Value = EventOrigin> {
    (0..2_u8, 1..12_u64).prop_map(|(store, position)| {
        let position = Position::new(position);
        EventOrigin { store_id: [store; 16], timeline: [9; 16], position }
    })
}

/// An event of few documents, so that a state has something to do with the ones before it.
fn near() -> impl Strategy<Value = SpaceEvent> {
    let document = prop::sample::select(vec!["d", "e"]);
    (0..9_u8, document, any::<u8>(), -5..90_000_i64).prop_map(|(kind, document, n, second)| {
        let event = match kind {
            0 => SpaceEvent::space_created("", format!("name {n}")),
            1 => SpaceEvent::space_deleted("", None::<String>),
            2 => SpaceEvent::document_added("", document, format!("/{}", n % 3)),
            3 => SpaceEvent::document_moved("", document, None::<String>, format!("/{}", n % 3)),
            4 => SpaceEvent::document_content_changed("", document, None::<String>, "hash"),
            5 => SpaceEvent::reference_added("", document, format!("t{}", n % 3), "kind"),
            6 => SpaceEvent::sync_conflict("", document, None::<String>, None::<String>),
            7 => SpaceEvent::render_completed("", document, "hash"),
            _ => SpaceEvent::variable_set("", format!("v{}", n % 3), u64::from(n)),
        };
        event.with_timestamp(conformance::second(second))
    })
}

/// What a command under a key records that changes nothing.
fn unchanged() -> SpaceEvent {
    let payload = [("operation", "set_variable"), ("arguments_hash", "00")];
    let payload = payload.into_iter().map(|(key, text)| (key, Value::from(text))).collect();
    SpaceEvent::application("", COMMAND_UNCHANGED, payload).unwrap()
}

fn is_reserved(event: &SpaceEvent) -> bool {
    event.payload.own_type_name() == Some(COMMAND_UNCHANGED)
}

fn new_event() -> impl Strategy<Value = SpaceEvent> {
    let event = prop_oneof![
        4 => near(),
        3 => arbitrary::event(),
        1 => any::<i32>().prop_map(|micros| {
            let at = Timestamp::from_micros(i64::from(micros)).unwrap();
            unchanged().with_timestamp(at)
        }),
    ];
    let more = (
        any::<[u8; 16]>(),
        prop::sample::select(SPACES.to_vec()),
        prop::option::weighted(0.3, origin()),
        prop::option::weighted(0.3, "[a-z]{1,8}"),
        vec("[a-c]:[0-9]", 0..3),
    );
    (event, more).prop_map(|(mut event, (id, space, origin, source, mut tags))| {
        event.event_id = EventId::from_bytes(id);
        event.space_id = space.to_owned();
        event.origin = origin;
        event.source = event.source.or(source);
        if event.tags.is_empty() {
            tags.sort_unstable();
            tags.dedup();
            event.tags = tags;
        }
        event
    })
}

fn step() -> impl Strategy<Value = Step> {
    let tried = prop_oneof![
        6 => new_event().prop_map(|event| Tried::New(Box::new(event))),
        1 => any::<Index>().prop_map(Tried::Again),
        1 => any::<Index>().prop_map(Tried::OtherContent),
        1 => (any::<Index>(), prop::option::of(origin())).prop_map(|(which, of)| {
            Tried::OtherOrigin(which, of)
        }),
        1 => any::<Index>().prop_map(Tried::SameOrigin),
    ];
    (vec(tried, 1..6), any::<bool>()).prop_map(|(events, is_import)| Step { events, is_import })
}

/// The events that a history has stored, and those that it has tried.
#[derive(Default)]
struct History {
    stored: Vec<SpaceEvent>,
    tried: Vec<SpaceEvent>,
    /// How often something was refused or there already.
    clashes: usize,
}

/// Why an event is not stored.
#[derive(Debug, PartialEq)]
enum Clash {
    Id(u64),
    Origin(u64),
}

fn position_of(stored: &[SpaceEvent], is_it: impl Fn(&SpaceEvent) -> bool) -> Option<u64> {
    stored.iter().position(is_it).map(|place| place as u64 + 1)
}

impl History {
    fn events(&mut self, step: &Step) -> Vec<SpaceEvent> {
        let mut events = Vec::new();
        for tried in &step.events {
            let event = match tried {
                Tried::New(event) => event.as_ref().clone(),
                _ if self.tried.is_empty() => continue,
                Tried::Again(which) => which.get(&self.tried).clone(),
                Tried::OtherContent(which) => {
                    let event = which.get(&self.tried).clone();
                    let source = if event.source.is_none() { "some" } else { "another" };
                    event.with_source(source)
                }
                Tried::OtherOrigin(which, origin) => {
                    let mut event = which.get(&self.tried).clone();
                    event.origin = *origin;
                    event
                }
                Tried::SameOrigin(which) => which.get(&self.tried).clone().with_event_id(
                    // Another one each time, and the same one in each run.
                    EventId::derived(b"same origin", self.tried.len() as u64),
                ),
            };
            self.tried.push(event.clone());
            events.push(event);
        }
        events
    }

    /// What becomes of one event after those that are stored; `None` when it is there already.
    fn check(stored: &[SpaceEvent], event: &SpaceEvent) -> Result<Option<()>, Clash> {
        let of_id = |other: &SpaceEvent| other.event_id == event.event_id;
        if let Some(at) = position_of(stored, of_id) {
            let there = stored.iter().find(|other| of_id(other)).unwrap();
            return if event.is_stored_as(there) { Ok(None) } else { Err(Clash::Id(at)) };
        }
        let of_origin = |other: &SpaceEvent| event.origin.is_some() && other.origin == event.origin;
        match position_of(stored, of_origin) {
            Some(at) => Err(Clash::Origin(at)),
            None => Ok(Some(())),
        }
    }

    fn import(&mut self, spaces: &Spacefold, events: &[SpaceEvent]) {
        let lines: Vec<String> = events.iter().map(SpaceEvent::to_json).collect();
        let outcome = import(spaces, &lines.join("\n")).map_err(|error| match error.failure() {
            ImportFailure::IdReused { position, .. } => Clash::Id(position.get()),
            ImportFailure::OriginReused { position, .. } => Clash::Origin(position.get()),
            _ => panic!("{error}"),
        });
        let mut expected = Ok(0);
        for event in events {
            match Self::check(&self.stored, event) {
                Ok(Some(())) => self.stored.push(event.clone()),
                Ok(None) => expected = expected.map(|known| known + 1),
                Err(clash) => {
                    expected = Err(clash);
                    break;
                }
            }
        }
        self.clashes += usize::from(expected != Ok(0));
        assert_eq!(outcome.map(|report| report.already_present), expected);
    }

    fn append(&mut self, spaces: &Spacefold, events: &[SpaceEvent]) {
        let head = spaces.durable_head();
        let outcome = spaces.append_if(events, AppendCondition::none());
        let mut after = self.stored.clone();
        let is_new = |event: &SpaceEvent| {
            let is_new = !is_reserved(event) && Self::check(&after, event) == Ok(Some(()));
            after.push(event.clone());
            is_new
        };
        if events.iter().all(is_new) {
            outcome.unwrap();
            self.stored = after;
            return;
        }
        self.clashes += 1;
        match outcome {
            Ok(receipt) => assert!(receipt.last_position() <= head),
            Err(
                AppendError::ReservedType { .. }
                | AppendError::DuplicateEventId { .. }
                | AppendError::EventIdReused { .. }
                | AppendError::DuplicateOrigin { .. }
                | AppendError::OriginReused { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn run(spaces: &Spacefold, steps: &[Step]) -> Self {
        let mut history = Self::default();
        for step in steps {
            let events = history.events(step);
            match step.is_import {
                _ if events.is_empty() => {}
                true => history.import(spaces, &events),
                false => history.append(spaces, &events),
            }
        }
        history
    }
}

fn import(spaces: &Spacefold, lines: &str) -> Result<ImportReport, ImportError> {
    spaces.import(lines.as_bytes(), &ImportOptions::default(), &mut ())
}

fn recorded(spaces: &Spacefold) -> Vec<RecordedEvent> {
    conformance::whole_log(spaces.log())
}

/// Every event of these types as `export` prints it.
fn exported(spaces: &Spacefold, types: Vec<EventType>) -> String {
    let read = ReadRequest::from(Position::new(1)).matching(EventFilter::all().types(types));
    let events = conformance::read_all(spaces.log(), &read);
    events.iter().map(|event| event.to_json() + "\n").collect()
}

/// What a state says but for where in the log, and when last, it came to be.
fn timeless(mut json: serde_json::Value) -> serde_json::Value {
    let is_of_the_log = |key: &str| {
        key.ends_with("position") || ["revision", "updated_at", "state_hash"].contains(&key)
    };
    match &mut json {
        serde_json::Value::Object(fields) => {
            fields.retain(|key, _| !is_of_the_log(key));
            fields.values_mut().for_each(|value| *value = timeless(value.take()));
        }
        serde_json::Value::Array(values) => {
            values.iter_mut().for_each(|value| *value = timeless(value.take()));
        }
        _ => {}
    }
    json
}

fn state(spaces: &Spacefold, space: &str) -> serde_json::Value {
    let snapshot = spaces.snapshot(space).unwrap();
    timeless(serde_json::from_str(&snapshot.to_json()).unwrap())
}

/// Imports into a new store, all at once or some lines at a time, and once more.
fn imported_twice(export: &str, lines_at_a_time: usize) -> Spacefold {
    let copy = Options::in_memory().open().unwrap();
    let lines: Vec<&str> = export.lines().collect();
    let count = lines.len() as u64;
    for lines in lines.chunks(lines_at_a_time) {
        let report = import(&copy, &lines.join("\n")).unwrap();
        assert_eq!((report.appended, report.clamped), (lines.len() as u64, 0));
    }
    let again = import(&copy, export).unwrap();
    assert_eq!((again.appended, again.already_present), (0, count));
    copy
}

/// Runs a test over random histories; what fails is printed, and so is the seed of the run.
fn each_history(cases: u32, test: impl Fn(&Spacefold, &History)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&vec(step(), 1..25), |steps| {
        let spaces = Options::in_memory().open().unwrap();
        let history = History::run(&spaces, &steps);
        test(&spaces, &history);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_history_that_is_exported_and_imported_is_the_same() {
    let clashes = std::cell::Cell::new(0);
    each_history(60, |spaces, history| {
        clashes.set(clashes.get() + history.clashes);
        let events = recorded(spaces);
        let stored: Vec<SpaceEvent> = events.iter().map(|event| event.event.clone()).collect();
        assert_eq!(stored, history.stored);
        let contents = Contents::of(spaces);
        for lines_at_a_time in [usize::MAX, 3] {
            let copy = imported_twice(&contents.export, lines_at_a_time);
            Contents::of(&copy).assert_is(&contents);
            assert_eq!(recorded(&copy), events);
            for event in &events {
                let SpaceEvent { event_id, origin, .. } = &event.event;
                assert_eq!(copy.find_event(*event_id).unwrap(), Some(event.position));
                let found = copy.log().find_origins(origin.as_slice()).unwrap();
                assert!(found.iter().all(|found| *found == Some(event.position)));
            }
        }
    });
    assert!(clashes.get() > 60, "{} clashes", clashes.get());
}

#[test]
fn a_history_of_core_events_alone_is_the_same_to_a_program_that_knows_no_others() {
    each_history(60, |spaces, _| {
        let export = exported(spaces, EventType::CORE.to_vec());
        let copy = imported_twice(&export, usize::MAX);
        let is_core = |event: &RecordedEvent| event.event.event_type() != EventType::Application;
        let core: Vec<RecordedEvent> = recorded(spaces).into_iter().filter(is_core).collect();
        let copied = recorded(&copy);
        let said = |event: &RecordedEvent| (event.event.clone(), event.recorded_at);
        assert!(copied.iter().map(said).eq(core.iter().map(said)));
        for (space, _) in copy.spaces().unwrap() {
            assert_eq!(state(&copy, &space), state(spaces, &space), "{space}");
        }
    });
}

#[test]
fn the_command_line_exports_and_imports_a_history_as_the_library_does() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    let config = Config { cases: 3, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), 20..40), |steps| {
        number.set(number.get() + 1);
        let [store, copy, core] = ["store", "copy", "core"]
            .map(|name| folder.path().join(format!("{name}-{}", number.get())));
        let spaces = Options::new(&store).open().unwrap();
        History::run(&spaces, &steps);
        let contents = Contents::of(&spaces);
        let of_core = exported(&spaces, EventType::CORE.to_vec());
        spaces.close().unwrap();
        let export =
            |arguments: &[&str]| run(cli(&store).arg("export").args(arguments)).succeeded();
        assert_eq!(export(&[]), contents.export);
        assert_eq!(export(&["--core-only"]), of_core);
        for (to, lines) in [(&copy, &contents.export), (&core, &of_core)] {
            let file = to.with_extension("jsonl");
            fs::write(&file, lines).unwrap();
            for _ in 0..2 {
                run(cli(to).arg("import").arg(&file)).succeeded();
            }
        }
        assert_eq!(run(cli(&copy).arg("export")).succeeded(), contents.export);
        Contents::of(&Options::new(&copy).open().unwrap()).assert_is(&contents);
        let core = run(cli(&core).arg("export")).succeeded();
        assert_eq!(core.lines().count(), of_core.lines().count());
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
