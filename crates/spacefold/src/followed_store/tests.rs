use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use spacefold_event_core::{Position, SpaceEvent, Timestamp};

use super::*;
use crate::{
    CachePlace, Delivery, Moment, SnapshotError, Subscription, event::EventFilter,
    log::ReadRequest, projection::ProblemFilter, subscribe::ReceiveError,
};

const LONG: Duration = Duration::from_secs(30);

fn fill(spaces: &Spacefold) {
    let service = spaces.service();
    for space in ["a", "b"] {
        service.create_space(space, space).unwrap();
        for document in ["one", "two"] {
            service.add_document(space, document, format!("/{document}")).unwrap();
            let text =
                format!("{document} of {space}").repeat(if space == "a" { 1 } else { 20_000 });
            service.set_content(space, document, text.as_bytes()).unwrap();
        }
        service.set_variable(space, "v", 7).unwrap();
    }
    spaces.append([SpaceEvent::sync_conflict("a", "one", "here", "there")]).unwrap();
}

/// Whatever a reader answers, as text.
fn answers(spaces: &SpacesReader) -> Vec<String> {
    let mut answers = Vec::new();
    let head = spaces.durable_head();
    answers.push(format!("{head:?} {:?}", spaces.spaces().unwrap()));
    let moments = [Moment::from(Position::new(4)), head.into(), Timestamp::now().into()];
    for moment in moments {
        let at = spaces.at(moment);
        for snapshot in at.snapshot_all().unwrap() {
            answers.push(format!("{} {}", snapshot.space_id(), snapshot.state_hash()));
        }
        answers.push(format!("{:?}", at.blame("a").unwrap()));
    }
    let now = spaces.snapshots().map(|it| it.unwrap().state_hash().to_string());
    answers.extend(now);
    answers.push(format!("{:?}", spaces.diff("b", Position::new(1)..head)));
    answers.push(format!("{:?}", spaces.at(Position::new(1)).snapshot("b").map(drop)));
    for page in spaces.history(EventFilter::all().spaces(["a"]).document("one")).unwrap() {
        answers
            .extend(page.unwrap().events().map(|event| event.unwrap().to_owned_event().to_json()));
    }
    for page in spaces.log().pages(ReadRequest::from(Position::new(1))) {
        for event in page.unwrap().events() {
            let id = event.unwrap().event_id;
            answers.push(format!("{:?}", spaces.find_event(id).unwrap()));
        }
    }
    let state = spaces.snapshot("b").unwrap();
    let hash = state.document("two").unwrap().content_hash().unwrap().content_hash().unwrap();
    let mut text = String::new();
    spaces.at(head).content("b", "two").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(spaces.read_content(&hash, 1 << 20).unwrap(), text.as_bytes());
    answers.push(text);
    let projections = spaces.projections();
    answers.push(format!("{:?}", projections.occurrences(hash.to_string()).unwrap()));
    let activity = projections.activity().unwrap();
    answers.push(format!("{:?}", activity.counts(&Default::default()).unwrap()));
    let problems = projections.open_problems().unwrap();
    answers.push(format!("{:?}", problems.problems(&ProblemFilter::default()).unwrap()));
    let tail = spaces.snapshot_then_subscribe(Subscription::from_now()).unwrap();
    answers.push(format!("{:?} {}", tail.position, tail.snapshots.len()));
    answers
}

/// The files of a folder with their bytes, and its folders.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            found.insert(path, Vec::new());
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn caches(&self) -> PathBuf {
        self.folder.path().join("caches")
    }

    fn follow(&self) -> FollowedStore {
        self.followed(Folding::OnDemand, CachePlace::Folder(self.caches()))
    }

    fn followed(&self, folding: Folding, cache: CachePlace) -> FollowedStore {
        Options::new(self.path()).folding(folding).cache(cache).follow().unwrap()
    }

    /// How far the states are that are kept in the cache.
    fn cached(&self) -> Position {
        let beside = self.follow();
        let checkpoints = beside.engine.live.checkpoints().unwrap();
        checkpoints[0].position
    }
}

fn shared<T: Send + Sync + Clone>(_: &T) {}

#[test]
fn whatever_reads_answers_beside_the_owner_as_it_does_there() {
    let fixture = Fixture::new();
    let spaces = Spacefold::open(fixture.path()).unwrap();
    fill(&spaces);
    let expected = answers(&spaces);
    for (folding, cache) in [
        (Folding::OnDemand, CachePlace::Memory),
        (Folding::OnDemand, CachePlace::Folder(fixture.caches())),
        (Folding::Live, CachePlace::Folder(fixture.caches())),
        (Folding::Live, CachePlace::Memory),
    ] {
        let beside = fixture.followed(folding, cache);
        shared(&beside);
        assert_eq!(answers(&beside), expected);
        assert_eq!(answers(&beside.clone()), expected);
        let report = beside.verify(VerifyDepth::Full).unwrap();
        assert_eq!((report.events, report.problems.len()), (spaces.durable_head().get(), 0));
        let content = beside.verify_content().unwrap();
        assert_eq!(content.problems, []);
        assert!(content.entries >= 4, "{content:?}");
        assert_eq!(beside.info().store_id, spaces.admin().info().store_id);
    }
    spaces.close().unwrap();
    drop(spaces);
    // And of one that nobody has, in which nothing is changed by that.
    let before = files(&fixture.path());
    let beside = fixture.follow();
    assert_eq!(answers(&beside), expected);
    beside.verify(VerifyDepth::Full).unwrap();
    beside.close();
    assert_eq!(files(&fixture.path()), before);
}

#[test]
fn what_the_owner_appends_is_seen_in_states_subscriptions_projections_and_places() {
    for folding in [Folding::Live, Folding::OnDemand] {
        let fixture = Fixture::new();
        let spaces = Spacefold::open(fixture.path()).unwrap();
        let beside = fixture.followed(folding, CachePlace::Folder(fixture.caches()));
        assert!(matches!(beside.snapshot("a"), Err(SnapshotError::UnknownSpace { .. })));
        assert!(beside.durable_subscriptions().unwrap().is_empty());
        let mut events = beside.subscribe(Subscription::from_now().spaces(["a"])).unwrap();
        assert!(matches!(events.recv().unwrap(), Delivery::CaughtUp { .. }));
        let content = b"as it was put";
        spaces.service().create_space("a", "A").unwrap();
        spaces.service().add_document("a", "d", "/d").unwrap();
        spaces.service().set_content("a", "d", content).unwrap();
        let mut seen = 0;
        while seen < 3 {
            if let Some(Delivery::Events(page)) = events.recv_timeout(LONG).unwrap() {
                seen += page.len();
            }
        }
        let head = spaces.durable_head();
        let state = beside.snapshot_after("a", head, LONG).unwrap();
        let expected = spaces.snapshot("a").unwrap();
        assert_eq!(state.state_hash(), expected.state_hash());
        let hash = state.document("d").unwrap().content_hash().unwrap().content_hash().unwrap();
        assert_eq!(beside.read_content(&hash, 100).unwrap(), content);
        assert_eq!(beside.projections().occurrences(hash.to_string()).unwrap().len(), 1);
        let mut mailer = spaces.subscribe_durable("mailer", &Subscription::from_start()).unwrap();
        while !matches!(mailer.recv().unwrap(), Delivery::CaughtUp { .. }) {}
        mailer.ack(head).unwrap();
        mailer.sync().unwrap();
        let places = beside.durable_subscriptions().unwrap();
        assert_eq!((places[0].name.as_str(), places[0].position), ("mailer", Some(head)));
        // Closing one of them ends nothing of the other.
        beside.close();
        assert!(matches!(events.recv(), Err(ReceiveError::Closed)));
        assert!(beside.read_content(&hash, 100).is_err());
        assert!(beside.log().read(&ReadRequest::from(Position::new(1))).is_err());
        spaces.append([SpaceEvent::space_activated("a")]).unwrap();
        spaces.close().unwrap();
    }
}

#[test]
fn what_is_folded_is_kept_for_the_next_one_and_is_expendable() {
    let fixture = Fixture::new();
    let spaces = Spacefold::open(fixture.path()).unwrap();
    fill(&spaces);
    let expected = answers(&spaces);
    assert_eq!(fixture.cached(), Position::START);
    fixture.follow().catch_up().unwrap();
    assert_eq!(fixture.cached(), spaces.durable_head(), "dropped, it is kept");
    // Several at once: the others work in memory.
    let first = fixture.follow();
    let second = fixture.follow();
    assert_eq!(second.engine.live.checkpoints().unwrap()[0].position, Position::START);
    assert_eq!(answers(&first), expected);
    assert_eq!(answers(&second), expected);
    second.close();
    first.close();
    // The lock is given back though the handles are there.
    assert_eq!(fixture.cached(), spaces.durable_head());
    // Damaged, it is made anew; gone, too.
    for path in files(&fixture.caches()).keys().filter(|path| path.is_file()) {
        let bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        let mut damaged = bytes.clone();
        if let Some(byte) = damaged.get_mut(middle) {
            *byte ^= 0x40;
        }
        fs::write(path, damaged).unwrap();
        assert_eq!(answers(&fixture.follow()), expected, "{}", path.display());
    }
    fs::remove_dir_all(fixture.caches()).unwrap();
    assert_eq!(answers(&fixture.follow()), expected);
    assert_eq!(fixture.cached(), spaces.durable_head());
}

#[test]
fn a_cache_of_another_store_or_time_does_not_count() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    for (of, word) in [(&fixture, "ours"), (&other, "theirs")] {
        let spaces = Spacefold::open(of.path()).unwrap();
        let named = [SpaceEvent::space_created("a", word), SpaceEvent::space_activated("a")];
        spaces.append(named).unwrap();
        spaces.close().unwrap();
        of.follow().catch_up().unwrap();
    }
    let cache = |of: &Fixture| {
        let found = files(&of.caches()).into_keys();
        let mut locks = found.filter(|path| path.ends_with("LOCK"));
        locks.next().unwrap().parent().unwrap().to_owned()
    };
    let (ours, theirs) = (cache(&fixture), cache(&other));
    assert_ne!(ours.file_name(), theirs.file_name(), "they are of two timelines");
    fs::remove_dir_all(&ours).unwrap();
    fs::rename(&theirs, &ours).unwrap();
    assert_eq!(fixture.follow().snapshot("a").unwrap().name(), Some("ours"));
}

#[test]
fn without_a_place_that_can_be_written_it_is_folded_in_memory() {
    let fixture = Fixture::new();
    let spaces = Spacefold::open(fixture.path()).unwrap();
    fill(&spaces);
    let expected = answers(&spaces);
    // A file is where the folder is to be.
    fs::write(fixture.caches(), "").unwrap();
    assert_eq!(answers(&fixture.follow()), expected);
    let nowhere = CachePlace::Folder("/proc/spacefold".into());
    assert_eq!(answers(&fixture.followed(Folding::OnDemand, nowhere)), expected);
}

#[test]
fn there_is_nothing_to_follow_where_there_is_no_store() {
    let fixture = Fixture::new();
    let refused = Spacefold::follow(fixture.path());
    assert!(matches!(refused, Err(OpenError::NoStore { .. })));
    assert!(!fixture.path().exists());
    assert!(matches!(Options::in_memory().follow(), Err(OpenError::NoStore { .. })));
}
