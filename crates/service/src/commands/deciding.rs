//! Deciding commands one after the other.

mod batch_paths;

use std::collections::BTreeSet;

use spacefold_event_core::{ReadError, SpaceEvent};
use spacefold_projection::{Change, SpaceState, diff};

use self::batch_paths::Paths;
use super::DecidedEvents;
use crate::{
    attribution::Attribution, command::Command, command_error::CommandError, decide::decide,
    fold::fold, known_states::Known, refusal::Refusal,
};

/// Why a document is marked stale when its render completes.
const UNSHOWN: &str = "its content changed while it was rendered";

/// Documents that one event marks: with the longest of ids it stays below the limit of an event.
const MAX_MARKED: usize = 1_024;

/// Commands on the way to what they come to.
pub(super) struct Deciding<'a> {
    commands: &'a [Command],
    known: &'a Known,
    attribution: &'a Attribution,
    decided: DecidedEvents,
    /// The state after the first `folded` of the events, once it is asked for.
    ahead: Option<SpaceState>,
    folded: usize,
    paths: Paths<'a>,
}

/// Why deciding ends early.
pub(super) enum Stop {
    /// The command at `index` does not fit.
    Refused { index: usize, refusal: Refusal },
    /// It cannot be told.
    Failed(CommandError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

impl<'a> Deciding<'a> {
    pub(super) fn new(
        commands: &'a [Command],
        known: &'a Known,
        attribution: &'a Attribution,
    ) -> Self {
        let decided = DecidedEvents::default();
        let paths = Paths::default();
        Self { commands, known, attribution, decided, ahead: None, folded: 0, paths }
    }

    pub(super) fn into_events(self) -> DecidedEvents {
        self.decided
    }

    /// Decides all of the commands.
    pub(super) fn all(&mut self) -> Result<(), Stop> {
        let mut index = 0;
        while index < self.commands.len() {
            let rest = self.commands.get(index..).unwrap_or_default();
            let is_move = |command: &&Command| matches!(command, Command::MoveDocument { .. });
            let moves = rest.iter().take_while(is_move).count();
            if moves > 1 {
                self.moves(index..index + moves)?;
            } else {
                self.one(index)?;
            }
            index += moves.max(1);
        }
        Ok(())
    }

    /// Decides a command, once nobody is in its way.
    pub(super) fn one(&mut self, index: usize) -> Result<(), Stop> {
        let Some(command) = self.commands.get(index) else { return Ok(()) };
        let refusal = match decide(self.state()?, command) {
            Ok(events) => {
                self.take(index, events);
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::PathTaken { .. } if self.commands.len() > 1 => {
                let command = self.make_way(index, refusal)?;
                self.another(index, &command)
            }
            refusal => Err(Stop::Refused { index, refusal }),
        }
    }

    /// Decides a command in place of the one at `index`.
    pub(super) fn another(&mut self, index: usize, command: &Command) -> Result<(), Stop> {
        let events = decide(self.state()?, command);
        let events = events.map_err(|refusal| Stop::Refused { index, refusal })?;
        self.take(index, events);
        Ok(())
    }

    fn take(&mut self, index: usize, events: Vec<SpaceEvent>) {
        for event in events {
            self.paths.follow(&event);
            let event = self.attribution.mark(event, self.decided.events.len());
            self.decided.events.push(event);
            self.decided.commands.push(index);
        }
    }

    /// The state as the events so far leave it.
    pub(super) fn state(&mut self) -> Result<&SpaceState, ReadError> {
        let events = self.decided.events.get(self.folded..).unwrap_or_default();
        let Some(first) = events.first() else {
            return Ok(self.ahead.as_ref().unwrap_or(&self.known.state));
        };
        let ahead = self.ahead.get_or_insert_with(|| (*self.known.state).clone());
        // Where they will stand, no command asks.
        fold(ahead, events, self.known.position.next(), first.timestamp)?;
        self.folded = self.decided.events.len();
        Ok(ahead)
    }

    /// Marks the documents stale that a completed render shows with other content than they have, for
    /// whoever follows the events.
    pub(super) fn mark_unshown(
        &mut self,
        completion: &Command,
        shown: &SpaceState,
    ) -> Result<(), Stop> {
        let Command::CompleteRender { document_id, .. } = completion else { return Ok(()) };
        let rendered = document_id.as_deref();
        let changes = diff(Some(shown), Some(self.state()?));
        let unshown = changes.iter().filter_map(|change| match change {
            Change::ContentChanged { document_id, .. } => Some(document_id),
            Change::DocumentAdded { document_id, after } if after.content_hash.is_some() => {
                Some(document_id)
            }
            _ => None,
        });
        let unshown: BTreeSet<&String> =
            unshown.filter(|id| rendered.is_none_or(|rendered| rendered == id.as_str())).collect();
        let unshown: Vec<&String> = unshown.into_iter().collect();
        let space_id = self.known.state.space_id();
        for ids in unshown.chunks(MAX_MARKED) {
            self.take(0, vec![SpaceEvent::cache_invalidated(space_id, ids, UNSHOWN)]);
        }
        Ok(())
    }
}
