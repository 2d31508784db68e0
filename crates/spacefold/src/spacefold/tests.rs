use super::*;

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
