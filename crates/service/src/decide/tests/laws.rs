//! What holds of every command in every state.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spacefold_event_core::{Position, Revision};
use spacefold_state::{Change, Reference, diff};

use super::*;

fn presence(texts: &'static [&'static str]) -> impl Strategy<Value = Presence> {
    prop_oneof![
        Just(Presence::Absent),
        Just(Presence::Null),
        prop::sample::select(texts).prop_map(Presence::from),
    ]
}

fn objects() -> impl Strategy<Value = Object> {
    let key = prop::sample::select(&["name", "a", "b"][..]);
    let value = prop_oneof![Just(Value::Null), Just(Value::from("x")), Just(Value::from(1))];
    prop::collection::vec((key, value), 0..3).prop_map(|entries| entries.into_iter().collect())
}

/// Commands on few documents, paths and names, so that they meet.
fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![commands_on_the_space(), commands_on_documents()]
}

fn text(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn commands_on_the_space() -> impl Strategy<Value = Command> {
    let name = || text(&["one", "two", ""]);
    prop_oneof![
        4 => name().prop_map(|name| Command::CreateSpace { name }),
        2 => objects().prop_map(|changes| Command::UpdateSpace { changes }),
        1 => name().prop_map(|name| Command::RenameSpace { name }),
        2 => Just(Command::ActivateSpace),
        1 => Just(Command::ArchiveSpace),
        1 => Just(Command::DeleteSpace),
        2 => (name(), 0_i64..3).prop_map(|(name, n)| Command::SetVariable { name, value: n.into() }),
        1 => name().prop_map(|name| Command::DeleteVariable { name }),
        2 => presence(&["push"]).prop_map(|direction| Command::StartSync { direction }),
        1 => fence().prop_map(|started| Command::CompleteSync { started }),
        3 => (text(&["com.example.a", "com.example.b", "space.a"]), objects())
            .prop_map(|(type_name, payload)| Command::Record { type_name, payload }),
        2 => (presence(&["pull"]), 0_u64..40).prop_map(|(direction, started)| {
            Command::TakeOverSync { direction, started: Position::new(started) }
        }),
    ]
}

fn fence() -> impl Strategy<Value = Option<Position>> {
    prop::option::weighted(0.3, (0_u64..40).prop_map(Position::new))
}

fn references() -> impl Strategy<Value = Vec<Reference>> {
    let target = prop_oneof![4 => text(&["/a", "/b", "/c"]), 1 => text(&[""])];
    let kind = prop::option::of(text(&["cites"]));
    let reference = (target, kind).prop_map(|(target, kind)| Reference { target, kind });
    prop::collection::vec(reference, 0..4)
}

fn commands_on_documents() -> impl Strategy<Value = Command> {
    const DOCUMENTS: &[&str] = &["d", "e", "f"];
    let id = || text(DOCUMENTS);
    let path = || text(&["/a", "/b", "/c", ""]);
    let hash = || text(&["h1", "h2", ""]);
    let maybe_hash = || presence(&["h1", "h2"]);
    prop_oneof![
        6 => (id(), path())
            .prop_map(|(document_id, path)| Command::AddDocument { document_id, path }),
        2 => (id(), objects())
            .prop_map(|(document_id, changes)| Command::UpdateDocument { document_id, changes }),
        3 => (id(), path())
            .prop_map(|(document_id, new_path)| Command::MoveDocument { document_id, new_path }),
        1 => id().prop_map(|document_id| Command::RemoveDocument { document_id }),
        3 => (id(), hash())
            .prop_map(|(document_id, hash)| Command::SetContentHash { document_id, hash }),
        2 => (id(), path(), presence(&["cites"])).prop_map(|(document_id, target, kind)| {
            Command::AddReference { document_id, target, kind }
        }),
        1 => presence(DOCUMENTS).prop_map(|document_id| Command::ClearReferences { document_id }),
        3 => (id(), references()).prop_map(|(document_id, references)| {
            Command::SetReferences { document_id, references }
        }),
        2 => (presence(DOCUMENTS), 0_u64..40).prop_map(|(document_id, started)| {
            Command::TakeOverRender { document_id, started: Position::new(started) }
        }),
        2 => presence(DOCUMENTS).prop_map(|document_id| Command::StartRender { document_id }),
        2 => (presence(DOCUMENTS), maybe_hash()).prop_map(|(document_id, output_hash)| {
            Command::CompleteRender { document_id, output_hash, started: None }
        }),
        1 => (presence(DOCUMENTS), presence(&["no ink"])).prop_map(|(document_id, error)| {
            Command::FailRender { document_id, error, started: None }
        }),
        2 => (id(), maybe_hash(), maybe_hash(), fence()).prop_map(
            |(document_id, local_hash, remote_hash, started)| {
                Command::RecordConflict { document_id, local_hash, remote_hash, started }
            }
        ),
        2 => (id(), hash())
            .prop_map(|(document_id, hash)| Command::ResolveConflict { document_id, hash }),
        2 => (prop::collection::vec(id(), 0..3), presence(&["style"])).prop_map(
            |(document_ids, reason)| Command::InvalidateCache { document_ids, reason }
        ),
    ]
}

/// What somebody would record who checks nothing.
fn unchecked(command: &Command) -> Vec<SpaceEvent> {
    vec![match command.clone() {
        Command::CreateSpace { name } => SpaceEvent::space_created("s", name),
        Command::UpdateSpace { changes } => SpaceEvent::space_updated("s", changes),
        Command::RenameSpace { name } => {
            SpaceEvent::space_updated("s", object([("name", name.into())]))
        }
        Command::ActivateSpace => SpaceEvent::space_activated("s"),
        Command::ArchiveSpace => SpaceEvent::space_archived("s"),
        Command::DeleteSpace => SpaceEvent::space_deleted("s", NONE),
        Command::AddDocument { document_id, path } => {
            SpaceEvent::document_added("s", document_id, path)
        }
        Command::UpdateDocument { document_id, changes } => {
            SpaceEvent::document_updated("s", document_id, changes)
        }
        Command::MoveDocument { document_id, new_path } => {
            SpaceEvent::document_moved("s", document_id, NONE, new_path)
        }
        Command::RemoveDocument { document_id } => {
            SpaceEvent::document_removed("s", document_id, NONE)
        }
        Command::SetContentHash { document_id, hash }
        | Command::ResolveConflict { document_id, hash } => {
            SpaceEvent::document_content_changed("s", document_id, NONE, hash)
        }
        Command::SetVariable { name, value } => SpaceEvent::variable_set("s", name, value),
        Command::DeleteVariable { name } => SpaceEvent::variable_deleted("s", name),
        Command::AddReference { document_id, target, kind } => {
            SpaceEvent::reference_added("s", document_id, target, kind)
        }
        Command::ClearReferences { document_id } => SpaceEvent::reference_cleared("s", document_id),
        Command::StartRender { document_id } => SpaceEvent::render_started("s", document_id),
        Command::CompleteRender { document_id, output_hash, .. } => {
            SpaceEvent::render_completed("s", document_id, output_hash)
        }
        Command::FailRender { document_id, error, .. } => {
            SpaceEvent::render_failed("s", document_id, error)
        }
        Command::StartSync { direction } | Command::TakeOverSync { direction, .. } => {
            SpaceEvent::sync_started("s", direction)
        }
        Command::CompleteSync { .. } => SpaceEvent::sync_completed("s"),
        Command::RecordConflict { document_id, local_hash, remote_hash, .. } => {
            SpaceEvent::sync_conflict("s", document_id, local_hash, remote_hash)
        }
        Command::Record { type_name, payload } => {
            return SpaceEvent::application("s", type_name, payload).into_iter().collect();
        }
        Command::InvalidateCache { document_ids, reason } => {
            SpaceEvent::cache_invalidated("s", document_ids, reason)
        }
        Command::SetReferences { document_id, references } => {
            let added = references.into_iter().map(|Reference { target, kind }| {
                let kind = kind.map_or(Presence::Absent, Presence::from);
                SpaceEvent::reference_added("s", &document_id, target, kind)
            });
            let cleared = SpaceEvent::reference_cleared("s", document_id.as_str());
            return std::iter::once(cleared).chain(added).collect();
        }
        Command::TakeOverRender { document_id, .. } => {
            let failed = SpaceEvent::render_failed("s", document_id.clone(), "taken over");
            return vec![failed, SpaceEvent::render_started("s", document_id)];
        }
    }]
}

/// Steps that keep the rules, and now and then one that does not.
fn histories() -> impl Strategy<Value = Vec<(Command, bool)>> {
    prop::collection::vec((commands(), prop::bool::weighted(0.9)), 1..80)
}

/// Takes in the events as those after its own.
fn take_in(state: &mut SpaceState, events: &[SpaceEvent]) {
    for event in events {
        let position = Position::new(state.revision().get() + 1);
        let revision = state.revision().next();
        state.apply(&event.as_recorded(position, revision, event.timestamp));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Events that are decided fit the state: they are no anomalies, and they change something.
    #[test]
    fn what_is_emitted_fits_and_changes_something(history in histories()) {
        let mut state = SpaceState::new("s");
        for (command, checked) in &history {
            let decided = decide(&state, command).unwrap_or_default();
            let before = state.clone();
            take_in(&mut state, &decided);
            if !decided.is_empty() {
                prop_assert_eq!(state.anomalies(), before.anomalies(), "{:?}", command);
                let first = before.revision() == Revision::NONE;
                let changes = diff((!first).then_some(&before), Some(&state));
                let restarts = matches!(
                    command,
                    Command::TakeOverRender { .. }
                        | Command::TakeOverSync { .. }
                        | Command::Record { .. }
                );
                prop_assert!(restarts || !changes.is_empty(), "{:?} changes nothing", command);
                for event in &decided {
                    prop_assert!(command.may_have_emitted(&event.payload, &Object::new()));
                }
                prop_assert!(decided.len() < 2 || command.may_emit_several());
            } else if !*checked {
                take_in(&mut state, &unchecked(command));
            }
        }
    }

    /// What is set is what is there then, by no more events than it takes.
    #[test]
    fn references_are_what_they_are_set_to(
        there in references(),
        wanted in references(),
    ) {
        let set = |references: &[Reference]| Command::SetReferences {
            document_id: "d".to_owned(),
            references: references.to_vec(),
        };
        let mut state = SpaceState::new("s");
        let added = [SpaceEvent::space_created("s", "S"), SpaceEvent::document_added("s", "d", "/d")];
        take_in(&mut state, &added);
        let is_filled = |references: &[Reference]| references.iter().all(|it| !it.target.is_empty());
        prop_assume!(is_filled(&there) && is_filled(&wanted));
        let decided = decide(&state, &set(&there)).unwrap();
        take_in(&mut state, &decided);
        let decided = decide(&state, &set(&wanted)).unwrap();
        take_in(&mut state, &decided);
        let (there, wanted): (BTreeSet<_>, BTreeSet<_>) =
            (there.into_iter().collect(), wanted.into_iter().collect());
        prop_assert_eq!(state.references_of("d").cloned().collect::<BTreeSet<_>>(), wanted.clone());
        let fewest = if there.is_subset(&wanted) {
            wanted.len() - there.len()
        } else {
            1 + wanted.len()
        };
        prop_assert_eq!(decided.len(), fewest);
    }

    /// What is neither refused nor emitted would have changed nothing that it is about. Renaming is
    /// about the name alone, though its event puts that into the metadata too; setting content is
    /// about the hash alone, though its event also closes a conflict.
    #[test]
    fn what_is_not_emitted_changes_nothing(history in histories()) {
        let mut state = SpaceState::new("s");
        for (command, _) in &history {
            let Ok(decided) = decide(&state, command) else { continue };
            let quiet = decided.is_empty();
            let before = state.clone();
            take_in(&mut state, &if quiet { unchecked(command) } else { decided });
            if quiet {
                let changes = diff(Some(&before), Some(&state));
                let is_aside = match command {
                    Command::RenameSpace { .. } => |change: &Change| {
                        matches!(change, Change::MetadataChanged { .. })
                    },
                    Command::SetContentHash { .. } => |change: &Change| {
                        matches!(change, Change::ConflictClosed { .. })
                    },
                    _ => |_: &Change| false,
                };
                prop_assert!(changes.iter().all(is_aside), "{:?}: {:?}", command, changes);
                state = before;
            }
        }
    }

    /// A command is taken for another only where both say the same, or one is a part of the other.
    #[test]
    fn a_command_knows_its_events(one in commands(), other in commands()) {
        for event in unchecked(&one) {
            prop_assert!(one.may_have_emitted(&event.payload, &Object::new()));
        }
        let payloads = |command| unchecked(command).into_iter().map(|it| it.payload);
        for payload in payloads(&other).filter(|payload| one.may_have_emitted(payload, &Object::new())) {
            let says_so = payloads(&one).any(|it| it == payload);
            let takes_over = matches!(one, Command::TakeOverRender { .. });
            prop_assert!(says_so || takes_over, "{:?} {:?}", one, other);
        }
    }
}
