//! What stays of the frames that were read: those behind sled's copy, unpacked, and where the others
//! stand. How far sled's copy goes is known only once it is open; until then what it says of itself
//! is believed.

use std::sync::Arc;

use spacefold_disk::File;
use spacefold_event_core::{Position, Schemas, StorageError, bytes::to_u64};

use crate::{
    journal::frame::{self, Frame, FrameError, FrameHeader, GROUP_ALIGNMENT, OwnedFrame},
    run::RecordRun,
};

/// Bytes of a file between two marks, about.
const MARK_BYTES: usize = 64 << 10;

/// The places of the frames that were read, in order.
#[derive(Debug)]
pub(crate) struct KeptFrames {
    store_id: [u8; 16],
    schemas: &'static Schemas,
    files: Vec<ReadFile>,
    marks: Vec<Mark>,
    /// Frames that reach behind this position are unpacked as they are read.
    unpacked_behind: Position,
    unpacked: Vec<RecordRun>,
}

#[derive(Debug)]
struct ReadFile {
    file: Arc<dyn File>,
    /// Where the last frame that counts ends.
    end: usize,
}

/// A frame, and where it starts.
#[derive(Clone, Copy, Debug)]
struct Mark {
    first_position: Position,
    file: usize,
    start: usize,
}

impl KeptFrames {
    pub(super) const fn new(
        store_id: [u8; 16],
        schemas: &'static Schemas,
        unpacked_behind: Position,
    ) -> Self {
        Self {
            store_id,
            schemas,
            files: Vec::new(),
            marks: Vec::new(),
            unpacked_behind,
            unpacked: Vec::new(),
        }
    }

    /// Takes in a file: the frames from now on are in it.
    pub(super) fn begin_file(&mut self, file: Arc<dyn File>) {
        self.files.push(ReadFile { file, end: 0 });
    }

    /// Takes in the next frame.
    pub(super) fn push(&mut self, frame: &Frame<'_>, start: usize) -> Result<(), StorageError> {
        let FrameHeader { first_position, .. } = frame.header;
        let end = start + frame.bytes.len();
        let file = self.files.len().saturating_sub(1);
        let last = self.marks.last().filter(|last| last.file == file);
        if last.is_none_or(|last| start - last.start >= MARK_BYTES) {
            self.marks.push(Mark { first_position, file, start });
        }
        if let Some(file) = self.files.last_mut() {
            file.end = end;
        }
        if frame.header.last_position() > self.unpacked_behind {
            self.unpacked.extend(unpack(first_position, frame.runs())?);
        }
        Ok(())
    }

    /// The first position that there is a frame of; behind all when there is none.
    pub(crate) fn first_position(&self) -> Position {
        self.marks.first().map_or(Position::new(u64::MAX), |mark| mark.first_position)
    }

    /// The runs that hold events behind a position, in order.
    pub(crate) fn runs_behind(&self, position: Position) -> Result<Vec<RecordRun>, StorageError> {
        let mut runs = Vec::new();
        if position < self.unpacked_behind {
            let frames = self.read(position.next(), self.unpacked_behind)?;
            let read = |frame: &&OwnedFrame| frame.header.last_position() <= self.unpacked_behind;
            for frame in frames.iter().filter(read) {
                runs.extend(unpack(frame.header.first_position, frame.runs())?);
            }
        }
        runs.extend_from_slice(&self.unpacked);
        runs.retain(|run| run.records.last_position() > position);
        Ok(runs)
    }

    /// The runs that hold events of these positions, both inclusive.
    pub(crate) fn runs(
        &self,
        from: Position,
        through: Position,
    ) -> Result<Vec<RecordRun>, StorageError> {
        if from > self.unpacked_behind {
            let range = from..=through;
            let overlaps = |run: &&RecordRun| {
                run.records.first_position() <= *range.end()
                    && run.records.last_position() >= *range.start()
            };
            return Ok(self.unpacked.iter().filter(overlaps).cloned().collect());
        }
        let mut runs = Vec::new();
        for frame in self.read(from, through)? {
            runs.extend(unpack(frame.header.first_position, frame.runs())?);
        }
        Ok(runs)
    }

    fn read(&self, from: Position, through: Position) -> Result<Vec<OwnedFrame>, StorageError> {
        let mut frames = Vec::new();
        let before = self.marks.partition_point(|mark| mark.first_position <= from);
        let begin = before.saturating_sub(1);
        let marks = self.marks.get(begin..).unwrap_or_default();
        for (place, mark) in marks.iter().enumerate() {
            if mark.first_position > through {
                break;
            }
            let Some(file) = self.files.get(mark.file) else { continue };
            let next = marks.get(place + 1).filter(|next| next.file == mark.file);
            let bytes = file.read(mark.start, next.map_or(file.end, |next| next.start))?;
            self.frames(&bytes, mark.start, |frame| {
                if frame.header.last_position() >= from && frame.header.first_position <= through {
                    frames.push(frame);
                }
            });
        }
        Ok(frames)
    }

    /// Every frame of a stretch of a file, which has been read once before.
    fn frames(&self, bytes: &[u8], start: usize, mut each: impl FnMut(OwnedFrame)) {
        let mut offset = 0;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            match frame::parse_again(rest, self.store_id, self.schemas) {
                Ok(frame) => {
                    offset += frame.bytes.len();
                    each(OwnedFrame::from(&frame));
                }
                // The next group begins at the next boundary.
                Err(_) => {
                    offset = (start + offset + 1).next_multiple_of(GROUP_ALIGNMENT) - start;
                }
            }
        }
    }
}

/// The runs of the frame at a position.
pub(crate) fn unpack(
    position: Position,
    runs: Result<Vec<RecordRun>, FrameError>,
) -> Result<Vec<RecordRun>, StorageError> {
    let doing = || format!("unpacking the append at position {position}");
    runs.map_err(|error| StorageError::new(doing(), error))
}

impl ReadFile {
    fn read(&self, start: usize, end: usize) -> Result<Vec<u8>, StorageError> {
        let mut bytes = vec![0; end.saturating_sub(start)];
        self.file.read_exact_at(&mut bytes, to_u64(start))?;
        Ok(bytes)
    }
}
