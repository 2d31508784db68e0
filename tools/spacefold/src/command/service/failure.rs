//! How commands fail, as the user reads it.

use spacefold::{CommandError, Refusal};

use crate::{error::Failure, refused::refused};

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused { space_id, refusal: Refusal::NoSuchSpace, .. } => {
                Self::unknown_space(&space_id, "in the whole log")
            }
            CommandError::Refused { space_id, refusal, .. } => {
                refused(&space_id, &refusal.to_string(), refusal.name())
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
