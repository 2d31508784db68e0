//! Content through the whole: the facade, the command line, damage, kills.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::Value;
use spacefold::{
    OpenError, Options, Position, SpaceEvent, Spacefold,
    content::{
        ContentAtError, ContentError, ContentHash, ContentOptions, ContentStore as _,
        MIN_PACK_BYTES,
    },
};

use crate::support::{cli, fixture, on_each_kind, run};

on_each_kind![what_keeps_content_from_being_given_is_told_apart,];

fn changed(document: &str, old: Option<ContentHash>, new: ContentHash) -> SpaceEvent {
    let old = old.map(|hash| hash.to_string());
    SpaceEvent::document_content_changed("s", document, old, new.to_string())
}

/// A store whose document `d` of space `s` had these contents from position 3 on, one after the
/// other.
fn with_versions(path: &Path, versions: &[Vec<u8>]) -> Spacefold {
    filled(&Options::new(path), versions)
}

fn filled(options: &Options, versions: &[Vec<u8>]) -> Spacefold {
    let spaces = options.open().unwrap();
    let added = [SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/d")];
    spaces.append(added).unwrap();
    let mut old = None;
    for version in versions {
        let stored = spaces.content().put(&mut &version[..]).unwrap();
        spaces.content().sync().unwrap();
        spaces.append([changed("d", old, stored.hash)]).unwrap();
        old = Some(stored.hash);
    }
    spaces
}

fn versions() -> Vec<Vec<u8>> {
    let line = |number: u32| format!("line {number}\n").into_bytes();
    (0..8_u32).map(|version| (0..version * 4_000).flat_map(line).collect()).collect()
}

fn bytes_at(spaces: &Spacefold, position: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = spaces.at(Position::new(position)).content("s", "d").unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn every_document_of_any_time_can_be_read_before_and_after_garbage_is_collected() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let versions = versions();
    let unnamed = b"nothing names this".to_vec();
    let spaces = with_versions(&store, &versions);
    spaces.content().put(&mut &unnamed[..]).unwrap();
    // The document goes, and so does the space: every position is retained all the same.
    let gone = [
        SpaceEvent::sync_conflict(
            "s",
            "d",
            Some(ContentHash::of(&unnamed).to_string()),
            None::<String>,
        ),
        SpaceEvent::document_removed("s", "d", "/d"),
        SpaceEvent::space_deleted("s", "S"),
    ];
    spaces.append(&gone[1..]).unwrap();
    // It was put by this process: its event may be under way.
    assert_eq!(spaces.admin().collect_garbage().unwrap().removed_entries, 0);
    spaces.close().unwrap();
    drop(spaces);

    let spaces = Spacefold::open(&store).unwrap();
    let report = spaces.admin().collect_garbage().unwrap();
    assert_eq!(report.removed_entries, 1, "{report:?}");
    assert!(!spaces.content().contains(&ContentHash::of(&unnamed)).unwrap());
    for (version, position) in versions.iter().zip(3..) {
        assert!(bytes_at(&spaces, position) == *version, "at {position}");
    }
    // A conflict names both of its sides.
    spaces.content().put(&mut &unnamed[..]).unwrap();
    spaces.append(&gone[..1]).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    let spaces = Spacefold::open(&store).unwrap();
    assert_eq!(spaces.admin().collect_garbage().unwrap().removed_entries, 0);
}

fn what_keeps_content_from_being_given_is_told_apart(options: &Options) {
    let spaces = filled(options, &[]);
    let at = |position| spaces.at(Position::new(position)).content("s", "d");
    assert!(matches!(at(0), Err(ContentAtError::Snapshot(_))));
    assert!(matches!(at(1), Err(ContentAtError::UnknownDocument { .. })));
    assert!(matches!(at(2), Err(ContentAtError::NoContent { .. })));
    assert!(matches!(at(9), Err(ContentAtError::Snapshot(_))));
    let foreign = SpaceEvent::document_content_changed("s", "d", None::<String>, "sha1:abc");
    let absent = changed("d", None, ContentHash::of(b"absent"));
    spaces.append([foreign, absent]).unwrap();
    assert!(matches!(at(3), Err(ContentAtError::ForeignHash { hash, .. }) if hash == "sha1:abc"));
    assert!(matches!(at(4), Err(ContentAtError::Content(ContentError::Missing { .. }))));
    spaces.close().unwrap();
    assert!(matches!(spaces.content().sync(), Err(ContentError::Closed)));
}

#[test]
fn the_command_line_stores_and_prints_content() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let file = folder.path().join("in.bin");
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&file, &bytes).unwrap();
    let hash = ContentHash::of(&bytes).to_string();
    // Nothing but an import makes a store.
    let put = || run(cli(&store).args(["content", "put"]).arg(&file));
    put().failed(1, &format!("there is no store in this folder ({})", store.display()));
    drop(Spacefold::open(&store).unwrap());
    assert_eq!(put().succeeded(), format!("{hash}\n"));
    let json = run(cli(&store).args(["content", "put", "--json"]).arg(&file)).succeeded();
    assert_eq!(json, format!("{{\"hash\":\"{hash}\",\"bytes\":800000}}\n"));

    let got = cli(&store).args(["content", "get", &hash]).output().unwrap();
    assert!(got.status.success() && got.stdout == bytes);
    let out = folder.path().join("out.bin");
    run(cli(&store).args(["content", "get", &hash, "--out"]).arg(&out)).succeeded();
    assert!(fs::read(&out).unwrap() == bytes);

    let absent = ContentHash::of(b"absent").to_string();
    let missing = format!("there is no content {absent} here (the content of the store)");
    run(cli(&store).args(["content", "get", &absent])).failed(4, &missing);
    assert_eq!(run(cli(&store).args(["content", "get", "abc"])).code, Some(2));
    assert_eq!(run(cli(&store).args(["content", "put", "/absent"])).code, Some(1));

    let gc = run(cli(&store).args(["content", "gc", "--json"])).succeeded();
    let gc: Value = serde_json::from_str(&gc).unwrap();
    assert!(gc["removed_bytes"].as_u64().unwrap() >= 800_000, "{gc}");
    assert_eq!((&gc["kept_entries"], &gc["damaged_packs"]), (&0.into(), &0.into()));
    assert_eq!(run(cli(&store).args(["content", "get", &hash])).code, Some(4));
}

fn packs(store: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(store.join("content")).unwrap();
    let mut packs: Vec<PathBuf> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pack"))
        .collect();
    packs.sort();
    packs
}

fn verified(store: &Path) -> (Option<i32>, Value) {
    let answer = run(cli(store).args(["verify", "--json"]));
    let json = serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{}", answer.stderr));
    (answer.code, json)
}

#[test]
fn verify_finds_a_flipped_byte_and_getting_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let versions = [vec![b'x'; 10], (0..30_000_u32).flat_map(u32::to_le_bytes).collect()];
    with_versions(&store, &versions).close().unwrap();
    assert_eq!(verified(&store).0, Some(0));
    let pack = packs(&store).remove(0);
    let whole = fs::read(&pack).unwrap();
    // Of the first content's payload, then of the second's.
    for (byte, position) in [(64 + 64 + 3, 3), (1_000, 4)] {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x10;
        fs::write(&pack, &damaged).unwrap();
        let (code, report) = verified(&store);
        assert_eq!((code, &report["ok"]), (Some(3), &false.into()), "{report}");
        let problems = report["problems"].as_array().unwrap();
        assert_eq!(problems[0]["kind"], "content", "{report}");
        assert_eq!(problems[0]["file"], pack.display().to_string());
        assert!(problems.iter().any(|problem| problem["position"] == position), "{report}");
        // The check has changed nothing.
        assert!(fs::read(&pack).unwrap() == damaged);
        let hash = ContentHash::of(&versions[position as usize - 3]).to_string();
        let got = cli(&store).args(["content", "get", &hash]).output().unwrap();
        let code = got.status.code();
        assert!(matches!(code, Some(3 | 4)), "{code:?}");
        assert!(versions[position as usize - 3].starts_with(&got.stdout));
        fs::write(&pack, &whole).unwrap();
    }
    // A pack that is gone is missed, with what was in it.
    fs::remove_file(&pack).unwrap();
    let (code, report) = verified(&store);
    assert_eq!(code, Some(3));
    let kinds: Vec<&str> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["content", "content-missing", "content-missing"]);
}

/// The files of a store by name, but for the locks.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_name() != "LOCK" {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

#[test]
fn content_that_is_refused_leaves_the_log_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = with_versions(&store, &versions());
    // As a process that was killed leaves it: opening the log writes to it.
    let killed = folder.path().join("killed");
    copy(&store, &killed);
    drop(spaces);
    fs::create_dir_all(killed.join("sealed")).unwrap();
    // What no process may open: it may be a pack.
    let pack = killed.join("content/0000000099.pack");
    fs::create_dir(&pack).unwrap();
    let before = files(&killed);
    for _ in 0..2 {
        let refused = Spacefold::open(&killed).unwrap_err();
        assert!(matches!(refused, OpenError::Storage(_)), "{refused:?}");
        assert!(refused.to_string().contains(pack.to_str().unwrap()), "{refused}");
        assert!(files(&killed) == before, "a refused opening has changed something");
    }
    fs::remove_dir(&pack).unwrap();
    let spaces = Spacefold::open(&killed).unwrap();
    for (version, position) in versions().iter().zip(3..) {
        assert!(bytes_at(&spaces, position) == *version, "at {position}");
    }
}

#[test]
fn a_manifest_of_another_store_is_said_then_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let [store, other] = ["store", "other"].map(|name| folder.path().join(name));
    with_versions(&store, &versions()).close().unwrap();
    with_versions(&other, &[b"another".to_vec()]).close().unwrap();
    let manifest = store.join("content/MANIFEST");
    let foreign = fs::read(other.join("content/MANIFEST")).unwrap();
    fs::write(&manifest, &foreign).unwrap();
    let (code, report) = verified(&store);
    assert_eq!(code, Some(3), "{report}");
    let problems = report["problems"].as_array().unwrap();
    let said = |problem: &Value| problem["detail"].as_str().unwrap().contains("another store");
    assert!(problems.iter().any(said), "{report}");
    let spaces = Spacefold::open(&store).unwrap();
    for (version, position) in versions().iter().zip(3..) {
        assert!(bytes_at(&spaces, position) == *version, "at {position}");
    }
    spaces.close().unwrap();
    assert!(fs::read(store.join("content/MANIFEST.set-aside-0")).unwrap() == foreign);
    assert_eq!(verified(&store).0, Some(0));
    // All of the content of another store says so too, where no pack is missing.
    fs::remove_dir_all(store.join("content")).unwrap();
    copy(&other.join("content"), &store.join("content"));
    let (code, report) = verified(&store);
    assert_eq!(code, Some(3), "{report}");
    assert!(report["problems"].as_array().unwrap().iter().any(said), "{report}");
}

#[test]
fn content_that_was_never_put_here_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    run(cli(&store).arg("import").arg(fixture("book.jsonl.gz"))).succeeded();
    let told = run(cli(&store).arg("verify")).succeeded();
    assert!(told.contains("sound: 25,557 events"), "{told}");
    assert!(told.contains("contents that events name were never put here"), "{told}");
    assert_eq!(verified(&store).1["problems"], Value::Array(Vec::new()));
    assert!(!store.join("content").exists());
    let folder = folder.path().join("out");
    let answer = run(cli(&store).args(["checkout", "book-src"]).arg(&folder));
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("is not stored here"), "{}", answer.stderr);
    assert!(!folder.exists());
}

#[test]
fn what_a_stopped_collection_leaves_is_a_problem_only_where_an_event_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    drop(with_versions(&store, &versions()[..2]));
    let open = || {
        let content = ContentOptions::default().pack_bytes(MIN_PACK_BYTES);
        Options::new(&store).content(content).open().unwrap()
    };
    let unnamed: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    let spaces = open();
    let hash = spaces.content().put(&mut &unnamed[..]).unwrap().hash;
    spaces.close().unwrap();
    // Of the packs that are removed one is left, with the list of what is gone.
    let before: Vec<(PathBuf, Vec<u8>)> =
        packs(&store).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let spaces = open();
    assert!(spaces.admin().collect_garbage().unwrap().rewritten_packs > 1);
    spaces.close().unwrap();
    let (path, bytes) = before.iter().rfind(|(path, _)| !path.exists()).unwrap();
    fs::write(path, bytes).unwrap();
    let told = run(cli(&store).arg("verify")).succeeded();
    assert!(told.contains("1 contents without all of their chunks"), "{told}");
    assert_eq!(verified(&store).0, Some(0));
    let spaces = open();
    assert!(!spaces.content().contains(&hash).unwrap());
    let old = ContentHash::of(&versions()[1]);
    spaces.append([changed("d", Some(old), hash)]).unwrap();
    spaces.close().unwrap();
    let (code, report) = verified(&store);
    assert_eq!(code, Some(3), "{report}");
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{report}");
    assert_eq!((&problems[0]["kind"], &problems[0]["position"]), (&"content".into(), &5.into()));
    assert!(problems[0]["detail"].as_str().unwrap().starts_with(&hash.to_string()), "{report}");
    // Putting it again mends it.
    let spaces = open();
    spaces.content().put(&mut &unnamed[..]).unwrap();
    spaces.close().unwrap();
    assert_eq!(verified(&store).0, Some(0));
    let spaces = open();
    assert!(bytes_at(&spaces, 5) == unnamed);
}

/// The bytes of memory that a process has had at the most.
fn peak_memory(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// `SPACEFOLD_LARGE_CONTENT_MIB` (64 unless told) makes it larger: 1024 is a gigabyte.
#[test]
fn large_content_streams_through_bounded_memory() {
    let mib: u64 = std::env::var("SPACEFOLD_LARGE_CONTENT_MIB")
        .map_or(64, |text| text.parse().expect("a number of MiB"));
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    drop(Spacefold::open(&store).unwrap());
    let idle = {
        let mut child = putting(&store);
        child.stdin.as_mut().unwrap().write_all(&[1; 200_000]).unwrap();
        finish_put(child).0
    };
    let mut child = putting(&store);
    let mut stdin = child.stdin.take().unwrap();
    for block in blocks(mib) {
        stdin.write_all(&block).unwrap();
    }
    child.stdin = Some(stdin);
    let (peak, printed) = finish_put(child);
    assert!(peak < idle + (24 << 20), "{peak} bytes of memory, {idle} for a small content");
    let source = Blocks { left: blocks(mib), block: Vec::new(), given: 0 };
    assert_eq!(printed, ContentHash::of_reader(source).unwrap().to_string());

    // And out again.
    let mut child =
        cli(&store).args(["content", "get", &printed]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut block = vec![0; 1 << 20];
    let (mut read, mut peak) = (0_u64, 0);
    for expected in blocks(mib) {
        stdout.read_exact(&mut block).unwrap();
        assert!(block == expected, "after {read} bytes");
        read += block.len() as u64;
        if read < mib << 20 {
            peak = peak_memory(&child);
        }
    }
    assert_eq!(stdout.read(&mut block).unwrap(), 0);
    assert!(child.wait().unwrap().success());
    assert!(peak < idle + (24 << 20), "{peak} bytes of memory");
}

/// So many MiB of noise, half of which can be packed away.
fn blocks(mib: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 1_u64;
    (0..mib).map(move |_| {
        let mut block = vec![0_u8; 1 << 20];
        for word in block.chunks_exact_mut(16) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word[..8].copy_from_slice(&state.to_le_bytes());
        }
        block
    })
}

struct Blocks<I> {
    left: I,
    block: Vec<u8>,
    given: usize,
}

impl<I: Iterator<Item = Vec<u8>>> std::io::Read for Blocks<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.given == self.block.len() {
            self.block = self.left.next().unwrap_or_default();
            self.given = 0;
        }
        let read = std::io::Read::read(&mut &self.block[self.given..], buffer)?;
        self.given += read;
        Ok(read)
    }
}

fn putting(store: &Path) -> Child {
    cli(store)
        .args(["content", "put", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The most memory that it had while it still waited for the end of its input, and the hash.
fn finish_put(mut child: Child) -> (u64, String) {
    let peak = peak_memory(&child);
    drop(child.stdin.take());
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(child.wait().unwrap().success());
    (peak, printed.trim_end().to_owned())
}
