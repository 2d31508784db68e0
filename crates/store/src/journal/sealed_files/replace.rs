//! Writing a sealed file past the page cache: it is read again only when the log is, and to copy it
//! there costs more than all else that is done for it.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;
use spacefold_event_core::{StorageError, StoreMode, bytes::to_u64};

use crate::{
    error::Doing,
    folder::{access::create_file, sync_folder},
};

/// What buffers, offsets and lengths are multiples of when a file is written past the page cache.
const ALIGNMENT: usize = 4_096;
/// Bytes of one write.
const BUFFER_BYTES: usize = 1 << 20;

/// Puts a whole file in its place, durably: written beside, synced, renamed, its folder synced.
/// After an error the old file is there or the new one.
pub(super) fn replace_file(path: &Path, bytes: &[u8], mode: StoreMode) -> Result<(), StorageError> {
    let unfinished = path.with_extension("unfinished");
    let doing = || format!("writing {}", unfinished.display());
    let file = create_file(&unfinished, mode).doing(doing)?;
    if !write_direct(&unfinished, bytes).doing(doing)? {
        file.write_all_at(bytes, 0).doing(doing)?;
    }
    file.set_len(to_u64(bytes.len())).doing(doing)?;
    file.sync_all().doing(doing)?;
    fs::rename(&unfinished, path).doing(|| format!("renaming {}", unfinished.display()))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Writes bytes, and zeros up to the next multiple of the alignment, past the page cache; whether
/// the file system can. When it cannot, some of them may have been written.
fn write_direct(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let file = match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Err(error) if is_unable(&error) => return Ok(false),
        opened => opened?,
    };
    let mut room = vec![0; BUFFER_BYTES + ALIGNMENT];
    let start = room.as_ptr().align_offset(ALIGNMENT);
    let Some(buffer) = room.get_mut(start..start.saturating_add(BUFFER_BYTES)) else {
        return Ok(false);
    };
    let mut offset = 0;
    for piece in bytes.chunks(BUFFER_BYTES) {
        let (filled, rest) = buffer.split_at_mut(piece.len());
        filled.copy_from_slice(piece);
        let len = piece.len().next_multiple_of(ALIGNMENT);
        let padding = rest.get_mut(..len - piece.len()).unwrap_or_default();
        padding.fill(0);
        match file.write_all_at(buffer.get(..len).unwrap_or_default(), offset) {
            Err(error) if is_unable(&error) => return Ok(false),
            written => written?,
        }
        offset += to_u64(len);
    }
    Ok(true)
}

/// Whether the file system says that it does not write past the page cache.
fn is_unable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_exactly_its_bytes_whatever_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.sealed");
        for len in [1, 4_095, 4_096, 4_097, BUFFER_BYTES, 2 * BUFFER_BYTES + 77] {
            let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
            replace_file(&path, &bytes, StoreMode::PRIVATE).unwrap();
            assert!(fs::read(&path).unwrap() == bytes, "{len} bytes");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
