//! The states of all spaces as they are persisted: one generation of them.
//!
//! Rows of its runs: under `s` and the id of a space its encoded state; under `e`, a position and the number of
//! the write (u64 each, big endian) the effects of the event there and of later ones of the same [`SPAN`] of
//! positions, each with its place in the span (u16) in front, without those that simply took effect. No write
//! takes the place of another's: it may lack the effects of events that a state had taken in already. Both may be ahead of the
//! checkpoint: events that a state has taken in are skipped when the fold goes on from there, and have the
//! same effect where they are folded again. What the manifest keeps with the runs is the caller's: a
//! [`Marker`] where all states are complete.
//!
//! Bytes of a marker: 0 (u8), checkpoint, number of spaces (u64).

use spacefold_event_core::{
    Position, StorageError,
    bytes::{ByteReader, put_u64},
};
use spacefold_runs::{RunSet, RunSetOptions, RunsError, View};
use spacefold_state::{Effect, Effects, SpaceState};

use crate::{checkpoint::Checkpoint, generations::Generations};

/// The version of everything that is kept of states: what is of another one is made anew from the log.
/// Raised with the stored form of a state, and with [`SpaceStates::VERSION`](crate::SpaceStates::VERSION),
/// which says more: that states of other versions have other hashes.
///
/// Version 2 has the positions of contents, of what renders show, and of the synchronisation that runs;
/// version 3 has the effects of events; version 4 has states whose maps are in buckets, and
/// stretches of the history cache whose dense parts are not packed.
pub(crate) const KEPT_VERSION: u32 = 4;

/// How the states are kept.
const RUNS: RunSetOptions = RunSetOptions {
    kind: *b"states\0\x01",
    filter_key: |key| key,
    inline_bytes: 0,
    join: None,
    is_ascending: false,
};

/// First byte of the key of effects.
const EFFECTS: u8 = b'e';
/// The positions whose effects may be in one row.
const SPAN: u64 = 1_024;
/// First byte of the key of a state: after that of effects, which are written first.
const STATE: u8 = b's';

/// What the first byte of a marker is.
const MARKER: u8 = 0;

/// One generation of the states of the spaces. Its owner writes; anybody reads through a
/// [`StatesView`].
pub(crate) struct KeptStates {
    number: u64,
    runs: RunSet,
}

/// How far all states of a generation are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) checkpoint: Checkpoint,
    /// How many spaces there are at that position.
    pub(crate) spaces: u64,
}

impl Marker {
    /// Before the first event.
    pub(crate) const START: Self = Self { checkpoint: Checkpoint::start(KEPT_VERSION), spaces: 0 };

    pub(crate) const fn position(&self) -> Position {
        self.checkpoint.position()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![MARKER];
        self.checkpoint.encode(&mut bytes);
        put_u64(&mut bytes, self.spaces);
        bytes
    }

    /// The marker from its bytes; `None` when they are of another version, or of what is not complete.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader::new(bytes);
        if reader.u8()? != MARKER {
            return None;
        }
        let checkpoint = Checkpoint::decode(&mut reader)?;
        let marker = Self { checkpoint, spaces: reader.u64()? };
        reader.end(marker).filter(|marker| marker.checkpoint.version == KEPT_VERSION)
    }
}

impl KeptStates {
    /// No states yet. Nothing is written before the first of them is.
    pub(crate) fn empty(generations: &mut Generations) -> Result<Self, StorageError> {
        let number = generations.take_number();
        Ok(Self { number, runs: generations.place_of(number).empty_runs(RUNS)? })
    }

    /// The generation of this number, and what is kept with it; `None` where it is missing or damaged.
    pub(crate) fn open(
        generations: &Generations,
        number: u64,
    ) -> Result<Option<(Self, Vec<u8>)>, StorageError> {
        let opened = generations.place_of(number).open_runs(RUNS)?;
        Ok(opened.map(|opened| (Self { number, runs: opened.set }, opened.owner)))
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn view(&self) -> StatesView {
        StatesView(self.runs.view().clone())
    }

    /// As [`StatesView::state`].
    pub(crate) fn state(&self, space_id: &str) -> Result<Option<SpaceState>, StorageError> {
        state_in(self.runs.view(), space_id)
    }

    /// Persists states, which are sorted by id, effects, and `owner`, in one step.
    pub(crate) fn write<'s>(
        &mut self,
        states: impl IntoIterator<Item = &'s SpaceState>,
        effects: &Effects,
        owner: &[u8],
    ) -> Result<(), RunsError> {
        let mut writing = self.runs.writing();
        each_effects_row(effects, |first, bytes| {
            writing.push((&effects_key(first.get(), writing.number()), Some(bytes)))
        })?;
        let mut key = Vec::new();
        for state in states {
            set_state_key(&mut key, state.space_id());
            writing.push((&key, Some(&state.encode())))?;
        }
        let written = writing.finish(owner)?;
        self.runs.adopt(written);
        Ok(())
    }

    /// Removes what a process that was killed has left of runs.
    pub(crate) fn sweep(&self) -> Result<(), RunsError> {
        self.runs.sweep()
    }
}

/// The states of a generation as they were at one time.
#[derive(Clone, Debug)]
pub(crate) struct StatesView(View);

impl StatesView {
    /// The state of a space; `None` where there is none that is whole: the log has it all.
    pub(crate) fn state(&self, space_id: &str) -> Result<Option<SpaceState>, StorageError> {
        state_in(&self.0, space_id)
    }

    /// Whether anything was written.
    pub(crate) fn has_rows(&self) -> bool {
        self.0.rows_at_most() > 0
    }

    /// Whether the effects that are persisted are just these, which came in one write. Cost: that of
    /// encoding them; none is decoded.
    pub(crate) fn has_just(&self, effects: &Effects) -> Result<bool, RunsError> {
        let mut rows = self.0.scan(&[EFFECTS])?;
        let compared = each_effects_row(effects, |first, bytes| {
            let is_same = match rows.next_row().map_err(Some)? {
                Some((key, value)) => {
                    key.starts_with(&effects_prefix(first.get())) && value == bytes
                }
                None => false,
            };
            if is_same { Ok(()) } else { Err(None) }
        });
        match compared {
            Ok(()) => Ok(!rows.next_row()?.is_some_and(|(key, _)| key.starts_with(&[EFFECTS]))),
            Err(error) => error.map_or(Ok(false), Err),
        }
    }

    /// The effects of the events after `after`, up to `to`, as far as they are persisted.
    pub(crate) fn effects(&self, after: Position, to: Position) -> Result<Effects, RunsError> {
        let mut effects = Effects::new(after, to);
        let mut rows = self.0.scan(&effects_key(span_of(after.next()), 0))?;
        while let Some((key, value)) = rows.next_row()? {
            let first = key.strip_prefix(&[EFFECTS]).and_then(|key| key.first_chunk());
            let first = first.map(|first| u64::from_be_bytes(*first));
            let Some(first) = first.filter(|first| *first <= to.get()) else { break };
            let span = span_of(Position::new(first));
            // A page is what was written, and the marker says in which version: all of it decodes.
            let mut reader = ByteReader::new(value);
            while let Some(place) = reader.u16()
                && let Some(effect) = Effect::decode(&mut reader)
            {
                let position = Position::new(span + u64::from(place));
                if after < position && position <= to {
                    effects.push(position, effect);
                }
            }
        }
        Ok(effects)
    }

    /// As [`StatesView::effects`], with those that are not persisted yet.
    pub(crate) fn effects_with(
        &self,
        recent: &Effects,
        after: Position,
        to: Position,
    ) -> Result<Effects, RunsError> {
        let mut effects = self.effects(after, to)?;
        effects.merge(recent.between(after, to));
        Ok(effects)
    }

    /// Hands the states of the spaces that `wanted` selects to `visit`, sorted by id, up to the first that
    /// is damaged; no other is decoded.
    pub(crate) fn each_state<E: From<StorageError>>(
        &self,
        wanted: impl Fn(&str) -> bool,
        mut visit: impl FnMut(SpaceState) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut visit_all = || {
            let mut rows = self.0.scan(&[STATE])?;
            while let Some((key, value)) = rows.next_row()? {
                let space_id = key.split_first().and_then(|(_, id)| std::str::from_utf8(id).ok());
                let space_id = space_id.filter(|space_id| wanted(space_id));
                let state = space_id.and_then(|space_id| decode_state(value.to_vec(), space_id));
                if let Some(Err(error)) = state.map(&mut visit) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        };
        match visit_all() {
            Ok(visited) => visited,
            Err(RunsError::Storage(error)) => Err(error.into()),
            Err(damaged) => {
                tracing::warn!(%damaged, "persisted states of spaces are damaged");
                Ok(())
            }
        }
    }
}

/// The first position of the span that a position is in.
const fn span_of(position: Position) -> u64 {
    position.get() - position.get() % SPAN
}

fn effects_key(first: u64, write: u64) -> Vec<u8> {
    [&effects_prefix(first), &write.to_be_bytes()[..]].concat()
}

/// What the key of effects has in front of the number of the write.
fn effects_prefix(first: u64) -> Vec<u8> {
    [&[EFFECTS][..], &first.to_be_bytes()].concat()
}

/// Hands the rows of effects to `take`: the position of the first effect of each, and its bytes.
fn each_effects_row<E>(
    effects: &Effects,
    mut take: impl FnMut(Position, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes = Vec::new();
    let mut effects = effects.iter().peekable();
    while let Some((first, effect)) = effects.next() {
        bytes.clear();
        put_effect(&mut bytes, first, effect);
        let end = span_of(first).saturating_add(SPAN);
        while let Some((position, effect)) = effects.next_if(|next| next.0.get() < end) {
            put_effect(&mut bytes, position, effect);
        }
        take(first, &bytes)?;
    }
    Ok(())
}

fn put_effect(bytes: &mut Vec<u8>, position: Position, effect: &Effect) {
    let place = u16::try_from(position.get() % SPAN).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&place.to_le_bytes());
    effect.encode(bytes);
}

fn set_state_key(key: &mut Vec<u8>, space_id: &str) {
    key.clear();
    key.push(STATE);
    key.extend_from_slice(space_id.as_bytes());
}

fn state_in(view: &View, space_id: &str) -> Result<Option<SpaceState>, StorageError> {
    let mut key = Vec::new();
    set_state_key(&mut key, space_id);
    let found = match view.get(&key) {
        Ok(found) => found.value(),
        Err(RunsError::Storage(error)) => return Err(error),
        Err(damaged) => {
            tracing::warn!(space_id, %damaged, "a persisted state of a space is damaged");
            None
        }
    };
    Ok(found.and_then(|bytes| decode_state(bytes, space_id)))
}

/// The state of a space from its bytes; `None` when they are of another version or space.
fn decode_state(
    bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    space_id: &str,
) -> Option<SpaceState> {
    let state = SpaceState::decode(bytes).ok();
    state.filter(|state| state.space_id() == space_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_back_and_nothing_else_is_taken_for_one() {
        let marker = Marker { spaces: 3, ..Marker::START };
        let bytes = marker.encode();
        assert_eq!(Marker::decode(&bytes), Some(marker));
        for length in 0..bytes.len() {
            assert_eq!(Marker::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Marker::decode(&[&[1], &bytes[1..]].concat()), None);
        let checkpoint = Checkpoint::start(KEPT_VERSION + 1);
        assert_eq!(Marker::decode(&Marker { checkpoint, spaces: 3 }.encode()), None);
    }
}
