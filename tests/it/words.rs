//! How the command line takes what it is told, and how it says what it finds.

use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::support::{Answer, cli, rebuild_projections, run};

const MARK: &str = "\u{feff}";

fn activated(time: &str) -> String {
    format!(r#"{{"event_type":"space.activated","space_id":"a","timestamp":"{time}"}}"#)
}

fn json_of(answer: Answer) -> Value {
    serde_json::from_str(&answer.succeeded()).unwrap()
}

fn import(store: &Path, text: &str, arguments: &[&str]) -> Answer {
    let input = store.with_extension("jsonl");
    fs::write(&input, text).unwrap();
    run(cli(store).args(["import", "--json"]).arg(&input).args(arguments))
}

/// A store with an event of the space `a` on each of the first four days of 2022.
fn four_days(folder: &Path) -> std::path::PathBuf {
    let store = folder.join("store");
    let lines = ["01", "02", "03", "04"].map(|day| activated(&format!("2022-01-{day}T00:00:00Z")));
    import(&store, &lines.join("\n"), &[]).succeeded();
    store
}

/// Text of fewer than 256 bytes as zstd keeps what it cannot make smaller.
fn zstd(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    let block = u32::from(len) << 3 | 1;
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x20, len];
    [&header, &block.to_le_bytes()[..3], text.as_bytes()].concat()
}

#[test]
fn a_byte_order_mark_is_passed_over_however_the_file_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{MARK}{}\nbad", activated("2022-01-01T00:00:00Z"));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let files = [
        ("plain", text.clone().into_bytes()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd(&text)),
    ];
    for (name, bytes) in files {
        let [store, input, rejects] =
            ["store", "input", "rejects"].map(|part| folder.path().join(format!("{name}-{part}")));
        fs::write(&input, bytes).unwrap();
        let mut command = cli(&store);
        command.args(["import", "--json", "--rejects"]).args([&rejects, &input]);
        let printed = json_of(run(&mut command));
        assert_eq!((&printed["appended"], &printed["rejected"]), (&1.into(), &1.into()), "{name}");
        let rejected: Value = serde_json::from_str(&fs::read_to_string(&rejects).unwrap()).unwrap();
        assert_eq!((&rejected["line"], &rejected["text"]), (&2.into(), &"bad".into()));
        let answer = run(cli(&store).args(["append", "--json"]).arg(&input));
        let lines: Vec<Value> =
            answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["position"], lines.len()), (&2.into(), 2), "{}", answer.stdout);
    }
    // A rejected first line is kept without it, and a key map may have one as well.
    let store = folder.path().join("store");
    let [rejects, map] = ["rejects", "map"].map(|name| folder.path().join(name));
    fs::write(&map, format!(r#"{MARK}{{"space.created":{{"title":"name"}}}}"#)).unwrap();
    let line = r#"{"event_type":"space.created","space_id":"a","payload":{"title":"A"}}"#;
    let options = ["--map", map.to_str().unwrap(), "--rejects", rejects.to_str().unwrap()];
    let printed = json_of(import(&store, &format!("{MARK}bad\n{line}"), &options));
    assert_eq!((&printed["appended"], &printed["rejected"]), (&1.into(), &1.into()));
    assert!(fs::read_to_string(&rejects).unwrap().contains("\"text\":\"bad\""));
}

#[test]
fn a_date_alone_is_its_first_instant() {
    let folder = tempfile::tempdir().unwrap();
    let store = four_days(folder.path());
    for (time, position) in [("2022-01-02", 2), ("2022-01-03", 3), ("2023-01-01", 4)] {
        let arguments: [&[&str]; 2] =
            [&["snapshot", "a", "--as-of", time], &["blame", "a", "--as-of", time]];
        for arguments in arguments {
            let printed = json_of(run(cli(&store).args(arguments).arg("--json")));
            assert_eq!(printed["position"], position, "{arguments:?}");
        }
        let out = folder.path().join(time);
        let mut checkout = cli(&store);
        checkout.args(["checkout", "a", "--json", "--as-of", time]).arg(out);
        assert_eq!(json_of(run(&mut checkout))["position"], position);
    }
    for command in ["snapshot", "blame", "checkout", "diff"] {
        let help = run(cli(&store).args([command, "--help"])).succeeded();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("a date alone is its first instant in UTC"), "{command}: {help}");
    }
    // In a line too, where it has no offset.
    let other = folder.path().join("other");
    let printed = json_of(import(&other, &activated("2022-01-02"), &["--naive-offset", "+09:00"]));
    assert_eq!((&printed["naive_times"], &printed["clamped"]), (&1.into(), &0.into()));
    let exported = run(cli(&other).arg("export")).succeeded();
    assert!(exported.contains("\"timestamp\":\"2022-01-01T15:00:00+00:00\""), "{exported}");
}

#[test]
fn times_outside_of_the_years_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let store = four_days(folder.path());
    for (time, why) in [
        ("0001-01-01T00:00:00+00:01", "is before 0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59-00:01", "is after 9999-12-31T23:59:59.999999+00:00"),
        ("10000-01-01", "is after 9999-12-31T23:59:59.999999+00:00"),
        ("0000-12-31", "is before 0001-01-01T00:00:00+00:00"),
    ] {
        let answer = import(&store, &activated(time), &[]);
        assert_eq!(answer.code, Some(1));
        assert!(answer.stderr.contains(&format!("\"{time}\" {why}")), "{}", answer.stderr);
        let arguments: [&[&str]; 2] =
            [&["snapshot", "a", "--as-of", time], &["diff", "a", time, "1"]];
        for arguments in arguments {
            let answer = run(cli(&store).args(arguments));
            assert_eq!(answer.code, Some(2), "{}", answer.stderr);
            assert!(answer.stderr.contains(why), "{}", answer.stderr);
        }
    }
}

#[test]
fn ends_of_a_difference_are_positions_and_times_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let store = four_days(folder.path());
    let ends = |arguments: &[&str]| {
        let printed = json_of(run(cli(&store).args(["diff", "a", "--json"]).args(arguments)));
        (printed["from"].as_u64().unwrap(), printed["to"].as_u64().unwrap())
    };
    assert_eq!(ends(&["1", "3"]), (1, 3));
    assert_eq!(ends(&["2022-01-01", "3"]), (1, 3));
    assert_eq!(ends(&["4", "2022-01-02T12:00:00+00:00"]), (4, 2));
    assert_eq!(ends(&["2022-01-02", "2022-01-03 01:00:00Z"]), (2, 3));
    assert_eq!(ends(&["2022-01-02", "2022-01-03", "--times"]), (2, 3));
    assert_eq!(ends(&["1999-01-01", "0"]), (0, 0));
    for arguments in [&["1", "x"][..], &["1", ""], &["x", "1"], &["99999999999999999999", "1"]] {
        let answer = run(cli(&store).args(["diff", "a"]).args(arguments));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    }
    let answer = run(cli(&store).args(["diff", "a", "--times", "1", "2022-01-01"]));
    answer.failed(2, "1 is a position, and --times takes times (A and B)");
    assert_eq!(run(cli(&store).args(["diff", "a", "1", "5"])).code, Some(4));
}

#[test]
fn a_space_that_is_not_there_yet_is_named_with_the_position() {
    let folder = tempfile::tempdir().unwrap();
    let store = four_days(folder.path());
    let second = r#"{"event_type":"space.created","space_id":"b","payload":{"name":"B"}}"#;
    import(&store, second, &[]).succeeded();
    let out = folder.path().join("out").display().to_string();
    for (space, moment, position) in [
        ("a", ["--at", "0"], 0),
        ("b", ["--at", "0"], 0),
        ("b", ["--at", "4"], 4),
        ("a", ["--as-of", "1999-01-01"], 0),
        ("b", ["--as-of", "2022-01-02"], 2),
    ] {
        let commands: [&[&str]; 3] =
            [&["snapshot", space], &["blame", space], &["checkout", space, &out]];
        for arguments in commands {
            let answer = run(cli(&store).args(arguments).args(moment));
            let told = format!("there is no space \"{space}\" at position {position} ");
            assert_eq!(answer.code, Some(4), "{arguments:?}");
            assert!(answer.stderr.contains(&told), "{arguments:?}: {}", answer.stderr);
        }
    }
    assert!(!fs::exists(&out).unwrap());
}

#[test]
fn a_check_says_where_there_was_nothing_to_compare() {
    let folder = tempfile::tempdir().unwrap();
    let store = four_days(folder.path());
    // An import may be over before a state is folded; whoever asks for one folds them all.
    run(cli(&store).arg("spaces")).succeeded();
    let verdicts = |arguments: &[&str]| -> Vec<(String, String, bool)> {
        let printed = json_of(run(rebuild_projections(&store).args(arguments).arg("--json")));
        let of = |projection: &Value| {
            let text = |key: &str| projection[key].as_str().unwrap().to_owned();
            (text("name"), text("verdict"), projection["old_hash"].is_null())
        };
        printed["projections"].as_array().unwrap().iter().map(of).collect()
    };
    let all = |verdict: &str, states: &str, is_new: bool| {
        ["activity", "content-index", "open-problems", "space-state"]
            .map(|name| {
                let is_state = name == "space-state";
                let verdict = if is_state { states } else { verdict };
                (name.to_owned(), verdict.to_owned(), is_new && !is_state)
            })
            .to_vec()
    };
    for _ in 0..2 {
        assert_eq!(verdicts(&["--check"]), all("nothing to compare", "identical", true));
    }
    let told = run(rebuild_projections(&store).args(["--check", "activity"])).succeeded();
    assert!(told.starts_with("activity version 1: nothing to compare\n"), "{told}");
    assert_eq!(verdicts(&[]), all("created", "identical", true));
    assert_eq!(verdicts(&["--check"]), all("identical", "identical", false));
}

#[test]
fn ids_that_lines_do_not_have_are_counted_or_made_of_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"event_type":"space.activated","space_id":"a"}"#;
    let text = format!("{line}\n{line}\n{}", activated("2022-01-01"));
    let counts = |printed: &Value| {
        ["appended", "already_present", "ids_made_up", "ids_derived", "times_made_up"]
            .map(|key| printed[key].as_u64().unwrap())
    };
    let made_up = folder.path().join("made-up");
    for _ in 0..2 {
        assert_eq!(counts(&json_of(import(&made_up, &text, &[]))), [3, 0, 3, 0, 2]);
    }
    let input = made_up.with_extension("jsonl");
    let told = run(cli(&made_up).arg("import").arg(&input)).succeeded();
    assert!(told.contains("ids made up"), "{told}");
    let derived = folder.path().join("derived");
    let options = ["--derive-ids"];
    assert_eq!(counts(&json_of(import(&derived, &text, &options))), [3, 0, 0, 3, 2]);
    assert_eq!(counts(&json_of(import(&derived, &text, &options))), [0, 3, 0, 3, 2]);
    let more = format!("{text}\n{line}");
    assert_eq!(counts(&json_of(import(&derived, &more, &options))), [1, 3, 0, 4, 3]);
    // They are the same everywhere.
    let ids = |store: &Path| -> Vec<String> {
        let exported = run(cli(store).arg("export")).succeeded();
        exported.lines().map(|line| line.split('"').nth(3).unwrap().to_owned()).collect()
    };
    let other = folder.path().join("other");
    import(&other, &more, &options).succeeded();
    assert_eq!(ids(&other), ids(&derived));
}
