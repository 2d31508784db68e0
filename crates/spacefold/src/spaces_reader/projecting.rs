//! Projections beside the states of the spaces: those that come with the store, and the user's own.

use spacefold_event_core::Position;
use spacefold_projection::{
    Activity, CatchUpError, ContentIndex, Occurrence, OpenProblems, Projection, ProjectionHandle,
    ProjectionInfo, RegisterError, SnapshotError,
};

use super::SpacesReader;

/// The projections of a store: see [`SpacesReader::projections`].
#[derive(Clone, Copy, Debug)]
pub struct ProjectionsHandle<'a>(&'a SpacesReader);

impl SpacesReader {
    /// The projections of the store: those that come with it, and those that are registered.
    #[must_use]
    pub const fn projections(&self) -> ProjectionsHandle<'_> {
        ProjectionsHandle(self)
    }
}

impl ProjectionsHandle<'_> {
    /// Registers a projection of one's own: it is folded live in a thread of its own, persisted with
    /// its position in one step, and rebuilt like those that come with the store.
    ///
    /// A state of another version is read until one of this version has caught up. An event that
    /// the projection cannot take in pauses it, and nothing else: see [`ProjectionsHandle::infos`].
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// use std::{collections::BTreeSet, time::Duration};
    /// use spacefold::{
    ///     SpaceEvent, Spacefold, event::RecordedEventRef,
    ///     projection::{ApplyContext, ApplyError, SingleValueProjection, SingleValue},
    /// };
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    ///
    /// struct Sources;
    ///
    /// impl SingleValue for Sources {
    ///     type Value = BTreeSet<String>;
    ///
    ///     fn name(&self) -> &'static str {
    ///         "sources"
    ///     }
    ///
    ///     fn version(&self) -> u32 {
    ///         1
    ///     }
    ///
    ///     fn apply(
    ///         &self,
    ///         event: &RecordedEventRef<'_>,
    ///         _context: &ApplyContext<'_>,
    ///         sources: &mut Self::Value,
    ///     ) -> Result<(), ApplyError> {
    ///         sources.extend(event.source.map(str::to_owned));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let sources = spaces.projections().register(SingleValueProjection(Sources))?;
    /// let created = SpaceEvent::space_created("handbook", "Handbook").with_source("editor");
    /// let receipt = spaces.append([created])?;
    /// sources.wait(receipt.last_position(), Duration::from_secs(10))?;
    /// assert!(sources.value()?.0.contains("editor"));
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register<P: Projection>(
        &self,
        projection: P,
    ) -> Result<ProjectionHandle<P>, RegisterError> {
        self.0.engine.views.register(projection)
    }

    /// How every projection is doing, the states of the spaces too; sorted by name.
    ///
    /// # Errors
    /// [`CatchUpError`] when what is persisted cannot be read.
    pub fn infos(&self) -> Result<Vec<ProjectionInfo>, CatchUpError> {
        let checkpoints = self.0.engine.live.checkpoints().map_err(|error| match error {
            SnapshotError::Storage(error) => CatchUpError::Table(error.into()),
            SnapshotError::Read(error) => CatchUpError::Read(error),
            other => CatchUpError::Table(
                spacefold_event_core::StorageError::new("reading a checkpoint", other).into(),
            ),
        })?;
        let head = self.0.durable_head();
        let states = checkpoints.into_iter().map(|checkpoint| ProjectionInfo {
            name: checkpoint.name,
            version: checkpoint.version,
            position: checkpoint.position,
            lag: head.since(checkpoint.position),
            building: None,
            paused: None,
            skipped: Vec::new(),
        });
        let mut infos = self.0.engine.views.infos()?;
        infos.extend(states);
        infos.sort_unstable_by_key(|info| info.name);
        Ok(infos)
    }

    /// Tries the event again that a paused projection is at, and folds on.
    ///
    /// # Errors
    /// [`CatchUpError::Paused`] when it fails again; [`CatchUpError::UnknownProjection`].
    pub fn resume(&self, name: &str) -> Result<Position, CatchUpError> {
        self.0.engine.views.projections().resume(name)
    }

    /// Leaves the event out that a paused projection is at, forever, in rebuilds too,
    /// and folds on.
    ///
    /// # Errors
    /// [`CatchUpError::Paused`] when it cannot take in a later one;
    /// [`CatchUpError::TooManySkipped`]; [`CatchUpError::UnknownProjection`].
    pub fn skip_event(&self, name: &str) -> Result<Position, CatchUpError> {
        self.0.engine.views.projections().skip(name)
    }

    /// Where a content is, and was, across spaces and time; folded up to the durable head.
    ///
    /// # Errors
    /// [`CatchUpError`].
    ///
    /// # Cost
    /// The first time, the whole log; from then on what is new.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([
    ///     SpaceEvent::document_added("handbook", "intro", "/intro.md"),
    ///     SpaceEvent::document_content_changed("handbook", "intro", None, "h1"),
    /// ])?;
    /// let found = spaces.projections().content_index()?.occurrences("h1")?;
    /// assert_eq!(found[0].document_id, "intro");
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn content_index(&self) -> Result<ProjectionHandle<ContentIndex>, CatchUpError> {
        self.0.engine.views.caught_up(|builtin| builtin.content_index)
    }

    /// Where a content is, and was: answered by the [content index](ProjectionsHandle::content_index) where
    /// that is folded, and else, as after damage to it, by the log itself, without waiting until it
    /// is folded again.
    ///
    /// # Errors
    /// [`CatchUpError`] when the log cannot be read.
    ///
    /// # Cost
    /// With the index some microseconds; without it one pass over the log, and as much time again
    /// that the index is folded on.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{SpaceEvent, Spacefold};
    /// # let data = std::env::temp_dir().join(spacefold::EventId::new().to_string());
    /// # let spaces = Spacefold::open(&data)?;
    /// spaces.append([
    ///     SpaceEvent::document_added("handbook", "intro", "/intro.md"),
    ///     SpaceEvent::document_content_changed("handbook", "intro", None::<String>, "h1"),
    /// ])?;
    /// assert_eq!(spaces.projections().occurrences("h1")?[0].document_id, "intro");
    /// # spaces.close()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn occurrences(
        &self,
        content_hash: impl Into<String>,
    ) -> Result<Vec<Occurrence>, CatchUpError> {
        self.0.engine.views.occurrences(self.0.log(), &content_hash.into())
    }

    /// How many events there were by day, type and source; folded up to the durable head.
    ///
    /// # Errors
    /// [`CatchUpError`].
    ///
    /// # Cost
    /// The first time, the whole log; from then on what is new.
    pub fn activity(&self) -> Result<ProjectionHandle<Activity>, CatchUpError> {
        self.0.engine.views.caught_up(|builtin| builtin.activity)
    }

    /// Failed renders, open sync conflicts, stale documents, and renders and synchronisations that run,
    /// of all spaces; folded up to the durable head.
    ///
    /// A render that runs is one of them from its start on, since no event says that its process is
    /// gone: see [`OpenProblems`], and [`SpaceService::take_over`](crate::SpaceService::take_over).
    ///
    /// # Errors
    /// [`CatchUpError`].
    ///
    /// # Cost
    /// The first time, the whole log; from then on what is new.
    pub fn open_problems(&self) -> Result<ProjectionHandle<OpenProblems>, CatchUpError> {
        self.0.engine.views.caught_up(|builtin| builtin.open_problems)
    }
}
