//! The bytes of documents.

use std::sync::Arc;

use spacefold_content::PackStore;

use super::Spacefold;

/// The bytes of documents.
impl Spacefold {
    /// The content of the store: bytes by their hash.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{AppendCondition, Position, SpaceEvent, Spacefold, content::ContentStore};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// // The content first, synced, then the event that names it.
    /// let stored = spaces.content().put(&mut &b"# Hello"[..])?;
    /// spaces.content().sync()?;
    /// spaces.append_if(
    ///     [
    ///         SpaceEvent::space_created("handbook", "Handbook"),
    ///         SpaceEvent::document_added("handbook", "intro", "/intro.md"),
    ///         SpaceEvent::document_content_changed("handbook", "intro", None, stored.hash),
    ///     ],
    ///     AppendCondition::no_space("handbook"),
    /// )?;
    /// let mut text = String::new();
    /// let mut reader = spaces.at(Position::new(3)).content("handbook", "intro")?;
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
}
