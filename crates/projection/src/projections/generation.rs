//! One complete state of a projection: its rows, and the checkpoint that they are good for.
//!
//! The manifest is what counts: one blob, put in one step. It names the runs of the table, holds
//! what is too little for a run, and says how far the log is folded. Everything else is written
//! before it, under names that no older manifest has.
//!
//! Bytes: version of the fold (u32), position (u64), last event that was folded (position u64, id
//! 16 bytes, recorded_at i64), trail, positions that are skipped (count u32, u64 each), 1 and why
//! it is paused or 0, rows, BLAKE3 of all before.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use spacefold_event_core::{
    Envelope, LogReader, Position, ReadError, RecordedEventRef,
    bytes::{ByteReader, put_count, put_u64},
};
use spacefold_state::StateHash;

use super::{
    paused::{PauseKind, Paused},
    trail::Trail,
};
use crate::{
    checkpoint::{LastEvent, event_at},
    projection::{ApplyError, Projection},
    table::{Blob, Flushed, Place, Rows, Table, TableError, TableView},
    wire::{seal, unseal},
};

/// How many positions may be skipped.
pub const MAX_SKIPPED_EVENTS: usize = 1_000;

pub(crate) struct Generation {
    place: Place,
    number: u64,
    version: u32,
    rows: Rows,
    trail: Trail,
    position: Position,
    last: Option<(Position, LastEvent)>,
    skipped: BTreeSet<Position>,
    paused: Option<Paused>,
    /// Where the log was folded up to at the last checkpoint.
    checkpointed: Position,
    /// Keys that are watched, each with the position at which it was changed last.
    watched: BTreeMap<Vec<u8>, Position>,
}

/// What was written for a checkpoint, to be taken over once it counts.
pub(crate) struct Checkpointed {
    flushed: Flushed,
    position: Position,
}

/// Why an event was not taken in.
pub(crate) enum Stopped {
    /// The event is to blame, or the projection.
    Event(Paused),
    /// The table is.
    Table(TableError),
}

impl Generation {
    pub(crate) fn empty(place: Place, number: u64, version: u32) -> Self {
        Self {
            rows: Rows::empty(place.clone()),
            place,
            number,
            version,
            trail: Trail::default(),
            position: Position::START,
            last: None,
            skipped: BTreeSet::new(),
            paused: None,
            checkpointed: Position::START,
            watched: BTreeMap::new(),
        }
    }

    /// The generation as its last checkpoint has it; `None` when there is none that is good for
    /// this log.
    pub(crate) fn load(
        log: &dyn LogReader,
        place: Place,
        number: u64,
    ) -> Result<Option<Self>, LoadError> {
        let Some(bytes) = place.get(Blob::Manifest).map_err(TableError::from)? else {
            return Ok(None);
        };
        let Some(body) = unseal(&bytes) else {
            return Ok(None);
        };
        let generation = match Self::decode(place, number, body) {
            Err(TableError::Damaged { what }) => {
                tracing::warn!(what, "the rows of a projection are damaged: refolding");
                return Ok(None);
            }
            decoded => decoded?,
        };
        match generation {
            Some(generation) if generation.fits(log)? => Ok(Some(generation)),
            _ => Ok(None),
        }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) const fn version(&self) -> u32 {
        self.version
    }

    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    pub(crate) const fn checkpointed(&self) -> Position {
        self.checkpointed
    }

    pub(crate) const fn paused(&self) -> Option<&Paused> {
        self.paused.as_ref()
    }

    pub(crate) const fn skipped(&self) -> &BTreeSet<Position> {
        &self.skipped
    }

    pub(crate) const fn view(&self) -> TableView<'_> {
        TableView::new(&self.rows, self.position, self.version)
    }

    pub(crate) const fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(crate) const fn trail(&self) -> (&Trail, &Place) {
        (&self.trail, &self.place)
    }

    /// Bytes of what was changed since the last checkpoint, about.
    pub(crate) const fn recent_bytes(&self) -> usize {
        self.rows.recent_bytes()
    }

    /// Takes in the next event, whole or not at all.
    pub(crate) fn apply(
        &mut self,
        projection: &dyn Projection,
        envelope: Envelope<'_>,
    ) -> Result<(), Stopped> {
        let position = envelope.position;
        let last = LastEvent { id: envelope.event_id, recorded_at: envelope.recorded_at };
        let concerns = projection.event_types().contains(envelope.event_type);
        if concerns && !self.skipped.contains(&position) {
            let event = envelope.decode().map_err(|error| {
                let reason = match error {
                    ReadError::Corrupt { cause, .. } => cause.to_string(),
                    error => error.to_string(),
                };
                Stopped::Event(Paused { position, kind: PauseKind::Undecodable, reason })
            })?;
            if let Err(stopped) = call(projection, &event, &mut self.rows) {
                self.rows.reject();
                return Err(stopped);
            }
        }
        self.moved(position);
        self.last = Some((position, last));
        Ok(())
    }

    /// Goes on behind an event that cannot even be read, if that is to be skipped.
    pub(crate) fn pass(&mut self, position: Position) -> bool {
        let passes = position == self.position.next() && self.skipped.contains(&position);
        if passes {
            self.moved(position);
        }
        passes
    }

    /// Stands in front of an event that it cannot take in.
    pub(crate) fn pause(&mut self, paused: Paused) {
        self.paused = Some(paused);
    }

    /// Is no longer paused.
    pub(crate) fn resume(&mut self) -> Option<Paused> {
        self.paused.take()
    }

    /// Leaves the event out, now and in every rebuild; `false` when too many are already.
    pub(crate) fn skip(&mut self, position: Position) -> bool {
        let has_room = self.skipped.len() < MAX_SKIPPED_EVENTS;
        if has_room {
            self.skipped.insert(position);
        }
        has_room
    }

    /// Leaves out what another generation does.
    pub(crate) fn skipping(mut self, skipped: &BTreeSet<Position>) -> Self {
        self.skipped.clone_from(skipped);
        self
    }

    /// Persists the rows and the position in one step; [`Generation::take_over`] is to follow.
    pub(crate) fn checkpoint(&self) -> Result<Checkpointed, TableError> {
        let flushed = self.rows.flush()?;
        self.trail.write(&self.place)?;
        self.place.put(Blob::Manifest, &self.encode(&flushed))?;
        Ok(Checkpointed { flushed, position: self.position })
    }

    /// Goes on from a checkpoint: nothing was applied since.
    pub(crate) fn take_over(&mut self, checkpointed: Checkpointed) {
        self.rows.take_over(checkpointed.flushed);
        self.trail.written();
        self.checkpointed = checkpointed.position;
    }

    pub(crate) fn hash(&self) -> Result<StateHash, TableError> {
        self.rows.hash()
    }

    /// The state as it is, to be looked at while this one goes on.
    pub(crate) fn snapshot(&self) -> Self {
        Self {
            place: self.place.clone(),
            number: self.number,
            version: self.version,
            rows: self.rows.snapshot(),
            trail: self.trail.clone(),
            position: self.position,
            last: self.last,
            skipped: self.skipped.clone(),
            paused: self.paused.clone(),
            checkpointed: self.checkpointed,
            watched: BTreeMap::new(),
        }
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> Result<u64, TableError> {
        let mut count = 0;
        let mut rows = self.rows.rows_from(b"")?;
        while rows.next_row()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// Notes from now on at which position these keys are changed.
    pub(crate) fn watch(&mut self, keys: BTreeMap<Vec<u8>, Position>) {
        self.watched = keys;
    }

    pub(crate) const fn watched(&self) -> &BTreeMap<Vec<u8>, Position> {
        &self.watched
    }

    /// Changes a row as no event has.
    #[cfg(test)]
    pub(crate) fn tamper(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.rows.set(key, value);
        self.rows.accept();
    }

    fn moved(&mut self, position: Position) {
        if !self.watched.is_empty() {
            for key in self.rows.changing() {
                if let Some(changed) = self.watched.get_mut(key) {
                    *changed = position;
                }
            }
        }
        let digest = self.rows.accept();
        self.trail.push(digest);
        self.position = position;
    }

    /// Whether it was made for this log: the last event that it folded stands where it says.
    fn fits(&self, log: &dyn LogReader) -> Result<bool, ReadError> {
        if self.position > log.durable_head() {
            return Ok(false);
        }
        match self.last {
            Some((position, last)) => Ok(event_at(log, position)? == Some(last)),
            None => Ok(true),
        }
    }

    fn encode(&self, flushed: &Flushed) -> Vec<u8> {
        let mut bytes = self.version.to_le_bytes().to_vec();
        put_u64(&mut bytes, self.position.get());
        let (position, last) = self.last.unwrap_or((Position::START, LastEvent::NONE));
        put_u64(&mut bytes, position.get());
        last.encode(&mut bytes);
        self.trail.encode(&mut bytes);
        put_count(&mut bytes, self.skipped.len());
        self.skipped.iter().for_each(|position| put_u64(&mut bytes, position.get()));
        bytes.push(u8::from(self.paused.is_some()));
        if let Some(paused) = &self.paused {
            paused.encode(&mut bytes);
        }
        flushed.encode(&mut bytes);
        seal(bytes)
    }

    fn decode(place: Place, number: u64, body: &[u8]) -> Result<Option<Self>, TableError> {
        let mut reader = ByteReader::new(body);
        let Some(head) = Head::decode(&mut reader) else {
            return Ok(None);
        };
        let rows = Rows::decode(place.clone(), &mut reader)?;
        let Head { version, position, last, trail, skipped, paused } = head;
        let checkpointed = position;
        let generation = Self {
            place,
            number,
            version,
            rows,
            trail,
            position,
            last,
            skipped,
            paused,
            checkpointed,
            watched: BTreeMap::new(),
        };
        Ok(reader.end(generation))
    }
}

/// What a manifest has in front of the rows.
struct Head {
    version: u32,
    position: Position,
    last: Option<(Position, LastEvent)>,
    trail: Trail,
    skipped: BTreeSet<Position>,
    paused: Option<Paused>,
}

impl Head {
    fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let version = reader.u32()?;
        let position = Position::new(reader.u64()?);
        let last_position = Position::new(reader.u64()?);
        let last = LastEvent::decode(reader)?;
        let last = (last_position > Position::START).then_some((last_position, last));
        let trail = Trail::decode(reader)?;
        let count = reader.count(8)?;
        let skipped = (0..count).map(|_| reader.u64().map(Position::new)).collect::<Option<_>>()?;
        let paused = match reader.u8()? {
            0 => None,
            _ => Some(Paused::decode(reader)?),
        };
        Some(Self { version, position, last, trail, skipped, paused })
    }
}

/// Calls the projection: a panic is an error.
fn call(
    projection: &dyn Projection,
    event: &RecordedEventRef<'_>,
    rows: &mut Rows,
) -> Result<(), Stopped> {
    let applied = catch_unwind(AssertUnwindSafe(|| projection.apply(event, &mut Table::new(rows))));
    let paused = |kind, reason| Stopped::Event(Paused { position: event.position, kind, reason });
    match applied {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ApplyError::Refused { reason })) => Err(paused(PauseKind::Refused, reason)),
        Ok(Err(ApplyError::Table(
            error @ (TableError::KeyTooLong { .. } | TableError::ValueTooLong { .. }),
        ))) => Err(paused(PauseKind::Refused, error.to_string())),
        Ok(Err(ApplyError::Table(error))) => Err(Stopped::Table(error)),
        Err(panic) => Err(paused(PauseKind::Panicked, panic_message(panic.as_ref()))),
    }
}

/// What a panic says.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Why a generation could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Table(#[from] TableError),
}
