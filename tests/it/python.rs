//! What the Python module writes is read, and what is written the Python module reads.

use std::{path::PathBuf, process::Command};

use spacefold_event_core::{
    AppendRequest, EventType, JsonReader, LogWriter, MemoryLog, SpaceEvent,
};

use crate::support::fixture;

/// What `python_events.py write` prints.
const WRITTEN: &str = include_str!("../fixtures/python_events.jsonl");
/// The same events as they are printed once they are in a log.
const READ_BACK: &str = include_str!("../fixtures/python_events.read_back.jsonl");

/// The events through a log: recorded as of their own times, and printed.
fn through_a_log(lines: &str) -> String {
    let events: Vec<SpaceEvent> = lines
        .lines()
        .map(|line| JsonReader::default().read(line.as_bytes()).unwrap().event)
        .collect();
    let times: Vec<_> =
        events.iter().map(|event| event.timestamp.min(conformance::second(0))).collect();
    let log = MemoryLog::new();
    log.append(&AppendRequest::new(&events).recorded_at(&times)).unwrap();
    conformance::whole_log(&log).iter().map(|event| event.to_json() + "\n").collect()
}

/// A Python at hand, or none, said aloud.
fn python(arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new("python3");
    // Nothing is left behind in the folder of the fixtures.
    command.args(["-B"]).arg(fixture("python_events.py")).args(arguments);
    match Command::new("python3").arg("--version").output() {
        Ok(output) if output.status.success() => Some(command),
        _ => {
            eprintln!("skipped: there is no python3 here; the recorded output was compared alone");
            assert!(std::env::var_os("CI").is_none(), "CI needs python3");
            None
        }
    }
}

#[test]
fn every_type_stands_in_the_recording() {
    for event_type in EventType::CORE {
        let of_type = format!(r#""event_type": "{event_type}""#);
        assert!(WRITTEN.contains(&of_type), "{event_type}");
    }
}

#[test]
fn what_python_wrote_is_read_and_printed_as_recorded() {
    if std::env::var_os("SPACEFOLD_RECORD_FIXTURES").is_some() {
        let recording = fixture("python_events.read_back.jsonl");
        std::fs::write(recording, through_a_log(WRITTEN)).unwrap();
        return;
    }
    for (line, (printed, expected)) in
        through_a_log(WRITTEN).lines().zip(READ_BACK.lines()).enumerate()
    {
        assert_eq!(printed, expected, "line {}", line + 1);
    }
    assert_eq!(through_a_log(WRITTEN), READ_BACK);
    // What was printed is read as the same events again.
    assert_eq!(through_a_log(READ_BACK), READ_BACK);
}

#[test]
fn python_writes_what_is_recorded() {
    let Some(mut python) = python(&["write"]) else {
        return;
    };
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap().replace('\r', ""), WRITTEN);
}

#[test]
fn python_reads_the_same_events_back() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("read_back.jsonl");
    std::fs::write(&file, through_a_log(WRITTEN)).unwrap();
    let Some(mut python) = python(&["check", file.to_str().unwrap()]) else {
        return;
    };
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("events are the same\n"));
}
