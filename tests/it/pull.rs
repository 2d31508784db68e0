//! `spacefold pull`, from a folder and from a server.

use std::fs;

use serde_json::Value;
use spacefold::{SpaceEvent, Spacefold, content::ContentHash};

use crate::{
    served::TestServer,
    support::{cli, run},
};

fn pulled(printed: &str) -> (u64, u64) {
    let printed: Value = serde_json::from_str(printed).unwrap();
    (printed["events"].as_u64().unwrap(), printed["contents"].as_u64().unwrap())
}

/// A store with two spaces and some content.
fn source(path: &std::path::Path) -> Spacefold {
    let spaces = Spacefold::open(path).unwrap();
    let service = spaces.service();
    for space in ["a", "b"] {
        service.create_space(space, "A").unwrap();
        service.add_document(space, "intro", "/intro.md").unwrap();
        service.set_content(space, "intro", space.repeat(300_000).as_bytes()).unwrap();
    }
    spaces
}

#[test]
fn spaces_are_pulled_from_a_folder_that_is_in_use_and_from_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("there");
    let spaces = source(&there);
    let server = TestServer::of(&spaces);
    for (name, from) in [("beside", there.to_str().unwrap()), ("served", &server.url())] {
        let here = folder.path().join(name);
        let pull = |spaces: &[&str]| {
            let mut command = cli(&here);
            run(command.args(["pull", from, "--json", "--spaces"]).args(spaces))
        };
        assert_eq!(pulled(&pull(&["a"]).succeeded()), (3, 1));
        assert_eq!(pulled(&pull(&["a", "b"]).succeeded()), (3, 1));
        assert_eq!(pulled(&pull(&["a", "b"]).succeeded()), (0, 0));
        let states = |data| run(cli(data).args(["snapshot", "a", "--json"])).succeeded();
        let state = |printed: String| {
            let printed: Value = serde_json::from_str(&printed).unwrap();
            printed["state_hash"].clone()
        };
        assert_eq!(state(states(&here)), state(states(&there)));
        let hash = ContentHash::of("b".repeat(300_000).as_bytes()).to_string();
        let content = run(cli(&here).args(["content", "get", &hash])).succeeded();
        assert_eq!(content.len(), 300_000);
        assert_eq!(run(cli(&here).arg("verify")).code, Some(0));

        pull(&["none"]).failed(4, &format!("the other store has no space \"none\" ({from})"));
        run(cli(&here).args(["service", "activate-space", "a"])).succeeded();
        let changed = "space \"a\" went a way of its own here: it is at revision 4 here and at 3 there, \
                       and differs from revision 4 on";
        pull(&["a", "b"]).failed(1, &format!("{changed} ({from})"));
    }
    drop(server);
    spaces.close().unwrap();
}

#[test]
fn what_cannot_be_pulled_from_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (there, here) = (folder.path().join("there"), folder.path().join("here"));
    let spaces = source(&there);
    let damaged = ContentHash::of(b"nowhere").to_string();
    let named = SpaceEvent::document_content_changed("a", "intro", None::<String>, damaged);
    spaces.append([named]).unwrap();
    spaces.close().unwrap();
    let pull = |from: &str| run(cli(&here).args(["pull", from, "--spaces", "a"]));
    let lacking = pull(there.to_str().unwrap());
    assert_eq!(lacking.code, Some(3), "{}", lacking.stderr);
    assert!(lacking.stderr.contains("1 contents that events name"), "{}", lacking.stderr);
    let itself = pull(here.to_str().unwrap());
    assert_ne!(itself.code, Some(0), "{}", itself.stderr);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (from, code) in [(empty.to_str().unwrap(), 1), ("http://127.0.0.1:1", 1), ("http://", 2)] {
        let answer = pull(from);
        assert_eq!(answer.code, Some(code), "{from}: {}", answer.stderr);
        assert!(answer.stderr.contains("\nhint: "), "{}", answer.stderr);
    }
    assert_eq!(run(cli(&here).args(["pull", "x"])).code, Some(2));
}
