//! `spacefold service`.

use std::{fs::File, io::Read as _, path::Path};

use spacefold::{Position, Spacefold, event::JsonReader, log::LogReader};

use super::RECORDED;
use crate::support::{Answer, cli, run};

fn service(data: &Path, arguments: &[&str]) -> Answer {
    run(cli(data).arg("service").args(arguments))
}

/// What [`super::every_operation`] does, said on the command line.
const EVERY_OPERATION: [&[&str]; 29] = [
    &["create-space", "s", "S"],
    &["update-space", "s", r#"{"color":"red","size":3}"#],
    &["rename-space", "s", "T"],
    &["activate-space", "s"],
    &["add-document", "s", "d", "/d.md"],
    &["add-document", "s", "e", "/e.md"],
    &["update-document", "s", "d", r#"{"lang":"en"}"#],
    &["move-document", "s", "d", "/f.md"],
    &["set-content-hash", "s", "d", "h1"],
    &["set-variable", "s", "v", "1"],
    &["set-variable", "s", "w", "text", "--text"],
    &["delete-variable", "s", "v"],
    &["add-reference", "s", "d", "/e.md", "--kind", "cites"],
    &["add-reference", "s", "e", "/f.md"],
    &["clear-references", "s", "--document", "d"],
    &["clear-references", "s"],
    &["start-render", "s", "--document", "d"],
    &["complete-render", "s", "--document", "d", "--output-hash", "out"],
    &["start-render", "s"],
    &["fail-render", "s", "--error", "no ink"],
    &["start-sync", "s", "--direction", "pull"],
    &["record-conflict", "s", "d", "--local-hash", "h1", "--remote-hash", "h2"],
    &["record-conflict", "s", "x", "--remote-hash", "h9"],
    &["resolve-conflict", "s", "d", "h2"],
    &["complete-sync", "s"],
    &["invalidate-cache", "s", "d", "e", "--reason", "style"],
    &["remove-document", "s", "e"],
    &["archive-space", "s"],
    &["delete-space", "s"],
];

#[test]
fn every_operation_is_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut printed = String::new();
    for arguments in EVERY_OPERATION {
        let marked = ["--json", "--source", "me", "--correlation-id", "c"];
        printed += &service(&data, &[arguments, &marked].concat()).succeeded();
    }
    let exported = run(cli(&data).arg("export")).succeeded();
    assert_eq!(printed, exported);
    let spaces = Spacefold::open_existing(&data).unwrap();
    let events = conformance::whole_log(spaces.log());
    assert_eq!(super::written(&events), RECORDED);
    for (line, recorded) in printed.lines().zip(&events) {
        let read = JsonReader::default().read(line.as_bytes()).unwrap();
        assert_eq!(read.event, recorded.event);
        assert_eq!(read.event.source.as_deref(), Some("me"));
        assert_eq!(read.event.correlation_id.as_deref(), Some("c"));
    }
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    service(&data, &["create-space", "s", "S"]).succeeded();
    service(&data, &["add-document", "s", "d", "/d"]).succeeded();
    service(&data, &["create-space", "s", "S"])
        .failed(1, "the space exists already, its status is created (space \"s\")");
    service(&data, &["add-document", "s", "e", "/d"])
        .failed(1, "document \"d\" is at \"/d\" already (space \"s\")");
    service(&data, &["activate-space", "nowhere"])
        .failed(4, "there is no space \"nowhere\" (in the whole log)");
    service(&data, &["set-variable", "s", "v", "three"])
        .failed(2, "not valid JSON: expected ident at column 2 (the value \"three\")");
    let usage = service(&data, &["update-space", "s", "[1]"]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
    assert!(usage.stderr.contains("expected a JSON object, found an array"), "{}", usage.stderr);
    let usage = service(&data, &["set-everything", "s"]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
    assert_eq!(Spacefold::open_existing(&data).unwrap().log().head().get(), 2);
}

#[test]
fn a_command_that_changed_nothing_under_a_key_stays_so_through_export_and_import() {
    let folder = tempfile::tempdir().unwrap();
    let [data, copy] = ["data", "copy"].map(|name| folder.path().join(name));
    service(&data, &["create-space", "s", "S"]).succeeded();
    service(&data, &["set-variable", "s", "v", "1"]).succeeded();
    let keyed = ["set-variable", "s", "v", "1", "--key", "k"];
    assert_eq!(service(&data, &keyed).succeeded(), "nothing changed\n");
    service(&data, &["set-variable", "s", "v", "9"]).succeeded();
    let again = "nothing changed, recorded before under this key\n";
    assert_eq!(service(&data, &keyed).succeeded(), again);
    assert_eq!(service(&data, &[&keyed[..], &["--json"]].concat()).succeeded(), "");
    let snapshot = run(cli(&data).args(["snapshot", "s", "--json"])).succeeded();
    let snapshot: serde_json::Value = serde_json::from_str(&snapshot).unwrap();
    assert_eq!((&snapshot["variables"]["v"], &snapshot["revision"]), (&9.into(), &4.into()));
    service(&data, &["set-variable", "s", "v", "2", "--key", "k"]).failed(
        1,
        "idempotency key \"k\" was given to another command: its spacefold.command.unchanged in space \
         \"s\" is at position 3 (space \"s\")",
    );

    // It is exported and imported; programs that know the 21 types alone are not given it.
    let exported = run(cli(&data).arg("export")).succeeded();
    let left: serde_json::Value = serde_json::from_str(exported.lines().nth(2).unwrap()).unwrap();
    assert_eq!(left["event_type"], "spacefold.command.unchanged");
    assert_eq!(left["payload"]["operation"], "set_variable");
    let core = run(cli(&data).args(["export", "--core-only"])).succeeded();
    assert_eq!(core.lines().count(), 3);
    assert!(!core.contains("spacefold."), "{core}");
    let file = folder.path().join("all.jsonl");
    std::fs::write(&file, &exported).unwrap();
    run(cli(&copy).arg("import").arg(&file)).succeeded();
    assert_eq!(run(cli(&copy).arg("export")).succeeded(), exported);
    run(cli(&copy).arg("import").arg(&file)).succeeded();
    assert_eq!(run(cli(&copy).arg("export")).succeeded(), exported);
    // The caller of `append` cannot say it.
    std::fs::write(&file, exported.lines().nth(2).unwrap().replace("s\",", "t\",")).unwrap();
    let refused = run(cli(&data).arg("append").arg(&file));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
}

#[test]
fn an_event_of_ones_own_is_recorded_with_what_is_added_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let record = |arguments: &[&str]| run(cli(&data).arg("record").args(arguments));
    let marks = ["--tag", "course:c1", "--tag", "b", "--extra", "ticket=17", "--source", "me"];
    let first = ["s", "com.example.noted", r#"{"text":"a"}"#, "--json", "--correlation-id", "c"];
    let printed = record(&[&first[..], &marks].concat()).succeeded();
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["event_type"], "com.example.noted");
    assert_eq!(printed["payload"], serde_json::json!({"text": "a", "ticket": 17}));
    assert_eq!(printed["tags"], serde_json::json!(["course:c1", "b"]));
    assert_eq!((&printed["source"], &printed["correlation_id"]), (&"me".into(), &"c".into()));
    assert_eq!(record(&["s", "a.b"]).succeeded(), "a.b: position 2, revision 2\n");
    let create = [&["create-space", "s", "S", "--json"][..], &marks].concat();
    let created: serde_json::Value =
        serde_json::from_str(&service(&data, &create).succeeded()).unwrap();
    assert_eq!(created["payload"], serde_json::json!({"name": "S", "ticket": 17}));
    assert_eq!(created["tags"], printed["tags"]);
    assert_eq!(service(&data, &["record", "s", "a.b", "{}"]).code, Some(2));
    let refused = record(&["s", "document.eaten"]);
    refused.failed(1, "unknown event type \"document.eaten\" (space \"s\")");
    assert_eq!(record(&["s", "a.b", "[]"]).code, Some(2));
    assert_eq!(record(&["s", "a.b", "--extra", "x"]).code, Some(2));
    let tagged = run(cli(&data).args(["export", "--tag", "course:c1"])).succeeded();
    assert_eq!(tagged.lines().count(), 2);
}

#[test]
fn people_are_told_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let created = service(&data, &["create-space", "s", "S"]).succeeded();
    assert_eq!(created, "space.created: position 1, revision 1\n");
    assert_eq!(service(&data, &["rename-space", "s", "S"]).succeeded(), "nothing changed\n");
    let quiet = service(&data, &["rename-space", "s", "S", "--json"]).succeeded();
    assert_eq!(quiet, "");
    let keyed = ["set-variable", "s", "v", "-1", "--key", "k"];
    let first = service(&data, &keyed).succeeded();
    assert_eq!(first, "variable.set: position 2, revision 2\n");
    service(&data, &["set-variable", "s", "v", "2"]).succeeded();
    let again = service(&data, &keyed).succeeded();
    let before = ", recorded before under this key";
    assert_eq!(again, format!("variable.set: position 2, revision 2{before}\n"));
    let other = service(&data, &["set-variable", "s", "v", "3", "--key", "k"]);
    other.failed(
        1,
        "idempotency key \"k\" was given to another command: its variable.set in space \"s\" is at \
         position 2 (space \"s\")",
    );
}

#[test]
fn content_that_does_not_open_creates_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let absent = folder.path().join("absent.md");
    let answer = service(&data, &["set-content", "s", "d", absent.to_str().unwrap()]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("absent.md"), "{}", answer.stderr);
    assert!(!data.exists());
}

#[test]
fn content_comes_from_a_file_or_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("intro.md");
    std::fs::write(&file, "# Hello").unwrap();
    service(&data, &["create-space", "s", "S"]).succeeded();
    service(&data, &["add-document", "s", "d", "/d"]).succeeded();
    let set = ["set-content", "s", "d", file.to_str().unwrap()];
    assert_eq!(
        service(&data, &set).succeeded(),
        "document.content_changed: position 3, revision 3\n"
    );
    assert_eq!(service(&data, &set).succeeded(), "nothing changed\n");
    let input = File::open(&file).unwrap();
    let mut from_input = cli(&data);
    from_input.args(["service", "set-content", "s", "d", "-"]).stdin(input);
    assert_eq!(run(&mut from_input).succeeded(), "nothing changed\n");
    service(&data, &["set-content", "s", "x", file.to_str().unwrap()])
        .failed(1, "there is no document \"x\" (space \"s\")");
    let spaces = Spacefold::open_existing(&data).unwrap();
    let mut content = spaces.at(Position::new(3)).content("s", "d").unwrap();
    let mut text = String::new();
    content.read_to_string(&mut text).unwrap();
    assert_eq!(text, "# Hello");
}

#[test]
fn a_render_whose_process_is_gone_is_listed_and_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let spaces = Spacefold::open(&data).unwrap();
    let host = spaces.service().with_source("host 1");
    host.batch("s").create_space("S").add_document("d", "/d").commit().unwrap();
    // A process that is killed drops no guard.
    std::mem::forget(host.render("s", "d").unwrap());
    host.start_sync("s", "pull").unwrap();
    spaces.close().unwrap();
    drop((host, spaces));

    let problems = |arguments: &[&str]| {
        let printed = run(cli(&data).args(["problems", "--json"]).args(arguments)).succeeded();
        let lines = printed.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    let running = ["--kind", "running_render"];
    let listed = problems(&running);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["document_id"], &listed[0]["since"]), (&"d".into(), &3.into()));
    assert_eq!(listed[0]["source"], "host 1");
    assert!(listed[0]["age_seconds"].is_u64() && listed[0]["since_time"].is_string());
    let sync = problems(&["--kind", "running_sync"]);
    assert_eq!((&sync[0]["since"], &sync[0]["direction"]), (&4.into(), &"pull".into()));
    let table = run(cli(&data).arg("problems")).succeeded();
    assert!(table.contains("running_render") && table.contains("host 1"), "{table}");

    let refused = service(&data, &["start-render", "s", "--document", "d"]);
    assert!(refused.stderr.contains("take-over-render"), "{}", refused.stderr);
    refused.failed(1, "document \"d\" is being rendered since position 3 (space \"s\")");
    let take_over =
        ["take-over-render", "s", "--document", "d", "--started", "3", "--source", "host 2"];
    assert_eq!(
        service(&data, &take_over).succeeded(),
        "render.failed: position 5, revision 5\nrender.started: position 6, revision 6\n"
    );
    // Who comes late, to take it over or to end it, is told.
    let superseded = "the render that started at position 3 has ended: one that started at position \
                      6 is running (space \"s\")";
    service(&data, &take_over).failed(1, superseded);
    let complete = ["complete-render", "s", "--document", "d", "--started"];
    service(&data, &[&complete[..], &["3"]].concat()).failed(1, superseded);
    let fail = ["fail-render", "s", "--document", "d", "--started", "3"];
    service(&data, &fail).failed(1, superseded);
    assert_eq!(problems(&running)[0]["source"], "host 2");
    service(&data, &[&complete[..], &["6"]].concat()).succeeded();
    assert_eq!(problems(&running), Vec::<serde_json::Value>::new());

    let refused = service(&data, &["start-sync", "s"]);
    assert!(refused.stderr.contains("take-over-sync"), "{}", refused.stderr);
    refused.failed(1, "a synchronisation is running since position 4 (space \"s\")");
    let take_over = ["take-over-sync", "s", "--started", "4", "--direction", "push"];
    assert_eq!(service(&data, &take_over).succeeded(), "sync.started: position 8, revision 8\n");
    let superseded = "the synchronisation that started at position 4 has ended: one that started at \
                      position 8 is running (space \"s\")";
    service(&data, &take_over).failed(1, superseded);
    service(&data, &["complete-sync", "s", "--started", "4"]).failed(1, superseded);
    service(&data, &["record-conflict", "s", "d", "--started", "4"]).failed(1, superseded);
    service(&data, &["complete-sync", "s", "--started", "8"]).succeeded();
    service(&data, &take_over).failed(1, "no synchronisation is running (space \"s\")");
    assert_eq!(problems(&[]), Vec::<serde_json::Value>::new());
}

#[test]
fn what_needs_a_render_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for arguments in [
        &["create-space", "s", "S"][..],
        &["add-document", "s", "d", "/d"],
        &["add-document", "s", "e", "/e"],
        &["set-content-hash", "s", "d", "h1"],
    ] {
        service(&data, arguments).succeeded();
    }
    let unrendered =
        || run(cli(&data).args(["snapshot", "s", "--needs-render", "--json"])).succeeded();
    let needed = |last: &str| {
        format!(
            "{{\"space_id\":\"s\",\"document_id\":\"d\",\"path\":\"/d\",\"content_hash\":\"h1\",\
             \"stale\":false,\"last_render\":{last}}}\n"
        )
    };
    let shown = || run(cli(&data).args(["snapshot", "s"])).succeeded();
    let counted = |count: &str| {
        let shown = shown();
        let line = shown.lines().find(|line| line.starts_with("documents to render"));
        assert!(line.is_some_and(|line| line.ends_with(count)), "{shown}");
    };
    assert_eq!(unrendered(), needed("null"));
    counted(" 1");
    service(&data, &["start-render", "s", "--document", "d"]).succeeded();
    assert_eq!(unrendered(), needed("\"running\""));
    assert!(shown().contains("needed, last running"), "{}", shown());
    service(&data, &["complete-render", "s", "--document", "d"]).succeeded();
    assert_eq!(unrendered(), "");
    counted(" 0");
    service(&data, &["set-content-hash", "s", "d", "h2"]).succeeded();
    assert!(unrendered().contains("\"h2\""));
    service(&data, &["invalidate-cache", "s", "e"]).succeeded();
    assert!(unrendered().contains("\"content_hash\":null,\"stale\":true"));
}

#[test]
fn references_are_set_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    service(&data, &["create-space", "s", "S"]).succeeded();
    service(&data, &["add-document", "s", "d", "/d"]).succeeded();
    let set = |references: &str| service(&data, &["set-references", "s", "d", references]);
    let both = r#"["/a", {"target": "/b", "kind": "cites"}]"#;
    assert_eq!(
        set(both).succeeded(),
        "reference.added: position 3, revision 3\nreference.added: position 4, revision 4\n"
    );
    assert_eq!(set(both).succeeded(), "nothing changed\n");
    assert_eq!(
        set(r#"["/a"]"#).succeeded(),
        "reference.cleared: position 5, revision 5\nreference.added: position 6, revision 6\n"
    );
    assert_eq!(set("[]").succeeded(), "reference.cleared: position 7, revision 7\n");
    for (wrong, why) in [
        ("/a", "not valid JSON"),
        ("{}", "expected a JSON array, found an object"),
        ("[7]", "a reference is a target or an object, found "),
        (r#"[{"kind": "cites"}]"#, "a reference has a target"),
        (r#"[{"target": "/a", "kind": 7}]"#, "the kind of a reference is a string"),
        (r#"[{"target": "/a", "sort": "x"}]"#, "no \"sort\""),
    ] {
        let usage = set(wrong);
        assert_eq!(usage.code, Some(2), "{wrong}: {}", usage.stderr);
        assert!(usage.stderr.contains(why), "{wrong}: {}", usage.stderr);
    }
}
