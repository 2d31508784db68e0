//! The operations, as they are said on the command line.

use std::{io::Read, path::PathBuf};

use clap::Subcommand;
use spacefold::{
    Command, CommandError, JsonError, Object, Outcome, Position, Presence, Reference, SpaceService,
    Value,
};

use crate::{
    error::{Failure, Status},
    input::Input,
};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Operation {
    /// Create a space, or create it again after it was deleted.
    CreateSpace { space: String, name: String },
    /// Merge a JSON object into the metadata of a space: null removes a key, `name` renames.
    UpdateSpace {
        space: String,
        #[arg(value_parser = parse_object)]
        changes: Object,
    },
    /// Rename a space.
    RenameSpace { space: String, name: String },
    /// Make a space active.
    ActivateSpace { space: String },
    /// Archive a space.
    ArchiveSpace { space: String },
    /// Delete a space and all that it holds; its history stays.
    DeleteSpace { space: String },
    /// Add a document at a path where none is.
    AddDocument { space: String, document: String, path: String },
    /// Merge a JSON object into the attributes of a document: null removes a key.
    UpdateDocument {
        space: String,
        document: String,
        #[arg(value_parser = parse_object)]
        changes: Object,
    },
    /// Move a document to a path where none is.
    MoveDocument { space: String, document: String, path: String },
    /// Remove a document.
    RemoveDocument { space: String, document: String },
    /// Give a document the content of a file, or of standard input.
    SetContent {
        space: String,
        document: String,
        /// The file; - for standard input.
        file: PathBuf,
    },
    /// Record the hash of a document's content, whose bytes are kept elsewhere.
    SetContentHash { space: String, document: String, hash: String },
    /// Set a variable to a JSON value.
    SetVariable {
        space: String,
        name: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Take VALUE as it is, as a string.
        #[arg(long)]
        text: bool,
    },
    /// Delete a variable.
    DeleteVariable { space: String, name: String },
    /// Add a reference to a document.
    AddReference {
        space: String,
        document: String,
        target: String,
        /// In which way it refers.
        #[arg(long)]
        kind: Option<String>,
    },
    /// Make these the references of a document, and record what that changes.
    SetReferences {
        space: String,
        document: String,
        /// A JSON array of targets, or of objects {"target": …, "kind": …}.
        #[arg(value_parser = parse_references)]
        references: References,
    },
    /// Clear the references of a document, or all of the space's.
    ClearReferences {
        space: String,
        #[arg(long)]
        document: Option<String>,
    },
    /// Say that the render of a document, or of the space, began.
    StartRender {
        space: String,
        #[arg(long)]
        document: Option<String>,
    },
    /// Say that the running render of a document, or of the space, ended well.
    CompleteRender {
        space: String,
        #[arg(long)]
        document: Option<String>,
        /// The hash of what was rendered.
        #[arg(long, value_name = "HASH")]
        output_hash: Option<String>,
        /// Only the render that started at this position.
        #[arg(long, value_name = "N")]
        started: Option<u64>,
    },
    /// Say that the running render of a document, or of the space, failed.
    FailRender {
        space: String,
        #[arg(long)]
        document: Option<String>,
        /// What went wrong.
        #[arg(long)]
        error: Option<String>,
        /// Only the render that started at this position.
        #[arg(long, value_name = "N")]
        started: Option<u64>,
    },
    /// End a running render whose process is gone, and say that another one began in its place;
    /// `spacefold problems --kind running_render` lists those that run, and since when.
    TakeOverRender {
        space: String,
        #[arg(long)]
        document: Option<String>,
        /// The position at which the render that is given up started.
        #[arg(long, value_name = "N")]
        started: u64,
    },
    /// Say that a synchronisation began; it closes all open conflicts.
    StartSync {
        space: String,
        /// Which way.
        #[arg(long)]
        direction: Option<String>,
    },
    /// Say that another synchronisation began in place of a running one whose process is gone; it
    /// closes all open conflicts. `spacefold problems --kind running_sync` lists those that run, and
    /// since when.
    TakeOverSync {
        space: String,
        /// Which way.
        #[arg(long)]
        direction: Option<String>,
        /// The position at which the synchronisation that is given up started.
        #[arg(long, value_name = "N")]
        started: u64,
    },
    /// Say that the running synchronisation ended.
    CompleteSync {
        space: String,
        /// Only the synchronisation that started at this position.
        #[arg(long, value_name = "N")]
        started: Option<u64>,
    },
    /// Record that the running synchronisation found a document that differs at the other side.
    RecordConflict {
        space: String,
        document: String,
        /// The hash of the content here.
        #[arg(long, value_name = "HASH")]
        local_hash: Option<String>,
        /// The hash of the content there.
        #[arg(long, value_name = "HASH")]
        remote_hash: Option<String>,
        /// Only by the synchronisation that started at this position.
        #[arg(long, value_name = "N")]
        started: Option<u64>,
    },
    /// Close the open conflict of a document by the hash of the content chosen.
    ResolveConflict { space: String, document: String, hash: String },
    /// Mark documents stale: what was derived from them is out of date.
    InvalidateCache {
        space: String,
        #[arg(value_name = "DOCUMENT", required = true)]
        documents: Vec<String>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// An operation whose input is open.
pub(super) enum Ready {
    Command { space_id: String, command: Command },
    Content { space_id: String, document_id: String, content: Box<dyn Read + Send> },
}

impl Ready {
    pub(super) fn run(self, service: &SpaceService) -> Result<Outcome, CommandError> {
        match self {
            Self::Command { space_id, command } => service.execute(&space_id, command),
            Self::Content { space_id, document_id, mut content } => {
                service.set_content_from(&space_id, document_id, &mut content)
            }
        }
    }
}

impl Operation {
    /// Whether it makes a store where there is none: nothing but a first space has a place in an empty
    /// one.
    pub(super) const fn creates_a_store(&self) -> bool {
        matches!(self, Self::CreateSpace { .. })
    }

    /// The operation with its input open; nothing is read yet.
    pub(super) fn ready(&self) -> Result<Ready, Failure> {
        let (space_id, command) = match self.clone() {
            Self::SetContent { space: space_id, document: document_id, file } => {
                let content = Input::open_as_it_is(
                    &file,
                    "name the file of the content, or - for standard input",
                )?;
                return Ok(Ready::Content { space_id, document_id, content });
            }
            Self::CreateSpace { space, name } => (space, Command::CreateSpace { name }),
            Self::UpdateSpace { space, changes } => (space, Command::UpdateSpace { changes }),
            Self::RenameSpace { space, name } => (space, Command::RenameSpace { name }),
            Self::ActivateSpace { space } => (space, Command::ActivateSpace),
            Self::ArchiveSpace { space } => (space, Command::ArchiveSpace),
            Self::DeleteSpace { space } => (space, Command::DeleteSpace),
            Self::SetVariable { space, name, value, text } => {
                let value = if text { Value::from(value) } else { parse_value(&value)? };
                (space, Command::SetVariable { name, value })
            }
            Self::DeleteVariable { space, name } => (space, Command::DeleteVariable { name }),
            Self::StartSync { space, direction } => {
                (space, Command::StartSync { direction: optional(direction) })
            }
            Self::TakeOverSync { space, direction, started } => {
                let (direction, started) = (optional(direction), Position::new(started));
                (space, Command::TakeOverSync { direction, started })
            }
            Self::CompleteSync { space, started } => {
                (space, Command::CompleteSync { started: started.map(Position::new) })
            }
            Self::InvalidateCache { space, documents: document_ids, reason } => {
                let reason = optional(reason);
                (space, Command::InvalidateCache { document_ids, reason })
            }
            Self::AddDocument { space, document: document_id, path } => {
                (space, Command::AddDocument { document_id, path })
            }
            Self::UpdateDocument { space, document: document_id, changes } => {
                (space, Command::UpdateDocument { document_id, changes })
            }
            Self::MoveDocument { space, document: document_id, path: new_path } => {
                (space, Command::MoveDocument { document_id, new_path })
            }
            Self::RemoveDocument { space, document: document_id } => {
                (space, Command::RemoveDocument { document_id })
            }
            Self::SetContentHash { space, document: document_id, hash } => {
                (space, Command::SetContentHash { document_id, hash })
            }
            Self::AddReference { space, document: document_id, target, kind } => {
                (space, Command::AddReference { document_id, target, kind: optional(kind) })
            }
            Self::SetReferences {
                space,
                document: document_id,
                references: References(references),
            } => (space, Command::SetReferences { document_id, references }),
            Self::ClearReferences { space, document } => {
                (space, Command::ClearReferences { document_id: optional(document) })
            }
            Self::StartRender { space, document } => {
                (space, Command::StartRender { document_id: optional(document) })
            }
            Self::CompleteRender { space, document, output_hash, started } => {
                let (document_id, output_hash) = (optional(document), optional(output_hash));
                let started = started.map(Position::new);
                (space, Command::CompleteRender { document_id, output_hash, started })
            }
            Self::FailRender { space, document, error, started } => {
                let (document_id, error) = (optional(document), optional(error));
                let started = started.map(Position::new);
                (space, Command::FailRender { document_id, error, started })
            }
            Self::TakeOverRender { space, document, started } => {
                let (document_id, started) = (optional(document), Position::new(started));
                (space, Command::TakeOverRender { document_id, started })
            }
            Self::RecordConflict {
                space,
                document: document_id,
                local_hash,
                remote_hash,
                started,
            } => {
                let (local_hash, remote_hash) = (optional(local_hash), optional(remote_hash));
                let started = started.map(Position::new);
                (space, Command::RecordConflict { document_id, local_hash, remote_hash, started })
            }
            Self::ResolveConflict { space, document: document_id, hash } => {
                (space, Command::ResolveConflict { document_id, hash })
            }
        };
        Ok(Ready::Command { space_id, command })
    }
}

/// What is not said is not in the event.
fn optional(text: Option<String>) -> Presence {
    text.map_or(Presence::Absent, Presence::Value)
}

fn parse_value(text: &str) -> Result<Value, Failure> {
    text.parse().map_err(|error: JsonError| {
        let hint = "write a JSON value, such as 3 or \"three\", or add --text for a string";
        Failure::new(Status::Usage, error, format_args!("the value {text:?}"), hint)
    })
}

fn parse_object(text: &str) -> Result<Object, String> {
    match text.parse() {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("expected a JSON object, found {}", other.type_name())),
        Err(error) => Err(error.to_string()),
    }
}

/// The references of a document: one argument.
#[derive(Clone, Debug)]
pub(super) struct References(Vec<Reference>);

fn parse_references(text: &str) -> Result<References, String> {
    let value = text.parse().map_err(|error: JsonError| error.to_string())?;
    let Value::Array(references) = value else {
        return Err(format!("expected a JSON array, found {}", value.type_name()));
    };
    references.iter().map(reference).collect::<Result<_, _>>().map(References)
}

fn reference(value: &Value) -> Result<Reference, String> {
    let wrong = |what: &str, found: &Value| Err(format!("{what}, found {}", found.type_name()));
    let object = match value {
        Value::String(target) => return Ok(Reference::from(target.as_str())),
        Value::Object(object) => object,
        other => return wrong("a reference is a target or an object", other),
    };
    if let Some(key) = object.keys().find(|key| !["target", "kind"].contains(key)) {
        return Err(format!("a reference has a target and a kind, and no {key:?}"));
    }
    let target = match object.get("target") {
        Some(Value::String(target)) => target.clone(),
        Some(other) => return wrong("the target of a reference is a string", other),
        None => return Err("a reference has a target".to_owned()),
    };
    let kind = match object.get("kind") {
        Some(Value::String(kind)) => Some(kind.clone()),
        Some(Value::Null) | None => None,
        Some(other) => return wrong("the kind of a reference is a string", other),
    };
    Ok(Reference { target, kind })
}
