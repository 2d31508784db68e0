//! A store that follows an archive, and takes over.

use spacefold::log::StoreMode;

use super::*;
use crate::{ArchiveError, ArchiveFollower};

#[test]
fn a_follower_has_what_the_archive_has_and_takes_over() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 20);
    let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
    archiver.backup().unwrap();
    let path = scene.next_path();
    let open = || ArchiveFollower::open(scene.repository(), &path, StoreMode::default());
    let mut follower = open().unwrap();
    assert_eq!(follower.catch_up().unwrap(), None);
    for round in 0..12 {
        let before = spaces.durable_head();
        fill(&spaces, &mut rng, 1 + round * 4);
        if round % 4 == 1 {
            spaces.admin().collect_garbage().unwrap();
        }
        let report = archiver.backup().unwrap();
        if round % 3 == 2 {
            // One that was stopped goes on where it was.
            follower.close().unwrap();
            follower = open().unwrap();
        }
        let taken = follower.catch_up().unwrap().unwrap();
        assert_eq!((taken.number, taken.head), (report.number, report.head));
        assert_eq!((taken.events, taken.absent), (report.head.since(before), 0));
        assert_eq!(follower.head(), report.head);
        // Whoever reads it beside sees that.
        let beside = Options::new(&path).folding(Folding::OnDemand).follow().unwrap();
        assert_eq!(beside.durable_head(), report.head);
        assert_eq!(hash_at(&beside, report.head), hash_at(&spaces, report.head));
        beside.close();
    }
    follower.close().unwrap();
    let report = spacefold::admin::verify(&path, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let head = spaces.durable_head();
    let copy = super::open(&path);
    assert!(events(&copy, head) == events(&spaces, head));
    for hash in named(&copy) {
        assert!(copy.content().contains(&hash).unwrap(), "{hash}");
    }
    // It takes over, and is not followed again.
    copy.append([SpaceEvent::space_activated("its-own")]).unwrap();
    copy.close().unwrap();
    fill(&spaces, &mut rng, 3);
    archiver.backup().unwrap();
    let mut follower = open().unwrap();
    let refused = follower.catch_up().unwrap_err();
    assert!(matches!(refused, ArchiveError::OtherCourse { .. }), "{refused}");
    assert!(!refused.may_pass());
    assert_eq!(follower.head(), head.next());
    follower.close().unwrap();
    spaces.close().unwrap();
}

#[test]
fn a_store_that_is_of_no_archive_does_not_follow_it() {
    let scene = Scene::new();
    let mut rng = scene.rng.clone();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 5);
    scene.backup();
    let other = scene.scratch.path().join("other");
    super::open(&other).close().unwrap();
    let refused = ArchiveFollower::open(scene.repository(), &other, StoreMode::default());
    assert!(matches!(refused, Err(ArchiveError::OtherStore { .. })));
    spaces.close().unwrap();
    // The store itself is no follower of its own archive.
    let refused = ArchiveFollower::open(scene.repository(), scene.store(), StoreMode::default());
    assert!(matches!(refused, Err(ArchiveError::OtherCourse { .. })));
    super::open(&scene.store()).close().unwrap();
}

#[test]
fn an_archive_that_goes_on_with_a_restored_store_is_followed() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 10);
    scene.backup();
    let path = scene.next_path();
    let open = || ArchiveFollower::open(scene.repository(), &path, StoreMode::default()).unwrap();
    let mut follower = open();
    spaces.close().unwrap();
    let restored = scene.scratch.path().join("goes-on");
    restore(&scene.repository(), &restored, &RestoreOptions::default()).unwrap();
    let spaces = super::open(&restored);
    for _ in 0..3 {
        fill(&spaces, &mut rng, 5);
        Archiver::open(&restored, scene.storage()).unwrap().backup().unwrap();
        let taken = follower.catch_up().unwrap().unwrap();
        assert_eq!(taken.head, spaces.durable_head());
        // Stopped and begun again it is still of that course.
        follower.close().unwrap();
        follower = open();
    }
    follower.close().unwrap();
    let copy = super::open(&path);
    let head = spaces.durable_head();
    assert!(events(&copy, head) == events(&spaces, head));
    copy.close().unwrap();
    spaces.close().unwrap();
}

#[test]
fn an_archive_that_went_back_is_not_followed() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 10);
    scene.backup();
    let path = scene.next_path();
    let open = |path: &Path| ArchiveFollower::open(scene.repository(), path, StoreMode::default());
    let follower = open(&path).unwrap();
    let head = follower.head();
    follower.close().unwrap();
    spaces.close().unwrap();
    // The archive goes on with a store that was restored to where it was earlier.
    let earlier = scene.scratch.path().join("earlier");
    let point = RestorePoint::At(Position::new(head.get() - 1));
    restore(&scene.repository(), &earlier, &RestoreOptions::default().to(point)).unwrap();
    let spaces = super::open(&earlier);
    fill(&spaces, &mut rng, 10);
    Archiver::open(&earlier, scene.storage()).unwrap().backup().unwrap();
    let mut follower = open(&path).unwrap();
    let refused = follower.catch_up().unwrap_err();
    assert!(matches!(refused, ArchiveError::OtherCourse { .. }), "{refused}");
    follower.close().unwrap();
    spaces.close().unwrap();
}
