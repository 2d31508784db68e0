//! What others wrote, as people are shown it: no id, name, path, value or file name moves the cursor,
//! speaks to the terminal or changes the order of what is shown. JSON stays as it is.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use spacefold::{SpaceEvent, Spacefold, Subscription, content::ContentStore as _, event::Object};

use crate::support::{cli, fixture, rebuild_projections, run};

/// One of each kind: to clear the screen, a C1 introducer, a title, a bell, a line of its own, a
/// carriage return, and the marks, overrides, isolates and separators of bidirectional text.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{1b}]0;x\u{7}\nerror: forged\r\u{7f}\u{85}\u{202e}\u{202a}\
                       \u{2066}\u{2069}\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}b";

/// A name of a file that holds as much of it as one can.
fn hostile_name(name: &str) -> String {
    format!("{HOSTILE}{name}")
}

fn is_hostile(character: char) -> bool {
    character.is_control()
        || ('\u{202a}'..='\u{202e}').contains(&character)
        || ('\u{2066}'..='\u{2069}').contains(&character)
        || "\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}".contains(character)
}

/// A store that holds it wherever something may be held.
fn store(path: &Path) -> String {
    let spaces = Spacefold::open(path).unwrap();
    let object =
        || -> Object { [(HOSTILE, spacefold::Value::from(HOSTILE))].into_iter().collect() };
    let hash = spaces.content().put(&mut HOSTILE.as_bytes()).unwrap().hash.to_string();
    spaces.content().sync().unwrap();
    let second = format!("{HOSTILE}2");
    let events = [
        SpaceEvent::space_created(HOSTILE, HOSTILE),
        SpaceEvent::space_updated(HOSTILE, object()),
        SpaceEvent::document_added(HOSTILE, HOSTILE, HOSTILE),
        SpaceEvent::document_updated(HOSTILE, HOSTILE, object()),
        SpaceEvent::document_content_changed(HOSTILE, HOSTILE, HOSTILE.to_owned(), &hash),
        SpaceEvent::document_added(HOSTILE, &second, &second),
        SpaceEvent::document_content_changed(HOSTILE, &second, None::<String>, HOSTILE),
        SpaceEvent::variable_set(HOSTILE, HOSTILE, HOSTILE),
        SpaceEvent::reference_added(HOSTILE, HOSTILE, HOSTILE, HOSTILE.to_owned()),
        SpaceEvent::render_started(HOSTILE, HOSTILE.to_owned()),
        SpaceEvent::render_failed(HOSTILE, HOSTILE.to_owned(), HOSTILE.to_owned()),
        SpaceEvent::sync_started(HOSTILE, HOSTILE.to_owned()),
        SpaceEvent::sync_conflict(HOSTILE, &second, HOSTILE.to_owned(), HOSTILE.to_owned()),
        SpaceEvent::cache_invalidated(HOSTILE, vec![HOSTILE.to_owned()], HOSTILE.to_owned()),
    ];
    let events = events.map(|event| event.with_source(HOSTILE).with_correlation_id(HOSTILE));
    spaces.append(events).unwrap();
    drop(spaces.subscribe_durable(HOSTILE, &Subscription::from_start()).unwrap());
    spaces.close().unwrap();
    hash
}

/// A repository whose names are hostile, at a path that is.
fn repository(path: &Path) {
    fs::create_dir_all(path).unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(path).args(["-c", "core.protectHFS=false"]).args(arguments);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "name").env(format!("GIT_{who}_EMAIL"), "mail");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    fs::write(path.join(hostile_name("file")), "text").unwrap();
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", HOSTILE]);
}

/// Runs commands, and looks at all that they print.
struct Shown {
    store: PathBuf,
    ran: BTreeSet<String>,
}

impl Shown {
    /// What a command printed, by its exit code: free of what is hostile, and with what was to be
    /// seen of it.
    #[track_caller]
    fn people(&mut self, code: i32, arguments: &[&str]) -> (String, String) {
        self.ran.insert(arguments[0].to_owned());
        let answer = run(cli(&self.store).args(arguments));
        assert_eq!(answer.code, Some(code), "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        assert_harmless(arguments, &answer.stdout);
        assert_harmless(arguments, &answer.stderr);
        (answer.stdout, answer.stderr)
    }

    /// As [`Self::people`], and says that the text is there, escaped.
    #[track_caller]
    fn shows(&mut self, code: i32, arguments: &[&str]) {
        let (stdout, stderr) = self.people(code, arguments);
        let escaped =
            "a\\u{1b}[2J\\u{9b}31m\\u{1b}]0;x\\u{7}\\nerror: forged\\r\\u{7f}\\u{85}\\u{202e}";
        assert!((stdout.clone() + &stderr).contains(escaped), "{arguments:?}: {stdout}{stderr}");
    }

    /// What a command prints for programs is what it is about, to the letter.
    #[track_caller]
    fn programs(&mut self, arguments: &[&str]) {
        self.ran.insert(arguments[0].to_owned());
        let printed = run(cli(&self.store).args(arguments)).succeeded();
        assert!(printed.ends_with('\n') && !printed.trim_end_matches('\n').is_empty());
        for line in printed.trim_end_matches('\n').split('\n') {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| {
                panic!("{arguments:?}: {error}: {line}");
            });
            assert!(says(&value), "{arguments:?}: {line}");
        }
    }
}

/// Whether a text of the value is, or holds, what is hostile.
fn says(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(HOSTILE),
        Value::Array(values) => values.iter().any(says),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains(HOSTILE) || says(value))
        }
        _ => false,
    }
}

#[track_caller]
fn assert_harmless(arguments: &[&str], printed: &str) {
    for line in printed.split('\n') {
        assert!(!line.contains(is_hostile), "{arguments:?}: {line:?}");
        // A line that begins like this one was begun by what others wrote.
        assert!(!line.starts_with("error: forged"), "{arguments:?}: {line:?}");
    }
}

#[test]
fn no_command_shows_people_what_moves_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(hostile_name("folder"));
    fs::create_dir(&root).unwrap();
    let path = |name: &str| root.join(hostile_name(name)).display().to_string();
    let data = root.join("store");
    let hash = store(&data);
    let mut shown = Shown { store: data, ran: BTreeSet::new() };

    for arguments in [
        &["snapshot", HOSTILE][..],
        &["snapshot", "--all"],
        &["spaces"],
        &["diff", HOSTILE, "0", "14"],
        &["blame", HOSTILE],
        &["activity"],
        &["problems"],
        &["where", &hash],
        &["info"],
    ] {
        shown.shows(0, arguments);
        shown.programs(&[arguments, &["--json"]].concat());
    }
    for arguments in [&["export"][..], &["history", HOSTILE], &["tail"]] {
        shown.programs(arguments);
    }
    let exported = run(cli(&shown.store).arg("export")).succeeded();
    let first: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    shown.programs(&["find", first["event_id"].as_str().unwrap()]);
    shown.people(0, &["verify"]);
    shown.people(0, &["demo"]);
    let own = ["record", HOSTILE, "com.example.noted", "--tag", HOSTILE, "--source", HOSTILE];
    shown.people(0, &own);
    shown.people(1, &["record", HOSTILE, HOSTILE]);

    // Unknown things are named.
    for arguments in [
        &["snapshot", "x\u{202e}"][..],
        &["blame", "x\u{202e}"],
        &["diff", "x\u{202e}", "0", "1"],
        &["history", "x\u{202e}"],
        &["export", "--space", "x\u{202e}"],
        &["tail", "--space", "x\u{202e}"],
        &["problems", "--space", "x\u{202e}"],
        &["checkout", "x\u{202e}", "out"],
        &["service", "activate-space", "x\u{202e}"],
    ] {
        let (_, told) = shown.people(4, arguments);
        assert!(told.contains("\"x\\u{202e}\""), "{told}");
    }
    for arguments in [
        &["snapshot", HOSTILE, "--at", HOSTILE][..],
        &["snapshot", HOSTILE, "--as-of", HOSTILE],
        &["diff", HOSTILE, HOSTILE, "1"],
        &["content", "get", HOSTILE],
        &["find", HOSTILE],
        &["tail", "--type", HOSTILE],
        &["import", "x", "--naive-offset", HOSTILE],
        &["append", "--expect", HOSTILE],
        &["append", "--unless", HOSTILE],
        &["tail", "--not-from", HOSTILE],
        &["import-git", "x", "--space-per", HOSTILE],
        &["service", HOSTILE],
        &["rebuild", HOSTILE],
        &["service", "update-space", "s", HOSTILE],
        &["service", "set-variable", "s", "v", HOSTILE],
        &[HOSTILE],
    ] {
        shown.people(2, arguments);
    }
    shown.ran.remove(HOSTILE);

    // Files whose names are hostile, with lines that are.
    let bad = serde_json::json!({"event_type": HOSTILE, "space_id": HOSTILE}).to_string();
    let input = path("input");
    fs::write(&input, format!("{bad}\n\u{1b}[2J\u{202e}")).unwrap();
    shown.shows(1, &["import", &input]);
    shown.shows(1, &["append", &input]);
    shown.shows(1, &["import", &path("absent")]);
    shown.shows(1, &["import", &input, "--map", &path("absent")]);
    shown.shows(2, &["import", &input, "--rejects", &input]);
    let rejects = path("rejects");
    shown.people(0, &["import", &input, "--rejects", &rejects]);
    let rejected = fs::read_to_string(&rejects).unwrap();
    let rejected: Value = serde_json::from_str(rejected.lines().next().unwrap()).unwrap();
    assert_eq!(rejected["text"], bad.as_str());
    shown.shows(1, &["import", &input, "--rejects", &rejects]);
    shown.shows(1, &["content", "put", &path("absent")]);
    shown.people(0, &["content", "put", &input]);
    shown.shows(1, &["content", "get", &hash, "--out", &input]);
    shown.people(0, &["content", "gc"]);

    // Commands that are refused, and that are not.
    shown.shows(1, &["service", "create-space", HOSTILE, HOSTILE]);
    shown.shows(1, &["service", "add-document", HOSTILE, "new", HOSTILE]);
    shown.shows(1, &["service", "set-content", HOSTILE, HOSTILE, &path("absent")]);
    shown.people(0, &["service", "rename-space", HOSTILE, "\u{1b}[2J"]);
    shown.shows(1, &["checkout", HOSTILE, &path("out")]);
    shown.shows(1, &["checkout", HOSTILE, &input]);

    let repository_path = path("repository");
    repository(Path::new(&repository_path));
    shown.shows(1, &["import-git", &path("absent"), "--space-per", "repo"]);
    shown.people(1, &["import-git", &repository_path, "--space-per", "repo", "--branch", HOSTILE]);
    let per_repo = ["import-git", &repository_path, "--space-per", "repo", "--name", "git\u{202e}"];
    shown.people(0, &per_repo);
    let files = path("files");
    shown.people(0, &["checkout", "git\u{202e}", &files]);
    shown.shows(1, &["checkout", "git\u{202e}", &files]);

    let (backups, restored) = (path("backups"), path("restored"));
    shown.people(0, &["backup", &backups]);
    shown.people(0, &["backup", "list", &backups]);
    shown.people(0, &["backup", "drill", &backups]);
    shown.people(0, &["restore", &backups, &restored]);
    shown.shows(1, &["restore", &backups, &restored]);
    shown.shows(1, &["restore", &path("absent"), &path("nowhere")]);
    shown.shows(1, &["backup", &files]);
    fs::write(Path::new(&backups).join("manifests/0000000001.json"), HOSTILE).unwrap();
    shown.people(3, &["backup", "list", &backups]);
    shown.people(3, &["backup", "verify", &backups]);
    // What is made of a store, and what is said of one, with what is at paths that are hostile.
    let data = shown.store.display().to_string();
    let (new, new_2) = (path("new"), path("new-2"));
    shown.people(0, &["fork", &data, &new]);
    shown.shows(1, &["fork", &data, &new]);
    shown.shows(1, &["fork", &path("absent"), &new_2]);
    shown.shows(4, &["pull", &new, "--spaces", "none\u{1b}[2J\u{202e}"]);
    shown.shows(1, &["pull", &path("absent"), "--spaces", HOSTILE]);
    shown.people(0, &["salvage", &data, &new_2]);
    shown.shows(1, &["salvage", &data, &new_2]);
    shown.shows(1, &["salvage", &path("absent"), &path("new-3")]);
    shown.people(2, &["salvage", &data, &path("new-3"), "--store", HOSTILE]);
    shown.shows(0, &["repair", &new_2]);
    shown.shows(1, &["repair", &new_2, "--from", &files]);
    shown.shows(1, &["repair", &path("absent")]);
    shown.shows(0, &["doctor", &data]);
    let rights = ["token", "create", "--allow", "read", "--spaces", HOSTILE, "--label", HOSTILE];
    shown.people(0, &rights);
    shown.shows(0, &["token", "list"]);
    shown.programs(&["token", "list", "--json"]);
    shown.shows(4, &["token", "revoke", HOSTILE]);
    let key = path("absent");
    shown.shows(1, &["serve", "--listen", "127.0.0.1:0", "--tls-cert", &key, "--tls-key", &key]);
    shown.shows(1, &["doctor", &path("absent")]);

    every_command_was_run(&shown.ran);
}

fn every_command_was_run(ran: &BTreeSet<String>) {
    let help = run(cli(Path::new("none")).arg("--help")).succeeded();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands: BTreeSet<String> =
        commands.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    let left_out: Vec<&String> =
        commands.difference(ran).filter(|command| *command != "help").collect();
    assert!(commands.len() > 10 && left_out.is_empty(), "not run: {left_out:?}");
}

#[test]
fn folders_of_stores_and_arguments_of_the_tool_are_shown_harmlessly() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(hostile_name("folder"));
    fs::create_dir(&root).unwrap();
    let data = root.join(hostile_name("data"));
    let binary = folder.path().join(OsString::from_vec(b"no\xff\x1b[2J".to_vec()));
    let harmless = |command: &mut Command, code| {
        let answer = run(command);
        assert_eq!(answer.code, Some(code), "{}{}", answer.stdout, answer.stderr);
        assert_harmless(&["--data"], &answer.stdout);
        assert_harmless(&["--data"], &answer.stderr);
        answer
    };
    for data in [&data, &binary] {
        harmless(cli(data).arg("info"), 1);
        harmless(cli(data).arg("verify"), 1);
        harmless(&mut rebuild_projections(data), 1);
    }
    harmless(cli(&data).arg("import").arg(fixture("book.jsonl.gz")), 0);
    harmless(&mut rebuild_projections(&data), 0);
    harmless(rebuild_projections(&data).arg(HOSTILE), 2);
    harmless(rebuild_projections(&data).args(["--threads", HOSTILE]), 2);
    harmless(rebuild_projections(&data).arg("--help").env("SPACEFOLD_DATA", HOSTILE), 0);
    harmless(cli(&data).arg("--help").env("SPACEFOLD_DATA", HOSTILE), 0);
    let held = Spacefold::open_existing(&data).unwrap();
    // It is in no segment yet.
    held.append([SpaceEvent::space_archived("book-src")]).unwrap();
    harmless(cli(&data).arg("info"), 0);
    harmless(cli(&data).arg("import").arg(fixture("book.jsonl.gz")), 1);
    harmless(&mut rebuild_projections(&data), 1);
    held.close().unwrap();
    drop(held);
    // Damage is named with its file.
    // Which of the files has the newest event is the store's affair.
    for file in fs::read_dir(data.join("journal")).unwrap() {
        fs::write(file.unwrap().path(), vec![0x55; 100_000]).unwrap();
    }
    let told = harmless(cli(&data).arg("verify"), 3);
    assert!(told.stdout.contains("journal"), "{}", told.stdout);
}
