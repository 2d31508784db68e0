//! What the machine lacks is told as that, not as damage, and costs no more than it must: a full
//! disk, a file system that takes no changes, limits of the process.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::MetadataExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use spacefold::{
    AppendError, SpaceEvent, Spacefold,
    log::{LogReader as _, StorageErrorKind},
};

use crate::support::{
    Answer, SAMPLE_EVENTS, cli, fixture, import_sample, rebuild_projections, run,
};

/// A file system of its own below a folder; unmounted when it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts one; says so loudly where that is not allowed, which is a failure where it must be.
    fn new(at: &Path, arguments: &[&str]) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(arguments).arg(at).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        let must_run = std::env::var_os("SPACEFOLD_REQUIRE_MOUNTS").is_some();
        assert!(!must_run, "nothing can be mounted at {}", at.display());
        eprintln!("SKIPPED: nothing can be mounted here (needs root)");
        None
    }

    fn disk(at: &Path, bytes: u64) -> Option<Self> {
        Self::new(at, &["-t", "tmpfs", "-o", &format!("size={bytes}"), "spacefold"])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Fills a disk to the last byte.
fn fill(ballast: &Path) {
    let mut file = File::options().append(true).create(true).open(ballast).unwrap();
    for page in [1 << 20, 4_096, 1] {
        let page = vec![1; page];
        while file.write_all(&page).is_ok() {}
    }
}

fn sample_store(store: &Path) {
    let spaces = Spacefold::open(store).unwrap();
    import_sample(&spaces);
    spaces.close().unwrap();
}

/// The kinds of what `verify --json` reports, which exits with this code.
#[track_caller]
fn kinds(answer: &Answer, code: i32) -> Vec<String> {
    assert_eq!(answer.code, Some(code), "{}{}", answer.stdout, answer.stderr);
    let report: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(report["ok"], code == 0, "{report}");
    let problems = report["problems"].as_array().unwrap();
    problems.iter().map(|problem| problem["kind"].as_str().unwrap().to_owned()).collect()
}

fn verify(store: &Path) -> Answer {
    run(cli(store).args(["verify", "--json"]))
}

/// Everything that is asked for is read, or folded from what is; what has to write says that space is
/// to be freed, or what else the hint is to begin with.
#[track_caller]
fn reads_what_it_can(store: &Path, hint: &str) {
    for _ in 0..2 {
        let exported = run(cli(store).arg("export")).succeeded();
        assert_eq!(exported.lines().count() as u64, SAMPLE_EVENTS);
        let newest = run(cli(store).args(["tail", "--last", "1"])).succeeded();
        assert_eq!(exported.lines().last(), newest.lines().last());
        let history = run(cli(store).args(["history", "book-src"])).succeeded();
        let of_space = exported.lines().filter(|line| line.contains(r#""space_id":"book-src""#));
        assert!(history.lines().eq(of_space));
        run(cli(store).args(["where", "nowhere"])).succeeded();
        let info = run(cli(store).args(["info", "--json"])).succeeded();
        let info: Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["head"], SAMPLE_EVENTS);
        assert_eq!(info["subscriptions"], Value::Array(Vec::new()));
        let spaces = run(cli(store).args(["spaces", "--json"])).succeeded();
        assert_eq!(sum_of("revision", &spaces), SAMPLE_EVENTS, "{spaces}");
        let snapshot = run(cli(store).args(["snapshot", "book-src", "--json"])).succeeded();
        assert_eq!(sum_of("revision", &snapshot), history.lines().count() as u64);
        let activity = run(cli(store).args(["activity", "--json"])).succeeded();
        assert_eq!(sum_of("events", &activity), SAMPLE_EVENTS);
    }
    let answer = run(&mut rebuild_projections(store));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains(hint), "{}", answer.stderr);
}

/// The sum of a number in lines of JSON: of revisions, how many events are in the states of spaces.
fn sum_of(number: &str, lines: &str) -> u64 {
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line[number].as_u64().unwrap()).sum()
}

/// Appends two events: each is acknowledged, which the answer counts, or refused with a hint at what
/// to do first.
#[track_caller]
fn appends_what_there_is_room_for(store: &Path, folder: &Path, hint: &str) -> u64 {
    let input = folder.join("one.jsonl");
    fs::write(&input, r#"{"event_type":"space.created","space_id":"x","payload":{"name":"X"}}"#)
        .unwrap();
    let mut acknowledged = 0;
    for command in ["import", "append"] {
        let answer = run(cli(store).arg(command).arg(&input));
        if answer.code == Some(0) {
            acknowledged += 1;
            continue;
        }
        assert_eq!(answer.code, Some(1), "{command}: {}", answer.stderr);
        assert!(answer.stderr.contains("takes no appends"), "{command}: {}", answer.stderr);
        assert!(answer.stderr.contains(hint), "{command}: {}", answer.stderr);
    }
    acknowledged
}

#[test]
fn a_disk_that_was_filled_again_is_no_damage_and_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let Some(_mount) = Mount::disk(&disk, 48 << 20) else { return };
    let (store, ballast) = (disk.join("store"), disk.join("ballast"));
    sample_store(&store);
    fill(&ballast);
    assert_eq!(kinds(&verify(&store), 1), ["no-room"]);
    run(cli(&store).args(["tail", "--last", "1"])).succeeded();
    // The space that was set aside is given back, and taken by others.
    let _ = fs::remove_file(store.join("reserve"));
    fill(&ballast);
    let before = names(&store);
    reads_what_it_can(&store, "hint: free space on the disk first");
    // The journal has room of its own.
    let hint = "hint: free space on the disk first";
    let acknowledged = appends_what_there_is_room_for(&store, folder.path(), hint);
    // Whether sled opens, and so the store closes, is a matter of the bytes that it has to write.
    let answer = verify(&store);
    let found = kinds(&answer, answer.code.unwrap());
    let is_harmless = |kind: &String| ["no-room", "needs-recovery"].contains(&kind.as_str());
    assert!(found.iter().all(is_harmless), "{found:?}");
    assert_eq!(answer.code, Some(i32::from(!found.is_empty())), "{found:?}");
    assert_eq!(names(&store), before);
    fs::remove_file(&ballast).unwrap();
    let info = run(cli(&store).args(["info", "--json"])).succeeded();
    let info: Value = serde_json::from_str(&info).unwrap();
    let head = SAMPLE_EVENTS + acknowledged;
    assert_eq!((&info["head"], &info["healed"]), (&head.into(), &0.into()));
    assert_eq!(kinds(&verify(&store), 0), Vec::<String>::new());
}

/// The names of all files below a folder but those that are expendable, with their lengths.
fn names(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("sled") || path.ends_with("derived") {
            // Verify lets sled tidy up; what could not be written of rows goes the next time.
        } else if path.is_dir() {
            found.extend(names(&path));
        } else {
            // Who has the lock stands in there, where it can be written.
            let bytes = if path.ends_with("LOCK") { 0 } else { path.metadata().unwrap().len() };
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_system_that_takes_no_changes_is_no_damage_and_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let Some(_mount) = Mount::disk(&disk, 48 << 20) else { return };
    let store = disk.join("store");
    sample_store(&store);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status();
    assert!(remounted.unwrap().success());
    let hint = "hint: have the file system take changes";
    assert_eq!(kinds(&verify(&store), 1), ["read-only"]);
    reads_what_it_can(&store, hint);
    let info = run(cli(&store).args(["info", "--json"])).succeeded();
    assert!(info.contains(r#""read_only":"the store takes no appends"#), "{info}");
    assert!(info.contains(r#""door":"follow","owner":null"#), "{info}");
    assert_eq!(appends_what_there_is_room_for(&store, folder.path(), hint), 0);
    let answer = run(cli(&store).args(["verify", "--heal", "--json"]));
    assert_eq!(kinds(&answer, 1), ["read-only"]);

    // As a library: opened to be read, with the reason.
    let spaces = Spacefold::open(&store).unwrap();
    assert_eq!(spaces.durable_head().get(), SAMPLE_EVENTS);
    assert_eq!(spaces.log().refusal().unwrap().kind(), StorageErrorKind::ReadOnly);
    let refused = spaces.append([SpaceEvent::space_archived("a")]);
    assert!(
        matches!(refused, Err(AppendError::Refused { kind: StorageErrorKind::ReadOnly, .. })),
        "{refused:?}"
    );
    spaces.close().unwrap();
}

/// A command as a user whom permissions bind; `None`, and a word on it, where that is not possible.
fn as_somebody(command: &Command) -> Option<Command> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    let mut bound = if is_root {
        let mut bound = Command::new("setpriv");
        bound.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
        bound.arg(command.get_program());
        bound
    } else {
        Command::new(command.get_program())
    };
    bound.args(command.get_args()).stdin(Stdio::null());
    let mut probe = Command::new(bound.get_program());
    let arguments: Vec<_> = bound.get_args().map(ToOwned::to_owned).collect();
    let of_program = arguments.iter().position(|argument| argument == "--data").unwrap_or(0);
    probe.args(&arguments[..of_program]).arg("--version").stderr(Stdio::null());
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Some(bound);
    }
    eprintln!("SKIPPED: nobody else can run the binaries here");
    None
}

#[test]
fn a_folder_that_may_not_be_written_is_no_damage_and_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    sample_store(&store);
    let chmod = |modes: &str| {
        let status = Command::new("chmod").args(["-R", modes]).arg(folder.path()).status();
        assert!(status.unwrap().success());
    };
    chmod("a+rX,a-w");
    let bound = |arguments: &[&str]| as_somebody(cli(&store).args(arguments));
    if let Some(mut verify) = bound(&["verify", "--json"]) {
        assert_eq!(kinds(&run(&mut verify), 1), ["read-only"]);
        let exported = run(&mut bound(&["export"]).unwrap()).succeeded();
        assert_eq!(exported.lines().count() as u64, SAMPLE_EVENTS);
        let info = run(&mut bound(&["info", "--json"]).unwrap()).succeeded();
        assert!(info.contains(r#""door":"follow","owner":null"#), "{info}");
        let spaces = run(&mut bound(&["spaces", "--json"]).unwrap()).succeeded();
        assert_eq!(sum_of("revision", &spaces), SAMPLE_EVENTS);
        let answer = run(&mut as_somebody(&rebuild_projections(&store)).unwrap());
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        assert!(answer.stderr.contains("hint: get the permission"), "{}", answer.stderr);
    }
    chmod("u+w");
}

/// A command under a limit of the shell.
fn limited(limit: &str, command: &Command) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{limit}; exec \"$@\""), "bash"]).arg(command.get_program());
    shell.args(command.get_args()).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
    shell
}

#[test]
fn a_limit_on_the_size_of_files_is_told_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let hint = "hint: let the process write larger files";
    // In blocks of 1 KiB: too little for HEAD, and for the first files of the journal.
    for blocks in [4, 64, 300, 600] {
        let mut import = cli(&store);
        import.arg("import").arg(fixture("book.jsonl.gz"));
        let answer = run(&mut limited(&format!("ulimit -f {blocks}"), &import));
        assert_eq!(answer.code, Some(1), "{blocks}: {}", answer.stderr);
        assert!(answer.stderr.contains("File too large"), "{blocks}: {}", answer.stderr);
        assert!(answer.stderr.contains(hint), "{blocks}: {}", answer.stderr);
    }
    run(cli(&store).arg("import").arg(fixture("book.jsonl.gz"))).succeeded();
    assert_eq!(kinds(&verify(&store), 0), Vec::<String>::new());
    let under = |arguments: &[&str]| run(&mut limited("ulimit -f 0", cli(&store).args(arguments)));
    assert_eq!(kinds(&under(&["verify", "--json"]), 1), ["file-too-large"]);
    let exported = under(&["export"]).succeeded();
    assert_eq!(exported.lines().count() as u64, SAMPLE_EVENTS);
    assert_eq!(sum_of("revision", &under(&["spaces", "--json"]).succeeded()), SAMPLE_EVENTS);
    let answer = run(&mut limited("ulimit -f 0", &rebuild_projections(&store)));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains(hint), "{}", answer.stderr);
    assert_eq!(kinds(&verify(&store), 0), Vec::<String>::new());
}

#[test]
fn a_limit_on_memory_ends_in_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    sample_store(&store);
    let loads = |megabytes: u32| {
        let limit = format!("ulimit -v {}", megabytes << 10);
        let mut told = cli(&store);
        limited(&limit, told.arg("--version")).output().unwrap().status.success()
    };
    let mut worked = false;
    // From where the program does not even start to where it does all that it is asked for.
    for megabytes in (16..=160).step_by(3) {
        let mut verify = cli(&store);
        verify.arg("verify");
        let output = limited(&format!("ulimit -v {}", megabytes << 10), &verify).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        match (output.status.code(), output.status.signal()) {
            (Some(0), _) => worked = true,
            (Some(1), _) => assert!(told.contains("\nhint: "), "{megabytes} MB: {told}"),
            // The loader, before anything of ours.
            (Some(127), _) => assert!(told.contains("shared"), "{megabytes} MB: {told}"),
            // The system, which ends what it has not the room to load.
            (None, Some(11)) if !loads(megabytes) => {}
            // Memory for a value could not be had: the runtime says so.
            (None, Some(6)) => assert!(told.contains("failed"), "{megabytes} MB: {told}"),
            other => panic!("{megabytes} MB: {other:?}: {told}"),
        }
    }
    assert!(worked, "there was never enough");
    assert_eq!(kinds(&self::verify(&store), 0), Vec::<String>::new());
}

#[test]
fn a_store_that_was_killed_needs_recovery_and_is_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    // With as many events there is a copy in sled.
    sample_store(&store);
    for harm in ["nothing", "sled"] {
        let mut child = cli(&store)
            .args(["append", "-", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let line = r#"{"event_type":"space.created","space_id":"a","payload":{"name":"A"}}"#;
        writeln!(stdin, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if harm == "sled" {
            // As a power cut may leave it: sled promises nothing.
            fs::remove_dir_all(store.join("sled")).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(kinds(&verify(&store), 1), ["needs-recovery"], "{harm}");
        }
        let told = run(cli(&store).arg("verify"));
        assert!(told.stdout.starts_with("needs recovery: "), "{}", told.stdout);
        if harm == "sled" {
            run(cli(&store).args(["verify", "--heal"])).succeeded();
        } else {
            run(cli(&store).arg("info")).succeeded();
        }
        assert_eq!(kinds(&verify(&store), 0), Vec::<String>::new());
    }
    // Closed, it is damage.
    fs::remove_dir_all(store.join("sled")).unwrap();
    assert_eq!(kinds(&verify(&store), 3), ["sled"]);
}

#[test]
fn where_a_content_is_is_answered_though_sleds_copy_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    sample_store(&store);
    let spaces = Spacefold::open(&store).unwrap();
    let page =
        spaces.log().read(&spacefold::log::ReadRequest::from(spacefold::Position::new(1))).unwrap();
    let hash = page.envelopes().find_map(|envelope| {
        match envelope.decode().unwrap().to_owned_event().event.payload {
            spacefold::event::Payload::DocumentContentChanged { new_hash, .. } => Some(new_hash),
            _ => None,
        }
    });
    let hash = hash.unwrap();
    let expected = spaces.projections().content_index().unwrap().occurrences(&hash).unwrap();
    assert!(!expected.is_empty());
    spaces.close().unwrap();
    drop(spaces);
    let told = run(cli(&store).args(["where", &hash])).succeeded();
    fs::remove_dir_all(store.join("sled")).unwrap();
    // The log answers; the index is behind by more than what is folded before an answer.
    assert_eq!(run(cli(&store).args(["where", &hash])).succeeded(), told);
    let spaces = Spacefold::open(&store).unwrap();
    assert_eq!(spaces.projections().occurrences(&hash).unwrap(), expected);
}
