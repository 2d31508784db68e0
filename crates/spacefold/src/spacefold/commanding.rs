//! Commands on spaces.

use spacefold_service::SpaceService;

use super::Spacefold;

impl Spacefold {
    /// The command side of the store: a method for each operation on a space, checked against the
    /// state of the space and recorded as an event. The bytes of documents go into the content of
    /// the store.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Position, Refusal, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// let service = spaces.service();
    /// service.create_space("handbook", "Handbook")?;
    /// let added = service.add_document("handbook", "intro", "/intro.md")?;
    /// assert_eq!(added.last_position(), Some(Position::new(2)));
    /// service.set_content("handbook", "intro", b"# Hello")?;
    /// // The same content again changes nothing.
    /// assert!(service.set_content("handbook", "intro", b"# Hello")?.is_unchanged());
    ///
    /// let refused = service.add_document("handbook", "start", "/intro.md").unwrap_err();
    /// assert!(matches!(refused.refusal(), Some(Refusal::PathTaken { .. })));
    ///
    /// let batch = service.batch("handbook").set_variable("reviewed", true).activate_space();
    /// assert_eq!(batch.commit()?.events().len(), 2);
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn service(&self) -> &SpaceService {
        &self.inner.service
    }
}
