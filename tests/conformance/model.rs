//! Random histories against a model that is a plain list of events.

use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};
use spacefold_event_core::{
    AppendCondition, AppendError, AppendRequest, EventFilter, EventId, EventLog, EventOrigin,
    EventQuery, EventType, ExpectedRevision, FailedCondition, Object, Position, ReadRequest,
    Receipt, RecordedEvent, Revision, SpaceEvent, Timestamp,
};

use crate::{LogFactory, events_of, read_all, second, whole_log};

const SPACES: [&str; 3] = ["a", "b", "c"];
const DOCUMENTS: [&str; 2] = ["d", "e"];
const TAGS: [&str; 3] = ["t", "u", "a"];

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Append(NewEvents, Parts, Vec<i64>),
    /// Appends again what an earlier step tried, as it was or changed in some way.
    Retry(Index, Change, Option<Parts>),
    Read(Vec<Filter>, u64, u64, usize),
    ReadSpace(usize, u64, usize),
    AsOf(i64),
    /// Closes the log and opens it again.
    Reopen,
    /// Goes on as after a kill.
    Crash,
}

type NewEvents = Vec<(usize, u8, usize, Option<u64>)>;

/// The parts of a condition, relative to what the log holds.
#[derive(Clone, Debug)]
struct Parts {
    expected: Vec<(usize, Expected)>,
    no_event_matching: Vec<(Vec<Filter>, u64)>,
}

#[derive(Clone, Debug)]
enum Expected {
    Any,
    NoSpace,
    Exists,
    /// The current revision less so many.
    Behind(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Nothing,
    DropFirst,
    DropLast,
    Swap,
    Alter(Index),
    /// Says that an event comes from there, or from nowhere.
    Origin(Index, Option<u64>),
    AddFirst,
    AddLast,
}

#[derive(Clone, Debug)]
struct Filter {
    types: Option<Vec<EventType>>,
    spaces: Option<BTreeSet<usize>>,
    document: Option<usize>,
    tags: BTreeSet<usize>,
}

/// The events that pass any of some filters.
fn query(filters: &[Filter]) -> EventQuery {
    EventQuery::any_of(filters.iter().map(Filter::build))
}

impl Filter {
    fn build(&self) -> EventFilter {
        let mut filter = EventFilter::all();
        if let Some(types) = &self.types {
            filter = filter.types(types.iter().copied());
        }
        if let Some(spaces) = &self.spaces {
            filter = filter.spaces(spaces.iter().map(|space| SPACES[*space]));
        }
        if let Some(document) = self.document {
            filter = filter.document(DOCUMENTS[document]);
        }
        filter.tags(self.tags.iter().map(|tag| TAGS[*tag]))
    }
}

/// The log as a list.
#[derive(Default)]
struct Model {
    events: Vec<RecordedEvent>,
    /// What earlier steps tried to append, and on which condition.
    tried: Vec<(Vec<SpaceEvent>, Condition)>,
}

#[derive(Clone, Debug, Default)]
struct Condition {
    expected: Vec<(&'static str, ExpectedRevision)>,
    no_event_matching: Vec<(EventQuery, Position)>,
}

#[derive(Debug, PartialEq)]
enum Refused {
    Reused(EventId, Position),
    OriginTwice(EventOrigin),
    OriginReused(EventOrigin, Position),
    Failed(Vec<FailedCondition>),
}

impl Condition {
    fn build(&self) -> AppendCondition {
        let mut condition = AppendCondition::none();
        for (space_id, expected) in &self.expected {
            condition = condition.and_expected(*space_id, *expected);
        }
        for (query, after) in &self.no_event_matching {
            condition = condition.and_no_event_matching(query.clone(), *after);
        }
        condition
    }
}

impl Model {
    fn of_space<'a>(&'a self, space_id: &'a str) -> impl Iterator<Item = &'a RecordedEvent> {
        self.events.iter().filter(move |event| event.event.space_id == space_id)
    }

    fn revision(&self, space_id: &str) -> u64 {
        self.of_space(space_id).count() as u64
    }

    fn condition(&self, parts: &Parts) -> Condition {
        let expected = |(space, expected): &(usize, Expected)| {
            let space_id = SPACES[*space];
            let expected = match expected {
                Expected::Any => ExpectedRevision::Any,
                Expected::NoSpace => ExpectedRevision::NoSpace,
                Expected::Exists => ExpectedRevision::Exists,
                Expected::Behind(by) => {
                    let revision = self.revision(space_id).saturating_sub(*by);
                    ExpectedRevision::Exact(Revision::new(revision))
                }
            };
            (space_id, expected)
        };
        let head = self.events.len() as u64;
        let matching = |(filters, behind): &(Vec<Filter>, u64)| {
            (query(filters), Position::new(head.saturating_sub(*behind)))
        };
        Condition {
            expected: parts.expected.iter().map(expected).collect(),
            no_event_matching: parts.no_event_matching.iter().map(matching).collect(),
        }
    }

    fn append(
        &mut self,
        events: &[SpaceEvent],
        condition: &Condition,
        times: &[Timestamp],
    ) -> Result<Receipt, Refused> {
        if let Some((index, position)) = self.find_stored(events) {
            return self.stored(events, index, position);
        }
        self.check_origins(events)?;
        let failed = self.failed(condition);
        if !failed.is_empty() {
            return Err(Refused::Failed(failed));
        }
        let first = Position::new(self.events.len() as u64 + 1);
        for (event, time) in events.iter().zip(times) {
            let last = self.events.last().map_or(Timestamp::MIN, |e| e.recorded_at);
            let recorded = RecordedEvent {
                event: event.clone(),
                position: Position::new(self.events.len() as u64 + 1),
                revision: Revision::new(self.revision(&event.space_id) + 1),
                recorded_at: last.max(*time),
            };
            self.events.push(recorded);
        }
        let last = self.events.last().unwrap();
        Ok(Receipt::new(first, last.position, last.revision, last.recorded_at, true))
    }

    /// The first event of the append whose id is stored, and where that is.
    fn find_stored(&self, events: &[SpaceEvent]) -> Option<(usize, usize)> {
        events.iter().enumerate().find_map(|(index, event)| {
            let id = event.event_id;
            let stored = self.events.iter().position(|e| e.event.event_id == id)?;
            Some((index, stored))
        })
    }

    /// Each origin is that of one event.
    fn check_origins(&self, events: &[SpaceEvent]) -> Result<(), Refused> {
        let origins: Vec<EventOrigin> = events.iter().filter_map(|event| event.origin).collect();
        for (place, origin) in origins.iter().enumerate() {
            if origins[..place].contains(origin) {
                return Err(Refused::OriginTwice(*origin));
            }
        }
        for origin in origins {
            let stored = self.events.iter().find(|stored| stored.event.origin == Some(origin));
            if let Some(stored) = stored {
                return Err(Refused::OriginReused(origin, stored.position));
            }
        }
        Ok(())
    }

    /// The receipt of a run, the event at `index` of which is the log's `stored`-th, from 0.
    fn stored(
        &self,
        events: &[SpaceEvent],
        index: usize,
        stored: usize,
    ) -> Result<Receipt, Refused> {
        let reused = Refused::Reused(events[index].event_id, Position::new(stored as u64 + 1));
        let Some(first) = stored.checked_sub(index) else {
            return Err(reused);
        };
        for (event, place) in events.iter().zip(first..) {
            match self.events.get(place) {
                // Where it is said to come from does not count.
                Some(there) if there.event == from(event, there.event.origin) => {}
                Some(there) if there.event.event_id == event.event_id => {
                    return Err(Refused::Reused(event.event_id, there.position));
                }
                _ => return Err(reused),
            }
        }
        let last = &self.events[first + events.len() - 1];
        let first = self.events[first].position;
        Ok(Receipt::new(first, last.position, last.revision, last.recorded_at, true))
    }

    fn failed(&self, condition: &Condition) -> Vec<FailedCondition> {
        let revisions = condition.expected.iter().filter_map(|(space_id, expected)| {
            let current = self.revision(space_id);
            let met = match expected {
                ExpectedRevision::Any => true,
                ExpectedRevision::NoSpace => current == 0,
                ExpectedRevision::Exists => current > 0,
                ExpectedRevision::Exact(revision) => revision.get() == current,
            };
            (!met).then(|| FailedCondition::Revision {
                space_id: (*space_id).to_owned(),
                expected: *expected,
                current: Revision::new(current),
            })
        });
        let matches = condition.no_event_matching.iter().filter_map(|(query, after)| {
            let first = self
                .events
                .iter()
                .find(|event| event.position > *after && query.selects(&event.event))?;
            Some(FailedCondition::EventMatches {
                after: *after,
                position: first.position,
                event_id: first.event.event_id,
            })
        });
        revisions.chain(matches).collect()
    }
}

/// Runs random histories through the log and the model, step by step.
pub fn agrees_with_the_model<F: LogFactory>(_: &F) {
    let mut runner = TestRunner::new(Config {
        cases: F::model_cases(),
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&vec(step(), 1..40), |steps| {
        let factory = F::new();
        run(&factory, &steps);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn run(factory: &impl LogFactory, steps: &[Step]) {
    let mut log = factory.open();
    let mut model = Model::default();
    for step in steps {
        log = match step {
            Step::Reopen if factory.outlives_its_handle() => factory.reopen(log).unwrap(),
            Step::Crash if factory.outlives_its_handle() => factory.crash(log).unwrap(),
            _ => log,
        };
        take(&*log, &mut model, step);
        assert_eq!(log.head().get(), model.events.len() as u64);
    }
    assert_eq!(whole_log(&*log), model.events);
    if let Some(log) = factory.reopen(log) {
        assert_eq!(whole_log(&*log), model.events);
        for (events, condition) in model.tried.clone() {
            let times = vec![Timestamp::MIN; events.len()];
            compare(&*log, &mut model, &events, &condition, &times);
        }
    }
}

fn take(log: &dyn EventLog, model: &mut Model, step: &Step) {
    match step {
        Step::Append(new, parts, seconds) => {
            let events: Vec<SpaceEvent> = new.iter().map(new_event).collect();
            let times: Vec<Timestamp> =
                (0..events.len()).map(|index| second(seconds[index % seconds.len()])).collect();
            let condition = model.condition(parts);
            compare(log, model, &events, &condition, &times);
            model.tried.push((events, condition));
        }
        Step::Retry(which, change, parts) if !model.tried.is_empty() => {
            let (events, condition) = which.get(&model.tried).clone();
            let events = changed(events, change);
            let condition = parts.as_ref().map_or(condition, |parts| model.condition(parts));
            let times = vec![second(0); events.len()];
            compare(log, model, &events, &condition, &times);
        }
        Step::Retry(..) => {}
        Step::Reopen | Step::Crash => assert_eq!(whole_log(log), model.events),
        Step::Read(filters, from, to, limit) => {
            let (from, to) = (Position::new(*from), Position::new(*to));
            let read = ReadRequest::from(from).to(to).matching(query(filters)).limit(*limit);
            let expected: Vec<RecordedEvent> = model
                .events
                .iter()
                .filter(|event| (from..=to).contains(&event.position))
                .filter(|event| read.query.selects(&event.event))
                .cloned()
                .collect();
            assert_eq!(read_all(log, &read), expected);
        }
        Step::ReadSpace(space, from, limit) => {
            let page = log.read_space(SPACES[*space], Revision::new(*from), *limit).unwrap();
            let expected: Vec<RecordedEvent> = model
                .of_space(SPACES[*space])
                .filter(|event| event.revision.get() >= *from)
                .take(*limit)
                .cloned()
                .collect();
            let read = events_of(&page);
            assert!(read.len() <= expected.len());
            assert_eq!(read, expected[..read.len()]);
            assert_eq!(read.is_empty(), expected.is_empty());
        }
        Step::AsOf(number) => {
            let time = second(*number);
            let expected = model.events.iter().rev().find(|e| e.recorded_at <= time);
            assert_eq!(
                log.position_as_of(time).unwrap(),
                expected.map_or(Position::START, |event| event.position)
            );
        }
    }
}

fn compare(
    log: &dyn EventLog,
    model: &mut Model,
    events: &[SpaceEvent],
    condition: &Condition,
    times: &[Timestamp],
) {
    if events.is_empty() {
        return;
    }
    let append = AppendRequest::new(events).on(condition.build()).recorded_at(times);
    let outcome = match log.append(&append) {
        Ok(receipt) => Ok(receipt),
        Err(AppendError::EventIdReused { id, position }) => Err(Refused::Reused(id, position)),
        Err(AppendError::DuplicateOrigin { origin }) => Err(Refused::OriginTwice(origin)),
        Err(AppendError::OriginReused { origin, position }) => {
            Err(Refused::OriginReused(origin, position))
        }
        Err(AppendError::ConditionFailed { failed }) => Err(Refused::Failed(failed)),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(outcome, model.append(events, condition, times));
}

fn from(event: &SpaceEvent, origin: Option<EventOrigin>) -> SpaceEvent {
    let mut event = event.clone();
    event.origin = origin;
    event
}

fn origin(position: u64) -> EventOrigin {
    EventOrigin { store_id: [7; 16], timeline: [8; 16], position: Position::new(position) }
}

fn new_event((space, kind, document, from_there): &(usize, u8, usize, Option<u64>)) -> SpaceEvent {
    let space_id = SPACES[*space];
    let document_id = DOCUMENTS[*document];
    let event = match kind {
        0 => SpaceEvent::space_created(space_id, "name"),
        1 => SpaceEvent::document_added(space_id, document_id, "/path"),
        2 => SpaceEvent::cache_invalidated(space_id, vec![document_id.to_owned()], "why"),
        3 => SpaceEvent::render_started(space_id, None::<String>),
        4 => SpaceEvent::application(space_id, "org.example.done", Object::new()).unwrap(),
        _ => SpaceEvent::variable_set(space_id, "n", i32::from(*kind)),
    };
    // Some without, some with one, some with two.
    let event = event.with_tags(TAGS.iter().take(usize::from(kind % 3)).skip(*document).copied());
    from(&event, from_there.map(origin))
}

fn changed(mut events: Vec<SpaceEvent>, change: &Change) -> Vec<SpaceEvent> {
    let extra = || SpaceEvent::space_activated(SPACES[0]);
    match change {
        Change::Nothing => {}
        Change::DropFirst => drop(events.remove(0)),
        Change::DropLast => drop(events.pop()),
        Change::Swap => events.reverse(),
        Change::Alter(which) => {
            which.get_mut(&mut events).source = Some("another".to_owned());
        }
        Change::Origin(which, from_there) => {
            which.get_mut(&mut events).origin = from_there.map(origin);
        }
        Change::AddFirst => events.insert(0, extra()),
        Change::AddLast => events.push(extra()),
    }
    events
}

fn step() -> impl Strategy<Value = Step> {
    let from = prop::option::weighted(0.2, 1..20_u64);
    let new = vec((0..SPACES.len(), 0..6_u8, 0..DOCUMENTS.len(), from), 1..5);
    let limit = prop_oneof![1..4_usize, Just(1_000)];
    let retry = (any::<Index>(), change(), prop::option::weighted(0.3, parts()));
    prop_oneof![
        5 => (new, parts(), vec(-20..20_i64, 1..4))
            .prop_map(|(new, parts, times)| Step::Append(new, parts, times)),
        3 => retry.prop_map(|(which, change, parts)| Step::Retry(which, change, parts)),
        2 => (filters(), 0..40_u64, prop_oneof![0..60_u64, Just(u64::MAX)], limit.clone())
            .prop_map(|(filters, from, to, limit)| Step::Read(filters, from, to, limit)),
        1 => (0..SPACES.len(), 0..20_u64, limit)
            .prop_map(|(space, from, limit)| Step::ReadSpace(space, from, limit)),
        1 => (-25..25_i64).prop_map(Step::AsOf),
        1 => prop_oneof![Just(Step::Reopen), Just(Step::Crash)],
    ]
}

fn parts() -> impl Strategy<Value = Parts> {
    let expected = prop_oneof![
        1 => Just(Expected::Any),
        1 => Just(Expected::NoSpace),
        1 => Just(Expected::Exists),
        4 => prop_oneof![4 => Just(0_u64), 1 => 1..4_u64].prop_map(Expected::Behind),
    ];
    let matching = (filters(), prop_oneof![Just(0_u64), 0..5_u64]);
    prop_oneof![
        2 => Just(Parts { expected: vec![], no_event_matching: vec![] }),
        3 => (vec((0..SPACES.len(), expected), 0..3), vec(matching, 0..2))
            .prop_map(|(expected, no_event_matching)| Parts { expected, no_event_matching }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Nothing),
        1 => Just(Change::DropFirst),
        1 => Just(Change::DropLast),
        1 => Just(Change::Swap),
        1 => any::<Index>().prop_map(Change::Alter),
        1 => (any::<Index>(), prop::option::of(1..20_u64))
            .prop_map(|(which, from)| Change::Origin(which, from)),
        1 => Just(Change::AddFirst),
        1 => Just(Change::AddLast),
    ]
}

fn filters() -> impl Strategy<Value = Vec<Filter>> {
    prop_oneof![3 => vec(filter(), 1..2), 1 => vec(filter(), 0..4)]
}

fn filter() -> impl Strategy<Value = Filter> {
    let event_type = prop::sample::select(vec![
        EventType::SpaceCreated,
        EventType::DocumentAdded,
        EventType::CacheInvalidated,
        EventType::VariableSet,
        EventType::SyncStarted,
        EventType::Application,
    ]);
    (
        prop::option::of(vec(event_type, 0..3)),
        prop::option::of(prop::collection::btree_set(0..SPACES.len(), 0..3)),
        prop::option::weighted(0.3, 0..DOCUMENTS.len()),
        prop_oneof![Just(BTreeSet::new()), prop::collection::btree_set(0..TAGS.len(), 1..3)],
    )
        .prop_map(|(types, spaces, document, tags)| Filter { types, spaces, document, tags })
}
