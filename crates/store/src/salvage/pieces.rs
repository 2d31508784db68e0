//! What there is of a log, wherever it lies: stretches of frames and blocks, each whole as its own
//! checksum says.

use std::path::PathBuf;

use spacefold_event_core::Position;

use super::report::{MAX_PLACES, SalvageDamage};
use crate::{block::BlockHash, head::sessions::Sessions};

/// Where a piece is trusted before others that have the same positions: the lower the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// In the part of the store that it belongs to.
    InPlace,
    /// As that, but it does not fit the rest.
    Misfit,
    /// In sled's copy.
    Copy,
    /// Set aside, or where none of its kind belongs.
    Aside,
}

/// A stretch of events that lie together.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) store_id: [u8; 16],
    pub(super) first: Position,
    pub(super) last: Position,
    pub(super) trust: Trust,
    /// Which of the files it is in.
    pub(super) file: usize,
    pub(super) kind: PieceKind,
}

impl Piece {
    /// The session that wrote it; 0 where it does not say.
    pub(super) const fn incarnation(&self) -> u64 {
        match &self.kind {
            PieceKind::Frames(stretch) => stretch.incarnation,
            PieceKind::Block { .. } | PieceKind::SledBlock { .. } => 0,
        }
    }

    pub(super) const fn block_hash(&self) -> Option<BlockHash> {
        match &self.kind {
            PieceKind::Frames(_) => None,
            PieceKind::Block { hash, .. } | PieceKind::SledBlock { hash, .. } => Some(*hash),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum PieceKind {
    /// Frames that follow one another, of one session.
    Frames(FrameStretch),
    /// A block.
    Block { offset: u64, len: usize, hash: BlockHash },
    /// A block of a copy of sled's: which of those that were opened.
    SledBlock { copy: usize, hash: BlockHash },
}

#[derive(Clone, Debug)]
pub(super) struct FrameStretch {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) incarnation: u64,
    /// The checksum of the frame before the first.
    pub(super) previous_crc: u32,
    /// The checksum of the last one.
    pub(super) crc: u32,
    /// Up to where they say that the log was synced.
    pub(super) synced: Position,
    /// What the file says of who wrote it.
    pub(super) sessions: Sessions,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct FoundPieces {
    pub(super) files: Vec<PathBuf>,
    pub(super) pieces: Vec<Piece>,
    pub(super) damage: Vec<SalvageDamage>,
    pub(super) damaged_places: u64,
}

impl FoundPieces {
    /// Notes a place that does not read.
    pub(super) fn damaged(&mut self, file: usize, offset: Option<u64>, what: impl Into<String>) {
        self.damaged_places += 1;
        if self.damage.len() < MAX_PLACES {
            let file = self.files.get(file).cloned().unwrap_or_default();
            self.damage.push(SalvageDamage { file, offset, what: what.into() });
        }
    }
}
