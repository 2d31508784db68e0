//! What may be done to a name, for the disks that are in memory: as POSIX has it.

use std::io::{self, ErrorKind};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    File,
    Folder { is_empty: bool },
}

impl Named {
    const fn is_folder(self) -> bool {
        matches!(self, Self::Folder { .. })
    }
}

/// Whether a file may be removed by a name.
pub(crate) fn check_remove(named: Option<Named>) -> io::Result<()> {
    match named {
        None => Err(ErrorKind::NotFound.into()),
        Some(Named::Folder { .. }) => Err(ErrorKind::IsADirectory.into()),
        Some(Named::File) => Ok(()),
    }
}

/// Whether a folder may be removed by a name; `false` when there is nothing to remove.
pub(crate) fn check_remove_folder(named: Option<Named>) -> io::Result<bool> {
    match named {
        None => Ok(false),
        Some(Named::Folder { .. }) => Ok(true),
        Some(Named::File) => Err(ErrorKind::NotADirectory.into()),
    }
}

/// Whether what has one name may be given another.
pub(crate) fn check_rename(from: Option<Named>, to: Option<Named>) -> io::Result<()> {
    let from = from.ok_or(ErrorKind::NotFound)?;
    match to {
        Some(to) if to.is_folder() != from.is_folder() && from.is_folder() => {
            Err(ErrorKind::NotADirectory.into())
        }
        Some(to) if to.is_folder() != from.is_folder() => Err(ErrorKind::IsADirectory.into()),
        Some(Named::Folder { is_empty: false }) => Err(ErrorKind::DirectoryNotEmpty.into()),
        _ => Ok(()),
    }
}
