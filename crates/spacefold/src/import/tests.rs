use std::collections::HashSet;

use spacefold_event_core::{LimitExceeded, LogReader, MAX_EVENT_BYTES, ReadRequest, SpaceEvent};
use tempfile::TempDir;

use super::{importer::MAX_WINDOW_EVENTS, *};
use crate::{Folding, Options, Spacefold};

fn open() -> (TempDir, Spacefold) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path().join("data")).folding(Folding::OnDemand);
    let spaces = options.open().unwrap();
    (folder, spaces)
}

fn lines(events: u64) -> Vec<String> {
    let line = |number: u64| {
        SpaceEvent::space_activated(format!("space-{}", number % 7))
            .with_correlation_id(number.to_string())
            .to_json()
    };
    (0..events).map(line).collect()
}

fn import_text(spaces: &Spacefold, text: &str) -> Result<ImportReport, ImportError> {
    spaces.import(text.as_bytes(), &ImportOptions::default(), &mut ())
}

/// The correlation ids in the log, in order.
fn stored(spaces: &Spacefold) -> Vec<String> {
    let log = spaces.log();
    let mut found = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        let page = page.unwrap();
        let ids = page.envelopes().filter_map(|event| event.correlation_id);
        found.extend(ids.map(str::to_owned));
    }
    found
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn several_windows_keep_their_order_and_a_repetition_adds_nothing() {
    let (_folder, spaces) = open();
    let events = u64::try_from(MAX_WINDOW_EVENTS).unwrap() * 2 + 5;
    let text = lines(events).join("\n");
    let report = import_text(&spaces, &text).unwrap();
    let expected = ImportReport {
        read: events,
        appended: events,
        already_present: 0,
        rejected: 0,
        head: Position::new(events),
        ..ImportReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(stored(&spaces), numbers(0..events));
    let again = import_text(&spaces, &text).unwrap();
    assert_eq!((again.appended, again.already_present), (0, events));
    assert_eq!(again.head, report.head);
}

#[test]
fn an_id_that_comes_twice_is_stored_once() {
    let (_folder, spaces) = open();
    let mut all = lines(3);
    all.insert(1, all[0].clone());
    all.push(all[3].clone());
    let report = import_text(&spaces, &all.join("\n")).unwrap();
    assert_eq!((report.appended, report.already_present), (3, 2));
    assert_eq!(stored(&spaces), numbers(0..3));
}

#[test]
fn an_interrupted_import_is_completed_by_the_next() {
    let (_folder, spaces) = open();
    let all = lines(9_000);
    import_text(&spaces, &all[..4_321].join("\n")).unwrap();
    let report = import_text(&spaces, &all.join("\n")).unwrap();
    assert_eq!((report.appended, report.already_present), (4_679, 4_321));
    assert_eq!(stored(&spaces), numbers(0..9_000));
}

#[test]
fn everything_before_a_bad_line_is_stored() {
    let (_folder, spaces) = open();
    let mut all = lines(5_000);
    all.insert(4_500, "[]".to_owned());
    all.insert(10, String::new());
    let error = import_text(&spaces, &all.join("\n")).unwrap_err();
    assert_eq!(error.line(), Some(4_502));
    assert_eq!(error.report().appended, 4_500);
    assert_eq!(stored(&spaces), numbers(0..4_500));
}

#[test]
fn an_event_past_its_limit_is_a_bad_line_and_one_at_it_is_stored() {
    let (_folder, spaces) = open();
    let event = |bytes: usize| {
        let value = spacefold_event_core::Value::String("x".repeat(bytes));
        SpaceEvent::variable_set("a", "n", value)
    };
    let fixed = event(0).encoded_len();
    // The length of a long text takes more bytes than that of an empty one.
    let largest = (0..16)
        .map(|spare| event(MAX_EVENT_BYTES - fixed - spare))
        .find(|event| event.encoded_len() <= MAX_EVENT_BYTES)
        .unwrap();
    assert!(largest.encoded_len() > MAX_EVENT_BYTES - 16);
    let text = format!("{}\n{}", largest.to_json(), event(MAX_EVENT_BYTES).to_json());
    let error = import_text(&spaces, &text).unwrap_err();
    assert_eq!((error.line(), error.report().appended), (Some(2), 1));
    assert!(matches!(
        error.failure(),
        ImportFailure::BadLine {
            reason: JsonError::Limit(LimitExceeded::EventTooLarge { .. }),
            ..
        }
    ));
}

#[test]
fn events_that_encode_larger_than_their_text_stay_within_an_append() {
    let (_folder, spaces) = open();
    let value = "\"\",".repeat(40_000);
    let line = |number: u64| {
        format!(
            r#"{{"event_type":"variable.set","space_id":"a","correlation_id":"{number}","payload":{{"name":"n","value":[{value}0]}}}}"#
        )
    };
    let text: Vec<String> = (0..100).map(line).collect();
    assert_eq!(import_text(&spaces, &text.join("\n")).unwrap().appended, 100);
    assert_eq!(stored(&spaces), numbers(0..100));
}

#[test]
fn hooks_set_lines_aside_and_end_the_import() {
    struct Hooks {
        bad: HashSet<u64>,
        stop_at: u64,
    }
    impl ImportHooks for Hooks {
        fn bad_line(&mut self, bad: &BadLine<'_>) -> io::Result<OnBadLine> {
            assert_eq!(bad.text, b"junk");
            self.bad.insert(bad.number);
            Ok(OnBadLine::Reject)
        }
        fn progress(&mut self, report: &ImportReport) -> ControlFlow<()> {
            if report.read >= self.stop_at {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    let (_folder, spaces) = open();
    let mut all = lines(20_000);
    all.insert(3, "junk".to_owned());
    let text = all.join("\n");
    let mut hooks = Hooks { bad: HashSet::new(), stop_at: 10_000 };
    let outcome = spaces.import(text.as_bytes(), &ImportOptions::default(), &mut hooks);
    let error = outcome.unwrap_err();
    assert!(matches!(error.failure(), ImportFailure::Stopped));
    let report = *error.report();
    assert_eq!(report.read, report.appended + report.rejected);
    assert_eq!((report.rejected, hooks.bad), (1, HashSet::from([4])));
    assert_eq!(stored(&spaces), numbers(0..report.appended));
}

#[test]
fn times_come_from_the_line_or_are_now() {
    let (_folder, spaces) = open();
    let old =
        r#"{"event_type":"space.activated","space_id":"a","timestamp":"2020-01-01T00:00:00Z"}"#;
    let recorded = r#"{"event_type":"space.activated","space_id":"a","timestamp":"2020-01-01T00:00:00Z","recorded_at":"2021-01-01T00:00:00Z"}"#;
    import_text(&spaces, &format!("{old}\n{recorded}")).unwrap();
    let now = ImportOptions { times: RecordingTimes::Now, ..ImportOptions::default() };
    spaces.import(old.as_bytes(), &now, &mut ()).unwrap();
    let page = spaces.log().read(&ReadRequest::from(Position::new(1))).unwrap();
    let times: Vec<String> = page.envelopes().map(|event| event.recorded_at.to_string()).collect();
    assert_eq!(times[..2], ["2020-01-01T00:00:00+00:00", "2021-01-01T00:00:00+00:00"]);
    assert!(times[2] > times[1]);
}

fn line_at(time: &str) -> String {
    format!(r#"{{"event_type":"space.activated","space_id":"a","timestamp":"{time}"}}"#)
}

/// The line numbers and times of what was clamped.
fn clamped(report: &ImportReport) -> (u64, Option<(u64, String, String)>) {
    let first = report.first_clamped.map(|ClampedLine { line, asked, recorded }| {
        (line, asked.to_string(), recorded.to_string())
    });
    (report.clamped, first)
}

#[test]
fn events_recorded_at_another_time_than_they_say_are_counted() {
    let (_folder, spaces) = open();
    let times = ["2020-01-03", "2020-01-02T12:00:00", "2020-01-02", "2020-01-03", "2020-01-04"];
    let report = import_text(&spaces, &times.map(line_at).join("\n")).unwrap();
    let first = (2, "2020-01-02T12:00:00+00:00".to_owned(), "2020-01-03T00:00:00+00:00".to_owned());
    assert_eq!(clamped(&report), (2, Some(first)));
    // Behind what other imports have brought.
    let report = import_text(&spaces, &line_at("2020-01-01")).unwrap();
    let first = (1, "2020-01-01T00:00:00+00:00".to_owned(), "2020-01-04T00:00:00+00:00".to_owned());
    assert_eq!(clamped(&report), (1, Some(first)));
    let report = import_text(&spaces, &line_at("2020-01-04")).unwrap();
    assert_eq!(clamped(&report), (0, None));
    // One from the future takes all of those behind it along.
    let times = ["2020-01-05", "2099-01-01", "2020-01-06", "2020-01-07"];
    let report = import_text(&spaces, &times.map(line_at).join("\n\n")).unwrap();
    assert_eq!(report.clamped, 3);
    let first = report.first_clamped.unwrap();
    assert_eq!((first.line, first.asked.to_string().as_str()), (3, "2099-01-01T00:00:00+00:00"));
    assert!(first.recorded < Timestamp::now() && first.recorded > "2020-02-01".parse().unwrap());
    // Recorded at the present, none is at another time than it was to be.
    let now = ImportOptions { times: RecordingTimes::Now, ..ImportOptions::default() };
    let report = spaces.import(line_at("2021-01-01").as_bytes(), &now, &mut ()).unwrap();
    assert_eq!(clamped(&report), (0, None));
}

#[test]
fn clamped_events_are_counted_over_many_appends_and_before_a_bad_line() {
    let (_folder, spaces) = open();
    let mut all: Vec<String> = (0..20_000).map(|_| line_at("2020-01-02")).collect();
    all[17_000] = line_at("2020-01-01");
    all[18_000] = line_at("2019-01-01");
    all[19_000] = "nonsense".to_owned();
    let error = import_text(&spaces, &all.join("\n")).unwrap_err();
    assert_eq!(error.line(), Some(19_001));
    let (count, first) = clamped(error.report());
    assert_eq!((count, first.unwrap().0), (2, 17_001));
}

#[test]
fn lines_from_the_future_can_be_refused_or_set_aside() {
    struct Aside(Vec<(u64, String)>);
    impl ImportHooks for Aside {
        fn bad_line(&mut self, bad: &BadLine<'_>) -> io::Result<OnBadLine> {
            self.0.push((bad.number, bad.reason.to_string()));
            Ok(OnBadLine::Reject)
        }
    }
    let (_folder, spaces) = open();
    let options = ImportOptions { future: FutureTimes::Reject, ..ImportOptions::default() };
    let stated = r#"{"event_type":"space.activated","space_id":"a","timestamp":"2098-01-01","recorded_at":"2020-01-02"}"#;
    let again = stated.replace("2020-01-02", "2097-01-01");
    let text = [line_at("2020-01-01"), line_at("2099-01-01"), stated.to_owned(), again].join("\n");
    let error = spaces.import(text.as_bytes(), &options, &mut ()).unwrap_err();
    assert_eq!((error.line(), error.report().appended), (Some(2), 1));
    let told = error.to_string();
    let begins = "key \"timestamp\": 2099-01-01T00:00:00+00:00 is in the future: the clock is";
    assert!(told.starts_with(begins), "{told}");
    let mut aside = Aside(Vec::new());
    let report = spaces.import(text.as_bytes(), &options, &mut aside).unwrap();
    // When it happened may lie ahead, when it was recorded may not.
    assert_eq!((report.appended, report.rejected, report.clamped), (2, 2, 0));
    assert_eq!(aside.0.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
    assert!(aside.0[1].1.starts_with("key \"recorded_at\": 2097-01-01"), "{:?}", aside.0);
}

#[test]
fn what_lines_do_not_say_is_counted() {
    let (_folder, spaces) = open();
    let lines = [
        r#"{"event_type":"space.activated","space_id":"a"}"#,
        r#"{"event_type":"space.activated","space_id":"a","event_id":null,"timestamp":""}"#,
        r#"{"event_type":"space.activated","space_id":"a","timestamp":"2020-01-01","recorded_at":"2020-01-01T00:00:00"}"#,
        r#"{"event_type":"space.activated","space_id":"a","event_id":"00cc4488-aa63-5459-bab8-6565b79405ae","timestamp":"2020-01-01T00:00:00Z"}"#,
    ];
    let report = import_text(&spaces, &lines.join("\n")).unwrap();
    assert_eq!((report.appended, report.ids_made_up, report.ids_derived), (4, 3, 0));
    assert_eq!((report.times_made_up, report.naive_times), (2, 2));
}

#[test]
fn derived_ids_make_an_import_repeatable() {
    let (_folder, spaces) = open();
    let options = ImportOptions { ids: MissingIds::Derive, ..ImportOptions::default() };
    let import = |text: &str| spaces.import(text.as_bytes(), &options, &mut ()).unwrap();
    let line = |value: u64| {
        format!(
            r#"{{"event_type":"variable.set","space_id":"a","payload":{{"name":"n","value":{value}}}}}"#
        )
    };
    // Two equal lines are two events.
    let text = [line(1), line(2), line(1), line_at("2020-01-01")].join("\n");
    let report = import(&text);
    assert_eq!((report.appended, report.ids_derived, report.ids_made_up), (4, 4, 0));
    let report = import(&text);
    assert_eq!((report.appended, report.already_present), (0, 4));
    // However they are written down, and whatever stands between them.
    let other = r#"{ "payload": {"value": 1, "name": "n"}, "space_id": "a", "event_type": "variable.set", "note": 7 }"#;
    let text = [line(3), other.to_owned(), line(1), line_at("2020-01-01T00:00:00Z")].join("\r\n");
    let report = import(&text);
    assert_eq!((report.appended, report.already_present), (1, 3));
    let report = import(&[line(1), line(1), line(1)].join("\n"));
    assert_eq!((report.appended, report.already_present), (1, 2));
}

/// Imports events of which one key gets this many bytes.
fn import_renamed(
    spaces: &Spacefold,
    key_bytes: usize,
    events: u64,
) -> Result<ImportReport, ImportError> {
    let line = |number: u64| {
        format!(r#"{{"event_type":"com.example.noted","space_id":"a","payload":{{"k":{number}}}}}"#)
    };
    let text: Vec<String> = (0..events).map(line).collect();
    let renamed = [("k".to_owned(), "k".repeat(key_bytes))].into_iter().collect();
    let key_map = [("com.example.noted".to_owned(), renamed)].into_iter().collect();
    let reader = JsonReader { key_map, ..JsonReader::default() };
    let options = ImportOptions { reader, ..ImportOptions::default() };
    let text = format!("{}\n{}", lines(1).join(""), text.join("\n"));
    spaces.import(text.as_bytes(), &options, &mut ())
}

#[test]
fn an_event_that_renaming_makes_too_large_is_refused_by_its_line() {
    let (_folder, spaces) = open();
    let error = import_renamed(&spaces, MAX_EVENT_BYTES, 2).unwrap_err();
    assert!(
        matches!(
            error.failure(),
            ImportFailure::BadLine {
                line: 2,
                reason: JsonError::Limit(LimitExceeded::EventTooLarge { bytes }),
            } if *bytes > MAX_EVENT_BYTES
        ),
        "{error:?}"
    );
    assert_eq!(error.report().appended, 1);
}

#[test]
fn events_that_renaming_makes_large_are_stored_however_many() {
    let (_folder, spaces) = open();
    let report = import_renamed(&spaces, MAX_EVENT_BYTES / 2, 100).unwrap();
    assert_eq!((report.appended, report.rejected), (101, 0));
}
