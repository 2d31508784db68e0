//! The JSON of the command line, byte for byte: programs read it, so it stays as it is. It is what the
//! values of the library serialize to.

use std::{fs, path::Path};

use spacefold::{Position, Spacefold};

use crate::support::{cli, fixture, run};

/// Events with every field fixed; with hashes of this system and of another, and of every part that a
/// snapshot prints.
fn events() -> String {
    let hash = spacefold::content::ContentHash::of(b"# Hello");
    let events = [
        ("space.created", r#"{"name":"A"}"#.to_owned()),
        ("space.updated", r#"{"changes":{"ratio":0.00001,"big":12345678901234567890}}"#.to_owned()),
        ("document.added", r#"{"document_id":"d","space_path":"/d"}"#.to_owned()),
        ("document.added", r#"{"document_id":"e","space_path":"/e"}"#.to_owned()),
        ("document.content_changed", format!(r#"{{"document_id":"d","new_hash":"{hash}"}}"#)),
        (
            "document.content_changed",
            r#"{"document_id":"e","old_hash":null,"new_hash":"md5:9a03"}"#.to_owned(),
        ),
        ("document.content_changed", r#"{"document_id":"d","new_hash":"md5:\u00e9"}"#.to_owned()),
        ("variable.set", r#"{"name":"n","value":[1,1.0,"x"]}"#.to_owned()),
        ("reference.added", r#"{"document_id":"d","target":"/e","kind":"cites"}"#.to_owned()),
        ("render.completed", r#"{"document_id":"d","output_hash":"out"}"#.to_owned()),
        ("sync.conflict", format!(r#"{{"document_id":"e","local_hash":"{hash}"}}"#)),
        ("cache.invalidated", r#"{"document_ids":["d","gone"]}"#.to_owned()),
    ];
    let line = |(index, (event_type, payload)): (usize, &(&str, String))| {
        let second = index + 1;
        format!(
            concat!(
                r#"{{"event_id":"018cc251-f400-7000-8000-0000000000{:02x}","event_type":"{}","#,
                r#""space_id":"a","payload":{},"timestamp":"2020-01-01T00:00:{:02}+00:00","#,
                r#""source":"s","recorded_at":"2020-01-01T00:01:{:02}+00:00"}}"#
            ),
            second, event_type, payload, second, second
        ) + "\n"
    };
    events.iter().enumerate().map(line).collect()
}

fn json(store: &Path, arguments: &[&str]) -> String {
    run(cli(store).args(arguments).arg("--json")).succeeded()
}

#[test]
fn the_command_line_prints_the_bytes_that_it_always_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let input = folder.path().join("in.jsonl");
    fs::write(&input, events()).unwrap();
    run(cli(&store).arg("import").arg(&input)).succeeded();
    let snapshot = json(&store, &["snapshot", "a"]);
    let diff = json(&store, &["diff", "a", "4", "12"]);
    let typed = json(&store, &["diff", "a", "4", "6"]);
    let history = json(&store, &["history", "a"]);
    let recorded = fs::read_to_string(fixture("printed.jsonl")).unwrap();
    let printed = format!("{snapshot}{diff}{typed}{history}");
    for (printed, recorded) in printed.lines().zip(recorded.lines()) {
        assert_eq!(printed, recorded);
    }
    assert_eq!(printed, recorded);

    let spaces = Spacefold::open_existing(&store).unwrap();
    assert_eq!(snapshot, serde_json::to_string(&spaces.snapshot("a").unwrap()).unwrap() + "\n");
    let events = conformance::whole_log(spaces.log()).into_iter();
    let events = events.map(|event| serde_json::to_string(&event).unwrap() + "\n");
    assert_eq!(history, events.collect::<String>());
    let changes = spaces.diff("a", Position::new(4)..Position::new(12)).unwrap();
    let changes = serde_json::to_string(&changes).unwrap();
    assert_eq!(diff, format!(r#"{{"space_id":"a","from":4,"to":12,"changes":{changes}}}"#) + "\n");
    spaces.close().unwrap();
}

#[test]
fn what_is_appended_is_answered_with_the_bytes_that_it_always_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let input = folder.path().join("in.jsonl");
    let created = r#"{"event_type":"space.created","space_id":"a","payload":{"name":"A"}}"#;
    let set = |n: u64| {
        let payload = format!(r#"{{"name":"n","value":{n}}}"#);
        format!(r#"{{"event_type":"variable.set","space_id":"a","payload":{payload}}}"#)
    };
    fs::write(&input, format!("{created}\n[{},{}]\n{{}}\n{}\n", set(1), set(2), set(3))).unwrap();
    let answer = run(cli(&store).args(["append", "--json"]).arg(&input));
    assert_eq!(
        answer.stdout,
        concat!(
            r#"{"line":1,"position":1,"count":1,"revision":1,"durable":true}"#,
            "\n",
            r#"{"line":2,"position":3,"count":2,"revision":3,"durable":true}"#,
            "\n",
            r#"{"line":3,"error":"key \"event_type\" is missing"}"#,
            "\n",
            r#"{"line":4,"position":4,"count":1,"revision":4,"durable":true}"#,
            "\n",
        ),
        "{}",
        answer.stderr
    );
}
