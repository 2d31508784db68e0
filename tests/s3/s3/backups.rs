//! Backups in a bucket: whatever goes wrong, those that are there stay, and the next one goes on.

use std::{path::Path, sync::Arc};

use fastrand::Rng;
use spacefold::{Position, SpaceEvent, Spacefold};
use spacefold_archive::{
    ArchiveError, Archiver, BackupRepository, ObjectStorage, PruneOptions, RestoreOptions,
    RestorePoint, VerifyShare, drill, prune, restore, verify,
};
use tempfile::TempDir;

use crate::{
    proxy::{Proxy, Trouble},
    service::Service,
    storage::{storage, straight},
};

/// A store of some events and content, and where stores are restored.
fn scene() -> (TempDir, Spacefold, Rng) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let scratch = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(scratch.path().join("store")).unwrap();
    fill(&spaces, &mut rng, 40);
    (scratch, spaces, rng)
}

fn fill(spaces: &Spacefold, rng: &mut Rng, events: usize) {
    for _ in 0..events {
        let name = format!("v{}", rng.u8(..9));
        let text: String = (0..rng.usize(..400)).map(|_| rng.alphanumeric()).collect();
        let space = format!("space-{}", rng.u8(..5));
        spaces.append([SpaceEvent::variable_set(space, name, text)]).unwrap();
    }
    let service = spaces.service();
    let document = format!("d{}", rng.u64(..));
    let _ = service.create_space("docs", "Docs");
    service.add_document("docs", &document, format!("/{document}")).unwrap();
    let content: Vec<u8> = (0..rng.usize(1..40_000)).map(|_| rng.u8(..)).collect();
    service.set_content("docs", &document, &content).unwrap();
}

fn hashes(spaces: &Spacefold, at: Position) -> Vec<(String, String)> {
    let all = spaces.at(at).snapshot_all().unwrap();
    let hash =
        |it: &spacefold::Snapshot| (it.space_id().to_owned(), it.state().state_hash().to_string());
    all.iter().map(hash).collect()
}

/// Restores, and compares with the store that was backed up.
fn assert_restores(repository: &BackupRepository, to: &Path, spaces: &Spacefold) -> Position {
    let restored = restore(repository, to, &RestoreOptions::default()).unwrap();
    assert_equals(to, restored.position, spaces);
    restored.position
}

fn assert_equals(to: &Path, position: Position, spaces: &Spacefold) {
    let copy = Spacefold::open(to).unwrap();
    assert_eq!(copy.durable_head(), position);
    assert_eq!(hashes(&copy, position), hashes(spaces, position));
    copy.close().unwrap();
    std::fs::remove_dir_all(to).unwrap();
}

#[test]
fn a_store_is_backed_up_to_a_bucket_restored_pruned_and_drilled() {
    let Some(service) = Service::get() else { return };
    let (scratch, spaces, mut rng) = scene();
    let (store, copy) = (scratch.path().join("store"), scratch.path().join("copy"));
    let bucket = straight(&Service::next_url(), service);
    let mut archiver = Archiver::open(&store, bucket.clone()).unwrap();
    for number in 1..=4 {
        let report = archiver.backup().unwrap();
        assert_eq!((report.number, report.head), (number, spaces.durable_head()));
        fill(&spaces, &mut rng, 10);
    }
    // Another one is told.
    let second = Archiver::open(&store, bucket.clone()).unwrap().backup().unwrap();
    assert_eq!(second.number, 5);
    let refused = archiver.backup().unwrap_err();
    assert!(matches!(refused, ArchiveError::AnotherArchiver { number: 5, .. }), "{refused}");
    let repository = BackupRepository::open(bucket).unwrap();
    assert_restores(&repository, &copy, &spaces);
    let point = RestoreOptions::default().to(RestorePoint::At(Position::new(17)));
    restore(&repository, &copy, &point).unwrap();
    assert_equals(&copy, Position::new(17), &spaces);
    assert!(drill(&repository, &copy).unwrap().is_ok());
    let pruned = prune(&repository, &PruneOptions::default().keep_daily(1)).unwrap();
    assert_eq!((&pruned.kept[..], &pruned.removed[..]), (&[5][..], &[1, 2, 3, 4][..]));
    let report = verify(&repository, VerifyShare::All, &|| false).unwrap();
    assert_eq!((report.backups, report.problems.len()), (1, 0));
    assert_restores(&repository, &copy, &spaces);
    spaces.close().unwrap();
}

/// One call goes wrong of a second backup whose client makes no call again, at each place in turn.
#[test]
fn each_call_of_a_backup_may_go_wrong_and_nothing_that_is_there_does() {
    let Some(service) = Service::get() else { return };
    let (scratch, spaces, mut rng) = scene();
    let (store, copy) = (scratch.path().join("store"), scratch.path().join("copy"));
    let proxy = Proxy::before(service.address);
    let (mut cases, mut failed) = (0, 0);
    for trouble in Trouble::ALL {
        for call in 1.. {
            let url = Service::next_url();
            let real = straight(&url, service);
            Archiver::open(&store, real.clone()).unwrap().backup().unwrap();
            fill(&spaces, &mut rng, 1);
            proxy.go_wrong(call, 1, trouble);
            let troubled = storage(&url, &proxy.endpoint(), 1);
            let made = Archiver::open(&store, troubled).and_then(|mut it| it.backup());
            let was_met = proxy.calls() >= call;
            proxy.go_well();
            let repository = BackupRepository::open(real.clone()).unwrap();
            let numbers = repository.numbers().unwrap();
            assert!(numbers == [1] || numbers == [1, 2], "{trouble:?} {call}: {numbers:?}");
            match made {
                Ok(report) => assert_eq!(report.number, *numbers.last().unwrap()),
                Err(error) => {
                    failed += 1;
                    assert!(was_met, "{trouble:?} {call}: {error}");
                }
            }
            let report = verify(&repository, VerifyShare::All, &|| false).unwrap();
            assert_eq!(report.problems, [], "{trouble:?} {call}");
            cases += 1;
            // The next one goes on.
            let next = Archiver::open(&store, real).unwrap().backup().unwrap();
            assert_eq!(next.number, numbers.len() as u64 + 1);
            if call % 6 == 0 || !was_met {
                assert_eq!(assert_restores(&repository, &copy, &spaces), next.head);
            }
            if !was_met {
                break;
            }
        }
    }
    println!("{cases} backups, of which {failed} failed");
    assert!(failed > 20);
    spaces.close().unwrap();
}

/// A client that makes calls again gets through.
#[test]
fn one_archiver_goes_on_through_a_service_that_fails_now_and_then() {
    let Some(service) = Service::get() else { return };
    let (scratch, spaces, mut rng) = scene();
    let (store, copy) = (scratch.path().join("store"), scratch.path().join("copy"));
    let proxy = Proxy::before(service.address);
    let url = Service::next_url();
    let troubled = storage(&url, &proxy.endpoint(), 4);
    let mut archiver = Archiver::open(&store, troubled).unwrap();
    for round in 0..20_u64 {
        fill(&spaces, &mut rng, 2);
        let trouble = *rng.choice(&Trouble::ALL[..6]).unwrap();
        proxy.go_wrong(rng.u64(1..12), 1, trouble);
        let made = archiver.backup().unwrap();
        assert_eq!((made.number, made.head), (round + 1, spaces.durable_head()), "{trouble:?}");
    }
    proxy.go_well();
    let real: Arc<dyn ObjectStorage> = straight(&url, service);
    let repository = BackupRepository::open(real).unwrap();
    let report = verify(&repository, VerifyShare::All, &|| false).unwrap();
    assert_eq!((report.backups, report.problems.len()), (20, 0));
    assert_restores(&repository, &copy, &spaces);
    spaces.close().unwrap();
}

#[test]
fn each_call_of_a_restore_may_go_wrong_and_leaves_nothing_or_all() {
    let Some(service) = Service::get() else { return };
    let (scratch, spaces, _) = scene();
    let (store, copy) = (scratch.path().join("store"), scratch.path().join("copy"));
    let url = Service::next_url();
    Archiver::open(&store, straight(&url, service)).unwrap().backup().unwrap();
    let proxy = Proxy::before(service.address);
    for trouble in Trouble::ALL {
        for call in 1.. {
            proxy.go_wrong(call, 1, trouble);
            let troubled = storage(&url, &proxy.endpoint(), 1);
            let made = BackupRepository::open(troubled)
                .and_then(|it| restore(&it, &copy, &RestoreOptions::default()));
            let was_met = proxy.calls() >= call;
            proxy.go_well();
            match made {
                Ok(restored) => assert_equals(&copy, restored.position, &spaces),
                Err(error) => {
                    assert!(was_met, "{trouble:?} {call}: {error}");
                    assert!(!copy.exists());
                }
            }
            if !was_met {
                break;
            }
        }
    }
    spaces.close().unwrap();
}
