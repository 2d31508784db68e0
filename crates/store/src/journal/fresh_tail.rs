//! What an unclean stop leaves to be done to the journal: its newest frames are written again, to a
//! fresh file and under a new incarnation, and synced.
//!
//! They may have been read from the page cache and not be on disk: after a sync that failed the
//! kernel takes its pages for clean. Older frames need no copy, since something that was written
//! after their sync says so.

use spacefold_event_core::{Position, bytes::to_u64};

use crate::{
    error::OpenError,
    folder::StoreFolder,
    head::{Fence, Head},
    head_file::HeadFile,
    journal::{
        JournalEnd,
        files::JournalFiles,
        frame::{self, FileHeader, FrameContext, GROUP_ALIGNMENT, OwnedFrame},
        scan::{self, JournalScan},
    },
};

/// Live files from which on a journal that leaves most of them empty is written to one.
const SPARSE_FILES: usize = 3;

/// Writes the newest frames again, so that all of the journal is on disk; where it goes on. With
/// `is_sealed` every full block there is has been made, as in a store that was closed.
pub(crate) fn write(
    folder: &StoreFolder,
    head_file: &mut HeadFile,
    files: &JournalFiles,
    scan: &JournalScan,
    is_sealed: bool,
) -> Result<JournalEnd, OpenError> {
    head_file.begin_incarnation(scan.end.head, |_| {})?;
    let head = head_file.head().clone();
    let mut end = scan.end;
    let mut fence = head.fence;
    if end.number > 0 {
        let is_sparse = scan.files.live.len() >= SPARSE_FILES
            && scan.live_bytes.saturating_mul(2) <= scan.live_file_bytes;
        let all = if is_sparse { Some(live_frames(folder, &head, end.head)?) } else { None };
        let frames: &[OwnedFrame] = all.as_deref().unwrap_or(&scan.unwitnessed);
        let position = write_file(files, &head, &mut end, frames)?;
        fence = Fence { position, incarnation: head.incarnation };
    }
    head_file.update(|head| {
        head.durable_head = end.head;
        head.witness = end.witness();
        head.clean = is_sealed;
        head.fence = fence;
    })?;
    Ok(end)
}

/// Every frame that is not, or not all, in segments.
fn live_frames(
    folder: &StoreFolder,
    head: &Head,
    known: Position,
) -> Result<Vec<OwnedFrame>, OpenError> {
    let mut frames = Vec::new();
    scan::scan(folder, head, known, &mut |frame| {
        if frame.header.last_position() > head.sealed_through {
            frames.push(OwnedFrame::from(frame));
        }
        Ok(())
    })?;
    Ok(frames)
}

/// Writes a fresh file of these frames, synced; the position that it begins at.
pub(crate) fn write_file(
    files: &JournalFiles,
    head: &Head,
    end: &mut JournalEnd,
    frames: &[OwnedFrame],
) -> Result<Position, OpenError> {
    let first = frames.first().map(|frame| frame.header);
    let first_position = first.map_or(end.head.next(), |header| header.first_position);
    let header = FileHeader {
        store_id: head.store_id,
        incarnation: head.incarnation,
        file_number: end.number + 1,
        first_position,
        previous_crc: first.map_or(end.crc, |header| header.previous_crc),
        sessions: head.sessions.clone(),
    };
    let mut bytes = header.encode().to_vec();
    let mut crc = header.previous_crc;
    for frame in frames {
        let context = FrameContext {
            store_id: head.store_id,
            incarnation: head.incarnation,
            previous_crc: crc,
        };
        crc = frame::encode_again(&mut bytes, &context, frame);
    }
    bytes.resize(bytes.len().next_multiple_of(GROUP_ALIGNMENT), 0);
    let len = to_u64(bytes.len());
    let taken = files.take_short(first_position, len)?;
    taken.file.write_all_at(&bytes, 0)?;
    taken.file.sync_data()?;
    *end = JournalEnd {
        slot: Some(taken.slot),
        number: header.file_number,
        offset: len,
        crc,
        head: end.head,
    };
    Ok(first_position)
}
