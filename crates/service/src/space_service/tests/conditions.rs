//! Commands on conditions.

use spacefold_event_core::{AppendCondition, EventFilter, FailedCondition, Object};

use super::*;
use crate::{CommandError, FailedPrecondition, Scope};

fn service() -> SpaceService {
    let service = SpaceService::in_memory();
    let batch = service.batch("s").create_space("S").add_document("d", "/d");
    batch.add_document("e", "/e").commit().unwrap();
    service
}

fn at(position: u64) -> Position {
    Position::new(position)
}

fn document(id: &str) -> Scope {
    Scope::document(id)
}

#[track_caller]
fn unmet<T: fmt::Debug>(answer: Result<T, CommandError>) -> Vec<FailedPrecondition> {
    match answer.unwrap_err() {
        CommandError::Refused {
            index: None, refusal: Refusal::ConditionFailed { failed }, ..
        } => failed,
        error => panic!("{error}"),
    }
}

fn changed(id: &str, since: u64, found: Option<u64>) -> FailedPrecondition {
    let document_id = id.to_owned();
    FailedPrecondition::DocumentChanged { document_id, since: at(since), found: found.map(at) }
}

fn revision(space_id: &str, expected: u64, current: u64) -> FailedPrecondition {
    let condition = AppendCondition::exact(space_id, Revision::new(expected));
    let log = MemoryLog::new();
    for n in 0..current {
        log.append(&AppendRequest::new(&[SpaceEvent::variable_set(space_id, "n", n)])).unwrap();
    }
    FailedPrecondition::Append(log.failed_parts(&condition).unwrap().remove(0))
}

fn attributes(n: u64) -> Object {
    [("n".to_owned(), Value::from(n))].into_iter().collect()
}

#[test]
fn a_document_is_unchanged_until_it_is_touched() {
    let service = service();
    let edit = |since| service.if_unchanged_since(document("d"), at(since));
    // Other documents, variables, references and renders are no matter.
    service.update_document("s", "e", attributes(1)).unwrap();
    service.add_reference("s", "d", "/e", "cites").unwrap();
    service.render("s", "d").unwrap().complete("out").unwrap();
    for since in 2..=service.log().head().get() {
        assert!(edit(since).rename_space("s", "S").unwrap().is_unchanged());
    }
    assert_eq!(unmet(edit(1).rename_space("s", "T")), [changed("d", 1, Some(2))]);
    let mut since = service.log().head().get();
    type Change = fn(&SpaceService) -> Result<Outcome, CommandError>;
    let changes: [Change; 4] = [
        |service| service.update_document("s", "d", attributes(2)),
        |service| service.move_document("s", "d", "/f"),
        |service| service.set_content("s", "d", "bytes"),
        |service| service.set_content_hash("s", "d", "hash"),
    ];
    for change in changes {
        let position = change(&edit(since)).unwrap().last_position().unwrap().get();
        assert_eq!(unmet(change(&edit(since))), [changed("d", since, Some(position))]);
        since = position;
    }
    edit(since).remove_document("s", "d").unwrap();
    let absent = [changed("d", since, None)];
    assert_eq!(unmet(edit(since).set_variable("s", "v", 1)), absent);
    service.add_document("s", "d", "/d").unwrap();
    assert!(edit(service.log().head().get()).set_variable("s", "v", 1).is_ok());
    service.delete_space("s").unwrap();
    assert_eq!(unmet(edit(since).create_space("s", "S")), absent);
}

#[test]
fn a_space_is_unchanged_until_it_has_an_event() {
    let service = service();
    let edit = |since| service.if_unchanged_since(Scope::Space, at(since));
    service.create_space("t", "T").unwrap();
    assert!(edit(3).rename_space("s", "S").unwrap().is_unchanged());
    assert_eq!(edit(3).set_variable("s", "v", 1).unwrap().last_position(), Some(at(5)));
    let found = FailedPrecondition::SpaceChanged { since: at(3), found: at(5) };
    assert_eq!(unmet(edit(3).set_variable("s", "v", 2)), [found]);
    // Of the space that is commanded.
    assert!(edit(4).set_variable("t", "v", 1).is_ok());
}

#[test]
fn a_condition_goes_before_the_rules_and_before_what_changes_nothing() {
    let service = service();
    let log = service.log().clone();
    let stale = service.only_if(AppendCondition::exact("s", Revision::new(1)));
    let failed = [revision("s", 1, 3)];
    assert_eq!(unmet(stale.rename_space("s", "S")), failed);
    assert_eq!(unmet(stale.add_document("s", "d", "/x")), failed);
    assert_eq!(unmet(stale.set_variable("s", "v", 1)), failed);
    assert_eq!(unmet(stale.set_variable("nowhere", "v", 1)), failed);
    let text = "space \"s\": the condition does not hold: space \"s\" is at revision 3: expected \
                revision 1; nothing was written";
    assert_eq!(stale.rename_space("s", "S").unwrap_err().to_string(), text);
    // Where it holds, everything is as without.
    let current = service.only_if(AppendCondition::exact("s", Revision::new(3)));
    let error = current.add_document("s", "d", "/x").unwrap_err();
    assert!(matches!(error.refusal(), Some(Refusal::DocumentExists { .. })), "{error}");
    assert!(current.rename_space("s", "S").unwrap().is_unchanged());
    assert_eq!(log.head(), at(3));
    assert_eq!(current.set_variable("s", "v", 1).unwrap().revision(), Revision::new(4));
}

#[test]
fn every_part_that_fails_is_listed() {
    let service = service();
    service.create_space("t", "T").unwrap();
    let condition = AppendCondition::no_space("t")
        .and_no_event_matching(EventFilter::all().document("e"), at(2));
    let service = service
        .only_if(condition)
        .only_if(AppendCondition::exists("t"))
        .if_unchanged_since(Scope::Space, at(1))
        .if_unchanged_since(document("e"), at(2))
        .if_unchanged_since(document("d"), at(2))
        .if_unchanged_since(document("d"), at(9));
    let failed = unmet(service.set_variable("s", "v", 1));
    let [
        FailedPrecondition::Append(FailedCondition::Revision { space_id, .. }),
        FailedPrecondition::Append(FailedCondition::EventMatches { position, .. }),
        FailedPrecondition::SpaceChanged { found, .. },
        FailedPrecondition::DocumentChanged { document_id, .. },
        FailedPrecondition::NotReached { since, head },
    ] = &failed[..]
    else {
        panic!("{failed:?}");
    };
    assert_eq!((space_id.as_str(), document_id.as_str()), ("t", "e"));
    assert_eq!((*position, *found, *since, *head), (at(3), at(2), at(9), at(4)));
}

#[test]
fn a_batch_is_given_on_a_condition_as_a_whole() {
    let service = service();
    let edit = service.if_unchanged_since(document("d"), at(2));
    let batch = edit.batch("s").move_document("d", "/x").update_document("d", attributes(1));
    let outcome = batch.set_content("d", "bytes").commit().unwrap();
    assert_eq!(outcome.events().len(), 3);
    let batch = edit.batch("s").set_variable("v", 1).move_document("d", "/y");
    assert_eq!(unmet(batch.commit()), [changed("d", 2, Some(6))]);
    assert_eq!(unmet(edit.batch("s").commit()), [changed("d", 2, Some(6))]);
    assert_eq!(service.log().head(), at(6));
}

/// A service in whose log something happens before each of the first appends of commands.
fn meddled(
    happens: impl Fn(u64) -> Option<SpaceEvent> + Send + Sync + 'static,
) -> (SpaceService, Arc<MemoryLog>) {
    let log = Arc::new(MemoryLog::new());
    for event in [SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/d")] {
        log.append(&AppendRequest::new(&[event])).unwrap();
    }
    let appends = AtomicU64::new(0);
    let before_append = move |log: &MemoryLog, _: &AppendRequest<'_>| {
        if let Some(event) = happens(appends.fetch_add(1, Ordering::SeqCst)) {
            log.append(&AppendRequest::new(&[event])).unwrap();
        }
    };
    let meddled = Meddled { log: Arc::clone(&log), before_append };
    (SpaceService::over(Arc::new(meddled)), log)
}

#[test]
fn what_comes_between_the_decision_and_the_append_is_caught() {
    for keyed in [false, true] {
        let edited = || Some(SpaceEvent::document_updated("s", "d", attributes(1)));
        let (service, log) = meddled(move |n| if n == 0 { edited() } else { None });
        let service = if keyed { service.with_key("k") } else { service };
        let edit = service.if_unchanged_since(document("d"), at(2));
        let answer = edit.update_document("s", "d", attributes(2));
        assert_eq!(unmet(answer), [changed("d", 2, Some(3))], "{keyed}");
        assert_eq!(log.head(), at(3));

        let (service, log) = meddled(move |n| if n == 0 { edited() } else { None });
        let service = if keyed { service.with_key("k") } else { service };
        let edit = service.if_unchanged_since(Scope::Space, at(2));
        let found = FailedPrecondition::SpaceChanged { since: at(2), found: at(3) };
        assert_eq!(unmet(edit.set_variable("s", "v", 2)), [found], "{keyed}");
        assert_eq!(log.head(), at(3));

        let other = |n| (n == 0).then(|| SpaceEvent::space_created("t", "T"));
        let (service, log) = meddled(other);
        let service = if keyed { service.with_key("k") } else { service };
        let alone = service.only_if(AppendCondition::no_space("t"));
        let failed = unmet(alone.set_variable("s", "v", 2));
        assert!(matches!(failed[..], [FailedPrecondition::Append(_)]), "{failed:?}");
        assert_eq!(log.head(), at(3));
    }
}

#[test]
fn what_comes_between_and_is_no_matter_has_the_command_decided_anew() {
    let elsewhere = |n| (n < 10).then(|| SpaceEvent::variable_set("s", "other", n));
    for keyed in [false, true] {
        let (service, log) = meddled(elsewhere);
        let service = if keyed { service.with_key("k") } else { service };
        let edit = service
            .if_unchanged_since(document("d"), at(2))
            .only_if(AppendCondition::no_space("t"));
        let outcome = edit.update_document("s", "d", attributes(2)).unwrap();
        assert_eq!(outcome.revision(), Revision::new(13));
        assert_eq!(outcome.into_events(), all(&*log).split_off(12));
    }
}

#[test]
fn no_edit_of_many_at_once_is_lost() {
    const THREADS: u64 = 4;
    const EDITS: u64 = 50;
    let service = service();
    service.update_document("s", "d", attributes(0)).unwrap();
    thread::scope(|scope| {
        for n in 0..THREADS {
            let own = SpaceService::over(Arc::clone(service.log()));
            let service = if n % 2 == 0 { service.clone() } else { own };
            scope.spawn(move || {
                let mut edits = 0;
                while edits < EDITS {
                    let page = service.states().snapshot("s").unwrap();
                    let number = page.document("d").unwrap().attributes().get("n").cloned();
                    let Some(Value::Integer(number)) = number else { panic!("{number:?}") };
                    let number = u64::try_from(number).unwrap();
                    let edit = service.if_unchanged_since(document("d"), page.position());
                    match edit.update_document("s", "d", attributes(number + 1)) {
                        Ok(_) => edits += 1,
                        Err(error) => {
                            let refusal = error.refusal();
                            let is_unmet = matches!(refusal, Some(Refusal::ConditionFailed { .. }));
                            assert!(is_unmet, "{error}");
                        }
                    }
                }
            });
        }
    });
    let number = service.states().snapshot("s").unwrap();
    let number = number.document("d").unwrap().attributes().get("n").cloned();
    assert_eq!(number, Some(Value::from(THREADS * EDITS)));
}

#[test]
fn a_repetition_is_answered_as_the_first_time_though_its_condition_holds_no_more() {
    type On = fn(&SpaceService) -> SpaceService;
    let conditions: [On; 5] = [
        |service| service.if_unchanged_since(document("d"), at(4)),
        |service| service.if_unchanged_since(Scope::Space, at(4)),
        |service| service.only_if(AppendCondition::exact("s", Revision::new(3))),
        // Still holds the second time.
        |service| service.only_if(AppendCondition::exact("t", Revision::new(1))),
        |service| service.only_if(AppendCondition::exists("t")),
    ];
    for (n, on) in conditions.into_iter().enumerate() {
        let service = service();
        service.create_space("t", "T").unwrap();
        let edit = || on(&service.with_key("k")).set_content("s", "d", "bytes");
        let first = edit().unwrap();
        assert!(!first.is_repeated());
        for meanwhile in 0..2 {
            let again = edit().unwrap();
            assert!(again.is_repeated(), "{n}, {meanwhile}");
            assert_eq!(again.events(), first.events());
            // After which the same could happen again.
            service.set_content("s", "d", format!("other {meanwhile}")).unwrap();
        }
        let again = SpaceService::over(service.log().clone()).with_key("k");
        let again = on(&again).set_content_hash("s", "d", first_hash(&first)).unwrap();
        assert_eq!(again.events(), first.events(), "{n}");
        assert_eq!(service.log().head(), at(7), "{n}");
        // For another command the key is taken, whatever its condition.
        let error = on(&service.with_key("k")).set_variable("s", "v", 1).unwrap_err();
        assert!(matches!(error.refusal(), Some(Refusal::KeyReused { .. })), "{n}: {error}");
    }
}

fn first_hash(outcome: &Outcome) -> String {
    let payload = outcome.events()[0].event.payload.to_object();
    payload.get("new_hash").and_then(Value::as_str).unwrap().to_owned()
}

#[test]
fn a_command_that_was_refused_on_a_condition_may_be_given_again_under_its_key() {
    let service = service();
    let keyed = service.with_key("k");
    let stale = keyed.if_unchanged_since(document("e"), at(2));
    assert_eq!(unmet(stale.set_variable("s", "v", 1)), [changed("e", 2, Some(3))]);
    let edit = keyed.if_unchanged_since(document("e"), at(3));
    assert!(!edit.set_variable("s", "v", 1).unwrap().is_repeated());
    assert!(stale.set_variable("s", "v", 1).unwrap().is_repeated());
}

/// Fails a test that reads from it.
struct Unread;

impl std::io::Read for Unread {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("what is refused is not read")
    }
}

#[test]
fn content_is_neither_read_nor_kept_on_a_condition_that_does_not_hold() {
    let service = service();
    service.create_space("t", "T").unwrap();
    let store = service.content_store().unwrap();
    let bytes = "never kept";
    for stale in [
        service.if_unchanged_since(document("d"), at(1)),
        service.if_unchanged_since(Scope::Space, at(1)),
        service.only_if(AppendCondition::no_space("t")),
    ] {
        unmet(stale.set_content("s", "d", bytes));
        unmet(stale.with_key("k").set_content("s", "d", bytes));
        unmet(stale.set_content_from("s", "d", &mut Unread));
    }
    assert!(!store.contains(&spacefold_event_core::ContentHash::of(bytes.as_bytes())).unwrap());
}

#[test]
fn a_render_ends_whatever_its_start_was_on() {
    let service = service();
    let guard = service.if_unchanged_since(Scope::Space, at(3)).render("s", "d").unwrap();
    guard.complete("out").unwrap();
    unmet(service.if_unchanged_since(Scope::Space, at(3)).render("s", "d"));
}

#[test]
fn who_and_what_for_can_be_read_from_the_service() {
    let service = SpaceService::in_memory();
    assert_eq!((service.source(), service.correlation_id()), (None, None));
    let marked = service.with_source("editor").with_correlation_id("c");
    let marked = marked.only_if(AppendCondition::none()).with_key("k");
    assert_eq!((marked.source(), marked.correlation_id()), (Some("editor"), Some("c")));
}
