//! The store through the facade: importing again, and losing sled's copy.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::Value;
use spacefold::{
    Position, SpaceEvent, Spacefold,
    admin::{OnDamage, VerifyDepth, VerifyOptions, verify},
};

use crate::support::{Contents, REFERENCE, SAMPLE_EVENTS, cli, import_sample, run};

#[test]
fn an_import_that_is_repeated_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    import_sample(&spaces);
    let report = import_sample(&spaces);
    assert_eq!((report.read, report.appended), (SAMPLE_EVENTS, 0));
    assert_eq!(report.already_present, SAMPLE_EVENTS);
    assert_eq!(report.head, Position::new(SAMPLE_EVENTS));
    Contents::of(&spaces).assert_is(&REFERENCE);
    spaces.close().unwrap();

    let spaces = Spacefold::open_existing(&store).unwrap();
    assert_eq!(import_sample(&spaces).appended, 0);
    Contents::of(&spaces).assert_is(&REFERENCE);
}

#[test]
fn a_store_in_memory_takes_in_what_one_on_disk_does() {
    let spaces = Spacefold::in_memory().unwrap();
    import_sample(&spaces);
    Contents::of(&spaces).assert_is(&REFERENCE);
    let again = import_sample(&spaces);
    assert_eq!((again.appended, again.already_present), (0, SAMPLE_EVENTS));
    spaces.close().unwrap();
}

#[test]
fn info_names_the_log_and_its_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let info = |name: &str| -> Value {
        let store = folder.path().join(name);
        serde_json::from_str(&run(cli(&store).args(["info", "--json"])).succeeded()).unwrap()
    };
    let create = |name: &str| Spacefold::open(folder.path().join(name)).unwrap().close().unwrap();
    ["first", "second"].into_iter().for_each(create);
    let (first, second) = (info("first"), info("second"));
    assert_eq!(first["format_version"], 1);
    assert_eq!((&first["log_id"], &first["fork"]), (&first["store_id"], &Value::Null));
    assert_eq!(info("first")["timeline"], first["timeline"]);
    let timelines = [&first["store_id"], &first["timeline"], &second["timeline"]];
    assert_eq!(
        timelines.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(),
        3,
        "{timelines:?}"
    );
    let shown = run(cli(&folder.path().join("first")).arg("info")).succeeded();
    assert!(shown.contains(first["timeline"].as_str().unwrap()), "{shown}");
}

#[test]
fn a_store_opens_again_while_children_are_started() {
    // A child that was just forked holds whatever its parent had locked, until it is replaced.
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    Command::new("true").status().unwrap();
                }
            });
        }
        let outcomes = (1..=30_u64)
            .map(|position| {
                let spaces = Spacefold::open(&store).map_err(|error| error.to_string())?;
                let event = SpaceEvent::variable_set("a", "n", position);
                let receipt = spaces.append([event]).map_err(|error| error.to_string())?;
                spaces.close().map_err(|error| error.to_string())?;
                Ok(receipt.last_position().get())
            })
            .collect::<Vec<Result<u64, String>>>();
        done.store(true, Ordering::Release);
        assert_eq!(outcomes, (1..=30).map(Ok).collect::<Vec<_>>());
    });
}

/// Makes a store of the sample, does something to sled's folder, and sees that nobody notices.
#[track_caller]
fn survives(harm: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    import_sample(&spaces);
    spaces.close().unwrap();
    drop(spaces);
    assert!(store.join("sled").is_dir());
    harm(&store.join("sled"));
    let spaces = Spacefold::open_existing(&store).unwrap();
    Contents::of(&spaces).assert_is(&REFERENCE);
    // It goes on as ever: appends, a clean close, another opening.
    let event = SpaceEvent::space_archived("book-src");
    let receipt = spaces.append([event]).unwrap();
    assert_eq!(receipt.last_position(), Position::new(SAMPLE_EVENTS + 1));
    spaces.close().unwrap();
    drop(spaces);
    let options = VerifyOptions { depth: VerifyDepth::Full, damage: OnDamage::Report };
    let report = verify(&store, options).unwrap();
    assert!(report.is_ok(), "{:?}", report.problems);
    assert_eq!(report.events, SAMPLE_EVENTS + 1);
    let spaces = Spacefold::open_existing(&store).unwrap();
    assert_eq!(spaces.durable_head(), receipt.last_position());
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Bytes that mean nothing, the same every time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn sled_may_be_deleted() {
    survives(|sled| fs::remove_dir_all(sled).unwrap());
}

#[test]
fn sled_may_be_emptied() {
    survives(|sled| {
        fs::remove_dir_all(sled).unwrap();
        fs::create_dir(sled).unwrap();
    });
}

#[test]
fn sled_may_be_replaced_by_a_file() {
    survives(|sled| {
        fs::remove_dir_all(sled).unwrap();
        fs::write(sled, noise(5_000)).unwrap();
    });
}

#[test]
fn sled_may_be_filled_with_noise() {
    survives(|sled| {
        for file in files(sled) {
            let bytes = fs::metadata(&file).unwrap().len();
            fs::write(&file, noise(usize::try_from(bytes).unwrap())).unwrap();
        }
    });
}

#[test]
fn sled_may_be_noisy_here_and_there() {
    survives(|sled| {
        for file in files(sled) {
            let mut bytes = fs::read(&file).unwrap();
            for chunk in bytes.chunks_mut(20_000).skip(1) {
                chunk.iter_mut().take(64).for_each(|byte| *byte ^= 0x5a);
            }
            fs::write(&file, bytes).unwrap();
        }
    });
}

#[test]
fn sled_may_be_cut() {
    survives(|sled| {
        for file in files(sled) {
            let bytes = fs::metadata(&file).unwrap().len();
            let file = fs::OpenOptions::new().write(true).open(file).unwrap();
            file.set_len(bytes / 2).unwrap();
        }
    });
}

#[test]
fn sled_may_come_from_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("store");
    let spaces = Spacefold::open(&other).unwrap();
    // Another history under the same ids of spaces, and more of it.
    for round in 0..20_u64 {
        let events: Vec<SpaceEvent> = (0..2_000_u64)
            .map(|n| SpaceEvent::variable_set("book-src", "head", round * 2_000 + n))
            .collect();
        spaces.append(events).unwrap();
    }
    spaces.close().unwrap();
    drop(spaces);
    survives(|sled| {
        fs::remove_dir_all(sled).unwrap();
        fs::rename(other.join("sled"), sled).unwrap();
    });
}

#[test]
fn sled_may_be_older_than_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    import_sample(&spaces);
    spaces.close().unwrap();
    drop(spaces);
    let older = folder.path().join("older");
    let copied = Command::new("cp").arg("-r").args([store.join("sled"), older.clone()]).status();
    assert!(copied.unwrap().success());

    let spaces = Spacefold::open_existing(&store).unwrap();
    let events: Vec<SpaceEvent> =
        (0..4_000_u64).map(|n| SpaceEvent::variable_set("later", "n", n)).collect();
    spaces.append(events).unwrap();
    let expected = Contents::of(&spaces);
    spaces.close().unwrap();
    drop(spaces);
    fs::remove_dir_all(store.join("sled")).unwrap();
    fs::rename(older, store.join("sled")).unwrap();
    let spaces = Spacefold::open_existing(&store).unwrap();
    Contents::of(&spaces).assert_is(&expected);
}
