//! A follower of a copy of a store, which the test writes over in place with what the owner has by then: so
//! that each state that is looked at is one that the test has chosen.

use std::path::Path;

use super::*;

/// Folders and files of a store that its journal does not need.
const NOT_COPIED: [&str; 4] = ["derived", "sled", "LOCK", "reserve"];

/// Copies the files of a store over those of another folder, in place, and removes there what is gone.
fn mirror(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let names = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.filter(|name| !NOT_COPIED.iter().any(|other| name == other)).collect()
    };
    let copied = names(from);
    for name in names(to).iter().filter(|name| !copied.contains(name)) {
        fs::remove_file(to.join(name)).unwrap();
    }
    for name in copied {
        let (from, to) = (from.join(&name), to.join(&name));
        match from.is_dir() {
            true => mirror(&from, &to),
            // Written over where it is there: whoever has it open reads what is new.
            false => fs::write(&to, fs::read(&from).unwrap()).unwrap(),
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_all(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn follow(path: &Path) -> Follower {
    Follower::open(path, &FollowerOptions::default()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort();
    files
}

/// As on another machine, which outlives a power cut of the owner's: frames that were read and are not
/// durable are gone then, and others are in their place.
#[test]
fn frames_of_an_earlier_incarnation_that_were_read_and_never_shown_do_not_count() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let log = EmbeddedLog::open(path("store")).unwrap();
    append(&log, 5, 10);
    log.close().unwrap();
    let within = Durability::Interval(Duration::from_secs(3_600));
    let options = StoreOptions::default().durability(within);
    let log = EmbeddedLog::open_with(path("store"), &options).unwrap();
    copy_all(&path("store"), &path("left"));
    for _ in 0..4 {
        append(&log, 1, 10);
    }
    mirror(&path("store"), &path("beside"));
    fs::write(path("beside").join("LOCK"), "").unwrap();
    let folder = RealDisk.folder(&path("beside")).unwrap().unwrap();
    let held = spacefold_disk::FolderLock::take(&folder, "LOCK").unwrap();
    let follower = follow(&path("beside"));
    assert_eq!(follower.refresh().unwrap(), Position::new(5));
    log.close().unwrap();

    // The power was cut before those four were synced.
    let log = EmbeddedLog::open(path("left")).unwrap();
    append(&log, 3, 20);
    mirror(&path("left"), &path("beside"));
    assert_eq!(follower.owner().unwrap().unwrap().pid, Some(std::process::id()));
    assert_eq!(follower.refresh().unwrap(), Position::new(8));
    assert_eq!(read(&follower, EventFilter::all()), read(&log, EventFilter::all()));
    drop(held);
}

#[test]
fn segments_that_are_known_are_not_read_again_for_new_ones() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, beside) = (scratch.path().join("store"), scratch.path().join("beside"));
    let options = StoreOptions::default().journal_file_bytes(128 << 10).reserve_bytes(0);
    let segments = || files(&store.join("sealed"));
    let mut rng = fastrand::Rng::with_seed(7);
    let mut grow = |count: usize| {
        let log = EmbeddedLog::open_with(&store, &options).unwrap();
        while segments().len() < count {
            append(&log, rng.usize(1..400), rng.usize(0..200));
        }
        log.close().unwrap();
        mirror(&store, &beside);
    };
    grow(2);
    // Without an index of the owner's it makes one, of all of them.
    let follower = follow(&beside);
    let known = segments();
    for more in 1..4 {
        grow(known.len() + more);
        for segment in &known {
            let segment = beside.join("sealed").join(segment.file_name().unwrap());
            let mut bytes = fs::read(&segment).unwrap();
            // All of its blocks but for what the file says of them at its end.
            let blocks = bytes.len() / 2;
            bytes[64..blocks].fill(0xAA);
            fs::write(&segment, bytes).unwrap();
        }
        let log = EmbeddedLog::open_with(&store, &options).unwrap();
        assert_eq!(follower.refresh().unwrap(), log.durable_head());
        assert_eq!(follower.spaces().unwrap(), log.spaces().unwrap());
        let next = log.durable_head().next();
        let from = ReadRequest::from(Position::new(next.get() - 300));
        let ids = |log: &dyn LogReader| {
            let page = log.read(&from).unwrap();
            page.envelopes().map(|event| event.event_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&follower), ids(&log));
        log.close().unwrap();
    }
}

/// A file that is used again is overwritten in more than one step: whatever of it is of which use, nothing
/// is shown that is not in the log, and all of it is once it is there.
#[test]
fn a_file_of_two_uses_shows_nothing_that_is_not_in_the_log() {
    let scratch = tempfile::tempdir().unwrap();
    let (store, beside) = (scratch.path().join("store"), scratch.path().join("beside"));
    let options = StoreOptions::default().journal_file_bytes(128 << 10).reserve_bytes(0);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut shown: Vec<EventId> = Vec::new();
    let mut followed: Option<Follower> = None;
    let mut mixed = 0;
    for _ in 0..12 {
        let log = EmbeddedLog::open_with(&store, &options).unwrap();
        for _ in 0..rng.usize(1..12) {
            append(&log, rng.usize(1..200), rng.usize(0..200));
        }
        let all = read(&log, EventFilter::all());
        log.close().unwrap();
        if let Some(follower) = &followed {
            for file in files(&store.join("journal")) {
                let mirrored = beside.join("journal").join(file.file_name().unwrap());
                let (new, Ok(old)) = (fs::read(&file).unwrap(), fs::read(&mirrored)) else {
                    continue;
                };
                let header = 4_096.min(new.len()).min(old.len());
                let is_used_again = new[..header] != old[..header];
                mixed += u32::from(is_used_again);
                for mixture in [[&new[..header], &old[header..]], [&old[..header], &new[header..]]]
                {
                    fs::write(&mirrored, mixture.concat()).unwrap();
                    // That it stays so may be told as damage.
                    let _ = follower.refresh();
                    let found = read(follower, EventFilter::all());
                    assert!(found.starts_with(&shown) && all.starts_with(&found));
                    shown = found;
                }
            }
        }
        mirror(&store, &beside);
        let follower = followed.get_or_insert_with(|| follow(&beside));
        assert_eq!(follower.refresh().unwrap().get(), all.len() as u64);
        shown = read(follower, EventFilter::all());
        assert_eq!(shown, all);
    }
    assert!(mixed > 0, "no file was used again");
}
