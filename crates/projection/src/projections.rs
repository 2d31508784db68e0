//! Projections of the user's own: registered by name and version, folded live, persisted.

mod error;
mod generation;
mod handle;
mod info;
mod paused;
mod slot;
mod trail;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use spacefold_event_core::{
    ContentStore, Position,
    closing::Callbacks,
    lock::{Lock, SharedLock},
};
use spacefold_state::SpaceStates;

pub use self::{
    error::{CatchUpError, RegisterError},
    generation::MAX_SKIPPED_EVENTS,
    handle::ProjectionHandle,
    info::{Building, ProjectionInfo},
    paused::{PauseKind, Paused},
};
pub(crate) use self::{
    generation::{Frozen, Generation, Stopped},
    slot::{ProjectionFold, ProjectionSlot},
    trail::first_parting,
};
use crate::{effects::EffectSource, live_states::LiveStates, projection::Projection};

/// Bytes of the name of a projection, which is made of letters, digits, dots, dashes and
/// underscores of ASCII.
pub const MAX_PROJECTION_NAME_BYTES: usize = 100;

/// The projections that are registered for a log, and where they are persisted.
///
/// Nothing is folded by itself: [`Projections::catch_up`] does, from whichever thread calls it, and
/// each projection goes at its own pace.
///
/// ```
/// use std::sync::Arc;
/// use spacefold::{
///     Position, SpaceEvent, event::RecordedEventRef, log::{AppendRequest, LogWriter, MemoryLog},
///     projection::{ApplyContext, ApplyError, Projection, Projections, Table},
///     state::{DerivedState, LiveStates},
/// };
///
/// /// The sources that have said anything.
/// struct Sources;
///
/// impl Projection for Sources {
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
///         table: &mut Table<'_>,
///     ) -> Result<(), ApplyError> {
///         Ok(event.source.map_or(Ok(()), |source| table.put(source, b""))?)
///     }
/// }
///
/// let log = Arc::new(MemoryLog::new());
/// log.append(&AppendRequest::new(&[SpaceEvent::space_created("a", "A").with_source("editor")]))?;
/// let projections = Projections::new(Arc::new(LiveStates::new(log, DerivedState::in_memory())));
/// let sources = projections.register(Sources)?;
/// assert_eq!(sources.catch_up()?, Position::new(1));
/// let known = sources.read(|view| Ok(view.get("editor")?.is_some()))?;
/// assert!(known);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Projections {
    states: Arc<LiveStates>,
    sources: Sources,
    slots: SharedLock<BTreeMap<&'static str, Arc<ProjectionSlot>>>,
    stop: Arc<AtomicBool>,
    callbacks: Arc<Callbacks>,
    rebuilding: Lock<()>,
}

/// What projections may ask for beside the log.
#[derive(Clone)]
pub(crate) struct Sources {
    effects: Arc<dyn EffectSource>,
    content: Option<Arc<dyn ContentStore>>,
}

impl Projections {
    /// No projection yet, of the log of these states; what is registered is persisted beside them.
    #[must_use]
    pub fn new(states: Arc<LiveStates>) -> Self {
        let (slots, rebuilding) = (SharedLock::default(), Lock::default());
        let (stop, callbacks) = (Arc::default(), Arc::default());
        let sources = Sources { effects: Arc::clone(&states) as _, content: None };
        Self { states, sources, slots, stop, callbacks, rebuilding }
    }

    /// With the store of the content that events name, for
    /// [`ApplyContext::content`](crate::ApplyContext::content) of what is registered from now on.
    #[must_use]
    pub fn with_content(mut self, content: Arc<dyn ContentStore>) -> Self {
        self.sources.content = Some(content);
        self
    }

    /// Registers a projection: it goes on from what is persisted of it, if that is of its version and
    /// good for this log. A state of another version is read until one of this version has caught
    /// up, and is removed then.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub fn register<P: Projection>(
        &self,
        projection: P,
    ) -> Result<ProjectionHandle<P>, RegisterError> {
        self.register_shared(Arc::new(projection))
    }

    /// As [`Projections::register`], of a projection that others have too.
    pub(crate) fn register_shared<P: Projection>(
        &self,
        projection: Arc<P>,
    ) -> Result<ProjectionHandle<P>, RegisterError> {
        let name = projection.name();
        if !is_name(name) || name == SpaceStates::NAME {
            return Err(RegisterError::InvalidName { name });
        }
        let mut slots = self.slots.write();
        if slots.contains_key(name) {
            return Err(RegisterError::NameTaken { name });
        }
        let log = Arc::clone(self.states.log());
        // A name may be made of dots alone.
        let derived = self.states.derived().part("projections").part(format!("{name}.projection"));
        let (stop, callbacks) = (Arc::clone(&self.stop), Arc::clone(&self.callbacks));
        let fold = ProjectionFold { projection, sources: self.sources.clone(), log };
        let slot = Arc::new(ProjectionSlot::open(fold, derived, stop, callbacks)?);
        slots.insert(name, Arc::clone(&slot));
        Ok(ProjectionHandle::new(slot))
    }

    /// How each is doing, sorted by name.
    #[must_use]
    pub fn infos(&self) -> Vec<ProjectionInfo> {
        self.slots().iter().map(|slot| slot.info()).collect()
    }

    /// Folds one up to the durable head as it is now, in this thread, and answers the position that
    /// is read then.
    ///
    /// # Errors
    /// [`CatchUpError`]; what was folded stays folded.
    pub fn catch_up(&self, name: &str) -> Result<Position, CatchUpError> {
        self.slot(name)?.catch_up()
    }

    /// Tries the event again that a paused projection is at, and goes on to the durable
    /// head.
    ///
    /// # Errors
    /// [`CatchUpError::Paused`] when it fails again.
    pub fn resume(&self, name: &str) -> Result<Position, CatchUpError> {
        self.slot(name)?.resume()
    }

    /// Leaves the event out that a paused projection is at, forever, in rebuilds too,
    /// and goes on to the durable head. Does nothing but that when it is not paused.
    ///
    /// # Errors
    /// [`CatchUpError::TooManySkipped`]; [`CatchUpError::Paused`] when it cannot take in a later
    /// one.
    pub fn skip(&self, name: &str) -> Result<Position, CatchUpError> {
        self.slot(name)?.skip()
    }

    /// Persists what was folded since the last checkpoints, of all of them.
    ///
    /// # Errors
    /// The first failure; the others are tried nevertheless.
    pub fn save(&self) -> Result<(), CatchUpError> {
        let saved: Vec<_> = self.slots().iter().map(|slot| slot.save()).collect();
        saved.into_iter().collect()
    }

    /// Persists what was folded since the last checkpoints, behind [`Projections::stop`]; of one that
    /// is still being read or folded, which may be for the caller to go on, the last events are
    /// folded again the next time. Waits for nobody.
    ///
    /// # Errors
    /// The first failure; the others are tried nevertheless.
    pub fn save_last(&self) -> Result<(), CatchUpError> {
        let saved: Vec<_> = self.slots().iter().map(|slot| slot.save_last()).collect();
        saved.into_iter().collect()
    }

    /// Ends every fold that is under way, and every later one, with
    /// [`ReadError::Closed`](spacefold_event_core::ReadError::Closed).
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.slots().iter().for_each(|slot| slot.notify());
    }

    /// The folds that are under way: after [`Projections::stop`] none begins that calls a projection,
    /// and closing what projections use may wait for these.
    #[must_use]
    pub const fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }

    fn slot(&self, name: &str) -> Result<Arc<ProjectionSlot>, CatchUpError> {
        let slots = self.slots.read();
        let unknown = || CatchUpError::UnknownProjection {
            name: name.to_owned(),
            known: slots.keys().copied().collect(),
        };
        slots.get(name).cloned().ok_or_else(unknown)
    }

    pub(crate) fn effects(&self) -> &dyn EffectSource {
        &*self.sources.effects
    }

    pub(crate) const fn states(&self) -> &Arc<LiveStates> {
        &self.states
    }

    /// Keeps other rebuilds away until the guard is dropped.
    pub(crate) fn rebuild_alone(&self) -> MutexGuard<'_, ()> {
        self.rebuilding.lock()
    }

    pub(crate) fn slots(&self) -> Vec<Arc<ProjectionSlot>> {
        let slots = self.slots.read();
        slots.values().cloned().collect()
    }
}

impl fmt::Debug for Projections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projections").field("infos", &self.infos()).finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=MAX_PROJECTION_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests;
