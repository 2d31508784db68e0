//! Commands that select events by tags, sources, correlation ids, origins and names of types.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{cli, run};

/// Four events: two of an application's own, tags, sources, and one that another store had first.
const EVENTS: [&str; 4] = [
    r#"{"event_type":"space.created","space_id":"a","payload":{"name":"A"}}"#,
    r#"{"event_type":"com.example.comment.added","space_id":"a","payload":{"text":"hi"},"source":"web","tags":["course:c1","student:s7"]}"#,
    r#"{"event_type":"variable.set","space_id":"b","payload":{"name":"n","value":1},"correlation_id":"k","tags":["course:c1","a,b"]}"#,
    r#"{"event_type":"com.example.closed","space_id":"b","payload":{},"source":"web","origin":{"store":"000102030405060708090a0b0c0d0e0f","timeline":"000102030405060708090a0b0c0d0e0f","position":7}}"#,
];

fn store(folder: &Path) -> std::path::PathBuf {
    let (store, input) = (folder.join("store"), folder.join("in.jsonl"));
    fs::write(&input, EVENTS.join("\n")).unwrap();
    run(cli(&store).arg("import").arg(&input)).succeeded();
    store
}

/// The positions of the events that a command prints.
#[track_caller]
fn positions(store: &Path, arguments: &[&str]) -> Vec<u64> {
    let lines = run(cli(store).args(arguments)).succeeded();
    let event = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    lines.lines().map(|line| event(line)["position"].as_u64().unwrap()).collect()
}

#[test]
fn tail_and_export_select_by_what_events_carry() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let cases: [(&[&str], &[u64]); 10] = [
        (&[], &[1, 2, 3, 4]),
        (&["--tag", "course:c1"], &[2, 3]),
        (&["--tag", "course:c1", "--tag", "student:s7"], &[2]),
        (&["--tag", "nothing"], &[]),
        (&["--source", "web"], &[2, 4]),
        (&["--correlation-id", "k"], &[3]),
        (&["--not-from", "000102030405060708090a0b0c0d0e0f"], &[1, 2, 3]),
        (&["--type", "com.example.*"], &[2, 4]),
        (&["--type", "com.example.comment.added", "--source", "web"], &[2]),
        (&["--space", "b", "--tag", "course:c1"], &[3]),
    ];
    for (arguments, expected) in cases {
        for command in [&["tail"][..], &["tail", "--from", "1"], &["export"]] {
            let arguments = [command, arguments].concat();
            assert_eq!(positions(&store, &arguments), expected, "{arguments:?}");
        }
    }
    let refused = run(cli(&store).args(["tail", "--tag", ""]));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("a tag has 0 bytes"), "{}", refused.stderr);
    assert_eq!(run(cli(&store).args(["tail", "--not-from", "xyz"])).code, Some(2));
}

#[test]
fn history_is_of_a_space_a_document_a_tag_or_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let cases: [(&[&str], &[u64]); 7] = [
        (&["a"], &[1, 2]),
        (&["a", "--tag", "course:c1"], &[2]),
        (&["--tag", "course:c1"], &[2, 3]),
        (&["--tag", "course:c1", "--tag", "a,b"], &[3]),
        (&["--source", "web"], &[2, 4]),
        (&["b", "--source", "web"], &[4]),
        (&["--document", "d"], &[]),
    ];
    for (arguments, expected) in cases {
        let arguments = [&["history"], arguments].concat();
        assert_eq!(positions(&store, &arguments), expected, "{arguments:?}");
    }
    assert_eq!(run(cli(&store).args(["history", "nowhere"])).code, Some(4));
    assert_eq!(run(cli(&store).arg("history")).code, Some(2));
}

#[test]
fn an_append_can_depend_on_what_a_query_does_not_find() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let line = folder.path().join("line.jsonl");
    fs::write(&line, r#"{"event_type":"com.example.joined","space_id":"a","tags":["x:1"]}"#)
        .unwrap();
    let append = |arguments: &[&str]| {
        let answer = run(cli(&store).args(["append", "--json"]).args(arguments).arg(&line));
        let printed: Value = serde_json::from_str(answer.stdout.lines().next().unwrap()).unwrap();
        (answer.code, printed)
    };
    let refused: [(&[&str], u64); 6] = [
        (&["--unless", "tag=course:c1"], 2),
        (&["--unless", "tag=course:c1,tag=student:s7", "--unless", "type=space.created"], 1),
        (&["--unless", "tag=course:c1", "--after", "2"], 3),
        (&["--unless", "tag=a,b"], 3),
        (&["--unless", "type=com.example.*,space=b"], 4),
        (&["--unless", "space=nowhere", "--unless", "tag=student:s7,type=com.example.*"], 2),
    ];
    for (arguments, position) in refused {
        let (code, printed) = append(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {printed}");
        let error = printed["error"].as_str().unwrap();
        assert!(error.contains(&format!("at position {position} matches")), "{error}");
    }
    let taken: [&[&str]; 3] = [
        &["--unless", "tag=course:c1", "--after", "3"],
        &["--unless", "tag=course:c1,tag=a", "--unless", "tag=course:c1,space=nowhere"],
        &["--unless", "tag=b", "--expect", "b=2"],
    ];
    for (arguments, position) in taken.into_iter().zip(5..) {
        let (code, printed) = append(arguments);
        assert_eq!((code, printed["position"].as_u64()), (Some(0), Some(position)), "{printed}");
    }
    for wrong in [
        &["--unless", "course:c1"][..],
        &["--unless", "tag="],
        &["--unless", "type=space.eaten"],
        &["--unless", ""],
        &["--after", "3"],
    ] {
        assert_eq!(
            run(cli(&store).arg("append").args(wrong).arg(&line)).code,
            Some(2),
            "{wrong:?}"
        );
    }
}
