//! How commands fail, as the user reads it.

use spacefold::{CommandError, Refusal};

use crate::error::{Failure, Status};

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused { space_id, refusal: Refusal::NoSuchSpace, .. } => {
                Self::unknown_space(&space_id, "in the whole log")
            }
            CommandError::Refused { space_id, refusal, .. } => {
                let place = format_args!("space {space_id:?}");
                Self::new(Status::Failed, &refusal, place, hint(&refusal))
            }
            CommandError::State(error) => error.into(),
            CommandError::Append(error) => error.into(),
            CommandError::Content(error) => error.into(),
            error => {
                let hint = "nothing was written; run the command again";
                Self::caused(&error, "commanding a space", hint)
            }
        }
    }
}

/// What to do about a refusal.
const fn hint(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::SpaceExists { .. } => "choose another id, or update the space that is there",
        Refusal::SpaceDeleted => "create it again with `spacefold service create-space`",
        Refusal::SpaceArchived => {
            "activate it with `spacefold service activate-space`, then run the command again"
        }
        Refusal::StatusUnchanged { .. } => "nothing is left to do",
        Refusal::Empty { .. } => "name something",
        Refusal::DocumentExists { .. } => "choose another id, or move or update that document",
        Refusal::PathTaken { .. } => "choose another path, or move that document first",
        Refusal::UnknownDocument { .. }
        | Refusal::UnknownVariable { .. }
        | Refusal::NoConflict { .. } => "`spacefold snapshot SPACE` shows what the space has",
        Refusal::RenderRunning { .. } => {
            "complete it or fail it first; if its process is gone, `spacefold problems --kind \
             running_render` says whose it was, and `spacefold service take-over-render` ends it and \
             starts another"
        }
        Refusal::RenderSuperseded { .. } => {
            "`spacefold problems --kind running_render` lists the renders that run"
        }
        Refusal::RenderNotRunning { .. } => "start it with `spacefold service start-render`",
        Refusal::SyncRunning { .. } => {
            "complete it with `spacefold service complete-sync` first; if its process is gone, \
             `spacefold problems --kind running_sync` says whose it was, and `spacefold service \
             take-over-sync` starts another in its place"
        }
        Refusal::SyncSuperseded { .. } => {
            "`spacefold problems --kind running_sync` lists the synchronisations that run"
        }
        Refusal::SyncNotRunning => "start it with `spacefold service start-sync`",
        Refusal::ConditionFailed { .. } => "read what is there by now, then decide again",
        Refusal::KeyReused { .. } => "choose another key for this command",
        Refusal::UnknownType(_) => "name it as programs are, such as com.example.comment.added",
        Refusal::ReservedType { .. } => "choose a name of your own",
        Refusal::ExtraKey(_) | Refusal::KeyInPayload { .. } => {
            "choose another key: this one is said by the command itself"
        }
        _ => "nothing was written; correct the command and run it again",
    }
}
