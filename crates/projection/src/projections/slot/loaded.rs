//! The generations of a projection that are in memory: the one that is read, and the one that is built
//! beside it.

use spacefold_event_core::{LogReader, Position};

use super::fold::ProjectionFold;
use crate::{
    derived_state::DerivedState,
    generations::{Generations, GenerationsRoot, LeftBehind},
    projections::{
        error::{CatchUpError, RegisterError},
        generation::{Checkpointed, Frozen, Generation},
    },
    table::TableError,
};

pub(crate) struct LoadedGenerations {
    pub(super) generations: Generations,
    /// What is read.
    pub(crate) current: Generation,
    /// What takes its place when it has caught up.
    pub(super) building: Option<Generation>,
}

/// What a rebuild begins with.
pub(crate) struct RowsRebuildStart {
    /// What is read, as it is; `None` when nothing of this version is.
    pub(crate) old: Option<Frozen>,
    /// What is folded beside it: empty, or as far as an earlier rebuild has come.
    pub(crate) new: Generation,
}

impl LoadedGenerations {
    /// What is persisted, as far as it is good for this log.
    pub(super) fn open(
        fold: &ProjectionFold,
        derived: DerivedState,
    ) -> Result<Self, RegisterError> {
        let (name, version) = (fold.name(), fold.projection.version());
        let mut generations = Generations::open(derived).map_err(TableError::from)?;
        let load = |generations: &Generations, number: Option<u64>| match number {
            Some(number) => Generation::load::<RegisterError>(&*fold.log, generations, number),
            None => Ok(None),
        };
        let (current, building) = match load(&generations, generations.current())? {
            Some(current) if current.version() == version => {
                // What stays for a failure is in nobody's way.
                if let Err(error) = current.sweep() {
                    tracing::warn!(%error, name, "old rows of a projection could not be removed");
                }
                generations.sweep(None);
                (current, None)
            }
            Some(current) => {
                let begun = load(&generations, generations.building())?;
                let begun =
                    begun.filter(|begun| begun.version() == version).map_or_else(
                        || {
                            Ok(Generation::empty(&mut generations, version)?
                                .skipping(current.skipped()))
                        },
                        Ok::<_, TableError>,
                    );
                (current, Some(begun?))
            }
            None => {
                generations.forget_current();
                (Generation::empty(&mut generations, version)?, None)
            }
        };
        Ok(Self { generations, current, building })
    }

    /// The generation that is folded.
    pub(super) fn target(&self) -> &Generation {
        self.building.as_ref().unwrap_or(&self.current)
    }

    pub(super) fn target_mut(&mut self) -> &mut Generation {
        self.building.as_mut().unwrap_or(&mut self.current)
    }

    /// How many events were folded since the last checkpoint.
    pub(super) fn recent_events(&self) -> u64 {
        self.target().position().since(self.target().checkpointed())
    }

    /// An empty state that nothing names yet, which leaves out what the one at hand does.
    pub(super) fn scratch(&mut self, version: u32) -> Result<Generation, TableError> {
        let anew = Generation::empty(&mut self.generations, version)?;
        Ok(anew.skipping(self.target().skipped()))
    }

    /// Writes the rows and the position of what is folded, and the root that names them.
    pub(super) fn persist(
        &self,
        log: &dyn LogReader,
    ) -> Result<(Checkpointed, GenerationsRoot), CatchUpError> {
        let checkpointed = self.target().checkpoint(log)?;
        let number = self.target().number();
        let root = match &self.building {
            Some(_) => self.generations.with_building(Some(number)),
            None => self.generations.with_current(number),
        };
        self.generations.store(root)?;
        Ok((checkpointed, root))
    }

    /// Begins to fold a new state, or goes on with the one that an earlier rebuild has left.
    pub(super) fn begin_rebuild(
        &mut self,
        fold: &ProjectionFold,
        left: LeftBehind,
    ) -> Result<RowsRebuildStart, CatchUpError> {
        let version = fold.projection.version();
        // What is being made may be of another version of the projection.
        let left = if self.building.is_some() { LeftBehind::Ignore } else { left };
        let left = match self.generations.left_behind(left)? {
            Some(number) => {
                Generation::load::<CatchUpError>(&*fold.log, &self.generations, number)?
            }
            None => None,
        };
        let current = &self.current;
        let is_there = self.generations.current().is_some() || current.position() > Position::START;
        let old = (is_there && current.version() == version).then(|| current.frozen());
        let skipped = current.skipped();
        let left = left.filter(|left| left.version() == version && left.skipped() == skipped);
        let new = match left {
            Some(mut left) => {
                left.resume();
                left
            }
            None => Generation::empty(&mut self.generations, version)?.skipping(skipped),
        };
        self.generations.rebuild(new.number());
        Ok(RowsRebuildStart { old, new })
    }
}
