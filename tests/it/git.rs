//! Git repositories in, files out.

mod hostile;
mod memory;
mod repository;
mod rewritten;
mod trouble;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use spacefold::{
    Position, Spacefold,
    event::EventFilter,
    log::{LogReader as _, ReadRequest},
};

use self::repository::Repository;
use crate::support::{Answer, cli, run};

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    File { bytes: Vec<u8>, is_program: bool },
    Link(PathBuf),
    EmptyFolder,
}

/// Everything below a folder; of folders only those that are empty.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Found> {
    fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Found>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_symlink() {
                found.insert(name, Found::Link(fs::read_link(&path).unwrap()));
            } else if !metadata.is_dir() {
                let is_program = metadata.permissions().mode() & 0o100 != 0;
                found.insert(name, Found::File { bytes: fs::read(&path).unwrap(), is_program });
            } else if fs::read_dir(&path).unwrap().next().is_none() {
                found.insert(name, Found::EmptyFolder);
            } else {
                collect(root, &path, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    found
}

/// Fails at the first path that differs; the whole would be megabytes.
#[track_caller]
fn assert_same(found: &BTreeMap<PathBuf, Found>, expected: &BTreeMap<PathBuf, Found>, what: &str) {
    let paths = |tree: &BTreeMap<PathBuf, Found>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(found), paths(expected), "{what}");
    for (path, expected) in expected {
        assert!(found[path] == *expected, "{what}: {}", path.display());
    }
}

fn import(store: &Path, repository: &Path, arguments: &[&str]) -> Answer {
    run(cli(store).args(["import-git", "--json"]).arg(repository).args(arguments))
}

fn export(store: &Path) -> String {
    run(cli(store).arg("export")).succeeded()
}

/// The last position of each commit's events.
fn positions(store: &Path) -> BTreeMap<String, Position> {
    let spaces = Spacefold::open_existing(store).unwrap();
    let mut positions = BTreeMap::new();
    for event in conformance::whole_log(spaces.log()) {
        positions.insert(event.event.correlation_id.clone().unwrap(), event.position);
    }
    positions
}

/// Checks `checkout` against `git archive` at every `step`-th commit of the branch, and the last.
#[track_caller]
fn compare_with_archives(repository: &Repository, store: &Path, space: &str, step: usize) -> usize {
    let scratch = tempfile::tempdir().unwrap();
    let positions = positions(store);
    let commits = repository.commits();
    let last = commits.len() - 1;
    let mut at = None;
    let mut compared = 0;
    for (index, commit) in commits.iter().enumerate() {
        // A commit that changed nothing is where the one before it is.
        at = positions.get(commit).copied().or(at);
        let (Some(at), true) = (at, index % step == 0 || index == last) else { continue };
        let [archive, checkout] =
            ["archive", "checkout"].map(|name| scratch.path().join(format!("{name}-{index}")));
        repository.archive(commit, &archive);
        let at = at.to_string();
        run(cli(store).args(["checkout", space, "--at", &at]).arg(&checkout)).succeeded();
        assert_same(&tree(&checkout), &tree(&archive), &format!("commit {commit} at {at}"));
        compared += 1;
        fs::remove_dir_all(archive).unwrap();
        fs::remove_dir_all(checkout).unwrap();
    }
    compared
}

#[test]
fn every_commit_is_given_back_as_git_archives_it() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_everything(folder.path());
    let store = folder.path().join("store");
    let printed = import(&store, repository.path(), &["--space-per", "repo"]).succeeded();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let commits = repository.commits();
    assert_eq!(printed["commits"], commits.len());
    assert_eq!(
        (&printed["name"], &printed["tip"]),
        (&"made".into(), &commits.last().unwrap().as_str().into())
    );
    assert_eq!(compare_with_archives(&repository, &store, "made", 1), commits.len());

    let spaces = Spacefold::open_existing(&store).unwrap();
    let snapshot = spaces.snapshot("made").unwrap();
    assert_eq!(snapshot.anomalies().count(), 0);
    assert_eq!(
        snapshot.variable("head").and_then(spacefold::Value::as_str),
        commits.last().map(String::as_str)
    );
    // What git takes for a rename keeps its document.
    let count = |name: &str| {
        let filter = EventFilter::all().types([name.parse::<spacefold::EventType>().unwrap()]);
        spaces.log().read(&ReadRequest::from(Position::new(1)).matching(filter)).unwrap().len()
    };
    assert!(count("document.moved") >= 2 && count("document.removed") >= 2);
    spaces.close().unwrap();
    drop(spaces);
    run(cli(&store).arg("verify")).succeeded();
}

#[test]
fn folders_become_spaces_and_together_are_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_everything(folder.path());
    let store = folder.path().join("store");
    import(&store, repository.path(), &["--space-per", "folder", "--name", "all"]).succeeded();
    let listed = run(cli(&store).args(["spaces", "--json"])).succeeded();
    let ids: Vec<String> = listed
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["space_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(ids.contains(&"all".to_owned()) && ids.contains(&"all/src".to_owned()), "{ids:?}");
    let [archive, checkout] = ["archive", "checkout"].map(|name| folder.path().join(name));
    repository.archive("main", &archive);
    for id in &ids {
        run(cli(&store).args(["checkout", id, "--overwrite"]).arg(&checkout)).succeeded();
    }
    assert_same(&tree(&checkout), &tree(&archive), "all spaces");
    // The same history is not imported in another way on top.
    let refused = import(&store, repository.path(), &["--space-per", "repo", "--name", "all"]);
    refused.failed(
        1,
        &format!(
            "space \"all\" was not made by an import of this repository of this kind ({})",
            repository.path().display()
        ),
    );
}

#[test]
fn an_import_goes_on_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_everything(folder.path());
    let [whole, pieces] = ["whole", "pieces"].map(|name| folder.path().join(name));
    for space_per in ["repo", "folder"] {
        let how = ["--space-per", space_per, "--name", space_per];
        import(&whole, repository.path(), &how).succeeded();
        for commit in repository.commits() {
            let mut upto = how.to_vec();
            upto.extend(["--branch", &commit]);
            import(&pieces, repository.path(), &upto).succeeded();
        }
        let again = import(&pieces, repository.path(), &how).succeeded();
        assert!(again.contains("\"events\":0,\"contents\":0,"), "{again}");
        assert!(export(&pieces) == export(&whole), "{space_per}");
    }
    // An older commit, and one that was merged, are in what was imported.
    let merged = repository.git(["rev-parse", "side"]).trim().to_owned();
    for old in [&repository.commits()[0], &merged] {
        let how = ["--space-per", "repo", "--name", "repo", "--branch", old];
        let nothing = import(&pieces, repository.path(), &how).succeeded();
        assert!(nothing.contains("\"commits\":0,\"events\":0,"), "{nothing}");
    }
    assert!(export(&pieces) == export(&whole));
}

/// More events in a commit than an append takes: a stop between two of its appends.
#[test]
fn a_commit_that_was_imported_in_part_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_many_files(folder.path(), 5_000);
    let whole = folder.path().join("whole");
    import(&whole, repository.path(), &["--space-per", "repo"]).succeeded();
    let exported = export(&whole);
    let lines: Vec<&str> = exported.lines().collect();
    // An append's worth of the first commit, and of the last.
    let last =
        lines.iter().position(|line| line.contains(repository.commits()[1].as_str())).unwrap();
    for cut in [4_096, last + 4_096] {
        let part = folder.path().join(format!("part-{cut}"));
        let file = folder.path().join("part.jsonl");
        fs::write(&file, lines[..cut].join("\n")).unwrap();
        run(cli(&part).arg("import").arg(&file)).succeeded();
        import(&part, repository.path(), &["--space-per", "repo"]).succeeded();
        assert!(export(&part) == exported, "cut after {cut} events");
    }
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::with_long_history(folder.path(), 400);
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    import(&whole, repository.path(), &["--space-per", "folder"]).succeeded();
    let content_bytes = |store: &Path| -> u64 {
        let files = fs::read_dir(store.join("content"));
        let lens = files.into_iter().flatten().filter_map(|file| file.ok()?.metadata().ok());
        lens.map(|metadata| metadata.len()).sum()
    };
    let all = content_bytes(&whole);
    for part in [0, 1, 3, 7] {
        let mut child = cli(&killed)
            .args(["import-git", "--space-per", "folder"])
            .arg(repository.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while content_bytes(&killed) < all * part / 8 && child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is imported");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if killed.join("HEAD").exists() {
            let unopened = run(cli(&killed).args(["verify", "--json"]));
            assert!(matches!(unopened.code, Some(0 | 1)), "{}", unopened.stdout);
            // Whatever an event names is there.
            let spaces = Spacefold::open_existing(&killed).unwrap();
            let mut named = 0;
            spacefold::content::visit_named_content(spaces.log(), &mut |_, hash| {
                use spacefold::content::ContentStore as _;
                spaces.content().get(&hash, u64::MAX).unwrap();
                named += 1;
            })
            .unwrap();
            assert!(named > 0 || spaces.durable_head() == Position::START);
            spaces.close().unwrap();
            run(cli(&killed).args(["verify", "--json"])).succeeded();
        }
    }
    import(&killed, repository.path(), &["--space-per", "folder"]).succeeded();
    assert!(export(&killed) == export(&whole));
    run(cli(&killed).args(["content", "gc"])).succeeded();
    run(cli(&killed).arg("verify")).succeeded();
    let tip = repository.commits().pop().unwrap();
    let [archive, checkout] = ["archive", "checkout"].map(|name| folder.path().join(name));
    repository.archive(&tip, &archive);
    let listed = run(cli(&killed).args(["spaces", "--json"])).succeeded();
    for line in listed.lines() {
        let space: Value = serde_json::from_str(line).unwrap();
        let id = space["space_id"].as_str().unwrap();
        run(cli(&killed).args(["checkout", id, "--overwrite"]).arg(&checkout)).succeeded();
    }
    assert_same(&tree(&checkout), &tree(&archive), "after four kills");
}

/// A real repository: the one that `SPACEFOLD_GIT_REPOSITORY` names, or this one. At commits spread
/// over its history, since git itself takes long for each.
#[test]
fn a_real_repository_is_given_back() {
    let named = std::env::var_os("SPACEFOLD_GIT_REPOSITORY").map(PathBuf::from);
    let is_named = named.is_some();
    let path =
        named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned());
    let repository = Repository::existing(&path);
    if !is_named && (!repository.is_there() || repository.is_shallow()) {
        println!("skipped: {} is no whole git repository", path.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    import(&store, &path, &["--space-per", "repo", "--name", "real"]).succeeded();
    let commits = repository.commits().len();
    let compared = compare_with_archives(&repository, &store, "real", commits.div_ceil(8));
    println!("{compared} of {commits} commits of {}", path.display());
    run(cli(&store).arg("verify")).succeeded();
}

#[test]
fn what_cannot_be_imported_is_told_and_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let repository = Repository::with_long_history(folder.path(), 3);
    let shallow = repository.shallow_clone(&folder.path().join("shallow"));
    let empty = Repository::empty(&folder.path().join("empty"));
    for (path, branch) in [
        (folder.path().join("absent"), "main"),
        (folder.path().to_owned(), "main"),
        (repository.path().to_owned(), "no-such-branch"),
        (repository.path().to_owned(), "--all"),
        (empty.path().to_owned(), "HEAD"),
        (shallow, "HEAD"),
    ] {
        let branch = format!("--branch={branch}");
        let answer = import(&store, &path, &["--space-per", "repo", &branch]);
        assert_eq!(answer.code, Some(1), "{}: {}", path.display(), answer.stderr);
        assert!(answer.stderr.starts_with("error: ") && answer.stderr.contains("\nhint: "));
        assert_eq!(answer.stderr.lines().count(), 2, "{}", answer.stderr);
        assert!(!store.exists());
    }
    // A space of that name that is somebody else's.
    let spaces = Spacefold::open(&store).unwrap();
    let created = [spacefold::SpaceEvent::space_created("made", "Mine")];
    spaces.append(created).unwrap();
    spaces.close().unwrap();
    drop(spaces);
    let answer = import(&store, repository.path(), &["--space-per", "repo"]);
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.stderr.contains("space \"made\" was not made by an import"),
        "{}",
        answer.stderr
    );
    assert_eq!(export(&store).lines().count(), 1);
}

/// However a repository is kept, and wherever its branches are, its history is the same.
#[test]
fn repositories_of_every_kind_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let repository = Repository::with_long_history(folder.path(), 12);
    repository.git(["reset", "--quiet", "--hard"]);
    repository.git(["tag", "--annotate", "--message=tag", "v1"]);
    let source = repository.path().to_str().unwrap();
    let clone = |options: &[&str], name: &str| {
        let to = path(name);
        let all = [&["clone", "--quiet"], options, &[source, to.to_str().unwrap()]].concat();
        repository.git(all);
        Repository::existing(&to)
    };
    clone(&["--bare"], "bare.git");
    clone(&["--bare", "--shared"], "borrowing");
    let packed = clone(&["--mirror"], "packed");
    packed.git(["gc", "--quiet"]);
    packed.git(["pack-refs", "--all"]);
    let detached = clone(&[], "detached");
    detached.git(["checkout", "--quiet", "--detach"]);
    detached.git(["branch", "--delete", "--force", "main"]);
    let worktree = path("worktree");
    let add = ["worktree", "add", "--quiet", "--detach", worktree.to_str().unwrap(), "v1"];
    repository.git(add);
    clone(&["--separate-git-dir", path("apart").to_str().unwrap()], "pointing");
    std::os::unix::fs::symlink(repository.path(), path("linked")).unwrap();
    let mut sources = vec![
        (path("bare.git"), "HEAD"),
        (path("borrowing"), "main"),
        (path("packed"), "v1"),
        (path("packed"), "refs/tags/v1"),
        (path("detached"), "HEAD"),
        (path("detached"), "origin/main"),
        (path("detached"), "HEAD@{0}"),
        (worktree, "HEAD"),
        (path("pointing"), "HEAD"),
        (path("linked"), "main"),
        (repository.path().join("src"), "main~0"),
        (repository.path().join(".git"), "HEAD"),
    ];
    let kinds = ["--ref-format=reftable", "--object-format=sha256"];
    let mut others = Vec::new();
    for (kind, name) in kinds.into_iter().zip(["reftable", "sha256"]) {
        let to = path(name);
        let init = ["init", "--quiet", "--initial-branch=main", kind, to.to_str().unwrap()];
        if !repository.command(init).status().unwrap().success() {
            println!("skipped: this git knows no {kind}");
            continue;
        }
        let other = Repository::existing(&to);
        let mut export = repository.command(["fast-export", "main"]);
        let mut export = export.stdout(Stdio::piped()).spawn().unwrap();
        let mut import = other.command(["fast-import", "--quiet"]);
        import.stdin(export.stdout.take().unwrap());
        assert!(import.status().unwrap().success() && export.wait().unwrap().success());
        let linked = path(&format!("{name}-worktree"));
        let add = ["worktree", "add", "--quiet", "--detach", linked.to_str().unwrap(), "main"];
        other.git(add);
        others.push((name, to, linked));
    }
    let of_kind = |kind: &str| others.iter().find(|(name, ..)| *name == kind).cloned();
    if let Some((_, reftable, linked)) = of_kind("reftable") {
        sources.extend([(reftable, "HEAD"), (linked, "HEAD")]);
    }
    let plain = path("store");
    let how = ["--space-per", "folder", "--name", "all"];
    import(&plain, repository.path(), &how).succeeded();
    let expected = export(&plain);
    for (index, (source, branch)) in sources.into_iter().enumerate() {
        let store = path(&format!("store-{index}"));
        let how = [&how[..], &["--branch", branch]].concat();
        import(&store, &source, &how).succeeded();
        assert!(export(&store) == expected, "{} at {branch}", source.display());
    }
    // With other hashes the history is another, and its files are the same.
    if let Some((_, sha256, linked)) = of_kind("sha256") {
        for (index, source) in [&sha256, &linked].into_iter().enumerate() {
            let store = path(&format!("store-sha256-{index}"));
            import(&store, source, &["--space-per", "repo", "--name", "all"]).succeeded();
            let [archive, checkout] =
                ["archive", "checkout"].map(|name| path(&format!("{name}-{index}")));
            repository.archive("main", &archive);
            run(cli(&store).args(["checkout", "all"]).arg(&checkout)).succeeded();
            assert_same(&tree(&checkout), &tree(&archive), "sha256");
        }
    }
}
