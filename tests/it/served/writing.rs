//! What writes does the same, and says the same, whichever door it comes by.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use spacefold::Spacefold;

use super::TestServer;
use crate::support::{Answer, answer, cli, run};

const LINES: &str = r#"{"event_type":"space.created","space_id":"x","payload":{"name":"X"}}
{"event_type":"space.created"}
[{"event_type":"space.activated","space_id":"x"},{"event_type":"variable.set","space_id":"x","payload":{"name":"n","value":123456789012345678901234567890}}]
{"event_id":"0197a6bc-0000-7000-8000-000000000001","event_type":"space.archived","space_id":"x"}
{"event_id":"0197a6bc-0000-7000-8000-000000000001","event_type":"space.archived","space_id":"x"}
{"event_id":"0197a6bc-0000-7000-8000-000000000001","event_type":"space.deleted","space_id":"x","payload":{"name":"X"}}
[]
"#;

fn with_input(mut command: Command, arguments: &[&str], input: &str) -> Answer {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    answer(child.wait_with_output().unwrap())
}

/// What commands that write answer, one after the other, on an empty store.
fn write_all_by(cli: &dyn Fn() -> Command) -> Vec<(Option<i32>, String, String)> {
    let commands: [(&[&str], &str); 24] = [
        (&["service", "create-space", "a", "A"], ""),
        (&["service", "create-space", "a", "A"], ""),
        (&["service", "add-document", "a", "intro", "/intro.md", "--source", "editor"], ""),
        (&["service", "add-document", "a", "more", "/intro.md"], ""),
        (&["service", "add-document", "nowhere", "more", "/intro.md"], ""),
        (&["service", "set-content", "a", "intro", "-"], "# Hello"),
        (&["service", "set-content", "a", "intro", "-"], "# Hello"),
        (&["service", "set-content", "a", "nothing", "-"], "# Hello"),
        (&["service", "set-variable", "a", "n", "1", "--key", "k", "--tag", "t"], ""),
        (&["service", "set-variable", "a", "n", "1", "--key", "k", "--tag", "t"], ""),
        (&["service", "set-variable", "a", "n", "2", "--key", "k"], ""),
        (&["service", "set-references", "a", "intro", r#"["b",{"target":"c","kind":"k"}]"#], ""),
        (&["service", "fail-render", "a", "--document", "intro"], ""),
        (&["service", "start-render", "a", "--extra", r#"ticket={"n":[1.50]}"#], ""),
        (&["service", "complete-render", "a", "--started", "1"], ""),
        (&["record", "a", "com.example.noted", r#"{"what":1}"#], ""),
        (&["record", "a", "nonsense", "{}"], ""),
        (&["append"], LINES),
        (
            &["append", "--expect", "x=1", "--expect", "x=2"],
            r#"{"event_type":"space.activated","space_id":"x"}"#,
        ),
        (
            &["append", "--unless", "type=space.archived,space=x"],
            r#"{"event_type":"space.activated","space_id":"x"}"#,
        ),
        (
            &["append", "--unless", "type=space.archived,space=x", "--after", "99"],
            r#"{"event_type":"space.activated","space_id":"x"}"#,
        ),
        (&["content", "put", "-"], "some content"),
        (&["content", "put", "-", "--json"], ""),
        (&["service", "archive-space", "a"], ""),
    ];
    let answers = commands.into_iter().map(|(arguments, input)| {
        let Answer { code, stdout, stderr } = with_input(cli(), arguments, input);
        (code, stdout, stderr)
    });
    answers.collect()
}

/// The events of a store, without ids and times.
fn exported(cli: &dyn Fn() -> Command) -> Vec<serde_json::Value> {
    let printed = run(cli().arg("export")).succeeded();
    let events = printed.lines().map(|line| {
        let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
        for of_now in ["event_id", "timestamp", "recorded_at"] {
            event.as_object_mut().unwrap().remove(of_now).unwrap();
        }
        event
    });
    events.collect()
}

fn compared(store: &Path, other: &dyn Fn() -> Command) {
    let (open, through) = (write_all_by(&|| cli(store)), write_all_by(other));
    for (nth, (through, open)) in through.iter().zip(&open).enumerate() {
        assert_eq!(through, open, "command {nth}");
    }
    assert!(open.iter().filter(|(code, ..)| *code == Some(0)).count() > 12, "{open:#?}");
    assert!(open.iter().filter(|(code, ..)| *code != Some(0)).count() > 6, "{open:#?}");
    assert_eq!(exported(other), exported(&|| cli(store)));
}

#[test]
fn commands_that_write_do_the_same_through_the_url() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::in_memory().unwrap();
    let server = TestServer::of(&spaces);
    compared(&folder.path().join("open"), &|| server.cli());
}

#[test]
fn commands_that_write_do_the_same_through_the_socket_of_who_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    let spaces = Spacefold::open(&served).unwrap();
    let server = TestServer::of(&spaces);
    server.at_socket_of(&served);
    compared(&folder.path().join("open"), &|| cli(&served));
    drop(server);
    spaces.close().unwrap();
}

#[test]
fn what_goes_through_no_server_says_so_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::in_memory().unwrap();
    let server = TestServer::of(&spaces);
    let line = folder.path().join("line");
    fs::write(&line, "").unwrap();
    let line = line.to_str().unwrap();
    let commands: [(&[&str], &str); 11] = [
        (&["import", line], "import"),
        (&["verify"], "verify"),
        (&["rebuild"], "rebuild"),
        (&["doctor"], "doctor"),
        (&["repair", line], "repair"),
        (&["salvage", line, line], "salvage"),
        (&["fork", line, line], "fork"),
        (&["import-git", "--space-per", "repo", line], "import-git"),
        (&["backup", line], "backup"),
        (&["demo"], "demo"),
        (&["content", "gc"], "content gc"),
    ];
    for (arguments, name) in commands {
        let answer = run(server.cli().args(arguments));
        let error = format!("`spacefold {name}` goes through no server ({})", server.url());
        answer.failed(2, &error);
    }
    let both = run(server.cli().args(["--data", line, "info"]));
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = run(crate::support::cli_at(&url).args(["spaces"]));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains(&format!("{url} cannot be reached")), "{}", answer.stderr);
    let answer = run(crate::support::cli_at("ftp://a").args(["spaces"]));
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
}
