//! What is done about a store that is damaged, copied at a bad moment, or in need of a doctor.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use spacefold::{Spacefold, admin::SalvageOptions};

use crate::support::{Answer, Contents, REFERENCE, SAMPLE, SAMPLE_EVENTS, cli, import_sample, run};

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn sample(path: &Path) {
    let spaces = Spacefold::open(path).unwrap();
    import_sample(&spaces);
    spaces.close().unwrap();
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    // What went while it was copied is said, and the rest copied.
    assert!(copied.code().is_some_and(|code| code <= 1));
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_left_of_a_store_becomes_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = path("store");
    sample(&store);
    fs::remove_file(store.join("HEAD")).unwrap();
    let before = files(&store);
    let new = path("new");
    let salvage =
        |to: &Path| run(cli(&path("none")).arg("salvage").args([&store, to]).arg("--json"));
    let answer = salvage(&new);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let printed = json(&answer);
    assert_eq!((&printed["whole"], &printed["events"]), (&true.into(), &SAMPLE_EVENTS.into()));
    assert_eq!(printed["gaps"], Value::Array(Vec::new()));
    assert!(files(&store) == before, "the folder was changed");
    let spaces = Spacefold::open_existing(&new).unwrap();
    Contents::of(&spaces).assert_is(&REFERENCE);
    spaces.close().unwrap();
    run(cli(&new).arg("verify")).succeeded();
    let parted = json(&run(cli(&new).args(["info", "--json"])));
    assert_eq!(parted["log_id"], printed["store_id"]);
    // Nothing is made over what is there.
    let taken = salvage(&new);
    taken.failed(1, &format!(
        "{} is there and not empty, or no folder: name one that is not there; nothing was made ({})",
        new.display(),
        store.display()
    ));
    // Sled's copy alone has what blocks have, and of the rest it is told how much there was.
    fs::remove_dir_all(store.join("journal")).unwrap();
    fs::remove_dir_all(store.join("sealed")).unwrap();
    let answer = salvage(&path("new-2"));
    let printed = json(&answer);
    let events = printed["events"].as_u64().unwrap();
    assert!(events > SAMPLE_EVENTS / 2, "{printed}");
    assert_eq!(answer.code, Some(if events == SAMPLE_EVENTS { 0 } else { 3 }), "{answer:?}");
    let missing = printed["missing"].as_u64().unwrap();
    assert_eq!(events + missing, printed["known_head"].as_u64().unwrap());
    let people = run(cli(&path("none")).arg("salvage").args([&store, &path("new-3")]));
    assert!(people.stdout.contains("salvaged"), "{people:?}");
    assert_eq!(people.code, answer.code);
    let nothing = path("nothing");
    fs::create_dir(&nothing).unwrap();
    let none = run(cli(&path("none")).arg("salvage").args([&nothing, &path("new-4")]));
    let what = format!("no whole event of a store is in {}", nothing.display());
    none.failed(1, &format!("{what}; nothing was made ({})", nothing.display()));
    assert!(!path("new-4").exists());
}

#[test]
fn a_copy_of_a_running_store_that_does_not_open_gives_up_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut child = cli(&store)
        .args(["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = SAMPLE.lines();
    for _ in 0..5_000 {
        writeln!(stdin, "{}", lines.next().unwrap()).unwrap();
    }
    stdin.flush().unwrap();
    let durable_head = || {
        let info = run(cli(&store).args(["info", "--json"]));
        if info.code == Some(0) { json(&info)["durable_head"].as_u64().unwrap() } else { 0 }
    };
    // An import takes some thousand lines together.
    while durable_head() == 0 {
        writeln!(stdin, "{}", lines.next().unwrap()).unwrap();
        for line in lines.by_ref().take(499) {
            writeln!(stdin, "{line}").unwrap();
        }
        stdin.flush().unwrap();
    }
    let mut refused = 0;
    for round in 0..6 {
        for line in lines.by_ref().take(2_000) {
            writeln!(stdin, "{line}").unwrap();
        }
        stdin.flush().unwrap();
        // What is said to be durable before the copy begins is in it.
        let durable = durable_head();
        let copied = folder.path().join(format!("copy-{round}"));
        copy(&store, &copied);
        let opened = folder.path().join(format!("opened-{round}"));
        copy(&copied, &opened);
        refused += u32::from(run(cli(&opened).arg("verify")).code != Some(0));
        let new = folder.path().join(format!("new-{round}"));
        let salvaged =
            spacefold::admin::salvage(&copied, &new, &SalvageOptions::default(), &mut |_| true);
        let report = salvaged.unwrap().log;
        assert!(report.known_head.get() >= durable, "{report:?}");
        assert_eq!(report.events + report.missing(), report.known_head.get());
        let spaces = Spacefold::open_existing(&new).unwrap();
        let export = Contents::of(&spaces).export;
        spaces.close().unwrap();
        if report.is_whole() {
            assert!(REFERENCE.export.starts_with(&export), "other events");
        }
        for name in [copied, opened, new] {
            fs::remove_dir_all(name).unwrap();
        }
    }
    println!("{refused} of 6 copies do not verify");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_store_is_repaired_from_another_copy_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (store, other) = (path("store"), path("other"));
    sample(&store);
    copy(&store, &other);
    fs::remove_dir_all(store.join("sled")).unwrap();
    for part in ["sealed", "journal"] {
        for file in fs::read_dir(store.join(part)).unwrap() {
            let file = file.unwrap().path();
            let mut bytes = fs::read(&file).unwrap();
            bytes
                .chunks_mut(20_000)
                .for_each(|chunk| chunk.iter_mut().take(64).for_each(|byte| *byte = 0x5a));
            fs::write(file, bytes).unwrap();
        }
    }
    let before = files(&store);
    let alone = run(cli(&path("none")).arg("repair").arg(&store));
    assert_eq!(alone.code, Some(3), "{alone:?}");
    assert!(alone.stderr.contains("repair --from OTHER"), "{alone:?}");
    assert!(files(&store) == before, "something was changed");
    let mut command = cli(&path("none"));
    command.arg("repair").arg(&store).arg("--from").arg(&other).arg("--json");
    let answer = run(&mut command);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let printed = json(&answer);
    assert_eq!((&printed["log_mended"], &printed["head"]), (&true.into(), &SAMPLE_EVENTS.into()));
    assert!(printed["set_aside"].as_array().unwrap().len() >= 2, "{printed}");
    run(cli(&store).arg("verify")).succeeded();
    let spaces = Spacefold::open_existing(&store).unwrap();
    Contents::of(&spaces).assert_is(&REFERENCE);
    let again = run(cli(&path("none")).arg("repair").arg(&store));
    again.failed(
        1,
        &format!("the store is in use by process {} ({})", std::process::id(), store.display()),
    );
    spaces.close().unwrap();
    let again = run(cli(&path("none")).arg("repair").arg(&store)).succeeded();
    assert!(again.starts_with("the log is sound"), "{again}");
}

#[test]
fn a_fork_is_another_store_with_the_same_states() {
    let folder = tempfile::tempdir().unwrap();
    let (store, new) = (folder.path().join("store"), folder.path().join("new"));
    sample(&store);
    // Another process may have it.
    let spaces = Spacefold::open_existing(&store).unwrap();
    let answer = run(cli(&store).arg("fork").args([&store, &new]).args(["--retime", "--json"]));
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let printed = json(&answer);
    assert_eq!((&printed["events"], &printed["retimed"]), (&SAMPLE_EVENTS.into(), &0.into()));
    let forked = Spacefold::open_existing(&new).unwrap();
    Contents::of(&forked).assert_is(&Contents::of(&spaces));
    forked.close().unwrap();
    let [old, info] = [&store, &new].map(|path| json(&run(cli(path).args(["info", "--json"]))));
    assert_ne!(old["store_id"], info["store_id"]);
    assert_eq!(info["log_id"], old["log_id"]);
    assert_eq!(info["fork"]["parent"], old["timeline"]);
    assert_eq!(info["fork"]["position"], SAMPLE_EVENTS);
    spaces.close().unwrap();
}

#[test]
fn a_doctor_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    sample(&store);
    let doctor = |limits: &str| {
        let mut command = cli(&store);
        command.args(["doctor", "--json"]);
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(format!("{limits} exec \"$0\" \"$@\"")).arg(program).args(arguments);
        run(&mut shell)
    };
    let verdict = |printed: &Value, check: &str| {
        let found = printed["findings"].as_array().unwrap().iter();
        let found = found.filter(|found| found["check"] == check);
        found.map(|found| found["verdict"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = files(&store);
    let sound = doctor("");
    let printed = json(&sound);
    assert_eq!(verdict(&printed, "store"), ["good"], "{printed}");
    assert_eq!(verdict(&printed, "open"), ["good"], "{printed}");
    for check in ["clock", "file system", "syncs", "room", "open files", "bytes"] {
        assert_eq!(verdict(&printed, check).len(), 1, "{check}: {printed}");
    }
    assert!(files(&store) == before, "something was changed");
    let people = run(cli(&store).arg("doctor"));
    assert_eq!(people.code, sound.code);
    assert!(people.stdout.contains("file system"), "{people:?}");
    // What the process may not is wrong.
    let limited = doctor("ulimit -f 100000;");
    assert_eq!(limited.code, Some(1), "{limited:?}");
    assert_eq!(verdict(&json(&limited), "file size"), ["wrong"]);
    let few = doctor("ulimit -n 100;");
    assert_eq!(verdict(&json(&few), "open files"), ["note"]);
    // A store that was not closed is worth a note, one that is damaged is more.
    let spaces = Spacefold::open_existing(&store).unwrap();
    spaces.append([spacefold::SpaceEvent::space_activated("book-src")]).unwrap();
    let open = json(&doctor(""));
    let what = open["findings"].as_array().unwrap().iter().find(|found| found["check"] == "open");
    assert!(what.unwrap()["what"].as_str().unwrap().starts_with("yes"), "{open}");
    let stopped = folder.path().join("stopped");
    copy(&store, &stopped);
    spaces.close().unwrap();
    let stopped = json(&run(cli(&stopped).args(["doctor", "--json"])));
    assert_eq!(verdict(&stopped, "open"), ["note"], "{stopped}");
    fs::remove_dir_all(store.join("journal")).unwrap();
    let damaged = doctor("");
    assert_eq!(damaged.code, Some(3), "{damaged:?}");
    assert_eq!(verdict(&json(&damaged), "store"), ["damaged"]);
    let none = run(cli(&folder.path().join("none")).arg("doctor"));
    assert_eq!(none.code, Some(1), "{none:?}");
}

#[test]
fn a_program_says_on_standard_error_what_it_does_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store\u{1b}[2J");
    sample(&store);
    let quiet = run(cli(&store).args(["spaces", "--json"]));
    assert_eq!(quiet.stderr, "");
    for told in [run(cli(&store).args(["spaces", "--json", "-v"])), {
        run(cli(&store).args(["spaces", "--json"]).env("SPACEFOLD_LOG", "info"))
    }] {
        assert_eq!((told.code, &told.stdout), (Some(0), &quiet.stdout));
        assert!(told.stderr.contains("opened the store"), "{told:?}");
        assert!(told.stderr.contains("closed the store"), "{told:?}");
        assert!(!told.stderr.contains('\u{1b}'), "{told:?}");
    }
    let off = run(cli(&store).args(["spaces", "--json", "-v"]).env("SPACEFOLD_LOG", "off"));
    assert_eq!(off.stderr, "");
    let wrong = run(cli(&store).args(["spaces"]).env("SPACEFOLD_LOG", "loud\u{1b}"));
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

#[test]
fn info_says_what_the_store_takes_and_whether_it_takes_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    sample(&store);
    let closed = json(&run(cli(&store).args(["info", "--json"])));
    let spaces = Spacefold::open_existing(&store).unwrap();
    let open = json(&run(cli(&store).args(["info", "--json"])));
    spaces.close().unwrap();
    for info in [closed, open] {
        let bytes = info["bytes"].as_object().unwrap();
        let of = |part: &str| bytes[part].as_u64().unwrap();
        assert!(of("journal") > 0 && of("sled") > 0, "{info}");
        assert!(of("derived") > 0 && of("reserve") > 0, "{info}");
        assert_eq!((of("content"), of("set_aside")), (0, 0), "{info}");
        assert!(info["seal_lag"].as_u64().unwrap() <= SAMPLE_EVENTS);
        if info["door"] == "open" {
            assert_eq!(info["accepts_appends"], true, "{info}");
        } else {
            assert!(info["accepts_appends"].is_null(), "{info}");
        }
    }
}
