//! Content: bytes in, hashes recorded.

use std::io::Read;

use spacefold_event_core::{ContentError, ContentHash, ContentStore, HashedContent};

use crate::{
    command::Command,
    command_error::CommandError,
    named_content::NamedContent,
    outcome::Outcome,
    space_service::{Batch, SpaceService},
};

/// Operations that take the bytes of documents. They need a
/// [content store](SpaceService::with_content_store); [`SpaceService::set_content_hash`] does
/// without one.
///
/// # Durability
/// The bytes are durable before the event that names them is appended. Each blocks until both are:
/// for two syncs, one of the content and one of the log. [`Batch::submit`] waits for neither.
impl SpaceService {
    /// Gives a document this content; nothing is emitted when it has it already, which the BLAKE3
    /// hash tells. Blocks on two syncs where it is emitted, one of the content and one of the log.
    ///
    /// # Errors
    /// [`CommandError`]; of a command that is refused, the content is not kept either. After the
    /// other errors it may be, until content that no event names is collected.
    ///
    /// # Examples
    /// ```
    /// use spacefold::SpaceService;
    /// let service = SpaceService::in_memory();
    /// service.create_space("handbook", "Handbook")?;
    /// service.add_document("handbook", "intro", "/intro.md")?;
    /// assert!(!service.set_content("handbook", "intro", b"# Hello")?.is_unchanged());
    /// assert!(service.set_content("handbook", "intro", b"# Hello")?.is_unchanged());
    ///
    /// let snapshot = service.states().snapshot("handbook")?;
    /// let hash = snapshot.content("intro").unwrap();
    /// assert_eq!(service.content_store().unwrap().get(&hash, 100)?, b"# Hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_content(
        &self,
        space_id: &str,
        document_id: impl Into<String>,
        content: impl AsRef<[u8]>,
    ) -> Result<Outcome, CommandError> {
        let document_id = document_id.into();
        let command = |hash| Command::SetContentHash { document_id, hash };
        self.execute_with_content(space_id, content.as_ref(), command)
    }

    /// Gives a document all that `content` gives, in bounded memory however much that is. Blocks on
    /// reading that, and on two syncs as [`SpaceService::set_content`] does.
    ///
    /// # Errors
    /// As [`SpaceService::set_content`]; of a document that is not there, nothing is read.
    pub fn set_content_from(
        &self,
        space_id: &str,
        document_id: impl Into<String>,
        content: &mut dyn Read,
    ) -> Result<Outcome, CommandError> {
        let store = self.required_content_store()?;
        let document_id = document_id.into();
        // Under a key a refusal may be that of a repetition: it is for the log to say.
        if !self.has_key() {
            self.check_takes_content(space_id, &document_id)?;
        }
        let hash = put(store, content)?.to_string();
        store.sync()?;
        self.execute(space_id, Command::SetContentHash { document_id, hash })
    }

    /// Closes the open conflict of a document by the content that it is to have: see
    /// [`SpaceService::resolve_conflict`]. Blocks as [`SpaceService::set_content`] does.
    ///
    /// # Errors
    /// As [`SpaceService::set_content`].
    pub fn resolve_conflict_with(
        &self,
        space_id: &str,
        document_id: impl Into<String>,
        content: impl AsRef<[u8]>,
    ) -> Result<Outcome, CommandError> {
        let document_id = document_id.into();
        let command = |hash| Command::ResolveConflict { document_id, hash };
        self.execute_with_content(space_id, content.as_ref(), command)
    }

    fn execute_with_content(
        &self,
        space_id: &str,
        content: &[u8],
        command: impl FnOnce(String) -> Command,
    ) -> Result<Outcome, CommandError> {
        let store = self.required_content_store()?;
        let content = HashedContent::of(content);
        let command = command(content.hash().to_string());
        self.execute_naming(space_id, command, NamedContent::new(store, content))
    }

    fn required_content_store(&self) -> Result<&dyn ContentStore, CommandError> {
        self.content_store().map(|store| &**store).ok_or(CommandError::NoContentStore)
    }
}

/// Commands that take the bytes of documents. They are put into the content store at once, which reads
/// and writes them and syncs nothing. [`Batch::commit`] and [`Batch::submit`] have them synced before
/// the event that names them, and say if either failed.
impl Batch {
    /// Gives a document this content. Writes it to the content store, and syncs nothing.
    pub fn set_content(self, document_id: impl Into<String>, content: impl AsRef<[u8]>) -> Self {
        self.set_content_from(document_id, &mut content.as_ref())
    }

    /// Gives a document all that `content` gives, in bounded memory however much that is. Blocks on
    /// reading that, writes it to the content store, and syncs nothing.
    pub fn set_content_from(self, document_id: impl Into<String>, content: &mut dyn Read) -> Self {
        let document_id = document_id.into();
        self.with_content(content, |hash| Command::SetContentHash { document_id, hash })
    }

    /// Closes the open conflict of a document by the content that it is to have. Writes that to the
    /// content store, and syncs nothing.
    pub fn resolve_conflict_with(
        self,
        document_id: impl Into<String>,
        content: impl AsRef<[u8]>,
    ) -> Self {
        let document_id = document_id.into();
        let command = |hash| Command::ResolveConflict { document_id, hash };
        self.with_content(&mut content.as_ref(), command)
    }

    fn with_content(
        mut self,
        content: &mut dyn Read,
        command: impl FnOnce(String) -> Command,
    ) -> Self {
        let store = self.service.required_content_store();
        let hash = store.and_then(|store| Ok(put(store, content)?));
        match hash {
            Ok(hash) => {
                self.has_put = true;
                self.then(command(hash.to_string()))
            }
            Err(error) => {
                self.failed.get_or_insert(error);
                self
            }
        }
    }

    /// Makes durable what was put.
    pub(crate) fn sync_content(&mut self) -> Result<(), CommandError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.has_put {
            self.service.required_content_store()?.sync()?;
        }
        Ok(())
    }
}

fn put(store: &dyn ContentStore, content: &mut dyn Read) -> Result<ContentHash, ContentError> {
    Ok(store.put(content)?.hash)
}

#[cfg(test)]
mod tests;
