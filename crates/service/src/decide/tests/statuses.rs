//! What each status of a space allows.

use super::*;

/// One command of each kind, such as fits the space that [`space`] makes, or fits it while a sync
/// and a render run.
fn one_of_each() -> Vec<Command> {
    let d = || "d".to_owned();
    vec![
        Command::CreateSpace { name: "T".to_owned() },
        Command::UpdateSpace { changes: object([("k", 1.into())]) },
        Command::RenameSpace { name: "T".to_owned() },
        Command::ActivateSpace,
        Command::ArchiveSpace,
        Command::DeleteSpace,
        Command::AddDocument { document_id: "f".to_owned(), path: "/f".to_owned() },
        Command::UpdateDocument { document_id: d(), changes: object([("k", 1.into())]) },
        Command::MoveDocument { document_id: d(), new_path: "/f".to_owned() },
        Command::RemoveDocument { document_id: d() },
        Command::SetContentHash { document_id: d(), hash: "h2".to_owned() },
        Command::SetVariable { name: "v".to_owned(), value: 2.into() },
        Command::DeleteVariable { name: "v".to_owned() },
        Command::AddReference { document_id: d(), target: "/x".to_owned(), kind: NONE },
        Command::SetReferences {
            document_id: d(),
            references: vec![("/e", "cites").into(), "/x".into()],
        },
        Command::ClearReferences { document_id: NONE },
        Command::StartRender { document_id: NONE },
        Command::TakeOverRender { document_id: d().into(), started: Position::new(9) },
        Command::CompleteRender { document_id: d().into(), output_hash: NONE, started: None },
        Command::FailRender { document_id: d().into(), error: NONE, started: None },
        Command::StartSync { direction: NONE },
        Command::TakeOverSync { direction: NONE, started: Position::new(10) },
        Command::CompleteSync { started: None },
        Command::RecordConflict {
            document_id: "e".to_owned(),
            local_hash: NONE,
            remote_hash: NONE,
            started: None,
        },
        Command::ResolveConflict { document_id: d(), hash: "h2".to_owned() },
        Command::InvalidateCache { document_ids: ids(["d"]), reason: NONE },
    ]
}

/// The space with a render and a synchronisation under way that has found a conflict.
fn under_way() -> Vec<SpaceEvent> {
    let mut events = space();
    events.extend([
        SpaceEvent::render_started("s", "d"),
        SpaceEvent::sync_started("s", NONE),
        SpaceEvent::sync_conflict("s", "d", "h1", "h2"),
    ]);
    events
}

fn refusal(given_events: Vec<SpaceEvent>, command: &Command) -> Option<Refusal> {
    let outcome = given(given_events).when(|s| s.execute("s", command.clone())).into_outcome();
    match outcome {
        Ok(outcome) => {
            let events = if matches!(command, Command::TakeOverRender { .. }) { 2 } else { 1 };
            assert_eq!(outcome.events().len(), events, "{command:?}");
            None
        }
        Err(error) => Some(error.refusal().expect("a refusal").clone()),
    }
}

#[test]
fn only_creation_needs_no_space() {
    for command in one_of_each() {
        let expected = match command {
            Command::CreateSpace { .. } => None,
            _ => Some(Refusal::NoSuchSpace),
        };
        assert_eq!(refusal(Vec::new(), &command), expected, "{command:?}");
    }
}

#[test]
fn a_deleted_space_can_only_be_created_again() {
    let mut deleted = under_way();
    deleted.push(SpaceEvent::space_deleted("s", "S"));
    for command in one_of_each() {
        let expected = match command {
            Command::CreateSpace { .. } => None,
            _ => Some(Refusal::SpaceDeleted),
        };
        assert_eq!(refusal(deleted.clone(), &command), expected, "{command:?}");
    }
}

#[test]
fn an_archived_space_lets_go_on_what_was_under_way() {
    let mut archived = under_way();
    archived.push(SpaceEvent::space_archived("s"));
    for command in one_of_each() {
        let status = SpaceStatus::Archived;
        let expected = match command {
            Command::CreateSpace { .. } => Some(Refusal::SpaceExists { status }),
            Command::ArchiveSpace => Some(Refusal::StatusUnchanged { status }),
            Command::ActivateSpace
            | Command::DeleteSpace
            | Command::CompleteRender { .. }
            | Command::FailRender { .. }
            | Command::CompleteSync { .. }
            | Command::RecordConflict { .. }
            | Command::ResolveConflict { .. } => None,
            _ => Some(Refusal::SpaceArchived),
        };
        assert_eq!(refusal(archived.clone(), &command), expected, "{command:?}");
    }
}

#[test]
fn an_archived_space_lets_nothing_go_on_that_was_not_under_way() {
    let mut archived = under_way();
    archived.extend([
        SpaceEvent::render_failed("s", "d", NONE),
        SpaceEvent::sync_completed("s"),
        SpaceEvent::space_archived("s"),
    ]);
    for command in one_of_each() {
        let expected = match command {
            Command::CompleteRender { .. } | Command::FailRender { .. } => {
                let (document_id, found) = (Some("d".to_owned()), Some(RenderStatus::Failed));
                Refusal::RenderNotRunning { document_id, found }
            }
            Command::CompleteSync { .. } | Command::RecordConflict { .. } => {
                Refusal::SyncNotRunning
            }
            Command::ResolveConflict { .. } => Refusal::SpaceArchived,
            _ => continue,
        };
        assert_eq!(refusal(archived.clone(), &command), Some(expected), "{command:?}");
    }
}

#[test]
fn spaces_that_live_take_every_command() {
    let mut active = under_way();
    active.push(SpaceEvent::space_activated("s"));
    let mut unknown = under_way();
    unknown[0] = SpaceEvent::variable_set("s", "w", 1);
    for (events, status) in [
        (under_way(), SpaceStatus::Created),
        (active, SpaceStatus::Active),
        (unknown, SpaceStatus::Unknown),
    ] {
        for command in one_of_each() {
            let expected = match command {
                Command::CreateSpace { .. } => Some(Refusal::SpaceExists { status }),
                Command::ActivateSpace if status == SpaceStatus::Active => {
                    Some(Refusal::StatusUnchanged { status })
                }
                Command::StartSync { .. } => {
                    Some(Refusal::SyncRunning { started: Position::new(10) })
                }
                _ => None,
            };
            assert_eq!(refusal(events.clone(), &command), expected, "{status} {command:?}");
        }
    }
}
