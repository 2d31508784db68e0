//! Deciding commands one after the other.

mod batch_paths;

use std::collections::BTreeSet;

use spacefold_event_core::{Position, SpaceEvent};
use spacefold_state::{Change, SpaceState, diff};

use self::batch_paths::Paths;
use super::DecidedEvents;
use crate::{
    attribution::Attribution, command::Command, decide::decide, known_states::KnownState,
    refusal::Refusal,
};

/// Why a document is marked stale when its render completes.
const UNSHOWN: &str = "its content changed while it was rendered";

/// Documents that one event marks: with the longest of ids it stays below the limit of an event.
const MAX_MARKED: usize = 1_024;

/// Commands on the way to what they come to.
pub(super) struct Deciding<'a> {
    commands: &'a [Command],
    known: &'a KnownState,
    attribution: &'a Attribution,
    decided: DecidedEvents,
    /// The state after the first events, once it is asked for, and how many these are.
    ahead: Option<SpaceState>,
    folded: usize,
    /// Where the last of them will be when nothing comes in between.
    position: Position,
    paths: Paths<'a>,
}

/// The command at `index` does not fit: why.
pub(super) struct RefusedCommand {
    pub(super) index: usize,
    pub(super) refusal: Refusal,
}

impl<'a> Deciding<'a> {
    pub(super) fn new(
        commands: &'a [Command],
        known: &'a KnownState,
        attribution: &'a Attribution,
    ) -> Self {
        let decided = DecidedEvents::default();
        let (paths, position) = (Paths::default(), known.position);
        Self { commands, known, attribution, decided, ahead: None, folded: 0, position, paths }
    }

    pub(super) fn into_events(self) -> DecidedEvents {
        self.decided
    }

    /// Decides all of the commands.
    pub(super) fn all(&mut self) -> Result<(), RefusedCommand> {
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
    pub(super) fn one(&mut self, index: usize) -> Result<(), RefusedCommand> {
        let Some(command) = self.commands.get(index) else { return Ok(()) };
        let refusal = match decide(self.state(), command) {
            Ok(events) => {
                return self.take(index, events);
            }
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::PathTaken { .. } if self.commands.len() > 1 => {
                let command = self.make_way(index, refusal)?;
                self.another(index, &command)
            }
            refusal => Err(RefusedCommand { index, refusal }),
        }
    }

    /// Decides a command in place of the one at `index`.
    pub(super) fn another(
        &mut self,
        index: usize,
        command: &Command,
    ) -> Result<(), RefusedCommand> {
        let events = decide(self.state(), command);
        let events = events.map_err(|refusal| RefusedCommand { index, refusal })?;
        self.take(index, events)
    }

    fn take(&mut self, index: usize, events: Vec<SpaceEvent>) -> Result<(), RefusedCommand> {
        for event in events {
            self.paths.follow(&event);
            let marked = self.attribution.mark(event, self.decided.events.len());
            let event = marked.map_err(|refusal| RefusedCommand { index, refusal })?;
            self.decided.events.push(event);
            self.decided.commands.push(index);
        }
        Ok(())
    }

    /// The state as the events so far leave it.
    pub(super) fn state(&mut self) -> &SpaceState {
        let events = self.decided.events.get(self.folded..).unwrap_or_default();
        if events.is_empty() {
            return self.ahead.as_ref().unwrap_or(&self.known.state);
        }
        let ahead = self.ahead.get_or_insert_with(|| (*self.known.state).clone());
        for event in events {
            self.position = self.position.next();
            let revision = ahead.revision().next();
            ahead.apply(&event.as_recorded(self.position, revision, event.timestamp));
        }
        self.folded = self.decided.events.len();
        ahead
    }

    /// Marks the documents stale that a completed render shows with other content than they have, for
    /// followers of the events.
    pub(super) fn mark_unshown(
        &mut self,
        completion: &Command,
        shown: &SpaceState,
    ) -> Result<(), RefusedCommand> {
        let Command::CompleteRender { document_id, .. } = completion else { return Ok(()) };
        let rendered = document_id.as_deref();
        let changes = diff(Some(shown), Some(self.state()));
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
            self.take(0, vec![SpaceEvent::cache_invalidated(space_id, ids, UNSHOWN)])?;
        }
        Ok(())
    }
}
