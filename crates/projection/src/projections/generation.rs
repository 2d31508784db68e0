//! One complete state of a projection: its rows, and the checkpoint that they are good for.
//!
//! The manifest of the runs is what counts, and is replaced in one step: it has how far the log is
//! folded beside the runs of the table.
//!
//! Bytes that the manifest keeps for it: checkpoint, trail, positions that are skipped (count u32, u64
//! each), 1 and why it is paused or 0.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use spacefold_disk::Folder;

use spacefold_event_core::{
    Envelope, EventMark, LogReader, Position, ReadError, RecordedEventRef,
    bytes::{ByteReader, put_count, put_u64},
};
use spacefold_runs::{Opened, RunSet, RunSetOptions, Written};
use spacefold_state::StateHash;

use super::{
    paused::{PauseKind, Paused},
    trail::Trail,
};
use crate::{
    apply_context::{ApplyContext, Around},
    apply_error::ApplyError,
    checkpoint::Checkpoint,
    derived_state::DerivedState,
    generations::Generations,
    projection::Projection,
    table::{Table, TableError, TableRows, TableView},
};

/// How many positions may be skipped.
pub const MAX_SKIPPED_EVENTS: usize = 1_000;

/// How the rows of a table are kept.
const RUNS: RunSetOptions = RunSetOptions {
    kind: *b"rows\0\0\0\x01",
    filter_key: |key| key,
    inline_bytes: 8 << 10,
    join: None,
    is_ascending: false,
};

pub(crate) struct Generation {
    place: DerivedState,
    number: u64,
    /// How far the log is folded.
    folded: Checkpoint,
    runs: RunSet,
    rows: TableRows,
    trail: Trail,
    skipped: BTreeSet<Position>,
    paused: Option<Paused>,
    /// Where the log was folded up to at the last checkpoint.
    checkpointed: Position,
    /// Keys that are watched, each with the position at which it was changed last.
    watched: BTreeMap<Vec<u8>, Position>,
}

/// A generation as it was once, to be compared with another one.
pub(crate) struct Frozen {
    folder: Arc<dyn Folder>,
    version: u32,
    rows: TableRows,
    trail: Trail,
    position: Position,
}

impl Frozen {
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    pub(crate) const fn view(&self) -> TableView<'_> {
        TableView::new(&self.rows, self.position, self.version)
    }

    pub(crate) const fn trail(&self) -> (&Trail, &Arc<dyn Folder>) {
        (&self.trail, &self.folder)
    }

    pub(crate) fn hash(&self) -> Result<StateHash, TableError> {
        Ok(self.rows.hash()?.0)
    }
}

/// What was written for a checkpoint, to be taken over once it counts.
pub(crate) struct Checkpointed {
    written: Written,
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
    /// A new generation, of no event yet. Nothing is written before its first checkpoint.
    pub(crate) fn empty(generations: &mut Generations, version: u32) -> Result<Self, TableError> {
        let number = generations.take_number();
        let place = generations.place_of(number);
        let runs = place.empty_runs(RUNS)?;
        Ok(Self {
            rows: TableRows::new(runs.view().clone(), []),
            runs,
            place,
            number,
            folded: Checkpoint::start(version),
            trail: Trail::default(),
            skipped: BTreeSet::new(),
            paused: None,
            checkpointed: Position::START,
            watched: BTreeMap::new(),
        })
    }

    /// The generation as its last checkpoint has it; `None` when there is none that is good for
    /// this log.
    pub(crate) fn load<E: From<ReadError> + From<TableError>>(
        log: &dyn LogReader,
        generations: &Generations,
        number: u64,
    ) -> Result<Option<Self>, E> {
        let place = generations.place_of(number);
        let opened = place.open_runs(RUNS).map_err(TableError::from)?;
        match opened.and_then(|opened| Self::decode(place, number, opened)) {
            Some(generation) if generation.folded.fits(log)? => Ok(Some(generation)),
            _ => Ok(None),
        }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) const fn version(&self) -> u32 {
        self.folded.version
    }

    pub(crate) const fn position(&self) -> Position {
        self.folded.position()
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
        TableView::new(&self.rows, self.folded.position(), self.folded.version)
    }

    /// Removes what a process that was killed has left of runs.
    pub(crate) fn sweep(&self) -> Result<(), TableError> {
        Ok(self.runs.sweep()?)
    }

    pub(crate) fn trail(&self) -> (&Trail, &Arc<dyn Folder>) {
        (&self.trail, self.place.folder())
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
        around: Around<'_>,
    ) -> Result<(), Stopped> {
        let position = envelope.position;
        let last = EventMark { id: envelope.event_id, recorded_at: envelope.recorded_at };
        let concerns = projection.event_types().contains(envelope.event_type);
        if concerns && !self.skipped.contains(&position) {
            let event = envelope.decode().map_err(|error| {
                let reason = match error {
                    ReadError::Corrupt { cause, .. } => cause.to_string(),
                    error => error.to_string(),
                };
                Stopped::Event(Paused { position, kind: PauseKind::Undecodable, reason })
            })?;
            if let Err(stopped) = call(projection, &event, around, &mut self.rows) {
                self.rows.reject();
                return Err(stopped);
            }
        }
        self.moved(position);
        self.folded.mark.last = Some((position, last));
        Ok(())
    }

    /// Goes on behind an event that cannot even be read, if that is to be skipped.
    pub(crate) fn pass(&mut self, position: Position) -> bool {
        let passes = position == self.position().next() && self.skipped.contains(&position);
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

    /// Leaves the event out that it is paused in front of, if it is, now and in every rebuild; `false`
    /// when too many are already.
    pub(crate) fn skip(&mut self) -> bool {
        let has_room = self.skipped.len() < MAX_SKIPPED_EVENTS;
        if let Some(Paused { position, .. }) = self.paused.take_if(|_| has_room) {
            self.skipped.insert(position);
            self.pass(position);
        }
        self.paused.is_none()
    }

    /// Leaves out what another generation does.
    pub(crate) fn skipping(mut self, skipped: &BTreeSet<Position>) -> Self {
        self.skipped.clone_from(skipped);
        self
    }

    /// Persists the rows and the position in one step; [`Generation::take_over`] is to follow.
    pub(crate) fn checkpoint(&self, log: &dyn LogReader) -> Result<Checkpointed, TableError> {
        self.trail.write(self.place.folder())?;
        let folded = self.folded.of(log.origin());
        let written = self.runs.write(self.rows.changes(), &self.encode(&folded))?;
        Ok(Checkpointed { written, position: self.position() })
    }

    /// Goes on from a checkpoint: nothing was applied since.
    pub(crate) fn take_over(&mut self, checkpointed: Checkpointed) {
        let is_inline = checkpointed.written.is_inline();
        self.runs.adopt(checkpointed.written);
        if !is_inline {
            self.rows.flushed(self.runs.view().clone());
        }
        self.trail.written();
        self.checkpointed = checkpointed.position;
    }

    /// As [`TableRows::hash`].
    pub(crate) fn hash(&self) -> Result<(StateHash, u64), TableError> {
        self.rows.hash()
    }

    /// The state as it is, to be looked at while this one goes on.
    pub(crate) fn frozen(&self) -> Frozen {
        Frozen {
            folder: Arc::clone(self.place.folder()),
            version: self.version(),
            rows: self.rows.clone(),
            trail: self.trail.clone(),
            position: self.position(),
        }
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
        self.folded.mark.position = position;
    }

    fn encode(&self, folded: &Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        folded.encode(&mut bytes);
        self.trail.encode(&mut bytes);
        put_count(&mut bytes, self.skipped.len());
        self.skipped.iter().for_each(|position| put_u64(&mut bytes, position.get()));
        bytes.push(u8::from(self.paused.is_some()));
        if let Some(paused) = &self.paused {
            paused.encode(&mut bytes);
        }
        bytes
    }

    fn decode(place: DerivedState, number: u64, opened: Opened) -> Option<Self> {
        let mut reader = ByteReader::new(&opened.owner);
        let GenerationRecord { folded, trail, skipped, paused } =
            GenerationRecord::decode(&mut reader)?;
        let rows = TableRows::new(opened.set.view().clone(), opened.changes);
        reader.end(Self {
            place,
            number,
            folded,
            runs: opened.set,
            rows,
            trail,
            skipped,
            paused,
            checkpointed: folded.position(),
            watched: BTreeMap::new(),
        })
    }
}

/// What a manifest keeps for a generation.
struct GenerationRecord {
    folded: Checkpoint,
    trail: Trail,
    skipped: BTreeSet<Position>,
    paused: Option<Paused>,
}

impl GenerationRecord {
    fn decode(reader: &mut ByteReader<'_>) -> Option<Self> {
        let folded = Checkpoint::decode(reader)?;
        let trail = Trail::decode(reader)?;
        let count = reader.count(8)?;
        let skipped = (0..count).map(|_| reader.u64().map(Position::new)).collect::<Option<_>>()?;
        let paused = match reader.u8()? {
            0 => None,
            _ => Some(Paused::decode(reader)?),
        };
        Some(Self { folded, trail, skipped, paused })
    }
}

/// Calls the projection: a panic is an error.
fn call(
    projection: &dyn Projection,
    event: &RecordedEventRef<'_>,
    around: Around<'_>,
    rows: &mut TableRows,
) -> Result<(), Stopped> {
    let context = ApplyContext::new(event.position, around);
    let apply = || projection.apply(event, &context, &mut Table::new(rows));
    let applied = catch_unwind(AssertUnwindSafe(apply));
    let paused = |kind, reason| Stopped::Event(Paused { position: event.position, kind, reason });
    match applied {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ApplyError::Refused { reason })) => Err(paused(PauseKind::Refused, reason)),
        Ok(Err(error @ ApplyError::ContentPastLimit { .. })) => {
            Err(paused(PauseKind::Refused, error.to_string()))
        }
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
