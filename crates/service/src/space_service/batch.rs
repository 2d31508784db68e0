//! Commands that happen together.

use super::SpaceService;
use crate::{
    command::Command, command_error::CommandError, commands::Commands, outcome::Outcome,
    submissions::PendingOutcome,
};

/// Commands on one space, collected to happen together or not at all.
///
/// Nothing is checked before [`Batch::commit`]. Each command is then checked in the state as those
/// before it would leave it, and all events are recorded in one append: at most 4,096 of them.
///
/// Of the paths of documents, what counts is how the batch leaves them: documents can swap their paths.
/// What is emitted fits one event after the other all the same: whoever is in the way moves on first,
/// and where that goes in a ring, one document steps aside, with one event more than there are commands.
///
/// # Examples
/// ```
/// use spacefold::{Refusal, SpaceService};
/// let service = SpaceService::in_memory();
/// let outcome = service
///     .batch("handbook")
///     .create_space("Handbook")
///     .add_document("intro", "/intro.md")
///     .set_content_hash("intro", "8fb0cc…")
///     .commit()?;
/// assert_eq!(outcome.events().len(), 3);
///
/// let refused = service
///     .batch("handbook")
///     .move_document("intro", "/start.md")
///     .add_document("other", "/start.md")
///     .commit()
///     .unwrap_err();
/// assert!(matches!(refused.refusal(), Some(Refusal::PathTaken { .. })));
/// assert!(service.states().snapshot("handbook")?.has_path("/intro.md"));
///
/// service.add_document("handbook", "other", "/start.md")?;
/// let swap = service.batch("handbook").move_document("intro", "/start.md");
/// swap.move_document("other", "/intro.md").commit()?;
/// let snapshot = service.states().snapshot("handbook")?;
/// assert_eq!(snapshot.document("intro").unwrap().path(), "/start.md");
/// assert_eq!(snapshot.document("other").unwrap().path(), "/intro.md");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before it is committed"]
pub struct Batch {
    pub(crate) service: SpaceService,
    space_id: String,
    commands: Vec<Command>,
    /// Whether content was put that is not synced yet.
    pub(crate) has_put: bool,
    /// Why content could not be put, the first time.
    pub(crate) failed: Option<CommandError>,
}

impl Batch {
    pub(crate) const fn new(service: SpaceService, space_id: String) -> Self {
        Self { service, space_id, commands: Vec::new(), has_put: false, failed: None }
    }

    /// Adds a command; blocks on nothing.
    pub fn then(mut self, command: Command) -> Self {
        self.commands.push(command);
        self
    }

    /// The number of commands so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is no command yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Checks the commands in order and records what they change in one append. Blocks until that is
    /// on disk, and before it until the content is that the batch names.
    ///
    /// # Errors
    /// [`CommandError`]; [`CommandError::Refused`] says which command breaks which rule. After every
    /// variant but an append of unknown outcome, nothing of the batch is stored.
    pub fn commit(mut self) -> Result<Outcome, CommandError> {
        self.sync_content()?;
        self.service.execute_all(&self.space_id, &Commands::Batch(self.commands), None)
    }

    /// Hands the batch over, and returns at once: what [`Batch::commit`] would answer is to be waited
    /// for, or awaited. See [`SpaceService::submit`]; content is synced by a thread of the service too.
    ///
    /// # Examples
    /// ```
    /// use spacefold::SpaceService;
    /// let service = SpaceService::in_memory();
    /// let batch = service.batch("handbook").create_space("Handbook");
    /// let pending = batch.add_document("intro", "/intro.md").set_content("intro", "# Hello").submit();
    /// // `pending.await?` where there is a runtime.
    /// assert_eq!(pending.wait()?.events().len(), 3);
    /// # Ok::<(), spacefold::CommandError>(())
    /// ```
    pub fn submit(mut self) -> PendingOutcome {
        if let Some(error) = self.failed.take() {
            return PendingOutcome::answered(Err(error));
        }
        let content = self.service.content_store().filter(|_| self.has_put).cloned();
        self.service.submit_all(&self.space_id, Commands::Batch(self.commands), content)
    }
}

#[cfg(test)]
mod tests;
