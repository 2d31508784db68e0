//! What a store says of itself: its format version, its log and its timeline.

use std::collections::BTreeMap;

use spacefold_disk::{
    Disk, SimDisk,
    sim::{Fault, Kept},
};
use spacefold_event_core::{EventOrigin, Object};

use super::*;
use crate::{
    OnDamage, VerifyOptions,
    head::{self, HEAD_FILE_BYTES, SLOT_BYTES, slot_offset, timeline},
    log_copy::memory::MemoryCopies,
    verify::verify_in,
};

/// A store on a simulated disk, whose sealer does nothing by itself.
struct Simulated {
    disk: SimDisk,
    copies: MemoryCopies,
}

impl Simulated {
    fn new() -> Self {
        Self { disk: SimDisk::default(), copies: MemoryCopies::default() }
    }

    fn open(&self) -> Result<EmbeddedLog, OpenError> {
        let environment =
            Environment::stepped(Arc::new(self.disk.clone()), Arc::new(self.copies.clone()));
        let options = StoreOptions::default().reserve_bytes(0);
        EmbeddedLog::open_in(&environment, Path::new("/store"), &options)
    }

    fn slots(&self) -> Vec<Option<FormatVersion>> {
        let folder = self.disk.folder(Path::new("/store")).unwrap().unwrap();
        let file = folder.open("HEAD", spacefold_disk::Access::Read).unwrap();
        head::slots(&file.read_all().unwrap())
    }
}

/// Events that the first version cannot hold, each for another reason.
fn newer(number: u64) -> [SpaceEvent; 1] {
    let plain = SpaceEvent::variable_set("space", "n", number);
    [match number % 3 {
        0 => plain.with_tags(["course:c1"]),
        1 => SpaceEvent::application("space", "com.example.noted", Object::new()).unwrap(),
        _ => plain.with_origin(EventOrigin {
            store_id: [1; 16],
            timeline: [2; 16],
            position: Position::new(number),
        }),
    }]
}

fn plain(number: u64) -> [SpaceEvent; 1] {
    [SpaceEvent::variable_set("space", "n", number)]
}

#[test]
fn the_first_append_that_needs_it_raises_the_version_of_both_slots_once() {
    let store = Simulated::new();
    let log = store.open().unwrap();
    let sequence = |log: &EmbeddedLog| log.shared().lock_head_file().head().sequence;
    log.append(&AppendRequest::new(&plain(1))).unwrap();
    // One that does not happen needs nothing.
    let refused = AppendCondition::no_space("space");
    let mixed = [newer(1), plain(2)].concat();
    log.append(&AppendRequest::new(&mixed).on(refused)).unwrap_err();
    assert_eq!(log.info().format_version, 1);
    assert_eq!(store.slots(), [Some(FormatVersion::First); 2]);
    let before = sequence(&log);

    log.append(&AppendRequest::new(&mixed)).unwrap();
    assert_eq!(log.info().format_version, 2);
    assert_eq!(store.slots(), [Some(FormatVersion::Second); 2]);
    assert_eq!(sequence(&log), before + 2);
    log.append(&AppendRequest::new(&newer(3))).unwrap();
    log.append(&AppendRequest::new(&plain(3))).unwrap();
    assert_eq!(sequence(&log), before + 2);
    log.close().unwrap();

    let log = store.open().unwrap();
    assert_eq!(log.info().format_version, 2);
    log.append(&AppendRequest::new(&newer(4))).unwrap();
    assert_eq!(store.slots(), [Some(FormatVersion::Second); 2]);
    log.close().unwrap();
}

#[test]
fn what_needs_a_version_is_in_no_journal_whose_head_does_not_say_so() {
    let calls = {
        let store = Simulated::new();
        let log = store.open().unwrap();
        log.append(&AppendRequest::new(&plain(1))).unwrap();
        let before = store.disk.calls();
        log.append(&AppendRequest::new(&newer(2))).unwrap();
        store.disk.calls() - before
    };
    // Both slots of HEAD, and the frame: each written and synced.
    assert!(calls >= 6, "{calls}");
    let mut has_stopped_before_any_frame = false;
    for (fault, kept) in Fault::ALL.into_iter().zip(Kept::ALL.into_iter().cycle()) {
        for call in 1..=calls {
            let event = newer(call);
            let store = Simulated::new();
            let log = store.open().unwrap();
            log.append(&AppendRequest::new(&plain(1))).unwrap();
            store.disk.fail_call(store.disk.calls() + call, fault);
            let appended = log.append(&AppendRequest::new(&event));
            let what = format!("{fault:?} at call {call}, {kept:?} kept: {appended:?}");
            let was_hit = appended.is_err();
            if let Err(AppendError::Refused { .. }) = &appended {
                has_stopped_before_any_frame = true;
                log.append(&AppendRequest::new(&plain(3))).unwrap_err();
            }
            drop(log);
            let mut rng = fastrand::Rng::with_seed(call);
            let left = Simulated { disk: store.disk.after_power_cut(kept, &mut rng), ..store };
            let slots = left.slots();
            let log = left.open().unwrap();
            let events = everything(&log);
            assert!(!events.is_empty(), "{what}");
            if events.len() > 1 {
                let is_said = |slot: &Option<FormatVersion>| *slot == Some(FormatVersion::Second);
                assert!(slots.iter().all(is_said), "{what}: {slots:?}");
            } else {
                assert!(was_hit, "{what}");
            }
        }
    }
    assert!(has_stopped_before_any_frame);
}

/// Every file of a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.append(&mut files(&path));
        } else {
            all.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    all
}

/// Has slots of HEAD say another version, intact.
fn set_version(store: &Path, slots: &[u64], version: u32) {
    let path = store.join("HEAD");
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), HEAD_FILE_BYTES);
    for slot in slots {
        let start = usize::try_from(slot_offset(*slot)).unwrap();
        let slot = &mut bytes[start..start + SLOT_BYTES];
        slot[8..12].copy_from_slice(&version.to_le_bytes());
        let (checked, crc) = slot.split_last_chunk_mut::<4>().unwrap();
        *crc = crc32c::crc32c(checked).to_le_bytes();
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_store_of_a_later_version_is_refused_by_name_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    append(&log, 5, 2);
    log.close().unwrap();
    for (slots, version) in [(&[0][..], 3), (&[1], 3), (&[0, 1], 3), (&[0, 1], u32::MAX)] {
        let store = folder.path().join(format!("{slots:?}-{version}"));
        image(&path, &store);
        set_version(&store, slots, version);
        let before = files(&store);
        let heal = VerifyOptions { damage: OnDamage::Heal, ..VerifyOptions::default() };
        let environment = Environment::of(&StoreOptions::default());
        let refused = [
            EmbeddedLog::open(&store).err(),
            EmbeddedLog::open_existing(&store).err(),
            verify(&store, VerifyOptions::default()).err(),
            verify_in(&environment, &store, heal, None).err(),
        ];
        for refused in refused {
            let refused = refused.unwrap();
            let OpenError::UnknownFormat { found, known, .. } = refused else {
                panic!("{slots:?}: {refused}")
            };
            assert_eq!((found, known), (version, 2));
        }
        assert_eq!(files(&store), before, "{slots:?}");
    }
    // What is known is not refused.
    set_version(&path, &[0, 1], 2);
    assert_eq!(EmbeddedLog::open(&path).unwrap().info().format_version, 2);
}

#[test]
fn a_store_keeps_its_log_id_and_its_timeline_and_shares_them_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    let own = log.identity();
    assert_eq!((own.log_id.to_bytes(), own.fork), (log.store_id(), None));
    assert_eq!(log.info().identity, own);
    assert_ne!(own, timeline::derived(log.store_id()));
    append(&log, 5, 2);
    let killed = folder.path().join("killed");
    image(&path, &killed);
    log.close().unwrap();
    for path in [&path, &killed, &path, &killed] {
        let log = EmbeddedLog::open(path).unwrap();
        assert_eq!(log.identity(), own);
        append(&log, 1, 1);
        log.close().unwrap();
    }
    let other = EmbeddedLog::open(folder.path().join("other")).unwrap();
    assert_ne!(other.identity().log_id, own.log_id);
    assert_ne!(other.identity().timeline, own.timeline);
}

#[test]
fn a_store_of_an_earlier_program_has_one_timeline_however_often_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let log = EmbeddedLog::open(&path).unwrap();
    append(&log, 5, 2);
    let store_id = log.store_id();
    log.close().unwrap();
    // Such a program writes no timeline.
    (0..2).for_each(|_| change_head(&path, |head| head.identity = timeline::derived(store_id)));
    let derived = timeline::derived(store_id);
    for _ in 0..3 {
        let log = EmbeddedLog::open(&path).unwrap();
        assert_eq!(log.identity(), derived);
        append(&log, 1, 1);
        log.close().unwrap();
    }
}
