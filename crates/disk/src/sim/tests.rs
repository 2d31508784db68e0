use std::collections::BTreeSet;

use super::*;
use crate::{Lie, LyingDisk, NewFile};

/// What a file holds over many power cuts; `None` where it is not there.
fn outcomes(disk: &SimDisk, kept: Kept, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    let outcome = |seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        content(&disk.after_power_cut(kept, &mut rng), name)
    };
    (0..60).map(outcome).collect()
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.root().find(name, Access::Read).unwrap()?;
    let mut bytes = vec![0; usize::try_from(file.bytes().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

fn synced(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.root().create(name).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_all().unwrap();
    disk.root().sync().unwrap();
    file
}

#[test]
fn what_was_synced_survives_every_power_cut_and_reads_as_it_was_written() {
    let disk = SimDisk::default();
    synced(&disk, "a", &[b'a'; 10_000]);
    for kept in Kept::ALL {
        assert_eq!(outcomes(&disk, kept, "a"), [Some(vec![b'a'; 10_000])].into(), "{kept:?}");
    }
}

#[test]
fn what_was_not_synced_is_lost_kept_or_torn() {
    let disk = SimDisk::default();
    let file = synced(&disk, "a", &[b'a'; 1_024]);
    file.write_all_at(&[b'b'; 1_024], 0).unwrap();
    let (old, new) = (vec![b'a'; 1_024], vec![b'b'; 1_024]);
    assert_eq!(outcomes(&disk, Kept::Nothing, "a"), [Some(old.clone())].into());
    assert_eq!(outcomes(&disk, Kept::Everything, "a"), [Some(new.clone())].into());
    let torn = [[[b'a'; 512], [b'b'; 512]].concat(), [[b'b'; 512], [b'a'; 512]].concat()];
    let all: BTreeSet<_> = [old, new].into_iter().chain(torn).map(Some).collect();
    assert_eq!(outcomes(&disk, Kept::Torn, "a"), all);
}

#[test]
fn a_name_is_durable_with_its_folder_alone() {
    let disk = SimDisk::default();
    let file = disk.root().create("a").unwrap();
    file.write_all_at(b"a", 0).unwrap();
    file.sync_all().unwrap();
    assert!(outcomes(&disk, Kept::Subset, "a").contains(&None));
    disk.root().sync().unwrap();
    assert!(!outcomes(&disk, Kept::Subset, "a").contains(&None));
}

#[test]
fn a_replaced_file_is_the_old_one_or_the_new_one_and_never_part_of_one() {
    let (old, new) = (vec![b'a'; 9_000], vec![b'b'; 5_000]);
    let disk = SimDisk::default();
    NewFile::replace(&disk.root(), "a", &old).unwrap();
    let before = disk.calls();
    NewFile::replace(&disk.root(), "a", &new).unwrap();
    let calls = disk.calls() - before;
    for call in 1..=calls {
        for fault in Fault::ALL {
            let disk = SimDisk::default();
            NewFile::replace(&disk.root(), "a", &old).unwrap();
            disk.fail_call(disk.calls() + call, fault);
            let replaced = NewFile::replace(&disk.root(), "a", &new);
            let mut expected = BTreeSet::from([Some(old.clone()), Some(new.clone())]);
            match &replaced {
                Ok(()) => drop(expected.remove(&Some(old.clone()))),
                Err(crate::ReplaceError::OldStays(_)) => drop(expected.remove(&Some(new.clone()))),
                Err(crate::ReplaceError::Unknown(_)) => {}
            }
            for kept in Kept::ALL {
                let found = outcomes(&disk, kept, "a");
                let what = format!("call {call}, {fault:?}, {kept:?}, {replaced:?}");
                assert!(found.is_subset(&expected), "{what}");
            }
        }
    }
}

#[test]
fn a_sync_after_one_that_failed_brings_nothing_to_the_disk() {
    let disk = SimDisk::default();
    let file = synced(&disk, "a", b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.fail_call(disk.calls() + 1, Fault::Broken);
    assert!(file.sync_data().is_err());
    assert_eq!(disk.failed_call(), Some("syncing"));
    file.sync_data().unwrap();
    assert_eq!(content(&disk, "a").unwrap(), b"new");
    assert_eq!(outcomes(&disk, Kept::Nothing, "a"), [Some(b"old".to_vec())].into());
}

#[test]
fn a_write_that_is_short_leaves_its_first_half() {
    let disk = SimDisk::default();
    let file = synced(&disk, "a", &[b'.'; 2_048]);
    disk.fail_call(disk.calls() + 1, Fault::Short);
    assert!(file.write_all_at(&[b'a'; 1_300], 100).is_err());
    let expected = [[b'.'; 100].as_slice(), &[b'a'; 412], &[b'.'; 1_536]].concat();
    assert_eq!(content(&disk, "a").unwrap(), expected);
}

#[test]
fn a_full_disk_is_named_and_is_read() {
    let disk = SimDisk::default();
    let file = synced(&disk, "a", b"a");
    disk.fail_call(disk.calls() + 1, Fault::Full);
    assert!(file.write_all_at(b"b", 0).unwrap_err().is_disk_full());
    disk.fail_call(disk.calls() + 1, Fault::Full);
    assert_eq!(content(&disk, "a").unwrap(), b"a");
}

#[test]
fn nothing_answers_after_the_power_went() {
    let disk = SimDisk::default();
    let file = synced(&disk, "a", b"a");
    disk.fail_call(disk.calls() + 2, Fault::PowerCut);
    file.write_all_at(b"b", 0).unwrap();
    assert!(file.sync_data().is_err());
    assert!(disk.root().names().is_err());
    assert_eq!(outcomes(&disk, Kept::Nothing, "a"), [Some(b"a".to_vec())].into());
}

/// A file of 2,048 bytes on a disk that lies from then on.
fn lying(disk: &SimDisk, lie: Lie) -> Arc<dyn File> {
    synced(disk, "a", &[b'a'; 2_048]);
    let root = LyingDisk::over(Arc::new(disk.clone()), lie).folder(Path::new("/"));
    root.unwrap().unwrap().open("a", Access::ReadWrite).unwrap()
}

fn kept_of(disk: &SimDisk, byte: u8) -> usize {
    let found = outcomes(disk, Kept::Nothing, "a").pop_first().unwrap().unwrap();
    found.iter().filter(|found| **found == byte).count()
}

#[test]
fn lies_lose_what_was_synced() {
    for (lie, kept) in [(Lie::SkipsSyncs, 0), (Lie::SyncsLate, 0), (Lie::ForgetsLastSector, 512)] {
        let disk = SimDisk::default();
        let file = lying(&disk, lie);
        file.write_all_at(&[b'b'; 1_024], 512).unwrap();
        file.sync_data().unwrap();
        assert_eq!(kept_of(&disk, b'b'), kept, "{lie:?}");
        // What is late is kept once more is written.
        file.write_all_at(&[b'c'; 512], 0).unwrap();
        file.sync_data().unwrap();
        let kept = if lie == Lie::SkipsSyncs { 0 } else { 1_024 };
        assert_eq!(kept_of(&disk, b'b'), kept, "{lie:?}");
        assert_eq!(kept_of(&disk, b'c'), 0, "{lie:?}");
    }
}

#[test]
fn a_failed_sync_that_is_hidden_loses_what_is_still_read() {
    let disk = SimDisk::default();
    let file = lying(&disk, Lie::HidesFailedSyncs);
    file.write_all_at(&[b'b'; 512], 0).unwrap();
    disk.fail_call(disk.calls() + 1, Fault::Broken);
    file.sync_data().unwrap();
    assert!(content(&disk, "a").unwrap().starts_with(&[b'b'; 512]));
    assert_eq!(kept_of(&disk, b'b'), 0);
}

#[test]
fn a_file_is_renamed_into_another_folder_and_a_folder_removed_with_what_is_in_it() {
    let disk = SimDisk::default();
    disk.create_folders(Path::new("/a/b")).unwrap();
    let above = disk.folder(Path::new("/a")).unwrap().unwrap();
    above.create("c").unwrap();
    above.rename(Path::new("c"), Path::new("b/d")).unwrap();
    let within = above.folder("b".as_ref()).unwrap().unwrap();
    assert_eq!(
        (above.names().unwrap(), within.names().unwrap()),
        (vec!["b".into()], vec!["d".into()])
    );
    above.remove_folder("b".as_ref()).unwrap();
    above.remove_folder("b".as_ref()).unwrap();
    assert!(above.names().unwrap().is_empty());
}
