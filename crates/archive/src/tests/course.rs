//! Timelines: what is restored goes on apart, and nothing of one course is taken for another's.

use std::process::Command;

use spacefold::{SubscribeError, Subscription, subscribe::AckError};

use super::*;
use crate::ArchiveError;

/// Copies a folder, as an administrator would.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

#[test]
fn a_restored_store_is_the_same_store_on_another_timeline() {
    let mut scene = Scene::new();
    let spaces = scene.open();
    fill(&spaces, &mut scene.rng.fork(), 30);
    let report = scene.backup();
    let fork = Position::new(report.head.get() / 2);
    let options = RestoreOptions::default().to(RestorePoint::At(fork));
    let (first, second) = (scene.restore(&options), scene.restore(&options));
    for restored in [&first, &second] {
        assert_eq!(restored.store_id, report.store_id);
        assert_eq!(restored.identity.log_id, report.identity.log_id);
        let parted = restored.identity.fork.unwrap();
        assert_eq!((parted.parent, parted.position), (report.identity.timeline, fork));
        let copy = open(&restored.path);
        assert_eq!(copy.admin().info().identity, restored.identity);
        copy.close().unwrap();
    }
    assert_ne!(first.identity.timeline, second.identity.timeline);
    spaces.close().unwrap();
}

#[test]
fn a_repository_goes_on_with_what_was_restored_from_it_and_with_nothing_else() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 60);
    let made = scene.backup();
    // The original goes on, and so does what was restored, each in its own way at the same positions.
    fill(&spaces, &mut rng, 60);
    scene.backup();
    let restored = scene.restore(&RestoreOptions::default().backup(1));
    let copy = open(&restored.path);
    fill(&copy, &mut rng, 50);
    let backup = |path: &Path| Archiver::open(path, scene.storage()).and_then(|mut it| it.backup());
    let third = backup(&restored.path).unwrap();
    assert_eq!((third.number, third.identity), (3, restored.identity));
    let refused = backup(&scene.store()).unwrap_err();
    assert!(matches!(refused, ArchiveError::OtherCourse { number: 3, .. }), "{refused}");
    // Backups of both restore, each to what its own store has.
    let again = scene.restore(&RestoreOptions::default());
    assert_is(&again, &copy);
    let original = scene.restore(&RestoreOptions::default().backup(2));
    assert_is(&original, &spaces);
    assert!(original.position > made.head);
    // One that was restored from elsewhere has nothing to do with the newest.
    let sibling = scene.restore(&RestoreOptions::default().backup(2));
    let refused = Archiver::open(&sibling.path, scene.storage()).unwrap().backup().unwrap_err();
    assert!(matches!(refused, ArchiveError::OtherCourse { .. }), "{refused}");
    let report = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
    assert_eq!(report.problems, []);
    copy.close().unwrap();
    spaces.close().unwrap();
}

#[test]
fn an_older_copy_and_one_that_went_on_apart_are_refused() {
    let scene = Scene::new();
    let mut rng = scene.rng.clone();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 20);
    spaces.close().unwrap();
    let (older, apart) = (scene.scratch.path().join("older"), scene.scratch.path().join("apart"));
    copy(&scene.store(), &older);
    copy(&scene.store(), &apart);
    let spaces = scene.open();
    fill(&spaces, &mut rng, 20);
    spaces.close().unwrap();
    scene.backup();
    let refused = |path: &Path| {
        let refused = Archiver::open(path, scene.storage()).unwrap().backup().unwrap_err();
        assert!(matches!(refused, ArchiveError::OtherCourse { number: 1, .. }), "{refused}");
    };
    refused(&older);
    let other = open(&apart);
    fill(&other, &mut rng, 60);
    refused(&apart);
    other.close().unwrap();
    refused(&apart);
    let stranger = open(&scene.scratch.path().join("stranger"));
    let path = stranger.log().path();
    let refused = Archiver::open(path, scene.storage()).unwrap_err();
    assert!(matches!(refused, ArchiveError::OtherStore { .. }), "{refused}");
    stranger.close().unwrap();
}

/// Where a durable subscription is, after it has taken all there is.
fn take_all(spaces: &Spacefold) -> Position {
    let mut subscriber = spaces.subscribe_durable("mails", &Subscription::from_start()).unwrap();
    let head = spaces.durable_head();
    while subscriber.position() < head {
        let _ = subscriber.recv().unwrap();
    }
    let acked: Result<(), AckError> = subscriber.ack(head);
    acked.unwrap();
    head
}

#[test]
fn places_come_along_and_one_of_another_course_is_refused() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 10);
    let at = take_all(&spaces);
    spaces.close().unwrap();
    scene.backup();
    // As far as the place: it goes on behind it, and gives what comes alone.
    let whole = scene.restore(&RestoreOptions::default());
    let copy = open(&whole.path);
    let subscriber = copy.subscribe_durable("mails", &Subscription::from_start()).unwrap();
    assert_eq!(subscriber.position(), at);
    drop(subscriber);
    copy.close().unwrap();
    // Before the place: what it has had is not what comes.
    let earlier = Position::new(at.get() - 2);
    let cut = scene.restore(&RestoreOptions::default().to(RestorePoint::At(earlier)));
    let copy = open(&cut.path);
    for _ in 0..5 {
        copy.append([event(&mut rng, 10)]).unwrap();
    }
    let refused = copy.subscribe_durable("mails", &Subscription::from_start());
    assert!(matches!(refused, Err(SubscribeError::Unfit { .. })), "{:?}", refused.err());
    copy.close().unwrap();
}
