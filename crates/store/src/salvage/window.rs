//! A file that is read from front to back in pieces, however long it is.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};
use spacefold_event_core::{
    StorageError,
    bytes::{to_u64, to_usize},
};

/// Bytes that are read together.
const CHUNK_BYTES: usize = 1 << 20;

/// A file, and the bytes of it that are in memory.
#[derive(Debug)]
pub(super) struct SalvageWindow {
    file: File,
    path: PathBuf,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl SalvageWindow {
    /// Opens a file; `None` where a link, a folder, a pipe or a device is there.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, StorageError> {
        let failed =
            |error: io::Error| StorageError::new(format!("opening {}", path.display()), error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match open(path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        };
        let found = file.metadata().map_err(failed)?;
        let window =
            || Self { file, path: path.to_owned(), len: found.len(), start: 0, bytes: Vec::new() };
        Ok(found.is_file().then(window))
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// The bytes from an offset on, `count` of them or all there are.
    pub(super) fn at(&mut self, offset: u64, count: usize) -> Result<&[u8], StorageError> {
        let count = self.len.saturating_sub(offset).min(to_u64(count));
        let end = self.start + to_u64(self.bytes.len());
        if offset < self.start || offset + count > end {
            let chunk = to_u64(CHUNK_BYTES).max(count).min(self.len.saturating_sub(offset));
            self.bytes.resize(to_usize(chunk), 0);
            self.start = offset;
            let filled = self.fill(offset);
            self.bytes.truncate(filled.as_ref().map_or(0, |filled| *filled));
            filled?;
        }
        let from = to_usize(offset - self.start).min(self.bytes.len());
        let to = (from + to_usize(count)).min(self.bytes.len());
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }

    /// Reads what there is, a file that has become shorter included.
    fn fill(&mut self, offset: u64) -> Result<usize, StorageError> {
        let mut filled = 0;
        while let Some(rest) = self.bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + to_u64(filled)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let doing = format!("reading {} at byte {offset}", self.path.display());
                    return Err(StorageError::new(doing, error));
                }
            }
        }
        Ok(filled)
    }
}
