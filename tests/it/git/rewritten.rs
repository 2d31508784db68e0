//! Histories that were rewritten after they were imported.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use spacefold::{SpaceEvent, Spacefold, content::ContentStore as _};

use super::{Found, Repository, assert_same, export, import, tree};
use crate::support::{cli, run};

const ONTO: &str = "--onto-new-history";

/// Checks that the spaces hold what git has at the tip, and that nothing was out of order.
#[track_caller]
fn assert_is_tip(repository: &Repository, store: &Path, scratch: &Path, what: &str) {
    let [archive, checkout] = ["archive", "checkout"].map(|name| scratch.join(name));
    let tip = repository.commits().pop().unwrap();
    repository.archive(&tip, &archive);
    fs::create_dir(&checkout).unwrap();
    let spaces = Spacefold::open_existing(store).unwrap();
    let snapshots = spaces.snapshot_all().unwrap();
    let mut ids = Vec::new();
    for snapshot in &snapshots {
        assert_eq!(snapshot.anomalies().count(), 0, "{what}: {}", snapshot.to_json());
        ids.push(snapshot.space_id().to_owned());
    }
    let heads = snapshots.iter().filter_map(|snapshot| snapshot.variable("head")?.as_str());
    assert!(heads.into_iter().any(|head| head == tip), "{what}");
    spaces.close().unwrap();
    drop(spaces);
    for id in ids {
        run(cli(store).args(["checkout", &id, "--overwrite"]).arg(&checkout)).succeeded();
    }
    let files = |folder: &Path| -> BTreeMap<_, _> {
        tree(folder).into_iter().filter(|(_, found)| *found != Found::EmptyFolder).collect()
    };
    assert_same(&files(&checkout), &files(&archive), what);
    fs::remove_dir_all(archive).unwrap();
    fs::remove_dir_all(checkout).unwrap();
}

fn rewound(printed: &str) -> Value {
    serde_json::from_str::<Value>(printed).unwrap()["rewound"].clone()
}

/// Files in two folders and in none, some of which change places.
fn begin(folder: &Path, name: &str) -> Repository {
    let repository = Repository::empty(&folder.join(name));
    for path in ["one", "two", "sub/three", "sub/four", "gone/five"] {
        repository.write(path, format!("{path}\n").repeat(30).as_bytes());
    }
    repository.commit("first");
    repository.write("one", "one, changed\n".repeat(30).as_bytes());
    repository.commit("second");
    repository
}

/// What the history goes on with before it is rewritten: two documents change places, one goes, one
/// comes, a folder comes.
fn go_on(repository: &Repository) {
    repository.rename("sub/three", "aside");
    repository.commit("third");
    repository.rename("sub/four", "sub/three");
    repository.commit("fourth");
    repository.rename("aside", "sub/four");
    repository.set_mode("two", 0o755);
    repository.remove("gone/five");
    repository.write("new/six", b"six\n");
    repository.write("one", b"another\n");
    repository.commit("fifth");
}

#[test]
fn after_a_rewritten_history_an_import_goes_on_from_the_fork() {
    let folder = tempfile::tempdir().unwrap();
    for how in ["repo", "folder"] {
        let repository = begin(folder.path(), how);
        let store = folder.path().join(format!("store-{how}"));
        let arguments = ["--space-per", how];
        let forced = ["--space-per", how, ONTO];
        go_on(&repository);
        import(&store, repository.path(), &forced).succeeded();
        let old = repository.commits();
        let before = export(&store);

        // Amended: the last commit is another.
        repository.write("amended", b"amended\n");
        repository.git(["add", "--all"]);
        repository.git(["commit", "--quiet", "--amend", "--message=amended"]);
        let refused = import(&store, repository.path(), &arguments);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("the last that was imported, is not in"));
        assert!(refused.stderr.contains(ONTO), "{}", refused.stderr);
        assert!(export(&store) == before);
        let printed = import(&store, repository.path(), &forced).succeeded();
        let found = rewound(&printed);
        assert_eq!(found["from"].as_str(), old.last().map(String::as_str), "{printed}");
        assert_eq!(found["to"].as_str(), Some(old[3].as_str()), "{printed}");
        assert!(printed.contains("\"commits\":1,"), "{printed}");
        assert_is_tip(&repository, &store, folder.path(), "amended");
        // Events say so, and an import after it needs no word.
        let events = export(&store);
        let said = format!("\"rewound_from\":\"{}\",\"rewound_to\":\"{}\"", old[4], old[3]);
        assert!(events.starts_with(&before) && events.contains(&said), "{said}");
        let again = import(&store, repository.path(), &arguments).succeeded();
        assert!(again.contains("\"commits\":0,\"events\":0,"), "{again}");
        assert!(rewound(&again).is_null());

        // Back over several commits, with nothing new; what was gone and moved is as it was.
        repository.git(["reset", "--quiet", "--hard", &old[1]]);
        let printed = import(&store, repository.path(), &forced).succeeded();
        assert!(printed.contains("\"commits\":0,"), "{printed}");
        assert_is_tip(&repository, &store, folder.path(), "reset");
        // And forth again: what was imported once is not imported twice.
        repository.git(["reset", "--quiet", "--hard", &old[4]]);
        let printed = import(&store, repository.path(), &forced).succeeded();
        assert!(printed.contains("\"commits\":0,"), "{printed}");
        assert_is_tip(&repository, &store, folder.path(), "back again");
        repository.write("last", b"last\n");
        repository.commit("goes on");
        import(&store, repository.path(), &arguments).succeeded();
        assert_is_tip(&repository, &store, folder.path(), "goes on");
        run(cli(&store).arg("verify")).succeeded();
    }
}

#[test]
fn a_history_with_nothing_in_common_takes_the_place_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    for how in ["repo", "folder"] {
        let repository = begin(folder.path(), how);
        let store = folder.path().join(format!("store-{how}"));
        import(&store, repository.path(), &["--space-per", how]).succeeded();
        let old = repository.commits();
        // Another history in another repository, which has none of the old objects.
        let other = Repository::empty(&folder.path().join(format!("other-{how}")));
        other.write("two", b"two of the other\n");
        other.write("sub/three", b"three of the other\n");
        other.commit("first of the other");
        let arguments = ["--space-per", how, "--name", how];
        let refused = import(&store, other.path(), &arguments);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("is not in the repository"), "{}", refused.stderr);
        let forced = [&arguments[..], &[ONTO]].concat();
        let printed = import(&store, other.path(), &forced).succeeded();
        let found = rewound(&printed);
        assert!(found["to"].is_null(), "{printed}");
        assert_eq!(found["from"].as_str(), old.last().map(String::as_str));
        assert_is_tip(&other, &store, folder.path(), "the other");
        let again = import(&store, other.path(), &arguments).succeeded();
        assert!(again.contains("\"commits\":0,"), "{again}");
        // And back, whose commits are there.
        let printed = import(&store, repository.path(), &forced).succeeded();
        assert!(printed.contains("\"commits\":0,"), "{printed}");
        assert_is_tip(&repository, &store, folder.path(), "back");
    }
}

/// What others have done to the spaces meanwhile stays, where the history does not need the place.
#[test]
fn documents_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let repository = begin(folder.path(), "made");
    let store = folder.path().join("store");
    go_on(&repository);
    import(&store, repository.path(), &["--space-per", "repo"]).succeeded();
    let spaces = Spacefold::open(&store).unwrap();
    let mine = [
        SpaceEvent::document_added("made", "mine", "mine.md"),
        SpaceEvent::document_added("made", "in the way", "gone/five"),
    ];
    spaces.append(mine).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    repository.git(["reset", "--quiet", "--hard", "HEAD~3"]);
    import(&store, repository.path(), &["--space-per", "repo", ONTO]).succeeded();
    let spaces = Spacefold::open_existing(&store).unwrap();
    let snapshot = spaces.snapshot("made").unwrap();
    assert_eq!(snapshot.document("mine").unwrap().path(), "mine.md");
    assert!(snapshot.document("in the way").unwrap().content_hash().is_some());
    assert_eq!(snapshot.anomalies().count(), 0);
    spaces.close().unwrap();
    drop(spaces);
    assert_is_tip(&repository, &store, folder.path(), "beside others");
}

/// A commit of several appends that was imported in part, and then rewritten; and a rewinding of
/// several appends that was stopped.
#[test]
fn what_was_stopped_in_the_middle_is_taken_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_many_files(folder.path(), 3_000);
    let [whole, part] = ["whole", "part"].map(|name| folder.path().join(name));
    let arguments = ["--space-per", "repo"];
    let forced = ["--space-per", "repo", ONTO];
    import(&whole, repository.path(), &arguments).succeeded();
    // A store of these events of another one, with their content.
    let cut_to = |store: &Path, from: &Path, lines: &[&str]| {
        let file = folder.path().join("part.jsonl");
        fs::write(&file, lines.join("\n")).unwrap();
        run(cli(store).arg("import").arg(&file)).succeeded();
        let [from, to] = [from, store].map(|path| Spacefold::open_existing(path).unwrap());
        spacefold::content::visit_named_content(to.log(), &mut |_, hash| {
            let content = from.content().get(&hash, u64::MAX).unwrap();
            to.content().put(&mut &*content).unwrap();
        })
        .unwrap();
        to.close().unwrap();
        from.close().unwrap();
    };
    let exported = export(&whole);
    let lines: Vec<&str> = exported.lines().collect();
    // All of the first commit, and a part of the second, which then is no more.
    let second = repository.commits()[1].clone();
    let begins = lines.iter().position(|line| line.contains(&second)).unwrap();
    cut_to(&part, &whole, &lines[..begins + 2_000]);
    repository.git(["update-ref", "refs/heads/main", "HEAD~1"]);
    repository.git(["reset", "--quiet", "--hard"]);
    repository.write("folder/7", b"seven\n");
    repository.commit("in its place");
    let refused = import(&part, repository.path(), &arguments);
    assert!(refused.stderr.contains("an import was stopped in the middle"), "{}", refused.stderr);
    assert!(refused.stderr.contains(ONTO), "{}", refused.stderr);
    import(&part, repository.path(), &forced).succeeded();
    assert_is_tip(&repository, &part, folder.path(), "a part of a commit");

    // The same commit again: its events have other ids than those that were taken back.
    repository.git(["reset", "--quiet", "--hard", &second]);
    import(&part, repository.path(), &forced).succeeded();
    assert_is_tip(&repository, &part, folder.path(), "the commit that was stopped");

    // A rewinding that is stopped is more than one append, too: 3,000 documents come back.
    let first = repository.commits()[0].clone();
    for commit in ["all files go", "nothing more"] {
        repository.git(["rm", "-r", "--quiet", "--ignore-unmatch", "."]);
        repository.git(["commit", "--quiet", "--allow-empty", "--message", commit]);
    }
    import(&part, repository.path(), &arguments).succeeded();
    let removed = repository.commits().pop().unwrap();
    let before = export(&part).lines().count();
    repository.git(["reset", "--quiet", "--hard", &first]);
    let rewound_store = folder.path().join("rewound");
    cut_to(&rewound_store, &part, &export(&part).lines().collect::<Vec<_>>());
    import(&rewound_store, repository.path(), &forced).succeeded();
    let all = export(&rewound_store);
    let all: Vec<&str> = all.lines().collect();
    assert!(all.len() > before + 4_096, "{} events are one append", all.len() - before);
    let stopped = folder.path().join("stopped");
    cut_to(&stopped, &part, &all[..before + 4_096]);
    // Neither the new history nor the old one goes on from there as if nothing were.
    for tip in [&first, &removed] {
        repository.git(["reset", "--quiet", "--hard", tip]);
        let refused = import(&stopped, repository.path(), &arguments);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains(ONTO), "{}", refused.stderr);
    }
    repository.git(["reset", "--quiet", "--hard", &first]);
    import(&stopped, repository.path(), &forced).succeeded();
    assert_is_tip(&repository, &stopped, folder.path(), "a stopped rewinding");
}
