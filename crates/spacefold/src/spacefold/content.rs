//! The bytes of documents.

use std::sync::Arc;

use spacefold_content::{CollectReport, PackStore};
use spacefold_event_core::{ContentReader, ContentStore, Position};

use super::Spacefold;
use crate::contents::{self, CollectError, ContentAtError};

/// The bytes of documents.
impl Spacefold {
    /// The content of the store: bytes by their hash.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{AppendCondition, ContentStore, Position, SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// // The content first, synced, then the event that names it.
    /// let stored = spaces.content().put(&mut &b"# Hello"[..])?;
    /// spaces.content().sync()?;
    /// spaces.append(
    ///     [
    ///         SpaceEvent::space_created("handbook", "Handbook"),
    ///         SpaceEvent::document_added("handbook", "intro", "/intro.md"),
    ///         SpaceEvent::document_content_changed("handbook", "intro", None, stored.hash),
    ///     ],
    ///     AppendCondition::no_space("handbook"),
    /// )?;
    /// let mut text = String::new();
    /// let mut reader = spaces.content_at("handbook", "intro", Position::new(3))?;
    /// std::io::Read::read_to_string(&mut reader, &mut text)?;
    /// assert_eq!(text, "# Hello");
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn content(&self) -> &Arc<PackStore> {
        &self.inner.content
    }

    /// The bytes that a document had at a position, checked while they are read.
    ///
    /// # Errors
    /// [`ContentAtError`], by what is not there: the position, the space, the document, its
    /// content, or the bytes of it.
    ///
    /// # Cost
    /// As [`Spacefold::snapshot_at`]; nothing is read of the content before the reader is.
    pub fn content_at(
        &self,
        space_id: &str,
        document_id: &str,
        position: Position,
    ) -> Result<ContentReader, ContentAtError> {
        let snapshot = self.snapshot_at(space_id, position)?;
        let document =
            snapshot.document(document_id).ok_or_else(|| ContentAtError::UnknownDocument {
                space_id: space_id.to_owned(),
                document_id: document_id.to_owned(),
                position,
            })?;
        let hash = document.content_hash();
        let hash = hash.ok_or_else(|| ContentAtError::NoContent {
            document_id: document_id.to_owned(),
            position,
        })?;
        let hash = hash.content_hash().ok_or_else(|| ContentAtError::ForeignHash {
            document_id: document_id.to_owned(),
            hash: hash.to_string(),
        })?;
        Ok(self.content().open(&hash)?)
    }

    /// Removes the content that no event names. Every position is retained, so whatever the
    /// snapshot of any position needs stays; and so does what was put, put again or asked for
    /// since the store was opened, whose event may be under way.
    ///
    /// # Durability
    /// A kill or a power cut at any moment leaves everything that an event names.
    ///
    /// # Errors
    /// [`CollectError`]; nothing that an event names is gone.
    ///
    /// # Cost
    /// One pass over the log, 32 bytes of memory for each content that it names, and the packs that
    /// have something to leave behind are written anew.
    pub fn collect_garbage(&self) -> Result<CollectReport, CollectError> {
        let named = contents::named(self.log())?;
        Ok(self.content().collect_garbage(&named)?)
    }
}
