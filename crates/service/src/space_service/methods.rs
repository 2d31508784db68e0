//! A method of the service and one of a batch for each operation.

use spacefold_event_core::{Object, Position, Presence, Value};
use spacefold_state::Reference;

use super::{SpaceService, batch::Batch};
use crate::{
    command::Command, command_error::CommandError, operations::operations, outcome::Outcome,
};

macro_rules! methods {
    ($(
        $(#[$doc:meta])*
        $method:ident => $command:ident $({ $(
            $(#[$field_doc:meta])*
            $field:ident: $type:ty $(= $argument:ty $(=> $value:expr)?)?
        ),* $(,)? })?;
    )*) => {
        /// One method per operation on a space.
        ///
        /// # Durability
        /// As an append to the log: when a method answers, its event is on disk, unless the log is
        /// opened otherwise. Each blocks until then; [`SpaceService::submit`] and [`Batch::submit`] do
        /// not.
        ///
        /// # Errors
        /// Each gives [`CommandError::Refused`] when the operation does not fit the state of the
        /// space, and the other variants of [`CommandError`] when it could not be decided or
        /// recorded.
        impl SpaceService {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`CommandError`]; see there what is known to be stored.
                pub fn $method(
                    &self,
                    space_id: &str,
                    $($( $($field: $argument,)? )*)?
                ) -> Result<Outcome, CommandError> {
                    let command = Command::$command $({ $(
                        $field: methods!(@value $field $(, $argument $(, $value)?)?)
                    ),* })?;
                    self.execute(space_id, command)
                }
            )*
        }

        /// One method per operation: it adds the command to the batch, and blocks on nothing.
        impl Batch {
            $(
                $(#[$doc])*
                pub fn $method(self, $($( $($field: $argument,)? )*)?) -> Self {
                    self.then(Command::$command $({ $(
                        $field: methods!(@value $field $(, $argument $(, $value)?)?)
                    ),* })?)
                }
            )*
        }
    };
    (@value $field:ident) => { None };
    (@value $field:ident, $argument:ty) => { $field.into() };
    (@value $field:ident, $argument:ty, $value:expr) => { $value };
}

operations!(methods);
