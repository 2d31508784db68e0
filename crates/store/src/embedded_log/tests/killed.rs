//! What a stop at a bad moment leaves, as the simulated disk has found it: opened, and no damage.

use std::fs;

use spacefold_event_core::Position;

use super::{append, assert_dense, change_head, everything, image};
use crate::{EmbeddedLog, VerifyOptions, progress::StoreFailure, verify};

/// Opening makes no blocks: HEAD must not say that all there are were made.
#[test]
fn a_store_that_is_killed_twice_before_its_blocks_are_made_is_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let [path, once, twice] = ["store", "once", "twice"].map(|name| folder.path().join(name));
    let log = EmbeddedLog::open(&path).unwrap();
    append(&log, 1_200, 3);
    image(&path, &once);
    log.close().unwrap();
    let log = EmbeddedLog::open(&once).unwrap();
    image(&once, &twice);
    log.close().unwrap();
    let report = verify(&twice, VerifyOptions::default()).unwrap();
    assert!(!report.is_damaged() && report.needs_recovery, "{report:?}");
    let log = EmbeddedLog::open(&twice).unwrap();
    assert_dense(&everything(&log), 1_200);
    assert_eq!(log.info().healed, 0);
    log.close().unwrap();
    let report = verify(&twice, VerifyOptions::default()).unwrap();
    assert!(report.is_ok() && report.blocks > 0, "{report:?}");
}

/// One write has the header of a file and the first frames: of what was not synced any sector may be
/// on the disk.
#[test]
fn a_file_whose_first_write_was_torn_before_its_frames_is_read_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let [path, killed] = ["store", "killed"].map(|name| folder.path().join(name));
    let log = EmbeddedLog::open(&path).unwrap();
    append(&log, 3, 1);
    image(&path, &killed);
    log.close().unwrap();
    let file = killed.join("journal/0000.journal");
    let mut torn = fs::read(&file).unwrap();
    torn[..512].fill(0);
    fs::write(&file, &torn).unwrap();
    let report = verify(&killed, VerifyOptions::default()).unwrap();
    assert!(report.needs_recovery && !report.is_damaged(), "{report:?}");
    for _ in 0..2 {
        let log = EmbeddedLog::open(&killed).unwrap();
        assert_eq!(log.info().healed, 0);
        append(&log, 1, 1);
        log.close().unwrap();
    }
    assert_dense(&everything(&EmbeddedLog::open(&killed).unwrap()), 5);
    // In a store that was closed since it was whole once.
    fs::write(path.join("journal/0000.journal"), torn).unwrap();
    assert!(verify(&path, VerifyOptions::default()).unwrap().is_damaged());
}

#[test]
fn a_journal_whose_only_file_is_set_aside_has_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    // A session that has begun, and come to nothing.
    log.inner.shared.progress.fail(StoreFailure::new("planted"));
    log.close().unwrap();
    change_head(&path, |head| head.take_incarnation(Position::START));
    fs::write(path.join("journal/0000.journal"), vec![7; 1 << 20]).unwrap();
    EmbeddedLog::open(&path).unwrap().close().unwrap();
    assert!(path.join("journal.set-aside-1/0000.journal").exists());
    let log = EmbeddedLog::open(&path).unwrap();
    append(&log, 1, 1);
    log.close().unwrap();
    assert_dense(&everything(&EmbeddedLog::open(&path).unwrap()), 1);
}
