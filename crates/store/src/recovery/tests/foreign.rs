//! What lies in the way of what opening mends: set aside, never written over.

use super::*;
use crate::{
    block::{self, EncodedBlock},
    folder::StoreFolder,
    head_file::HeadFile,
    journal::segments,
    log_copy::LogCopy as _,
    sled_copy::SledCopy,
    verify::OnDamage,
};

/// Blocks of each segment.
const FILE_BLOCKS: usize = 2;
const FILES: usize = 3;

/// A store that was closed, its sibling, and another store, all with blocks in sled and in no segment
/// .
fn closed_stores() -> Shelf {
    let shelf = Shelf { folder: tempfile::tempdir().unwrap(), has_sealed: false };
    let made = |path: &Path, count: u64, word: &str| {
        // With files that are so long nothing is sealed by itself.
        let options = StoreOptions::default().reserve_bytes(0);
        let log = EmbeddedLog::open_with(path, &options).unwrap();
        append(&log, count, word);
        log.close().unwrap();
        assert!(segments_of(path).is_empty());
    };
    made(&shelf.path("begin"), 100, "base");
    for (whose, word) in [(Own, "own"), (Sibling, "sibling")] {
        let path = shelf.path(&format!("{whose:?}"));
        copy(&shelf.path("begin"), &path);
        made(&path, 16_000, word);
    }
    made(&shelf.path("Other"), 16_100, "own");
    shelf
}

/// Puts blocks that sled has into segments, so many into each.
fn seal(store: &Path, files: usize) {
    let folder = StoreFolder::at(store);
    let mut head_file = HeadFile::open(&folder).unwrap();
    let store_id = head_file.head().store_id;
    let sled = SledCopy::open_at(&folder.sled_path()).unwrap();
    let firsts = sled.first_positions().unwrap();
    assert!(firsts.len() > FILES * FILE_BLOCKS, "{} blocks", firsts.len());
    for firsts in firsts.chunks(FILE_BLOCKS).take(files) {
        let blocks: Vec<EncodedBlock> = firsts
            .iter()
            .map(|first| {
                let bytes = sled.block_at_or_before(*first).unwrap().unwrap().bytes().into_owned();
                let hash = block::decode(&bytes, store_id, folder.schemas()).unwrap().hash;
                EncodedBlock { bytes, hash }
            })
            .collect();
        let index = segments::write(&folder, store_id, &blocks).unwrap();
        head_file
            .update(|head| {
                (head.sealed_through, head.sealed_hash) = (index.last_position, index.last_hash);
            })
            .unwrap();
    }
}

/// As [`closed_stores`], and what sled has is in segments too.
fn sealed_stores() -> Shelf {
    let shelf = closed_stores();
    [Own, Sibling, Other].iter().for_each(|of| seal(&shelf.path(&format!("{of:?}")), FILES));
    shelf
}

fn segments_of(store: &Path) -> Vec<PathBuf> {
    let folder = StoreFolder::at(store);
    let firsts = folder.segment_firsts().unwrap();
    firsts.into_iter().map(|first| folder.segment_path(first)).collect()
}

fn own_store(shelf: &Shelf) -> PathBuf {
    let store = shelf.path("store");
    remove(&store);
    copy(&shelf.path("Own"), &store);
    store
}

/// Opens the store: all events are there, and these bytes still are; what is left is a sound store.
fn assert_mended(store: &Path, own: &[RecordedEvent], kept: &[Vec<u8>], what: &str) {
    let log = open(store).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(everything(&log).starts_with(own), "{what}");
    assert!(log.info().sealed_bytes > 0 || kept.is_empty(), "{what}");
    append(&log, 2_000, "more");
    log.close().unwrap();
    let found = contents(store);
    for (number, bytes) in kept.iter().enumerate() {
        assert!(found.values().any(|found| found == bytes), "{what}: number {number} is gone");
    }
    let report = verify(store, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{what}: {report:?}");
    let log = open(store).unwrap();
    assert!(everything(&log).starts_with(own), "{what}");
    log.close().unwrap();
}

/// Opening is refused, and changes nothing.
fn assert_refused(store: &Path, what: &str) -> OpenError {
    let before = contents(store);
    let Err(error) = open(store) else { panic!("{what}: it opens") };
    assert!(contents(store) == before, "{what}: {error}, and something has changed");
    error
}

#[test]
fn segments_in_the_way_are_set_aside_whoever_they_are_of() {
    let shelf = sealed_stores();
    let own = shelf.events(Own);
    let default = VerifyOptions::default();
    let damaged = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    // Under our names: that of a file is where its first block begins.
    let others = segments_of(&shelf.path("Other"));
    let siblings = segments_of(&shelf.path("Sibling"));
    let read = |path: &PathBuf| fs::read(path).unwrap();
    for changed in [0..1, 1..2, 2..3, 0..3] {
        for whose in ["another store's", "damaged", "a sibling's"] {
            let store = own_store(&shelf);
            let mut kept = Vec::new();
            for (n, path) in segments_of(&store).into_iter().enumerate() {
                if changed.contains(&n) {
                    let bytes = match whose {
                        "damaged" => damaged(&read(&path)),
                        "a sibling's" => read(&siblings[n]),
                        _ => read(&others[n]),
                    };
                    fs::write(&path, &bytes).unwrap();
                    kept.push(bytes);
                }
            }
            let what = format!("{whose} {changed:?}");
            match whose {
                // Whole and of this store by what it says: it may be sled's copy that is not.
                "a sibling's" if changed.start == 0 => {
                    assert_refused(&store, &what);
                }
                _ => {
                    if whose == "damaged" {
                        // Opening looks at the ends of segments alone.
                        let damage = OnDamage::Heal;
                        let report = verify(&store, VerifyOptions { damage, ..default }).unwrap();
                        assert!(report.is_ok() && !report.problems.is_empty(), "{report:?}");
                    }
                    assert_mended(&store, &own, &kept, &what);
                }
            }
        }
    }
}

#[test]
fn every_file_that_was_ever_set_aside_stays() {
    let shelf = sealed_stores();
    let own = shelf.events(Own);
    let store = own_store(&shelf);
    let mut kept = Vec::new();
    for round in 0..3_u8 {
        let path = segments_of(&store).swap_remove(1);
        let mut bytes = fs::read(&path).unwrap();
        bytes[700..].fill(round);
        fs::write(&path, &bytes).unwrap();
        kept.push(bytes);
        assert_mended(&store, &own, &kept, &format!("round {round}"));
    }
}

#[test]
fn segments_that_are_missing_are_made_anew_beside_those_that_are_there() {
    let shelf = sealed_stores();
    let own = shelf.events(Own);
    for missing in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2]] {
        let store = own_store(&shelf);
        let files = segments_of(&store);
        missing.iter().for_each(|n| fs::remove_file(&files[*n]).unwrap());
        let kept = segments_of(&store);
        let kept: Vec<Vec<u8>> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
        assert_mended(&store, &own, &kept, &format!("without {missing:?}"));
    }
}

#[test]
fn segments_beside_ours_are_set_aside() {
    let shelf = sealed_stores();
    let own = shelf.events(Own);
    let foreign = fs::read(&segments_of(&shelf.path("Other"))[0]).unwrap();
    let end = own.len() as u64 + 1;
    for sealed_through in [0, FILES] {
        for name in [2, end / 2, end] {
            let store = own_store(&shelf);
            if sealed_through == 0 {
                let folder = StoreFolder::at(&store);
                segments_of(&store).iter().for_each(|path| fs::remove_file(path).unwrap());
                let mut head_file = HeadFile::open(&folder).unwrap();
                head_file
                    .update(|head| {
                        head.sealed_through = Position::START;
                        head.sealed_hash = block::genesis(head.store_id);
                    })
                    .unwrap();
            }
            let name = StoreFolder::at(&store).segment_path(Position::new(name));
            fs::write(&name, &foreign).unwrap();
            let what = format!("{} beside {sealed_through}", name.display());
            let kept = std::slice::from_ref(&foreign);
            if sealed_through > 0 {
                assert_mended(&store, &own, kept, &what);
            } else {
                let log = open(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(everything(&log) == own, "{what}");
                log.close().unwrap();
                assert!(contents(&store).values().any(|bytes| *bytes == foreign), "{what}");
            }
        }
    }
}

#[test]
fn segments_that_a_crash_left_beside_their_successor_are_set_aside() {
    let shelf = sealed_stores();
    let own = shelf.events(Own);
    let store = own_store(&shelf);
    let second = segments_of(&store).swap_remove(1);
    let left = fs::read(&second).unwrap();
    // One file of the blocks of two.
    let folder = StoreFolder::at(&store);
    let store_id = HeadFile::open(&folder).unwrap().head().store_id;
    let sealed = segments::Segments::open(&folder, store_id).unwrap();
    let mut blocks = Vec::new();
    sealed
        .blocks_from(Position::new(1), &mut |block, bytes| {
            blocks.push(EncodedBlock { bytes: bytes.to_vec(), hash: block.hash });
            Ok(())
        })
        .unwrap();
    blocks.truncate(2 * FILE_BLOCKS);
    segments::write(&folder, store_id, &blocks).unwrap();
    assert_mended(&store, &own, &[left], "left beside its successor");
}

/// Damages the first frame of the journal, which segments have too.
fn damage_first_frame(store: &Path) {
    let journal = store.join("journal/0000.journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[512 + 100] ^= 1;
    fs::write(&journal, bytes).unwrap();
}

#[test]
fn segments_of_a_sibling_are_not_believed_beside_a_damaged_journal() {
    let shelf = closed_stores();
    let own = shelf.events(Own);
    for (ours, theirs) in [(2, 1), (0, 1), (0, 2), (1, 2)] {
        let store = own_store(&shelf);
        let sibling = shelf.path("sibling");
        remove(&sibling);
        copy(&shelf.path("Sibling"), &sibling);
        seal(&store, ours);
        seal(&sibling, theirs);
        damage_first_frame(&store);
        let sealed = store.join("sealed");
        let right = shelf.path("right");
        remove(&right);
        fs::rename(&sealed, &right).unwrap();
        copy(&sibling.join("sealed"), &sealed);
        let what = format!("{theirs} for {ours}");
        for sled in [true, false] {
            if !sled {
                remove(&store.join("sled"));
            }
            let error = assert_refused(&store, &format!("{what}, {sled}"));
            assert!(error.to_string().contains("sealed"), "{what}: {error}");
        }
        remove(&sealed);
        copy(&right, &sealed);
        copy(&shelf.path("Own").join("sled"), &store.join("sled"));
        let log = open(&store).unwrap();
        assert!(everything(&log) == own, "{what}");
        log.close().unwrap();
    }
}

#[test]
fn journal_files_that_are_mended_are_set_aside() {
    let shelf = closed_stores();
    let own = shelf.events(Own);
    let store = own_store(&shelf);
    damage_first_frame(&store);
    let files = contents(&store.join("journal"));
    let used = files.values().filter(|bytes| bytes.starts_with(b"SFJF")).cloned();
    let used: Vec<Vec<u8>> = used.collect();
    assert!(!used.is_empty(), "{:?}", files.keys());
    assert_mended(&store, &own, &used, "a damaged frame");
    // Longer than any file that could be written over.
    let log = open(&store).unwrap();
    append(&log, 40_000, "more");
    log.close().unwrap();
    let found = contents(&store);
    assert!(used.iter().all(|used| found.values().any(|bytes| bytes == used)));
}

#[test]
fn journal_files_whose_header_does_not_read_are_set_aside() {
    let killed = {
        let shelf = Shelf::new(Left::Killed, false);
        let own = shelf.events(Own);
        (shelf, own)
    };
    let closed = closed_stores();
    let own = closed.events(Own);
    for (shelf, own) in [killed, (closed, own)] {
        let store = own_store(&shelf);
        let mut headless = fs::read(shelf.path("Other/journal/0000.journal")).unwrap();
        headless[20] ^= 1;
        fs::write(store.join("journal/0050.journal"), &headless).unwrap();
        // One that was never used.
        fs::write(store.join("journal/0051.journal"), vec![0; 128 << 10]).unwrap();
        let log = open(&store).unwrap();
        assert!(everything(&log) == own);
        append(&log, 4_000, "more");
        log.close().unwrap();
        let found = contents(&store);
        assert!(found.values().any(|bytes| *bytes == headless), "it is gone");
        let aside = store.join("journal.set-aside-1");
        let names: Vec<_> = fs::read_dir(aside).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(names.len(), 1);
        let report = verify(&store, VerifyOptions::default()).unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
    }
}

#[test]
fn a_folder_that_is_missing_is_named() {
    for left in [Left::Closed, Left::Killed] {
        let shelf = Shelf::new(left, false);
        for (name, part) in [("journal", StorePart::Journal), ("sealed", StorePart::Segments)] {
            for has_file in [false, true] {
                let store = own_store(&shelf);
                remove(&store.join(name));
                if has_file {
                    fs::write(store.join(name), "no folder").unwrap();
                }
                let error = assert_refused(&store, name);
                let found = match &error {
                    OpenError::PartsDiffer { part, .. } => Some(*part),
                    _ => None,
                };
                assert_eq!(found, Some(part), "{left:?}: {error}");
                assert!(error.to_string().contains("put the folder back"), "{error}");
                let report = verify(&store, VerifyOptions::default()).unwrap();
                let kinds: Vec<&str> = report.problems.iter().map(|found| found.kind).collect();
                assert_eq!(kinds, [name], "{report:?}");
                remove(&store.join(name));
                copy(&shelf.path("Own").join(name), &store.join(name));
                assert!(everything(&open(&store).unwrap()) == shelf.events(Own));
            }
        }
    }
}
