//! The frames in a file of the journal, whole or not.
//!
//! A frame begins where the one before ends, or at a multiple of 512. One that does not hold says how
//! long it is, and is believed where a frame follows there that carries its checksum; elsewhere the
//! next one is looked for at multiples of 512 alone, as recovery does, so that what an event holds is
//! not searched for frames at any byte.

use spacefold_event_core::{Position, Schemas, StorageError, bytes::to_u64};

use super::{
    pieces::{FoundPieces, FrameStretch, Piece, PieceKind, Trust},
    window::SalvageWindow,
};
use crate::{
    head::sessions::Sessions,
    journal::frame::{
        self, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, Frame, FrameExtent,
        GROUP_ALIGNMENT,
    },
};

const ALIGNMENT: u64 = GROUP_ALIGNMENT as u64;
/// So many times its own bytes a file may have looked at of frames that do not hold.
const MAX_LOOKS: u64 = 4;
const MIN_LOOKED_AT: u64 = 64 << 20;

/// Finds the frames of a file.
pub(super) fn find(
    window: &mut SalvageWindow,
    file: usize,
    trust: Trust,
    schemas: &'static Schemas,
    found: &mut FoundPieces,
) -> Result<(), StorageError> {
    let begin = window.at(0, FILE_HEADER_BYTES)?;
    let header = store_id_at(begin, 8).and_then(|id| FileHeader::parse(begin, id).ok());
    let sessions = header.map(|header| header.sessions).unwrap_or_default();
    let mut finder =
        Finder { window, file, trust, schemas, found, sessions, open: None, looked: 0 };
    let outcome = finder.all();
    finder.close();
    outcome
}

/// The store id that stands at an offset.
pub(super) fn store_id_at(bytes: &[u8], offset: usize) -> Option<[u8; 16]> {
    bytes.get(offset..)?.first_chunk().copied()
}

struct Finder<'a> {
    window: &'a mut SalvageWindow,
    file: usize,
    trust: Trust,
    schemas: &'static Schemas,
    found: &'a mut FoundPieces,
    sessions: Sessions,
    open: Option<Piece>,
    /// Bytes of frames that did not hold.
    looked: u64,
}

impl Finder<'_> {
    fn all(&mut self) -> Result<(), StorageError> {
        let limit = (self.window.len() * MAX_LOOKS).max(MIN_LOOKED_AT);
        let mut offset = 0;
        while offset < self.window.len() {
            let extent = frame::peek(self.window.at(offset, FRAME_HEADER_BYTES)?);
            let Some(extent) = extent else {
                // The next group begins at the next boundary.
                offset = (offset + 1).next_multiple_of(ALIGNMENT);
                continue;
            };
            let whole = self.frame(offset, extent)?;
            if let Some(len) = whole {
                offset += len;
                continue;
            }
            self.looked += to_u64(extent.len);
            self.found.damaged(self.file, Some(offset), "a frame that does not hold");
            if self.looked > limit {
                let what = "too much begins like a frame and is none: the rest is not searched";
                self.found.damaged(self.file, Some(offset), what);
                return Ok(());
            }
            offset = match self.next_behind(offset, extent)? {
                Some(next) => next,
                None => (offset + 1).next_multiple_of(ALIGNMENT),
            };
        }
        Ok(())
    }

    /// Takes in the frame at an offset, and answers its length, if it is whole.
    fn frame(&mut self, offset: u64, extent: FrameExtent) -> Result<Option<u64>, StorageError> {
        let bytes = self.window.at(offset, extent.len)?;
        let Ok(frame) = frame::parse(bytes, extent.store_id, self.schemas) else {
            return Ok(None);
        };
        let (header, len) = (frame.header, to_u64(frame.bytes.len()));
        let goes_on = self.open.as_mut().is_some_and(|open| goes_on(open, &header, offset, len));
        if !goes_on {
            self.close();
            self.open = Some(Piece {
                store_id: header.store_id,
                first: header.first_position,
                last: header.last_position(),
                trust: self.trust,
                file: self.file,
                kind: PieceKind::Frames(FrameStretch {
                    start: offset,
                    end: offset + len,
                    incarnation: header.incarnation,
                    previous_crc: header.previous_crc,
                    crc: header.crc,
                    synced: header.synced_through,
                    sessions: self.sessions.clone(),
                }),
            });
        }
        Ok(Some(len))
    }

    /// Where a frame follows one that does not hold, as its length and its checksum say.
    fn next_behind(
        &mut self,
        offset: u64,
        extent: FrameExtent,
    ) -> Result<Option<u64>, StorageError> {
        let behind = offset + to_u64(extent.len);
        for next in [behind, behind.next_multiple_of(ALIGNMENT)] {
            let Some(found) = frame::peek(self.window.at(next, FRAME_HEADER_BYTES)?) else {
                continue;
            };
            let bytes = self.window.at(next, found.len)?;
            let parsed = frame::parse(bytes, found.store_id, self.schemas);
            if parsed.is_ok_and(|frame| frame.header.previous_crc == extent.crc) {
                return Ok(Some(next));
            }
            self.looked += to_u64(found.len);
        }
        Ok(None)
    }

    fn close(&mut self) {
        self.found.pieces.extend(self.open.take());
    }
}

/// Takes a frame in that follows a stretch; whether it does.
fn goes_on(open: &mut Piece, header: &frame::FrameHeader, offset: u64, len: u64) -> bool {
    let PieceKind::Frames(stretch) = &mut open.kind else { return false };
    let follows = header.store_id == open.store_id
        && header.first_position == open.last.next()
        && header.previous_crc == stretch.crc
        && header.incarnation == stretch.incarnation;
    if follows {
        open.last = header.last_position();
        (stretch.crc, stretch.end) = (header.crc, offset + len);
        stretch.synced = stretch.synced.max(header.synced_through);
    }
    follows
}

/// Calls `visit` with each frame of a stretch that reaches behind a position.
pub(super) fn visit<E: From<StorageError>>(
    window: &mut SalvageWindow,
    stretch: &FrameStretch,
    behind: Position,
    schemas: &'static Schemas,
    visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut offset = stretch.start;
    while offset < stretch.end {
        let begin = window.at(offset, FRAME_HEADER_BYTES)?;
        let Some(extent) = frame::peek(begin) else {
            offset = (offset + 1).next_multiple_of(ALIGNMENT);
            continue;
        };
        let bytes = window.at(offset, extent.len)?;
        // It may be another one by now, in a store that somebody writes.
        match frame::parse(bytes, extent.store_id, schemas) {
            Ok(frame) => {
                offset += to_u64(frame.bytes.len());
                if frame.header.last_position() > behind {
                    visit(&frame)?;
                }
            }
            Err(_) => offset = (offset + 1).next_multiple_of(ALIGNMENT),
        }
    }
    Ok(())
}
