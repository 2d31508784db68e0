//! Ids are in a log once, for ever: whatever is appended, tried again or imported.

use std::{fs, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use spacefold::{
    AppendCondition, AppendError, EventId, Folding, Options, Position, Revision, SpaceEvent,
    Spacefold, Timestamp, Value,
    admin::{ImportError, ImportFailure, ImportOptions, ImportReport},
};

use crate::support::{Contents, cli, on_each_kind, run};

on_each_kind![imports_compare_with_what_is_stored, imports_keep_one_event_of_an_origin];

const IDS: [&str; 3] = [
    "0190a000-0000-7000-8000-000000000001",
    "0190a000-0000-7000-8000-000000000002",
    "0190a000-0000-7000-8000-000000000003",
];

/// A line that sets a variable.
fn line(id: &str, value: &str) -> String {
    format!(
        "{{\"event_id\":\"{id}\",\"event_type\":\"variable.set\",\"space_id\":\"s\",\"payload\":\
         {{\"name\":\"v\",\"value\":{value}}},\"timestamp\":\"2020-01-01T00:00:00+00:00\"}}"
    )
}

fn append_line(store: &Path, line: &str, more: &[&str]) -> crate::support::Answer {
    let file = store.with_extension("line");
    fs::write(&file, line).unwrap();
    run(cli(store).args(["append", "--json"]).args(more).arg(&file))
}

#[test]
fn an_event_appended_again_under_an_expectation_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let first = append_line(&store, &line(IDS[0], "1"), &[]).succeeded();
    append_line(&store, &line(IDS[1], "2"), &[]).succeeded();
    for revision in ["s=2", "s=0", "s=7"] {
        let again = append_line(&store, &line(IDS[0], "1"), &["--expect", revision]);
        assert_eq!(again.succeeded(), first, "{revision}");
    }
    let other = append_line(&store, &line(IDS[0], "3"), &["--expect", "s=2"]);
    assert!(other.stdout.contains("is stored at position 1 already"), "{other:?}");
    assert_eq!(other.code, Some(1));
    let exported = run(cli(&store).arg("export")).succeeded();
    assert_eq!(exported.lines().count(), 2);

    // Another store that takes the export has the same state.
    let copy = folder.path().join("copy");
    let file = folder.path().join("exported");
    fs::write(&file, exported).unwrap();
    run(cli(&copy).arg("import").arg(&file)).succeeded();
    let states = [&store, &copy].map(|store| {
        let snapshot = run(cli(store).args(["snapshot", "s", "--json"])).succeeded();
        assert!(snapshot.contains("\"v\":2"), "{snapshot}");
        snapshot
    });
    assert_eq!(states[0], states[1]);
}

#[test]
fn a_line_with_the_id_of_another_event_is_refused_by_number_and_position() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let file = folder.path().join("lines");
    let import = |lines: &[String]| {
        fs::write(&file, lines.join("\n")).unwrap();
        run(cli(&store).args(["import", "--json"]).arg(&file))
    };
    import(&[line(IDS[0], "1"), line(IDS[1], "2")]).succeeded();
    let lines = [line(IDS[0], "1"), line(IDS[2], "3"), line(IDS[1], "9"), "no event".to_owned()];
    let expected = format!(
        "event id {} is stored at position 2 with other content (line 3 of {})",
        IDS[1],
        file.display()
    );
    import(&lines).failed(1, &expected);
    let exported = run(cli(&store).arg("export")).succeeded();
    assert_eq!(exported.lines().count(), 3, "what is before the line is stored");
    import(&lines[..2]).succeeded();
}

/// A line with the origin of another event of the same store.
fn line_from(id: &str, value: &str, position: u64) -> String {
    let store = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    let line = line(id, value);
    let said = line.strip_suffix('}').unwrap();
    format!(
        "{said},\"origin\":{{\"store\":\"{store}\",\"timeline\":\"{store}\",\"position\":{position}}}}}"
    )
}

#[test]
fn a_line_with_the_origin_of_another_event_is_refused_by_number_and_position() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let file = folder.path().join("lines");
    let import = |lines: &[String]| {
        fs::write(&file, lines.join("\n")).unwrap();
        run(cli(&store).args(["import", "--json"]).arg(&file))
    };
    import(&[line(IDS[0], "1"), line_from(IDS[1], "2", 7)]).succeeded();
    let said = "the event at position 2 has the origin 00010203-0405-0607-0809-0a0b0c0d0e0f/\
                00010203-0405-0607-0809-0a0b0c0d0e0f/7 already";
    let lines = [line(IDS[0], "1"), line_from(IDS[2], "3", 7), "no event".to_owned()];
    import(&lines).failed(1, &format!("{said} (line 2 of {})", file.display()));
    let appended = append_line(&store, &lines[1], &[]);
    assert_eq!(appended.code, Some(1));
    assert!(appended.stdout.contains(said), "{appended:?}");
    // The event that has it is there, wherever a line says that it comes from.
    import(&[line_from(IDS[1], "2", 7), line_from(IDS[0], "1", 7), line(IDS[1], "2")]).succeeded();
    let exported = run(cli(&store).arg("export")).succeeded();
    assert_eq!(exported.lines().count(), 2);
    assert!(!exported.lines().next().unwrap().contains("origin"), "{exported}");
}

fn imports_keep_one_event_of_an_origin(options: &Options) {
    let spaces = options.clone().folding(Folding::OnDemand).open().unwrap();
    let refused = |lines: &[String], at: u64, position: u64| {
        let error = import(&spaces, lines).unwrap_err();
        assert_eq!((error.line(), error.report().read), (Some(at), at - 1));
        let ImportFailure::OriginReused { position: found, .. } = error.failure() else {
            panic!("{error}")
        };
        assert_eq!(*found, Position::new(position));
    };
    // Of two lines that are both new, the first is stored; one that is there twice is no other event.
    let [first, second] = [line_from(IDS[0], "1", 1), line_from(IDS[1], "2", 1)];
    refused(&[first.clone(), first.clone(), line_from(IDS[0], "1", 2), second.clone()], 4, 1);
    refused(std::slice::from_ref(&second), 1, 1);
    // What comes first of an id and an origin that another event has is said.
    let changed = line(IDS[0], "9");
    refused(&[second.clone(), changed.clone()], 1, 1);
    let error = import(&spaces, &[changed, second]).unwrap_err();
    assert!(matches!(error.failure(), ImportFailure::IdReused { line: 1, .. }), "{error}");
    let report = import(&spaces, &[line_from(IDS[1], "2", 2), line_from(IDS[2], "3", 3)]).unwrap();
    assert_eq!((report.appended, spaces.durable_head()), (2, Position::new(3)));
}

#[test]
fn an_event_is_found_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    append_line(&store, &line(IDS[0], "1"), &[]).succeeded();
    append_line(&store, &line(IDS[1], "2"), &[]).succeeded();
    let exported = run(cli(&store).arg("export")).succeeded();
    let found = run(cli(&store).args(["find", IDS[1]])).succeeded();
    assert_eq!(exported.lines().nth(1), found.lines().next());
    let missing = format!("there is no event {} (in the whole log)", IDS[2]);
    run(cli(&store).args(["find", IDS[2]])).failed(4, &missing);
    let nonsense = run(cli(&store).args(["find", "nonsense"]));
    assert_eq!(nonsense.code, Some(2));
    assert!(nonsense.stderr.contains("\"nonsense\" is not a UUID"), "{nonsense:?}");
}

fn import(spaces: &Spacefold, lines: &[String]) -> Result<ImportReport, ImportError> {
    spaces.import(lines.join("\n").as_bytes(), &ImportOptions::default(), &mut ())
}

fn imports_compare_with_what_is_stored(options: &Options) {
    let spaces = options.clone().folding(Folding::OnDemand).open().unwrap();
    let report =
        import(&spaces, &[line(IDS[0], "1"), line(IDS[0], "1"), line(IDS[1], "2")]).unwrap();
    assert_eq!((report.appended, report.already_present), (2, 1));
    // What a line leaves open is no difference.
    let without_time = line(IDS[0], "1").replace("2020-01-01T00:00:00+00:00", "");
    assert_eq!(import(&spaces, &[without_time]).unwrap().already_present, 1);
    let refused = |lines: &[String], at: u64, position: u64| {
        let error = import(&spaces, lines).unwrap_err();
        assert_eq!((error.line(), error.report().read), (Some(at), at - 1));
        let ImportFailure::IdReused { position: found, .. } = error.failure() else {
            panic!("{error}")
        };
        assert_eq!(*found, Position::new(position));
    };
    refused(&[line(IDS[0], "1.0")], 1, 1);
    refused(&[line(IDS[1], "2"), line(IDS[0], "1").replace("01-01", "01-02")], 2, 1);
    // Another event under an id that an earlier line has.
    refused(&[line(IDS[2], "3"), line(IDS[2], "3"), line(IDS[2], "4")], 3, 3);
    assert_eq!(spaces.durable_head(), Position::new(3));
}

/// One step of a history: events, each one of a few and as it was or changed, that are appended or
/// imported.
#[derive(Clone, Debug)]
struct Step {
    events: Vec<(usize, bool)>,
    is_import: bool,
    expected: Option<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    let events = vec((0..12_usize, prop::bool::weighted(0.1)), 1..6);
    (events, any::<bool>(), prop::option::of(0..12_u64))
        .prop_map(|(events, is_import, expected)| Step { events, is_import, expected })
}

/// The event of a number: some ids rise, some do not.
fn numbered((number, is_changed): (usize, bool)) -> SpaceEvent {
    let id = match number % 3 {
        0 => EventId::derived(b"random", number as u64),
        _ => EventId::from_bytes((0x0190_a000_u128 << 96 | 7 << 76 | number as u128).to_be_bytes()),
    };
    let value = Value::from(if is_changed { 1_000 } else { number as u64 });
    let at: Timestamp = "2020-01-01".parse().unwrap();
    SpaceEvent::variable_set("s", "v", value).with_event_id(id).with_timestamp(at)
}

/// What a list of events makes of a step.
fn take(model: &mut Vec<SpaceEvent>, step: &Step) -> Result<(), u64> {
    let events: Vec<SpaceEvent> = step.events.iter().copied().map(numbered).collect();
    let place = |model: &[SpaceEvent], event: &SpaceEvent| {
        model.iter().position(|stored| stored.event_id == event.event_id)
    };
    if step.is_import {
        for event in events {
            match place(model, &event) {
                None => model.push(event),
                Some(at) if model[at] == event => {}
                Some(at) => return Err(at as u64 + 1),
            }
        }
        return Ok(());
    }
    if let Some((index, at)) =
        events.iter().enumerate().find_map(|(index, event)| Some((index, place(model, event)?)))
    {
        let run = at.checked_sub(index).and_then(|first| model.get(first..first + events.len()));
        return if run == Some(&events[..]) { Ok(()) } else { Err(0) };
    }
    if step.expected.is_some_and(|expected| expected != model.len() as u64) {
        return Err(0);
    }
    model.extend(events);
    Ok(())
}

#[test]
fn random_histories_keep_each_id_once() {
    each_history(|spaces, steps| {
        let mut model = Vec::new();
        for step in steps {
            let has_twice = (1..step.events.len())
                .any(|at| step.events[..at].iter().any(|(other, _)| *other == step.events[at].0));
            let events: Vec<SpaceEvent> = step.events.iter().copied().map(numbered).collect();
            let outcome = if step.is_import {
                let lines: Vec<String> = events.iter().map(SpaceEvent::to_json).collect();
                import(spaces, &lines).map(drop).map_err(|error| match error.failure() {
                    ImportFailure::IdReused { position, .. } => position.get(),
                    _ => panic!("{error}"),
                })
            } else {
                let condition = step.expected.map_or_else(AppendCondition::none, |expected| {
                    AppendCondition::exact("s", Revision::new(expected))
                });
                match spaces.append_if(&events, condition) {
                    Err(AppendError::DuplicateEventId { .. }) if has_twice => continue,
                    Err(
                        AppendError::EventIdReused { .. } | AppendError::ConditionFailed { .. },
                    ) => Err(0),
                    answered => answered.map(|_| ()).map_err(|error| panic!("{error}")),
                }
            };
            assert_eq!(outcome, take(&mut model, step));
        }
        let stored = conformance::whole_log(spaces.log());
        let events: Vec<SpaceEvent> = stored.into_iter().map(|stored| stored.event).collect();
        assert_eq!(events, model);
        for (event, position) in model.iter().zip(1..) {
            assert_eq!(spaces.find_event(event.event_id).unwrap(), Some(Position::new(position)));
        }
        // Exported and imported it is the same.
        let contents = Contents::of(spaces);
        let copy = Options::in_memory().open().unwrap();
        let options = ImportOptions::default();
        copy.import(contents.export.as_bytes(), &options, &mut ()).unwrap();
        let again = copy.import(contents.export.as_bytes(), &options, &mut ()).unwrap();
        assert_eq!(again.already_present, model.len() as u64);
        assert!(Contents::of(&copy) == contents);
    });
}

fn each_history(test: impl Fn(&Spacefold, &[Step])) {
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), 1..20), |steps| {
        let spaces = Options::in_memory().open().unwrap();
        test(&spaces, &steps);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
