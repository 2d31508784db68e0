use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use spacefold_disk::{Disk as _, RealDisk};
use spacefold_event_core::Position;
use tempfile::TempDir;

use super::{MAX_VALUE_BYTES, SledCopy, SledError, block_key, folders::SledFolders};
use crate::log_copy::{LogCopies as _, LogCopy as _};

fn empty_copy() -> (TempDir, SledCopy) {
    let folder = tempfile::tempdir().unwrap();
    let copy = SledCopy::open_at(&folder.path().join("sled")).unwrap();
    (folder, copy)
}

fn position(number: u64) -> Position {
    Position::new(number)
}

/// Bytes that do not repeat within a block, nor from block to block.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn put(copy: &SledCopy, first: u64, bytes: &[u8]) {
    copy.put_block(position(first), bytes).unwrap();
}

fn assert_block(copy: &SledCopy, at: u64, first: u64, bytes: &[u8]) {
    let block = copy.block_at_or_before(position(at)).unwrap().expect("a block");
    assert_eq!(block.first(), position(first));
    assert!(block.bytes() == bytes, "the bytes of block {first} differ");
}

#[test]
fn blocks_come_back_as_they_were_put() {
    let (folder, copy) = empty_copy();
    assert!(copy.last_block().unwrap().is_none());
    let blocks = [
        (1, noise(1, 1)),
        (300, noise(2, MAX_VALUE_BYTES)),
        (1_000, noise(3, MAX_VALUE_BYTES + 1)),
        (70_000, noise(4, 2_000_000)),
        (1 << 40, noise(5, 10)),
    ];
    for (first, bytes) in &blocks {
        put(&copy, *first, bytes);
    }
    let check = |copy: &SledCopy| {
        assert!(copy.block_at_or_before(position(0)).unwrap().is_none());
        for (first, bytes) in &blocks {
            assert_block(copy, *first, *first, bytes);
            assert_block(copy, first + 200, *first, bytes);
        }
        assert_block(copy, 299, 1, &blocks[0].1);
        assert_block(copy, u64::MAX, 1 << 40, &blocks[4].1);
        assert_eq!(copy.last_block().unwrap().unwrap().first(), position(1 << 40));
        let firsts: Vec<u64> =
            copy.first_positions().unwrap().into_iter().map(Position::get).collect();
        assert_eq!(firsts, [1, 300, 1_000, 70_000, 1 << 40]);
    };
    check(&copy);
    copy.sync().unwrap();
    drop(copy);
    check(&SledCopy::open_at(&folder.path().join("sled")).unwrap());
}

#[test]
fn a_place_that_is_kept_is_no_block() {
    let (_folder, copy) = empty_copy();
    put(&copy, 1, b"first");
    let (long, short) = (noise(1, 90_000), noise(2, 30_000));
    copy.keep_places(&mut [(position(5), long.len()), (position(9), long.len())].into_iter())
        .unwrap();
    assert_block(&copy, 20, 1, b"first");
    assert_eq!(copy.last_block().unwrap().unwrap().first(), position(1));
    assert_eq!(copy.first_positions().unwrap(), [position(1)]);
    put(&copy, 5, &long);
    assert_block(&copy, 20, 5, &long);
    // Fewer parts than places, a block that is replaced, and places for one that is there.
    put(&copy, 9, &short);
    assert_block(&copy, 20, 9, &short);
    put(&copy, 5, &short);
    copy.keep_places(&mut [(position(5), short.len())].into_iter()).unwrap();
    assert_block(&copy, 8, 5, &short);
    assert_eq!(copy.first_positions().unwrap(), [1, 5, 9].map(position));
}

#[test]
fn places_for_many_blocks_save_a_third_of_what_sled_keeps() {
    let bytes = |places: bool| {
        let (folder, copy) = empty_copy();
        for batch in 0..10_u64 {
            let blocks: Vec<(Position, Vec<u8>)> = (1..=48)
                .map(|block| (position(batch * 48 + block), noise(block, 2 * MAX_VALUE_BYTES)))
                .collect();
            if places {
                copy.keep_places(&mut blocks.iter().map(|(first, bytes)| (*first, bytes.len())))
                    .unwrap();
            }
            blocks.iter().for_each(|(first, bytes)| put(&copy, first.get(), bytes));
        }
        copy.sync().unwrap();
        drop(copy);
        std::fs::metadata(folder.path().join("sled/db")).unwrap().len()
    };
    let (with, without) = (bytes(true), bytes(false));
    assert!(with * 3 < without * 2, "{with} bytes with places, {without} without");
}

#[test]
fn a_single_part_is_not_copied() {
    let (_folder, copy) = empty_copy();
    put(&copy, 1, b"block");
    let block = copy.last_block().unwrap().unwrap();
    assert!(matches!(block.bytes(), std::borrow::Cow::Borrowed(b"block")));
}

#[test]
fn a_block_is_replaced_whole() {
    let (_folder, copy) = empty_copy();
    put(&copy, 1, &noise(1, 200_000));
    put(&copy, 1, b"short");
    assert_block(&copy, 9, 1, b"short");
    put(&copy, 1, &noise(2, 100_000));
    assert_block(&copy, 9, 1, &noise(2, 100_000));
    assert_eq!(copy.first_positions().unwrap(), [position(1)]);
}

#[test]
fn parts_of_a_put_that_was_cut_off_are_no_block() {
    let (_folder, copy) = empty_copy();
    put(&copy, 1, b"whole");
    let log = &copy.handles.as_ref().unwrap().log;
    log.insert(block_key(position(7), 2), b"part two").unwrap();
    log.insert(block_key(position(7), 1), b"part one").unwrap();

    assert_block(&copy, 100, 1, b"whole");
    assert_eq!(copy.last_block().unwrap().unwrap().first(), position(1));
    assert_eq!(copy.first_positions().unwrap(), [position(1)]);
    put(&copy, 7, b"new");
    assert_block(&copy, 100, 7, b"new");
}

#[test]
fn a_block_without_a_middle_part_ends_before_the_gap() {
    let (_folder, copy) = empty_copy();
    let bytes = noise(1, 4 * MAX_VALUE_BYTES);
    put(&copy, 1, &bytes);
    copy.handles.as_ref().unwrap().log.remove(block_key(position(1), 2)).unwrap();
    assert_block(&copy, 1, 1, &bytes[..2 * MAX_VALUE_BYTES]);
}

#[test]
fn a_foreign_key_in_the_log_is_broken() {
    let (_folder, copy) = empty_copy();
    copy.handles.as_ref().unwrap().log.insert(b"odd", b"value").unwrap();
    assert!(matches!(copy.last_block(), Err(SledError::Broken(_))));
    assert!(matches!(copy.first_positions(), Err(SledError::Broken(_))));
}

#[test]
fn values_at_the_limit_never_leave_sleds_own_file() {
    let (_folder, copy) = empty_copy();
    for block in 0..60 {
        put(&copy, 1 + block, &noise(block, MAX_VALUE_BYTES));
    }
    for first in (0..60).rev().step_by(7) {
        put(&copy, 1 + first, &noise(first, 3 * MAX_VALUE_BYTES));
    }
    copy.sync().unwrap();
    assert!(!copy.has_external_values());
}

#[test]
fn readers_see_whole_blocks_while_they_are_written() {
    let (_folder, copy) = empty_copy();
    let copy = Arc::new(copy);
    let done = Arc::new(AtomicBool::new(false));
    put(&copy, 1, &noise(1, 70_000));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (copy, done) = (Arc::clone(&copy), Arc::clone(&done));
            thread::spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let block = copy.last_block().unwrap().unwrap();
                    let first = block.first().get();
                    assert!(first >= last, "the last block went from {last} back to {first}");
                    assert!(block.bytes() == noise(first, 70_000));
                    last = first;
                }
            })
        })
        .collect();
    for first in 2..150 {
        put(&copy, first, &noise(first, 70_000));
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn a_copy_that_is_open_already_is_a_storage_error() {
    let (folder, copy) = empty_copy();
    put(&copy, 1, b"block");
    let path = folder.path().join("sled");
    let second = SledCopy::open_at(&path).err().expect("the second open is refused");
    assert!(matches!(second, SledError::Storage(_)), "{second}");
    assert_block(&copy, 1, 1, b"block");
    drop(copy);
    assert_block(&SledCopy::open_at(&path).unwrap(), 1, 1, b"block");
}

#[test]
fn an_unfinished_snapshot_is_removed() {
    let (folder, copy) = empty_copy();
    put(&copy, 1, b"block");
    drop(copy);
    let path = folder.path().join("sled");
    fs::write(path.join("snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    assert_block(&SledCopy::open_at(&path).unwrap(), 1, 1, b"block");
}

#[test]
fn a_folder_that_was_emptied_opens_empty() {
    let (folder, copy) = empty_copy();
    put(&copy, 1, b"block");
    drop(copy);
    let path = folder.path().join("sled");
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(SledCopy::open_at(&path).unwrap().last_block().unwrap().is_none());
}

#[test]
fn noise_in_place_of_any_file_is_broken_or_a_copy_that_works() {
    for length in [0, 1, 100, 5 << 20] {
        for target in ["conf", "db", "snap.", "all"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sled");
            fill(&path);
            for entry in fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                let is_target =
                    target == "all" || entry.file_name().to_string_lossy().starts_with(target);
                if is_target && entry.file_type().unwrap().is_file() {
                    fs::write(entry.path(), noise(7, length)).unwrap();
                }
            }
            reopen_damaged(&path, &format!("{length} bytes of noise in {target}"));
        }
    }
}

#[test]
fn other_kinds_of_files_in_the_way_are_broken() {
    for name in ["", "db", "conf", "blobs"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sled");
        if name.is_empty() || name == "blobs" {
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            fs::write(path.join(name).components().as_path(), b"a file").unwrap();
        } else {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        let error = SledCopy::open_at(&path).err().expect("it does not open");
        assert!(matches!(error, SledError::Broken(_)), "{name}: {error}");
    }
}

#[test]
fn damage_anywhere_is_no_panic_and_set_aside_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    fill(&whole);
    let bytes = fs::metadata(whole.join("db")).unwrap().len();
    for trial in 0..24_u64 {
        let path = folder.path().join("sled");
        copy_folder(&whole, &path);
        let mut db = OpenOptions::new().write(true).open(path.join("db")).unwrap();
        let offset = bytes * trial / 24 + trial * 13;
        match trial % 3 {
            0 => db.set_len(offset).unwrap(),
            1 => write_at(&mut db, offset, &noise(trial, 4_096)),
            _ => write_at(&mut db, offset, &[0x55]),
        }
        drop(db);
        reopen_damaged(&path, &format!("trial {trial}"));
        fs::create_dir(folder.path().join("sled.unfinished")).unwrap();
        let copies = SledFolders::of(&RealDisk.folder(folder.path()).unwrap().unwrap());
        copies.put_in_place().unwrap();
        assert!(folder.path().join("sled.set-aside-1").exists());
        let fresh = SledCopy::open_at(&path).unwrap();
        put(&fresh, 1, b"fresh");
        assert_block(&fresh, 1, 1, b"fresh");
        drop(fresh);
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn set_aside_counts_up_and_keeps_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sled");
    fs::create_dir(folder.path().join("sled.set-aside-me")).unwrap();
    let copies = SledFolders::of(&RealDisk.folder(folder.path()).unwrap().unwrap());
    fs::create_dir(&path).unwrap();
    for round in 1..=12 {
        fs::write(path.join("round"), round.to_string()).unwrap();
        fs::create_dir(folder.path().join("sled.unfinished")).unwrap();
        copies.put_in_place().unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        let aside = folder.path().join(format!("sled.set-aside-{round}"));
        assert_eq!(fs::read_to_string(aside.join("round")).unwrap(), round.to_string());
        // And the folder that only looks like one, and the one in use.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), round + 2);
    }
    assert!(copies.put_in_place().is_err(), "there is nothing to put in its place");
}

fn fill(path: &Path) {
    let copy = SledCopy::open_at(path).unwrap();
    for block in 0..200 {
        put(&copy, 1 + block, &noise(block, 20_000));
    }
    copy.sync().unwrap();
}

/// Opens a damaged copy and does everything with it: errors are fine, panics and hangs are not.
fn reopen_damaged(path: &Path, what: &str) {
    let check = |error: &SledError| {
        assert!(matches!(error, SledError::Broken(_)), "{what}: {error}");
    };
    let copy = match SledCopy::open_at(path) {
        Ok(copy) => copy,
        Err(error) => return check(&error),
    };
    let mut errors = Vec::new();
    for first in 0..=201 {
        match copy.block_at_or_before(position(first)) {
            Ok(Some(block)) if block.first().get() == first => {
                assert!(block.bytes() == noise(first - 1, 20_000), "{what}: block {first}");
            }
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    errors.extend(copy.first_positions().err());
    errors.extend(copy.put_block(position(1_000), b"more").err());
    errors.extend(copy.sync().err());
    errors.iter().for_each(check);
}

fn write_at(file: &mut fs::File, offset: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
