//! A service whose every call may fail in turn: with an error before or after it was done, with an answer
//! that is cut short, that is another's, or that comes twice.

use std::sync::atomic::AtomicU64;

use spacefold_event_core::StorageError;

use super::*;
use spacefold_objects::{ObjectErrorKind, ObjectKey};

use crate::{ArchiveError, ObjectError, ObjectStorage};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// It is refused, and nothing was done.
    Refused,
    /// No answer comes, and it was done.
    NoAnswer,
    /// What is read is cut short, and what is put is answered twice.
    Short,
    /// What is read is another's.
    Other,
}

const ALL: [Trouble; 4] = [Trouble::Refused, Trouble::NoAnswer, Trouble::Short, Trouble::Other];

/// A storage of which one call goes wrong.
#[derive(Debug)]
struct Troubled {
    storage: FolderStorage,
    calls: AtomicU64,
    trouble: (u64, Trouble),
}

impl Troubled {
    fn of(path: &Path, call: u64, trouble: Trouble) -> Arc<Self> {
        let storage = FolderStorage::at(path);
        Arc::new(Self { storage, calls: AtomicU64::new(0), trouble: (call, trouble) })
    }

    /// What is wrong with this call.
    fn trouble(&self) -> Option<Trouble> {
        let call = self.calls.fetch_add(1, Ordering::AcqRel) + 1;
        (call == self.trouble.0).then_some(self.trouble.1)
    }

    fn call<T>(&self, work: impl Fn() -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        let failed = |kind, what: &str| {
            let cause = StorageError::new("asking the service", what.to_owned());
            Err(ObjectError::new(kind, cause))
        };
        match self.trouble() {
            Some(Trouble::Refused) => failed(ObjectErrorKind::Unavailable, "503 slow down"),
            Some(Trouble::NoAnswer) => {
                let _ = work();
                failed(ObjectErrorKind::OutcomeUnknown, "timed out")
            }
            // A retry below has done it before.
            Some(Trouble::Short) => {
                let _ = work();
                work()
            }
            Some(Trouble::Other) | None => work(),
        }
    }
}

impl ObjectStorage for Troubled {
    fn name(&self) -> String {
        self.storage.name()
    }

    fn put(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), ObjectError> {
        self.call(|| self.storage.put(key, bytes))
    }

    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, ObjectError> {
        self.call(|| self.storage.put_new(key, bytes))
    }

    fn get(&self, key: &ObjectKey, most: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let is_next = self.calls.load(Ordering::Acquire) + 1 == self.trouble.0;
        let found = self.call(|| self.storage.get(key, most))?;
        Ok(match self.trouble.1 {
            Trouble::Short if is_next => found.map(|bytes| bytes[..bytes.len() / 2].to_vec()),
            Trouble::Other if is_next => found.map(|bytes| bytes.iter().map(|it| it ^ 1).collect()),
            _ => found,
        })
    }

    fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<String>, ObjectError> {
        self.call(|| self.storage.list(folder, after, most))
    }

    fn remove(&self, keys: &[ObjectKey]) -> Result<(), ObjectError> {
        self.call(|| self.storage.remove(keys))
    }
}

#[test]
fn each_call_of_a_backup_may_go_wrong_and_nothing_that_is_there_does() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 40);
    let first = scene.backup();
    fill(&spaces, &mut rng, 12);
    let before = file_names(&scene.backups());
    for trouble in ALL {
        for call in 1.. {
            // As it was before.
            for file in file_names(&scene.backups()) {
                if !before.contains(&file) {
                    fs::remove_file(file).unwrap();
                }
            }
            let storage = Troubled::of(&scene.backups(), call, trouble);
            let made =
                Archiver::open(scene.store(), storage.clone()).and_then(|mut it| it.backup());
            let was_met = storage.calls.load(Ordering::Acquire) >= call;
            let numbers = scene.repository().numbers().unwrap();
            assert!(numbers == [1] || numbers == [1, 2], "{numbers:?}");
            match made {
                Ok(report) => assert_eq!(report.number, *numbers.last().unwrap()),
                Err(error) => assert!(was_met, "{trouble:?} {call}: {error}"),
            }
            let report = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
            assert_eq!(report.problems, [], "{trouble:?} {call}");
            if !was_met {
                break;
            }
            // The same archiver goes on where it was, and one that is new does.
            if call % 5 == 0 {
                let next = scene.backup();
                assert_eq!(next.number, numbers.len() as u64 + 1);
                let restored = scene.restore(&RestoreOptions::default());
                assert_is(&restored, &spaces);
                fs::remove_dir_all(&restored.path).unwrap();
            }
        }
    }
    let restored = scene.restore(&RestoreOptions::default().backup(1));
    assert_eq!(restored.position, first.head);
    spaces.close().unwrap();
}

#[test]
fn an_answer_that_is_lost_is_no_other_archiver() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 5);
    for call in 1..60 {
        let _ = fs::remove_dir_all(scene.backups());
        let storage = Troubled::of(&scene.backups(), call, Trouble::NoAnswer);
        let Ok(mut archiver) = Archiver::open(scene.store(), storage) else { continue };
        let (mut made, mut head) = (Vec::new(), Position::START);
        for _ in 0..3 {
            spaces.append([event(&mut rng, 10)]).unwrap();
            match archiver.backup() {
                Ok(report) => {
                    made.push(report.number);
                    head = report.head;
                }
                Err(error) => assert!(error.may_pass(), "{call}: {error}"),
            }
        }
        assert!(made.len() >= 2, "{call}: {made:?}");
        let restored = scene.restore(&RestoreOptions::default());
        assert!(restored.position >= head, "{call}");
        fs::remove_dir_all(&restored.path).unwrap();
    }
    spaces.close().unwrap();
}

#[test]
fn each_call_of_a_restore_may_go_wrong_and_leaves_nothing_or_all() {
    let mut scene = Scene::new();
    let spaces = scene.open();
    fill(&spaces, &mut scene.rng.fork(), 30);
    scene.backup();
    for trouble in ALL {
        for call in 1.. {
            let storage = Troubled::of(&scene.backups(), call, trouble);
            let path = scene.next_path();
            let opened = BackupRepository::open(storage.clone());
            let made = opened.and_then(|it| restore(&it, &path, &RestoreOptions::default()));
            let was_met = storage.calls.load(Ordering::Acquire) >= call;
            match made {
                Ok(restored) => {
                    if call % 7 == 0 || !was_met {
                        assert_is(&restored, &spaces);
                    }
                    fs::remove_dir_all(&path).unwrap();
                }
                Err(error) => {
                    assert!(was_met, "{trouble:?} {call}: {error}");
                    let is_storage = matches!(error, ArchiveError::Objects(_));
                    let is_named =
                        error.is_damage() || matches!(error, ArchiveError::NotARepository { .. });
                    let reads_wrong = matches!(trouble, Trouble::Short | Trouble::Other);
                    assert!(is_storage != reads_wrong && is_named == reads_wrong, "{error}");
                    let left = fs::read_dir(scene.scratch.path()).unwrap();
                    let names: Vec<_> = left.map(|it| it.unwrap().file_name()).collect();
                    assert_eq!(names.len(), 2, "{names:?}");
                }
            }
            if !was_met {
                break;
            }
        }
    }
    spaces.close().unwrap();
}

#[test]
fn each_call_of_pruning_may_go_wrong_and_no_backup_that_is_left_lacks_anything() {
    let scene = Scene::new();
    let mut rng = scene.rng.clone();
    let spaces = scene.open();
    for _ in 0..4 {
        fill(&spaces, &mut rng, 10);
        scene.backup();
    }
    spaces.close().unwrap();
    let kept = scene.scratch.path().join("kept");
    for trouble in [Trouble::Refused, Trouble::NoAnswer] {
        for call in 1.. {
            let _ = fs::remove_dir_all(&kept);
            assert!(
                std::process::Command::new("cp")
                    .arg("-r")
                    .args([&scene.backups(), &kept])
                    .status()
                    .unwrap()
                    .success()
            );
            let storage = Troubled::of(&kept, call, trouble);
            let repository = BackupRepository::open(storage.clone());
            let pruned = repository.and_then(|it| prune(&it, &PruneOptions::default()));
            let was_met = storage.calls.load(Ordering::Acquire) >= call;
            assert!(pruned.is_ok() || was_met);
            let whole = BackupRepository::open(Arc::new(FolderStorage::at(&kept))).unwrap();
            let report = verify(&whole, VerifyShare::All, &|| false).unwrap();
            assert_eq!(report.problems, [], "{trouble:?} {call}");
            // Pruned again, nothing is left but what the newest needs.
            prune(&whole, &PruneOptions::default()).unwrap();
            let report = verify(&whole, VerifyShare::All, &|| false).unwrap();
            assert_eq!((report.backups, report.problems.len()), (1, 0));
            let files = file_names(&kept).len() as u64;
            assert_eq!(files, report.objects + 2);
            if !was_met {
                break;
            }
        }
    }
}
