//! What every disk answers alike.

use std::{fmt::Debug, path::Path, sync::Arc};

use proptest::prelude::*;
use spacefold_event_core::{StorageError, StoreMode};

use crate::{
    Access, File, Folder, LazyFolder, MemoryDisk, NewFile, RealDisk, SimDisk, disk::Disk as _,
};

const NAMES: [&str; 4] = ["a", "b", "within", "MANIFEST"];

#[derive(Clone, Debug)]
enum Call {
    Create(usize),
    Replace(usize, Vec<u8>),
    Write(usize, Vec<u8>, u64),
    SetLen(usize, u64),
    ReadAll(usize),
    Read(usize, u64, usize),
    Rename(usize, usize),
    Remove(usize),
    CreateFolder(usize),
    RemoveFolder(usize),
    Within(usize, usize),
    Lock(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let name = 0..NAMES.len();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    let offset = 0_u64..50;
    prop_oneof![
        name.clone().prop_map(Call::Create),
        (name.clone(), bytes()).prop_map(|(name, bytes)| Call::Replace(name, bytes)),
        (name.clone(), bytes(), offset.clone())
            .prop_map(|(name, bytes, offset)| Call::Write(name, bytes, offset)),
        (name.clone(), offset.clone()).prop_map(|(name, bytes)| Call::SetLen(name, bytes)),
        name.clone().prop_map(Call::ReadAll),
        (name.clone(), offset, 1_usize..30)
            .prop_map(|(name, offset, bytes)| Call::Read(name, offset, bytes)),
        (name.clone(), name.clone()).prop_map(|(from, to)| Call::Rename(from, to)),
        name.clone().prop_map(Call::Remove),
        name.clone().prop_map(Call::CreateFolder),
        name.clone().prop_map(Call::RemoveFolder),
        (name.clone(), name.clone()).prop_map(|(folder, name)| Call::Within(folder, name)),
        name.prop_map(Call::Lock),
    ]
}

/// What a call answered, without what only one disk can say.
fn answer<T: Debug>(result: Result<T, StorageError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(_) => "an error".to_owned(),
    }
}

fn on_file<T: Debug>(
    folder: &Arc<dyn Folder>,
    name: usize,
    act: impl FnOnce(&dyn File) -> Result<T, StorageError>,
) -> String {
    match folder.find(NAMES[name], Access::ReadWrite) {
        Ok(Some(file)) => answer(act(&*file)),
        Ok(None) => "no file".to_owned(),
        Err(_) => "an error".to_owned(),
    }
}

fn make(folder: &Arc<dyn Folder>, call: &Call) -> String {
    match call {
        Call::Create(name) => answer(folder.create(NAMES[*name]).map(drop)),
        Call::Replace(name, bytes) => {
            answer(NewFile::replace(folder, NAMES[*name], bytes).map_err(StorageError::from))
        }
        Call::Write(name, bytes, offset) => {
            on_file(folder, *name, |file| file.write_all_at(bytes, *offset))
        }
        Call::SetLen(name, bytes) => on_file(folder, *name, |file| file.set_len(*bytes)),
        Call::ReadAll(name) => on_file(folder, *name, |file| file.read_all()),
        Call::Read(name, offset, bytes) => on_file(folder, *name, |file| {
            let mut buffer = vec![0; *bytes];
            let is_there = file.read_if_there(&mut buffer, *offset)?;
            Ok((is_there, is_there.then_some(buffer)))
        }),
        Call::Rename(from, to) => {
            answer(folder.rename(Path::new(NAMES[*from]), Path::new(NAMES[*to])))
        }
        Call::Remove(name) => answer(folder.remove(NAMES[*name])),
        Call::CreateFolder(name) => {
            answer(folder.create_folder(NAMES[*name].as_ref(), StoreMode::PRIVATE).map(drop))
        }
        Call::RemoveFolder(name) => answer(folder.remove_folder(NAMES[*name].as_ref())),
        Call::Within(name, file) => match folder.folder(NAMES[*name].as_ref()) {
            Ok(Some(within)) => {
                let made = NewFile::replace(&within, NAMES[*file], b"within");
                let moved = Path::new(NAMES[*name]).join(NAMES[*file]);
                let moved = folder.rename(&moved, Path::new("moved"));
                answer(made.map_err(StorageError::from).and(moved).and(within.names()))
            }
            Ok(None) => "no folder".to_owned(),
            Err(_) => "an error".to_owned(),
        },
        Call::Lock(name) => on_file(folder, *name, |file| {
            let other = folder.open(NAMES[*name], Access::ReadWrite)?;
            let locked = [file.try_lock(), other.try_lock()].map(Result::unwrap);
            let known = [file, &*other].map(|file| file.is_locked().unwrap());
            file.unlock();
            Ok((locked, known, other.try_lock().unwrap()))
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_disk_answers_alike(calls in proptest::collection::vec(call(), 1..40)) {
        let scratch = tempfile::tempdir().unwrap();
        let folders = [
            RealDisk.folder(scratch.path()).unwrap().unwrap(),
            SimDisk::default().root(),
            MemoryDisk::new().root(),
            LazyFolder::within(&MemoryDisk::new().root(), "made when needed"),
        ];
        for call in &calls {
            let answers = folders.each_ref().map(|folder| make(folder, call));
            prop_assert_eq!(&answers[0], &answers[1], "the simulated disk: {:?}", call);
            prop_assert_eq!(&answers[0], &answers[2], "the disk in memory: {:?}", call);
            prop_assert_eq!(&answers[0], &answers[3], "a folder made when needed: {:?}", call);
            let names = folders.each_ref().map(|folder| {
                let mut names = folder.names().unwrap();
                names.sort();
                names
            });
            prop_assert_eq!(&names[0], &names[1]);
            prop_assert_eq!(&names[0], &names[2]);
            prop_assert_eq!(&names[0], &names[3]);
        }
    }
}

#[test]
fn a_folder_is_made_when_something_is_made_in_it_and_not_before() {
    let root = MemoryDisk::new().root();
    let lazy = LazyFolder::within(&root, "derived");
    let below = LazyFolder::within(&lazy, "states");
    assert!(below.names().unwrap().is_empty() && below.find("a", Access::Read).unwrap().is_none());
    below.remove_folder("a".as_ref()).unwrap();
    below.sync().unwrap();
    assert!(below.remove("a").is_err() && root.names().unwrap().is_empty());
    NewFile::replace(&below, "a", b"whole").unwrap();
    let again = LazyFolder::within(&LazyFolder::within(&root, "derived"), "states");
    assert_eq!(again.open("a", Access::Read).unwrap().read_all().unwrap(), b"whole");
}

#[test]
fn a_folder_knows_what_is_at_its_path() {
    let scratch = tempfile::tempdir().unwrap();
    let real = RealDisk.folder(scratch.path()).unwrap().unwrap();
    for root in [real, SimDisk::default().root(), MemoryDisk::new().root()] {
        let folder = root.create_folder("a".as_ref(), StoreMode::PRIVATE).unwrap();
        let file = folder.create("file").unwrap().id().unwrap();
        let now = || ["", "file", "b"].map(|name| folder.id_by_path(name).unwrap());
        assert_eq!(now(), [Some(folder.id().unwrap()), Some(file), None], "{root:?}");
        root.rename(Path::new("a"), Path::new("b")).unwrap();
        assert_eq!(now(), [None; 3], "{root:?}");
    }
}

#[test]
fn a_folder_that_many_make_at_once_is_there_for_each_of_them() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let place = tempfile::tempdir().unwrap();
    let root = RealDisk.folder(place.path()).unwrap().unwrap();
    for round in 0..100 {
        let barrier = std::sync::Barrier::new(NAMES.len());
        std::thread::scope(|scope| {
            for name in NAMES {
                let lazy = LazyFolder::within(&root, format!("round {round}"));
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    lazy.create(name).unwrap();
                });
            }
        });
        let below = root.folder(format!("round {round}").as_ref()).unwrap().unwrap();
        let mut names = below.names().unwrap();
        names.sort_unstable();
        assert_eq!(names, NAMES);
    }
}

#[test]
fn a_file_is_given_a_new_name_unless_another_has_it() {
    let scratch = tempfile::tempdir().unwrap();
    let real = RealDisk.folder(scratch.path()).unwrap().unwrap();
    for root in [real, SimDisk::default().root(), MemoryDisk::new().root()] {
        for (name, bytes) in [("a", b"first"), ("b", b"later")] {
            root.create(name).unwrap().write_all_at(bytes, 0).unwrap();
        }
        assert!(root.rename_new("a", "new").unwrap(), "{root:?}");
        assert!(!root.rename_new("b", "new").unwrap(), "{root:?}");
        assert!(root.rename_new("absent", "other").is_err(), "{root:?}");
        let mut names = root.names().unwrap();
        names.sort_unstable();
        assert_eq!(names, ["b", "new"]);
        assert_eq!(root.open("new", Access::Read).unwrap().read_all().unwrap(), b"first");
    }
}
