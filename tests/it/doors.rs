//! The command line beside a process that has the store.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use serde_json::Value;
use spacefold::{
    Delivery, Position, SpaceEvent, Spacefold, Subscription,
    log::{EmbeddedLog, LogReader as _},
};
use spacefold_disk::{Disk as _, FolderLock, RealDisk};

use crate::support::{cli, rebuild_projections, run};

/// A store with two spaces, documents with content, and a problem.
pub(crate) fn made(store: &Path) -> Spacefold {
    let spaces = Spacefold::open(store).unwrap();
    let service = spaces.service();
    for space in ["a", "b"] {
        service.create_space(space, space).unwrap();
        for (document, text) in [("one", "first".to_owned()), ("two", "second".repeat(60_000))] {
            service.add_document(space, document, format!("/{document}.md")).unwrap();
            service.set_content(space, document, text.as_bytes()).unwrap();
        }
    }
    spaces.append([SpaceEvent::sync_conflict("a", "one", "here", "there")]).unwrap();
    spaces
}

/// What every command prints that only reads.
fn read_all(store: &Path, scratch: &Path) -> Vec<String> {
    read_all_by(&|| cli(store), scratch)
}

/// The same, of commands that reach the store in some way.
pub(crate) fn read_all_by(cli: &dyn Fn() -> Command, scratch: &Path) -> Vec<String> {
    let exported = run(cli().arg("export")).succeeded();
    let last: Value = serde_json::from_str(exported.lines().last().unwrap()).unwrap();
    let id = last["event_id"].as_str().unwrap();
    let hash = spacefold::content::ContentHash::of(b"first").to_string();
    let commands: [&[&str]; 23] = [
        &["snapshot", "a"],
        &["snapshot", "--all"],
        &["snapshot", "b", "--at", "9"],
        &["snapshot", "--all", "--at", "3"],
        &["spaces"],
        &["spaces", "--at", "5"],
        &["diff", "a", "1", "5"],
        &["blame", "a"],
        &["blame", "a", "--at", "4"],
        &["history", "a"],
        &["history", "a", "--document", "one"],
        &["tail"],
        &["tail", "--last", "2", "--space", "b"],
        &["tail", "--from", "3", "--type", "document.*"],
        &["export", "--from", "2", "--space", "a"],
        &["find", id],
        &["where", &hash],
        &["where", &hash, "--at", "4"],
        &["activity"],
        &["activity", "--type", "document.*", "--from", "2020-01-01"],
        &["snapshot", "--all", "--needs-render"],
        &["diff", "b", "2020-01-01", "2100-01-01"],
        &["content", "get", &hash],
    ];
    let mut printed = vec![exported];
    for arguments in commands {
        printed.push(run(cli().args(arguments)).succeeded());
        printed.push(run(cli().args(arguments).arg("--json")).succeeded());
    }
    let problems = run(cli().args(["problems", "--json"])).succeeded();
    let mut problem: Value = serde_json::from_str(&problems).unwrap();
    // That is of the moment.
    problem["age_seconds"].take();
    printed.push(problem.to_string());
    let folder = scratch.join("checked-out");
    let written = run(cli().args(["checkout", "b", "--json"]).arg(&folder)).succeeded();
    printed.push(written);
    for name in ["one.md", "two.md"] {
        printed.push(fs::read_to_string(folder.join(name)).unwrap());
    }
    fs::remove_dir_all(folder).unwrap();
    let nobody = spacefold::content::ContentHash::of(b"nothing").to_string();
    let unknown: [&[&str]; 14] = [
        &["snapshot", "nowhere"],
        &["snapshot", "nowhere", "--at", "1"],
        &["snapshot", "a", "--at", "999"],
        &["snapshot", "--all", "--at", "999"],
        &["spaces", "--at", "999"],
        &["diff", "nowhere", "1", "2"],
        &["diff", "a", "1", "999"],
        &["blame", "nowhere"],
        &["blame", "b", "--at", "1"],
        &["history", "nowhere"],
        &["export", "--from", "999"],
        &["find", "0197a6bc-0000-7000-8000-000000000000"],
        &["problems", "--space", "nowhere"],
        &["content", "get", &nobody],
    ];
    for unknown in unknown {
        let answer = run(cli().args(unknown));
        assert_eq!(answer.code, Some(4), "{unknown:?}: {}", answer.stderr);
        printed.push(answer.stderr);
    }
    printed
}

fn info(store: &Path) -> Value {
    let printed = run(cli(store).args(["info", "--json"])).succeeded();
    serde_json::from_str(&printed).unwrap()
}

/// The names and bytes of all files below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn a_store_that_another_process_has_is_read_as_one_that_nobody_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    made(&store).close().unwrap();
    let closed = read_all(&store, folder.path());
    assert_eq!(info(&store)["door"], "open");
    assert!(info(&store).get("owner").is_none());

    let held = Spacefold::open(&store).unwrap();
    let mut mailer = held.subscribe_durable("mailer", &Subscription::from_start()).unwrap();
    while !matches!(mailer.recv().unwrap(), Delivery::CaughtUp { .. }) {}
    mailer.ack(Position::new(3)).unwrap();
    mailer.sync().unwrap();
    // The second time out of the cache.
    for _ in 0..2 {
        for (beside, closed) in read_all(&store, folder.path()).iter().zip(&closed) {
            assert_eq!(beside, closed);
        }
    }
    let told = info(&store);
    assert_eq!((&told["door"], &told["owner"]), (&"follow".into(), &std::process::id().into()));
    assert_eq!(told["head"], held.durable_head().get());
    assert_eq!(told["subscriptions"][0]["position"], 3);
    let told = run(cli(&store).arg("info")).succeeded();
    let door = format!("follow: process {} has the store", std::process::id());
    assert!(told.lines().any(|line| line.starts_with("door") && line.ends_with(&door)), "{told}");
    for quick in [&["verify"][..], &["verify", "--quick"], &["verify", "--json"]] {
        let told = run(cli(&store).args(quick)).succeeded();
        assert!(told.starts_with("sound: 11 events") || told.contains(r#""ok":true"#), "{told}");
    }
    held.append([SpaceEvent::space_archived("b")]).unwrap();
    let newest = run(cli(&store).args(["tail", "--last", "1"])).succeeded();
    assert!(newest.contains("space.archived"), "{newest}");
    held.close().unwrap();
    drop((held, mailer));
    assert_eq!(info(&store)["door"], "open");
}

#[test]
fn a_command_that_writes_names_the_process_that_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let held = made(&store);
    let line = folder.path().join("line.jsonl");
    let event = r#"{"event_type":"space.created","space_id":"x","payload":{"name":"X"}}"#;
    fs::write(&line, event).unwrap();
    let line = line.to_str().unwrap();
    let commands: [&[&str]; 10] = [
        &["import", line],
        &["append", line],
        &["record", "a", "com.example.noted", "{}"],
        &["service", "archive-space", "a"],
        &["content", "put", line],
        &["content", "gc"],
        &["rebuild"],
        &["rebuild", "--check"],
        &["verify", "--heal"],
        &["verify", "--heal", "--quick"],
    ];
    let pid = std::process::id();
    let error = format!("the store is in use by process {pid} ({})", store.display());
    for arguments in commands {
        run(cli(&store).args(arguments)).failed(1, &error);
    }
    let rebuild = run(&mut rebuild_projections(&store));
    assert_eq!(rebuild.code, Some(1));
    assert!(rebuild.stderr.contains(&error), "{}", rebuild.stderr);
    assert_eq!(held.durable_head(), Position::new(11));
    held.close().unwrap();
}

#[test]
fn damage_is_told_beside_the_process_that_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let held = made(&store);
    let pack = store.join("content/0000000000.pack");
    let mut bytes = fs::read(&pack).unwrap();
    // Of the first content, which what comes after it says to be synced.
    bytes[130] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let answer = run(cli(&store).args(["verify", "--json"]));
    assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    assert!(answer.stdout.contains(r#""kind":"content""#), "{}", answer.stdout);
    held.close().unwrap();
}

/// `tail --follow`, and what it has printed.
struct Tail {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Tail {
    fn of(store: &Path, arguments: &[&str]) -> Self {
        let mut child = cli(store)
            .args(["tail", "--follow"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The type of the next event.
    fn next(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        event["event_type"].as_str().unwrap().to_owned()
    }

    fn interrupt(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }
}

#[test]
fn tail_follows_what_is_appended_by_whomever_and_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let held = made(&store);
    let mut tail = Tail::of(&store, &["--last", "1", "--space", "a"]);
    assert_eq!(tail.next(), "sync.conflict");
    held.append([SpaceEvent::space_archived("b")]).unwrap();
    held.append([SpaceEvent::space_activated("a")]).unwrap();
    assert_eq!(tail.next(), "space.activated");
    // The writer ends, and another one comes: whoever follows is in nobody's way.
    held.close().unwrap();
    drop(held);
    let line = folder.path().join("line.jsonl");
    fs::write(&line, r#"{"event_type":"space.archived","space_id":"a"}"#).unwrap();
    run(cli(&store).arg("append").arg(&line)).succeeded();
    assert_eq!(tail.next(), "space.archived");
    tail.interrupt();
    let answer = crate::support::answer(tail.child.wait_with_output().unwrap());
    assert_eq!(answer.code, Some(130), "{}", answer.stderr);
    assert!(answer.stderr.starts_with("error: interrupted"), "{}", answer.stderr);

    // From behind the head on, what comes next is waited for; what is further is no position.
    let held = Spacefold::open(&store).unwrap();
    let next = held.durable_head().next().get().to_string();
    let mut tail = Tail::of(&store, &["--from", &next]);
    held.append([SpaceEvent::space_activated("a")]).unwrap();
    assert_eq!(tail.next(), "space.activated");
    drop(tail.lines);
    // Nobody reads it any more: it ends though nothing comes.
    let answer = crate::support::answer(tail.child.wait_with_output().unwrap());
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
    let beyond = held.durable_head().plus(2).get().to_string();
    let answer = run(cli(&store).args(["tail", "--follow", "--from", &beyond]));
    assert_eq!(answer.code, Some(4), "{}", answer.stderr);
    let mut rest = String::new();
    let mut tail = Tail::of(&store, &["--last", "0"]);
    // It may not have taken Ctrl-C over yet: then it dies of it, or does not notice, as what runs in the
    // background of a shell.
    let code = loop {
        tail.interrupt();
        if let Some(ended) = tail.child.try_wait().unwrap() {
            break ended.code();
        }
        thread::yield_now();
    };
    tail.lines.read_to_string(&mut rest).unwrap();
    assert!(code == Some(130) || code.is_none(), "{code:?}");
    assert_eq!(rest, "");
    held.close().unwrap();
}

#[test]
fn info_leaves_sleds_copy_shut_in_a_store_that_a_program_has_made() {
    const EVENTS: usize = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    // Enough for blocks: before there are some, there is no copy.
    let event =
        |n: usize| SpaceEvent::variable_set(format!("space-{}", n % 50), "v", format!("{n}"));
    for begin in (0..EVENTS).step_by(4_000) {
        spaces.append((begin..begin + 4_000).map(event).collect::<Vec<_>>()).unwrap();
    }
    spaces.snapshot("space-1").unwrap();
    spaces.close().unwrap();
    // Whoever opens it finds that it is wrong, and sets it aside.
    let copy = store.join("sled");
    let of_sled = fs::read(copy.join("db")).unwrap();
    fs::write(copy.join("db"), vec![0xa5; of_sled.len()]).unwrap();
    let names = || fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name());
    let set_aside = || names().filter(|name| name.to_string_lossy().contains("set-aside")).count();
    let before = files(&copy);
    assert_eq!(info(&store)["head"], EVENTS);
    assert!(files(&copy) == before, "sled's copy was opened");
    assert_eq!(set_aside(), 0);
    let log = EmbeddedLog::open(&store).unwrap();
    assert_eq!(log.info().head, Position::new(EVENTS as u64));
    log.close().unwrap();
    assert_eq!(set_aside(), 1, "this would have been seen");
}

#[test]
fn a_follower_changes_nothing_in_a_store_that_nobody_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    made(&store).close().unwrap();
    let before = files(&store);
    let mut tail = Tail::of(&store, &[]);
    for _ in 0..11 {
        tail.next();
    }
    tail.interrupt();
    assert_eq!(tail.child.wait().unwrap().code(), Some(130));
    assert!(files(&store) == before, "something has changed");
}

#[test]
fn commands_beside_a_busy_writer_agree_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let held = made(&store);
    for round in 0..8 {
        let events: Vec<_> = (0..400)
            .map(|n| SpaceEvent::variable_set(format!("s{}", n % 7), "v", format!("{round} {n}")))
            .collect();
        held.append(events).unwrap();
        let expected = held.snapshot("s3").unwrap();
        let told = run(cli(&store).args(["snapshot", "s3", "--json"])).succeeded();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["revision"], expected.revision().get());
        assert_eq!(told["variables"]["v"], format!("{round} {}", 400 - 5));
    }
    let exported = run(cli(&store).arg("export")).succeeded();
    assert_eq!(exported.lines().count() as u64, held.log().durable_head().get());
    held.close().unwrap();
}

/// How a store is made one that may only be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadOnly {
    /// It is mounted so, for the command alone.
    Mount,
    /// By the modes of its files, for a user who may not change them.
    Modes,
}

/// Mounts a folder over itself to be read only, then runs a command.
const MOUNTED: &str =
    r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@""#;
/// Nobody's.
const OTHER_USER: u32 = 65_534;

impl ReadOnly {
    /// What this machine can do.
    fn here(store: &Path) -> Self {
        let mut probe = Command::new("sh");
        probe.args(["-c", r#"test -d "$0" && ! touch "$0/probe" 2>/dev/null"#]).arg(store);
        let mounted = Self::Mount.reach(store, &probe).status();
        assert!(!store.join("probe").exists(), "the mount can be written");
        if mounted.is_ok_and(|status| status.success()) { Self::Mount } else { Self::Modes }
    }

    fn reach(self, store: &Path, command: &Command) -> Command {
        let is_root = is_root();
        let mut reaching = match self {
            Self::Mount => {
                let mut unshare = Command::new("unshare");
                if !is_root {
                    unshare.arg("--map-root-user");
                }
                unshare.args(["--mount", "--propagation", "private", "sh", "-c", MOUNTED, "sh"]);
                unshare.arg(store).arg(command.get_program());
                unshare
            }
            Self::Modes => {
                let mut other = Command::new(command.get_program());
                if is_root {
                    other.uid(OTHER_USER).gid(OTHER_USER);
                }
                other
            }
        };
        reaching.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => reaching.env(name, value),
                None => reaching.env_remove(name),
            };
        }
        reaching
    }
}

fn is_root() -> bool {
    let scratch = tempfile::tempdir().unwrap();
    fs::metadata(scratch.path()).unwrap().uid() == 0
}

/// Gives every file and folder below one a mode, and folders the right to be entered.
fn set_modes(path: &Path, mode: u32) {
    let is_folder = path.is_dir();
    let enter = if is_folder { mode >> 2 & 0o111 } else { 0 };
    if is_folder {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            set_modes(&entry.unwrap().path(), mode);
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode | enter)).unwrap();
}

#[test]
fn a_store_that_may_only_be_read_is_read_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    made(&store).close().unwrap();
    let closed = read_all(&store, folder.path());
    let before = files(&store);
    let how = ReadOnly::here(&store);
    println!("to be read only by {how:?}");
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    if how == ReadOnly::Modes {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&scratch, fs::Permissions::from_mode(0o777)).unwrap();
        set_modes(&store, 0o444);
    }
    let caches = scratch.join("caches");
    let reach = || how.reach(&store, cli(&store).env("XDG_CACHE_HOME", &caches));
    // The second time out of the cache.
    for _ in 0..2 {
        assert_eq!(read_all_by(&reach, &scratch), closed, "{how:?}");
    }
    let told = run(reach().args(["info", "--json"])).succeeded();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["door"], &told["owned"]), (&"follow".into(), &false.into()), "{how:?}");
    assert_eq!(told["owner"], Value::Null);
    assert!(told["read_only"].is_string(), "{told}");
    let told = run(reach().arg("info")).succeeded();
    assert!(told.contains("follow: nobody has the store, it is only read"), "{told}");
    for refused in [&["service", "archive-space", "a"][..], &["content", "gc"]] {
        let answer = run(reach().args(refused));
        assert_eq!(answer.code, Some(1), "{how:?} {refused:?}: {}", answer.stderr);
    }
    set_modes(&store, 0o644);
    assert!(files(&store) == before, "something has changed");
}

#[test]
fn an_owner_that_is_not_known_is_told_from_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    made(&store).close().unwrap();
    // Held as by an earlier version, which says nothing of itself.
    fs::remove_file(store.join("live")).unwrap();
    let lock = FolderLock::take(&RealDisk.folder(&store).unwrap().unwrap(), "LOCK").unwrap();
    fs::write(store.join("LOCK"), "").unwrap();
    let told = info(&store);
    assert_eq!((&told["door"], &told["owned"]), (&"follow".into(), &true.into()));
    assert_eq!(told["owner"], Value::Null);
    let told = run(cli(&store).arg("info")).succeeded();
    assert!(told.contains("follow: another process has the store"), "{told}");
    drop(lock);
    assert_eq!(info(&store)["door"], "open");
}

#[test]
fn a_quick_check_beside_the_owner_reads_no_segment() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let held = made(&store);
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..60 {
        let value: String = std::iter::repeat_with(|| rng.alphanumeric()).take(300_000).collect();
        held.append([SpaceEvent::variable_set("s", "v", value)]).unwrap();
    }
    let segment = || {
        let names = fs::read_dir(store.join("sealed")).into_iter().flatten().flatten();
        let is_whole = |path: &PathBuf| path.extension().is_none_or(|end| end != "unfinished");
        names.map(|name| name.path()).find(is_whole)
    };
    let path = loop {
        match segment() {
            Some(path) => break path,
            None => thread::yield_now(),
        }
    };
    let mut bytes = fs::read(&path).unwrap();
    bytes[10_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let quick = run(cli(&store).args(["verify", "--quick", "--json"])).succeeded();
    let quick: Value = serde_json::from_str(&quick).unwrap();
    assert_eq!(quick["events"], held.durable_head().get());
    let whole = run(cli(&store).args(["verify", "--json"]));
    assert_eq!(whole.code, Some(3), "{}{}", whole.stdout, whole.stderr);
    held.close().unwrap();
}
