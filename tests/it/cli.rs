//! How the binaries fail, and with which exit code.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use crate::support::{Answer, SAMPLE, cli, fixture, rebuild_projections, run};

const CREATED: &str = r#"{"event_type":"space.created","space_id":"a","payload":{"name":"A"}}"#;

fn import(store: &Path, input: &Path) -> Answer {
    run(cli(store).args(["import", "--json"]).arg(input))
}

/// What an import says behind the head when the lines of so many events have neither id nor time.
fn made_up(events: u64) -> String {
    format!(
        "\"ids_made_up\":{events},\"ids_derived\":0,\"times_made_up\":{events},\"naive_times\":0,\
         \"clamped\":0,\"first_clamped\":null"
    )
}

/// A store with three events of the space `a`.
fn small(folder: &Path) -> std::path::PathBuf {
    let store = folder.join("store");
    let input = folder.join("small.jsonl");
    let lines = [
        CREATED,
        r#"{"event_type":"document.added","space_id":"a","payload":{"document_id":"d","space_path":"/d"}}"#,
        r#"{"event_type":"variable.set","space_id":"a","payload":{"name":"n","value":1}}"#,
    ];
    fs::write(&input, lines.join("\n")).unwrap();
    import(&store, &input).succeeded();
    store
}

#[test]
fn a_bad_line_stops_an_import_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let input = folder.path().join("in.jsonl");
    let archived = CREATED.replace("created", "archived");
    let bad: [(&[u8], &str); 4] = [
        (br#"{"event_type":"space.eaten","space_id":"a"}"#, "unknown event type \"space.eaten\""),
        (b"{\"a\":\"\xff\"}", "the bytes are not UTF-8 from byte 6 on"),
        (b"[]", "an event is a JSON object: this is an array"),
        (br#"{"event_type":"space.created","space_id":"a"}"#, "payload key \"name\" is missing"),
    ];
    for (round, (line, reason)) in bad.into_iter().enumerate() {
        let round = round + 1;
        // Blank lines count; what stands before the bad line stays, what stands behind does not.
        let text = [CREATED.as_bytes(), b"", b"  ", archived.as_bytes(), line, CREATED.as_bytes()];
        fs::write(&input, text.join(&b'\n')).unwrap();
        let answer = import(&store, &input);
        answer.failed(1, &format!("{reason} (line 5 of {})", input.display()));
        let head = round * 2;
        assert_eq!(
            answer.stdout,
            format!(
                "{{\"read\":2,\"appended\":2,\"already_present\":0,\"rejected\":0,\"head\":{head},{}}}\n",
                made_up(2)
            )
        );
    }
}

#[test]
fn bad_lines_can_be_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let input = folder.path().join("in.jsonl");
    let rejects = folder.path().join("rejects.jsonl");
    fs::write(&input, format!("{CREATED}\n{{}}\n\nnonsense\n{CREATED}")).unwrap();
    let answer = run(cli(&store).args(["import", "--json", "--rejects"]).args([&rejects, &input]));
    assert_eq!(
        answer.succeeded(),
        format!(
            "{{\"read\":4,\"appended\":2,\"already_present\":0,\"rejected\":2,\"head\":2,{}}}\n",
            made_up(2)
        )
    );
    let rejected: Vec<serde_json::Value> = fs::read_to_string(&rejects)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rejected.len(), 2);
    assert_eq!(rejected[0]["line"], 2);
    assert_eq!(rejected[0]["text"], "{}");
    assert_eq!(rejected[0]["error"], "key \"event_type\" is missing");
    assert_eq!((&rejected[1]["line"], &rejected[1]["text"]), (&4.into(), &"nonsense".into()));
}

#[test]
fn a_truncated_archive_fails_and_keeps_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let input = folder.path().join("cut.jsonl.gz");
    let whole = fs::read(fixture("book.jsonl.gz")).unwrap();
    fs::write(&input, &whole[..whole.len() / 2]).unwrap();
    let answer = import(&store, &input);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.starts_with("error: "), "{}", answer.stderr);
    assert!(answer.stderr.contains(&format!(" of {})", input.display())), "{}", answer.stderr);
    let report: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let appended = report["appended"].as_u64().unwrap();
    assert!(appended > 5_000, "{report}");
    assert_eq!(report["head"], appended);
    let exported = run(cli(&store).arg("export")).succeeded();
    assert_eq!(exported.lines().count() as u64, appended);
    // The whole archive takes it from there.
    let answer = import(&store, &fixture("book.jsonl.gz")).succeeded();
    assert!(answer.contains(&format!("\"already_present\":{appended},")), "{answer}");
    assert!(answer.contains("\"head\":25557"), "{answer}");
}

#[test]
fn input_that_does_not_open_creates_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for input in [folder.path().to_owned(), folder.path().join("absent.jsonl")] {
        for command in ["import", "append"] {
            let answer = run(cli(&store).arg(command).arg(&input));
            assert_eq!(answer.code, Some(1), "{}", answer.stderr);
            assert!(answer.stderr.starts_with("error: "), "{}", answer.stderr);
            assert!(answer.stderr.contains(&input.display().to_string()), "{}", answer.stderr);
            assert!(answer.stderr.contains("\nhint: "), "{}", answer.stderr);
            assert!(!store.exists());
        }
    }
}

#[test]
fn commands_that_only_read_create_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let commands: [&[&str]; 12] = [
        &["export"],
        &["rebuild"],
        &["rebuild", "--check"],
        &["snapshot", "a"],
        &["snapshot", "--all"],
        &["spaces"],
        &["diff", "a", "1", "2"],
        &["history", "a"],
        &["tail"],
        &["verify"],
        &["verify", "--heal"],
        &["info"],
    ];
    let error = format!("there is no store in this folder ({})", store.display());
    for arguments in commands {
        run(cli(&store).args(arguments)).failed(1, &error);
        run(cli(&store).args(arguments).arg("--json")).failed(1, &error);
        assert!(!store.exists(), "{arguments:?}");
    }
    let answer = run(&mut rebuild_projections(&store));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(!store.exists());
}

#[test]
fn unknown_spaces_and_positions_beyond_the_head_are_told_apart_from_failures() {
    let folder = tempfile::tempdir().unwrap();
    let store = small(folder.path());
    let commands: [&[&str]; 11] = [
        &["snapshot", "nowhere"],
        &["snapshot", "nowhere", "--at", "1"],
        &["snapshot", "a", "--at", "4"],
        &["snapshot", "a", "--at", "0"],
        &["snapshot", "--all", "--at", "4"],
        &["spaces", "--at", "4"],
        &["diff", "nowhere", "1", "2"],
        &["diff", "a", "1", "4"],
        &["history", "nowhere"],
        &["export", "--from", "5"],
        &["tail", "--from", "5"],
    ];
    for arguments in commands {
        for json in [&[][..], &["--json"]] {
            let answer = run(cli(&store).args(arguments).args(json));
            assert_eq!(answer.code, Some(4), "{arguments:?}: {}", answer.stderr);
            assert_eq!(answer.stdout, "", "{arguments:?}");
            assert!(answer.stderr.starts_with("error: "), "{}", answer.stderr);
            assert_eq!(answer.stderr.lines().count(), 2, "{}", answer.stderr);
        }
    }
    // At the edge there is something, or there are no spaces yet.
    run(cli(&store).args(["snapshot", "a", "--at", "3"])).succeeded();
    run(cli(&store).args(["diff", "a", "0", "3"])).succeeded();
    let none = run(cli(&store).args(["snapshot", "--all", "--at", "0", "--json"]));
    assert_eq!(none.succeeded(), "");
}

#[test]
fn misuse_is_told_apart_from_failures() {
    let folder = tempfile::tempdir().unwrap();
    let store = small(folder.path());
    let commands: [&[&str]; 8] = [
        &[],
        &["nonsense"],
        &["snapshot"],
        &["snapshot", "a", "--all"],
        &["snapshot", "a", "--at", "x"],
        &["snapshot", "a", "--at", "-1"],
        &["tail", "--type", "space.eaten"],
        &["diff", "a", "1"],
    ];
    for arguments in commands {
        let answer = run(cli(&store).args(arguments));
        assert_eq!(answer.code, Some(2), "{arguments:?}: {}", answer.stderr);
        assert_eq!(answer.stdout, "", "{arguments:?}");
    }
    for rebuild in [&mut rebuild_projections(&store), cli(&store).arg("rebuild")] {
        let unknown = run(rebuild.arg("nonsense"));
        assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
        assert!(unknown.stderr.contains("space-state"), "{}", unknown.stderr);
    }
    for help in ["--help", "--version"] {
        run(cli(&store).arg(help)).succeeded();
        run(rebuild_projections(&store).arg(help)).succeeded();
    }
}

#[test]
fn a_reader_that_leaves_ends_a_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    import(&store, &fixture("book.jsonl.gz")).succeeded();
    let commands: [&[&str]; 3] =
        [&["export"], &["history", "book-src"], &["snapshot", "--all", "--json"]];
    for arguments in commands {
        let mut child = cli(&store)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        drop(stdout);
        assert!(first.starts_with('{'), "{first}");
        let answer = crate::support::answer(child.wait_with_output().unwrap());
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn an_export_makes_the_same_store_again() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    import(&first, &fixture("book.jsonl.gz")).succeeded();
    let exported = run(cli(&first).arg("export")).succeeded();
    assert_eq!(exported.lines().count(), SAMPLE.lines().count());
    let file = folder.path().join("export.jsonl");
    fs::write(&file, &exported).unwrap();
    import(&second, &file).succeeded();
    assert!(run(cli(&second).arg("export")).succeeded() == exported);
    let states = |store: &Path| run(cli(store).args(["snapshot", "--all", "--json"])).succeeded();
    assert!(states(&first) == states(&second));
    let rebuilt = run(rebuild_projections(&first).args(["--check", "--json"])).succeeded();
    let rebuilt: serde_json::Value = serde_json::from_str(&rebuilt).unwrap();
    assert_eq!(rebuilt["head"], 25_557);
    assert_eq!(rebuilt["projections"][3]["name"], "space-state");
    assert_eq!(rebuilt["projections"][0]["events"], 25_557);
}

#[test]
fn many_spaces_are_printed_one_after_the_other_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let input = folder.path().join("many.jsonl");
    let id = |n: u64| format!("space-{:04}", n * 7_919 % 10_000);
    let line = |n: u64| CREATED.replace("\"a\"", &format!("{:?}", id(n)));
    fs::write(&input, (0..2_500).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    import(&store, &input).succeeded();
    let mut expected: Vec<String> = (0..2_500).map(id).collect();
    expected.sort_unstable();
    let [table, json] = [&[][..], &["--json"]]
        .map(|options| run(cli(&store).arg("spaces").args(options)).succeeded());
    let first_word = |line: &str| line.split(' ').next().unwrap().to_owned();
    assert_eq!(table.lines().skip(1).map(first_word).collect::<Vec<_>>(), expected);
    let id_of = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["space_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(json.lines().map(id_of).collect::<Vec<_>>(), expected);
    let then = run(cli(&store).args(["spaces", "--json", "--at", "2500"]));
    assert_eq!(then.succeeded(), json);
    let all = run(cli(&store).args(["snapshot", "--all", "--json"])).succeeded();
    assert_eq!(all.lines().map(id_of).collect::<Vec<_>>(), expected);
    // Who reads no more ends it.
    let mut printing =
        cli(&store).args(["snapshot", "--all"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(printing.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("space"), "{first}");
    printing.wait().unwrap();
}
