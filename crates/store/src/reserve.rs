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
    // What is there stays where there is no room for more. A power cut may have left less of it.
    let kept = folder.open_reserve().unwrap_or_else(|error| {
        tracing::warn!(%error, "the space that is set aside cannot be looked at");
        None
    });
    let there = kept.as_ref().and_then(|file| file.bytes().ok()).unwrap_or(0);
    if there >= bytes {
        return;
    }
    // It need not be synced: nothing rests on what it holds.
    let file = kept.map_or_else(|| folder.create_reserve(), Ok);
    let made = file.and_then(|file| {
        let filled = file.fill_with_zeros(there, bytes);
        if filled.is_err() && there > 0 {
            file.set_len(there)?;
        }
        filled
    });
    if let Err(error) = made {
        tracing::warn!(%error, "no space could be set aside");
        if there == 0 {
            let _ = folder.remove_reserve();
        }
    }
}

/// Gives the space back; whether there was any.
pub(crate) fn give_back(folder: &StoreFolder) -> bool {
    folder.remove_reserve().is_ok()
}
