//! The generations of the persisted states: the one that counts, and those that rebuilds make.

use spacefold_event_core::{LogOrigin, LogReader, Position, ReadError, StorageError};
use spacefold_runs::RunsError;
use spacefold_state::{Effect, Effects, SpaceState};

use crate::{
    derived_state::DerivedState,
    generations::{Generations, LeftBehind},
    kept_states::{KeptStates, Marker, StatesView},
};

/// How many effects that are not persisted yet may be in memory.
const MAX_RECENT_EFFECTS: usize = 1 << 18;

/// What is persisted of the states of one log. Its owner is alone with it.
pub(super) struct Persisted {
    generations: Generations,
    /// The generation that is folded on; the root does not name it before the first save.
    current: KeptStates,
    /// How far all of its states are folded.
    marker: Marker,
    /// The log that is folded, as it is now.
    origin: Option<LogOrigin>,
    /// The effects of events after the marker which are not persisted yet.
    recent: Effects,
}

/// What a rebuild of the states begins with.
pub(crate) struct StatesRebuildStart {
    /// What is persisted; `None` when nothing is.
    pub(crate) old: Option<(Marker, StatesView)>,
    /// What is folded beside it: empty, or as an earlier rebuild has left it.
    pub(crate) new: KeptStates,
    /// What that one has kept with it.
    pub(crate) left: Option<Vec<u8>>,
}

impl Persisted {
    /// What is persisted, as far as it is good for this log.
    pub(super) fn load<E: From<ReadError> + From<StorageError>>(
        log: &dyn LogReader,
        place: &DerivedState,
    ) -> Result<Self, E> {
        let mut generations = Generations::open(place.clone())?;
        let opened = match generations.current() {
            Some(number) => KeptStates::open(&generations, number)?,
            None => None,
        };
        let opened = opened.and_then(|(states, owner)| Some((states, Marker::decode(&owner)?)));
        let (current, marker) = match opened {
            Some((states, marker)) if marker.checkpoint.fits(log)? => {
                // What stays for a failure is in nobody's way.
                if let Err(error) = states.sweep() {
                    tracing::warn!(%error, "old states of spaces could not be removed");
                }
                generations.sweep(None);
                (states, marker)
            }
            _ => {
                if generations.current().is_some() {
                    tracing::warn!(
                        "the persisted states are not this log's, or damaged: refolding"
                    );
                }
                generations.forget_current();
                (KeptStates::empty(&mut generations)?, Marker::START)
            }
        };
        let recent = Effects::new(marker.position(), marker.position());
        Ok(Self { generations, current, marker, origin: log.origin(), recent })
    }

    /// Notes which log is folded from now on: what is persisted says so, also where it is ahead of the
    /// marker.
    pub(super) fn comes_from(&mut self, log: &dyn LogReader) {
        self.origin = log.origin();
    }

    /// How far the persisted states are folded.
    pub(super) const fn marker(&self) -> &Marker {
        &self.marker
    }

    /// The persisted state of a space, which may be ahead of the marker; `None` when there is none that
    /// is whole.
    pub(super) fn state(&self, space_id: &str) -> Result<Option<SpaceState>, StorageError> {
        self.current.state(space_id)
    }

    /// Notes the effect of an event, the next one or, after a fold that did not end, an earlier one.
    pub(super) fn note(&mut self, position: Position, effect: Effect) {
        self.recent.push(position, effect);
        self.recent.extend_to(position);
    }

    /// Whether so many effects are not persisted that it is time to.
    pub(super) fn has_many_effects(&self) -> bool {
        self.recent.len() >= MAX_RECENT_EFFECTS
    }

    /// The effects of the events after `after`, up to `to`, which are folded.
    pub(super) fn effects(&self, after: Position, to: Position) -> Result<Effects, RunsError> {
        self.current.view().effects_with(&self.recent, after, to)
    }

    /// Persists states, sorted by id, which may be ahead of the marker, and the effects that are not
    /// persisted yet.
    pub(super) fn put<'s>(
        &mut self,
        states: impl IntoIterator<Item = &'s SpaceState>,
    ) -> Result<(), RunsError> {
        self.write(states, self.of_origin(self.marker))
    }

    /// Persists states, sorted by id: with them all are folded as far as the marker says.
    pub(super) fn save<'s>(
        &mut self,
        states: impl IntoIterator<Item = &'s SpaceState>,
        marker: Marker,
    ) -> Result<(), RunsError> {
        let mut states = states.into_iter().peekable();
        let marker = self.of_origin(marker);
        let is_named = self.is_named();
        if is_named && marker == self.marker && states.peek().is_none() {
            return Ok(());
        }
        self.write(states, marker)?;
        if !is_named {
            self.make_current()?;
        }
        Ok(())
    }

    fn write<'s>(
        &mut self,
        states: impl IntoIterator<Item = &'s SpaceState>,
        marker: Marker,
    ) -> Result<(), RunsError> {
        self.current.write(states, &self.recent, &marker.encode())?;
        self.recent = Effects::new(self.recent.to(), self.recent.to());
        self.marker = marker;
        Ok(())
    }

    /// The marker as of the log that is folded.
    fn of_origin(&self, marker: Marker) -> Marker {
        Marker { checkpoint: marker.checkpoint.of(self.origin), ..marker }
    }

    /// Lets go of everything, which is damaged: nothing is persisted then.
    pub(super) fn begin_anew(&mut self) -> Result<(), StorageError> {
        tracing::warn!("the persisted states of spaces are damaged: refolding");
        self.generations.forget_current();
        self.current = KeptStates::empty(&mut self.generations)?;
        self.marker = Marker::START;
        self.recent = Effects::new(Position::START, Position::START);
        Ok(())
    }

    /// Begins to fold all states anew, or goes on with what an earlier rebuild has left.
    pub(super) fn begin_rebuild(
        &mut self,
        left: LeftBehind,
    ) -> Result<StatesRebuildStart, StorageError> {
        let is_named = self.is_named();
        let old = is_named.then(|| (self.marker, self.current.view()));
        let left = match self.generations.left_behind(left)? {
            Some(number) => KeptStates::open(&self.generations, number)?,
            None => None,
        };
        let (new, left) = match left {
            Some((new, left)) => (new, Some(left)),
            None => (KeptStates::empty(&mut self.generations)?, None),
        };
        self.generations.rebuild(new.number());
        Ok(StatesRebuildStart { old, new, left })
    }

    /// Has the next rebuild find what this one has persisted.
    pub(super) fn keep_building(&mut self, number: u64) -> Result<(), StorageError> {
        self.generations.replace(self.generations.with_building(Some(number)))
    }

    /// Puts what a rebuild has folded in the place of what counts, in one step.
    pub(super) fn replace(&mut self, new: KeptStates, marker: Marker) -> Result<(), StorageError> {
        let current = std::mem::replace(&mut self.current, new);
        if let Err(error) = self.make_current() {
            self.current = current;
            return Err(error);
        }
        self.marker = marker;
        self.recent = Effects::new(marker.position(), marker.position());
        Ok(())
    }

    /// Lets go of what a rebuild has folded, and of all other generations that are in no use.
    pub(super) fn give_up_building(&mut self, number: u64) -> Result<(), StorageError> {
        self.generations.give_up(number, Some(self.current.number()))
    }

    /// Names the current generation in the root, and removes the others.
    fn make_current(&mut self) -> Result<(), StorageError> {
        self.generations.replace(self.generations.with_current(self.current.number()))?;
        self.generations.sweep(None);
        Ok(())
    }

    /// Whether the current generation counts.
    fn is_named(&self) -> bool {
        self.generations.current() == Some(self.current.number())
    }
}

#[cfg(test)]
mod tests {
    use spacefold_disk::SimDisk;
    use spacefold_state::testing::log_of;

    use super::*;
    use crate::testing::sample;

    #[test]
    fn what_was_put_as_of_a_new_session_is_not_written_once_more() {
        let (log, disk) = (log_of(sample()), SimDisk::default());
        let place = DerivedState::in_folder(disk.root());
        let mut persisted = Persisted::load::<ReadError>(&*log, &place).unwrap();
        let marker = Marker { spaces: 1, ..Marker::START };
        persisted.save([&SpaceState::new("s")], marker).unwrap();
        persisted.origin = Some(LogOrigin { store_id: [1; 16], session: 2 });
        persisted.put([&SpaceState::new("t")]).unwrap();
        let calls = disk.calls();
        persisted.save([], marker).unwrap();
        assert_eq!(disk.calls(), calls, "the manifest was written again, unchanged");
    }
}
