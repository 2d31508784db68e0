//! What is taken out of folders in all conditions, against what was put into them.

mod forked;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use spacefold_event_core::{
    AppendRequest, ContentStore as _, EventId, EventOrigin, LogReader as _, LogWriter as _,
    Position, ReadRequest, RecordedEvent, SpaceEvent, Timestamp,
};
use spacefold_store::{
    EmbeddedLog, ForkOptions, RemakeError, SalvageOptions, SalvageReport, StoreOptions,
    VerifyOptions,
};

use super::{SalvagedStore, fork, repair, salvage};
use crate::{contents, options::Options, spacefold::Spacefold};

/// Numbers that are the same for one seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A text that cannot be made smaller.
    fn text(&mut self, bytes: usize) -> String {
        let letter = |random: u64| char::from(b' ' + u8::try_from(random % 94).unwrap());
        (0..bytes).map(|_| letter(self.next())).collect()
    }
}

fn seed() -> u64 {
    let seed = u64::try_from(Timestamp::now().as_micros()).unwrap();
    println!("seed {seed}");
    seed
}

fn small_files() -> StoreOptions {
    StoreOptions::default().journal_file_bytes(128 << 10)
}

/// An append of some events of a few spaces, with tags, sources and times of their own.
fn events(random: &mut Random, bytes: usize) -> Vec<SpaceEvent> {
    let count = 1 + random.below(5);
    let event = |random: &mut Random| {
        let space = format!("space-{}", random.below(7));
        let bytes = 1 + usize::try_from(random.below(2 * u64::try_from(bytes).unwrap())).unwrap();
        let event = SpaceEvent::variable_set(space, "v", random.text(bytes));
        match random.below(4) {
            0 => event.with_tags(["course:c1", "x"]),
            1 => event.with_source("editor"),
            2 => event.with_timestamp(Timestamp::from_micros(1_000_000).unwrap()),
            _ => event,
        }
    };
    (0..count).map(|_| event(random)).collect()
}

fn append(log: &EmbeddedLog, events: &[SpaceEvent]) {
    log.append(&AppendRequest::new(events)).unwrap();
}

fn all(log: &EmbeddedLog) -> Vec<RecordedEvent> {
    let pages = log.pages(ReadRequest::from(Position::new(1)));
    let mut all = Vec::new();
    for page in pages {
        all.extend(page.unwrap().events().map(|event| event.unwrap().to_owned_event()));
    }
    all
}

/// Copies a folder file by file, as `cp -r` does.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), &target) {
            // It went before it could be opened.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Ends a thread when it goes, however that comes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Salvaged {
    report: SalvageReport,
    events: Vec<RecordedEvent>,
}

/// Salvages into a folder, holds the account against what there is, and the folder against what it was.
#[track_caller]
fn salvaged(from: &Path, to: &Path, original: &[RecordedEvent]) -> Salvaged {
    salvaged_by(from, to, original, &SalvageOptions::default())
}

#[track_caller]
fn salvaged_by(
    from: &Path,
    to: &Path,
    original: &[RecordedEvent],
    options: &SalvageOptions,
) -> Salvaged {
    let before = files(from);
    let SalvagedStore { log: report, .. } = salvage(from, to, options, &mut |_| true).unwrap();
    assert!(files(from) == before, "the folder was changed");
    let left: Vec<_> = fs::read_dir(to.parent().unwrap()).unwrap().map(Result::unwrap).collect();
    let left = left.iter().filter(|it| it.file_name().to_string_lossy().contains("unfinished"));
    assert_eq!(left.count(), 0, "something is left beside");
    let verified = spacefold_store::verify(to, VerifyOptions::default()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
    let log = EmbeddedLog::open_existing(to).unwrap();
    let events = all(&log);
    assert_eq!(log.identity().log_id.to_bytes(), report.store_id);
    log.close().unwrap();
    assert_is_exact(&report, &events, original);
    Salvaged { report, events }
}

/// The account says of each position whether its event is there, and of each space what it lacks.
#[track_caller]
fn assert_is_exact(report: &SalvageReport, events: &[RecordedEvent], original: &[RecordedEvent]) {
    assert_eq!(report.events, u64::try_from(events.len()).unwrap());
    let mut moved = BTreeMap::new();
    for stretch in &report.stretches {
        for index in 0..stretch.count {
            assert!(moved.insert(stretch.is.plus(index), stretch.was.plus(index)).is_none());
        }
    }
    let mut is_there = BTreeSet::new();
    let mut revisions = BTreeMap::<&str, Vec<u64>>::new();
    for event in events {
        let was = moved[&event.position];
        let before = &original[usize::try_from(was.get()).unwrap() - 1];
        let is_moved = was != event.position;
        let mut expected = before.event.clone();
        if is_moved && expected.origin.is_none() {
            let origin = event.event.origin.unwrap();
            assert_eq!((origin.store_id, origin.position), (report.store_id, was));
            expected.origin = Some(origin);
        }
        assert_eq!(event.event, expected);
        assert_eq!(event.recorded_at, before.recorded_at);
        is_there.insert(was);
        revisions.entry(before.event.space_id.as_str()).or_default().push(before.revision.get());
    }
    for gap in &report.gaps {
        for position in gap.first.get()..=gap.last.get() {
            assert!(is_there.insert(Position::new(position)), "{position} is there and missing");
        }
        let time = |position: Position| {
            let index = usize::try_from(position.get()).unwrap().checked_sub(1)?;
            original.get(index).map(|event| event.recorded_at)
        };
        assert_eq!(gap.after, time(gap.first.previous()));
        assert!(gap.before.is_none() || gap.before == time(gap.last.next()));
    }
    let known: BTreeSet<Position> = (1..=report.known_head.get()).map(Position::new).collect();
    assert!(is_there == known, "the account leaves positions out");
    let mut lost = Vec::new();
    for (space, revisions) in &revisions {
        let mut expected = 1;
        for revision in revisions {
            if *revision > expected {
                lost.push(((*space).to_owned(), expected, revision - 1));
            }
            expected = revision + 1;
        }
    }
    lost.sort();
    let told = report.lost.iter();
    let told = told.map(|lost| (lost.space_id.clone(), lost.first.get(), lost.last.get()));
    let mut told: Vec<_> = told.collect();
    told.sort();
    assert_eq!(told, lost);
}

fn damage(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    let at = usize::try_from(at).unwrap();
    bytes[at..at + 64].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

/// The files of a folder, sorted.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    found.sort();
    found
}

/// A store of some segments, blocks and frames behind them; the events that it has.
fn large_store(path: &Path, random: &mut Random) -> Vec<RecordedEvent> {
    let mut all_events = Vec::new();
    for _ in 0..2 {
        let log = EmbeddedLog::open_with(path, &small_files()).unwrap();
        for _ in 0..140 {
            let mut appended = events(random, 9_000);
            appended.extend(events(random, 9_000));
            append(&log, &appended);
        }
        all_events = all(&log);
        log.close().unwrap();
    }
    assert!(!listed(&path.join("sealed")).is_empty(), "no segment");
    all_events
}

#[test]
fn a_copy_made_while_the_store_is_written_gives_up_all_that_it_has() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let log = EmbeddedLog::open_with(&store, &small_files()).unwrap();
    let (ends, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut salvaged_events = 0;
    thread::scope(|scope| {
        let _ends = Ends(&ends);
        let writer = scope.spawn(|| {
            let mut random = Random(random.next());
            while !ends.load(Ordering::Relaxed) {
                append(&log, &events(&mut random, 1_500));
                appended.fetch_add(1, Ordering::Relaxed);
            }
        });
        let wait = |more: u64| {
            let more = appended.load(Ordering::Relaxed) + more;
            while appended.load(Ordering::Relaxed) < more && !writer.is_finished() {
                thread::yield_now();
            }
        };
        for round in 0..8 {
            // From the first appends on, and with the files used again.
            wait(1 + round * 40);
            let durable = log.durable_head();
            let copied = folder.path().join(format!("copy-{round}"));
            copy(&store, &copied);
            // What was being written is durable then.
            wait(2);
            let original = all(&log);
            let new = folder.path().join(format!("new-{round}"));
            let Salvaged { report, events } = salvaged(&copied, &new, &original);
            let ids: BTreeSet<EventId> = events.iter().map(|event| event.event.event_id).collect();
            let bytes: Vec<Vec<u8>> = files(&copied).into_values().collect();
            for event in original.iter().filter(|event| event.position <= durable) {
                let id = event.event.event_id;
                if !ids.contains(&id) {
                    let has =
                        |bytes: &Vec<u8>| bytes.windows(16).any(|window| window == id.as_bytes());
                    let position = event.position;
                    assert!(!bytes.iter().any(has), "{position} is in the copy: {report:?}");
                }
            }
            salvaged_events += events.len();
            fs::remove_dir_all(copied).unwrap();
            fs::remove_dir_all(new).unwrap();
        }
    });
    log.close().unwrap();
    println!("{salvaged_events} events were salvaged");
}

#[test]
fn whatever_one_part_lacks_the_others_give() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let original = large_store(&store, &mut random);
    let head = Position::new(u64::try_from(original.len()).unwrap());
    type Harm<'h> = (&'h str, &'h dyn Fn(&Path), bool);
    let remove = |path: &Path, part: &str| fs::remove_dir_all(path.join(part)).unwrap();
    let harms: [Harm<'_>; 10] = [
        ("nothing", &|_| {}, true),
        ("no HEAD", &|path| fs::remove_file(path.join("HEAD")).unwrap(), true),
        ("HEAD is noise", &|path| fs::write(path.join("HEAD"), [7; 8_192]).unwrap(), true),
        (
            "HEAD is cut",
            &|path| {
                fs::write(path.join("HEAD"), &fs::read(path.join("HEAD")).unwrap()[..600]).unwrap()
            },
            true,
        ),
        ("no segments", &|path| remove(path, "sealed"), true),
        ("no sled", &|path| remove(path, "sled"), true),
        ("no journal", &|path| remove(path, "journal"), false),
        (
            "sled alone",
            &|path| {
                ["journal", "sealed"].iter().for_each(|part| remove(path, part));
                fs::remove_file(path.join("HEAD")).unwrap();
            },
            false,
        ),
        ("a segment is damaged", &|path| damage(&listed(&path.join("sealed"))[0], 30_000), true),
        (
            "a segment is cut",
            &|path| {
                let segment = &listed(&path.join("sealed"))[0];
                let bytes = fs::read(segment).unwrap();
                fs::write(segment, &bytes[..bytes.len() / 2]).unwrap();
            },
            true,
        ),
    ];
    for (name, harm, is_all) in harms {
        println!("{name}");
        let (harmed, new) = (folder.path().join("harmed"), folder.path().join("new"));
        copy(&store, &harmed);
        harm(&harmed);
        let Salvaged { report, events } = salvaged(&harmed, &new, &original);
        if is_all {
            assert!(report.is_whole(), "{name}: {report:?}");
            assert_eq!(events.len(), original.len(), "{name}");
            assert!(
                events.iter().map(|event| event.position).eq(original.iter().map(|it| it.position))
            );
        } else {
            assert!(!events.is_empty(), "{name}");
        }
        if name == "no journal" {
            assert_eq!(report.known_head, head, "HEAD knows how far it went");
        }
        fs::remove_dir_all(harmed).unwrap();
        fs::remove_dir_all(new).unwrap();
    }
}

#[test]
fn a_gap_is_told_exactly_and_what_is_behind_it_says_where_it_was() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let original = large_store(&store, &mut random);
    fs::remove_dir_all(store.join("sled")).unwrap();
    let segment = listed(&store.join("sealed")).remove(0);
    let len = segment.metadata().unwrap().len();
    damage(&segment, len / 3);
    damage(&segment, 2 * len / 3);
    let new = folder.path().join("new");
    let Salvaged { report, events } = salvaged(&store, &new, &original);
    assert!(!report.gaps.is_empty() && !report.lost.is_empty(), "{report:?}");
    assert!(report.damage.iter().any(|damage| damage.file == segment));
    // A cursor that somebody kept finds its event.
    let log = EmbeddedLog::open_existing(&new).unwrap();
    let last = events.last().unwrap();
    let timeline = last.event.origin.unwrap().timeline;
    let origin = EventOrigin {
        store_id: report.store_id,
        timeline,
        position: Position::new(u64::try_from(original.len()).unwrap()),
    };
    assert_eq!(log.find_origins(&[origin]).unwrap(), [Some(last.position)]);
    let parted = log.identity().fork.unwrap().position;
    assert_eq!(parted, report.gaps[0].first.previous());
    log.close().unwrap();
    // The states fold, and the store goes on.
    let spaces = Spacefold::open_existing(&new).unwrap();
    spaces.append([SpaceEvent::space_created("another", "Another")]).unwrap();
    assert_eq!(spaces.snapshot_all().unwrap().len(), 8);
    spaces.close().unwrap();
}

#[test]
fn of_parts_of_several_stores_and_copies_one_course_is_taken_and_the_rest_told() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |store: &Path, random: &mut Random, appends: u64| {
        let log = EmbeddedLog::open_with(store, &small_files()).unwrap();
        (0..appends).for_each(|_| append(&log, &events(random, 300)));
        let all = all(&log);
        log.close().unwrap();
        all
    };
    let (store, sibling, other) = (path("store"), path("sibling"), path("other"));
    write(&store, &mut random, 60);
    copy(&store, &sibling);
    let original = write(&store, &mut random, 50);
    let apart = write(&sibling, &mut random, 90);
    let foreign = write(&other, &mut random, 20);
    // Its files, and those of the others, under names that are free.
    let add = |from: &Path, name: &str| {
        for (index, file) in listed(&from.join("journal")).iter().enumerate() {
            let to = store.join("journal").join(format!("9{name}{index:02}.journal"));
            fs::copy(file, to).unwrap();
        }
    };
    add(&sibling, "1");
    add(&other, "2");
    let new = path("new");
    let Salvaged { report, events } = salvaged(&store, &new, &original);
    assert_eq!(events.len(), original.len());
    assert!(report.gaps.is_empty() && report.lost.is_empty(), "{report:?}");
    let left: u64 = report.left_out.iter().map(|left| left.events).sum();
    let common = apart.iter().zip(&original).take_while(|(a, b)| a == b).count();
    assert_eq!(left, u64::try_from(apart.len() - common).unwrap(), "{:?}", report.left_out);
    assert_eq!(report.other_stores.len(), 1);
    let wanted = report.other_stores[0].store_id;
    let of_other = SalvageOptions::default().store_id(wanted);
    let Salvaged { events, .. } = salvaged_by(&store, &path("new-other"), &foreign, &of_other);
    assert_eq!(events.len(), foreign.len());
    // Of which copy they are is known without HEAD too.
    fs::remove_file(store.join("HEAD")).unwrap();
    fs::remove_dir_all(store.join("sled")).unwrap_or_default();
    let to = path("new-headless");
    let SalvagedStore { log, .. } =
        salvage(&store, &to, &SalvageOptions::default(), &mut |_| true).unwrap();
    let taken = all(&EmbeddedLog::open_existing(&to).unwrap());
    let is_of = |course: &[RecordedEvent]| {
        taken.iter().map(|event| event.event.event_id).eq(course.iter().map(|it| it.event.event_id))
    };
    assert!(is_of(&original) || is_of(&apart), "two courses are mixed: {log:?}");
    assert!(log.left_out.iter().map(|left| left.events).sum::<u64>() > 0);
}

#[test]
fn no_folder_makes_it_panic_or_gives_what_was_never_written() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let log = EmbeddedLog::open_with(&store, &small_files()).unwrap();
    (0..150).for_each(|_| append(&log, &events(&mut random, 900)));
    let original = all(&log);
    // Not closed: the newest frames are the last of their file.
    let base = folder.path().join("base");
    copy(&store, &base);
    log.close().unwrap();
    for round in 0..60 {
        let (harmed, new) = (folder.path().join("harmed"), folder.path().join("new"));
        copy(&base, &harmed);
        let names: Vec<PathBuf> = files(&harmed).into_keys().collect();
        for _ in 0..=random.below(6) {
            let name = &names[usize::try_from(random.below(names.len() as u64)).unwrap()];
            let Ok(mut bytes) = fs::read(name) else { continue };
            let at = usize::try_from(random.below(bytes.len().max(1) as u64)).unwrap();
            let end = (at + usize::try_from(random.below(5_000)).unwrap()).min(bytes.len());
            match random.below(5) {
                0 => bytes.truncate(at),
                1 => bytes[at..end].fill(0),
                2 => bytes[at..end].fill_with(|| random.next().to_le_bytes()[0]),
                3 => {
                    let stretch = bytes[at..end].to_vec();
                    let to = usize::try_from(random.below(bytes.len().max(1) as u64)).unwrap();
                    bytes.splice(to..to, stretch);
                }
                _ => {
                    fs::remove_file(name).unwrap();
                    continue;
                }
            }
            fs::write(name, bytes).unwrap();
        }
        match salvage(&harmed, &new, &SalvageOptions::default(), &mut |_| true) {
            Ok(SalvagedStore { log: report, .. }) => {
                let log = EmbeddedLog::open_existing(&new).unwrap();
                assert_is_exact(&report, &all(&log), &original);
                log.close().unwrap();
                fs::remove_dir_all(&new).unwrap();
            }
            Err(RemakeError::NothingThere { .. }) => {}
            Err(error) => panic!("round {round}: {error}"),
        }
        assert!(!new.exists());
        fs::remove_dir_all(harmed).unwrap();
    }
}

#[test]
fn links_pipes_and_folders_in_the_place_of_files_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    spaces.append([SpaceEvent::space_created("a", "A")]).unwrap();
    spaces.close().unwrap();
    let journal = store.join("journal");
    std::os::unix::fs::symlink("/dev/zero", journal.join("7000.journal")).unwrap();
    fs::create_dir(journal.join("7001.journal")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(journal.join("7002.journal")).status();
    assert!(made.unwrap().success());
    fs::File::create(journal.join("7003.journal")).unwrap().set_len(1 << 30).unwrap();
    let new = folder.path().join("new");
    let SalvagedStore { log, .. } =
        salvage(&store, &new, &SalvageOptions::default(), &mut |_| true).unwrap();
    assert_eq!((log.events, log.is_whole()), (1, true));
}

#[test]
fn nothing_is_made_over_what_is_there_or_in_the_folder_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    spaces.append([SpaceEvent::space_created("a", "A")]).unwrap();
    spaces.close().unwrap();
    let before = files(&store);
    let salvaging = |to: &Path, goes_on: bool| {
        salvage(&store, to, &SalvageOptions::default(), &mut |_| goes_on)
    };
    let taken = salvaging(&store, true);
    assert!(matches!(taken, Err(RemakeError::Taken { .. })), "{taken:?}");
    for inside in ["new", "a/b/new"] {
        let inside = salvaging(&store.join(inside), true);
        assert!(matches!(inside, Err(RemakeError::Inside { .. })), "{inside:?}");
    }
    let stopped = salvaging(&folder.path().join("new"), false);
    assert!(matches!(stopped, Err(RemakeError::Stopped)), "{stopped:?}");
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let none =
        salvage(&nothing, folder.path().join("new"), &SalvageOptions::default(), &mut |_| true);
    assert!(matches!(none, Err(RemakeError::NothingThere { .. })), "{none:?}");
    let gone = folder.path().join("gone");
    let none = salvage(gone, folder.path().join("new"), &SalvageOptions::default(), &mut |_| true);
    assert!(matches!(none, Err(RemakeError::NoFolder { .. })), "{none:?}");
    assert_eq!(listed(folder.path()), [nothing, store.clone()]);
    assert!(files(&store) == before);
}

#[test]
fn content_comes_along_and_what_is_lacking_is_told() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let spaces = Spacefold::open(&store).unwrap();
    let service = spaces.service();
    service.create_space("a", "A").unwrap();
    let large = random.text(300_000);
    let texts = ["one".to_owned(), random.text(5_000), large];
    for (index, text) in texts.iter().enumerate() {
        let document = format!("d{index}");
        service.add_document("a", &document, format!("/{index}")).unwrap();
        service.set_content("a", &document, text.as_bytes()).unwrap();
    }
    spaces.close().unwrap();
    fs::remove_file(store.join("content/MANIFEST")).unwrap();
    let new = folder.path().join("new");
    let options = SalvageOptions::default();
    let SalvagedStore { content, .. } = salvage(&store, &new, &options, &mut |_| true).unwrap();
    assert_eq!((content.named, content.copied, content.lacking, content.absent), (3, 3, 0, 0));
    let spaces = Spacefold::open_existing(&new).unwrap();
    let snapshot = spaces.snapshot("a").unwrap();
    for (index, text) in texts.iter().enumerate() {
        let hash = contents::hash_in(&snapshot, &format!("d{index}")).unwrap();
        let stored = spaces.content().get(&hash, 1 << 20).unwrap();
        assert!(stored == text.as_bytes());
    }
    spaces.close().unwrap();
    let pack = listed(&store.join("content"));
    let pack = pack.iter().find(|path| path.extension().is_some_and(|it| it == "pack")).unwrap();
    damage(pack, 1_000);
    let new = folder.path().join("new-2");
    let SalvagedStore { content, .. } = salvage(&store, &new, &options, &mut |_| true).unwrap();
    assert_eq!((content.named, content.copied, content.lacking), (3, 2, 1), "{content:?}");
    assert_eq!(content.told.len(), 1);
}
