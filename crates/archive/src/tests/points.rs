//! Points in time: any position, any time, whatever is cut there.

use std::env;

use super::*;

/// Points that are restored unless told otherwise.
const POINTS: usize = 24;

#[test]
fn any_point_is_what_time_travel_shows_there() {
    let points = env::var("SPACEFOLD_ARCHIVE_POINTS").map_or(POINTS, |it| it.parse().unwrap());
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    for _ in 0..4 {
        fill(&spaces, &mut rng, 60);
        scene.backup();
    }
    let head = spaces.durable_head();
    let repository = scene.repository();
    for round in 0..points {
        let asked = Position::new(rng.u64(1..=head.get()));
        let (point, position) = if round % 2 == 0 {
            (RestorePoint::At(asked), asked)
        } else {
            use spacefold::log::LogReader as _;
            let page = spaces.log().page_at(asked).unwrap().unwrap();
            let time = page.envelopes().next().unwrap().recorded_at;
            (RestorePoint::AsOf(time), spaces.log().position_as_of(time).unwrap())
        };
        let options = RestoreOptions::default().to(point);
        assert_eq!(crate::plan_restore(&repository, &options).unwrap().position, position);
        let restored = scene.restore(&options);
        assert_eq!(restored.position, position, "{point:?}");
        assert_is(&restored, &spaces);
        fs::remove_dir_all(&restored.path).unwrap();
    }
    spaces.close().unwrap();
}

#[test]
fn every_position_of_a_small_store_restores() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    for count in [1, 3, 1, 7, 2, 1] {
        spaces.append((0..count).map(|_| event(&mut rng, 40)).collect::<Vec<_>>()).unwrap();
        scene.backup();
    }
    for position in 1..=spaces.durable_head().get() {
        let point = RestorePoint::At(Position::new(position));
        let restored = scene.restore(&RestoreOptions::default().to(point));
        assert_is(&restored, &spaces);
    }
    spaces.close().unwrap();
}

#[test]
fn what_is_cut_off_leaves_no_trace() {
    let mut scene = Scene::new();
    let spaces = scene.open();
    let secret = "a-secret-that-came-later";
    let kept = SpaceEvent::variable_set("a", "kept", "a-text-that-stays");
    spaces.append([kept, SpaceEvent::variable_set("a", "later", secret)]).unwrap();
    scene.backup();
    let point = RestorePoint::At(Position::new(1));
    let restored = scene.restore(&RestoreOptions::default().to(point));
    let found = |text: &str| {
        let holds = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        file_names(&restored.path).iter().any(holds)
    };
    assert!(found("a-text-that-stays"));
    assert!(!found(secret));
    spaces.close().unwrap();
}

#[test]
fn points_that_are_not_there_are_refused_by_name() {
    let mut scene = Scene::new();
    let spaces = scene.open();
    fill(&spaces, &mut scene.rng.fork(), 3);
    let report = scene.backup();
    let path = scene.next_path();
    let refused = |point| {
        let options = RestoreOptions::default().to(point);
        let refused = restore(&scene.repository(), &path, &options).unwrap_err();
        assert!(!path.exists());
        refused
    };
    let beyond = refused(RestorePoint::At(report.head.next()));
    assert!(matches!(beyond, crate::ArchiveError::Beyond { head, .. } if head == report.head));
    let before = refused(RestorePoint::AsOf("1990-01-01T00:00:00Z".parse().unwrap()));
    assert!(matches!(before, crate::ArchiveError::BeforeFirst { .. }), "{before}");
    let options = RestoreOptions::default().backup(9);
    let none = restore(&scene.repository(), &path, &options).unwrap_err();
    assert!(matches!(none, crate::ArchiveError::NoBackup { number: Some(9), .. }), "{none}");
    spaces.close().unwrap();
}
