//! The blocks in a file of segments, as its footer says where they are, or from its begin on as long
//! as each says where the next one is.

use spacefold_event_core::{
    StorageError,
    bytes::{to_u64, to_usize},
};

use super::{
    frames::store_id_at,
    pieces::{FoundPieces, Piece, PieceKind, Trust},
    window::SalvageWindow,
};
use crate::block::{
    self, BLOCK_HEADER_BYTES,
    segment::{self, HEADER_BYTES, SegmentIndex, TAIL_BYTES},
};

/// Finds the blocks of a file.
pub(super) fn find(
    window: &mut SalvageWindow,
    file: usize,
    trust: Trust,
    found: &mut FoundPieces,
) -> Result<(), StorageError> {
    match index(window)? {
        Some(index) => {
            for entry in index.blocks {
                take(window, file, trust, (entry.offset, to_usize(entry.len)), found)?;
            }
            Ok(())
        }
        None => one_by_one(window, file, trust, found),
    }
}

/// What a file says of its blocks, if it is whole as far as that goes.
fn index(window: &mut SalvageWindow) -> Result<Option<SegmentIndex>, StorageError> {
    let len = window.len();
    let header = window.at(0, HEADER_BYTES)?.to_vec();
    let Some(store_id) = store_id_at(&header, 8) else { return Ok(None) };
    let tail = window.at(len.saturating_sub(to_u64(TAIL_BYTES)), TAIL_BYTES)?;
    let Some(footer_len) = tail.first_chunk().and_then(|tail| segment::footer_len(tail).ok())
    else {
        return Ok(None);
    };
    let footer = window.at(len.saturating_sub(to_u64(footer_len)), footer_len)?;
    Ok(segment::parse_parts(&header, footer, len, store_id).ok())
}

fn one_by_one(
    window: &mut SalvageWindow,
    file: usize,
    trust: Trust,
    found: &mut FoundPieces,
) -> Result<(), StorageError> {
    let begins_with_block = block::peek(window.at(0, BLOCK_HEADER_BYTES)?).is_ok();
    let mut offset = if begins_with_block { 0 } else { to_u64(HEADER_BYTES) };
    found.damaged(file, None, "a segment whose list of blocks does not hold");
    while offset < window.len() {
        let Ok(header) = block::peek(window.at(offset, BLOCK_HEADER_BYTES)?) else {
            found.damaged(file, Some(offset), "no block: what is behind is not searched");
            return Ok(());
        };
        take(window, file, trust, (offset, header.stored_len), found)?;
        offset += to_u64(header.stored_len);
    }
    Ok(())
}

/// Takes in a block, if it is whole.
fn take(
    window: &mut SalvageWindow,
    file: usize,
    trust: Trust,
    (offset, len): (u64, usize),
    found: &mut FoundPieces,
) -> Result<(), StorageError> {
    match block::intact(window.at(offset, len)?) {
        Ok((header, hash)) => {
            found.pieces.push(Piece {
                store_id: header.store_id,
                first: header.first_position,
                last: header.last_position(),
                trust,
                file,
                kind: PieceKind::Block { offset, len, hash },
            });
        }
        Err(error) => found.damaged(file, Some(offset), error.to_string()),
    }
    Ok(())
}
