//! What is decided and recorded together.

use spacefold_event_core::SpaceEvent;
use spacefold_projection::SpaceState;

use crate::{
    Command, CommandError, Refusal, attribution::Attribution, decide::decide, fold::fold,
    known_states::Known,
};

/// One command, or those of a batch.
pub(crate) enum Commands {
    One(Command),
    Batch(Vec<Command>),
}

/// What commands come to in a state.
pub(crate) enum Decided {
    /// Something changes.
    Events(DecidedEvents),
    /// Nothing changes.
    Nothing,
    /// A command does not fit.
    Refused(CommandError),
}

/// The events that commands come to.
pub(crate) struct DecidedEvents {
    pub(crate) events: Vec<SpaceEvent>,
    /// Of each event, the index of its command.
    pub(crate) commands: Vec<usize>,
}

impl Commands {
    pub(crate) fn as_slice(&self) -> &[Command] {
        match self {
            Self::One(command) => std::slice::from_ref(command),
            Self::Batch(commands) => commands,
        }
    }

    /// Decides the commands one after the other, each in the state as those before it would leave
    /// it.
    pub(crate) fn decide(
        &self,
        known: &Known,
        attribution: &Attribution,
    ) -> Result<Decided, CommandError> {
        let commands = self.as_slice();
        let mut ahead: Option<SpaceState> = None;
        let mut decided = DecidedEvents { events: Vec::new(), commands: Vec::new() };
        for (index, command) in commands.iter().enumerate() {
            let state = ahead.as_ref().unwrap_or(&known.state);
            let event = match decide(state, command) {
                Ok(None) => continue,
                Ok(Some(event)) => attribution.mark(event, decided.events.len()),
                Err(refusal) => {
                    let error = self.refused(state.space_id(), index, refusal);
                    return Ok(Decided::Refused(error));
                }
            };
            if index + 1 < commands.len() {
                let state = ahead.get_or_insert_with(|| (*known.state).clone());
                // Where it will stand, no command asks.
                let position = known.position.next();
                fold(state, std::slice::from_ref(&event), position, event.timestamp)?;
            }
            decided.events.push(event);
            decided.commands.push(index);
        }
        if decided.events.is_empty() {
            return Ok(Decided::Nothing);
        }
        Ok(Decided::Events(decided))
    }

    /// The error of a refusal of the command at `index`.
    pub(crate) fn refused(&self, space_id: &str, index: usize, refusal: Refusal) -> CommandError {
        let index = match self {
            Self::One(_) => None,
            Self::Batch(_) => Some(index),
        };
        CommandError::Refused { space_id: space_id.to_owned(), index, refusal }
    }
}
