//! A folder that is deleted, renamed or replaced under an open store: nothing is acknowledged for
//! long that is gone already.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use spacefold::{
    AppendError, SpaceEvent, Spacefold,
    content::{ContentError, ContentStore as _},
    log::StorageErrorKind,
};

/// How long is waited before it counts as never: many times what it takes.
const NEVER: Duration = Duration::from_secs(30);

fn append(spaces: &Spacefold) -> Result<(), AppendError> {
    spaces.append([SpaceEvent::space_archived("a")]).map(drop)
}

/// Deletes a folder, though the store still makes files in it.
fn delete(folder: &Path) {
    while let Err(error) = fs::remove_dir_all(folder) {
        assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn appends_are_refused_soon_after_the_folder_is_gone() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 7] = [
        ("deleted", delete),
        ("renamed", |store| fs::rename(store, store.with_extension("old")).unwrap()),
        ("replaced", |store| {
            let old = store.with_extension("old");
            fs::rename(store, &old).unwrap();
            copy(&old, store);
        }),
        ("emptied", |store| {
            fs::remove_dir_all(store.join("journal")).unwrap();
            fs::remove_dir_all(store.join("sealed")).unwrap();
            fs::remove_file(store.join("HEAD")).unwrap();
        }),
        ("without its lock", |store| fs::remove_file(store.join("LOCK")).unwrap()),
        ("without its HEAD", |store| fs::remove_file(store.join("HEAD")).unwrap()),
        ("without a journal file", |store| {
            fs::remove_file(store.join("journal/0000.journal")).unwrap();
        }),
    ];
    for (name, harm) in harms {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let spaces = Spacefold::open(&store).unwrap();
        append(&spaces).unwrap();
        harm(&store);
        // Nobody appends: it is noticed all the same.
        let began = Instant::now();
        while spaces.log().refusal().is_none() {
            assert!(began.elapsed() < NEVER, "{name}: it is not noticed");
            std::thread::yield_now();
        }
        let refused = append(&spaces).unwrap_err();
        let kind = StorageErrorKind::FolderGone;
        assert!(
            matches!(&refused, AppendError::Refused { kind: found, .. } if *found == kind),
            "{name}: {refused:?}"
        );
        let told = refused.to_string();
        assert!(told.contains(&store.display().to_string()), "{name}: {told}");
        assert!(told.contains("deleted, renamed or replaced"), "{name}: {told}");
        assert!(told.contains("Everything up to position"), "{name}: {told}");
        // What was read stays readable, and closing says what has happened.
        assert_eq!(spaces.durable_head().get(), 1, "{name}");
        assert_eq!(spaces.close().unwrap_err().kind(), kind, "{name}");
    }
}

#[test]
fn closing_says_so_when_the_folder_has_just_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    append(&spaces).unwrap();
    delete(&store);
    assert_eq!(spaces.close().unwrap_err().kind(), StorageErrorKind::FolderGone);
}

#[test]
fn content_is_refused_soon_after_its_folder_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    let put = |n: u64| {
        let content = spaces.content();
        content.put(&mut n.to_string().as_bytes()).and_then(|_| content.sync())
    };
    put(0).unwrap();
    fs::rename(store.join("content"), store.join("elsewhere")).unwrap();
    let began = Instant::now();
    let refused = (1..).find_map(|n| {
        assert!(began.elapsed() < NEVER, "it is not noticed");
        put(n).err()
    });
    let kind = refused.as_ref().and_then(ContentError::storage_kind);
    assert_eq!(kind, Some(StorageErrorKind::FolderGone), "{refused:?}");
    assert!(matches!(put(0), Err(ContentError::Refused { .. })));
}
