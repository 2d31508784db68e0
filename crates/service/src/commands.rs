//! What is decided and recorded together.

mod deciding;

use std::sync::Arc;

use spacefold_event_core::{AppendCondition, AppendRequest, SpaceEvent};
use spacefold_state::SpaceState;

use self::deciding::{Deciding, RefusedCommand};
use crate::{
    attribution::Attribution, command::Command, command_error::CommandError,
    known_states::KnownState, refusal::Refusal, submission_budget::SubmittedLoad, unchanged,
};

/// One command, or those of a batch.
pub(crate) enum Commands {
    One(Command),
    Batch(Vec<Command>),
    /// The completion of a render, which may show less than there is now.
    Completion {
        command: Command,
        /// The state that was rendered.
        shown: Arc<SpaceState>,
    },
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
#[derive(Default)]
pub(crate) struct DecidedEvents {
    pub(crate) events: Vec<SpaceEvent>,
    /// Of each event, the index of its command.
    pub(crate) commands: Vec<usize>,
    /// Whether nothing changes, and the one event is there to say that of commands under a key.
    pub(crate) is_unchanged: bool,
}

impl DecidedEvents {
    /// Their append on a condition. That of a command which was recorded before, under its key, is
    /// refused: the answer is what was recorded then, and not what it comes to by now.
    pub(crate) fn append(&self, condition: AppendCondition) -> AppendRequest<'_> {
        let append = AppendRequest::new(&self.events).on(condition).of_new_events();
        if self.is_unchanged { append.with_reserved_types() } else { append }
    }
}

impl Commands {
    pub(crate) fn as_slice(&self) -> &[Command] {
        match self {
            Self::One(command) | Self::Completion { command, .. } => std::slice::from_ref(command),
            Self::Batch(commands) => commands,
        }
    }

    /// What they count for while they are submitted and not answered.
    pub(crate) fn load(&self) -> SubmittedLoad {
        let commands = self.as_slice();
        let bytes = commands.iter().map(Command::held_bytes).sum();
        SubmittedLoad { commands: commands.len().max(1), bytes }
    }

    /// Decides the commands one after the other, each in the state as those before it would leave
    /// it; of the paths of documents, what counts is how all of them together leave them.
    pub(crate) fn decide(&self, known: &KnownState, attribution: &Attribution) -> Decided {
        let mut deciding = Deciding::new(self.as_slice(), known, attribution);
        let decided = deciding.all().and_then(|()| match self {
            Self::Completion { command, shown } => deciding.mark_unshown(command, shown),
            _ => Ok(()),
        });
        match decided.map(|()| deciding.into_events()) {
            Ok(decided) if decided.events.is_empty() => Decided::Nothing,
            Ok(decided) => Decided::Events(decided),
            Err(RefusedCommand { index, refusal }) => {
                Decided::Refused(self.refused(known.state.space_id(), index, refusal))
            }
        }
    }

    /// What commands on a space leave under a key when they change nothing.
    pub(crate) fn unchanged(
        &self,
        space_id: &str,
        attribution: &Attribution,
    ) -> Option<DecidedEvents> {
        let commands = self.as_slice();
        if attribution.key.is_none() || commands.is_empty() {
            return None;
        }
        let event = SpaceEvent::new(space_id, unchanged::payload(commands, &attribution.extra));
        let event = attribution.mark_without_extra(event, 0);
        Some(DecidedEvents { events: vec![event], commands: vec![0], is_unchanged: true })
    }

    /// The error of a refusal of the command at `index`.
    pub(crate) fn refused(&self, space_id: &str, index: usize, refusal: Refusal) -> CommandError {
        let index = match self {
            Self::One(_) | Self::Completion { .. } => None,
            Self::Batch(_) => Some(index),
        };
        CommandError::Refused { space_id: space_id.to_owned(), index, refusal }
    }
}
