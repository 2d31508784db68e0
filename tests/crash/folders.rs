//! Folders, copied and compared.

use std::{collections::BTreeSet, ffi::OsString, fs, io, path::Path};

/// Copies what is in a folder into another.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Compares two folders, name by name and byte by byte.
///
/// # Errors
/// When they differ, or cannot be read.
pub(crate) fn compare(left: &Path, right: &Path) -> io::Result<()> {
    let names = |folder: &Path| -> io::Result<BTreeSet<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    let differ = |what: String| Err(io::Error::other(format!("{}: {what}", right.display())));
    let (left_names, right_names) = (names(left)?, names(right)?);
    if left_names != right_names {
        return differ(format!("it has {right_names:?}, not {left_names:?}"));
    }
    for name in left_names {
        let (left, right) = (left.join(&name), right.join(&name));
        if left.is_dir() {
            compare(&left, &right)?;
            continue;
        }
        let (left, right) = (fs::read(left)?, fs::read(right)?);
        if left != right {
            let place = left.iter().zip(&right).position(|(left, right)| left != right);
            let lens = (left.len(), right.len());
            return differ(format!("{name:?} differs at byte {place:?}; lengths {lens:?}"));
        }
    }
    Ok(())
}
