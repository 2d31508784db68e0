//! Spaces written out as files: what is refused, and that nothing else is touched.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::Value;
use spacefold::{AppendCondition, ContentStore as _, Object, SpaceEvent, Spacefold};

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
    spaces.append(events, AppendCondition::none()).unwrap();
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
    spaces.append(&foreign, AppendCondition::none()).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    checkout(&store, &out, &[])
        .failed(1, "the content of 1 documents is not stored here: d.md (space \"s\")");
    let spaces = Spacefold::open(&store).unwrap();
    let other = SpaceEvent::document_content_changed("s", "d", None::<String>, "md5:abc");
    spaces.append([other], AppendCondition::none()).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    let answer = checkout(&store, &out, &[]);
    assert!(answer.stderr.contains("no BLAKE3 hash"), "{}", answer.stderr);
    assert!(!out.exists());
}
