//! Putting the pieces together: at each position the one that is trusted most, in the new log.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    sync::Arc,
};

use rapidhash::RapidHashSet;
use spacefold_event_core::{
    EventId, LogReader as _, Position, Records, Schemas, StorageError, Timestamp,
    bytes::{to_u64, to_usize},
};

use super::{
    course::LogCourse,
    frames,
    pieces::{FoundPieces, Piece, PieceKind},
    report::{LeftOut, SalvageGap},
    window::SalvageWindow,
};
use crate::{
    block,
    journal::frame::Frame,
    log_copy::LogCopy,
    remake::{GoesOn, NewLog, RemakeError},
    run::RecordRun,
};

/// What is done with each run of records of a piece, and some bytes that they take.
type VisitRun<'v> = dyn FnMut(&Records, usize) -> Result<(), RemakeError> + 'v;

/// Why a piece gives no more.
enum PieceStop {
    Damaged(String),
    Ended(RemakeError),
}

impl From<StorageError> for PieceStop {
    fn from(error: StorageError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Reads pieces.
pub(super) struct PieceReader<'a> {
    pub(super) files: Vec<PathBuf>,
    pub(super) copies: &'a [Arc<dyn LogCopy>],
    pub(super) schemas: &'static Schemas,
    pub(super) window: Option<(usize, SalvageWindow)>,
}

impl PieceReader<'_> {
    /// Reads what a piece has behind a position; damage in a frame of it is told, and the others are
    /// read.
    fn read(
        &mut self,
        piece: &Piece,
        behind: Position,
        visit: &mut VisitRun<'_>,
    ) -> Result<Vec<String>, PieceStop> {
        match &piece.kind {
            PieceKind::Frames(stretch) => {
                let (schemas, mut damage) = (self.schemas, Vec::new());
                let mut each = |frame: &Frame<'_>| match frame.runs() {
                    Ok(runs) => visit_runs(&runs, visit).map_err(PieceStop::Ended),
                    Err(error) => {
                        let at = frame.header.first_position;
                        damage.push(format!("the frame of position {at}: {error}"));
                        Ok(())
                    }
                };
                frames::visit(self.window(piece.file)?, stretch, behind, schemas, &mut each)?;
                Ok(damage)
            }
            PieceKind::Block { offset, len, .. } => {
                let bytes = self.window(piece.file)?.at(*offset, *len)?.to_vec();
                self.block(&bytes, piece, visit)
            }
            PieceKind::SledBlock { copy, .. } => {
                let gone = || PieceStop::Damaged("the block is gone".to_owned());
                let copy = self.copies.get(*copy).ok_or_else(gone)?;
                let stored = copy.block_at_or_before(piece.first);
                let stored = stored.map_err(|error| PieceStop::Damaged(error.to_string()))?;
                let stored = stored.ok_or_else(gone)?;
                self.block(&stored.bytes(), piece, visit)
            }
        }
    }

    /// The id of the event that a piece has at a position.
    fn id_at(&mut self, piece: &Piece, position: Position) -> Option<EventId> {
        let mut found = None;
        let mut visit = |records: &Records, _| {
            if let Some(index) = position.get().checked_sub(records.first_position().get()) {
                found = found.or_else(|| records.event_ids().get(to_usize(index)).copied());
            }
            // No more is wanted than that.
            if found.is_some() { Err(RemakeError::Stopped) } else { Ok(()) }
        };
        // What does not read is told where it is taken.
        let _ = self.read(piece, position.previous(), &mut visit);
        found
    }

    fn block(
        &self,
        bytes: &[u8],
        piece: &Piece,
        visit: &mut VisitRun<'_>,
    ) -> Result<Vec<String>, PieceStop> {
        let damaged = |error: block::BlockError| PieceStop::Damaged(error.to_string());
        let block = block::decode(bytes, piece.store_id, self.schemas).map_err(damaged)?;
        block.verify_hash().map_err(damaged)?;
        visit(&block.records, bytes.len()).map_err(PieceStop::Ended)?;
        Ok(Vec::new())
    }

    fn window(&mut self, file: usize) -> Result<&mut SalvageWindow, StorageError> {
        if self.window.as_ref().is_none_or(|(open, _)| *open != file) {
            let path = self.files.get(file).cloned().unwrap_or_default();
            self.window = SalvageWindow::open(&path)?.map(|window| (file, window));
        }
        let window = self.window.as_mut().map(|(_, window)| window);
        window.ok_or_else(|| StorageError::new("reading a piece of the log", "its file is gone"))
    }
}

fn visit_runs(runs: &[RecordRun], visit: &mut VisitRun<'_>) -> Result<(), RemakeError> {
    runs.iter().try_for_each(|run| visit(&run.records, run.body_bytes()))
}

/// What becomes of the events, in the order of their positions.
pub(super) struct TakenEvents<'a> {
    pub(super) new: &'a mut NewLog,
    pub(super) goes_on: &'a mut GoesOn<'a>,
    pub(super) events: u64,
    pub(super) gaps: Vec<SalvageGap>,
    /// The next position.
    next: Position,
    /// The id of the event before it, if that was taken.
    last_id: Option<EventId>,
    last_time: Option<Timestamp>,
}

impl<'a> TakenEvents<'a> {
    pub(super) const fn by(new: &'a mut NewLog, goes_on: &'a mut GoesOn<'a>) -> Self {
        let next = Position::START.next();
        Self { new, goes_on, events: 0, gaps: Vec::new(), next, last_id: None, last_time: None }
    }

    /// Takes those of a run of records that are next.
    fn records(&mut self, records: &Records, bytes: usize) -> Result<(), RemakeError> {
        let bytes = bytes / records.len().max(1);
        for envelope in records.envelopes() {
            if envelope.position < self.next {
                continue;
            }
            let (position, time) = (envelope.position, envelope.recorded_at);
            self.skip_to(position, Some(time));
            match envelope.decode() {
                Ok(event) => {
                    self.last_id = Some(event.event_id);
                    self.new.push(event.to_owned_event(), bytes)?;
                    self.events += 1;
                }
                Err(error) => {
                    self.last_id = None;
                    self.gap(position, Some(time), Some(error.to_string()));
                }
            }
            (self.next, self.last_time) = (position.next(), Some(time));
        }
        if (self.goes_on)(self.events) { Ok(()) } else { Err(RemakeError::Stopped) }
    }

    /// Notes that there is nothing before a position.
    pub(super) fn skip_to(&mut self, position: Position, before: Option<Timestamp>) {
        if position > self.next {
            self.gap(position.previous(), before, None);
            (self.next, self.last_id) = (position, None);
        }
    }

    fn gap(&mut self, last: Position, before: Option<Timestamp>, unreadable: Option<String>) {
        let first = self.next;
        match self.gaps.last_mut() {
            // All of them are told by the first.
            Some(open)
                if open.last.next() == first
                    && open.unreadable.is_some() == unreadable.is_some() =>
            {
                (open.last, open.before) = (last, before);
            }
            _ => {
                self.gaps.push(SalvageGap {
                    first,
                    last,
                    after: self.last_time,
                    before,
                    unreadable,
                });
            }
        }
    }
}

/// The pieces of one log, and which of them have been read.
pub(super) struct Assembly<'a> {
    pieces: &'a [Piece],
    course: &'a LogCourse,
    store_id: [u8; 16],
    /// Those of which all was taken.
    whole: Vec<bool>,
}

impl<'a> Assembly<'a> {
    pub(super) fn of(pieces: &'a [Piece], course: &'a LogCourse, store_id: [u8; 16]) -> Self {
        Self { pieces, course, store_id, whole: vec![false; pieces.len()] }
    }

    /// The pieces that count, by their first positions.
    fn in_order(&self) -> Vec<(usize, &'a Piece)> {
        let counts = |piece: &Piece| piece.store_id == self.store_id && self.course.has(piece);
        let all = self.pieces.iter().enumerate().filter(|(_, piece)| counts(piece));
        let mut order: Vec<(usize, &Piece)> = all.collect();
        order.sort_by_key(|(_, piece)| piece.first);
        order
    }

    /// Up to where the pieces go without a gap.
    pub(super) fn gapless_end(&self) -> Position {
        let mut end = Position::START;
        for (_, piece) in self.in_order() {
            if piece.first > end.next() {
                break;
            }
            end = end.max(piece.last);
        }
        end
    }

    /// The last position of the pieces that count.
    pub(super) fn end(&self) -> Position {
        self.in_order().iter().map(|(_, piece)| piece.last).max().unwrap_or(Position::START)
    }

    /// Takes all there is.
    pub(super) fn take_all(
        &mut self,
        reader: &mut PieceReader<'_>,
        taken: &mut TakenEvents<'_>,
        found: &mut FoundPieces,
    ) -> Result<(), RemakeError> {
        let order = self.in_order();
        let mut later = order.iter().copied().peekable();
        let mut active: Vec<(usize, &Piece)> = Vec::new();
        let (mut next, mut crc) = (Position::START.next(), None);
        loop {
            while let Some(piece) = later.next_if(|(_, piece)| piece.first <= next) {
                active.push(piece);
            }
            active.retain(|(_, piece)| piece.last >= next);
            let mut usable: Vec<(usize, &Piece)> = active.clone();
            usable.retain(|(_, piece)| piece.first <= next && self.may_follow(piece, next, crc));
            usable.sort_by_key(|(_, piece)| {
                let breaks = breaks_chain(piece, next, crc);
                (piece.trust, breaks, Reverse(piece.incarnation()), Reverse(piece.last))
            });
            // One that has begun before must have the event before: else it is of another course from
            // there on.
            let has_event_before = |piece: &Piece, reader: &mut PieceReader<'_>| {
                piece.first == next || taken.last_id.is_none() || {
                    let id = reader.id_at(piece, next.previous());
                    id.is_some() && id == taken.last_id
                }
            };
            let fits = usable.iter().position(|(_, piece)| has_event_before(piece, reader));
            let apart = usable.get(..fits.unwrap_or(usable.len())).unwrap_or_default();
            active.retain(|(other, _)| !apart.iter().any(|(index, _)| index == other));
            let best = fits.and_then(|fits| usable.get(fits)).copied();
            let Some((index, piece)) = best else {
                // What was superseded may yet be reached by what follows.
                match later.next() {
                    Some(piece) if self.course.is_superseded(piece.1) => active.push(piece),
                    Some(piece) => {
                        (next, crc) = (piece.1.first, None);
                        active.push(piece);
                    }
                    None => break,
                }
                continue;
            };
            if breaks_chain(piece, next, crc) {
                let what = format!("position {next} does not continue what is before it");
                found.damaged(piece.file, None, what);
            }
            let mut visit = |records: &Records, bytes| taken.records(records, bytes);
            let read = reader.read(piece, next.previous(), &mut visit);
            if let Some(whole) = self.whole.get_mut(index) {
                *whole = read.is_ok() && piece.first >= next;
            }
            match read {
                Ok(damage) => {
                    damage.into_iter().for_each(|what| found.damaged(piece.file, None, what));
                    next = piece.last.next();
                    crc = match &piece.kind {
                        PieceKind::Frames(stretch) => Some(stretch.crc),
                        _ => None,
                    };
                }
                Err(PieceStop::Damaged(what)) => {
                    found.damaged(piece.file, None, what);
                    active.retain(|(other, _)| *other != index);
                    next = next.max(taken.next);
                }
                Err(PieceStop::Ended(error)) => return Err(error),
            }
        }
        taken.new.flush()?;
        Ok(())
    }

    /// Whether a piece may go on at a position: one that a later session has gone past only where it
    /// follows what is there.
    fn may_follow(&self, piece: &Piece, next: Position, crc: Option<u32>) -> bool {
        let follows = || match &piece.kind {
            PieceKind::Frames(stretch) => Some(stretch.previous_crc) == crc,
            _ => true,
        };
        let is_first = next == Position::START.next();
        !self.course.is_superseded(piece) || piece.first < next || is_first || follows()
    }

    /// The whole events that the new log has not, though they are here.
    pub(super) fn left_out(
        &self,
        reader: &mut PieceReader<'_>,
        new: &NewLog,
    ) -> Result<Vec<LeftOut>, RemakeError> {
        let pieces = || self.pieces.iter().zip(&self.whole);
        let used: RapidHashSet<block::BlockHash> =
            pieces().filter(|(_, whole)| **whole).filter_map(|(it, _)| it.block_hash()).collect();
        let mut left: Vec<LeftOut> = Vec::new();
        for (piece, whole) in pieces() {
            let is_same = piece.block_hash().is_some_and(|hash| used.contains(&hash));
            if *whole || is_same || piece.store_id != self.store_id {
                continue;
            }
            let file = reader.files.get(piece.file).cloned().unwrap_or_default();
            let mut visit = |records: &Records, _| {
                let found = new.log().find_events(records.event_ids())?;
                for (index, _) in found.iter().enumerate().filter(|(_, found)| found.is_none()) {
                    note_left(&mut left, records.first_position().plus(to_u64(index)), &file);
                }
                Ok(())
            };
            if let Err(PieceStop::Ended(error)) = reader.read(piece, Position::START, &mut visit) {
                return Err(error);
            }
        }
        Ok(left)
    }
}

/// Whether a piece begins at a position with a frame that follows another one than is before it.
fn breaks_chain(piece: &Piece, next: Position, crc: Option<u32>) -> bool {
    match &piece.kind {
        PieceKind::Frames(stretch) => {
            piece.first == next && crc.is_some_and(|crc| crc != stretch.previous_crc)
        }
        _ => false,
    }
}

fn note_left(left: &mut Vec<LeftOut>, position: Position, file: &Path) {
    match left.last_mut() {
        Some(last) if last.last.next() == position && last.file == file => {
            (last.last, last.events) = (position, last.events + 1);
        }
        _ => {
            let file = file.to_owned();
            left.push(LeftOut { first: position, last: position, events: 1, file });
        }
    }
}
