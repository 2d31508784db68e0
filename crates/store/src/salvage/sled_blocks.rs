//! The blocks of sled's copies. What opens one changes it: a copy of each is opened, elsewhere.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold_disk::{Disk as _, RealDisk};
use spacefold_event_core::StorageError;

use super::pieces::{FoundPieces, Piece, PieceKind, Trust};
use crate::{
    block,
    lineage::{self, LINEAGE_BYTES, Lineage},
    log_copy::LogCopy,
    sled_copy::SledCopy,
};

/// A folder of sled's.
#[derive(Clone, Debug)]
pub(super) struct SledFolder {
    pub(super) path: PathBuf,
    pub(super) trust: Trust,
}

impl SledFolder {
    /// What it says of itself.
    pub(super) fn lineage(&self) -> Option<Lineage> {
        let path = self.path.join(lineage::FILE_NAME);
        let found = fs::symlink_metadata(&path).ok()?;
        let is_one = found.is_file() && usize::try_from(found.len()) == Ok(LINEAGE_BYTES);
        is_one.then(|| fs::read(&path).ok()).flatten().and_then(|bytes| Lineage::parse(&bytes))
    }

    /// Copies it into a folder that is there, opens the copy, and finds its blocks. One that does not
    /// open is damage.
    pub(super) fn find(
        &self,
        into: &Path,
        copies: &mut Vec<Arc<dyn LogCopy>>,
        found: &mut FoundPieces,
    ) -> Result<(), StorageError> {
        found.files.push(self.path.clone());
        let (file, copy) = (found.files.len() - 1, copies.len());
        let name = format!("sled-{copy}");
        if let Err(error) = copy_files(&self.path, &into.join(&name)) {
            let doing = format!("copying {} to {}", self.path.display(), into.display());
            return Err(StorageError::new(doing, error));
        }
        let opened = open(into, &name);
        let listed = opened.and_then(|opened| {
            let firsts = opened.first_positions().map_err(|error| error.to_string())?;
            copies.push(Arc::clone(&opened));
            for first in firsts {
                match opened.block_at_or_before(first) {
                    Ok(Some(stored)) if stored.first() == first => {
                        match block::intact(&stored.bytes()) {
                            Ok((header, hash)) => found.pieces.push(Piece {
                                store_id: header.store_id,
                                first: header.first_position,
                                last: header.last_position(),
                                trust: self.trust,
                                file,
                                kind: PieceKind::SledBlock { copy, hash },
                            }),
                            Err(error) => found.damaged(file, None, error.to_string()),
                        }
                    }
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(())
        });
        if let Err(what) = listed {
            found.damaged(file, None, what);
        }
        Ok(())
    }
}

fn open(into: &Path, name: &str) -> Result<Arc<dyn LogCopy>, String> {
    let folder = RealDisk.folder(into).map_err(|error| error.to_string())?;
    let folder = folder.ok_or_else(|| format!("{} is gone", into.display()))?;
    let opened = SledCopy::open(&folder, name).map_err(|error| error.to_string())?;
    Ok(Arc::new(opened))
}

/// Copies the files of a folder and of those in it, and nothing but files and folders.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() && entry.file_name() == "blobs" {
            copy_files(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
