//! Each operation: what it emits, when it emits nothing, and every rule that refuses it.

mod laws;
mod statuses;

use super::*;
use crate::{CommandError, Outcome, SpaceService, testing::given};
use spacefold_event_core::{LimitExceeded, Payload, Position};
use spacefold_state::{Reference, RenderStatus};

const NONE: Presence = Presence::Absent;

/// A space with two documents, one of which has everything.
fn space() -> Vec<SpaceEvent> {
    vec![
        SpaceEvent::space_created("s", "S"),
        SpaceEvent::document_added("s", "d", "/d"),
        SpaceEvent::document_added("s", "e", "/e"),
        SpaceEvent::space_updated("s", object([("color", "red".into())])),
        SpaceEvent::document_updated("s", "d", object([("lang", "en".into())])),
        SpaceEvent::document_content_changed("s", "d", NONE, "h1"),
        SpaceEvent::variable_set("s", "v", 1),
        SpaceEvent::reference_added("s", "d", "/e", "cites"),
    ]
}

fn and(event: SpaceEvent) -> Vec<SpaceEvent> {
    let mut events = space();
    events.push(event);
    events
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Object {
    entries.into_iter().collect()
}

fn ids<const N: usize>(ids: [&str; N]) -> Vec<String> {
    ids.map(str::to_owned).into()
}

/// What a command on the space emits.
#[track_caller]
fn emits(act: impl FnOnce(&SpaceService) -> Result<Outcome, CommandError>, expected: SpaceEvent) {
    given(space()).when(act).then([expected]);
}

/// That a command on the space emits nothing.
#[track_caller]
fn is_quiet(act: impl FnOnce(&SpaceService) -> Result<Outcome, CommandError>) {
    given(space()).when(act).then_nothing();
}

/// That a command on the space is refused.
#[track_caller]
fn refuses(act: impl FnOnce(&SpaceService) -> Result<Outcome, CommandError>, expected: Refusal) {
    given(space()).when(act).then(expected);
}

fn unknown_document(id: &str) -> Refusal {
    Refusal::UnknownDocument { document_id: id.to_owned() }
}

const fn empty(what: &'static str) -> Refusal {
    Refusal::Empty { what }
}

#[test]
fn a_space_is_created_once() {
    let created = SpaceEvent::space_created("s", "S");
    given([]).when(|service| service.create_space("s", "S")).then([created.clone()]);
    let exists = Refusal::SpaceExists { status: SpaceStatus::Created };
    given([created.clone()]).when(|service| service.create_space("s", "T")).then(exists);
    // One that came to be without `space.created` is there too.
    let exists = Refusal::SpaceExists { status: SpaceStatus::Unknown };
    let variable = SpaceEvent::variable_set("s", "v", 1);
    given([variable]).when(|service| service.create_space("s", "S")).then(exists);
    given([]).when(|service| service.create_space("s", " ")).then(empty("name"));
    given([created, SpaceEvent::space_deleted("s", "S")])
        .when(|service| service.create_space("s", "T"))
        .then([SpaceEvent::space_created("s", "T")])
        .then_state("s", |state| assert_eq!(state.status(), SpaceStatus::Created));
}

#[test]
fn a_space_is_updated_by_what_changes_it() {
    let changes = object([("color", "blue".into()), ("size", 3.into())]);
    emits(
        |s| s.update_space("s", changes.clone()),
        SpaceEvent::space_updated("s", changes.clone()),
    );
    let removal = object([("color", Value::Null)]);
    emits(
        |s| s.update_space("s", removal.clone()),
        SpaceEvent::space_updated("s", removal.clone()),
    );
    let name = object([("name", "T".into())]);
    given(space())
        .when(|s| s.update_space("s", name.clone()))
        .then([SpaceEvent::space_updated("s", name)])
        .then_state("s", |state| assert_eq!(state.name(), Some("T")));
    // What is no string does not rename, and is metadata like any other.
    let number = object([("name", 7.into())]);
    emits(|s| s.update_space("s", number.clone()), SpaceEvent::space_updated("s", number.clone()));
    is_quiet(|s| s.update_space("s", object([])));
    is_quiet(|s| s.update_space("s", object([("color", "red".into())])));
    is_quiet(|s| s.update_space("s", object([("absent", Value::Null)])));
    refuses(|s| s.update_space("s", object([("name", "".into())])), empty("name"));
}

#[test]
fn a_space_is_renamed() {
    let renamed = SpaceEvent::space_updated("s", object([("name", "T".into())]));
    given(space())
        .when(|s| s.rename_space("s", "T"))
        .then([renamed])
        .then_state("s", |state| assert_eq!(state.name(), Some("T")));
    is_quiet(|s| s.rename_space("s", "S"));
    refuses(|s| s.rename_space("s", ""), empty("name"));
}

#[test]
fn a_space_takes_each_status_once() {
    emits(|s| s.activate_space("s"), SpaceEvent::space_activated("s"));
    emits(|s| s.archive_space("s"), SpaceEvent::space_archived("s"));
    emits(|s| s.delete_space("s"), SpaceEvent::space_deleted("s", "S"));
    let unchanged = |status| Refusal::StatusUnchanged { status };
    given(and(SpaceEvent::space_activated("s")))
        .when(|s| s.activate_space("s"))
        .then(unchanged(SpaceStatus::Active));
    given(and(SpaceEvent::space_archived("s")))
        .when(|s| s.archive_space("s"))
        .then(unchanged(SpaceStatus::Archived));
    given(and(SpaceEvent::space_archived("s")))
        .when(|s| s.activate_space("s"))
        .then([SpaceEvent::space_activated("s")]);
    // A space that never had a name has none to tell.
    given([SpaceEvent::variable_set("s", "v", 1)])
        .when(|s| s.delete_space("s"))
        .then([SpaceEvent::space_deleted("s", Presence::Null)]);
}

#[test]
fn a_document_is_added_where_none_is() {
    emits(|s| s.add_document("s", "f", "/f"), SpaceEvent::document_added("s", "f", "/f"));
    let exists = Refusal::DocumentExists { document_id: "d".to_owned(), path: "/d".to_owned() };
    refuses(|s| s.add_document("s", "d", "/f"), exists);
    let taken = Refusal::PathTaken { path: "/d".to_owned(), document_id: "d".to_owned() };
    refuses(|s| s.add_document("s", "f", "/d"), taken);
    refuses(|s| s.add_document("s", "f", ""), empty("path"));
    let limit = LimitExceeded::EmptyId { what: "document_id" };
    refuses(|s| s.add_document("s", "", "/f"), Refusal::Limit(limit));
    let limit = LimitExceeded::IdTooLong { what: "document_id", bytes: 513 };
    refuses(|s| s.add_document("s", "f".repeat(513), "/f"), Refusal::Limit(limit));
}

#[test]
fn a_document_is_updated_by_what_changes_it() {
    let changes = object([("lang", Value::Null), ("words", 12.into())]);
    let updated = SpaceEvent::document_updated("s", "d", changes.clone());
    emits(|s| s.update_document("s", "d", changes), updated);
    is_quiet(|s| s.update_document("s", "d", object([("lang", "en".into())])));
    refuses(|s| s.update_document("s", "x", object([])), unknown_document("x"));
}

#[test]
fn a_document_is_moved_to_a_free_path() {
    let moved = SpaceEvent::document_moved("s", "d", "/d", "/f");
    emits(|s| s.move_document("s", "d", "/f"), moved);
    is_quiet(|s| s.move_document("s", "d", "/d"));
    let taken = Refusal::PathTaken { path: "/e".to_owned(), document_id: "e".to_owned() };
    refuses(|s| s.move_document("s", "d", "/e"), taken);
    refuses(|s| s.move_document("s", "x", "/f"), unknown_document("x"));
    refuses(|s| s.move_document("s", "d", ""), empty("path"));
}

#[test]
fn a_document_is_removed_with_the_path_that_it_had() {
    emits(|s| s.remove_document("s", "d"), SpaceEvent::document_removed("s", "d", "/d"));
    refuses(|s| s.remove_document("s", "x"), unknown_document("x"));
}

#[test]
fn content_changes_when_its_hash_does() {
    let changed = SpaceEvent::document_content_changed("s", "d", "h1", "h2");
    emits(|s| s.set_content_hash("s", "d", "h2"), changed);
    let first = SpaceEvent::document_content_changed("s", "e", Presence::Null, "h2");
    emits(|s| s.set_content_hash("s", "e", "h2"), first);
    is_quiet(|s| s.set_content_hash("s", "d", "h1"));
    refuses(|s| s.set_content_hash("s", "x", "h1"), unknown_document("x"));
    refuses(|s| s.set_content_hash("s", "d", ""), empty("hash"));
}

#[test]
fn a_variable_is_set_to_another_value_and_deleted() {
    emits(|s| s.set_variable("s", "v", 2), SpaceEvent::variable_set("s", "v", 2));
    emits(
        |s| s.set_variable("s", "w", Value::Null),
        SpaceEvent::variable_set("s", "w", Value::Null),
    );
    is_quiet(|s| s.set_variable("s", "v", 1));
    let limit = LimitExceeded::EmptyId { what: "name" };
    refuses(|s| s.set_variable("s", "", 1), Refusal::Limit(limit));
    emits(|s| s.delete_variable("s", "v"), SpaceEvent::variable_deleted("s", "v"));
    let unknown = Refusal::UnknownVariable { name: "w".to_owned() };
    refuses(|s| s.delete_variable("s", "w"), unknown);
}

#[test]
fn references_are_a_set_of_documents_that_exist() {
    let added = SpaceEvent::reference_added("s", "d", "/e", "quotes");
    emits(|s| s.add_reference("s", "d", "/e", "quotes"), added);
    let added = SpaceEvent::reference_added("s", "d", "/e", NONE);
    emits(|s| s.add_reference("s", "d", "/e", NONE), added);
    is_quiet(|s| s.add_reference("s", "d", "/e", "cites"));
    refuses(|s| s.add_reference("s", "x", "/e", NONE), unknown_document("x"));
    refuses(|s| s.add_reference("s", "d", "", NONE), empty("target"));
    emits(|s| s.clear_references("s", "d"), SpaceEvent::reference_cleared("s", "d"));
    emits(|s| s.clear_references("s", NONE), SpaceEvent::reference_cleared("s", NONE));
    is_quiet(|s| s.clear_references("s", "e"));
    refuses(|s| s.clear_references("s", "x"), unknown_document("x"));
    given([SpaceEvent::space_created("s", "S")])
        .when(|s| s.clear_references("s", NONE))
        .then_nothing();
}

#[test]
fn references_are_set_by_their_difference() {
    let cleared = SpaceEvent::reference_cleared("s", "d");
    let plain = SpaceEvent::reference_added("s", "d", "/f", NONE);
    let set = |to: Vec<Reference>| move |s: &SpaceService| s.set_references("s", "d", to);
    let (kept, new) = (Reference::from(("/e", "cites")), Reference::from("/f"));
    // The document has the first of them.
    is_quiet(set(vec![kept.clone(), kept.clone()]));
    emits(set(vec![new.clone(), kept.clone(), new.clone()]), plain.clone());
    given(space()).when(set(vec![new.clone()])).then([cleared.clone(), plain.clone()]);
    let of_another_kind = Reference::from(("/e", "quotes"));
    given(space())
        .when(set(vec![of_another_kind, kept]))
        .then([SpaceEvent::reference_added("s", "d", "/e", "quotes")]);
    emits(set(Vec::new()), cleared.clone());
    is_quiet(|s| s.set_references("s", "e", Vec::<Reference>::new()));
    // One that goes and one that stays.
    given(and(plain.clone())).when(|s| s.set_references("s", "d", ["/f", "/g"])).then([
        cleared,
        plain,
        SpaceEvent::reference_added("s", "d", "/g", NONE),
    ]);
    given(and(SpaceEvent::reference_added("s", "d", "/f", Presence::Null)))
        .when(|s| s.set_references("s", "d", [("/e", "cites").into(), new]))
        .then_nothing();
    given(space())
        .when(|s| {
            s.batch("s").add_document("f", "/f").set_references("f", [("/e", "cites")]).commit()
        })
        .then([
            SpaceEvent::document_added("s", "f", "/f"),
            SpaceEvent::reference_added("s", "f", "/e", "cites"),
        ]);
    refuses(|s| s.set_references("s", "x", ["/e"]), unknown_document("x"));
    refuses(|s| s.set_references("s", "d", ["/e", " "]), empty("target"));
}

#[test]
fn a_render_is_taken_over_by_where_it_started() {
    for document in [NONE, "d".into()] {
        let of = || document.clone();
        let running = || and(SpaceEvent::render_started("s", of()));
        let (started, later) = (Position::new(9), Position::new(11));
        let taken_over = [
            SpaceEvent::render_failed("s", of(), "another render was started in its place"),
            SpaceEvent::render_started("s", of()),
        ];
        given(running())
            .when(|s| s.take_over_render("s", of(), started))
            .then(taken_over)
            .then_state("s", |state| {
                let render = state.render(document.as_deref()).unwrap();
                assert_eq!((render.status(), render.position()), (RenderStatus::Running, later));
            });
        // Of two who find the same render, one gets it.
        given(running())
            .when(|s| {
                s.take_over_render("s", of(), started)?;
                s.take_over_render("s", of(), started)
            })
            .then_error(|error| {
                let superseded = Refusal::RenderSuperseded { started, running: later };
                assert_eq!(error.refusal(), Some(&superseded));
            });
        let document_id = document.as_deref().map(str::to_owned);
        let none = Refusal::RenderNotRunning { document_id: document_id.clone(), found: None };
        refuses(|s| s.take_over_render("s", of(), started), none);
        let found = Some(RenderStatus::Failed);
        given(running().into_iter().chain([SpaceEvent::render_failed("s", of(), NONE)]))
            .when(|s| s.take_over_render("s", of(), started))
            .then(Refusal::RenderNotRunning { document_id, found });
    }
    let started = Position::new(9);
    refuses(|s| s.take_over_render("s", "x", started), unknown_document("x"));
}

#[test]
fn a_render_begins_and_ends_in_turn() {
    for document in [NONE, "d".into()] {
        let of = document.clone();
        emits(|s| s.start_render("s", of), SpaceEvent::render_started("s", document.clone()));
        let running = || and(SpaceEvent::render_started("s", document.clone()));
        let of = document.clone();
        let completed = SpaceEvent::render_completed("s", of.clone(), "out");
        given(running()).when(|s| s.complete_render("s", of, "out")).then([completed.clone()]);
        let of = document.clone();
        let failed = SpaceEvent::render_failed("s", of.clone(), "no ink");
        given(running()).when(|s| s.fail_render("s", of, "no ink")).then([failed]);
        let document_id = document.as_deref().map(str::to_owned);
        let (started, of) = (Position::new(9), document.clone());
        given(running())
            .when(|s| s.start_render("s", of))
            .then(Refusal::RenderRunning { document_id: document_id.clone(), started });
        let none = Refusal::RenderNotRunning { document_id: document_id.clone(), found: None };
        let of = document.clone();
        refuses(|s| s.complete_render("s", of, NONE), none.clone());
        let of = document.clone();
        refuses(|s| s.fail_render("s", of, NONE), none);
        let found = Some(RenderStatus::Completed);
        given(running().into_iter().chain([completed]))
            .when(|s| s.fail_render("s", document, NONE))
            .then(Refusal::RenderNotRunning { document_id, found });
    }
    refuses(|s| s.start_render("s", "x"), unknown_document("x"));
    refuses(|s| s.complete_render("s", "x", NONE), unknown_document("x"));
    refuses(|s| s.fail_render("s", "x", NONE), unknown_document("x"));
}

#[test]
fn a_synchronisation_begins_and_ends_in_turn() {
    emits(|s| s.start_sync("s", "push"), SpaceEvent::sync_started("s", "push"));
    refuses(|s| s.complete_sync("s"), Refusal::SyncNotRunning);
    refuses(|s| s.record_conflict("s", "d", "l", "r"), Refusal::SyncNotRunning);
    let running = || and(SpaceEvent::sync_started("s", NONE));
    let started = Position::new(9);
    given(running()).when(|s| s.start_sync("s", NONE)).then(Refusal::SyncRunning { started });
    given(running()).when(|s| s.complete_sync("s")).then([SpaceEvent::sync_completed("s")]);
    // Of a document that is unknown here too.
    for document in ["d", "x"] {
        let conflict = SpaceEvent::sync_conflict("s", document, "l", "r");
        given(running())
            .when(|s| s.record_conflict("s", document, "l", "r"))
            .then([conflict.clone()]);
        let open = running().into_iter().chain([conflict]);
        given(open.clone()).when(|s| s.record_conflict("s", document, "l", "r")).then_nothing();
        let other = SpaceEvent::sync_conflict("s", document, "l", NONE);
        given(open).when(|s| s.record_conflict("s", document, "l", NONE)).then([other]);
    }
}

#[test]
fn a_synchronisation_is_taken_over_by_where_it_started() {
    let running = || and(SpaceEvent::sync_started("s", "push"));
    let (started, later) = (Position::new(9), Position::new(10));
    given(running())
        .when(|s| s.take_over_sync("s", "pull", started))
        .then([SpaceEvent::sync_started("s", "pull")])
        .then_state("s", |state| assert_eq!(state.sync().started, Some(later)));
    // Of two who find the same synchronisation, one gets it.
    let superseded = || Refusal::SyncSuperseded { started, running: later };
    let taken_over = || running().into_iter().chain([SpaceEvent::sync_started("s", "pull")]);
    given(taken_over()).when(|s| s.take_over_sync("s", NONE, started)).then(superseded());
    refuses(|s| s.take_over_sync("s", NONE, started), Refusal::SyncNotRunning);
    for ended in [SpaceEvent::sync_completed("s"), SpaceEvent::space_archived("s")] {
        let refused = match ended.payload {
            Payload::SyncCompleted { .. } => Refusal::SyncNotRunning,
            _ => Refusal::SpaceArchived,
        };
        given(running().into_iter().chain([ended]))
            .when(|s| s.take_over_sync("s", NONE, started))
            .then(refused);
    }
    // What the one that was only slow says of its own changes nothing of the other one.
    let late = [
        Command::CompleteSync { started: Some(started) },
        Command::RecordConflict {
            document_id: "d".to_owned(),
            local_hash: "l".into(),
            remote_hash: "r".into(),
            started: Some(started),
        },
    ];
    for command in late {
        given(taken_over()).when(|s| s.execute("s", command.clone())).then(superseded());
        let recorded = given(running()).when(|s| s.execute("s", command)).recorded();
        assert_eq!(recorded.len(), 1, "{recorded:?}");
    }
    let own = Command::CompleteSync { started: Some(later) };
    given(taken_over())
        .when(|s| s.execute("s", own))
        .then([SpaceEvent::sync_completed("s")])
        .then_state("s", |state| assert_eq!(state.sync().started, None));
}

#[test]
fn a_conflict_is_resolved_by_the_content_chosen() {
    let open = || {
        let conflicts = ["d", "x"].map(|id| SpaceEvent::sync_conflict("s", id, "h1", "h2"));
        and(SpaceEvent::sync_started("s", NONE)).into_iter().chain(conflicts)
    };
    // The local one, which the document has already; the remote one; another.
    for chosen in ["h1", "h2", "h3"] {
        given(open())
            .when(|s| s.resolve_conflict("s", "d", chosen))
            .then([SpaceEvent::document_content_changed("s", "d", "h1", chosen)])
            .then_state("s", |state| assert_eq!(state.conflict("d"), None));
    }
    refuses(
        |s| s.resolve_conflict("s", "d", "h2"),
        Refusal::NoConflict { document_id: "d".to_owned() },
    );
    given(open()).when(|s| s.resolve_conflict("s", "x", "h2")).then(unknown_document("x"));
    given(open()).when(|s| s.resolve_conflict("s", "d", "")).then(empty("hash"));
    // What else closes it.
    given(open())
        .when(|s| {
            s.complete_sync("s")?;
            s.start_sync("s", NONE)
        })
        .then_state("s", |state| assert!(state.conflicts().is_empty()));
    given(open())
        .when(|s| s.remove_document("s", "d"))
        .then_state("s", |state| assert_eq!(state.conflict("d"), None));
    // Once the document is there, the conflict that came before it can be resolved.
    given(open())
        .when(|s| {
            s.add_document("s", "x", "/x")?;
            s.resolve_conflict("s", "x", "h2")
        })
        .then([
            SpaceEvent::document_added("s", "x", "/x"),
            SpaceEvent::document_content_changed("s", "x", Presence::Null, "h2"),
        ])
        .then_state("s", |state| assert_eq!(state.conflict("x"), None));
}

#[test]
fn a_cache_is_invalidated_where_it_is_not_yet() {
    let both = SpaceEvent::cache_invalidated("s", ids(["d", "e"]), "style");
    emits(|s| s.invalidate_cache("s", ids(["d", "e"]), "style"), both.clone());
    is_quiet(|s| s.invalidate_cache("s", ids([]), NONE));
    refuses(|s| s.invalidate_cache("s", ids(["d", "x"]), NONE), unknown_document("x"));
    let one = and(SpaceEvent::cache_invalidated("s", ids(["d"]), NONE));
    given(one.clone()).when(|s| s.invalidate_cache("s", ids(["d", "e"]), "style")).then([both]);
    given(one).when(|s| s.invalidate_cache("s", ids(["d"]), "style")).then_nothing();
    // Of whatever kind the strings are, and however they come.
    let (d, e): (&str, std::borrow::Cow<'_, str>) = ("d", "e".into());
    let (owned, borrowed) = (ids(["d", "e"]), ["d", "e"]);
    emits(
        |s| s.invalidate_cache("s", [d, &e], None),
        SpaceEvent::cache_invalidated("s", &owned, None),
    );
    let lines = "d\ne";
    emits(
        |s| s.batch("s").invalidate_cache(lines.lines(), None).commit(),
        SpaceEvent::cache_invalidated("s", borrowed.iter(), None),
    );
}

#[test]
fn what_is_past_a_limit_of_the_log_is_refused_as_such() {
    let long = "s".repeat(513);
    let limit = LimitExceeded::IdTooLong { what: "space_id", bytes: 513 };
    given([]).when(|s| s.create_space(&long, "S")).then(Refusal::Limit(limit));
    let limit = LimitExceeded::LabelTooLong { what: "new_hash", bytes: 513 };
    refuses(|s| s.set_content_hash("s", "d", "h".repeat(513)), Refusal::Limit(limit));
    let limit = LimitExceeded::LabelTooLong { what: "source", bytes: 513 };
    let source = "s".repeat(513);
    refuses(|s| s.with_source(source).set_variable("s", "v", 2), Refusal::Limit(limit));
    let large = "x".repeat(2 << 20);
    given(space()).when(|s| s.set_variable("s", "v", large)).then_error(|error| {
        let refusal = error.refusal();
        let large = matches!(refusal, Some(Refusal::Limit(LimitExceeded::EventTooLarge { .. })));
        assert!(large, "{error}");
    });
}
