//! The packs of a store's content, copied while others put, seal and collect.

use std::collections::BTreeMap;

use spacefold::content::OpenContentError;
use spacefold_content::{BackupPack, BackupPacks, ContentBackup};
use spacefold_disk::File;
use spacefold_event_core::bytes::to_usize;

use super::Putting;
use crate::{
    error::ArchiveError,
    manifest::{ArchivedPack, BackupManifest, IdText, InParts, MAX_PART_BYTES, StoredPart},
};

/// How often it is looked anew because packs have come and gone meanwhile.
const MAX_LOOKS: usize = 8;

/// Copies packs.
pub(super) struct ContentCopier<'a> {
    pub(super) content: &'a ContentBackup,
    /// The backup before, of this timeline.
    pub(super) base: Option<&'a BackupManifest>,
    /// What the newest backup has, of whichever timeline.
    pub(super) known: &'a [ArchivedPack],
}

/// The packs, and the number of the manifest that names them.
type CopiedPacks = (Vec<ArchivedPack>, Option<u64>);

/// What is known of packs by their ids, and how it came to be.
struct KnownPacks {
    packs: BTreeMap<[u8; 16], ArchivedPack>,
    /// Whether the bytes that a pack had then are the bytes that it has now: else each part is read and
    /// compared.
    are_same: bool,
}

impl ContentCopier<'_> {
    /// All packs that are there, and the number of the manifest that names them.
    pub(super) fn copy(&self, putting: &mut Putting<'_>) -> Result<CopiedPacks, ArchiveError> {
        let generation = self.content.generation()?;
        // A folder of content that was replaced by an older one may have gone on in another way.
        let are_same = self.base.is_some_and(|base| base.content_generation <= generation);
        let packs = self.known.iter().map(|pack| (pack.id.0, pack.clone())).collect();
        let mut known = KnownPacks { packs, are_same };
        let mut failed = None;
        for _ in 0..MAX_LOOKS {
            match self.copy_once(&mut known, putting) {
                Ok(Some(copied)) => return Ok(copied),
                Ok(None) => {}
                // A pack may have gone since the packs were listed.
                Err(error @ (ArchiveError::Content(_) | ArchiveError::Read(_))) => {
                    failed = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let what = failed.map_or_else(|| "packs come and go".to_owned(), |error| error.to_string());
        Err(ArchiveError::Changing { what })
    }

    /// Copies what is there; `None` where that has changed meanwhile.
    fn copy_once(
        &self,
        known: &mut KnownPacks,
        putting: &mut Putting<'_>,
    ) -> Result<Option<CopiedPacks>, ArchiveError> {
        let synced =
            |id: &[u8; 16]| known.packs.get(id).filter(|_| known.are_same).map(|it| it.synced);
        let BackupPacks { generation, packs } = self.content.look(&synced)?;
        let mut entries = Vec::with_capacity(packs.len());
        for pack in &packs {
            let had = known.packs.get(&pack.id);
            let is_whole = |had: &&ArchivedPack| {
                known.are_same && had.sealed && pack.is_sealed && had.bytes == pack.bytes
            };
            let entry = match had.filter(is_whole) {
                Some(had) => ArchivedPack { number: pack.number, ..had.clone() },
                None => {
                    let opened = self.content.open(pack).map_err(OpenContentError::from)?;
                    let Some(file) = opened else { return Ok(None) };
                    let had = had.map_or(&[][..], |had| had.parts());
                    let kept = known.packs.get(&pack.id).filter(|_| known.are_same);
                    let fixed = kept.map(|kept| kept.synced).filter(|it| *it <= pack.bytes);
                    let fixed = fixed.unwrap_or(0);
                    copy_pack(file.as_ref(), pack, had, fixed, putting)?
                }
            };
            known.packs.insert(pack.id, entry.clone());
            entries.push(entry);
        }
        let now = self.content.generation().map_err(OpenContentError::from)?;
        let is_same = now == generation;
        Ok(is_same.then_some((entries, generation)))
    }
}

/// Copies a pack, of which these parts are known: those up to `fixed` as they are, and those behind
/// where their bytes are the same. The last ones are put together with what is new while they are no
/// larger than that.
fn copy_pack(
    file: &dyn File,
    pack: &BackupPack,
    had: &[StoredPart],
    fixed: u64,
    putting: &mut Putting<'_>,
) -> Result<ArchivedPack, ArchiveError> {
    let mut entry = ArchivedPack {
        id: IdText(pack.id),
        number: pack.number,
        sealed: pack.is_sealed,
        bytes: pack.bytes,
        synced: pack.synced,
        parts: Vec::new(),
    };
    let key = entry.key();
    let mut end = 0;
    for part in had {
        let next = end + part.bytes;
        let is_known = next <= fixed
            || next <= pack.bytes && part.bytes <= MAX_PART_BYTES && {
                let bytes = read(file, end, part.bytes)?;
                blake3::hash(&bytes) == part.blake3.0
            };
        if !is_known {
            break;
        }
        entry.parts.push(part.clone());
        end = next;
    }
    while let Some(last) = entry.parts.last()
        && end < pack.bytes
        && last.bytes < MAX_PART_BYTES
        && last.bytes <= pack.bytes - end
    {
        end -= last.bytes;
        entry.parts.pop();
    }
    while end < pack.bytes {
        let bytes = read(file, end, (pack.bytes - end).min(MAX_PART_BYTES))?;
        entry.parts.push(putting.part(&key, end, &bytes)?);
        end += spacefold_event_core::bytes::to_u64(bytes.len());
    }
    Ok(entry)
}

fn read(file: &dyn File, offset: u64, bytes: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut buffer = vec![0; to_usize(bytes)];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer)
}

/// Whether there are other packs, or other bytes of them, than are known.
pub(super) fn has_changed(
    content: &ContentBackup,
    known: &[ArchivedPack],
) -> Result<bool, ArchiveError> {
    let synced = |id: &[u8; 16]| known.iter().find(|pack| pack.id.0 == *id).map(|pack| pack.synced);
    let now = content.look(&synced)?.packs;
    let is_same = |(now, known): (&BackupPack, &ArchivedPack)| {
        (now.id, now.bytes, now.is_sealed) == (known.id.0, known.bytes, known.sealed)
    };
    Ok(now.len() != known.len() || !now.iter().zip(known).all(is_same))
}
