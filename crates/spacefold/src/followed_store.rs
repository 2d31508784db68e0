//! A store that is followed: read beside the process that has it open.

use std::{fmt, ops::Deref, path::Path, sync::Arc};

use spacefold_bus::{DurableSubscription, Feed, PlaceFile, SubscribeError};
use spacefold_content::ContentReport;
use spacefold_event_core::{LogReader, ReadError, Revision, closing::CloseOnce};
use spacefold_projection::{DerivedState, HistoryCacheOnDisk};
use spacefold_store::{Follower, FollowerOptions, OpenError, StoreInfo, VerifyDepth, VerifyReport};

use crate::{
    contents,
    engine::{Engine, StoredLog},
    folding,
    follower_cache::FollowerCache,
    options::{Folding, Options, StorePlace},
    spacefold::Spacefold,
    spaces_reader::SpacesReader,
};

/// A store that is followed: the reading half of a [`Spacefold`], for a store that another process
/// writes, or that may only be read. Clones are cheap and follow together.
///
/// Nobody is asked and nothing in the folder of the store is locked, written or mended: it may be on
/// a disk that is full or takes no changes, and belong to another user. The process that writes the store
/// notices nothing.
///
/// # What it shows
/// What is proved to be on disk, as [`LogReader::durable_head`] says: nothing that it has shown is
/// taken back by a crash of the writer. It follows within milliseconds of the writer's syncs. Each
/// clone is a session: what it shows never goes back.
///
/// States and rows are folded here, from the log alone, and kept in a
/// [cache](crate::CachePlace) of the reader's own. Subscriptions are live; those that keep a place
/// under a name are for the process that has the store.
///
/// # Examples
/// ```
/// use spacefold::{CachePlace, Options, SpaceEvent, Spacefold};
/// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
/// let spaces = Spacefold::open(&data)?;
/// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
///
/// // In another process, most likely.
/// let beside = Options::new(&data).cache(CachePlace::Memory).follow()?;
/// assert_eq!(beside.snapshot("handbook")?.name(), Some("Handbook"));
/// let receipt = spaces.append([SpaceEvent::space_activated("handbook")])?;
/// let timeout = std::time::Duration::from_secs(10);
/// let now = beside.snapshot_after("handbook", receipt.last_position(), timeout)?;
/// assert_eq!(now.status().name(), "active");
/// # spaces.close()?;
/// # std::fs::remove_dir_all(&data)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FollowedStore {
    inner: Arc<FollowedInner>,
    reader: SpacesReader,
}

impl Clone for FollowedStore {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), reader: self.reader.another() }
    }
}

impl Deref for FollowedStore {
    type Target = SpacesReader;

    fn deref(&self) -> &SpacesReader {
        &self.reader
    }
}

struct FollowedInner {
    engine: Arc<Engine>,
    log: Follower,
    cache: Option<FollowerCache>,
    closing: CloseOnce<()>,
}

impl StoredLog for Follower {
    fn spaces(&self) -> Result<Vec<(String, Revision)>, ReadError> {
        self.spaces()
    }

    fn stop_waiting(&self) {
        self.stop_waiting();
    }
}

impl Options {
    /// Follows the store beside the process that has it open. Of these options
    /// [`folding`](Options::folding), [`cache`](Options::cache),
    /// [`history_cache`](Options::history_cache) and
    /// [`states_memory_bytes`](Options::states_memory_bytes) count.
    ///
    /// # Errors
    /// [`OpenError::NoStore`] where there is none, a store in memory too, and what else keeps it from
    /// being read; never that it is in use.
    ///
    /// # Cost
    /// As that of opening a store that was closed; states are folded when they are asked for, unless
    /// the cache has them.
    pub fn follow(&self) -> Result<FollowedStore, OpenError> {
        let StorePlace::Folder(path) = &self.place else {
            return Err(OpenError::NoStore { path: contents::IN_MEMORY.into() });
        };
        let log = Follower::open(path, &FollowerOptions::default())?;
        let content = Arc::new(contents::follow(path)?);
        let cache = FollowerCache::open(&self.cache, log.store_id(), &log.identity());
        let mut options = self.clone();
        let derived = match &cache {
            Some(cache) => cache.derived(),
            None => {
                options.history_cache.on_disk = HistoryCacheOnDisk::NotKept;
                DerivedState::in_memory()
            }
        };
        let feed = Feed::new(Arc::new(log.clone()));
        let read = Arc::new(log.clone());
        let engine = Arc::new(Engine::new(read, content, derived, feed, &options));
        let reader = SpacesReader::new(Arc::clone(&engine), None);
        let inner = Arc::new(FollowedInner { engine, log, cache, closing: CloseOnce::default() });
        if self.folding == Folding::Live {
            folding::start(&inner.engine, None)?;
        }
        Ok(FollowedStore { inner, reader })
    }
}

impl Spacefold {
    /// Follows the store in the folder `path`, which another process may have open: everything that
    /// reads, and nothing that writes. As [`Options::follow`], with the options unless told.
    ///
    /// # Errors
    /// As [`Options::follow`].
    ///
    /// # Examples
    /// ```no_run
    /// use spacefold::Spacefold;
    /// let beside = Spacefold::follow("data")?;
    /// println!("{:?}", beside.snapshot("handbook")?.name());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn follow(path: impl AsRef<Path>) -> Result<FollowedStore, OpenError> {
        Options::new(path).follow()
    }
}

impl FollowedStore {
    /// The log of the store: everything that [`LogReader`] offers, and what only this one can.
    #[must_use]
    pub fn log(&self) -> &Follower {
        &self.inner.log
    }

    /// The store at a glance.
    #[must_use]
    pub fn info(&self) -> StoreInfo {
        self.log().info()
    }

    /// The durable subscriptions of the process that has the store, sorted by name, each where it was
    /// when that last synced its places: within a second, unless told otherwise.
    ///
    /// # Errors
    /// [`SubscribeError::Storage`], also where the places are damaged.
    pub fn durable_subscriptions(&self) -> Result<Vec<DurableSubscription>, SubscribeError> {
        let folder = contents::read_only().folder(&self.log().path().join("subscriptions"))?;
        let Some(folder) = folder else { return Ok(Vec::new()) };
        let log = Arc::new(self.log().clone());
        Feed::kept_in(log, Arc::new(PlaceFile::in_folder(folder))).durable_subscriptions()
    }

    /// Checks what is shown of the log: every event, or, if it is to be quick, HEAD, the chain of the
    /// segments by what they say of themselves, and the frames behind them. What only the process that has
    /// the store may look at, its second copy of the log, is not checked.
    ///
    /// # Errors
    /// [`ReadError`] when the store was closed or the machine lacks something; damage is no error but
    /// part of the report.
    ///
    /// # Cost
    /// Reads every byte of the log; if it is quick, what is in no segment.
    pub fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport, ReadError> {
        spacefold_store::verify_beside(self.log(), depth)
    }

    /// Checks every byte of the content. Which events name what is damaged or missing is for the
    /// caller to find.
    ///
    /// # Errors
    /// [`OpenError`] when the disk refuses; damage is no error but part of the report.
    pub fn verify_content(&self) -> Result<ContentReport, OpenError> {
        contents::verify_beside(&self.log().path())
    }

    /// Stores what is folded in the cache and ends, for all clones: nothing is read through any handle,
    /// and every call that waits ends with an error that says so. Waits for projections that are
    /// running. So does dropping the last clone.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl FollowedInner {
    fn close(&self) {
        self.engine.stop();
        self.closing.run(|| self.close_stopped());
    }

    fn close_stopped(&self) {
        self.engine.end_callbacks();
        if let Some(cache) = &self.cache {
            self.engine.save_last();
            cache.close();
        }
        self.log.close();
        self.engine.join();
    }
}

impl Drop for FollowedInner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for FollowedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowedStore")
            .field("path", &self.log().path())
            .field("durable_head", &self.durable_head())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
