//! The service against a plain model, alone and with other writers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use fastrand::Rng;
use spacefold::{
    AppendCondition, CommandError, Durability, Options, Position, Revision, SpaceEvent,
    SpaceService,
    command::{Command, Outcome, Scope},
    event::{Payload, RecordedEvent},
    log::{EventLog, MemoryLog, StoreOptions},
    state::{DerivedState, LiveStates},
};

use super::{
    commands::{command, document, furnished, placement},
    reference::{Answer, Reference},
};

const SPACES: [&str; 2] = ["s", "t"];

/// The name of the rule, of a refusal.
fn rule(error: &CommandError) -> String {
    let refusal = error.refusal().unwrap_or_else(|| panic!("no refusal: {error}"));
    let shown = format!("{refusal:?}");
    shown.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// Whether the service has answered what the model does.
fn agrees(outcome: &Result<Outcome, CommandError>, answer: &Answer) -> bool {
    match (outcome, answer) {
        (Ok(outcome), Answer::Event(expected)) => {
            let same = |found: &SpaceEvent| {
                found.space_id == expected.space_id && found.payload == expected.payload
            };
            matches!(outcome.events(), [recorded] if same(&recorded.event))
        }
        (Ok(outcome), Answer::Nothing) => outcome.is_unchanged(),
        (Err(error), Answer::Refused(expected)) => rule(error) == *expected,
        _ => false,
    }
}

/// What a command is given on.
#[derive(Clone, Debug)]
enum On {
    Nothing,
    Revision(Revision),
    Unchanged(Scope, Position),
}

impl On {
    /// One that holds now and then: positions and revisions shortly before those of now.
    fn random(rng: &mut Rng, log: &dyn EventLog, space: &str) -> Self {
        let mut lately = |newest: u64| newest.saturating_sub(rng.u64(..6));
        let since = Position::new(lately(log.durable_head().get()));
        let revision = Revision::new(lately(log.revision(space).unwrap().get()));
        match rng.u32(..6) {
            0 => Self::Revision(revision),
            1 => Self::Unchanged(Scope::Space, since),
            2 | 3 => Self::Unchanged(Scope::Document(document(rng)), since),
            _ => Self::Nothing,
        }
    }

    fn of(&self, service: &SpaceService, space: &str) -> SpaceService {
        match self.clone() {
            Self::Nothing => service.clone(),
            Self::Revision(revision) => service.only_if(AppendCondition::exact(space, revision)),
            Self::Unchanged(scope, since) => service.if_unchanged_since(scope, since),
        }
    }
}

/// A model with what conditions ask for.
#[derive(Clone, Default)]
struct Model {
    reference: Reference,
    revision: u64,
    /// Where its newest event is, and the newest that has changed each of its documents.
    newest: Position,
    documents: BTreeMap<String, Position>,
}

impl Model {
    /// What the command comes to on a condition, and the model after it.
    fn command(&mut self, space: &str, on: &On, command: &Command) -> Answer {
        let holds = match on {
            On::Nothing => true,
            On::Revision(revision) => revision.get() == self.revision,
            On::Unchanged(Scope::Document(id), since) => {
                self.documents.get(id).is_some_and(|newest| newest <= since)
            }
            On::Unchanged(_, since) => self.newest <= *since,
        };
        match holds {
            true => self.reference.command(space, command),
            false => Answer::Refused("ConditionFailed"),
        }
    }

    /// Notes what the command has recorded.
    fn record(&mut self, events: &[RecordedEvent]) {
        for recorded in events {
            (self.newest, self.revision) = (recorded.position, recorded.revision.get());
            match &recorded.event.payload {
                Payload::DocumentAdded { document_id, .. }
                | Payload::DocumentUpdated { document_id, .. }
                | Payload::DocumentMoved { document_id, .. }
                | Payload::DocumentContentChanged { document_id, .. } => {
                    self.documents.insert(document_id.clone(), recorded.position);
                }
                Payload::DocumentRemoved { document_id, .. } => {
                    self.documents.remove(document_id);
                }
                Payload::SpaceDeleted { .. } => self.documents.clear(),
                _ => {}
            }
        }
    }
}

#[test]
fn one_writer_gets_the_answers_of_the_model() {
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let service = SpaceService::in_memory();
        let mut models: HashMap<&str, Model> = HashMap::new();
        for step in 0..250 {
            let space = SPACES[rng.usize(..2)];
            let (on, command) = (On::random(&mut rng, &**service.log(), space), command(&mut rng));
            let model = models.entry(space).or_default();
            let answer = model.command(space, &on, &command);
            let outcome = on.of(&service, space).execute(space, command.clone());
            let place = format!("seed {seed}, step {step}, {space}, {on:?}: {command:?}");
            assert!(agrees(&outcome, &answer), "{place}\n{outcome:?}\n{answer:?}");
            model.record(outcome.as_ref().map_or(&[], Outcome::events));
        }
        for (space, model) in models {
            if let Ok(snapshot) = service.states().snapshot(space) {
                model.reference.assert_is(&snapshot);
            }
        }
    }
}

#[test]
fn a_batch_answers_as_its_commands_would_one_by_one_but_for_paths_that_are_left() {
    let mut rearranged = 0;
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let service = SpaceService::in_memory();
        let mut model = Reference::default();
        for round in 0..20 {
            let one = if rng.bool() { command } else { placement };
            let mut commands: Vec<Command> = (0..rng.usize(1..12)).map(|_| one(&mut rng)).collect();
            if round == 0 {
                commands = furnished();
            }
            let mut after = model.clone();
            let (answers, overlapped) = after.batch("s", &commands);
            let batch = commands
                .iter()
                .cloned()
                .fold(service.batch("s"), |batch, command| batch.then(command));
            let before = service.log().head();
            let refused = answers.iter().position(|answer| matches!(answer, Answer::Refused(_)));
            match (batch.commit(), refused) {
                (Ok(outcome), None) => {
                    let expected: Vec<_> = answers
                        .iter()
                        .filter_map(|answer| match answer {
                            Answer::Event(event) => Some(event.payload.clone()),
                            _ => None,
                        })
                        .collect();
                    let found = outcome.events().iter().map(|recorded| &recorded.event.payload);
                    if overlapped {
                        rearranged += 1;
                    } else {
                        assert_eq!(found.cloned().collect::<Vec<_>>(), expected, "seed {seed}");
                    }
                    model = after;
                    if let Ok(snapshot) = service.states().snapshot("s") {
                        model.assert_is(&snapshot);
                    }
                }
                (Err(error), Some(refused)) => {
                    let CommandError::Refused { index, .. } = &error else { panic!("{error}") };
                    assert_eq!(*index, Some(refused), "seed {seed}: {error}: {commands:?}");
                    assert_eq!(Answer::Refused(rule(&error).leak()), answers[refused]);
                    assert_eq!(service.log().head(), before);
                }
                (outcome, refused) => panic!("seed {seed}: {outcome:?}, {refused:?}"),
            }
        }
    }
    assert!(rearranged > 100, "{rearranged} batches have rearranged documents");
}

/// A command, what came of it, and at which revisions of its space it may have been decided.
struct Given {
    space: &'static str,
    on: On,
    command: Command,
    outcome: Result<Outcome, CommandError>,
    from: Revision,
    to: Revision,
}

/// Commands from many threads through several services on one log.
fn give(seed: u64, log: &Arc<dyn EventLog>, threads: u64, commands: u64) -> Vec<Given> {
    let service = || {
        let states = LiveStates::new(log.clone(), DerivedState::in_memory());
        SpaceService::new(Arc::clone(log), Arc::new(states))
    };
    let services = [service(), service()];
    let begin = Barrier::new(usize::try_from(threads).unwrap());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|n| {
                let (begin, service) = (&begin, &services[usize::try_from(n % 2).unwrap()]);
                scope.spawn(move || {
                    let mut rng = Rng::with_seed(seed * 1_000 + n);
                    let mut given = Vec::new();
                    begin.wait();
                    for _ in 0..commands {
                        let space = SPACES[rng.usize(..2)];
                        let command = command(&mut rng);
                        let on = On::random(&mut rng, &**log, space);
                        let from = log.revision(space).unwrap();
                        let service = on.of(service, space);
                        let outcome = match rng.bool() {
                            true => service.execute(space, command.clone()),
                            false => service.submit(space, command.clone()).wait(),
                        };
                        // What it saw may not be durable yet.
                        log.wait_durable(log.head(), Duration::from_secs(60)).unwrap();
                        let to = log.revision(space).unwrap();
                        given.push(Given { space, on, command, outcome, from, to });
                    }
                    given
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Every command must have been answered as the model answers it, at one revision between its
/// beginning and its end; each event at its own.
fn check(seed: u64, log: &Arc<dyn EventLog>, given: Vec<Given>) {
    let (recorded, quiet): (Vec<Given>, Vec<Given>) =
        given.into_iter().partition(|given| matches!(&given.outcome, Ok(o) if !o.is_unchanged()));
    for space in SPACES {
        let mut of_space: Vec<&Given> = recorded.iter().filter(|g| g.space == space).collect();
        let position = |given: &Given| given.outcome.as_ref().unwrap().last_position();
        of_space.sort_by_key(|given| position(given));
        // The model at each revision.
        let mut models = vec![Model::default()];
        let place = |given: &Given| {
            let Given { on, command, outcome, .. } = given;
            format!("seed {seed}, {space}, {on:?}: {command:?} {outcome:?}")
        };
        for given in &of_space {
            let mut model = models.last().unwrap().clone();
            let answer = model.command(space, &given.on, &given.command);
            assert!(agrees(&given.outcome, &answer), "{}\n{answer:?}", place(given));
            let outcome = given.outcome.as_ref().unwrap();
            assert_eq!(outcome.revision().get(), models.len() as u64, "{}", place(given));
            model.record(outcome.events());
            models.push(model);
        }
        assert_eq!(log.revision(space).unwrap().get(), of_space.len() as u64);
        for given in quiet.iter().filter(|given| given.space == space) {
            let agreeing = (given.from.get()..=given.to.get()).any(|revision| {
                let mut model = models[usize::try_from(revision).unwrap()].clone();
                agrees(&given.outcome, &model.command(space, &given.on, &given.command))
            });
            assert!(agreeing, "{}", place(given));
        }
        let states = LiveStates::new(log.clone(), DerivedState::in_memory());
        if let Ok(snapshot) = states.snapshot(space) {
            models.last().unwrap().reference.assert_is(&snapshot);
        }
    }
    let events = conformance::whole_log(&**log);
    assert_eq!(events.last().map_or(Position::START, |e| e.position), log.durable_head());
}

#[test]
fn many_writers_are_answered_as_if_one_after_the_other_in_memory() {
    for seed in 0..30 {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let given = give(seed, &log, 4, 250);
        check(seed, &log, given);
    }
}

#[test]
fn many_writers_are_answered_as_if_one_after_the_other_in_a_store() {
    for (seed, durability) in [
        (0, Durability::Sync),
        (1, Durability::Sync),
        (2, Durability::Interval(Duration::from_millis(2))),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = StoreOptions::default().durability(durability);
        let spaces = Options::new(folder.path().join("data")).store(store).open().unwrap();
        let log: Arc<dyn EventLog> = Arc::new(spaces.log().clone());
        let given = give(seed, &log, 4, 60);
        check(seed, &log, given);
        drop(log);
        spaces.close().unwrap();
    }
}
