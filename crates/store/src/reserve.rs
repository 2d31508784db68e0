//! Disk space that is set aside, to be given back when nothing else is left: a store on a full disk
//! opens all the same, and is read.

use crate::{error::StorePart, folder::StoreFolder};

/// The least that a store without a copy in sled has: a small file of the journal, which an unclean
/// stop has opening write, and what folders and derived state grow by.
const LEAST_BYTES: u64 = 160 << 10;
/// Of the bytes of the journal, where that is more: an unclean stop may leave many a frame to be
/// written again.
const PART_OF_JOURNAL: u64 = 4;

/// Bytes that a store without a copy in sled may need to be opened: there is nothing but its journal
/// to be mended. Where they are not enough it is opened to be read.
pub(crate) fn without_copy(folder: &StoreFolder) -> u64 {
    LEAST_BYTES.max(folder.bytes_of(StorePart::Journal) / PART_OF_JOURNAL)
}

/// Sets the space aside, if it is not yet. Without it the store goes on: it only opens no more once
/// the disk is full.
pub(crate) fn make(folder: &StoreFolder, bytes: u64) {
    // A power cut may have left less of it.
    let there = folder.find_reserve().and_then(|file| file.map_or(Ok(0), |file| file.bytes()));
    if there.unwrap_or(0) >= bytes {
        return;
    }
    // It need not be synced: nothing rests on what it holds.
    let made = folder.create_reserve().and_then(|file| file.fill_with_zeros(0, bytes));
    if let Err(error) = made {
        tracing::warn!(%error, "no space could be set aside");
        let _ = folder.remove_reserve();
    }
}

/// Gives the space back; whether there was any.
pub(crate) fn give_back(folder: &StoreFolder) -> bool {
    folder.remove_reserve().is_ok()
}
