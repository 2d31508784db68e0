//! A render under way.

use std::thread;

use spacefold_event_core::{Position, Presence};

use crate::{Command, CommandError, Outcome, SpaceService};

const DROPPED: &str = "the render was given up before it ended";
const PANICKED: &str = "the thread that rendered has panicked";

/// A render that was started, and fails when this is dropped before it is completed, in a panic too.
///
/// It ends only the render that it started: when that has ended, and another was started since, the
/// other goes on.
///
/// # Examples
/// ```
/// use spacefold_service::SpaceService;
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
    has_ended: bool,
}

impl RenderGuard {
    pub(crate) fn start(
        service: &SpaceService,
        space_id: String,
        document_id: Presence,
    ) -> Result<Self, CommandError> {
        let outcome = service.start_render(&space_id, document_id.clone())?;
        let started = outcome.position().unwrap_or(Position::START);
        let service = service.without_key();
        Ok(Self { service, space_id, document_id, started, has_ended: false })
    }

    /// Where the event stands that says that the render began.
    #[must_use]
    pub const fn started(&self) -> Position {
        self.started
    }

    /// Says that the render ended well.
    ///
    /// # Errors
    /// [`CommandError`]; the render is failed then, if it still runs.
    pub fn complete(mut self, output_hash: impl Into<Presence>) -> Result<Outcome, CommandError> {
        self.end(Command::CompleteRender {
            document_id: self.document_id.clone(),
            output_hash: output_hash.into(),
            started: Some(self.started),
        })
    }

    /// Says that the render failed, and why.
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
