use super::*;
use crate::{Folding, OpenError, Options};

fn shared<T: Send + Sync + Clone>(_: &T) {}

#[test]
fn states_are_folded_live_and_found_again_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let spaces = Spacefold::open(&path).unwrap();
    shared(&spaces);
    let created = SpaceEvent::space_created("handbook", "Handbook");
    let receipt = spaces.append([created], AppendCondition::none()).unwrap();
    let timeout = Duration::from_secs(10);
    let snapshot = spaces.snapshot_after("handbook", receipt.position(), timeout).unwrap();
    assert_eq!(snapshot.name(), Some("Handbook"));
    let clone = spaces.clone();
    spaces.close().unwrap();
    clone.close().unwrap();
    assert!(matches!(
        clone.append([SpaceEvent::space_activated("handbook")], AppendCondition::none()),
        Err(AppendError::Closed)
    ));
    drop((spaces, clone));

    let again = Options::new(&path).folding(Folding::OnDemand).open().unwrap();
    let positions: Vec<Position> =
        again.checkpoints().unwrap().iter().map(|checkpoint| checkpoint.position).collect();
    assert_eq!(positions, [receipt.position()]);
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
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("data")).unwrap();
    let events = [SpaceEvent::space_created("a", "A"), SpaceEvent::space_created("b", "B")];
    spaces.append(events, AppendCondition::none()).unwrap();
    spaces.catch_up().unwrap();
    spaces.save().unwrap();
    for mode in [RebuildMode::Check, RebuildMode::Replace] {
        let outcomes = spaces.rebuild(&[], mode).unwrap();
        let names: Vec<_> = outcomes.iter().map(|outcome| outcome.name).collect();
        assert_eq!(names, ["activity", "content-index", "open-problems", "space-state"]);
        assert_eq!(outcomes[3].verdict.name(), "identical");
        assert!(outcomes.iter().all(|outcome| outcome.events == 2));
    }
    assert_eq!(spaces.snapshot_all().unwrap().len(), 2);
    let unknown = spaces.rebuild(&["nope".to_owned()], RebuildMode::Check);
    assert!(matches!(unknown, Err(RebuildError::UnknownProjection { .. })));
}

#[test]
fn each_clone_reads_its_own_writes_and_what_refused_them() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("data")).unwrap();
    let created = SpaceEvent::space_created("s", "S");
    spaces.append([created], AppendCondition::none()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let own = spaces.clone();
            scope.spawn(move || {
                let mut seen = Position::START;
                for n in 0..60_u64 {
                    let event = SpaceEvent::variable_set("s", format!("v{writer}"), n);
                    let receipt = own.append([event], AppendCondition::none()).unwrap();
                    let snapshot = own.snapshot("s").unwrap();
                    assert!(snapshot.position() >= receipt.position().max(seen));
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
    assert!(late.append([event], lost).is_err());
    assert_eq!(late.snapshot("s").unwrap().revision(), Revision::new(181));
    spaces.close().unwrap();
}

#[test]
fn a_document_has_a_history_and_parts_have_events_to_blame() {
    let folder = tempfile::tempdir().unwrap();
    let spaces = Spacefold::open(folder.path().join("data")).unwrap();
    let events = [
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_added("s", "e", "/e"),
        SpaceEvent::document_content_changed("s", "d", None::<String>, "h"),
        SpaceEvent::variable_set("s", "v", 1),
    ];
    spaces.append(&events, AppendCondition::none()).unwrap();
    let positions = |document: Option<&str>| -> Vec<u64> {
        let pages = spaces.history("s", document).unwrap().map(Result::unwrap);
        pages
            .flat_map(|page| page.envelopes().map(|e| e.position.get()).collect::<Vec<_>>())
            .collect()
    };
    assert_eq!(positions(None), [1, 2, 3, 4, 5]);
    assert_eq!(positions(Some("d")), [2, 4]);
    let blame = spaces.blame("s", Position::new(5)).unwrap();
    assert_eq!(blame.documents[0].content.map(|event| event.position), Some(Position::new(4)));
    let of_d = spaces.diff_document("s", "d", Position::new(1), Position::new(5)).unwrap();
    assert_eq!(of_d.len(), 1);
    assert_eq!(spaces.diff("s", Position::new(1), Position::new(5)).unwrap().len(), 3);
    let unknown = spaces.history("nowhere", None).err();
    assert!(matches!(unknown, Some(SnapshotError::UnknownSpace { .. })));
    spaces.remove_history_cache().unwrap();
    spaces.rebuild_history_cache().unwrap();
    assert_eq!(spaces.snapshot_at("s", Position::new(4)).unwrap().document_count(), 2);
    spaces.close().unwrap();
}
