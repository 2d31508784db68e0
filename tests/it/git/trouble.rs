//! Repositories that lack something, and names that do not fit: what is said, and what is stored.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use super::{Repository, export, import};
use crate::support::{Answer, cli, run};

const PER_REPO: [&str; 2] = ["--space-per", "repo"];

#[track_caller]
fn failed(answer: &Answer, error: &str, hint: &str) {
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", answer.stderr);
    assert!(lines[0].contains(error), "{error:?} is not in {}", lines[0]);
    assert!(lines[1].contains(hint), "{hint:?} is not in {}", lines[1]);
}

fn object_file(repository: &Repository, object: &str) -> std::path::PathBuf {
    let (folder, name) = object.split_at(2);
    let file = repository.path().join(".git/objects").join(folder).join(name);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    file
}

/// Four commits; the third brings a file that the test takes away.
fn four_commits(folder: &Path) -> Repository {
    let repository = Repository::empty(&folder.join("made"));
    for (number, path) in ["a", "b", "folder/c d", "e"].into_iter().enumerate() {
        repository.write(path, format!("content {number}\n").repeat(50).as_bytes());
        repository.commit(path);
    }
    repository
}

#[test]
fn a_missing_object_is_named_with_its_commit_and_path_and_what_came_before_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let repository = four_commits(folder.path());
    let commits = repository.commits();
    let resolve = |name: &str| repository.git(["rev-parse", name]).trim().to_owned();
    let [content, inner, outer] =
        ["HEAD:folder/c d", "HEAD:folder", &format!("{}^{{tree}}", commits[2])].map(resolve);
    for (object, what, stored) in [
        (&content, format!("needs the content {content} at \"folder/c d\""), 2),
        (&inner, format!("needs the folder {inner} at \"folder\""), 2),
        (&outer, format!("needs the folder {outer}, which"), 2),
        (&commits[1], format!("commit {} needs the commit {}", commits[2], commits[1]), 0),
    ] {
        let file = object_file(&repository, object);
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let store = folder.path().join(format!("store-{object}"));
        let answer = import(&store, repository.path(), &PER_REPO);
        failed(&answer, &what, "git fsck");
        failed(&answer, &format!("commit {}", commits[2]), "clone it whole");
        failed(&answer, "which the repository does not have", "run the import again");
        let events = export(&store);
        for (index, commit) in commits.iter().enumerate() {
            assert_eq!(events.contains(commit), index < stored, "{what}: commit {index}");
        }
        // With the object back, the import goes on.
        fs::write(&file, bytes).unwrap();
        import(&store, repository.path(), &PER_REPO).succeeded();
        assert!(commits.iter().all(|commit| export(&store).contains(commit)));
    }
    // The tip itself.
    fs::remove_file(object_file(&repository, &commits[3])).unwrap();
    let answer = import(&folder.path().join("none"), repository.path(), &PER_REPO);
    failed(&answer, &format!("branch \"HEAD\" needs the commit {}", commits[3]), "git fsck");
    assert!(!folder.path().join("none").exists());
}

/// Where a commit may have renamed files git looks at what they had before.
#[test]
fn what_a_rename_is_recognised_by_is_named_too() {
    let folder = tempfile::tempdir().unwrap();
    let repository = four_commits(folder.path());
    let store = folder.path().join("store");
    import(&store, repository.path(), &PER_REPO).succeeded();
    let old = repository.git(["rev-parse", "HEAD:a"]).trim().to_owned();
    repository.rename("a", "renamed");
    repository.write("renamed", "content 0\n".repeat(45).as_bytes());
    repository.commit("rename");
    fs::remove_file(object_file(&repository, &old)).unwrap();
    let answer = import(&store, repository.path(), &PER_REPO);
    let tip = repository.commits().pop().unwrap();
    failed(&answer, &format!("commit {tip} needs the content {old} at \"a\""), "git fsck");
}

#[test]
fn what_is_damaged_is_named_with_its_commit_and_path() {
    let folder = tempfile::tempdir().unwrap();
    for (index, bytes) in [200, 3 << 20].into_iter().enumerate() {
        let repository = Repository::empty(&folder.path().join(format!("made-{index}")));
        repository.write("first", b"1\n");
        repository.commit("first");
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(bytes).collect();
        repository.write("dam aged", &noise);
        repository.commit("second");
        let object = repository.git(["rev-parse", "HEAD:dam aged"]).trim().to_owned();
        let file = object_file(&repository, &object);
        let sound = fs::read(&file).unwrap();
        for cut in [sound.len() / 2, 40] {
            fs::write(&file, &sound[..cut]).unwrap();
            let store = folder.path().join(format!("store-{index}-{cut}"));
            let answer = import(&store, repository.path(), &PER_REPO);
            let tip = &repository.commits()[1];
            failed(
                &answer,
                &format!("commit {tip}: what it has at \"dam aged\" cannot"),
                "git fsck",
            );
            assert!(export(&store).contains(&repository.commits()[0]));
            assert!(!export(&store).contains(tip));
        }
    }
}

/// Folders and the commits themselves, on which the history depends.
#[test]
fn a_damaged_folder_is_named_with_its_commit_and_path() {
    let folder = tempfile::tempdir().unwrap();
    let repository = four_commits(folder.path());
    let commits = repository.commits();
    let tree = repository.git(["rev-parse", "HEAD:folder"]).trim().to_owned();
    let file = object_file(&repository, &tree);
    let sound = fs::read(&file).unwrap();
    fs::write(&file, &sound[..sound.len() / 2]).unwrap();
    let store = folder.path().join("store");
    let answer = import(&store, repository.path(), &PER_REPO);
    let said = format!("commit {}: what it has at \"folder\" cannot be read", commits[2]);
    failed(&answer, &said, "git fsck");
    assert!(export(&store).contains(&commits[1]));
    fs::write(&file, sound).unwrap();
    import(&store, repository.path(), &PER_REPO).succeeded();
}

#[test]
fn clones_that_lack_objects_say_what_kind_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let repository = four_commits(folder.path());
    let partial = repository.partial_clone(&folder.path().join("partial"), "blob:none");
    let store = folder.path().join("store");
    let answer = import(&store, partial.path(), &PER_REPO);
    failed(
        &answer,
        "at \"a\", which the repository does not have: it is a partial clone",
        "--refetch",
    );
    // As the hint says.
    partial.git(["fetch", "--quiet", "--refetch", "--no-filter"]);
    import(&store, partial.path(), &PER_REPO).succeeded();

    let borrowing = folder.path().join("borrowing");
    let options = ["clone", "--quiet", "--shared", "--bare"].map(std::ffi::OsStr::new);
    repository.git(options.into_iter().chain([repository.path(), &borrowing].map(Path::as_os_str)));
    import(&folder.path().join("all"), &borrowing, &PER_REPO).succeeded();
    let objects = repository.path().join(".git/objects");
    fs::rename(&objects, folder.path().join("gone")).unwrap();
    let answer = import(&folder.path().join("none"), &borrowing, &PER_REPO);
    let objects = fs::canonicalize(repository.path()).unwrap().join(".git/objects");
    let said = format!("it borrows objects from {}, which is not there", objects.display());
    failed(&answer, &said, "put that folder back");
}

#[test]
fn what_is_no_repository_or_branch_is_told_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let repository = four_commits(folder.path());
    for url in [
        "https://example.org/book.git",
        "git@example.org:book.git",
        "ssh://example.org/book",
        "file:///srv/book",
        "ext::sh -c true",
    ] {
        let answer = import(&store, Path::new(url), &PER_REPO);
        failed(&answer, &format!("{url:?} is the address of a repository"), "git clone");
    }
    let empty = Repository::empty(&folder.path().join("empty"));
    failed(&import(&store, empty.path(), &PER_REPO), "the repository is empty", "make a commit");
    repository.git(["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    failed(
        &import(&store, repository.path(), &PER_REPO),
        "the branch that is checked out has no commit yet",
        "--branch",
    );
    for (branch, said) in [
        ("no-such-branch", "the repository has no branch, tag or commit \"no-such-branch\""),
        ("", "the repository has no branch, tag or commit \"\""),
        ("main:a", "\"main:a\" is no commit: it is a blob"),
        ("main^{tree}", "\"main^{tree}\" is no commit: it is a tree"),
    ] {
        let branch = format!("--branch={branch}");
        let answer = import(&store, repository.path(), &["--space-per", "repo", &branch]);
        failed(&answer, said, "--branch");
    }
    fs::write(repository.path().join(".git/config"), "[core]\n\trepositoryFormatVersion = 7\n")
        .unwrap();
    failed(
        &import(&store, repository.path(), &["--space-per", "repo", "--branch=main"]),
        "the repository has a format that is not known: core.repositoryformatversion = 7",
        "git clone",
    );
    assert!(!store.exists());
}

#[test]
fn names_that_do_not_fit_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let repository = four_commits(folder.path());
    for (name, said) in [
        (String::new(), "a name is not empty"),
        ("n".repeat(513), "the name has 513 bytes: the limit is 512"),
    ] {
        let answer = import(&store, repository.path(), &["--space-per", "repo", "--name", &name]);
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.contains(said), "{}", answer.stderr);
        assert!(!answer.stderr.contains("run the import again") && !store.exists());
    }
    // The longest name takes a repository, but no folder of it: what is before that is stored.
    let name = "n".repeat(512);
    let whole = folder.path().join("whole");
    import(&whole, repository.path(), &["--space-per", "repo", "--name", &name]).succeeded();
    let answer = import(&store, repository.path(), &["--space-per", "folder", "--name", &name]);
    let commits = repository.commits();
    let said = format!(
        "commit {}: the space of \"folder/c d\" would have an id of 519 bytes: the limit is 512",
        commits[2]
    );
    failed(&answer, &said, "--name");
    assert!(!answer.stderr.contains("run the import again"), "{}", answer.stderr);
    assert!(export(&store).contains(&commits[1]) && !export(&store).contains(&commits[2]));
}

/// A commit that changes nothing moves the head, and is not imported again.
#[test]
fn empty_commits_are_imported_once() {
    let folder = tempfile::tempdir().unwrap();
    for how in ["repo", "folder"] {
        let repository = Repository::empty(&folder.path().join(how));
        let empty = |message: &str| {
            repository.git(["commit", "--quiet", "--allow-empty", "--message", message])
        };
        let store = folder.path().join(format!("store-{how}"));
        let run_once = |commits: u64| {
            let printed = import(&store, repository.path(), &["--space-per", how]).succeeded();
            let printed: Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(printed["commits"], commits, "{how}");
            let snapshot = run(cli(&store).args(["snapshot", how])).succeeded();
            assert!(snapshot.contains(repository.commits().last().unwrap()), "{snapshot}");
        };
        empty("first of all");
        run_once(1);
        run_once(0);
        repository.write("sub/file", b"1\n");
        repository.commit("a file");
        empty("one");
        empty("two");
        run_once(3);
        run_once(0);
    }
}
