//! The command line backs up, restores and looks after a repository, beside whoever has the store.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use spacefold::{Position, SpaceEvent, Spacefold, admin::VerifyOptions};

use crate::support::{Contents, cli, fixture, import_sample, run};

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&run(command.arg("--json")).succeeded()).unwrap()
}

#[test]
fn a_history_is_backed_up_restored_and_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, backups) = (path("data"), path("backups"));
    run(cli(&data).arg("import").arg(fixture("book.jsonl.gz"))).succeeded();
    let made = json(cli(&data).arg("backup").arg(&backups));
    assert_eq!((&made["backup"], &made["head"]), (&Value::from(1), &Value::from(25_557)));
    let again = json(cli(&data).arg("backup").arg(&backups));
    assert_eq!((&again["backup"], &again["bytes_put"]), (&Value::from(2), &Value::from(0)));

    let restored = json(cli(&data).arg("restore").arg(&backups).arg(path("whole")));
    assert_eq!(restored["parent_timeline"], made["timeline"]);
    let (old, new) = (Spacefold::open(&data).unwrap(), Spacefold::open(path("whole")).unwrap());
    Contents::of(&new).assert_is(&Contents::of(&old));
    new.close().unwrap();
    old.close().unwrap();
    assert_eq!(run(cli(&path("whole")).arg("verify")).code, Some(0));

    let point = ["--to-position", "12345"];
    let plan =
        json(cli(&data).arg("restore").arg(&backups).arg(path("cut")).args(point).arg("--dry-run"));
    assert_eq!((&plan["position"], path("cut").exists()), (&Value::from(12_345), false));
    run(cli(&data).arg("restore").arg(&backups).arg(path("cut")).args(point)).succeeded();
    let states = |data: &Path, more: &[&str]| {
        let printed = run(cli(data).args(["snapshot", "--all", "--json"]).args(more)).succeeded();
        let hash = |line: &str| {
            let state: Value = serde_json::from_str(line).unwrap();
            (state["space_id"].to_string(), state["state_hash"].to_string())
        };
        printed.lines().map(hash).collect::<Vec<_>>()
    };
    assert_eq!(states(&path("cut"), &[]), states(&data, &["--at", "12345"]));

    let beyond = ["--to-position", "25558"];
    let answer = run(cli(&data).arg("restore").arg(&backups).arg(path("none")).args(beyond));
    assert_eq!((answer.code, path("none").exists()), (Some(4), false));
    let early = ["--to-time", "1970-01-01T00:00:00Z"];
    let answer = run(cli(&data).arg("restore").arg(&backups).arg(path("none")).args(early));
    assert_eq!(answer.code, Some(4), "{}", answer.stderr);
    let over = run(cli(&data).arg("restore").arg(&backups).arg(path("cut")));
    assert_eq!(over.code, Some(1), "{}", over.stderr);

    let listed = run(cli(&data).args(["backup", "list", "--json"]).arg(&backups)).succeeded();
    assert_eq!(listed.lines().count(), 2);
    let verified = json(cli(&data).args(["backup", "verify", "--read", "5%"]).arg(&backups));
    assert_eq!(verified["ok"], true);
    let drilled = json(cli(&data).args(["backup", "drill"]).arg(&backups));
    assert_eq!(
        (&drilled["ok"], &drilled["state_hash"]),
        (&Value::from(true), &restored["state_hash"])
    );
    let pruned = json(cli(&data).args(["backup", "prune", "--keep-daily", "1"]).arg(&backups));
    assert_eq!(
        (&pruned["kept"], &pruned["removed"]),
        (&Value::from(vec![2]), &Value::from(vec![1]))
    );
    assert_eq!(run(cli(&data).args(["backup", "prune"]).arg(&backups)).code, Some(2));
    assert_eq!(run(cli(&data).args(["backup", "list"]).arg(path("cut"))).code, Some(1));
    assert_eq!(run(cli(&data).args(["backup", "list", "s3://bucket/x"])).code, Some(2));
    let inside = run(cli(&data).arg("backup").arg(data.join("backups")));
    assert_eq!(inside.code, Some(1), "{}", inside.stderr);

    // A byte of a file.
    let file = fs::read_dir(backups.join("frames")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    for arguments in [&["backup", "verify"][..], &["backup", "drill"]] {
        let answer = run(cli(&data).args(arguments).arg(&backups));
        assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    }
    let answer = run(cli(&data).arg("restore").arg(&backups).arg(path("none")));
    assert_eq!((answer.code, path("none").exists()), (Some(3), false));
}

#[test]
fn a_program_that_has_the_store_is_backed_up_and_an_archiver_runs_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let spaces = Spacefold::open(&data).unwrap();
    import_sample(&spaces);
    let made = json(cli(&data).arg("backup").arg(&backups));
    assert_eq!(made["head"], spaces.durable_head().get());

    let mut archiver = cli(&data)
        .args(["backup", "--every", "20ms", "--json"])
        .arg(&backups)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(archiver.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["backup"], 2);
    for number in 3..6 {
        let receipt = spaces.append([SpaceEvent::space_activated("a")]).unwrap();
        let made = next();
        assert_eq!(made["backup"], number);
        assert_eq!(made["head"], receipt.last_position().get());
    }
    let pid = archiver.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(archiver.wait().unwrap().code(), Some(130));
    let restored = folder.path().join("restored");
    let made = json(cli(&data).arg("restore").arg(&backups).arg(&restored));
    assert_eq!(made["position"], spaces.durable_head().get());
    spaces.close().unwrap();
}

#[test]
fn an_archiver_that_is_killed_leaves_the_backups_before_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let spaces = Spacefold::open(&data).unwrap();
    import_sample(&spaces);
    let mut newest = 0;
    for round in 0..12 {
        spaces.append([SpaceEvent::space_activated("a")]).unwrap();
        let mut archiver = cli(&data)
            .args(["backup", "--every", "1ms"])
            .arg(&backups)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if round == 0 {
            // One that is told of is there.
            let mut told = String::new();
            BufReader::new(archiver.stdout.take().unwrap()).read_line(&mut told).unwrap();
            assert!(told.contains("backup 1"), "{told}");
        } else {
            // At any moment: nothing rests on which.
            thread::sleep(Duration::from_millis(7 * round));
        }
        archiver.kill().unwrap();
        archiver.wait().unwrap();
        if backups.join("repository.json").exists() {
            let verified = json(cli(&data).args(["backup", "verify"]).arg(&backups));
            assert_eq!(verified["ok"], true);
            let there = verified["backups"].as_u64().unwrap();
            assert!(there >= newest);
            newest = there;
        }
        assert!(newest > 0, "round {round}");
    }
    let made = json(cli(&data).arg("backup").arg(&backups));
    assert_eq!(made["backup"], newest + 1);
    let restored = folder.path().join("restored");
    run(cli(&data).arg("restore").arg(&backups).arg(&restored)).succeeded();
    let report = spacefold::admin::verify(&restored, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let copy = Spacefold::open(&restored).unwrap();
    assert_eq!(copy.durable_head(), spaces.durable_head());
    assert_ne!(copy.durable_head(), Position::START);
    copy.close().unwrap();
    spaces.close().unwrap();
}

#[test]
fn a_damaged_store_is_mended_from_its_backups_and_the_doctor_looks_at_them() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    run(cli(&data).arg("import").arg(fixture("book.jsonl.gz"))).succeeded();
    let look = || {
        let answer = run(cli(&data).args(["doctor", "--json", "--backups"]).arg(&backups));
        let printed: Value = serde_json::from_str(&answer.stdout).unwrap();
        let verdict = |check: &str| {
            let found = printed["findings"].as_array().unwrap();
            let found = found.iter().find(|it| it["check"] == check);
            found.map(|it| it["verdict"].as_str().unwrap().to_owned())
        };
        (verdict("backup"), verdict("drill"))
    };
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(look(), (said("wrong"), None));
    run(cli(&data).arg("backup").arg(&backups)).succeeded();
    assert_eq!(look(), (said("good"), said("note")));
    run(cli(&data).args(["backup", "drill"]).arg(&backups)).succeeded();
    assert_eq!(look(), (said("good"), said("good")));

    let before = run(cli(&data).arg("export")).succeeded();
    // A byte of every stretch of what is sealed, and sled's copy of it.
    for file in fs::read_dir(data.join("sealed")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().skip(8_192).step_by(64 << 10).for_each(|byte| *byte ^= 1);
        fs::write(&path, bytes).unwrap();
    }
    fs::remove_dir_all(data.join("sled")).unwrap();
    assert_eq!(run(cli(&data).arg("repair").arg(&data)).code, Some(3));
    let mended = json(cli(&data).arg("repair").arg(&data).arg("--from").arg(&backups));
    assert_eq!(mended["log_mended"], true);
    assert_eq!(run(cli(&data).arg("export")).succeeded(), before);
    let other = folder.path().join("other");
    run(cli(&other).args(["service", "create-space", "a", "A"])).succeeded();
    let refused = run(cli(&other).arg("repair").arg(&other).arg("--from").arg(&backups));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
}

#[test]
fn a_store_stands_by_is_read_meanwhile_and_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, backups, standby) = (path("data"), path("backups"), path("standby"));
    let spaces = Spacefold::open(&data).unwrap();
    import_sample(&spaces);
    run(cli(&data).arg("backup").arg(&backups)).succeeded();
    let mut follower = cli(&data)
        .args(["restore", "--follow", "--every", "20ms", "--json"])
        .args([&backups, &standby])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["head"], spaces.durable_head().get());
    for number in 2..5 {
        let receipt = spaces.append([SpaceEvent::space_activated("a")]).unwrap();
        run(cli(&data).arg("backup").arg(&backups)).succeeded();
        let taken = next();
        assert_eq!((&taken["backup"], &taken["events"]), (&Value::from(number), &Value::from(1)));
        assert_eq!(taken["head"], receipt.last_position().get());
        // It is read beside whoever has it.
        let info = json(cli(&standby).arg("info"));
        assert_eq!(info["durable_head"], receipt.last_position().get(), "{info}");
    }
    let pid = follower.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(follower.wait().unwrap().code(), Some(130));
    let copy = Spacefold::open(&standby).unwrap();
    Contents::of(&copy).assert_is(&Contents::of(&spaces));
    copy.append([SpaceEvent::space_activated("its-own")]).unwrap();
    copy.close().unwrap();
    spaces.close().unwrap();
}
