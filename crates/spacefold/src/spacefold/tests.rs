use std::time::Duration;

use spacefold_event_core::{LogReader as _, Position, ReadError, Revision};

use super::*;
use crate::{
    Delivery, Folding, OpenError, Options, Subscription,
    admin::{RebuildError, RebuildMode, RebuildOptions, StateCommitments, VerifyOptions, verify},
    content::ContentStore as _,
    event::EventFilter,
    log::ReadRequest,
};

fn shared<T: Send + Sync + Clone>(_: &T) {}

/// Runs a test on an empty store of each kind: on disk, and in memory.
fn on_each_kind(test: fn(&Options)) {
    let folder = tempfile::tempdir().unwrap();
    for options in [Options::new(folder.path().join("data")), Options::in_memory()] {
        println!("{:?}", options.place);
        test(&options);
    }
}

#[test]
fn states_are_folded_live_and_found_again_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let spaces = Spacefold::open(&path).unwrap();
    shared(&spaces);
    let created = SpaceEvent::space_created("handbook", "Handbook");
    let receipt = spaces.append([created]).unwrap();
    let timeout = Duration::from_secs(10);
    let snapshot = spaces.snapshot_after("handbook", receipt.last_position(), timeout).unwrap();
    assert_eq!(snapshot.name(), Some("Handbook"));
    let clone = spaces.clone();
    spaces.close().unwrap();
    clone.close().unwrap();
    assert!(matches!(
        clone.append([SpaceEvent::space_activated("handbook")]),
        Err(AppendError::Closed)
    ));
    drop((spaces, clone));

    let again = Options::new(&path).folding(Folding::OnDemand).open().unwrap();
    let positions: Vec<Position> =
        again.admin().checkpoints().unwrap().iter().map(|checkpoint| checkpoint.position).collect();
    assert_eq!(positions, [receipt.last_position()]);
    assert_eq!(again.snapshot("handbook").unwrap().state_hash(), snapshot.state_hash());
}

#[test]
fn a_store_that_is_open_is_not_opened_again_until_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let spaces = Spacefold::open(&path).unwrap();
    assert!(matches!(Spacefold::open(&path), Err(OpenError::AlreadyOpen { .. })));
    drop(spaces);
    Spacefold::open_existing(&path).unwrap();
}

#[test]
fn a_rebuild_finds_what_was_folded_live() {
    on_each_kind(rebuild);
}

fn rebuild(options: &Options) {
    let spaces = options.open().unwrap();
    let events = [SpaceEvent::space_created("a", "A"), SpaceEvent::space_created("b", "B")];
    spaces.append(events).unwrap();
    spaces.catch_up().unwrap();
    spaces.save().unwrap();
    for mode in [RebuildMode::Check, RebuildMode::Replace] {
        let outcomes = spaces.admin().rebuild(&[], &RebuildOptions::new(mode)).unwrap();
        let names: Vec<_> = outcomes.iter().map(|outcome| outcome.name).collect();
        assert_eq!(names, ["activity", "content-index", "open-problems", "space-state"]);
        assert_eq!(outcomes[3].verdict.name(), "identical");
        assert!(outcomes.iter().all(|outcome| outcome.events == 2));
    }
    assert_eq!(spaces.snapshot_all().unwrap().len(), 2);
    let unknown =
        spaces.admin().rebuild(&["nope".to_owned()], &RebuildOptions::new(RebuildMode::Check));
    assert!(matches!(unknown, Err(RebuildError::UnknownProjection { .. })));
}

#[test]
fn each_clone_reads_its_own_writes_and_what_refused_them() {
    on_each_kind(read_own_writes);
}

fn read_own_writes(options: &Options) {
    let spaces = options.open().unwrap();
    let created = SpaceEvent::space_created("s", "S");
    spaces.append([created]).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let own = spaces.clone();
            scope.spawn(move || {
                let mut seen = Position::START;
                for n in 0..60_u64 {
                    let event = SpaceEvent::variable_set("s", format!("v{writer}"), n);
                    let receipt = own.append([event]).unwrap();
                    let snapshot = own.snapshot("s").unwrap();
                    assert!(snapshot.position() >= receipt.last_position().max(seen));
                    let name = format!("v{writer}");
                    assert_eq!(snapshot.variable(&name), Some(&n.into()));
                    let all = own.snapshot_all().unwrap();
                    assert!(all[0].position() >= snapshot.position());
                    seen = all[0].position();
                }
            });
        }
    });
    let late = spaces.clone();
    let lost = AppendCondition::exact("s", Revision::new(1));
    let event = SpaceEvent::space_archived("s");
    assert!(late.append_if([event], lost).is_err());
    assert_eq!(late.snapshot("s").unwrap().revision(), Revision::new(181));
    spaces.close().unwrap();
}

#[test]
fn a_document_has_a_history_and_parts_have_events_to_blame() {
    on_each_kind(look_back);
}

fn look_back(options: &Options) {
    let spaces = options.open().unwrap();
    let events = [
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_added("s", "e", "/e"),
        SpaceEvent::document_content_changed("s", "d", None::<String>, "h"),
        SpaceEvent::variable_set("s", "v", 1).with_tags(["t"]).with_source("here"),
    ];
    spaces.append(&events).unwrap();
    let positions = |filter: EventFilter| -> Vec<u64> {
        let pages = spaces.history(filter).unwrap().map(Result::unwrap);
        pages
            .flat_map(|page| page.envelopes().map(|e| e.position.get()).collect::<Vec<_>>())
            .collect()
    };
    let of_space = EventFilter::all().spaces(["s"]);
    assert_eq!(positions(of_space.clone()), [1, 2, 3, 4, 5]);
    assert_eq!(positions(of_space.document("d")), [2, 4]);
    assert_eq!(positions(EventFilter::all().tags(["t"])), [5]);
    assert_eq!(positions(EventFilter::all().source("here")), [5]);
    let blame = spaces.at(Position::new(5)).blame("s").unwrap();
    assert_eq!(
        blame.documents[0].content.as_ref().map(|event| event.position),
        Some(Position::new(4))
    );
    let of_d = spaces.diff_document("s", "d", Position::new(1)..Position::new(5)).unwrap();
    assert_eq!(of_d.len(), 1);
    assert_eq!(spaces.diff("s", Position::new(1)..Position::new(5)).unwrap().len(), 3);
    let unknown = spaces.history(EventFilter::all().spaces(["nowhere"])).err();
    assert!(matches!(unknown, Some(SnapshotError::UnknownSpace { .. })));
    spaces.history_cache().remove().unwrap();
    spaces.history_cache().rebuild().unwrap();
    assert_eq!(spaces.at(Position::new(4)).snapshot("s").unwrap().document_count(), 2);
    spaces.close().unwrap();
}

#[test]
fn a_store_that_was_closed_answers_so() {
    on_each_kind(close);
}

fn close(options: &Options) {
    let spaces = options.open().unwrap();
    let created = SpaceEvent::space_created("s", "S");
    spaces.append([created]).unwrap();
    let content = spaces.content().put(&mut &b"text"[..]).unwrap();
    let mut tail = spaces.subscribe(Subscription::from_now()).unwrap();
    assert!(matches!(tail.recv().unwrap(), Delivery::CaughtUp { .. }));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tail.recv().is_err());
        spaces.close().unwrap();
        assert!(waiting.join().unwrap(), "whoever waits is told");
    });
    let late = spaces.append([SpaceEvent::space_activated("s")]);
    assert!(matches!(late, Err(AppendError::Closed)), "{late:?}");
    assert!(matches!(spaces.spaces(), Err(ReadError::Closed)));
    assert!(matches!(
        spaces.log().read(&ReadRequest::from(Position::new(1))),
        Err(ReadError::Closed)
    ));
    assert!(spaces.service().activate_space("s").is_err());
    assert!(spaces.content().open(&content.hash).is_err());
    spaces.close().unwrap();
}

#[test]
fn acknowledged_events_do_not_come_again_to_the_same_name() {
    on_each_kind(acknowledge);
}

fn acknowledge(options: &Options) {
    let spaces = options.open().unwrap();
    let events = ["a", "b"].map(|id| SpaceEvent::space_created(id, id));
    spaces.append(events).unwrap();
    let begin = Subscription::from_start();
    let mut mailer = spaces.subscribe_durable("mailer", &begin).unwrap();
    let Delivery::Events(page) = mailer.recv().unwrap() else { panic!("no events") };
    assert_eq!(page.len(), 2);
    mailer.ack(Position::new(2)).unwrap();
    assert!(spaces.subscribe_durable("mailer", &begin).is_err(), "it has an owner");
    drop(mailer);
    spaces.save().unwrap();
    let mut mailer = spaces.subscribe_durable("mailer", &begin).unwrap();
    assert!(matches!(mailer.recv().unwrap(), Delivery::CaughtUp { .. }));
    drop(mailer);
    let known = spaces.feed().durable_subscriptions().unwrap();
    assert_eq!(known.iter().map(|it| it.position).collect::<Vec<_>>(), [Some(Position::new(2))]);
}

#[test]
fn states_are_hashed_into_the_log() {
    on_each_kind(commit_states);
}

fn commit_states(options: &Options) {
    let events = std::num::NonZeroU64::new(1_024).unwrap();
    let spaces = options.clone().commitments(StateCommitments::Every(events)).open().unwrap();
    let mut rounds = 0;
    while spaces.log().last_commitment() == Position::START {
        let event = |n: u64| SpaceEvent::variable_set(format!("s{}", n % 7), "n", n);
        spaces.append((0..512).map(event).collect::<Vec<_>>()).unwrap();
        rounds += 1;
        assert!(rounds < 20_000, "no block says anything of states");
    }
    let info = spaces.admin().info();
    assert!(info.journal_bytes > 0, "{info:?}");
    assert_eq!(info.durable_head, Position::new(rounds * 512));
}

#[test]
fn each_store_in_memory_is_one_of_its_own_and_gone_when_it_is_dropped() {
    let [first, second] = [(); 2].map(|()| Spacefold::in_memory().unwrap());
    first.append([SpaceEvent::space_created("s", "S")]).unwrap();
    first.content().put(&mut &b"text"[..]).unwrap();
    assert_eq!((second.durable_head(), second.content().info().packs), (Position::START, 0));
    assert_ne!(first.admin().info().store_id, second.admin().info().store_id);
    let log = Arc::downgrade(&first.inner.engine);
    drop(first);
    assert!(log.upgrade().is_none());
}

#[test]
fn of_a_store_in_memory_there_is_nothing_to_open_or_to_verify() {
    let refused = Options::in_memory().existing_only().open();
    assert!(matches!(refused, Err(OpenError::NoStore { .. })), "{refused:?}");
    let spaces = Options::in_memory().mode(0o750).open().unwrap();
    let path = spaces.log().path();
    assert!(!path.exists(), "{}", path.display());
    let verified = verify(&path, VerifyOptions::default());
    assert!(matches!(verified, Err(OpenError::NoStore { .. })), "{verified:?}");
}
