use std::os::unix::fs::symlink;

use super::*;
use crate::replace::NewFile;

fn folder(path: &Path) -> Arc<dyn Folder> {
    RealDisk.folder(path).unwrap().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_renamed_folder_is_written_on_and_never_a_new_one_at_its_path() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, moved) = (scratch.path().join("a"), scratch.path().join("b"));
    fs::create_dir(&path).unwrap();
    let held = folder(&path);
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    held.create("made").unwrap();
    NewFile::replace(&held, "replaced", b"whole").unwrap();
    held.create_folder("within".as_ref(), StoreMode::PRIVATE).unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&moved).unwrap().count(), 3);
    assert_eq!(fs::read(moved.join("replaced")).unwrap(), b"whole");
    held.remove("made").unwrap();
    assert!(!moved.join("made").exists());
}

#[test]
fn what_is_made_has_the_mode_of_its_folder() {
    let scratch = tempfile::tempdir().unwrap();
    for bits in [0o700, 0o750, 0o770, 0o777] {
        let name = format!("{bits:o}");
        let made =
            folder(scratch.path()).create_folder(name.as_ref(), StoreMode::new(bits)).unwrap();
        made.create("at once").unwrap();
        let path = scratch.path().join(&name);
        folder(&path).create("later").unwrap();
        assert_eq!(mode(&path), bits);
        fs::create_dir(path.join("part")).unwrap();
        folder(&path).part("part".as_ref()).unwrap().unwrap().create("within").unwrap();
        for file in ["at once", "later", "part/within"] {
            assert_eq!(mode(&path.join(file)), bits & 0o666, "{file} in {name}");
        }
    }
}

#[test]
fn what_is_no_folder_is_none() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("file"), "").unwrap();
    symlink("nowhere", scratch.path().join("link")).unwrap();
    for name in ["absent", "file", "link", "file/below", "absent/below"] {
        assert!(RealDisk.folder(&scratch.path().join(name)).unwrap().is_none(), "{name}");
        assert!(folder(scratch.path()).folder(name.as_ref()).unwrap().is_none(), "{name}");
    }
}

#[test]
fn reading_past_the_end_is_told_apart_from_errors() {
    let scratch = tempfile::tempdir().unwrap();
    let file = folder(scratch.path()).create("file").unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    let mut buffer = [0; 2];
    assert!(file.read_if_there(&mut buffer, 1).unwrap());
    assert_eq!(buffer, *b"bc");
    assert!(!file.read_if_there(&mut buffer, 2).unwrap());
    let error = file.read_exact_at(&mut buffer, 2).unwrap_err().to_string();
    assert!(error.contains("file at byte 2"), "{error}");
}

#[test]
fn a_file_that_is_not_finished_leaves_the_old_one_and_nothing_of_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let held = folder(scratch.path());
    NewFile::replace(&held, "a", b"old").unwrap();
    let new = NewFile::create(&held, "a").unwrap();
    new.file().write_all_at(b"new", 0).unwrap();
    let unfinished: Vec<String> = held.names().unwrap();
    assert!(unfinished.iter().any(|name| NewFile::name_of_unfinished(name) == Some("a")));
    drop(new);
    assert_eq!(held.names().unwrap(), ["a"]);
    assert_eq!(fs::read(scratch.path().join("a")).unwrap(), b"old");
}

#[test]
fn a_file_has_exactly_its_bytes_whatever_their_number() {
    let scratch = tempfile::tempdir().unwrap();
    let held = folder(scratch.path());
    for len in [1, 4_095, 4_096, 4_097, BUFFER_BYTES, 2 * BUFFER_BYTES + 77] {
        let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let new = NewFile::create(&held, "file").unwrap();
        // In parts of every size, some without a byte.
        let (first, second) = bytes.split_at(len / 3);
        let parts: Vec<&[u8]> = [first, b""].into_iter().chain(second.chunks(7_001)).collect();
        new.file().write_whole(&parts).unwrap();
        new.finish().unwrap();
        assert!(fs::read(scratch.path().join("file")).unwrap() == bytes, "{len} bytes");
        assert_eq!(held.names().unwrap(), ["file"]);
    }
}

#[test]
fn the_first_bytes_of_a_file_are_read_however_many_there_are() {
    let scratch = tempfile::tempdir().unwrap();
    let file = folder(scratch.path()).create("file").unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    for (most, begin) in [(0, &b""[..]), (2, b"ab"), (3, b"abc"), (4, b"abc")] {
        assert_eq!(file.read_begin(most).unwrap(), begin);
    }
    // More than a process could hold.
    file.set_len(1 << 42).unwrap();
    assert_eq!(file.read_begin(4).unwrap(), b"abc\0");
}

#[test]
fn a_held_path_leads_to_the_folder_whatever_is_at_its_name() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, moved) = (scratch.path().join("a"), scratch.path().join("b"));
    fs::create_dir_all(path.join("within")).unwrap();
    let held = folder(&path);
    let through = held.held_path().unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(through.join("file"), "").unwrap();
    held.rename(Path::new("file"), Path::new("within/file")).unwrap();
    assert!(moved.join("within/file").exists());
    held.remove_folder("within".as_ref()).unwrap();
    assert!(!moved.join("within").exists());
    assert_ne!(held.id().unwrap(), folder(&path).id().unwrap());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn what_a_path_leads_to_is_told_and_folders_are_made_down_to_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a/b");
    assert_eq!(RealDisk.look(&path).unwrap(), None);
    RealDisk.create_folders(&path).unwrap();
    assert_eq!(RealDisk.look(&path).unwrap(), Some(Found::Folder));
    fs::write(path.join("file"), "").unwrap();
    symlink("nowhere", path.join("link")).unwrap();
    assert_eq!(RealDisk.look(&path.join("file")).unwrap(), Some(Found::File));
    assert_eq!(RealDisk.look(&path.join("link")).unwrap(), Some(Found::DeadLink));
    assert!(RealDisk.look(&path.join("file/below")).is_err());
}

#[test]
fn a_folder_that_is_made_at_that_moment_is_no_dead_link() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("folder");
    let made = path.clone();
    let maker = std::thread::spawn(move || {
        for _ in 0..20_000 {
            fs::create_dir(&made).unwrap();
            fs::remove_dir(&made).unwrap();
        }
    });
    while !maker.is_finished() {
        let found = RealDisk.look(&path).unwrap();
        assert!(matches!(found, None | Some(Found::Folder)), "{found:?}");
    }
    maker.join().unwrap();
}

#[test]
fn a_file_is_in_the_way_of_folders_wherever_it_is_on_their_path() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, b"kept").unwrap();
    for path in [file.clone(), file.join("a"), file.join("a/b")] {
        assert!(RealDisk.create_folders(&path).is_err(), "{}", path.display());
    }
    assert_eq!(fs::read(&file).unwrap(), b"kept");
    // What is there is left as it is, and so is the rest of a path that leads up again.
    let folders = scratch.path().join("a/../b/c");
    for _ in 0..2 {
        RealDisk.create_folders(&folders).unwrap();
    }
    assert!(scratch.path().join("b/c").is_dir());
}
