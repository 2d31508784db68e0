//! The pack that entries are appended to.

use std::sync::Arc;

use spacefold_disk::{File, NewFile};
use spacefold_event_core::{ContentHash, StorageError, bytes::to_u64};

use crate::{
    chunks::MAX_CHUNK_BYTES,
    entry::{EntryHeader, EntryKind, PayloadCodec, entry_bytes},
    folder::ContentFolder,
    index::EntryPlace,
    pack::{Listed, PACK_HEADER_BYTES, PackHeader, encode_footer, footer_bytes},
    pack_id::PackId,
};

/// A pack that is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) number: u32,
    pub(crate) id: PackId,
    pub(crate) file: Arc<dyn File>,
    /// Where the next entry goes. What may stand behind it counts for nothing.
    pub(crate) end: u64,
    /// These bytes are synced.
    pub(crate) synced_bytes: u64,
    pub(crate) entries: Vec<Listed>,
    /// Where entries are put together.
    pub(crate) buffer: Vec<u8>,
}

/// Bytes of the buffer that are kept between entries, at the most: a chunk fits.
const MAX_BUFFER_BYTES: usize = 2 * MAX_CHUNK_BYTES;

/// What becomes an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) kind: EntryKind,
    pub(crate) codec: PayloadCodec,
    pub(crate) hash: ContentHash,
    /// Bytes of the payload.
    pub(crate) bytes: u32,
    /// The payload as it is stored.
    pub(crate) stored: &'a [u8],
}

impl Active {
    /// An empty pack: complete under another name, synced, renamed. The folder is for the caller
    /// to sync.
    pub(crate) fn create(folder: &ContentFolder, number: u32) -> Result<Self, StorageError> {
        let (new, active) = Self::create_unfinished(folder, number)?;
        new.finish()?;
        Ok(active)
    }

    /// A pack that has its name only once it is complete.
    pub(crate) fn create_unfinished(
        folder: &ContentFolder,
        number: u32,
    ) -> Result<(NewFile, Self), StorageError> {
        let id = PackId::new();
        let new = folder.create_pack(number)?;
        new.file().write_all_at(&PackHeader { id, number }.encode(), 0)?;
        let active = Self {
            number,
            id,
            file: Arc::clone(new.file()),
            end: PACK_HEADER_BYTES,
            synced_bytes: PACK_HEADER_BYTES,
            entries: Vec::new(),
            buffer: Vec::new(),
        };
        Ok((new, active))
    }

    /// Whether an entry fits a pack of this many bytes; into an empty one every entry does.
    pub(crate) fn has_room(&self, stored_bytes: usize, pack_bytes: u64) -> bool {
        let footer = footer_bytes(self.entries.len() + 1);
        self.entries.is_empty() || self.end + entry_bytes(stored_bytes) + footer <= pack_bytes
    }

    /// Writes an entry behind the others. After an error it is as if nothing had been written.
    pub(crate) fn append(&mut self, entry: NewEntry<'_>) -> Result<EntryPlace, StorageError> {
        let stored_bytes = u32::try_from(entry.stored.len()).unwrap_or(u32::MAX);
        let header = EntryHeader {
            kind: entry.kind,
            codec: entry.codec,
            stored_bytes,
            bytes: entry.bytes,
            synced_through: self.synced_bytes,
            hash: entry.hash,
        };
        self.buffer.clear();
        self.buffer.shrink_to(MAX_BUFFER_BYTES);
        header.encode(self.id, self.end, entry.stored, &mut self.buffer);
        self.write_at_end(&self.buffer)?;
        let listed = Listed::of(&header, u32::try_from(self.end).unwrap_or(u32::MAX));
        self.entries.push(listed);
        self.end += to_u64(self.buffer.len());
        Ok(EntryPlace {
            put_here: true,
            checked: true,
            ..EntryPlace::listed_in(self.number, &listed)
        })
    }

    /// Writes the footer; the pack has this many bytes with it. The entries still end where they
    /// did, so that an error can be followed by another try.
    pub(crate) fn write_footer(&self) -> Result<u64, StorageError> {
        let footer = encode_footer(self.id, self.end, &self.entries);
        self.write_at_end(&footer)?;
        let bytes = self.end + to_u64(footer.len());
        self.file.set_len(bytes)?;
        Ok(bytes)
    }

    fn write_at_end(&self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all_at(bytes, self.end).inspect_err(|_| {
            // On a full disk the space is given back at once; what stays counts for nothing.
            let _ = self.file.set_len(self.end);
        })
    }
}
