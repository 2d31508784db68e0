//! Opening: from the files to where every entry is.
//!
//! Everything is read before anything is changed, so that a refusal leaves everything as it was;
//! and no pack is removed.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use spacefold_disk::{Access, Disk, File, RealDisk, ReplaceError};
use spacefold_event_core::{
    StorageError,
    bytes::{to_u64, to_usize},
};

use crate::{
    active::Active,
    error::OpenContentError,
    folder::{ContentFolder, WatchedLock},
    index::{EntryPlace, Index},
    manifest::{ListedPack, PackManifest, PackState},
    options::ContentOptions,
    pack::{Listed, PackHeader, read_footer},
    pack_store::PackStore,
    scan::scan,
    store_id::StoreId,
    survey::{ManifestCondition, Survey, survey},
    writer::PackWriter,
};

/// What is copied of a pack at once.
const COPY_BYTES: usize = 1 << 20;

/// A content store that was locked and read, and in which nothing is changed yet.
///
/// A caller that opens content together with something else reads both, and lets neither change before
/// both are known to open. Dropping it gives the folder free again.
#[derive(Debug)]
pub struct PreparedContent {
    folder: ContentFolder,
    lock: Option<WatchedLock>,
    survey: Survey,
    index: Index,
    /// Packs of which nobody knows all that they held.
    damaged: BTreeSet<u32>,
    /// The pack that takes new entries.
    tail: Option<PackTail>,
    /// Packs that end in a footer which may not be on disk yet.
    sealed: Vec<Unsecured>,
}

/// The newest pack that is not sealed.
#[derive(Debug)]
struct PackTail {
    pack: ListedPack,
    entries: Vec<Listed>,
    unsecured: Unsecured,
}

/// A pack of which not all is known to be on disk.
#[derive(Debug)]
struct Unsecured {
    number: u32,
    /// The bytes that the file has.
    len: u64,
    /// These of them are synced.
    synced_bytes: u64,
    /// These count.
    end: u64,
}

impl PackStore {
    /// Opens the content store in the folder `path`. Where there is none, the first put makes one;
    /// the folder above it must be there.
    ///
    /// # Errors
    /// [`OpenContentError`]. Damage is none: what is damaged is missing, or an error when it is
    /// read; [`verify`](crate::verify()) names it, and putting the same content again mends it.
    ///
    /// # Cost
    /// Reads the footer of every sealed pack, 48 bytes for each of its entries, and the one pack
    /// that is not sealed. The index takes some 60 bytes of memory an entry. Blocks on reading, and on a
    /// sync of the newest pack when the store was not closed.
    pub fn open(path: &Path) -> Result<Self, OpenContentError> {
        Self::open_with(path, ContentOptions::default())
    }

    /// Opens as [`PackStore::open`] does, with options.
    ///
    /// # Errors
    /// [`OpenContentError`], as there. Blocks as that does.
    pub fn open_with(path: &Path, options: ContentOptions) -> Result<Self, OpenContentError> {
        Self::prepare(path)?.open(options, None)
    }

    /// Locks and reads the content store in the folder `path`, and changes nothing: everything that
    /// can be in the way of opening it is found here.
    ///
    /// # Errors
    /// [`OpenContentError`], as [`PackStore::open`].
    ///
    /// # Cost
    /// As [`PackStore::open`], without a sync.
    pub fn prepare(path: &Path) -> Result<PreparedContent, OpenContentError> {
        Self::prepare_on(Arc::new(RealDisk), path)
    }

    /// As [`PackStore::prepare`], on any disk; blocks as that does.
    ///
    /// # Errors
    /// [`OpenContentError`], as [`PackStore::open`].
    pub fn prepare_on(
        disk: Arc<dyn Disk>,
        path: &Path,
    ) -> Result<PreparedContent, OpenContentError> {
        PreparedContent::read(disk, path)
    }
}

impl PreparedContent {
    pub(crate) fn read(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OpenContentError> {
        let folder = ContentFolder::at(disk, path)?;
        let (lock, survey) = if folder.exists() {
            let lock = folder.lock()?;
            (Some(lock), survey(&folder)?)
        } else {
            let manifest = PackManifest::default();
            (None, Survey { manifest, found: ManifestCondition::Missing, has_news: false })
        };
        let mut packs = survey.manifest.packs.clone();
        let mut prepared = Self {
            folder,
            lock,
            survey,
            index: Index::default(),
            damaged: BTreeSet::new(),
            tail: None,
            sealed: Vec::new(),
        };
        let is_open = |pack: &ListedPack| matches!(pack.state, PackState::Open { .. });
        let newest_open = packs.iter().rposition(is_open);
        for (place, pack) in packs.iter_mut().enumerate() {
            let usage = if newest_open == Some(place) { Use::Append } else { Use::Read };
            prepared.take(pack, usage)?;
        }
        prepared.survey.manifest.packs = packs;
        Ok(prepared)
    }

    /// Opens what was read, for the store with this id. A manifest that is bound to another store
    /// is set aside, and which packs there are is made of the packs; one that is bound to none is
    /// bound. With `None` it stays as it is.
    ///
    /// # Errors
    /// [`OpenContentError::Storage`].
    ///
    /// # Cost
    /// The newest pack is synced when the store was not closed: blocks until it is.
    pub fn open(
        self,
        options: ContentOptions,
        store: Option<StoreId>,
    ) -> Result<PackStore, OpenContentError> {
        let Self { folder, lock, survey, index, damaged, tail, sealed } = self;
        if lock.is_none() {
            let manifest = PackManifest { store, ..PackManifest::default() };
            folder.hold_above();
            let writer = PackWriter::new(folder, options, manifest, None, None);
            return Ok(PackStore::of(writer, index));
        }
        folder.remove_unfinished()?;
        let mut refused = None;
        if survey.found == ManifestCondition::Missing {
            // Whoever made the folder may have been stopped before its name was durable.
            unless_read_only(folder.sync_name(), &mut refused)?;
        }
        for pack in &sealed {
            unless_read_only(pack.secure(&folder), &mut refused)?;
        }
        let active =
            unless_read_only(tail.map(|tail| tail.into_active(&folder)).transpose(), &mut refused)?;
        let (manifest, is_kept) = keep(&folder, survey, store)?;
        // What no manifest lists takes no entries: its torn end would count as damage.
        let active = active.flatten().filter(|_| is_kept);
        let mut writer = PackWriter::new(folder, options, manifest, active, lock);
        writer.damaged = damaged;
        if let Some(error) = refused {
            tracing::error!(%error, "nothing can be written: the content is opened to be read only");
            drop(writer.fail(error));
        }
        Ok(PackStore::of(writer, index))
    }

    fn take(&mut self, pack: &mut ListedPack, usage: Use) -> Result<(), StorageError> {
        let number = pack.number;
        let file = self.folder.open_pack(number, Access::Read)?;
        let file = file.as_ref();
        let len = file.bytes()?;
        if let PackState::Sealed { bytes } = pack.state
            && let Some((entries, _)) = read_footer(file, pack.id, bytes.min(len))?
        {
            self.take_entries(pack.number, &entries);
            return Ok(());
        }
        let synced_bytes = pack.state.synced_bytes().min(len);
        let scanned = scan(file, pack.id, len, synced_bytes, &mut |_, _, _| {})?;
        let near_offset = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        let listed = scanned.entries.iter();
        let entries: Vec<Listed> =
            listed.map(|(offset, header)| Listed::of(header, near_offset(*offset))).collect();
        self.take_entries(pack.number, &entries);
        if !scanned.damaged.is_empty() || len < pack.state.synced_bytes() {
            let file = self.folder.pack_path(number);
            tracing::error!(file = %file.display(), "a pack of the content is damaged");
            self.damaged.insert(pack.number);
            return Ok(());
        }
        if !matches!(pack.state, PackState::Open { .. }) {
            return Ok(());
        }
        let synced_bytes = scanned.synced_bytes;
        // The manifest is older than the footer of the pack, where that lists what is there.
        let footer = read_footer(file, pack.id, len)?;
        if footer.is_some_and(|(listed, end)| listed == entries && end == scanned.end) {
            pack.state = PackState::Sealed { bytes: len };
            self.survey.has_news = true;
            self.sealed.push(Unsecured { number, len, synced_bytes, end: len });
            return Ok(());
        }
        let has_header = matches!(
            PackHeader::read(file)?,
            Ok(header) if header.id == pack.id && header.number == pack.number
        );
        if usage == Use::Append && has_header {
            let unsecured = Unsecured { number, len, synced_bytes, end: scanned.end };
            self.tail = Some(PackTail { pack: *pack, entries, unsecured });
        }
        Ok(())
    }

    fn take_entries(&mut self, number: u32, entries: &[Listed]) {
        for entry in entries {
            self.index.insert(entry.hash, EntryPlace::listed_in(number, entry));
        }
    }
}

/// What was written; `None` where nothing can be, which is why nothing is put behind what may not
/// be on disk: what reads is read.
fn unless_read_only<T>(
    written: Result<T, StorageError>,
    refused: &mut Option<StorageError>,
) -> Result<Option<T>, StorageError> {
    match written {
        Err(error) if error.kind().forbids_writing_only() => {
            *refused = Some(error);
            Ok(None)
        }
        written => written.map(Some),
    }
}

/// What a pack is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Append,
}

impl PackTail {
    fn into_active(self, folder: &ContentFolder) -> Result<Active, StorageError> {
        let file = self.unsecured.secure(folder)?;
        Ok(Active {
            number: self.pack.number,
            id: self.pack.id,
            file,
            end: self.unsecured.end,
            synced_bytes: self.unsecured.end,
            entries: self.entries,
            buffer: Vec::new(),
        })
    }
}

impl Unsecured {
    /// Cuts the torn end of a pack off, and makes sure that what is left is on disk.
    ///
    /// What reads back may be in the page cache alone: a sync that failed marks pages as clean. So
    /// what nothing proves to have been synced is written again in its place, then synced.
    fn secure(&self, folder: &ContentFolder) -> Result<Arc<dyn File>, StorageError> {
        let file = folder.open_pack(self.number, Access::ReadWrite)?;
        if self.len > self.end {
            file.set_len(self.end)?;
        }
        let mut offset = self.synced_bytes;
        let mut bytes = Vec::new();
        while offset < self.end {
            let count = to_usize(self.end - offset).min(COPY_BYTES);
            bytes.resize(count, 0);
            file.read_exact_at(&mut bytes, offset)?;
            file.write_all_at(&bytes, offset)?;
            offset += to_u64(count);
        }
        if self.len > self.end || self.synced_bytes < self.end {
            file.sync_all()?;
        }
        Ok(file)
    }
}

/// The manifest of what is here, written where that is not what stands on disk; and whether it
/// stands there now.
fn keep(
    folder: &ContentFolder,
    survey: Survey,
    store: Option<StoreId>,
) -> Result<(PackManifest, bool), OpenContentError> {
    let Survey { mut manifest, found, has_news } = survey;
    let is_of_another = store.is_some_and(|store| manifest.is_of_another(store));
    if is_of_another {
        tracing::error!("the manifest of the content is of another store: it is set aside");
        // What is missing of the other store is none of ours.
        manifest.lost.clear();
    }
    for pack in &manifest.lost {
        let file = folder.pack_path(pack.number);
        tracing::error!(file = %file.display(), "a pack of the content is missing");
    }
    let is_bound = store.is_none() || manifest.store == store;
    manifest.store = store.or(manifest.store);
    if found == ManifestCondition::Whole && is_bound && !has_news {
        return Ok((manifest, true));
    }
    let replaces_what_is_lost = is_of_another || found == ManifestCondition::Damaged;
    let written = if replaces_what_is_lost {
        folder.set_manifest_aside().map_err(ReplaceError::OldStays)
    } else {
        Ok(())
    };
    match written.and_then(|()| manifest.write(folder)) {
        Ok(()) => Ok((manifest, true)),
        // As on a full disk: the next opening finds the same, and this one reads all the same.
        Err(ReplaceError::OldStays(error)) => {
            tracing::warn!(%error, "the manifest of the content is not written yet");
            Ok((manifest, false))
        }
        Err(ReplaceError::Unknown(error)) => Err(error.into()),
    }
}
