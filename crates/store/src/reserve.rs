//! Disk space that is set aside, to be given back when nothing else is left: a store on a full disk
//! opens all the same, and is read.

use std::fs;

use crate::{
    folder::{Folder, access::create_file},
    journal::files::fill_with_zeros,
};

/// Sets the space aside, if it is not yet. Without it the store goes on: it only opens no more once
/// the disk is full.
pub(crate) fn make(folder: &Folder, bytes: u64) {
    let path = folder.reserve();
    // A power cut may have left less of it.
    let there = fs::metadata(&path).map_or(0, |found| found.len());
    if there >= bytes {
        return;
    }
    // It need not be synced: nothing rests on what it holds.
    let made = create_file(&path, folder.mode()).and_then(|file| fill_with_zeros(&file, 0, bytes));
    if let Err(error) = made {
        tracing::warn!(file = %path.display(), %error, "no space could be set aside");
        let _ = fs::remove_file(&path);
    }
}

/// Gives the space back; whether there was any.
pub(crate) fn give_back(folder: &Folder) -> bool {
    fs::remove_file(folder.reserve()).is_ok()
}
