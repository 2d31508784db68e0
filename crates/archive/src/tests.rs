//! Stores that are written to, backed up and restored, and compared state by state.

mod course;
mod damaged;
mod failing;
mod follow;
mod points;
mod storage;

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use fastrand::Rng;
use spacefold::{
    Folding, Options, Position, SpaceEvent, Spacefold, SpacesReader,
    admin::VerifyOptions,
    content::{ContentHash, ContentOptions, ContentStore as _},
    log::StoreOptions,
};
use spacefold_state::SpaceStates;
use tempfile::TempDir;

use crate::{
    Archiver, BackupReport, BackupRepository, FolderStorage, PruneOptions, RestoreOptions,
    RestorePoint, RestoreReport, VerifyShare, drill, last_drill, prune, repair_from_backup,
    restore, verify,
};

/// A folder with a store, a repository, and what is restored.
struct Scene {
    scratch: TempDir,
    rng: Rng,
    restored: u32,
}

impl Scene {
    /// One that says where its chance comes from.
    fn new() -> Self {
        Self::of(fastrand::u64(..))
    }

    fn of(seed: u64) -> Self {
        println!("seed {seed}");
        let scratch = tempfile::tempdir().unwrap();
        Self { scratch, rng: Rng::with_seed(seed), restored: 0 }
    }

    fn store(&self) -> PathBuf {
        self.scratch.path().join("store")
    }

    fn backups(&self) -> PathBuf {
        self.scratch.path().join("backups")
    }

    fn storage(&self) -> Arc<FolderStorage> {
        Arc::new(FolderStorage::at(self.backups()))
    }

    fn repository(&self) -> BackupRepository {
        BackupRepository::open(self.storage()).unwrap()
    }

    fn open(&self) -> Spacefold {
        open(&self.store())
    }

    /// A backup by an archiver of its own.
    fn backup(&self) -> BackupReport {
        Archiver::open(self.store(), self.storage()).unwrap().backup().unwrap()
    }

    fn next_path(&mut self) -> PathBuf {
        self.restored += 1;
        self.scratch.path().join(format!("restored-{}", self.restored))
    }

    fn restore(&mut self, options: &RestoreOptions) -> RestoreReport {
        let path = self.next_path();
        restore(&self.repository(), path, options).unwrap()
    }
}

/// Opens a store whose files are small, so that there are many soon.
fn open(path: &Path) -> Spacefold {
    let store = StoreOptions::default().journal_file_bytes(128 << 10).reserve_bytes(0);
    let content = ContentOptions::default().pack_bytes(64 << 10);
    Options::new(path).store(store).content(content).folding(Folding::OnDemand).open().unwrap()
}

/// Appends what a program might, of many sizes.
fn fill(spaces: &Spacefold, rng: &mut Rng, rounds: usize) {
    for _ in 0..rounds {
        match rng.u8(..8) {
            0 => {
                let count = rng.usize(300..900);
                let events = (0..count).map(|_| event(rng, 120)).collect::<Vec<_>>();
                spaces.append(events).unwrap();
            }
            1 => put_content(spaces, rng),
            _ => {
                let count = rng.usize(1..8);
                let events = (0..count).map(|_| event(rng, 600)).collect::<Vec<_>>();
                spaces.append(events).unwrap();
            }
        }
    }
}

fn text(rng: &mut Rng, most: usize) -> String {
    let bytes = rng.usize(..most);
    std::iter::repeat_with(|| rng.alphanumeric()).take(bytes).collect()
}

fn event(rng: &mut Rng, bytes: usize) -> SpaceEvent {
    let space = format!("space-{}", rng.u8(..20));
    let event = SpaceEvent::variable_set(space, format!("v{}", rng.u8(..9)), text(rng, bytes));
    if rng.u8(..10) == 0 { event.with_tags(["tag:1"]) } else { event }
}

/// Puts content that nothing else has, and an event that names it.
fn put_content(spaces: &Spacefold, rng: &mut Rng) {
    let space = format!("docs-{}", rng.u8(..4));
    let document = format!("d{}", rng.u64(..));
    let bytes: Vec<u8> = (0..rng.usize(1..30_000)).map(|_| rng.u8(..)).collect();
    let service = spaces.service();
    let _ = service.create_space(&space, "Docs");
    service.add_document(&space, &document, format!("/{document}")).unwrap();
    service.set_content(&space, &document, &bytes).unwrap();
}

/// The hash of the states at a position.
fn hash_at(spaces: &SpacesReader, position: Position) -> String {
    let states = spaces.at(position).snapshot_all().unwrap();
    let states = states.iter().map(|state| (state.space_id(), state.state_hash()));
    SpaceStates::hash_of(states).to_string()
}

/// Every event as JSON, up to a position.
fn events(spaces: &SpacesReader, through: Position) -> Vec<u8> {
    let mut lines = Vec::new();
    let read = spacefold::log::ReadRequest::from(Position::new(1));
    for page in spaces.log().pages(read) {
        for event in page.unwrap().events() {
            let event = event.unwrap();
            if event.position <= through {
                event.write_json(&mut lines);
                lines.push(b'\n');
            }
        }
    }
    lines
}

/// The hashes of all contents that events name.
fn named(spaces: &SpacesReader) -> Vec<ContentHash> {
    let mut named = Vec::new();
    for snapshot in spaces.snapshot_all().unwrap() {
        let documents = snapshot.documents();
        named.extend(documents.into_iter().filter_map(|(_, it)| it.content_hash()?.content_hash()));
    }
    named
}

/// Makes sure that a restored store is what the other one was at its position, and goes on.
fn assert_is(restored: &RestoreReport, live: &SpacesReader) {
    let options = VerifyOptions::default();
    let report = spacefold::admin::verify(&restored.path, options).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let content = spacefold::content::verify_content(&restored.path).unwrap();
    assert!(content.problems.is_empty(), "{:?}", content.problems);
    let position = restored.position;
    assert_eq!(restored.state_hash, hash_at(live, position), "at {position}");
    let copy = open(&restored.path);
    assert_eq!(copy.durable_head(), position);
    assert!(events(&copy, position) == events(live, position), "other events up to {position}");
    for hash in named(&copy) {
        assert!(copy.content().contains(&hash).unwrap(), "{hash}");
    }
    let receipt = copy.append([SpaceEvent::space_activated("after")]).unwrap();
    assert_eq!(receipt.last_position(), position.next());
    copy.close().unwrap();
    let report = spacefold::admin::verify(&restored.path, VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_store_is_backed_up_while_it_is_empty_small_large_open_and_closed() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let mut spaces = scene.open();
    for (place, rounds) in [0, 1, 3, 40, 200, 0, 1, 120].into_iter().enumerate() {
        fill(&spaces, &mut rng, rounds);
        if place % 3 == 2 {
            spaces.close().unwrap();
        }
        let report = scene.backup();
        assert_eq!(report.number, place as u64 + 1);
        if place % 3 == 2 {
            spaces = scene.open();
        }
        assert_eq!(report.head, spaces.durable_head());
        assert!(report.is_new || rounds == 0 && place > 0);
        let restored = scene.restore(&RestoreOptions::default());
        assert_eq!((restored.number, restored.position), (report.number, report.head));
        assert_eq!(restored.chain, report.chain);
        assert_is(&restored, &spaces);
    }
    let listed = scene.repository().numbers().unwrap();
    assert_eq!(listed, [1, 2, 3, 4, 5, 6, 7, 8]);
    let report = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
    assert_eq!((report.backups, report.problems.len()), (8, 0));
    assert_eq!((report.objects, report.bytes), (report.objects_read, report.bytes_read));
    // Every one of them restores.
    for number in listed {
        let restored = scene.restore(&RestoreOptions::default().backup(number));
        assert_is(&restored, &spaces);
    }
    spaces.close().unwrap();
}

#[test]
fn a_backup_puts_what_is_new_and_little_else() {
    let scene = Scene::new();
    let mut rng = scene.rng.clone();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 300);
    let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
    let first = archiver.backup().unwrap();
    assert!(first.bytes_put >= first.bytes, "{first:?}");
    let nothing = archiver.backup().unwrap();
    assert_eq!((nothing.objects_put, nothing.bytes_put, nothing.is_new), (0, 0, false));
    let mut put = 0;
    for _ in 0..200 {
        spaces.append([event(&mut rng, 100)]).unwrap();
        put += archiver.backup().unwrap().bytes_put;
    }
    // Each event is put again a few times, as those before it are put together with it; the tail of
    // the log that was there is once.
    let tail = first.bytes_put - first.bytes + (2 << 20);
    assert!(put < 200 * 400 * 12 + tail, "{put} bytes for 200 events");
    fill(&spaces, &mut rng, 60);
    let more = archiver.backup().unwrap();
    assert!(more.bytes_put < more.bytes, "{more:?}");
    spaces.close().unwrap();
    // Another archiver goes on in the same way.
    let again = scene.backup();
    assert!(again.bytes_put * 3 < again.bytes, "{again:?}");
}

/// Backups of stores that are written to meanwhile, unless told otherwise: each is restored.
const BACKUPS: usize = 12;

#[test]
fn whoever_writes_seals_and_collects_meanwhile_is_in_no_backups_way() {
    let backups = env::var("SPACEFOLD_ARCHIVE_BACKUPS").map_or(BACKUPS, |it| it.parse().unwrap());
    for _ in 0..backups.div_ceil(BACKUPS) {
        back_up_beside_a_writer();
    }
}

fn back_up_beside_a_writer() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 20);
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (spaces, is_over, mut rng) = (spaces.clone(), Arc::clone(&is_over), rng.fork());
        thread::spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                fill(&spaces, &mut rng, 5);
                // What no event names comes and goes.
                let bytes: Vec<u8> = (0..20_000).map(|_| rng.u8(..)).collect();
                spaces.content().put(&mut bytes.as_slice()).unwrap();
                if rng.u8(..6) == 0 {
                    spaces.admin().collect_garbage().unwrap();
                }
            }
        })
    };
    let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
    let mut made = Vec::new();
    for _ in 0..BACKUPS {
        made.push(archiver.backup().unwrap());
    }
    is_over.store(true, Ordering::Release);
    writer.join().unwrap();
    for report in made {
        let restored = scene.restore(&RestoreOptions::default().backup(report.number));
        assert_eq!(restored.position, report.head);
        assert_is(&restored, &spaces);
        fs::remove_dir_all(&restored.path).unwrap();
    }
    let report = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
    assert_eq!(report.problems, []);
    spaces.close().unwrap();
}

#[test]
fn an_archiver_runs_until_it_is_told_and_notices_another_one() {
    let scene = Scene::new();
    let mut rng = scene.rng.clone();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 10);
    let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
    let rounds = std::cell::Cell::new(0);
    let is_to_end = || rounds.get() == 3;
    archiver
        .run(std::time::Duration::ZERO, &is_to_end, &mut |round| {
            assert!(matches!(round, crate::ArchiverRound::Made { .. }), "{round:?}");
            rounds.set(rounds.get() + 1);
            spaces.append([SpaceEvent::space_activated("a")]).unwrap();
        })
        .unwrap();
    assert_eq!(scene.repository().numbers().unwrap(), [1, 2, 3]);
    // Another one goes on from there; the first says so, and whatever it has put is in nobody's way.
    assert_eq!(scene.backup().number, 4);
    let refused = archiver.backup().unwrap_err();
    assert!(matches!(refused, crate::ArchiveError::AnotherArchiver { number: 4, .. }), "{refused}");
    assert!(!refused.may_pass());
    spaces.close().unwrap();
}

#[test]
fn pruning_leaves_what_is_kept_whole() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
    for _ in 0..6 {
        fill(&spaces, &mut rng, 25);
        spaces.admin().collect_garbage().unwrap();
        archiver.backup().unwrap();
    }
    let before = file_names(&scene.backups());
    let options = PruneOptions::default().keep_daily(1);
    let would = prune(&scene.repository(), &options.dry_run(true)).unwrap();
    assert_eq!(file_names(&scene.backups()), before);
    // What an attempt has left that came to no backup, and one that is under way.
    let object = |number: u64| {
        let name = format!("{:020}-{:010}-{}.{number}", 1, 0, "0".repeat(64));
        scene.backups().join("segments").join(name)
    };
    fs::write(object(6), b"left").unwrap();
    fs::write(object(6).with_extension("6.0f.unfinished"), b"left").unwrap();
    fs::write(object(7), b"under way").unwrap();
    let pruned = prune(&scene.repository(), &options).unwrap();
    assert_eq!((&pruned.kept[..], &pruned.removed[..]), (&[6][..], &[1, 2, 3, 4, 5][..]));
    assert_eq!(pruned.objects_removed, would.objects_removed + 2);
    assert!(!object(6).exists() && object(7).exists());
    let again = prune(&scene.repository(), &options).unwrap();
    assert_eq!((again.removed, again.objects_removed), (vec![], 0));
    let report = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
    assert_eq!((report.backups, report.problems.len()), (1, 0));
    let all = spaces.durable_head().get();
    for position in [1, all / 3, all] {
        let point = RestorePoint::At(Position::new(position));
        let restored = scene.restore(&RestoreOptions::default().to(point));
        assert_is(&restored, &spaces);
    }
    // The archiver goes on.
    fill(&spaces, &mut rng, 5);
    assert_eq!(archiver.backup().unwrap().number, 7);
    spaces.close().unwrap();
}

#[test]
fn any_number_prune_beside_an_archiver() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 10);
    scene.backup();
    let is_over = Arc::new(AtomicBool::new(false));
    let pruning = [0, 1].map(|keep| {
        let (repository, is_over) = (scene.repository(), Arc::clone(&is_over));
        thread::spawn(move || {
            let options = PruneOptions::default().keep_daily(keep);
            let mut removed = 0;
            while !is_over.load(Ordering::Acquire) {
                removed += prune(&repository, &options).unwrap().removed.len();
            }
            removed
        })
    });
    let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
    for _ in 0..25 {
        fill(&spaces, &mut rng, 2);
        spaces.admin().collect_garbage().unwrap();
        archiver.backup().unwrap();
    }
    is_over.store(true, Ordering::Release);
    let removed: usize = pruning.into_iter().map(|it| it.join().unwrap()).sum();
    println!("{removed} backups were removed");
    let report = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
    assert_eq!(report.problems, []);
    assert!(report.backups < 26);
    assert_is(&scene.restore(&RestoreOptions::default()), &spaces);
    spaces.close().unwrap();
}

fn file_names(folder: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { names.extend(file_names(&path)) } else { names.push(path) }
    }
    names.sort();
    names
}

#[test]
fn a_drill_restores_compares_and_leaves_a_record() {
    let scene = Scene::new();
    let mut rng = scene.rng.clone();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 60);
    scene.backup();
    let aside = scene.scratch.path().join("aside");
    let report = drill(&scene.repository(), &aside).unwrap();
    assert!(report.is_ok(), "{:?}", report.problems);
    assert_eq!((report.number, report.position), (1, spaces.durable_head()));
    assert_eq!(report.state_hash, hash_at(&spaces, report.position));
    assert!(!aside.exists());
    let records = file_names(&scene.backups().join("drills"));
    let [record] = &records[..] else { panic!("{records:?}") };
    let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    assert_eq!(record["of"]["ok"], true);
    assert_eq!(record["of"]["state_hash"], report.state_hash);
    assert_eq!((report.content_named, report.content_absent), (named(&spaces).len() as u64, 0));
    let last = last_drill(&scene.repository()).unwrap().unwrap();
    assert_eq!((last.number, last.started_at, last.is_ok), (1, report.started_at, true));
    // Events that came without the content that they name are told, and are no damage.
    let hash = ContentHash::of(b"never put here").to_string();
    let changed = SpaceEvent::document_content_changed("docs", "d", None::<String>, &hash);
    spaces.append([changed]).unwrap();
    scene.backup();
    let again = drill(&scene.repository(), &aside).unwrap();
    assert!(again.is_ok(), "{:?}", again.problems);
    assert_eq!((again.number, again.content_absent), (2, 1));
    assert_eq!(last_drill(&scene.repository()).unwrap().unwrap().number, 2);
    spaces.close().unwrap();
}

#[test]
fn a_damaged_store_is_mended_from_its_backup() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 200);
    let head = spaces.durable_head();
    let before = (hash_at(&spaces, head), events(&spaces, head));
    spaces.close().unwrap();
    scene.backup();
    // Of every segment some bytes, and sled's copy, which has them too.
    for segment in file_names(&scene.store().join("sealed")) {
        let mut bytes = fs::read(&segment).unwrap();
        let at = rng.usize(64..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
        fs::write(segment, bytes).unwrap();
    }
    fs::remove_dir_all(scene.store().join("sled")).unwrap();
    assert!(spacefold::admin::repair(scene.store(), None).is_err());
    let repaired = repair_from_backup(&scene.repository(), scene.store(), None).unwrap();
    assert!(repaired.log.log_mended && repaired.content_lacking == 0, "{repaired:?}");
    let spaces = scene.open();
    assert_eq!(spaces.durable_head(), head);
    assert!((hash_at(&spaces, head), events(&spaces, head)) == before);
    spaces.close().unwrap();
    // A store of which it has nothing.
    let other = scene.next_path();
    open(&other).close().unwrap();
    let refused = repair_from_backup(&scene.repository(), &other, None).unwrap_err();
    assert!(matches!(refused, crate::ArchiveError::NothingFits { .. }), "{refused}");
    let left = fs::read_dir(scene.scratch.path()).unwrap().count();
    assert_eq!(left, 3);
}

#[test]
fn of_two_archivers_at_once_each_backup_is_one_of_theirs() {
    let mut scene = Scene::new();
    let mut rng = scene.rng.fork();
    let spaces = scene.open();
    fill(&spaces, &mut rng, 5);
    let (mut made, mut refused) = (0, 0);
    for _ in 0..25 {
        fill(&spaces, &mut rng, 1);
        let both: Vec<_> = (0..2)
            .map(|_| {
                let mut archiver = Archiver::open(scene.store(), scene.storage()).unwrap();
                thread::spawn(move || archiver.backup())
            })
            .collect();
        for backup in both.into_iter().map(|it| it.join().unwrap()) {
            match backup {
                Ok(_) => made += 1,
                Err(crate::ArchiveError::AnotherArchiver { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let numbers = scene.repository().numbers().unwrap();
        assert_eq!(numbers, (1..=made).collect::<Vec<_>>());
    }
    println!("{made} backups, and {refused} that another archiver made");
    let report = verify(&scene.repository(), VerifyShare::All, &|| false).unwrap();
    assert_eq!((report.backups, report.problems.len()), (made, 0));
    assert_is(&scene.restore(&RestoreOptions::default()), &spaces);
    spaces.close().unwrap();
}

#[test]
fn nothing_is_restored_over_what_is_there() {
    let mut scene = Scene::new();
    let spaces = scene.open();
    fill(&spaces, &mut scene.rng.fork(), 3);
    scene.backup();
    let path = scene.next_path();
    let restore_there = || restore(&scene.repository(), &path, &RestoreOptions::default());
    for make in [
        |path: &Path| fs::write(path, b"a file").unwrap(),
        |path: &Path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("note"), b"kept").unwrap();
        },
    ] {
        make(&path);
        let refused = restore_there().unwrap_err();
        assert!(matches!(refused, crate::ArchiveError::NotEmpty { .. }), "{refused}");
        if path.is_dir() {
            assert_eq!(fs::read(path.join("note")).unwrap(), b"kept");
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
    }
    fs::create_dir(&path).unwrap();
    assert_is(&restore_there().unwrap(), &spaces);
    spaces.close().unwrap();
}
