//! Operating a store: looking at it, rebuilding what is derived, removing what nothing names.

use spacefold_content::CollectReport;
use spacefold_projection::{
    CatchUpError, CheckpointInfo, RebuildError, RebuildOptions, RebuildOutcome, SnapshotError,
};
use spacefold_store::StoreInfo;

use super::Spacefold;
use crate::contents::{self, CollectError};

/// What an operator does with an open store: see [`Spacefold::admin`].
#[derive(Clone, Copy, Debug)]
pub struct Admin<'a>(&'a Spacefold);

/// The cache that makes states of the past fast: see [`Spacefold::history_cache`].
#[derive(Clone, Copy, Debug)]
pub struct HistoryCacheHandle<'a>(&'a Spacefold);

impl Spacefold {
    /// What an operator does with the store.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold, admin::{RebuildMode, RebuildOptions}};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([SpaceEvent::space_created("handbook", "Handbook")])?;
    /// let outcomes = spaces.admin().rebuild(&[], &RebuildOptions::new(RebuildMode::Check))?;
    /// assert!(outcomes.iter().all(|outcome| outcome.events == 1));
    /// assert_eq!(spaces.admin().info().healed, 0);
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn admin(&self) -> Admin<'_> {
        Admin(self)
    }

    /// The cache that makes states of the past fast. It is derived, and goes on in the background
    /// while states are folded live.
    #[must_use]
    pub const fn history_cache(&self) -> HistoryCacheHandle<'_> {
        HistoryCacheHandle(self)
    }
}

impl Admin<'_> {
    /// The store at a glance.
    ///
    /// # Blocking
    /// Waits until sled's copy of the log is open.
    #[must_use]
    pub fn info(&self) -> StoreInfo {
        self.0.log().info()
    }

    /// As [`Admin::info`], as far as that is known by now: see [`EmbeddedLog::known_info`].
    ///
    /// # Cost
    /// Looks at every file of the folder; waits for nothing.
    ///
    /// [`EmbeddedLog::known_info`]: spacefold_store::EmbeddedLog::known_info
    #[must_use]
    pub fn known_info(&self) -> StoreInfo {
        self.0.log().known_info()
    }

    /// The stored states, each with the position it is good for.
    ///
    /// # Errors
    /// [`SnapshotError`] when the storage fails.
    pub fn checkpoints(&self) -> Result<Vec<CheckpointInfo>, SnapshotError> {
        self.0.inner.engine.live.checkpoints()
    }

    /// Folds projections anew from the first event, beside the live ones, all of them when `names`
    /// is empty. When the options say [`RebuildMode::Replace`](crate::admin::RebuildMode), each takes
    /// the place of the live one in one step, once it is complete. The store goes on meanwhile, and so
    /// do the readers of projections.
    ///
    /// # Errors
    /// [`RebuildError`]; what was stored before stays.
    pub fn rebuild(
        &self,
        names: &[String],
        options: &RebuildOptions<'_>,
    ) -> Result<Vec<RebuildOutcome>, RebuildError> {
        let views = &self.0.inner.engine.views;
        views.builtin().map_err(CatchUpError::from)?;
        spacefold_projection::rebuild(views.projections(), names, options)
    }

    /// Removes the content that no event names. Every position is retained, so whatever the
    /// snapshot of any position needs stays; and so does content that was put, put again or asked for
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
    /// hold removed content are written anew.
    pub fn collect_garbage(&self) -> Result<CollectReport, CollectError> {
        let named = contents::named(self.0.log())?;
        let collected = self.0.content().collect_garbage(&named)?;
        self.0.content().count_bytes();
        Ok(collected)
    }
}

impl HistoryCacheHandle<'_> {
    /// Makes the cache anew from the first event on.
    ///
    /// # Errors
    /// [`SnapshotError`]; states of the past are as they were, and may take longer.
    pub fn rebuild(&self) -> Result<(), SnapshotError> {
        self.0.inner.engine.past.rebuild_history_cache()
    }

    /// Removes the cache, on disk and in memory: states of the past take longer until it is there
    /// again.
    ///
    /// # Errors
    /// [`SnapshotError`] when the storage fails.
    pub fn remove(&self) -> Result<(), SnapshotError> {
        self.0.inner.engine.past.remove_history_cache()
    }
}
