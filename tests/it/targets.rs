//! Files and folders that commands are told to write: nothing is lost by it.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, symlink},
    path::{Path, PathBuf},
};

use spacefold::{SpaceEvent, Spacefold, content::ContentStore as _};
use tempfile::TempDir;

use crate::support::{Answer, cli, run};

const LINE: &str = r#"{"event_type":"space.activated","space_id":"a"}"#;

/// A store, another one, and a file of which one line is bad.
struct Scene {
    folder: TempDir,
    store: PathBuf,
    other: PathBuf,
    input: PathBuf,
    hash: String,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [store, other, input] =
            ["store", "other", "input"].map(|name| folder.path().join(name));
        fs::write(&input, format!("{LINE}\nbad")).unwrap();
        let mut hash = String::new();
        for path in [&store, &other] {
            let spaces = Spacefold::open(path).unwrap();
            hash = spaces.content().put(&mut &b"content"[..]).unwrap().hash.to_string();
            spaces.content().sync().unwrap();
            let events = [
                SpaceEvent::space_created("a", "A"),
                SpaceEvent::document_added("a", "d", "HEAD"),
                SpaceEvent::document_content_changed("a", "d", None::<String>, &hash),
                SpaceEvent::space_created("b", "B"),
                SpaceEvent::document_added("b", "d", "other/journal/x"),
                SpaceEvent::document_content_changed("b", "d", None::<String>, &hash),
            ];
            spaces.append(events).unwrap();
            spaces.close().unwrap();
        }
        Self { folder, store, other, input, hash }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The commands that write one file, by what each puts there.
    fn commands(&self, out: &Path, force: bool) -> [(Answer, &'static str); 2] {
        let force = force.then_some("--force");
        let mut import = cli(&self.store);
        import.arg("import").arg(&self.input).arg("--rejects").arg(out).args(force);
        let mut get = cli(&self.store);
        get.args(["content", "get", &self.hash, "--out"]).arg(out).args(force);
        [(run(&mut import), "\"text\":\"bad\""), (run(&mut get), "content")]
    }

    /// The names in the folder, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Neither store has lost anything.
    fn stores_are_sound(&self) {
        for store in [&self.store, &self.other] {
            run(cli(store).arg("verify")).succeeded();
        }
    }
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let scene = Scene::new();
    let out = scene.path("out");
    fs::write(&out, "kept").unwrap();
    let before = scene.names();
    for (answer, _) in scene.commands(&out, false) {
        answer.failed(1, &format!("the file is there already ({})", out.display()));
        assert_eq!(fs::read(&out).unwrap(), b"kept");
        assert_eq!(scene.names(), before);
    }
    // The import was refused before it began.
    assert_eq!(Spacefold::open_existing(&scene.store).unwrap().durable_head().get(), 6);
    for place in 0..2 {
        fs::write(&out, "kept").unwrap();
        let commands = scene.commands(&out, true);
        assert!(commands.iter().all(|(answer, _)| answer.code == Some(0)));
        if place == 1 {
            assert_eq!(fs::read_to_string(&out).unwrap(), commands[1].1);
        }
    }
    fs::remove_file(&out).unwrap();
    let [(imported, text), _] = scene.commands(&out, true);
    imported.succeeded();
    assert!(fs::exists(&out).unwrap() && !text.is_empty());
    assert_eq!(scene.names(), before);
}

#[test]
fn what_was_there_stays_when_a_command_does_not_get_to_its_end() {
    let scene = Scene::new();
    let out = scene.path("out");
    fs::write(&out, "kept").unwrap();
    let before = scene.names();
    let held = Spacefold::open(&scene.store).unwrap();
    let mut import = cli(&scene.store);
    import.arg("import").arg(&scene.input).arg("--rejects").arg(&out).arg("--force");
    let answer = run(&mut import);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert_eq!(fs::read(&out).unwrap(), b"kept");
    drop(held);
    let absent = "0".repeat(64);
    let get =
        run(cli(&scene.store).args(["content", "get", &absent, "--force", "--out"]).arg(&out));
    assert_eq!(get.code, Some(4), "{}", get.stderr);
    assert_eq!(fs::read(&out).unwrap(), b"kept");
    assert_eq!(scene.names(), before);
}

#[test]
fn lines_rejected_before_a_failure_are_kept() {
    let scene = Scene::new();
    let out = scene.path("out");
    let cut = scene.path("cut.gz");
    let lines: String = (0..50_000).map(|line| format!("bad {line}\n")).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, lines.as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    fs::write(&cut, &whole[..whole.len() - 20]).unwrap();
    let answer = run(cli(&scene.store).arg("import").arg(&cut).arg("--rejects").arg(&out));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(fs::read_to_string(&out).unwrap().starts_with("{\"line\":1,"));
}

#[test]
fn nothing_is_written_into_a_store_whichever_way_leads_there() {
    let scene = Scene::new();
    symlink(&scene.other, scene.path("link")).unwrap();
    fs::create_dir(scene.path("plain")).unwrap();
    symlink(scene.other.join("sled"), scene.path("plain/deep")).unwrap();
    let places = [
        "store/HEAD",
        "store/new",
        "other/HEAD",
        "other/new",
        "other/sled/new",
        "other/journal/0000.journal",
        "plain/../other/new",
        "link/HEAD",
        "link/new",
        "link/journal/new",
        "plain/deep/new",
    ];
    for place in places {
        for force in [false, true] {
            for (answer, _) in scene.commands(&scene.path(place), force) {
                assert_eq!(answer.code, Some(1), "{place}: {}", answer.stderr);
                assert!(answer.stderr.starts_with("error: "), "{place}: {}", answer.stderr);
            }
        }
    }
    // Nor where a store is about to be.
    let empty = scene.path("empty");
    fs::create_dir(&empty).unwrap();
    let answer = run(cli(&empty)
        .arg("import")
        .arg(&scene.input)
        .arg("--rejects")
        .arg(empty.join("rejects")));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    // Nor files of a space, nor another store.
    for place in ["store", "other", "other/sled/new", "link", "link/new", "plain/deep"] {
        let mut checkout = cli(&scene.store);
        let answer = run(checkout.args(["checkout", "a", "--overwrite"]).arg(scene.path(place)));
        assert_eq!(answer.code, Some(1), "{place}: {}", answer.stderr);
        let made = run(cli(&scene.path(place).join("deep/data")).arg("import").arg(&scene.input));
        assert_eq!(made.code, Some(1), "{place}: {}", made.stderr);
    }
    let mut checkout = cli(&scene.store);
    let answer = run(checkout.args(["checkout", "b", "--overwrite"]).arg(scene.folder.path()));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    scene.stores_are_sound();
    assert!(!scene.other.join("new").exists() && !scene.other.join("journal/x").exists());
    assert!(!scene.other.join("sled/new").exists());
}

#[test]
fn nothing_is_written_through_a_link_or_over_what_is_no_file() {
    let scene = Scene::new();
    fs::write(scene.path("kept"), "kept").unwrap();
    symlink(scene.path("kept"), scene.path("link")).unwrap();
    symlink(scene.path("nowhere"), scene.path("dangling")).unwrap();
    fs::create_dir(scene.path("folder")).unwrap();
    let before = scene.names();
    for place in ["link", "dangling", "folder"] {
        for force in [false, true] {
            for (answer, _) in scene.commands(&scene.path(place), force) {
                assert_eq!(answer.code, Some(1), "{place}: {}", answer.stderr);
            }
        }
    }
    assert_eq!(scene.names(), before);
    assert_eq!(fs::read(scene.path("kept")).unwrap(), b"kept");
    // A device takes what it is given, and is one afterwards.
    for (answer, _) in scene.commands(Path::new("/dev/null"), true) {
        answer.succeeded();
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    // Neither the input nor the key map is written over, not by force either.
    let map = scene.path("map");
    fs::write(&map, "{}").unwrap();
    for out in [&scene.input, &map] {
        let mut import = cli(&scene.store);
        import.arg("import").arg(&scene.input).arg("--map").arg(&map);
        let answer = run(import.arg("--rejects").arg(out).arg("--force"));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    }
    assert_eq!(fs::read(&map).unwrap(), b"{}");
}

#[test]
fn no_command_but_those_that_bring_something_makes_a_store() {
    let scene = Scene::new();
    let operations: [&[&str]; 8] = [
        &["activate-space", "a"],
        &["delete-space", "a"],
        &["rename-space", "a", "A"],
        &["add-document", "a", "d", "/d"],
        &["set-variable", "a", "v", "1"],
        &["start-sync", "a"],
        &["invalidate-cache", "a", "d"],
        &["set-content", "a", "d", scene.input.to_str().unwrap()],
    ];
    let absent = scene.path("absent");
    let error = format!("there is no store in this folder ({})", absent.display());
    for operation in operations {
        run(cli(&absent).arg("service").args(operation)).failed(1, &error);
        assert!(!absent.exists(), "{operation:?}");
    }
    run(cli(&absent).args(["service", "create-space", "a", "A"])).succeeded();
    let missing = run(cli(&absent).args(["service", "set-content", "a", "d", "no-such-file"]));
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("no-such-file"), "{}", missing.stderr);
    assert!(!missing.stderr.contains("JSON lines"), "{}", missing.stderr);
    // A link that leads nowhere is no place for one, and nothing is left of the attempt.
    symlink(scene.path("nowhere"), scene.path("dangling")).unwrap();
    let before = scene.names();
    let dangling = scene.path("dangling");
    let input = scene.input.to_str().unwrap();
    for arguments in [&["import", input][..], &["append", input], &["info"], &["verify"]] {
        let error = format!(
            "this is not a store: it is a link that leads nowhere ({})",
            dangling.display()
        );
        run(cli(&dangling).args(arguments)).failed(1, &error);
        assert_eq!(scene.names(), before);
    }
    let below = run(cli(&dangling.join("store")).args(["import", input]));
    assert_eq!(below.code, Some(1), "{}", below.stderr);
    assert_eq!(scene.names(), before);
}
