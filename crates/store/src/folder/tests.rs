use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::EmbeddedLog;

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
    let other = File::options().write(true).open(path.join("LOCK")).unwrap();
    other.lock().unwrap();
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
        format!("{} is no store: it is a link that leads nowhere", dangling.display())
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
    fs::remove_dir_all(path.join("sled")).unwrap();
    assert!(is_store(&path));
    // A git repository has a HEAD too.
    let git = folder.path().join("git");
    fs::create_dir_all(git.join("objects")).unwrap();
    fs::write(git.join("HEAD"), "ref: refs/heads/main").unwrap();
    assert!(!is_store(&git));
}
