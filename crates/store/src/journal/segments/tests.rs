use std::{fs, path::Path, sync::Arc};

use spacefold_disk::SimDisk;
use spacefold_event_core::{AppendRequest, LogWriter as _, SpaceEvent};

use super::*;
use crate::{
    EmbeddedLog, StoreOptions, environment::Environment, head_file::HeadFile,
    log_copy::memory::MemoryCopies,
};

/// As many events as some blocks have, with texts that cannot be packed.
fn append_blocks(log: &EmbeddedLog, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..4 {
        let text = || std::iter::repeat_with(|| rng.alphanumeric()).take(200).collect::<String>();
        let texts: Vec<String> = std::iter::repeat_with(text).take(400).collect();
        let event = |text: &String| SpaceEvent::variable_set("space", "v", text.clone());
        let events: Vec<SpaceEvent> = texts.iter().map(event).collect();
        log.append(&AppendRequest::new(&events)).unwrap();
    }
}

/// A store with some segments, closed.
fn sealed_store(path: &Path) -> StoreFolder {
    let options = StoreOptions::default().journal_file_bytes(128 << 10);
    for seed in 0.. {
        if fs::read_dir(path.join("sealed")).map_or(0, Iterator::count) > 3 {
            break;
        }
        let log = EmbeddedLog::open_with(path, &options).unwrap();
        append_blocks(&log, seed);
        log.close().unwrap();
    }
    StoreFolder::at(path)
}

#[test]
fn what_is_noted_of_a_segment_counts_until_its_file_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = sealed_store(&path);
    let store_id = HeadFile::open(&store).unwrap().head().store_id;
    let read = Segments::open(&store, store_id).unwrap();
    let noted = read.unnoted().iter().map(|noted| (noted.ends.first_position, *noted));
    let mut noted: NotedSegments = noted.collect();
    assert!(noted.len() > 3, "{noted:?}");
    let open = |noted: &NotedSegments| Segments::open_noted(&store, store_id, noted);
    let opened = open(&noted).unwrap();
    assert_eq!((opened.end(), opened.unnoted()), (read.end(), &[][..]));
    for (first, segment) in &noted {
        assert_eq!(NotedSegment::decode(*first, &segment.encode()), Some(*segment));
        let file = store.segment_path(*first);
        let bytes = fs::read(&file).unwrap();
        // The same bytes in another file are read, and nothing else.
        let copy = path.join("copy");
        fs::write(&copy, &bytes).unwrap();
        fs::rename(&copy, &file).unwrap();
        let opened = open(&noted).unwrap();
        assert_eq!(opened.end(), read.end());
        let unnoted: Vec<SegmentEnds> = opened.unnoted().iter().map(|noted| noted.ends).collect();
        assert!(unnoted.contains(&segment.ends));
        // So are other bytes, of another length or of the same.
        for damaged in [&bytes[..bytes.len() - 1], &[&[0; 80], &bytes[80..]].concat()] {
            fs::write(&copy, damaged).unwrap();
            fs::rename(&copy, &file).unwrap();
            let error = open(&noted).unwrap_err();
            assert!(matches!(error, OpenError::JournalDamaged { .. }), "{error}");
        }
        fs::remove_file(&file).unwrap();
        let is_last = Some(first) == noted.keys().next_back();
        // HEAD knows where the last one ends.
        assert_eq!(open(&noted).is_ok_and(|opened| opened.end() < read.end()), is_last);
        fs::write(&file, &bytes).unwrap();
    }
    // What is noted of a file that is as it was is not asked of it.
    noted = open(&NotedSegments::new())
        .unwrap()
        .unnoted()
        .iter()
        .map(|it| (it.ends.first_position, *it))
        .collect();
    if let Some(mut last) = noted.last_entry() {
        last.get_mut().ends.last_hash = [1; 32];
    }
    assert_eq!(open(&noted).unwrap().last_hash(), [1; 32]);
}

/// Calls of the disk that opening makes, and how many segments there are.
fn opening(disk: &SimDisk, open: &dyn Fn() -> EmbeddedLog) -> (u64, u64) {
    let before = disk.calls();
    let log = open();
    let calls = disk.calls() - before;
    let segments = log.shared().folder.segment_firsts().unwrap().len();
    log.close().unwrap();
    (calls, to_u64(segments))
}

#[test]
fn opening_looks_at_segments_and_reads_the_newest_alone() {
    let disk = SimDisk::default();
    let copies = Arc::new(MemoryCopies::default());
    let environment = Environment::stepped(Arc::new(disk.clone()), copies);
    let options = StoreOptions::default().reserve_bytes(0).journal_file_bytes(128 << 10);
    let open = || EmbeddedLog::open_in(&environment, Path::new("/store"), &options).unwrap();
    let (mut first, mut last) = (None, (0, 0));
    for seed in 0.. {
        let log = open();
        append_blocks(&log, seed);
        log.step(true);
        log.close().unwrap();
        last = opening(&disk, &open);
        if last.1 >= 8 && first.is_none() {
            first = Some(last);
        }
        if last.1 >= 64 {
            break;
        }
    }
    let first = first.unwrap();
    let more = last.1 - first.1;
    // Some more runs of the indexes, a look at each segment, and nothing else.
    assert!(last.0 <= first.0 + more + 80, "{first:?} {last:?}");
}
