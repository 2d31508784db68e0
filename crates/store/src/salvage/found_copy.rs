//! Another copy of a store, in whatever condition, to take from it what a damaged one lacks: the chain
//! of the damaged one says what fits.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use spacefold_event_core::{Position, Schemas, StorageError};

use super::{
    frames,
    pieces::{FrameStretch, PieceKind},
    survey,
    window::SalvageWindow,
};
use crate::{
    block::BlockHash, journal::frame::Frame, recovery::heal::OtherCopy, remake::RemakeError,
};

/// What is whole of a store in another folder.
#[derive(Debug)]
pub(crate) struct FoundCopy {
    files: Vec<PathBuf>,
    blocks: BTreeMap<Position, Vec<BlockPlace>>,
    frames: Vec<(usize, FrameStretch)>,
    schemas: &'static Schemas,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockPlace {
    file: usize,
    offset: u64,
    len: usize,
    hash: BlockHash,
}

impl FoundCopy {
    /// Looks through a folder for what it has of the store with this id. Nothing is changed in it.
    pub(crate) fn look(path: &Path, store_id: [u8; 16]) -> Result<Self, RemakeError> {
        let schemas = Schemas::today();
        let survey = survey::survey(path, schemas)?;
        let mut copy = Self {
            files: survey.found.files,
            blocks: BTreeMap::new(),
            frames: Vec::new(),
            schemas,
        };
        for piece in survey.found.pieces.into_iter().filter(|it| it.store_id == store_id) {
            match piece.kind {
                PieceKind::Block { offset, len, hash } => {
                    let place = BlockPlace { file: piece.file, offset, len, hash };
                    let places = copy.blocks.entry(piece.first).or_default();
                    if !places.iter().any(|other| other.hash == hash) {
                        places.push(place);
                    }
                }
                PieceKind::Frames(stretch) => copy.frames.push((piece.file, stretch)),
                PieceKind::SledBlock { .. } => {}
            }
        }
        Ok(copy)
    }

    /// Whether there is nothing of the store.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.frames.is_empty()
    }
}

impl OtherCopy for FoundCopy {
    fn blocks_at(&self, first: Position) -> Vec<Vec<u8>> {
        let places = self.blocks.get(&first).into_iter().flatten();
        let blocks = places.filter_map(|place| {
            let mut window = SalvageWindow::open(self.files.get(place.file)?).ok()??;
            Some(window.at(place.offset, place.len).ok()?.to_vec())
        });
        blocks.collect()
    }

    fn visit_frames(&self, visit: &mut dyn FnMut(&Frame<'_>)) -> Result<(), StorageError> {
        for (file, stretch) in &self.frames {
            let Some(path) = self.files.get(*file) else { continue };
            let Some(mut window) = SalvageWindow::open(path)? else { continue };
            let mut each = |frame: &Frame<'_>| {
                visit(frame);
                Ok::<_, StorageError>(())
            };
            frames::visit(&mut window, stretch, Position::START, self.schemas, &mut each)?;
        }
        Ok(())
    }
}
