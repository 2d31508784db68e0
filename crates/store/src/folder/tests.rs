use std::{collections::BTreeSet, fs, os::unix::fs::symlink, process};

use spacefold_event_core::{AppendRequest, LogWriter as _, SpaceEvent};
use tempfile::TempDir;

use super::*;
use crate::{EmbeddedLog, StoreOptions};

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn whoever_has_the_store_is_named_this_process_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    let told = |path: &Path| EmbeddedLog::open(path).unwrap_err().to_string();
    let here = format!("the store in {} is in use by this process", path.display());
    assert_eq!(told(&path), here);
    // A process in another container may have our number: ours is known by the lock we hold.
    fs::write(path.join("LOCK"), "1").unwrap();
    assert_eq!(told(&path), here);
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(told(&link), here.replace(path.to_str().unwrap(), link.to_str().unwrap()));
    log.close().unwrap();
    let other = RealDisk.folder(&path).unwrap().unwrap();
    let other = other.open("LOCK", Access::ReadWrite).unwrap();
    assert!(other.try_lock().unwrap());
    fs::write(path.join("LOCK"), process::id().to_string()).unwrap();
    assert!(told(&path).ends_with("is in use by another process"), "{}", told(&path));
    fs::write(path.join("LOCK"), "1").unwrap();
    assert!(told(&path).ends_with("is in use by process 1"), "{}", told(&path));
    drop(other);
    EmbeddedLog::open(&path).unwrap();
}

#[test]
fn a_store_that_cannot_be_made_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (name, target) in [("dangling", folder.path().join("nowhere")), ("to-a-folder", empty)] {
        let link = folder.path().join(name);
        symlink(target, &link).unwrap();
        let before = names(&folder);
        for path in [link.clone(), link.join("")] {
            EmbeddedLog::open(&path).map(drop).unwrap_err();
            assert_eq!(names(&folder), before, "{}", path.display());
        }
    }
    let dangling = folder.path().join("dangling");
    let told = EmbeddedLog::open(&dangling).unwrap_err().to_string();
    assert_eq!(
        told,
        format!("{} is not a store: it is a link that leads nowhere", dangling.display())
    );
}

#[test]
fn what_is_a_store_is_known_by_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    assert!(!is_store(&path) && !is_store(folder.path()));
    EmbeddedLog::open(&path).unwrap().close().unwrap();
    assert!(is_store(&path) && !is_store(folder.path()) && !is_store(path.join("journal")));
    fs::remove_file(path.join("HEAD")).unwrap();
    assert!(is_store(&path));
    fs::create_dir(path.join("sled")).unwrap();
    fs::remove_dir_all(path.join("journal")).unwrap();
    assert!(is_store(&path));
    // A git repository has a HEAD too.
    let git = folder.path().join("git");
    fs::create_dir_all(git.join("objects")).unwrap();
    fs::write(git.join("HEAD"), "ref: refs/heads/main").unwrap();
    assert!(!is_store(&git));
}

/// Everything that a store does to its folder goes through what it holds open, sled included.
#[test]
fn a_store_whose_folder_was_renamed_writes_on_there_and_never_in_a_new_one_at_its_path() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, moved) = (scratch.path().join("store"), scratch.path().join("moved"));
    let options = StoreOptions::default().journal_file_bytes(0).reserve_bytes(64 << 10);
    let first = EmbeddedLog::open_with(&path, &options).unwrap();
    let append = |log: &EmbeddedLog, space: &str, count: usize| {
        let named = |n| SpaceEvent::space_created(format!("{space}{n}"), "x".repeat(500));
        let events: Vec<SpaceEvent> = (0..count).map(named).collect();
        log.append(&AppendRequest::new(&events)).map(drop)
    };
    append(&first, "first", 1).unwrap();
    fs::rename(&path, &moved).unwrap();
    let second = EmbeddedLog::open_with(&path, &options).unwrap();
    // So many that they have a copy in sled.
    append(&second, "early", 1_100).unwrap();
    second.close().unwrap();
    let second = EmbeddedLog::open_with(&path, &options).unwrap();
    append(&second, "second", 1).unwrap();
    assert_eq!(second.info().healed, 0, "its copy is open");
    let before = files_below(&path);
    assert!(before.contains(&path.join("sled/db")) && before.len() > 4);
    // Until it is noticed, what the first one takes goes where it always went: more journal files,
    // blocks in sled, segments, HEAD, the reserve.
    let mut stored = 1;
    for round in 0..40 {
        if append(&first, &format!("first-{round}-"), 300).is_ok() {
            stored += 300;
        }
    }
    first.close().unwrap_err();
    assert_eq!(files_below(&path), before, "in the folder of the second one");
    append(&second, "more", 1).unwrap();
    second.close().unwrap();
    let spaces = |path: &Path| {
        let log = EmbeddedLog::open(path).unwrap();
        log.spaces().unwrap().into_iter().map(|(space, _)| space).collect::<Vec<_>>()
    };
    let second = spaces(&path);
    assert!(second.contains(&"more0".to_owned()) && second.contains(&"second0".to_owned()));
    assert!(second.len() == 1_102 && !second.iter().any(|space| space.starts_with("first")));
    let first = spaces(&moved);
    assert_eq!(first.len(), stored);
    assert!(first.iter().all(|space| space.starts_with("first")));
    assert!(fs::read_dir(moved.join("journal")).unwrap().count() > 1);
}

/// The files below a folder, but for the reserve.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.append(&mut files_below(&entry));
        } else if !entry.ends_with("reserve") {
            files.insert(entry);
        }
    }
    files
}
