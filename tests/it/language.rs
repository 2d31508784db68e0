//! Events of one's own, tags and origins, through the command line: in, out, and in again.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{Answer, cli, run};

const LINES: [&str; 6] = [
    r#"{"event_id":"01000000-0000-7000-8000-000000000001","event_type":"com.example.comment.added","space_id":"a","payload":{"n":1.0,"text":"Hi"},"timestamp":"2026-01-01T00:00:00+00:00","source":"web","correlation_id":"c1","tags":["course:c1","student:s7"]}"#,
    r#"{"event_id":"01000000-0000-7000-8000-000000000002","event_type":"space.created","space_id":"a","payload":{"name":"A"},"timestamp":"2026-01-01T00:00:00+00:00","source":null,"correlation_id":null,"tags":["course:c1"]}"#,
    r#"{"event_id":"01000000-0000-7000-8000-000000000003","event_type":"billing:Invoice.paid","space_id":"b","payload":{},"timestamp":"2026-01-02T00:00:00+00:00","source":null,"correlation_id":null,"origin":{"store":"00010203-0405-0607-0809-0a0b0c0d0e0f","timeline":"ffffffff-ffff-ffff-ffff-ffffffffffff","position":18446744073709551615}}"#,
    r#"{"event_id":"01000000-0000-7000-8000-000000000004","event_type":"variable.set","space_id":"a","payload":{"name":"n","value":1},"timestamp":"2026-01-02T00:00:00+00:00","source":null,"correlation_id":null,"tags":["student:s7"],"origin":{"store":"00010203-0405-0607-0809-0a0b0c0d0e0f","timeline":"00000000-0000-0000-0000-000000000001","position":7}}"#,
    r#"{"event_id":"01000000-0000-7000-8000-000000000005","event_type":"spacefold.command.unchanged","space_id":"a","payload":{"arguments_hash":"00","operation":"set_variable"},"timestamp":"2026-01-02T00:00:00+00:00","source":null,"correlation_id":null}"#,
    r#"{"event_id":"01000000-0000-7000-8000-000000000006","event_type":"space.activated","space_id":"a","payload":{},"timestamp":"2026-01-02T00:00:00+00:00","source":null,"correlation_id":null}"#,
];

fn of(store: &Path, arguments: &[&str]) -> Answer {
    run(cli(store).args(arguments))
}

fn imported(folder: &Path, name: &str, lines: &str) -> std::path::PathBuf {
    let (store, input) = (folder.join(name), folder.join(format!("{name}.jsonl")));
    fs::write(&input, lines).unwrap();
    run(cli(&store).arg("import").arg(&input)).succeeded();
    store
}

fn positions(printed: &str) -> Vec<u64> {
    let position =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap();
    printed.lines().map(position).collect()
}

#[test]
fn what_is_imported_is_exported_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = imported(folder.path(), "one", &LINES.join("\n"));
    let exported = of(&store, &["export"]).succeeded();
    for (line, printed) in LINES.iter().zip(exported.lines()) {
        // Behind what was handed in comes what the log gave.
        let said = line.strip_suffix('}').unwrap();
        assert!(printed.starts_with(said), "{printed}\n{said}");
        assert!(printed[said.len()..].starts_with(",\"position\":"), "{printed}");
    }
    let again = imported(folder.path(), "two", &exported);
    assert_eq!(of(&again, &["export"]).succeeded(), exported);
    let state = |store: &Path| of(store, &["snapshot", "a", "--json"]).succeeded();
    assert_eq!(state(&again), state(&store));
    let info: Value = serde_json::from_str(&of(&store, &["info", "--json"]).succeeded()).unwrap();
    let types = &info["events_by_type"];
    assert_eq!(types["com.example.comment.added"], 1, "{info}");
    assert_eq!(types["space.created"], 1, "{info}");
    of(&store, &["verify"]).succeeded();
}

#[test]
fn the_core_types_alone_are_for_programs_that_know_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = imported(folder.path(), "store", &LINES.join("\n"));
    let core = of(&store, &["export", "--core-only"]).succeeded();
    assert_eq!(positions(&core), [2, 4, 6]);
}

#[test]
fn events_are_selected_by_names_tags_labels_and_origins() {
    let folder = tempfile::tempdir().unwrap();
    let store = imported(folder.path(), "store", &LINES.join("\n"));
    let cases: [(&[&str], &[u64]); 9] = [
        (&["--type", "com.example.*"], &[1]),
        (&["--type", "billing:Invoice.paid", "--type", "space.*"], &[2, 3, 6]),
        (&["--type", "*"], &[1, 2, 3, 4, 5, 6]),
        (&["--tag", "course:c1"], &[1, 2]),
        (&["--tag", "student:s7", "--tag", "course:c1"], &[1]),
        (&["--tag", "student:s7", "--type", "variable.set"], &[4]),
        (&["--source", "web"], &[1]),
        (&["--correlation-id", "c1", "--space", "a"], &[1]),
        (&["--not-from", "000102030405060708090a0b0c0d0e0f"], &[1, 2, 5, 6]),
    ];
    for (selection, expected) in cases {
        let exported = of(&store, &[&["export"], selection].concat()).succeeded();
        assert_eq!(positions(&exported), expected, "{selection:?}");
        let last = of(&store, &[&["tail", "--last", "100"], selection].concat()).succeeded();
        assert_eq!(positions(&last), expected, "{selection:?}");
    }
    for bad in [["--type", "document.eaten"], ["--type", "a*"], ["--not-from", "7"]] {
        let answer = of(&store, &[&["export"], &bad[..]].concat());
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    }
    let tagged = of(&store, &["activity", "--json", "--tag", "student:s7"]).succeeded();
    let counted: Vec<Value> =
        tagged.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = counted.iter().map(|it| it["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["com.example.comment.added", "variable.set"], "one day after the other");
}

#[test]
fn what_only_spacefold_records_cannot_be_appended() {
    let folder = tempfile::tempdir().unwrap();
    let store = imported(folder.path(), "store", LINES[1]);
    let input = folder.path().join("unchanged.jsonl");
    fs::write(&input, LINES[4]).unwrap();
    let answer = run(cli(&store).arg("append").arg(&input));
    assert_ne!(answer.code, Some(0));
    let said = answer.stdout + &answer.stderr;
    assert!(said.contains("spacefold.command.unchanged"), "{said}");
    fs::write(&input, LINES[0]).unwrap();
    run(cli(&store).arg("append").arg(&input)).succeeded();
    assert_eq!(positions(&of(&store, &["export"]).succeeded()), [1, 2]);
}

#[test]
fn bad_tags_and_origins_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("bad.jsonl");
    let event = |more: &str| {
        format!(r#"{{"event_type":"space.activated","space_id":"a","payload":{{}},{more}}}"#)
    };
    let store = "000102030405060708090a0b0c0d0e0f";
    let cases = [
        (event(r#""tags":"x""#), "key \"tags\" is a string: expected an array of strings"),
        (event(r#""tags":[1]"#), "key \"tags\" is an integer: expected an array of strings"),
        (event(r#""tags":[""]"#), "a tag has 0 bytes: a tag has 1 to 200"),
        (event(r#""tags":["x","x"]"#), "tag \"x\" is there twice"),
        (event(r#""origin":[]"#), "key \"origin\" is an array"),
        (event(r#""origin":{}"#), "key \"origin\": \"store\" is missing or malformed"),
        (
            event(&format!(r#""origin":{{"store":"{store}","timeline":"{store}","position":-1}}"#)),
            "key \"origin\": \"position\" is missing or malformed",
        ),
        (
            event(&format!(r#""origin":{{"store":"{store}","timeline":"{store}","position":0}}"#)),
            "the position of an origin is 0",
        ),
        (
            event(&format!(
                r#""origin":{{"store":"{store}","timeline":"{store}","position":1.0}}"#
            )),
            "key \"origin\": \"position\" is missing or malformed",
        ),
    ];
    for (line, why) in cases {
        fs::write(&input, &line).unwrap();
        let answer = run(cli(&folder.path().join("store")).arg("import").arg(&input));
        assert_eq!(answer.code, Some(1), "{line}");
        assert!(answer.stderr.contains(why), "{line}: {}", answer.stderr);
    }
    let none = [event(r#""tags":null,"origin":null"#), event(r#""tags":[]"#)].join("\n");
    let store = imported(folder.path(), "none", &none);
    let exported = of(&store, &["export"]).succeeded();
    assert!(!exported.contains("tags") && !exported.contains("origin"), "{exported}");
}
