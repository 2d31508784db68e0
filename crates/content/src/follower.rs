//! Content that another process may have open, read beside it.
//!
//! Nothing is locked, written or mended. Which packs there are is looked at again when something is
//! asked for that is not known, or does not read where it was: the owner may have put it since, or
//! have collected its pack. What its manifest says before and after a look must be the same.

use std::{
    collections::BTreeMap,
    io::Read,
    path::Path,
    sync::{Arc, Weak},
};

use spacefold_disk::{Access, Disk, File};
use spacefold_event_core::{
    ContentError, ContentHash, ContentReader, ContentStore, HashedContent, StorageError,
    StorageErrorKind, StoredContent,
    bytes::{to_u64, to_usize},
    lock::Lock,
};

use crate::{
    error::OpenContentError,
    folder::ContentFolder,
    index::{EntryPlace, Index},
    manifest::{FoundManifest, ListedPack, PackManifest, PackState},
    pack::{Listed, PACK_HEADER_BYTES, read_footer},
    pack_files::PackFiles,
    pack_id::PackId,
    reader::{Look, ReadContext},
    scan::scan_from,
    survey::survey,
};

/// How often it is looked anew because something changed meanwhile: packs of a collection that was cut off
/// go one after the other.
const MAX_LOOKS: usize = 64;
/// What is read of damage at once.
const CHECKED_BYTES: usize = 1 << 20;

/// Content in a folder that another process may have open, to be read: it takes none, and the owner
/// notices nothing.
///
/// # Cost
/// Nothing is read before the first use, which reads what [`PackStore::open`](crate::PackStore::open)
/// does; what is new is read when something unknown is asked for. Beside damage, that reads what is
/// damaged to see whether it was mended.
#[derive(Debug)]
pub struct ContentFollower {
    context: Arc<ReadContext>,
}

impl ContentFollower {
    /// The content in the folder `path` of a disk, which need not be there yet.
    ///
    /// # Errors
    /// [`StorageError`] when the folder cannot be looked at.
    pub fn at(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StorageError> {
        let folder = ContentFolder::at(disk, path)?;
        let context = Arc::new_cyclic(|context: &Weak<ReadContext>| {
            let looking = ContentLook {
                folder: folder.clone(),
                seen: Lock::default(),
                context: context.clone(),
            };
            let look = Box::new(move |look| looking.look(look));
            ReadContext::following(PackFiles::new(folder), look)
        });
        Ok(Self { context })
    }
}

impl ContentStore for ContentFollower {
    fn put(&self, _content: &mut dyn Read) -> Result<StoredContent, ContentError> {
        Err(refused())
    }

    fn put_hashed(&self, _content: HashedContent<'_>) -> Result<StoredContent, ContentError> {
        Err(refused())
    }

    fn sync(&self) -> Result<(), ContentError> {
        Ok(())
    }

    fn open(&self, hash: &ContentHash) -> Result<ContentReader, ContentError> {
        self.context.open(hash)
    }

    fn contains(&self, hash: &ContentHash) -> Result<bool, ContentError> {
        match self.context.open(hash) {
            Ok(_) => self.context.keep(hash),
            Err(ContentError::Missing { .. } | ContentError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn refused() -> ContentError {
    let reason = "the store is followed, and only read".to_owned();
    ContentError::Refused { kind: StorageErrorKind::Other, reason }
}

/// What is looked at again.
#[derive(Debug)]
struct ContentLook {
    folder: ContentFolder,
    seen: Lock<Seen>,
    context: Weak<ReadContext>,
}

/// What was there at the last look.
#[derive(Debug, Default)]
struct Seen {
    /// Whether there was a look.
    is_read: bool,
    generation: Option<u64>,
    packs: BTreeMap<u32, SeenPack>,
}

#[derive(Clone, Debug)]
struct SeenPack {
    id: PackId,
    /// Whether it has its entries forever.
    is_sealed: bool,
    damage: Option<SeenDamage>,
    bytes: u64,
    /// Where the next entry begins.
    end: u64,
}

/// What of a pack does not read. It may be mended in its place.
#[derive(Clone, Debug)]
struct SeenDamage {
    /// Where each stretch begins and ends.
    stretches: Vec<(u64, u64)>,
    /// The checksum of what is there; `None` where that has changed while it was looked at.
    crc: Option<u32>,
}

/// What a look found.
struct FoundPacks {
    seen: Seen,
    manifest: PackManifest,
    /// Whether the entries are all there are: else they are new beside those that are known.
    is_anew: bool,
    entries: Vec<(u32, Vec<Listed>)>,
}

impl ContentLook {
    /// Looks again, and answers whether anything may read otherwise now.
    fn look(&self, look: Look) -> Result<bool, ContentError> {
        let doing = || format!("looking into {}", self.folder.path().display());
        self.look_again(look).map_err(|error| match error {
            OpenContentError::Storage(error) => error.into(),
            error => StorageError::new(doing(), error).into(),
        })
    }

    fn look_again(&self, look: Look) -> Result<bool, OpenContentError> {
        let Some(context) = self.context.upgrade() else { return Ok(false) };
        let mut seen = self.seen.lock();
        if !self.folder.look()? || (look == Look::ForNews && !self.has_news(&seen)?) {
            return Ok(false);
        }
        let mut failed = None;
        for _ in 0..MAX_LOOKS {
            match self.read(&seen, look) {
                Ok(Some(found)) => {
                    found.put_into(&context);
                    *seen = found.seen;
                    return Ok(true);
                }
                Ok(None) => {}
                // A pack may have gone since the packs were listed.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(false), Err)
    }

    fn generation(&self) -> Result<Option<u64>, StorageError> {
        Ok(match PackManifest::read(&self.folder)? {
            FoundManifest::Whole(manifest) => Some(manifest.generation),
            _ => None,
        })
    }

    fn has_news(&self, seen: &Seen) -> Result<bool, StorageError> {
        if !seen.is_read || self.generation()? != seen.generation {
            return Ok(true);
        }
        let may_change = |pack: &SeenPack| !pack.is_sealed || pack.damage.is_some();
        let mut looked_at = seen.packs.iter().filter(|(_, pack)| may_change(pack));
        Ok(looked_at.any(|(number, pack)| !self.is_as_seen(*number, pack)))
    }

    /// Whether a pack is as it was: as long, and where it was damaged as it was then. One that cannot be
    /// looked at is not: it was collected, mostly, and then the manifest says so, too.
    fn is_as_seen(&self, number: u32, pack: &SeenPack) -> bool {
        let Ok(file) = self.folder.open_pack(number, Access::Read) else { return false };
        let is_as_damaged = |damage: &SeenDamage| {
            damage.crc.is_some() && damage.crc == checksum(file.as_ref(), &damage.stretches).ok()
        };
        file.bytes().ok() == Some(pack.bytes) && pack.damage.iter().all(is_as_damaged)
    }

    /// Whether a sealed pack has nothing new to be read.
    fn reads_as_seen(&self, number: u32, pack: &SeenPack) -> bool {
        pack.damage.is_none() || self.is_as_seen(number, pack)
    }

    /// Reads what is there; `None` where that has changed meanwhile.
    fn read(&self, seen: &Seen, look: Look) -> Result<Option<FoundPacks>, OpenContentError> {
        let generation = self.generation()?;
        let manifest = survey(&self.folder)?.manifest;
        let ids: BTreeMap<u32, PackId> =
            manifest.packs.iter().map(|pack| (pack.number, pack.id)).collect();
        let is_gone = |(number, pack): (&u32, &SeenPack)| ids.get(number) != Some(&pack.id);
        let is_anew = look == Look::Anew || seen.packs.iter().any(is_gone);
        let (mut packs, mut entries) = (BTreeMap::new(), Vec::new());
        for pack in &manifest.packs {
            let known = seen.packs.get(&pack.number).filter(|_| !is_anew);
            let (now, listed) = match known {
                Some(known) if known.is_sealed && self.reads_as_seen(pack.number, known) => {
                    (known.clone(), Vec::new())
                }
                _ => self.read_pack(pack, known)?,
            };
            packs.insert(pack.number, now);
            entries.push((pack.number, listed));
        }
        let is_same = self.generation()? == generation;
        let seen = Seen { is_read: true, generation, packs };
        Ok(is_same.then_some(FoundPacks { seen, manifest, is_anew, entries }))
    }

    /// The entries of a pack behind those that are known.
    fn read_pack(
        &self,
        pack: &ListedPack,
        known: Option<&SeenPack>,
    ) -> Result<(SeenPack, Vec<Listed>), StorageError> {
        let file = self.folder.open_pack(pack.number, Access::Read)?;
        let bytes = file.bytes()?;
        let (is_sealed, end) = (false, bytes);
        let mut seen = SeenPack { id: pack.id, is_sealed, damage: None, bytes, end };
        if let PackState::Sealed { bytes: sealed } = pack.state {
            seen.is_sealed = true;
            if let Some((listed, _)) = read_footer(file.as_ref(), pack.id, sealed.min(bytes))? {
                return Ok((seen, listed));
            }
        }
        let whole = known.filter(|known| known.damage.is_none());
        let from = whole.map(|known| known.end).filter(|end| *end <= bytes);
        let from = from.unwrap_or(PACK_HEADER_BYTES);
        let synced = pack.state.synced_bytes().min(bytes);
        let scan = || scan_from(from, file.as_ref(), pack.id, bytes, synced, &mut |_, _, _| {});
        let mut found = scan()?;
        if !found.damaged.is_empty() {
            let stretches = found.damaged;
            let crc = checksum(file.as_ref(), &stretches)?;
            // What was damaged before and after is damaged as the checksum has it.
            found = scan()?;
            let crc = (found.damaged == stretches).then_some(crc);
            let stretches = found.damaged;
            seen.damage = (!stretches.is_empty()).then_some(SeenDamage { stretches, crc });
        }
        seen.end = found.end;
        let near = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        let listed = found.entries.iter().map(|(at, header)| Listed::of(header, near(*at)));
        Ok((seen, listed.collect()))
    }
}

/// The checksum of what stands in stretches of a file, as far as it goes.
fn checksum(file: &dyn File, stretches: &[(u64, u64)]) -> Result<u32, StorageError> {
    let len = file.bytes()?;
    let (mut crc, mut bytes) = (0, Vec::new());
    for (begin, end) in stretches {
        let (mut from, end) = (*begin, (*end).min(len));
        while from < end {
            bytes.resize(to_usize(end - from).min(CHECKED_BYTES), 0);
            file.read_exact_at(&mut bytes, from)?;
            crc = crc32c::crc32c_append(crc, &bytes);
            from += to_u64(bytes.len());
        }
    }
    Ok(crc)
}

impl FoundPacks {
    fn put_into(&self, context: &ReadContext) {
        let mut index = context.index_mut();
        if self.is_anew {
            *index = Index::default();
            context.files.forget_all();
        }
        for (number, listed) in &self.entries {
            for entry in listed {
                index.insert(entry.hash, EntryPlace::listed_in(*number, entry));
            }
        }
        drop(index);
        context.set_packs(&self.manifest);
    }
}

#[cfg(test)]
mod tests;
