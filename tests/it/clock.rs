//! The system's clock where it should not be, and events with times that cannot be kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};
use spacefold::{
    EventId, Position, SpaceEvent, Spacefold, Timestamp,
    log::{AppendRequest, LogReader as _, LogWriter as _, MemoryLog},
};

use crate::support::{Answer, cli, rebuild_projections, recorder, run};

/// Seconds from now to the year 2099, about, and back to before 1970.
const TO_2099: i64 = 2_300_000_000;
const BEFORE_1970: i64 = -2_000_000_000;

/// The command in a process whose clock is so many seconds ahead.
fn at(command: &mut Command, seconds: i64) -> Answer {
    run(command.env("LD_PRELOAD", recorder()).env("SPACEFOLD_RECORDER_CLOCK", seconds.to_string()))
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

fn line(time: &str) -> String {
    format!(r#"{{"event_type":"space.activated","space_id":"a","timestamp":"{time}"}}"#)
}

fn import(store: &Path, lines: &[&str], arguments: &[&str]) -> Answer {
    let input = store.with_extension("jsonl");
    fs::write(&input, lines.iter().map(|time| line(time) + "\n").collect::<String>()).unwrap();
    run(cli(store).arg("import").arg(&input).args(arguments))
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap()
}

#[test]
fn a_clock_before_1970_is_named_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    import(&store, &["2020-01-01"], &[]).succeeded();
    let input = store.with_extension("jsonl").display().to_string();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    let file = file.display().to_string();
    let out = folder.path().join("out").display().to_string();
    let commands: [&[&str]; 15] = [
        &["import", &input],
        &["append", &input],
        &["info"],
        &["verify"],
        &["verify", "--quick"],
        &["verify", "--heal"],
        &["spaces"],
        &["snapshot", "a"],
        &["export"],
        &["tail"],
        &["checkout", "a", &out],
        &["content", "put", &file],
        &["content", "gc"],
        &["service", "create-space", "b", "B"],
        &["service", "activate-space", "a"],
    ];
    let before = files(folder.path());
    for arguments in commands {
        for store in [&store, &folder.path().join("none")] {
            let answer = at(cli(store).args(arguments), BEFORE_1970);
            assert_eq!(answer.code, Some(1), "{arguments:?}: {}", answer.stderr);
            assert!(answer.stderr.contains("before 1970"), "{arguments:?}: {}", answer.stderr);
            assert_eq!(answer.stderr.lines().count(), 2, "{}", answer.stderr);
        }
        assert!(files(folder.path()) == before, "{arguments:?}");
    }
    let rebuild = at(&mut rebuild_projections(&store), BEFORE_1970);
    assert_eq!(rebuild.code, Some(1), "{}", rebuild.stderr);
    assert!(rebuild.stderr.contains("before 1970"), "{}", rebuild.stderr);
    assert!(files(folder.path()) == before);
    run(cli(&store).arg("verify")).succeeded();
    // At its first second there is nothing to object to.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let early = 60 - i64::try_from(now.as_secs()).unwrap();
    at(cli(&folder.path().join("1970")).args(["import", &input]), early).succeeded();
}

/// Holds on every clock.
#[test]
fn ids_and_times_are_made() {
    let ids: BTreeSet<EventId> = (0..1_000).map(|_| EventId::new()).collect();
    assert_eq!(ids.len(), 1_000);
    let now = Timestamp::now();
    assert!(now > Timestamp::MIN && now < Timestamp::MAX, "{now}");
    let log = MemoryLog::new();
    for _ in 0..2 {
        log.append(&AppendRequest::new(&[SpaceEvent::space_activated("a")])).unwrap();
    }
    assert!(log.position_as_of(Timestamp::now()).unwrap() >= Position::new(2));
}

#[test]
fn ids_and_times_are_made_before_1970() {
    let mut again = Command::new(std::env::current_exe().unwrap());
    let answer = at(again.args(["--exact", "clock::ids_and_times_are_made"]), BEFORE_1970);
    let told = answer.succeeded();
    assert!(told.contains("test result: ok. 1 passed"), "{told}");
}

#[test]
fn a_session_in_the_future_is_warned_of_until_the_clock_gets_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert_eq!(import(&store, &["2020-01-01"], &[]).stderr, "");
    let info = run(cli(&store).args(["info", "--json"])).succeeded();
    assert_eq!(json_of(&info)["ahead_of_clock"], Value::Null);

    at(cli(&store).args(["service", "rename-space", "a", "A"]), TO_2099).succeeded();
    for arguments in [&["spaces"][..], &["verify"], &["service", "archive-space", "a"], &["info"]] {
        let answer = run(cli(&store).args(arguments));
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        let begins = "warning: the events from position 2 on were recorded up to 2099-";
        assert!(answer.stderr.starts_with(begins), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(" days ahead of the clock"), "{}", answer.stderr);
        assert_eq!(answer.stderr.lines().count(), 2, "{}", answer.stderr);
    }
    // So it is beside the process that has the store.
    let held = Spacefold::open(&store).unwrap();
    for arguments in [&["spaces"][..], &["info"], &["export"], &["tail"]] {
        let answer = run(cli(&store).args(arguments));
        let begins = "warning: the events from position 2 on were recorded up to 2099-";
        assert!(answer.stderr.starts_with(begins), "{arguments:?}: {}", answer.stderr);
    }
    held.close().unwrap();
    drop(held);
    let rebuild = run(rebuild_projections(&store).arg("--check"));
    assert!(
        rebuild.stderr.starts_with("warning: the events from position 2"),
        "{}",
        rebuild.stderr
    );
    let printed = json_of(&run(cli(&store).args(["info", "--json"])).succeeded());
    let ahead = &printed["ahead_of_clock"];
    assert_eq!(ahead["since"], 2);
    assert!(ahead["newest"].as_str().unwrap().starts_with("2099-"), "{ahead}");
    let seconds = ahead["seconds"].as_u64().unwrap();
    assert!((2_299_990_000..=2_300_000_000).contains(&seconds), "{ahead}");
    let info = run(cli(&store).arg("info")).succeeded();
    assert!(info.contains("the events from position 2 on were recorded up to 2099-"), "{info}");
    // What says an earlier time is clamped, and said to be.
    let printed = json_of(&import(&store, &["2021-01-01"], &["--json"]).succeeded());
    assert_eq!((&printed["clamped"], &printed["first_clamped"]["line"]), (&1.into(), &1.into()));
    // Once the clock is there, or not far from it, nothing is said.
    for (clock, is_warned) in
        [(TO_2099 + 60, false), (TO_2099 - 3_600, false), (TO_2099 - 90_000, true)]
    {
        let answer = at(cli(&store).arg("spaces"), clock);
        assert_eq!(answer.stderr.starts_with("warning: "), is_warned, "{clock}: {}", answer.stderr);
    }
    let printed = json_of(&at(cli(&store).args(["info", "--json"]), TO_2099 - 3_600).succeeded());
    assert_eq!(printed["ahead_of_clock"]["since"], 2);
}

#[test]
fn clamped_events_are_counted_and_the_first_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let answer = import(&store, &["2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z"], &["--json"]);
    let expected = json!({
        "read": 2, "appended": 2, "already_present": 0, "rejected": 0, "head": 2,
        "ids_made_up": 2, "ids_derived": 0, "times_made_up": 0, "naive_times": 0, "clamped": 1,
        "first_clamped": {
            "line": 2,
            "time": "2020-01-01T00:00:00+00:00",
            "recorded_at": "2020-01-02T00:00:00+00:00",
        },
    });
    assert_eq!(json_of(&answer.stdout), expected);
    assert_eq!(answer.stderr, "");
    // The state as of a day is what the warning is about.
    let answer = import(&store, &["2020-01-03", "2099-01-01", "2020-01-04"], &[]);
    assert!(answer.stdout.contains("recorded at another time  2\n"), "{}", answer.stdout);
    assert!(answer.stdout.contains("times read as UTC         3\n"), "{}", answer.stdout);
    let first = "first at another time: line 2, whose time 2099-01-01T00:00:00+00:00 is in the future: recorded at ";
    assert!(answer.stdout.contains(first), "{}", answer.stdout);
    let answer = import(&store, &["2020-01-03"], &[]);
    let first = "line 1, whose time 2020-01-03T00:00:00+00:00 is earlier than an event before it: recorded at ";
    assert!(answer.stdout.contains(first), "{}", answer.stdout);
    let as_of = run(cli(&store).args(["snapshot", "a", "--as-of", "2020-06-01", "--json"]));
    assert_eq!(json_of(&as_of.succeeded())["position"], 3);
}

#[test]
fn lines_from_the_future_are_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let rejects = folder.path().join("rejects");
    let times = ["2020-01-03", "2099-01-01", "2020-01-04"];
    let answer = import(&store, &times, &["--reject-future", "--json"]);
    assert_eq!(answer.code, Some(1));
    let told = "error: key \"timestamp\": 2099-01-01T00:00:00+00:00 is in the future: the clock";
    assert!(answer.stderr.starts_with(told), "{}", answer.stderr);
    let place = format!("(line 2 of {})\n", store.with_extension("jsonl").display());
    assert!(answer.stderr.contains(&place), "{}", answer.stderr);
    let rejects_option = ["--reject-future", "--json", "--rejects", rejects.to_str().unwrap()];
    let second = folder.path().join("second");
    let printed = json_of(&import(&second, &times, &rejects_option).succeeded());
    assert_eq!((&printed["appended"], &printed["rejected"]), (&2.into(), &1.into()));
    assert_eq!((&printed["clamped"], &printed["first_clamped"]), (&0.into(), &Value::Null));
    let rejected = json_of(&fs::read_to_string(&rejects).unwrap());
    assert_eq!((&rejected["line"], &rejected["text"]), (&2.into(), &line(times[1]).into()));
    let usage = import(&second, &times, &["--reject-future", "--now"]);
    assert_eq!(usage.code, Some(2), "{}", usage.stderr);
}

#[test]
fn commits_that_are_dated_before_the_one_before_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    fs::create_dir(&repository).unwrap();
    let git = |arguments: &[&str], date: &str| {
        let mut command = Command::new("git");
        command.current_dir(&repository).args(arguments);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "name").env(format!("GIT_{who}_EMAIL"), "mail");
            command.env(format!("GIT_{who}_DATE"), date);
        }
        run(&mut command).succeeded()
    };
    git(&["init", "--quiet"], "");
    for date in ["2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z"] {
        fs::write(repository.join("file"), date).unwrap();
        git(&["add", "file"], date);
        git(&["commit", "--quiet", "--message", "text"], date);
    }
    let store = folder.path().join("store");
    let mut import = cli(&store);
    import.arg("import-git").arg(&repository).args(["--space-per", "repo", "--json"]);
    let printed = json_of(&run(&mut import).succeeded());
    let second = git(&["rev-parse", "HEAD~1"], "");
    assert_eq!(printed["first_clamped"], second.trim());
    let exported = run(cli(&store).arg("export")).succeeded();
    let of_second = exported.lines().filter(|line| line.contains("\"timestamp\":\"2020-01-01"));
    assert_eq!(printed["clamped"], of_second.count());
}
