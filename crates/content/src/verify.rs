//! Checking every byte of a content store, without changing one.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rapidhash::{RapidHashMap, RapidHashSet};
use spacefold_disk::{Access, Disk, RealDisk};
use spacefold_event_core::{
    ContentHash, StorageError,
    bytes::{to_u64, to_usize},
};

use crate::{
    chunk_list::ChunkList,
    entry::{EntryHeader, EntryKind},
    error::OpenContentError,
    folder::ContentFolder,
    manifest::{ListedPack, PackState},
    pack::{Listed, PackHeader, read_footer},
    scan::{PackScan, scan},
    store_id::StoreId,
    survey::{ManifestCondition, Survey, survey},
};

/// How often content that others change is checked before what is wrong counts.
const MAX_CHECKS: usize = 4;

/// What a check of a content store found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ContentReport {
    /// Entries that are sound: small contents, the chunks of large ones, and their lists.
    pub entries: u64,
    /// The store that the manifest is bound to.
    pub store: Option<StoreId>,
    /// What is wrong.
    pub problems: Vec<ContentProblem>,
    /// Large contents of which chunks are gone while nothing is damaged or missed: what a
    /// collection leaves that is stopped while it removes packs. One that an event names was lost;
    /// the others are garbage, which the next collection removes.
    pub incomplete: Vec<ContentProblem>,
    sound: RapidHashSet<ContentHash>,
}

/// Something that is wrong in a content store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContentProblem {
    /// The file it is in.
    pub file: PathBuf,
    /// The byte of the file.
    pub offset: Option<u64>,
    /// The content it concerns, where that is known.
    pub hash: Option<ContentHash>,
    /// What it is.
    pub detail: String,
}

impl ContentReport {
    /// Whether all of this content is here and sound.
    #[must_use]
    pub fn is_sound(&self, hash: &ContentHash) -> bool {
        self.sound.contains(hash)
    }
}

/// Checks the content store in a folder, which must not be open. What was being put or
/// collected when a process was stopped is no damage. A folder that is not there holds no content.
///
/// # Errors
/// [`OpenContentError`] when it is in use or the disk refuses; damage is no error but part of the
/// report.
///
/// # Cost
/// Reads, unpacks and hashes every byte: blocks until that is done, and syncs nothing.
pub fn verify(path: &Path) -> Result<ContentReport, OpenContentError> {
    verify_on(Arc::new(RealDisk), path)
}

/// As [`verify`], on any disk.
pub(crate) fn verify_on(
    disk: Arc<dyn Disk>,
    path: &Path,
) -> Result<ContentReport, OpenContentError> {
    let folder = ContentFolder::at(disk, path)?;
    if !folder.exists() {
        return Ok(ContentReport::default());
    }
    let _lock = folder.lock()?;
    check(folder)
}

/// As [`verify`], of content that another process may have open, on any disk: nothing is locked.
/// What that process puts meanwhile may be in the report or not; what it collects is no damage.
///
/// # Errors
/// [`OpenContentError`] when the disk refuses.
///
/// # Cost
/// As that of [`verify`]; again where something seems to be wrong and the owner has changed which
/// packs there are meanwhile.
pub fn verify_beside(disk: Arc<dyn Disk>, path: &Path) -> Result<ContentReport, OpenContentError> {
    let folder = ContentFolder::at(disk, path)?;
    if !folder.exists() {
        return Ok(ContentReport::default());
    }
    let bytes = || -> Result<Option<Vec<u8>>, StorageError> {
        folder.find_manifest()?.map(|file| file.read_all()).transpose()
    };
    let mut checks = 0;
    loop {
        checks += 1;
        let before = bytes()?;
        let checked = check(folder.clone());
        let is_sound = checked.as_ref().is_ok_and(|report| report.problems.is_empty());
        if is_sound || checks == MAX_CHECKS || bytes()? == before {
            return checked;
        }
    }
}

fn check(folder: ContentFolder) -> Result<ContentReport, OpenContentError> {
    let mut check =
        Check { folder, report: ContentReport::default(), lists: RapidHashMap::default() };
    let Survey { manifest, found, .. } = survey(&check.folder)?;
    check.report.store = manifest.store;
    for pack in &manifest.packs {
        check.pack(pack)?;
    }
    for pack in &manifest.lost {
        let path = check.folder.pack_path(pack.number);
        let detail = if check.folder.has_pack(pack.number)? {
            "another pack is in the place of the one that the manifest lists"
        } else {
            "the pack is missing"
        };
        check.problem(path, None, None, detail);
    }
    // Nothing is put before there is a manifest.
    let holds_something = || !check.report.sound.is_empty() || !check.lists.is_empty();
    let is_damaged = match found {
        ManifestCondition::Damaged => true,
        ManifestCondition::Missing => holds_something(),
        ManifestCondition::Whole => false,
    };
    if is_damaged {
        let file = check.folder.manifest_path();
        check.problem(file, None, None, "which packs there are does not read");
    }
    check.lists();
    check.report.entries = to_u64(check.report.sound.len());
    Ok(check.report)
}

struct Check {
    folder: ContentFolder,
    report: ContentReport,
    /// The lists that read, and where they are.
    lists: RapidHashMap<ContentHash, (ChunkList, u32, u64)>,
}

impl Check {
    fn problem(
        &mut self,
        file: PathBuf,
        offset: Option<u64>,
        hash: Option<ContentHash>,
        detail: impl Into<String>,
    ) {
        let detail = detail.into();
        self.report.problems.push(ContentProblem { file, offset, hash, detail });
    }

    fn pack(&mut self, pack: &ListedPack) -> Result<(), StorageError> {
        let path = self.folder.pack_path(pack.number);
        let file = self.folder.open_pack(pack.number, Access::Read)?;
        let file = file.as_ref();
        let header = PackHeader::read(file)?;
        if !matches!(header, Ok(header) if header.id == pack.id && header.number == pack.number) {
            self.problem(path.clone(), Some(0), None, "the header of the pack does not hold");
        }
        let len = file.bytes()?;
        let footer = match pack.state {
            PackState::Open { .. } => None,
            PackState::Sealed { bytes } => {
                if len != bytes {
                    let detail = format!("the pack has {len} bytes, sealed were {bytes}");
                    self.problem(path.clone(), Some(len.min(bytes)), None, detail);
                }
                read_footer(file, pack.id, bytes.min(len))?
            }
        };
        let mut found = PackEntries::default();
        let end = footer.as_ref().map_or(len, |(_, end)| *end);
        let synced_bytes = match pack.state {
            PackState::Sealed { .. } => end,
            PackState::Open { synced_bytes } => synced_bytes,
        };
        let scanned = scan(file, pack.id, end, synced_bytes, &mut |offset, header, stored| {
            found.check(offset, header, stored);
        })?;
        self.take(pack, &path, &scanned, found);
        if matches!(pack.state, PackState::Sealed { .. }) {
            self.footer(&path, &scanned, footer);
        }
        Ok(())
    }

    fn take(&mut self, pack: &ListedPack, path: &Path, scanned: &PackScan, found: PackEntries) {
        for (begin, end) in &scanned.damaged {
            let detail = format!("{} bytes are damaged", end - begin);
            self.problem(path.to_owned(), Some(*begin), None, detail);
        }
        for (offset, hash, what) in found.wrong {
            self.problem(path.to_owned(), Some(offset), Some(hash), what);
        }
        let counts = |offset: &u64| *offset < scanned.end;
        let sound = found.sound.iter().filter(|(offset, _)| counts(offset));
        self.report.sound.extend(sound.map(|(_, hash)| *hash));
        let lists = found.lists.into_iter().filter(|(offset, ..)| counts(offset));
        self.lists.extend(lists.map(|(offset, hash, list)| (hash, (list, pack.number, offset))));
    }

    /// Compares what the footer lists with what is there.
    fn footer(&mut self, path: &Path, scanned: &PackScan, footer: Option<(Vec<Listed>, u64)>) {
        let Some((listed, end)) = footer else {
            let detail = "the footer of the pack does not hold";
            self.problem(path.to_owned(), Some(scanned.end), None, detail);
            return;
        };
        let there = scanned
            .entries
            .iter()
            .map(|(offset, header)| Listed::of(header, u32::try_from(*offset).unwrap_or(u32::MAX)));
        if scanned.damaged.is_empty() && !there.eq(listed) {
            let detail = "the footer of the pack lists other entries than there are";
            self.problem(path.to_owned(), Some(end), None, detail);
        }
    }

    /// A list is sound when all of its chunks are.
    fn lists(&mut self) {
        let nothing_is_damaged = self.report.problems.is_empty();
        let mut incomplete = Vec::new();
        for (hash, (list, pack, offset)) in std::mem::take(&mut self.lists) {
            let mut chunks = list.chunks.iter();
            match chunks.find(|chunk| !self.report.sound.contains(&chunk.hash)) {
                None => {
                    self.report.sound.insert(hash);
                }
                Some(chunk) => incomplete.push(ContentProblem {
                    file: self.folder.pack_path(pack),
                    offset: Some(offset),
                    hash: Some(hash),
                    detail: format!("chunk {} of it is damaged or missing", chunk.hash),
                }),
            }
        }
        if nothing_is_damaged {
            self.report.incomplete = incomplete;
        } else {
            self.report.problems.extend(incomplete);
        }
    }
}

/// The entries of a pack.
#[derive(Default)]
struct PackEntries {
    sound: Vec<(u64, ContentHash)>,
    lists: Vec<(u64, ContentHash, ChunkList)>,
    wrong: Vec<(u64, ContentHash, &'static str)>,
}

impl PackEntries {
    fn check(&mut self, offset: u64, header: &EntryHeader, stored: &[u8]) {
        match header.kind {
            EntryKind::Chunk => match header.codec.unpack(stored, to_usize(header.bytes)) {
                Some(chunk) if ContentHash::of(&chunk) == header.hash => {
                    self.sound.push((offset, header.hash));
                }
                _ => self.wrong.push((offset, header.hash, "its bytes have another hash")),
            },
            EntryKind::List => match ChunkList::decode(stored) {
                Some(list) => self.lists.push((offset, header.hash, list)),
                None => self.wrong.push((offset, header.hash, "its list of chunks does not read")),
            },
            EntryKind::Footer => {}
        }
    }
}
