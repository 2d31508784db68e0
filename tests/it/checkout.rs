//! Spaces written out as files: what is refused, and that nothing else is touched.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::Value;
use spacefold::{SpaceEvent, Spacefold, content::ContentStore as _, event::Object};

use crate::support::{Answer, cli, run};

/// A document: its id, its path, its content, and the mode that an import would have noted.
type Document<'a> = (&'a str, &'a str, Option<&'a [u8]>, Option<&'a str>);

fn store_of(path: &Path, documents: &[Document<'_>]) {
    let spaces = Spacefold::open(path).unwrap();
    let mut events = vec![SpaceEvent::space_created("s", "S")];
    for (id, path, content, mode) in documents {
        events.push(SpaceEvent::document_added("s", *id, *path));
        if let Some(mode) = mode {
            let changes: Object = [("mode", spacefold::Value::from(*mode))].into_iter().collect();
            events.push(SpaceEvent::document_updated("s", *id, changes));
        }
        if let Some(content) = content {
            let hash = spaces.content().put(&mut &content[..]).unwrap().hash.to_string();
            events.push(SpaceEvent::document_content_changed("s", *id, None::<String>, hash));
        }
    }
    spaces.content().sync().unwrap();
    spaces.append(events).unwrap();
    spaces.close().unwrap();
}

fn checkout(store: &Path, folder: &Path, arguments: &[&str]) -> Answer {
    run(cli(store).args(["checkout", "s", "--json"]).arg(folder).args(arguments))
}

#[test]
fn documents_become_files_as_of_any_position() {
    let folder = tempfile::tempdir().unwrap();
    let (store, out) = (folder.path().join("store"), folder.path().join("deep/out"));
    store_of(
        &store,
        &[
            ("a", "/intro.md", Some(b"# Hello"), None),
            ("b", "sub/b.md", Some(b""), None),
            ("c", "no-content", None, None),
        ],
    );
    let printed: Value = serde_json::from_str(&checkout(&store, &out, &[]).succeeded()).unwrap();
    assert_eq!((&printed["files"], &printed["bytes"]), (&2.into(), &7.into()));
    assert_eq!((&printed["without_content"], &printed["position"]), (&1.into(), &6.into()));
    // A slash in front of a path is that of the space.
    assert_eq!(fs::read(out.join("intro.md")).unwrap(), b"# Hello");
    assert_eq!(fs::read(out.join("sub/b.md")).unwrap(), b"");
    assert!(!out.join("no-content").exists());

    let earlier = folder.path().join("earlier");
    checkout(&store, &earlier, &["--at", "3"]).succeeded();
    assert_eq!(fs::read_dir(&earlier).unwrap().count(), 1);
    assert_eq!(checkout(&store, &folder.path().join("x"), &["--at", "7"]).code, Some(4));
    assert_eq!(checkout(&store, &folder.path().join("x"), &["--at", "0"]).code, Some(4));
    let unknown = run(cli(&store).args(["checkout", "nowhere"]).arg(folder.path().join("x")));
    assert_eq!(unknown.code, Some(4));
    assert!(!folder.path().join("x").exists());
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let (store, out) = (folder.path().join("store"), folder.path().join("out"));
    store_of(&store, &[("a", "a.md", Some(b"new"), None), ("d", "d/d.md", Some(b"d"), None)]);
    fs::create_dir(&out).unwrap();
    fs::write(out.join("a.md"), "mine").unwrap();
    fs::write(out.join("other"), "mine").unwrap();
    let error = format!("the folder is not empty ({})", out.display());
    checkout(&store, &out, &[]).failed(1, &error);
    assert_eq!(fs::read_to_string(out.join("a.md")).unwrap(), "mine");
    checkout(&store, &out, &["--overwrite"]).succeeded();
    assert_eq!(fs::read_to_string(out.join("a.md")).unwrap(), "new");
    assert_eq!(fs::read_to_string(out.join("other")).unwrap(), "mine");

    // What leads out of the folder is not followed: neither a file's name nor a folder of its path.
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a.md"), "mine").unwrap();
    fs::remove_file(out.join("a.md")).unwrap();
    fs::remove_dir_all(out.join("d")).unwrap();
    symlink(outside.join("a.md"), out.join("a.md")).unwrap();
    symlink(&outside, out.join("d")).unwrap();
    let refused = checkout(&store, &out, &["--overwrite"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("a folder of its path is a file or a link"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_to_string(outside.join("a.md")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn paths_that_lead_out_or_meet_are_refused_with_names_before_anything_is_written() {
    let text: Option<&[u8]> = Some(b"x");
    let link: Option<&[u8]> = Some(b"/etc");
    let cases: [(&[Document<'_>], &str); 8] = [
        (&[("bad", "../up", text, None)], "document \"bad\" at \"../up\""),
        (&[("bad", "a/../../up", text, None)], "document \"bad\""),
        (&[("bad", "//etc/passwd", text, None)], "document \"bad\""),
        (&[("bad", ".git/hooks/pre-commit", text, Some("100755"))], "the path is in .git"),
        (&[("bad", "a/./b", text, None)], "document \"bad\""),
        (
            &[("one", "/a", text, None), ("two", "a", text, None)],
            "documents \"one\" and \"two\" are both at a",
        ),
        (
            &[("dir", "a", text, None), ("in", "a/b", text, None)],
            "document \"dir\" is a file, and a/b is below it",
        ),
        (
            &[("dir", "a", link, Some("120000")), ("in", "a/b", text, None)],
            "document \"dir\" is a file",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (index, (documents, said)) in cases.into_iter().enumerate() {
        let store = folder.path().join(format!("store-{index}"));
        let out = folder.path().join(format!("out-{index}"));
        let mut all = vec![("good", "0-good", text, None)];
        all.extend(documents);
        store_of(&store, &all);
        let answer = checkout(&store, &out, &[]);
        assert_eq!(answer.code, Some(1), "{index}");
        assert!(answer.stderr.contains(said), "{index}: {}", answer.stderr);
        assert!(!out.exists(), "{index}");
    }
    assert!(!folder.path().join("up").exists());
}

#[test]
fn documents_without_content_here_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (store, out) = (folder.path().join("store"), folder.path().join("out"));
    let spaces = Spacefold::open(&store).unwrap();
    let foreign = [
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "d.md"),
        SpaceEvent::document_content_changed("s", "d", None::<String>, "0".repeat(64)),
    ];
    spaces.append(&foreign).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    checkout(&store, &out, &[])
        .failed(1, "the content of 1 documents is not stored here: d.md (space \"s\")");
    let spaces = Spacefold::open(&store).unwrap();
    let other = SpaceEvent::document_content_changed("s", "d", None::<String>, "md5:abc");
    spaces.append([other]).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    let answer = checkout(&store, &out, &[]);
    assert!(answer.stderr.contains("no BLAKE3 hash"), "{}", answer.stderr);
    assert!(!out.exists());
}

/// Names that NTFS or HFS+ take for `.git`, at any depth, and links that are taken for `.gitmodules`:
/// by the rules of git.
#[test]
fn names_that_a_file_system_takes_for_git_are_refused() {
    let ntfs = "NTFS takes no notice of dots and spaces at the end, or of a stream";
    let short = "NTFS has it as a short name";
    let separator = "a backslash ends a name where NTFS is";
    let hfs = "HFS+ takes no notice of characters that are not seen";
    let cases = [
        (".GIT/config", None, "the path is in .git"),
        ("deep/down/.Git/hooks/post-checkout", None, "the path is in .git"),
        (".git /config", None, ntfs),
        ("sub/.git. ./config", None, ntfs),
        (".git::$INDEX_ALLOCATION/config", None, ntfs),
        ("git~1/config", None, short),
        ("sub/GIT~1", None, short),
        (".git\\config", None, separator),
        ("sub/x\\.git\\config", None, separator),
        (".g\u{200c}it/config", None, hfs),
        ("sub/\u{feff}.gi\u{206a}T/config", None, hfs),
        (".gitmodules", Some("120000"), "it is a link in the place of .gitmodules"),
        ("sub/.gitModules .", Some("120000"), "is taken for .gitmodules"),
        ("gitmod~1", Some("120000"), short),
        ("gi7eba~1", Some("120000"), short),
        (".git\u{200d}modules", Some("120000"), hfs),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (index, (path, mode, said)) in cases.into_iter().enumerate() {
        let store = folder.path().join(format!("store-{index}"));
        let out = folder.path().join(format!("out-{index}"));
        let documents = [("good", "good", Some(&b"x"[..]), None), ("bad", path, Some(b"y"), mode)];
        store_of(&store, &documents);
        for arguments in [&[][..], &["--overwrite", "--skip-missing"]] {
            let answer = checkout(&store, &out, arguments);
            assert_eq!(answer.code, Some(1), "{path:?}");
            let begin = format!("error: document \"bad\" at {path:?}: ");
            assert!(answer.stderr.starts_with(&begin), "{path:?}: {}", answer.stderr);
            assert!(answer.stderr.contains(said), "{path:?}: {}", answer.stderr);
            assert!(!out.exists(), "{path:?}");
        }
    }
    // What only looks so is a name as any other, and so is a file called .gitmodules.
    let (store, out) = (folder.path().join("others"), folder.path().join("out"));
    let names =
        [".gitignore", ".gitmodules", "git~2", ".git.x", "a.git", "gi7eba~1", "a\\b", " .git"];
    let documents: Vec<Document<'_>> =
        names.iter().map(|name| (*name, *name, Some(&b"x"[..]), None)).collect();
    store_of(&store, &documents);
    checkout(&store, &out, &[]).succeeded();
    assert_eq!(fs::read_dir(&out).unwrap().count(), names.len());
}

/// What is missing is left out and listed, when that is asked for.
#[test]
fn the_rest_is_written_without_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, out) = (folder.path().join("store"), folder.path().join("out"));
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    store_of(
        &store,
        &[
            ("a", "a.md", Some(b"a"), None),
            ("bin", "sub/noise", Some(&noise), None),
            ("none", "none.md", None, None),
            ("link", "link", Some(b"a.md"), Some("120000")),
        ],
    );
    let spaces = Spacefold::open(&store).unwrap();
    let foreign = [
        SpaceEvent::document_added("s", "gone", "sub/gone.md"),
        SpaceEvent::document_content_changed("s", "gone", None::<String>, "0".repeat(64)),
        SpaceEvent::document_added("s", "lost", "lost-link"),
        SpaceEvent::document_updated(
            "s",
            "lost",
            [("mode", spacefold::Value::from("120000"))].into_iter().collect::<Object>(),
        ),
        SpaceEvent::document_content_changed("s", "lost", None::<String>, "1".repeat(64)),
        SpaceEvent::document_added("s", "md5", "md5.md"),
        SpaceEvent::document_content_changed("s", "md5", None::<String>, "md5:abc"),
    ];
    spaces.append(&foreign).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    let refused = checkout(&store, &out, &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--skip-missing"), "{}", refused.stderr);
    assert!(!out.exists());
    let printed = checkout(&store, &out, &["--skip-missing"]).succeeded();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&printed["files"], &printed["without_content"]), (&3.into(), &1.into()));
    let expected = serde_json::json!([
        {"document_id": "md5", "path": "md5.md", "content_hash": "md5:abc", "reason": "unknown_hash"},
        {"document_id": "lost", "path": "lost-link", "content_hash": "1".repeat(64), "reason": "missing"},
        {"document_id": "gone", "path": "sub/gone.md", "content_hash": "0".repeat(64), "reason": "missing"},
    ]);
    assert_eq!(printed["skipped"], expected);
    assert_eq!(fs::read(out.join("sub/noise")).unwrap(), noise);
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("a.md"));
    assert!(!out.join("sub/gone.md").exists() && !out.join("md5.md").exists());
    let table = run(cli(&store).args(["checkout", "s", "--skip-missing", "--overwrite"]).arg(&out));
    let table = table.succeeded();
    assert!(table.contains("skipped sub/gone.md: not stored here\n"), "{table}");
    assert!(table.contains("skipped md5.md: no BLAKE3 hash\n"), "{table}");

    // One that is damaged in its middle: nothing of it is written, all the rest is, and it is no
    // success.
    let packs = fs::read_dir(store.join("content")).unwrap().map(|file| file.unwrap().path());
    let pack = packs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let out = folder.path().join("damaged");
    let answer = checkout(&store, &out, &["--skip-missing"]);
    assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    assert!(answer.stderr.contains("the content of 1 documents is damaged"), "{}", answer.stderr);
    let printed: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(printed["files"], 2);
    let last = printed["skipped"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["path"], &last["reason"]), (&"sub/noise".into(), &"damaged".into()));
    assert!(!out.join("sub/noise").exists() && out.join("a.md").exists());
    // Told to write all or nothing, it leaves no half of a file either.
    let answer = checkout(&store, &folder.path().join("half"), &["--at", "8"]);
    assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    assert!(!folder.path().join("half/sub/noise").exists());
}
