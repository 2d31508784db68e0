//! Repositories that somebody has damaged, or written on purpose: nothing of them is believed before it was
//! compared, nothing panics, nothing is written outside.

use super::*;
use crate::{ArchiveError, manifest::seal};

/// A repository of a small store, and what it restores to.
fn small(scene: &mut Scene) -> Spacefold {
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 25);
    scene.backup();
    spaces
}

#[test]
fn every_file_may_be_flipped_cut_emptied_swapped_or_lost() {
    let mut scene = Scene::new();
    let spaces = small(&mut scene);
    let mut rng = scene.rng.fork();
    let files = file_names(&scene.backups());
    let other = fs::read(&files[0]).unwrap();
    for file in &files {
        let whole = fs::read(file).unwrap();
        for way in 0..6 {
            let mut bytes = whole.clone();
            match way {
                0 => {
                    let place = rng.usize(..bytes.len());
                    bytes[place] ^= 1 << rng.u8(..8);
                }
                1 => bytes.truncate(rng.usize(..bytes.len())),
                2 => bytes.clear(),
                3 => bytes.push(b'x'),
                4 if bytes != other => bytes.clone_from(&other),
                _ => {}
            }
            if way == 5 {
                fs::remove_file(file).unwrap();
            } else {
                fs::write(file, &bytes).unwrap();
            }
            let path = scene.next_path();
            let opened = BackupRepository::open(scene.storage());
            let made = opened.and_then(|it| restore(&it, &path, &RestoreOptions::default()));
            match made {
                // White space at the end of JSON.
                Ok(restored) => {
                    let is_marker = file.ends_with("repository.json");
                    assert!(is_marker || bytes == whole, "{} {way}", file.display());
                    assert_is(&restored, &spaces);
                    fs::remove_dir_all(&path).unwrap();
                }
                Err(error) => {
                    let is_named = error.is_damage()
                        || matches!(
                            error,
                            ArchiveError::NotARepository { .. }
                                | ArchiveError::NoBackup { .. }
                                | ArchiveError::OtherStore { .. }
                                | ArchiveError::UnknownFormat { .. }
                        );
                    assert!(is_named, "{} {way}: {error}", file.display());
                    assert!(!path.exists());
                }
            }
            if let Ok(repository) = BackupRepository::open(scene.storage()) {
                let report = verify(&repository, VerifyShare::All, &|| false).unwrap();
                let is_manifest = file.parent().is_some_and(|it| it.ends_with("manifests"));
                let is_unseen = bytes == whole && way != 5 || is_manifest && way == 5;
                let is_marker = file.ends_with("repository.json");
                assert!(
                    is_unseen || is_marker || !report.problems.is_empty(),
                    "{} {way}",
                    file.display()
                );
            }
            fs::write(file, &whole).unwrap();
        }
    }
    spaces.close().unwrap();
}

/// Writes a manifest that was made on purpose, its hash and all.
fn plant(scene: &Scene, change: impl FnOnce(&mut serde_json::Value)) {
    let path = scene.backups().join("manifests/0000000001.json");
    let bytes = fs::read(&path).unwrap();
    let mut sealed: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut sealed["of"]);
    fs::write(path.with_file_name("0000000002.json"), seal(&sealed["of"])).unwrap();
}

#[test]
fn manifests_made_on_purpose_are_refused_and_lead_nowhere_else() {
    use serde_json::json;
    let mut scene = Scene::new();
    let spaces = small(&mut scene);
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 24] = [
        ("the number", |of| of["number"] = json!(1)),
        ("the format", |of| of["format"] = json!(2)),
        ("no head", |of| of["head"] = json!(0)),
        ("a large head", |of| of["head"] = json!(u64::MAX)),
        ("a negative head", |of| of["head"] = json!(-1)),
        ("a text for a head", |of| of["head"] = json!("9")),
        ("a place elsewhere", |of| of["places"] = json!("../../x")),
        ("a hash that is a path", |of| {
            of["frames"][0]["parts"][0]["blake3"] = json!("../../../etc/passwd");
        }),
        ("an id that is a path", |of| of["packs"]["rest"][0]["id"] = json!("../../x")),
        ("another store", |of| of["store"]["store_id"] = of["store"]["timeline"].clone()),
        ("bytes without end", |of| of["frames"][0]["parts"][0]["bytes"] = json!(u64::MAX)),
        ("many bytes", |of| of["frames"][0]["parts"][0]["bytes"] = json!(1_u64 << 40)),
        ("frames that part", |of| of["frames"][0]["first"] = json!(1_u64 << 60)),
        ("frames that end early", |of| of["frames"][0]["last"] = json!(7)),
        ("frames of nothing", |of| of["frames"] = json!([])),
        ("a pack twice", |of| {
            let pack = of["packs"]["rest"][0].clone();
            of["packs"]["rest"].as_array_mut().unwrap().push(pack);
        }),
        ("a shorter pack", |of| of["packs"]["rest"][0]["bytes"] = json!(1)),
        ("a page that is not there", |of| {
            of["segments"]["pages"] = of["frames"][0]["parts"].clone();
        }),
        ("sessions that descend", |of| of["store"]["sessions"] = json!([[9, 1], [3, 2]])),
        ("a session of the future", |of| of["store"]["sessions"] = json!([[u64::MAX, 1]])),
        ("many sessions", |of| {
            let all: Vec<_> = (1..100).map(|it| json!([it, it])).collect();
            of["store"]["sessions"] = json!(all);
        }),
        ("no room for sessions", |of| of["store"]["incarnation"] = json!(u64::MAX)),
        ("an unknown store format", |of| of["store"]["format_version"] = json!(77)),
        ("no time", |of| of["recorded_at"] = json!("yesterday")),
    ];
    for (what, change) in changes {
        plant(&scene, |of| {
            of["number"] = json!(2);
            change(of);
        });
        let path = scene.next_path();
        let refused = restore(&scene.repository(), &path, &RestoreOptions::default()).unwrap_err();
        let is_named = refused.is_damage()
            || matches!(
                refused,
                ArchiveError::OtherStore { .. } | ArchiveError::UnknownFormat { .. }
            );
        assert!(is_named, "{what}: {refused}");
        assert!(!path.exists(), "{what}");
        // An older one restores all the same.
        let options = RestoreOptions::default().backup(1);
        assert!(crate::plan_restore(&scene.repository(), &options).is_ok());
        let _ = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
        let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
        // It is no base for another, or only in what a backup does not go by.
        if archiver.backup().is_ok() {
            assert_eq!(what, "an unknown store format");
            fs::remove_file(scene.backups().join("manifests/0000000003.json")).unwrap();
        }
    }
    let names: Vec<_> = fs::read_dir(scene.scratch.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    spaces.close().unwrap();
}

#[test]
fn what_is_no_repository_is_left_alone() {
    let scene = Scene::new();
    let spaces = scene.open();
    let home = scene.scratch.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("letter"), b"mine").unwrap();
    let storage = || Arc::new(FolderStorage::at(&home));
    let refused = Archiver::open(scene.store(), storage()).unwrap_err();
    assert!(matches!(refused, ArchiveError::NotARepository { .. }), "{refused}");
    assert_eq!(file_names(&home), [home.join("letter")]);
    fs::remove_file(home.join("letter")).unwrap();
    let refused = BackupRepository::open(storage()).unwrap_err();
    assert!(matches!(refused, ArchiveError::NoRepository { .. }), "{refused}");
    // Into a store itself.
    let into = Arc::new(FolderStorage::at(scene.store()));
    let refused = Archiver::open(scene.store(), into).unwrap_err();
    assert!(matches!(refused, ArchiveError::NotARepository { .. }), "{refused}");
    assert!(Archiver::open(scene.store(), storage()).unwrap().backup().is_ok());
    spaces.close().unwrap();
}
