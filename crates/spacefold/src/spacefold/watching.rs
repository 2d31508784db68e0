//! Watching over an open store: whether it takes anything, how far it is, and what it takes.

use spacefold_content::ContentInfo;
use spacefold_event_core::{LogReader as _, ReadError, StorageError, Timestamp};
use spacefold_store::{LogHealth, StoreBytes};

use super::Spacefold;

/// Whether a store takes appends and content: see [`Spacefold::health`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreHealth {
    /// The log: whether it accepts appends, since when it does not and why, its heads and its lag.
    pub log: LogHealth,
    /// Whether content would be taken.
    pub accepts_content: bool,
    /// Why no content is taken until the store is opened again; `None` where nothing failed.
    pub content_failure: Option<StorageError>,
    /// Bytes of the content, as it is stored.
    pub content_bytes: u64,
}

impl StoreHealth {
    /// Whether everything is taken.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        self.log.accepts_appends && self.accepts_content
    }
}

/// What a store takes and has done: see [`Spacefold::stats`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreStats {
    /// Bytes of its files, by what they are.
    pub bytes: StoreBytes,
    /// Its content.
    pub content: ContentInfo,
    /// Events that it has.
    pub events: u64,
    /// Events that were appended since it was opened.
    pub appended: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Spaces that have an event.
    pub spaces: u64,
}

impl Spacefold {
    /// Whether the store takes appends and content, since when it does not and why, and how far it is.
    ///
    /// # Cost
    /// Some locks for a look, and one pass over the index of content in memory. Waits for a put of
    /// content that is under way.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// let health = spaces.health();
    /// assert!(health.is_well());
    /// assert_eq!(health.log.failed_since, None);
    /// assert_eq!(health.log.durable_head.get(), 1);
    /// spaces.close()?;
    /// assert!(!spaces.health().is_well());
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        let log = self.log().health();
        let content_failure = self.content().refusal();
        let quota = self.log().quota();
        let is_closed = self.log().revision("").is_err();
        let accepts_content = content_failure.is_none() && quota.check().is_ok() && !is_closed;
        let content_bytes = self.content().info().stored_bytes;
        StoreHealth { log, accepts_content, content_failure, content_bytes }
    }

    /// What the store takes of the disk, by what it is, and what it has.
    ///
    /// # Cost
    /// Looks at every file of the folder, and at the revision of every space.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// let stats = spaces.stats()?;
    /// assert_eq!((stats.events, stats.appended, stats.spaces), (1, 1, 1));
    /// assert!(stats.bytes.journal > 0 && stats.bytes.total() < 2 << 20);
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError`](crate::ReadError) when the spaces cannot be read, as of a store that is closed.
    pub fn stats(&self) -> Result<StoreStats, ReadError> {
        let (opened_at, at_opening) = self.inner.opened;
        let head = self.durable_head();
        Ok(StoreStats {
            bytes: self.log().file_bytes(),
            content: self.content().info(),
            events: head.get(),
            appended: head.since(at_opening),
            opened_at,
            spaces: u64::try_from(self.log().spaces()?.len()).unwrap_or(u64::MAX),
        })
    }

    /// Sets another limit of what the store may take, or none: see
    /// [`Options::max_bytes`](crate::Options::max_bytes). It counts from the next append on.
    pub fn set_max_bytes(&self, max: Option<u64>) {
        self.log().set_max_bytes(max);
        self.content().count_bytes();
    }
}

#[cfg(test)]
mod tests;
