//! Processes that die in the middle.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use spacefold::{Position, Spacefold};

use crate::support::{Contents, REFERENCE, SAMPLE, SAMPLE_EVENTS, cli, import_sample, run};

/// How long a child may take for anything.
const LONG: Duration = Duration::from_secs(60);

fn kill(mut child: Child) {
    // SIGKILL: nothing of the process runs any more.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Bytes of the journal's files that are not zero: they are filled with zeros ahead of use.
fn journal_bytes(store: &Path) -> usize {
    let Ok(files) = fs::read_dir(store.join("journal")) else {
        return 0;
    };
    files
        .filter_map(|file| fs::read(file.ok()?.path()).ok())
        .map(|bytes| bytes.iter().filter(|byte| **byte != 0).count())
        .sum()
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut survived = 0;
    // The first is killed before it has an event, the second after its first appends, the third
    // close to the end; each finds what those before it left.
    for (lines, written) in [(1, 0), (20_000, 200_000), (25_500, 0)] {
        let mut child = cli(&store)
            .args(["import", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for line in SAMPLE.lines().take(lines) {
            writeln!(stdin, "{line}").unwrap();
        }
        let began = Instant::now();
        while journal_bytes(&store) < written {
            assert!(began.elapsed() < LONG, "the import writes nothing");
            std::thread::yield_now();
        }
        kill(child);
        // The input is held open to here, so that no import came to its end.
        drop(stdin);
        if let Ok(spaces) = Spacefold::open_existing(&store) {
            let head = spaces.durable_head().get();
            assert!(head >= survived, "{head} of {survived} events are left");
            assert!(head < SAMPLE_EVENTS);
            survived = head;
            let left = Contents::of(&spaces).export;
            assert!(REFERENCE.export.starts_with(&left), "another history");
        }
    }
    assert!(survived > 0, "no kill was late enough to leave an event");
    let spaces = Spacefold::open(&store).unwrap();
    let report = import_sample(&spaces);
    assert_eq!(report.appended + report.already_present, SAMPLE_EVENTS);
    assert_eq!(report.already_present, survived);
    Contents::of(&spaces).assert_is(&REFERENCE);
    spaces.close().unwrap();
    drop(spaces);
    run(cli(&store).arg("verify")).succeeded();
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    const LINES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut acknowledged = 0;
    let mut lines = SAMPLE.lines();
    for _ in 0..4 {
        let mut child = cli(&store)
            .args(["append", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for line in lines.by_ref().take(LINES) {
            writeln!(stdin, "{line}").unwrap();
        }
        stdin.flush().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        for answer in answers.take(LINES - 1) {
            let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
            assert_eq!(answer["durable"], true, "{answer}");
            acknowledged = answer["position"].as_u64().unwrap();
        }
        kill(child);
        drop(stdin);
        let spaces = Spacefold::open_existing(&store).unwrap();
        let head = spaces.durable_head();
        assert!(head >= Position::new(acknowledged), "{head} < {acknowledged}");
        let events = conformance::whole_log(spaces.log());
        let ids = events.iter().map(|event| event.event.event_id.to_string());
        for (id, line) in ids.zip(SAMPLE.lines()) {
            assert!(line.contains(&id), "another event than {line}");
        }
    }
    assert_eq!(acknowledged, 4 * LINES as u64 - 1);
}

#[test]
fn ctrl_c_leaves_a_store_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut child = cli(&store)
        .args(["append", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", SAMPLE.lines().next().unwrap()).unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut answer = String::new();
    stdout.read_line(&mut answer).unwrap();
    assert!(answer.contains(r#""position":1"#), "{answer}");
    let id = child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-INT", &id]).status();
    assert!(sent.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    drop(stdin);
    let spaces = Spacefold::open_existing(&store).unwrap();
    assert_eq!(spaces.durable_head(), Position::new(1));
}
