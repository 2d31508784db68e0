//! A render under way.

use std::{sync::Arc, thread};

use spacefold_event_core::{Position, Presence};
use spacefold_state::SpaceState;

use super::SpaceService;
use crate::{command::Command, command_error::CommandError, outcome::Outcome};

const DROPPED: &str = "the render was given up before it ended";
const PANICKED: &str = "the thread that rendered has panicked";

/// A render that was started, and fails when this is dropped before it is completed, in a panic too.
///
/// It ends only the render that it started: when that has ended, or was
/// [taken over](SpaceService::take_over), and another was started since, the other goes on.
///
/// Content that is read once there is a guard is what the render shows. A document whose content has
/// changed by the time it completes [needs another render](SpaceState::needs_render), and is
/// [marked stale](SpaceState::is_stale) in the same append, so that followers of the events are told.
///
/// # Blocking
/// Dropping it before it has ended records an event, and so blocks until that is on disk, as
/// [`RenderGuard::complete`] and [`RenderGuard::fail`] do. After them it does nothing.
///
/// # Examples
/// ```
/// use spacefold::SpaceService;
/// let service = SpaceService::in_memory();
/// service.batch("handbook").create_space("Handbook").add_document("intro", "/intro.md").commit()?;
/// service.render("handbook", "intro")?.complete("5d41402a…")?;
/// drop(service.render("handbook", "intro")?);
/// let snapshot = service.states().snapshot("handbook")?;
/// assert_eq!(snapshot.render(Some("intro")).unwrap().status().name(), "failed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropped, it fails the render"]
pub struct RenderGuard {
    service: SpaceService,
    space_id: String,
    document_id: Presence,
    started: Position,
    /// What is rendered, if it could be told.
    shown: Option<Arc<SpaceState>>,
    has_ended: bool,
}

impl RenderGuard {
    /// Starts a render by a command that does.
    pub(crate) fn start(
        service: &SpaceService,
        space_id: String,
        document_id: Presence,
        start: Command,
    ) -> Result<Self, CommandError> {
        let outcome = service.execute(&space_id, start)?;
        let started = outcome.last_position().unwrap_or(Position::START);
        let service = service.for_what_follows();
        let mut guard =
            Self { service, space_id, document_id, started, shown: None, has_ended: false };
        // The render began, whether its state can be read or not.
        guard.shown = guard.service.state(&guard.space_id).ok();
        Ok(guard)
    }

    /// The position of the event that says that the render began.
    #[must_use]
    pub const fn started(&self) -> Position {
        self.started
    }

    /// Says that the render ended well. Blocks as a command does.
    ///
    /// # Errors
    /// [`CommandError`]; the render is failed then, if it still runs.
    pub fn complete(mut self, output_hash: impl Into<Presence>) -> Result<Outcome, CommandError> {
        let command = Command::CompleteRender {
            document_id: self.document_id.clone(),
            output_hash: output_hash.into(),
            started: Some(self.started),
        };
        let Some(shown) = self.shown.take() else { return self.end(command) };
        let ended = self.service.complete(&self.space_id, command, shown);
        self.has_ended = ended.is_ok();
        ended
    }

    /// Says that the render failed, and why. Blocks as a command does.
    ///
    /// # Errors
    /// [`CommandError`]; dropping the guard tries once more.
    pub fn fail(mut self, error: impl Into<Presence>) -> Result<Outcome, CommandError> {
        let failure = self.failure(error.into());
        self.end(failure)
    }

    fn failure(&self, error: Presence) -> Command {
        let document_id = self.document_id.clone();
        Command::FailRender { document_id, error, started: Some(self.started) }
    }

    fn end(&mut self, command: Command) -> Result<Outcome, CommandError> {
        let ended = self.service.execute(&self.space_id, command);
        self.has_ended = ended.is_ok();
        ended
    }
}

impl Drop for RenderGuard {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let reason = if thread::panicking() { PANICKED } else { DROPPED };
        let failure = self.failure(reason.into());
        match self.end(failure) {
            // Refused: the render has ended already, with its document or its space perhaps.
            Ok(_) | Err(CommandError::Refused { .. }) => {}
            Err(error) => {
                tracing::warn!(space_id = self.space_id, %error, "a render that was given up could not be failed");
            }
        }
    }
}

#[cfg(test)]
mod tests;
