//! Parts of stores, put together as no store has written them.

mod foreign;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use spacefold_event_core::{
    AppendRequest, EventId, LogReader, LogWriter, Position, ReadRequest, RecordedEvent, SpaceEvent,
    Timestamp,
};
use tempfile::TempDir;

use crate::{EmbeddedLog, OpenError, StoreOptions, StorePart, VerifyOptions, verify};

/// How a store is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Closed,
    Killed,
}

/// Whose part one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    Older,
    Sibling,
    Other,
    Missing,
}

use Whose::{Missing, Older, Other, Own, Sibling};

const PARTS: [&str; 4] = ["HEAD", "journal", "sealed", "sled"];

/// A store, and what its parts may be exchanged with: it and its sibling are copies of the older one
/// that went on apart, with equal ids.
struct Shelf {
    folder: TempDir,
    has_sealed: bool,
}

/// How many events are appended at a time.
const GROUP: u64 = 128;

/// Appends events whose ids and times depend on their positions alone, and their content on `word`.
fn append(log: &EmbeddedLog, count: u64, word: &str) {
    let mut done = 0;
    while done < count {
        let group = GROUP.min(count - done);
        let first = log.head().get() + 1;
        let times: Vec<Timestamp> = (first..first + group)
            .map(|n| Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(n).unwrap()))
            .map(Option::unwrap)
            .collect();
        let events: Vec<SpaceEvent> = (first..first + group)
            .zip(&times)
            .map(|(n, time)| {
                let mut id = [7; 16];
                id[8..].copy_from_slice(&n.to_be_bytes());
                let text = format!("{word}-{n}-{}", "x".repeat(usize::try_from(n % 90).unwrap()));
                SpaceEvent::variable_set(format!("space-{}", n % 3), "v", text)
                    .with_event_id(EventId::from_bytes(id))
                    .with_timestamp(*time)
            })
            .collect();
        log.append(&AppendRequest::new(&events).recorded_at(&times)).unwrap();
        done += group;
    }
}

fn open(path: &Path) -> Result<EmbeddedLog, OpenError> {
    let options = StoreOptions::default().journal_file_bytes(0).reserve_bytes(0);
    EmbeddedLog::open_with(path, &options)
}

fn everything(log: &EmbeddedLog) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    for page in log.pages(ReadRequest::from(Position::new(1))) {
        events.extend(page.unwrap().events().map(|event| event.unwrap().to_owned_event()));
    }
    events
}

/// Copies a store that may be open.
fn copy(from: &Path, to: &Path) {
    while let Err(error) = try_to_copy(from, to) {
        // It has been renamed or removed since.
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        remove(to);
    }
}

fn try_to_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if fs::metadata(from)?.is_dir() {
        fs::create_dir_all(to)?;
        // HEAD, journal, sealed, sled: in the order in which events move, since that goes on.
        let entries: BTreeMap<_, _> = fs::read_dir(from)?
            .map(Result::unwrap)
            .map(|entry| (entry.file_name(), entry.path()))
            .collect();
        // What has not its name yet may get it meanwhile.
        let mut named =
            entries.iter().filter(|(name, _)| !name.to_string_lossy().ends_with("unfinished"));
        named.try_for_each(|(name, path)| try_to_copy(path, &to.join(name)))
    } else {
        fs::copy(from, to).map(|_| ())
    }
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
}

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

impl Shelf {
    fn new(left: Left, has_sealed: bool) -> Self {
        let shelf = Self { folder: tempfile::tempdir().unwrap(), has_sealed };
        let [base, own, sibling] = ["base", "Own", "Sibling"].map(|name| shelf.path(name));
        let count = if has_sealed { 30_000 } else { 1_500 };
        let session = |path: &Path, count: u64, word: &str, left: Left, to: &Path| {
            let log = open(path).unwrap();
            let begin = log.head();
            append(&log, count, word);
            match left {
                Left::Closed => log.close().unwrap(),
                // What knows of the session beside HEAD and journal are its blocks.
                Left::Killed => {
                    while count >= 1_024 && log.shared().view().index.end() <= begin {
                        std::thread::yield_now();
                    }
                }
            }
            copy(path, to);
        };
        session(&base, count, "base", Left::Closed, &shelf.path("begin"));
        session(&base, 300, "base", left, &shelf.path("Older"));
        for (path, word) in [(&own, "own"), (&sibling, "sibling")] {
            let work = shelf.path(&format!("{word}-work"));
            copy(&shelf.path("Older"), &work);
            session(&work, count, word, left, path);
        }
        let other = shelf.path("other-work");
        session(&other, count, "own", left, &shelf.path("Other"));
        shelf
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The events of a store as a whole.
    fn events(&self, from: Whose) -> Vec<RecordedEvent> {
        let whole = self.path("whole");
        remove(&whole);
        copy(&self.path(&format!("{from:?}")), &whole);
        let log = open(&whole).unwrap();
        let events = everything(&log);
        log.close().unwrap();
        events
    }

    fn exchange(&self, store: &Path, parts: [Whose; 4]) {
        for (name, from) in PARTS.iter().zip(parts) {
            let place = store.join(name);
            remove(&place);
            if from != Missing {
                copy(&self.path(&format!("{from:?}")).join(name), &place);
            }
        }
    }

    /// Whether a store of these parts may be taken for a whole one of another time or copy: nothing
    /// of it knows better.
    fn is_whole(&self, parts: [Whose; 4]) -> Option<Whose> {
        let [head, journal, sealed, sled] = parts;
        let is_one = head == journal && (sealed == head || !self.has_sealed && sealed != Missing);
        let fits = match head {
            Older => matches!(sled, Older | Other | Missing),
            Sibling => matches!(sled, Sibling | Older | Other | Missing),
            Other => true,
            Own | Missing => false,
        };
        // An older HEAD is the sibling's too, and mended from its journal.
        let is_mended =
            head == Older && journal == Sibling && !self.has_sealed && sled != Whose::Own;
        let whole = if is_mended { Sibling } else { head };
        (is_one && fits || is_mended).then_some(whole)
    }

    /// Opens and verifies a store of these parts; what it may not do is answered.
    fn violation(
        &self,
        parts: [Whose; 4],
        events: &BTreeMap<String, Vec<RecordedEvent>>,
    ) -> Option<String> {
        let store = self.path("store");
        remove(&store);
        copy(&self.path("Own"), &store);
        self.exchange(&store, parts);
        let own = &events["Own"];
        let before = contents(&store);
        match open(&store) {
            Err(error) => {
                if contents(&store) != before {
                    let after = contents(&store);
                    let differs =
                        before.iter().find(|(path, bytes)| after.get(*path) != Some(bytes));
                    let differs = differs.map(|(path, _)| path.display().to_string());
                    let new = after.keys().find(|path| !before.contains_key(*path));
                    return Some(format!("refused with {error}, and changed {differs:?} {new:?}"));
                }
                if matches!(error, OpenError::Storage(_)) {
                    return Some(format!("no part is named: {error}"));
                }
                self.exchange(&store, [Own; 4]);
                match open(&store) {
                    Ok(log) if everything(&log) == *own => None,
                    Ok(_) => Some("put together again, it has other events".to_owned()),
                    Err(error) => Some(format!("put together again, it is refused: {error}")),
                }
            }
            Ok(log) => {
                let found = everything(&log);
                log.close().unwrap();
                let whole = self.is_whole(parts).map(|from| &events[&format!("{from:?}")]);
                match found != *own && whole != Some(&found) {
                    true => Some(format!("{} events, which it never had", found.len())),
                    false => None,
                }
            }
        }
    }

    fn check(&self, subsets: impl IntoIterator<Item = [Whose; 4]>) {
        let mut events = BTreeMap::new();
        for from in [Own, Older, Sibling, Other] {
            events.insert(format!("{from:?}"), self.events(from));
        }
        let mut violations = Vec::new();
        let mut count = 0;
        for parts in subsets {
            count += 1;
            if let Some(violation) = self.violation(parts, &events) {
                violations.push(format!("{parts:?}: {violation}"));
            }
        }
        assert!(
            violations.is_empty(),
            "{} of {count}:\n{}",
            violations.len(),
            violations.join("\n")
        );
    }
}

/// Every way to exchange at most so many parts.
fn subsets(max: usize, of: &[Whose]) -> Vec<[Whose; 4]> {
    let mut found = Vec::new();
    let choices: Vec<Whose> = std::iter::once(Own).chain(of.iter().copied()).collect();
    for n in 0..choices.len().pow(4) {
        let place = |part: u32| choices[n / choices.len().pow(part) % choices.len()];
        let parts = [place(0), place(1), place(2), place(3)];
        if parts.iter().filter(|from| **from != Own).count() <= max {
            found.push(parts);
        }
    }
    found
}

#[test]
fn parts_of_a_closed_store_that_do_not_fit_are_refused_or_mended() {
    let shelf = Shelf::new(Left::Closed, false);
    shelf.check(subsets(2, &[Older, Sibling, Other, Missing]));
    shelf.check(subsets(3, &[Older, Sibling]));
}

#[test]
fn parts_of_a_killed_store_that_do_not_fit_are_refused_or_mended() {
    let shelf = Shelf::new(Left::Killed, false);
    shelf.check(subsets(2, &[Older, Sibling, Other, Missing]));
    shelf.check(subsets(3, &[Older, Sibling]));
}

#[test]
fn parts_of_stores_with_segments_that_do_not_fit_are_refused_or_mended() {
    for left in [Left::Closed, Left::Killed] {
        let shelf = Shelf::new(left, true);
        let sealed = fs::read_dir(shelf.path("Own").join("sealed")).unwrap().count();
        assert!(sealed > 1, "{sealed} segments");
        shelf.check(subsets(1, &[Older, Sibling, Other, Missing]));
        shelf.check(subsets(3, &[Older, Sibling]));
    }
}

#[test]
fn slots_of_head_that_do_not_fit_are_refused_or_mended() {
    for left in [Left::Closed, Left::Killed] {
        let shelf = Shelf::new(left, false);
        let own = shelf.events(Own);
        for from in [Older, Sibling, Other] {
            for slot in [0, 4_096] {
                let store = shelf.path("store");
                remove(&store);
                copy(&shelf.path("Own"), &store);
                let mut head = fs::read(store.join("HEAD")).unwrap();
                let exchanged = fs::read(shelf.path(&format!("{from:?}")).join("HEAD")).unwrap();
                head[slot..slot + 512].copy_from_slice(&exchanged[slot..slot + 512]);
                fs::write(store.join("HEAD"), head).unwrap();
                let before = contents(&store);
                match open(&store) {
                    Ok(log) => assert_eq!(everything(&log), own, "{left:?} {from:?} {slot}"),
                    Err(OpenError::PartsDiffer { .. }) => assert_eq!(contents(&store), before),
                    Err(error) => panic!("{left:?} {from:?} {slot}: {error}"),
                }
            }
        }
    }
}

#[test]
fn an_older_head_is_mended_from_the_journal() {
    for left in [Left::Closed, Left::Killed] {
        let shelf = Shelf::new(left, false);
        let own = shelf.events(Own);
        for parts in [[Older, Own, Own, Own], [Older, Own, Own, Older], [Older, Own, Own, Missing]]
        {
            let store = shelf.path("store");
            remove(&store);
            copy(&shelf.path("Own"), &store);
            shelf.exchange(&store, parts);
            let looked_at = shelf.path("looked-at");
            remove(&looked_at);
            copy(&store, &looked_at);
            let report = verify(&looked_at, VerifyOptions::default()).unwrap();
            assert!(report.problems.iter().any(|problem| problem.kind == "head"), "{report:?}");
            let log = open(&store).unwrap();
            assert_eq!(everything(&log), own, "{left:?} {parts:?}");
            assert!(log.info().healed > 0);
            // What was written since that HEAD may need it.
            assert_eq!(log.info().format_version, 2);
            append(&log, 100, "more");
            log.close().unwrap();
            let report = verify(&store, VerifyOptions::default()).unwrap();
            assert!(report.problems.is_empty(), "{report:?}");
            let log = open(&store).unwrap();
            let events = everything(&log);
            assert_eq!((events.len(), &events[..own.len()]), (own.len() + 100, &own[..]));
        }
    }
}

#[test]
fn an_older_head_of_a_store_that_was_killed_twice_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let [work, first, second] = ["work", "first", "second"].map(|name| folder.path().join(name));
    let log = open(&work).unwrap();
    append(&log, 100, "own");
    copy(&work, &first);
    log.close().unwrap();
    copy(&first, &second);
    let log = open(&second).unwrap();
    append(&log, 400, "own");
    let killed = folder.path().join("killed");
    copy(&second, &killed);
    let own = everything(&log);
    log.close().unwrap();
    fs::copy(first.join("HEAD"), killed.join("HEAD")).unwrap();
    let log = open(&killed).unwrap();
    assert_eq!(everything(&log), own);
}

#[test]
fn verify_names_the_part_that_does_not_fit() {
    let shelf = Shelf::new(Left::Closed, false);
    for (parts, kind) in [
        ([Own, Sibling, Own, Own], "journal"),
        ([Own, Own, Own, Sibling], "sled"),
        ([Own, Older, Own, Own], "journal"),
        ([Older, Older, Own, Own], "head"),
    ] {
        let store = shelf.path("store");
        remove(&store);
        copy(&shelf.path("Own"), &store);
        shelf.exchange(&store, parts);
        let report = verify(&store, VerifyOptions::default()).unwrap();
        let kinds: Vec<&str> = report.problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, [kind], "{parts:?}: {report:?}");
    }
}

#[test]
fn a_copy_that_is_of_a_later_time_than_the_rest_is_not_ignored() {
    let shelf = Shelf::new(Left::Closed, false);
    let store = shelf.path("store");
    copy(&shelf.path("Own"), &store);
    shelf.exchange(&store, [Older, Older, Own, Own]);
    let refused = open(&store).unwrap_err();
    assert!(
        matches!(&refused, OpenError::PartsDiffer { part: StorePart::Head, .. }),
        "{refused:?}"
    );
}

#[test]
fn a_copy_that_does_not_say_whose_it_is_is_compared_event_by_event() {
    let shelf = Shelf::new(Left::Closed, false);
    let own = shelf.events(Own);
    let store = shelf.path("store");
    copy(&shelf.path("Own"), &store);
    let lineage = store.join("sled/lineage");
    remove(&lineage);
    let log = open(&store).unwrap();
    assert_eq!((everything(&log), log.info().healed), (own.clone(), 0));
    assert!(lineage.exists(), "it has been seen whose it is");
    log.close().unwrap();
    // The sibling's blocks have the ids that are expected, and other events.
    shelf.exchange(&store, [Own, Own, Own, Sibling]);
    remove(&lineage);
    let log = open(&store).unwrap();
    assert_eq!((everything(&log), log.info().healed), (own, 1));
}

#[test]
fn a_copy_that_does_not_say_whose_it_is_is_not_changed_by_a_refusal() {
    for has_sealed in [false, true] {
        let shelf = Shelf::new(Left::Closed, has_sealed);
        for sled in [Own, Sibling] {
            let store = shelf.path("store");
            remove(&store);
            copy(&shelf.path("Older"), &store);
            shelf.exchange(&store, [Older, Older, Older, sled]);
            remove(&store.join("sled/lineage"));
            let before = contents(&store);
            for _ in 0..2 {
                let refused = open(&store).unwrap_err();
                assert!(matches!(refused, OpenError::JournalDamaged { .. }), "{refused:?}");
                let after = contents(&store);
                let changed = before.iter().find(|(path, bytes)| after.get(*path) != Some(bytes));
                assert_eq!(changed.map(|(path, _)| path), None, "{sled:?}");
                assert_eq!(after.len(), before.len(), "{sled:?}");
            }
        }
    }
}

#[test]
fn what_was_set_aside_stays_and_a_copy_is_made_before_the_old_one_goes() {
    let shelf = Shelf::new(Left::Closed, false);
    let store = shelf.path("store");
    copy(&shelf.path("Own"), &store);
    let aside = |n: u32| store.join(format!("sled.set-aside-{n}"));
    for round in 1..4 {
        fs::write(store.join("sled/db"), vec![round; 100_000]).unwrap();
        let log = open(&store).unwrap();
        assert_eq!(everything(&log).len(), shelf.events(Own).len());
        log.close().unwrap();
        for kept in 1..=u32::from(round) {
            assert!(aside(kept).join("conf").exists(), "{kept} of {round}");
        }
    }
    assert!(!store.join("sled.unfinished").exists());
}
