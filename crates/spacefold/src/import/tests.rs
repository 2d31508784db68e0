use std::collections::HashSet;

use spacefold_event_core::Read;
use tempfile::TempDir;

use super::*;
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
    let mut next = Position::new(1);
    while next <= log.durable_head() {
        let page = log.read(&Read::from(next)).unwrap();
        let ids = page.envelopes().filter_map(|event| event.correlation_id);
        found.extend(ids.map(str::to_owned));
        next = page.next();
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
    let page = spaces.log().read(&Read::from(Position::new(1))).unwrap();
    let times: Vec<String> = page.envelopes().map(|event| event.recorded_at.to_string()).collect();
    assert_eq!(times[..2], ["2020-01-01T00:00:00+00:00", "2021-01-01T00:00:00+00:00"]);
    assert!(times[2] > times[1]);
}
