//! A folder that any call on may fail, or be the last one before the power goes: it has the backups that it
//! had before, and the new one once that was answered.

use std::env;

use spacefold_disk::{
    Disk, SimDisk,
    sim::{Fault, Kept},
};
use spacefold_event_core::bytes::to_u64;
use spacefold_objects::ObjectStorage;

use super::*;

const BACKUPS: &str = "/backups";
/// Disks that are looked at unless told otherwise.
const STATES: u64 = 210;

fn on(disk: &SimDisk) -> Arc<dyn ObjectStorage> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Arc::new(FolderStorage::on(disk, BACKUPS))
}

/// Makes sure that all backups in a repository are whole, and that those that were answered are there.
fn assert_whole(storage: Arc<dyn ObjectStorage>, answered: u64) -> u64 {
    let repository = match BackupRepository::open(storage) {
        Ok(repository) => repository,
        Err(crate::ArchiveError::NoRepository { .. }) if answered == 0 => return 0,
        Err(error) => panic!("{error}"),
    };
    let report = verify(&repository, VerifyShare::All, &|| false).unwrap();
    assert_eq!(report.problems, []);
    assert!(report.backups >= answered, "{} of {answered}", report.backups);
    report.backups
}

/// Fails one call of two backups, and looks at what a power cut after them may leave; how many disks
/// that were.
fn look_after_a_failed_call(store: &Path, call: u64, rng: &mut Rng) -> u64 {
    let disk = SimDisk::default();
    let mut answered = 0;
    let fault = *rng.choice(&Fault::ALL).unwrap();
    disk.fail_call(call, fault);
    for _ in 0..2 {
        let made = Archiver::open(store, on(&disk)).and_then(|mut it| it.backup());
        match made {
            Ok(report) => answered = report.number,
            Err(error) => assert!(disk.failed_call().is_some(), "{error}"),
        }
    }
    for kept in Kept::ALL {
        let left = disk.after_power_cut(kept, rng);
        let there = assert_whole(on(&left), answered);
        // The next one goes on, and what was left goes.
        let next = Archiver::open(store, on(&left)).unwrap().backup().unwrap();
        assert_eq!(next.number, there + 1);
        let repository = BackupRepository::open(on(&left)).unwrap();
        prune(&repository, &PruneOptions::default().keep_daily(9)).unwrap();
        assert_whole(on(&left), 1);
    }
    if fault != Fault::PowerCut {
        assert_whole(on(&disk), answered);
    }
    to_u64(Kept::ALL.len())
}

/// A repository's own folder is one of those whose making may have been stopped before it was durable.
#[test]
fn a_folder_that_a_stopped_backup_made_is_made_durable() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 2);
    for call in 1..=24 {
        look_after_a_failed_call(&scene.store(), call, &mut rng);
    }
    spaces.close().unwrap();
}

#[test]
fn any_call_may_fail_or_be_the_last_before_the_power_goes() {
    let states = env::var("SPACEFOLD_DISK_STATES").map_or(STATES, |it| it.parse().unwrap());
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 8);
    let mut looked_at = 0;
    while looked_at < states {
        spaces.append([event(&mut rng, 50)]).unwrap();
        // How many calls it takes.
        let dry = SimDisk::default();
        for _ in 0..2 {
            Archiver::open(scene.store(), on(&dry)).unwrap().backup().unwrap();
        }
        // A few at a time: what is there to be backed up changes.
        for _ in 0..10 {
            let call = rng.u64(1..=dry.calls());
            looked_at += look_after_a_failed_call(&scene.store(), call, &mut rng);
        }
    }
    println!("looked at {looked_at} disks");
    spaces.close().unwrap();
}

#[test]
fn a_repository_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    let spaces = scene.open();
    fill(&spaces, &mut scene.rng.clone(), 5);
    scene.backup();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scene.backups()), 0o700);
    assert!(file_names(&scene.backups()).iter().all(|file| mode(file) == 0o600));
    spaces.close().unwrap();
}
