//! Random commands on few documents, paths and names, so that they meet.

use fastrand::Rng;
use spacefold::{
    Value,
    command::Command,
    event::{Object, Presence},
};

/// The next command.
pub(crate) fn command(rng: &mut Rng) -> Command {
    // A space that is there most of the time: few are deleted or archived.
    match rng.u32(0..100) {
        0..6 => Command::CreateSpace { name: one(rng, &["one", "two", ""]) },
        6..10 => Command::UpdateSpace { changes: changes(rng) },
        10..12 => Command::RenameSpace { name: one(rng, &["one", "two", "three"]) },
        12..15 => Command::ActivateSpace,
        15 => Command::ArchiveSpace,
        16 => Command::DeleteSpace,
        17..30 => Command::AddDocument { document_id: document(rng), path: path(rng) },
        30..35 => Command::UpdateDocument { document_id: document(rng), changes: changes(rng) },
        35..42 => Command::MoveDocument { document_id: document(rng), new_path: path(rng) },
        42..46 => Command::RemoveDocument { document_id: document(rng) },
        46..52 => Command::SetContentHash { document_id: document(rng), hash: hash(rng) },
        52..58 => {
            let name = one(rng, &["v", "w"]);
            Command::SetVariable { name, value: Value::from(rng.i64(0..3)) }
        }
        58..61 => Command::DeleteVariable { name: one(rng, &["v", "w"]) },
        61..66 => Command::AddReference {
            document_id: document(rng),
            target: path(rng),
            kind: maybe(rng, "cites"),
        },
        66..69 => Command::ClearReferences { document_id: maybe_document(rng) },
        69..74 => Command::StartRender { document_id: maybe_document(rng) },
        74..78 => Command::CompleteRender {
            document_id: maybe_document(rng),
            output_hash: maybe(rng, "out"),
            started: None,
        },
        78..81 => Command::FailRender {
            document_id: maybe_document(rng),
            error: maybe(rng, "no ink"),
            started: None,
        },
        81..85 => Command::StartSync { direction: maybe(rng, "pull") },
        85..88 => Command::CompleteSync { started: None },
        88..92 => Command::RecordConflict {
            document_id: document(rng),
            local_hash: maybe(rng, "h1"),
            remote_hash: maybe(rng, "h2"),
            started: None,
        },
        92..96 => Command::ResolveConflict { document_id: document(rng), hash: hash(rng) },
        _ => Command::InvalidateCache {
            document_ids: (0..rng.usize(0..3)).map(|_| document(rng)).collect(),
            reason: maybe(rng, "style"),
        },
    }
}

/// Commands that create the space with the documents that others name.
pub(super) fn furnished() -> Vec<Command> {
    let added = [("d", "/a"), ("e", "/b"), ("f", "/c")].map(|(document_id, path)| {
        let (document_id, path) = (document_id.to_owned(), path.to_owned());
        Command::AddDocument { document_id, path }
    });
    let created = Command::CreateSpace { name: "S".to_owned() };
    std::iter::once(created).chain(added).collect()
}

/// A command that puts a document somewhere, or takes it away.
pub(super) fn placement(rng: &mut Rng) -> Command {
    let (document_id, path) = (document(rng), one(rng, &["/a", "/b", "/c", "/d"]));
    match rng.u32(0..8) {
        0 => Command::RemoveDocument { document_id },
        1 => Command::AddDocument { document_id, path },
        _ => Command::MoveDocument { document_id, new_path: path },
    }
}

fn one(rng: &mut Rng, texts: &[&str]) -> String {
    texts[rng.usize(..texts.len())].to_owned()
}

pub(super) fn document(rng: &mut Rng) -> String {
    one(rng, &["d", "e", "f"])
}

fn path(rng: &mut Rng) -> String {
    one(rng, &["/a", "/b", "/c", "/d", ""])
}

fn hash(rng: &mut Rng) -> String {
    one(rng, &["h1", "h2", "h3"])
}

fn maybe(rng: &mut Rng, text: &str) -> Presence {
    match rng.u32(0..3) {
        0 => Presence::Absent,
        1 => Presence::Null,
        _ => Presence::from(text),
    }
}

fn maybe_document(rng: &mut Rng) -> Presence {
    if rng.bool() { document(rng).into() } else { Presence::Absent }
}

fn changes(rng: &mut Rng) -> Object {
    let values = [Value::Null, Value::from("three"), Value::from(1)];
    let entry =
        |rng: &mut Rng| (one(rng, &["name", "a", "b"]), values[rng.usize(..values.len())].clone());
    (0..rng.usize(0..3)).map(|_| entry(rng)).collect()
}
