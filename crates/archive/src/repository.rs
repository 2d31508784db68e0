//! A repository of backups: what is in it, and how it is read without trust.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use spacefold_event_core::{StorageError, bytes::to_u64};
use spacefold_objects::{ObjectKey, ObjectStorage};

use crate::{
    error::ArchiveError,
    manifest::{
        ArchivedPack, ArchivedSegment, BackupManifest, BadManifest, FORMAT, IdText, InParts,
        MAX_MANIFEST_BYTES, MAX_PART_BYTES, StoredList, StoredPart, manifest_key, manifest_number,
        nameless,
    },
    object_kind::ObjectKind,
};

/// The name of the object that says what a repository is.
const NAME: &str = "repository.json";
/// Bytes of that object at the most.
const MAX_BYTES: u64 = 4_096;
/// Bytes of the pages of one list at the most.
const MAX_LISTED_BYTES: u64 = 256 << 20;

/// The backups of one store, wherever they are kept. Clones are the same.
///
/// Everything in it is immutable and named by its hash, but for the number of a backup. Whoever reads
/// it believes nothing before its hash was compared.
#[derive(Clone, Debug)]
pub struct BackupRepository {
    storage: Arc<dyn ObjectStorage>,
    store_id: [u8; 16],
}

/// What a repository says of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RepositoryMarker {
    format: u32,
    store_id: IdText,
}

/// The lists of a manifest, whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct ManifestLists {
    pub(crate) segments: Vec<ArchivedSegment>,
    pub(crate) packs: Vec<ArchivedPack>,
}

impl BackupRepository {
    /// Opens a repository that is there.
    ///
    /// # Errors
    /// [`ArchiveError::NoRepository`], [`ArchiveError::NotARepository`],
    /// [`ArchiveError::UnknownFormat`], [`ArchiveError::Storage`].
    pub fn open(storage: Arc<dyn ObjectStorage>) -> Result<Self, ArchiveError> {
        match Self::find(&storage)? {
            Some(marker) => Ok(Self { storage, store_id: marker.store_id.0 }),
            None => Err(ArchiveError::NoRepository { place: storage.name() }),
        }
    }

    /// Opens the repository of a store, and begins one where nothing is.
    ///
    /// # Errors
    /// As [`BackupRepository::open`], but for the first; [`ArchiveError::OtherStore`].
    pub fn open_or_create(
        storage: Arc<dyn ObjectStorage>,
        store_id: [u8; 16],
    ) -> Result<Self, ArchiveError> {
        let found = match Self::find(&storage)? {
            Some(found) => found,
            None => {
                let marker = RepositoryMarker { format: FORMAT, store_id: IdText(store_id) };
                let mut bytes = serde_json::to_vec(&marker).unwrap_or_default();
                bytes.push(b'\n');
                match storage.put_new(&marker_key(), &bytes)? {
                    true => marker,
                    // Another archiver was first.
                    false => Self::find(&storage)?.unwrap_or(marker),
                }
            }
        };
        let has = found.store_id.0;
        if has != store_id {
            let place = storage.name();
            return Err(ArchiveError::OtherStore { place, has, store: store_id });
        }
        Ok(Self { storage, store_id })
    }

    /// What a place says of itself; `None` where nothing is.
    fn find(storage: &Arc<dyn ObjectStorage>) -> Result<Option<RepositoryMarker>, ArchiveError> {
        let not = |what: String| ArchiveError::NotARepository { place: storage.name(), what };
        let key = marker_key();
        let Some(bytes) = storage.get(&key, MAX_BYTES)? else {
            let is_ours = |name: &String| name.starts_with(NAME);
            let other = storage
                .list_all(ObjectKind::Repository.folder())?
                .into_iter()
                .find(|it| !is_ours(it));
            return match other {
                Some(other) => Err(not(format!("it has no {NAME}, but {other:?}"))),
                None => Ok(None),
            };
        };
        #[derive(Deserialize)]
        struct MarkerFormat {
            format: u32,
        }
        let damaged = |error: serde_json::Error| not(format!("its {NAME} does not read: {error}"));
        let MarkerFormat { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format != FORMAT {
            let object = key.to_string();
            return Err(ArchiveError::UnknownFormat { object, found: format, known: FORMAT });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Where it is kept.
    #[must_use]
    pub fn place(&self) -> String {
        self.storage.name()
    }

    /// The store whose backups it has, the bytes of a UUID.
    #[must_use]
    pub const fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    pub(crate) fn storage(&self) -> &dyn ObjectStorage {
        self.storage.as_ref()
    }

    /// The numbers of the backups, ascending.
    ///
    /// # Errors
    /// [`ArchiveError::Storage`].
    pub fn numbers(&self) -> Result<Vec<u64>, ArchiveError> {
        let names = self.storage.list_all(ObjectKind::Manifest.folder())?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| manifest_number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A backup.
    ///
    /// # Errors
    /// [`ArchiveError::NoBackup`]; [`ArchiveError::Damaged`], [`ArchiveError::UnknownFormat`],
    /// [`ArchiveError::OtherStore`], [`ArchiveError::Storage`].
    pub fn manifest(&self, number: u64) -> Result<BackupManifest, ArchiveError> {
        self.find_manifest(number)?
            .ok_or_else(|| ArchiveError::NoBackup { place: self.place(), number: Some(number) })
    }

    pub(crate) fn find_manifest(
        &self,
        number: u64,
    ) -> Result<Option<BackupManifest>, ArchiveError> {
        let key = manifest_key(number);
        let Some(bytes) = self.storage.get(&key, MAX_MANIFEST_BYTES)? else { return Ok(None) };
        let object = key.to_string();
        let manifest = BackupManifest::decode(&bytes, number).map_err(|bad| match bad {
            BadManifest::UnknownFormat { found } => {
                ArchiveError::UnknownFormat { object: object.clone(), found, known: FORMAT }
            }
            BadManifest::Damaged(what) => ArchiveError::Damaged { object: object.clone(), what },
        })?;
        if manifest.store_id() != self.store_id {
            let (place, has) = (self.place(), manifest.store_id());
            return Err(ArchiveError::OtherStore { place, has, store: self.store_id });
        }
        Ok(Some(manifest))
    }

    /// The newest backup; `None` where there is none yet.
    ///
    /// # Errors
    /// As [`BackupRepository::manifest`].
    pub fn newest(&self) -> Result<Option<BackupManifest>, ArchiveError> {
        let newest = self.numbers()?.last().copied();
        newest.map(|number| self.manifest(number)).transpose()
    }

    /// The lists of a backup, whole, and whether they follow from the first position to the last.
    pub(crate) fn listed(&self, manifest: &BackupManifest) -> Result<ManifestLists, ArchiveError> {
        let listed = ManifestLists {
            segments: self.list(&manifest.segments)?,
            packs: self.list(&manifest.packs)?,
        };
        let object = manifest_key(manifest.number).to_string();
        match wrong_in(manifest, &listed) {
            Some(what) => Err(ArchiveError::Damaged { object, what }),
            None => Ok(listed),
        }
    }

    fn list<T: DeserializeOwned + Clone>(
        &self,
        list: &StoredList<T>,
    ) -> Result<Vec<T>, ArchiveError> {
        let mut all = Vec::new();
        let mut left = MAX_LISTED_BYTES;
        for page in &list.pages {
            let key = nameless(ObjectKind::Page, page);
            let damaged = |what: String| ArchiveError::Damaged { object: key.to_string(), what };
            left = left.checked_sub(page.bytes).ok_or_else(|| damaged("too long".to_owned()))?;
            let bytes = self.part(&key, page, MAX_MANIFEST_BYTES)?;
            let entries: Vec<T> =
                serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            all.extend(entries);
        }
        all.extend(list.rest.iter().cloned());
        Ok(all)
    }

    /// The bytes of an object, which have the length and the hash that they are known by.
    pub(crate) fn part(
        &self,
        key: &ObjectKey,
        part: &StoredPart,
        most: u64,
    ) -> Result<Vec<u8>, ArchiveError> {
        let damaged = |what: String| ArchiveError::Damaged { object: key.to_string(), what };
        if part.bytes > most {
            return Err(damaged(format!("it is said to have {} bytes", part.bytes)));
        }
        let found = self.storage.get(key, part.bytes)?;
        let bytes = found.ok_or_else(|| damaged("it is missing".to_owned()))?;
        if to_u64(bytes.len()) != part.bytes {
            return Err(damaged(format!("it has {} bytes, not {}", bytes.len(), part.bytes)));
        }
        if blake3::hash(&bytes) != part.blake3.0 {
            return Err(damaged("its hash is another".to_owned()));
        }
        Ok(bytes)
    }

    /// The parts of a file, one after another, each held against its hash.
    pub(crate) fn parts(
        &self,
        file: &impl InParts,
        take: &mut dyn FnMut(u64, Vec<u8>) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        for (key, offset, part) in file.keyed() {
            take(offset, self.part(&key, part, MAX_PART_BYTES)?)?;
        }
        Ok(())
    }

    /// All of a file that is held in memory whole.
    pub(crate) fn whole(&self, file: &impl InParts, most: u64) -> Result<Vec<u8>, ArchiveError> {
        let (kind, stem) = file.key();
        if file.part_bytes() > most {
            let object = kind.key(&stem).to_string();
            let what = format!("it is said to have {} bytes", file.part_bytes());
            return Err(ArchiveError::Damaged { object, what });
        }
        let mut all = Vec::new();
        self.parts(file, &mut |_, bytes| {
            if all.is_empty() {
                all = bytes;
            } else {
                all.extend(bytes);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Puts the manifest of a backup, unless another has its number.
    pub(crate) fn put_manifest(&self, manifest: &BackupManifest) -> Result<(), ArchiveError> {
        let key = manifest_key(manifest.number);
        let bytes = manifest.encode();
        let limit =
            |what: &dyn fmt::Display| StorageError::new(format!("putting {key}"), what.to_string());
        if to_u64(bytes.len()) > MAX_MANIFEST_BYTES {
            return Err(limit(&"it is longer than a manifest may be").into());
        }
        if self.storage.put_new(&key, &bytes)? {
            return Ok(());
        }
        // The answer to an earlier try may have been lost.
        if self.storage.get(&key, MAX_MANIFEST_BYTES)?.is_some_and(|there| there == bytes) {
            return Ok(());
        }
        Err(ArchiveError::AnotherArchiver { place: self.place(), number: manifest.number })
    }
}

fn marker_key() -> ObjectKey {
    ObjectKind::Repository.key(NAME)
}

/// What does not fit in what a manifest lists.
fn wrong_in(manifest: &BackupManifest, listed: &ManifestLists) -> Option<String> {
    let parts = listed.segments.iter().flat_map(InParts::parts);
    let parts = parts.chain(manifest.frames.iter().flat_map(InParts::parts));
    let mut parts = parts.chain(listed.packs.iter().flat_map(InParts::parts));
    if let Some(part) = parts.find(|part| part.bytes == 0 || part.bytes > MAX_PART_BYTES) {
        return Some(format!("a part of {} bytes", part.bytes));
    }
    let mut end = 0_u64;
    for segment in &listed.segments {
        if segment.first != end.saturating_add(1) || segment.last < segment.first {
            return Some(format!("a segment of positions {} to {}", segment.first, segment.last));
        }
        end = segment.last;
    }
    let chain = listed.segments.last().map(|segment| segment.chain_hash);
    if end != manifest.sealed_through || chain.is_some_and(|hash| hash != manifest.chain_hash) {
        return Some(format!("segments that end at position {end} in another way"));
    }
    for frames in &manifest.frames {
        let follows = frames.first <= end.saturating_add(1) && frames.last > end;
        if !follows || frames.first == 0 {
            return Some(format!("frames of positions {} to {}", frames.first, frames.last));
        }
        end = frames.last;
    }
    if end != manifest.head || manifest.recorded_at.is_none() != (end == 0) {
        return Some(format!("events that end at position {end}, not at {}", manifest.head));
    }
    let mut last = None;
    for pack in &listed.packs {
        if last.is_some_and(|last| last >= pack.number) || pack.part_bytes() != pack.bytes {
            return Some(format!("pack {}", pack.number));
        }
        last = Some(pack.number);
    }
    None
}
