//! Reading a pack from its first entry to its last, past whatever is damaged.

use spacefold_disk::{File, Gap, next_frame};
use spacefold_event_core::{
    StorageError,
    bytes::{to_u64, to_usize},
};

use crate::{
    entry::{ALIGNMENT, EntryHeader, EntryKind, HEADER_BYTES, MAGIC, payload_holds},
    pack::PACK_HEADER_BYTES,
    pack_id::PackId,
};

/// What is read of a pack at once.
const WINDOW_BYTES: usize = 1 << 20;

/// What is done with each whole entry: its offset, its header, its payload as it is stored.
pub(crate) type VisitEntry<'v> = dyn FnMut(u64, &EntryHeader, &[u8]) + 'v;

/// What stands in a pack.
#[derive(Debug)]
pub(crate) struct PackScan {
    /// The entries, whole, in their order, without a footer.
    pub(crate) entries: Vec<(u64, EntryHeader)>,
    /// Where the bytes that count end: what is behind it was never acknowledged, or is a footer.
    pub(crate) end: u64,
    /// These bytes of the pack are known to have been synced.
    pub(crate) synced_bytes: u64,
    /// Stretches before the end that are damaged: where each begins and ends.
    pub(crate) damaged: Vec<(u64, u64)>,
}

/// Reads the entries of a pack of `len` bytes, of which `synced_bytes` are known to be synced.
///
/// What a stretch is that is no entry follows from what was synced ([`Gap`]), as the caller or a later
/// entry says.
pub(crate) fn scan(
    file: &dyn File,
    pack: PackId,
    len: u64,
    synced_bytes: u64,
    visit: &mut VisitEntry<'_>,
) -> Result<PackScan, StorageError> {
    scan_from(PACK_HEADER_BYTES, file, pack, len, synced_bytes, visit)
}

/// As [`scan`], of the entries from an offset on, where one begins.
pub(crate) fn scan_from(
    from: u64,
    file: &dyn File,
    pack: PackId,
    len: u64,
    synced_bytes: u64,
    visit: &mut VisitEntry<'_>,
) -> Result<PackScan, StorageError> {
    let mut window = FileWindow { file, len, begin: 0, bytes: Vec::new() };
    let mut entries: Vec<(u64, EntryHeader)> = Vec::new();
    let mut gaps: Vec<(u64, u64)> = Vec::new();
    let mut synced = synced_bytes;
    let mut offset = from;
    while offset < len {
        match window.entry(pack, offset)? {
            ScannedEntry::Entry(header, stored) => {
                if header.kind == EntryKind::Footer {
                    break;
                }
                visit(offset, &header, stored);
                synced = synced.max(header.synced_through.min(offset));
                entries.push((offset, header));
                offset += header.entry_bytes();
            }
            ScannedEntry::Nothing { next } => {
                let next = window.search(pack, next)?.unwrap_or(len);
                gaps.push((offset, next));
                offset = next;
            }
        }
    }
    let mut end = offset.min(len);
    if synced > len {
        gaps.push((len, synced));
    }
    let gap = |(begin, _): &(u64, u64)| Gap::at(*begin, synced);
    if let Some((torn, _)) = gaps.iter().find(|place| gap(place) == Gap::Torn) {
        end = *torn;
    }
    entries.retain(|(offset, _)| *offset < end);
    gaps.retain(|place| gap(place) == Gap::Damaged);
    Ok(PackScan { entries, end, synced_bytes: synced.min(end), damaged: gaps })
}

enum ScannedEntry<'w> {
    Entry(EntryHeader, &'w [u8]),
    /// No entry; one may begin at `next` or behind it.
    Nothing {
        next: u64,
    },
}

/// A part of the file, in memory.
struct FileWindow<'f> {
    file: &'f dyn File,
    len: u64,
    begin: u64,
    bytes: Vec<u8>,
}

impl FileWindow<'_> {
    /// The `count` bytes at `offset`, if the file has them.
    fn at(&mut self, offset: u64, count: usize) -> Result<Option<&[u8]>, StorageError> {
        if offset + to_u64(count) > self.len {
            return Ok(None);
        }
        let held = self.begin + to_u64(self.bytes.len());
        if offset < self.begin || offset + to_u64(count) > held {
            let read = to_usize(self.len - offset).min(count.max(WINDOW_BYTES));
            self.bytes.resize(read, 0);
            self.begin = offset;
            self.file.read_exact_at(&mut self.bytes, offset)?;
        }
        let begin = to_usize(offset - self.begin);
        Ok(self.bytes.get(begin..begin + count))
    }

    fn entry(&mut self, pack: PackId, offset: u64) -> Result<ScannedEntry<'_>, StorageError> {
        let nothing = ScannedEntry::Nothing { next: offset + ALIGNMENT };
        let header = self.at(offset, HEADER_BYTES)?;
        let Some((header, checksum)) =
            header.and_then(|bytes| EntryHeader::decode(bytes, pack, offset))
        else {
            return Ok(nothing);
        };
        let next = offset + header.entry_bytes();
        let Some(bytes) = self.at(offset, to_usize(header.entry_bytes()))? else {
            return Ok(nothing);
        };
        let payload = bytes.get(HEADER_BYTES..).unwrap_or(&[]);
        let (stored, padding) =
            payload.split_at_checked(to_usize(header.stored_bytes)).unwrap_or_default();
        let whole = payload_holds(stored, checksum, pack, offset);
        if whole && padding.iter().all(|byte| *byte == 0) {
            Ok(ScannedEntry::Entry(header, stored))
        } else {
            // The header is whole, so it is known where the next entry begins.
            Ok(ScannedEntry::Nothing { next })
        }
    }

    /// The first offset from `from` on at which a whole entry begins.
    fn search(&mut self, pack: PackId, from: u64) -> Result<Option<u64>, StorageError> {
        let found = next_frame(from, self.len, ALIGNMENT, |offset| {
            let begins = self.at(offset, MAGIC.len())? == Some(&MAGIC);
            let is_whole = begins && matches!(self.entry(pack, offset)?, ScannedEntry::Entry(..));
            Ok::<_, StorageError>(is_whole.then_some(()))
        });
        Ok(found?.map(|(offset, ())| offset))
    }
}
