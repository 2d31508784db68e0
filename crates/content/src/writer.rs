//! Everything that changes the files: one thread at a time.

use std::{collections::BTreeSet, sync::Arc};

use spacefold_disk::{Access, File, PastQuota, ReplaceError, SpaceQuota};
use spacefold_event_core::{ContentError, StorageError, StorageErrorKind, bytes::to_u64};

use crate::{
    active::{Active, NewEntry},
    folder::{ContentFolder, WatchedLock},
    index::EntryPlace,
    manifest::{ListedPack, MAX_PACKS, PackManifest, PackState},
    options::ContentOptions,
};

/// The files of the store, to be changed.
#[derive(Debug)]
pub(crate) struct PackWriter {
    pub(crate) folder: ContentFolder,
    options: ContentOptions,
    pub(crate) manifest: PackManifest,
    pub(crate) active: Option<Active>,
    /// Packs of which nobody knows all that they held.
    pub(crate) damaged: BTreeSet<u32>,
    lock: Option<WatchedLock>,
    state: WriterState,
    /// Whether the names of the files are known to be durable: the session that made them may have
    /// been stopped before.
    names_synced: bool,
    /// Entries that were appended since the store was opened.
    appended: u64,
    /// How many bytes the store may take that it belongs to.
    quota: Option<Arc<SpaceQuota>>,
}

#[derive(Debug)]
enum WriterState {
    Open,
    Failed { kind: StorageErrorKind, reason: String },
    Closed,
}

/// What is to be synced so that everything appended so far is durable.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pack: u32,
    end: u64,
    pub(crate) file: Arc<dyn File>,
}

impl PackWriter {
    pub(crate) fn new(
        folder: ContentFolder,
        options: ContentOptions,
        manifest: PackManifest,
        active: Option<Active>,
        lock: Option<WatchedLock>,
    ) -> Self {
        Self {
            folder,
            options,
            manifest,
            active,
            damaged: BTreeSet::new(),
            lock,
            state: WriterState::Open,
            names_synced: false,
            appended: 0,
            quota: None,
        }
    }

    /// Whether the store takes anything.
    pub(crate) fn check(&self) -> Result<(), ContentError> {
        match &self.state {
            WriterState::Open => Ok(()),
            WriterState::Failed { kind, reason } => {
                Err(ContentError::Refused { kind: *kind, reason: reason.clone() })
            }
            WriterState::Closed => Err(ContentError::Closed),
        }
    }

    /// Takes nothing more from then on where the store takes as many bytes as it may, with its log.
    pub(crate) fn share_quota(&mut self, quota: Arc<SpaceQuota>) {
        quota.set_content(self.bytes());
        self.quota = Some(quota);
    }

    /// Counts the bytes of the packs anew.
    pub(crate) fn count_bytes(&self) {
        if let Some(quota) = &self.quota {
            quota.set_content(self.bytes());
        }
    }

    /// Bytes of the packs.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |pack: &ListedPack| {
            self.folder.open_pack(pack.number, Access::Read).and_then(|file| file.bytes())
        };
        self.manifest.packs.iter().filter_map(|pack| bytes(pack).ok()).sum()
    }

    /// Why it takes nothing more, if it does not.
    pub(crate) fn failure(&self) -> Option<(StorageErrorKind, &str)> {
        match &self.state {
            WriterState::Failed { kind, reason } => Some((*kind, reason)),
            WriterState::Open | WriterState::Closed => None,
        }
    }

    /// Lets the store take nothing more until it is opened again.
    pub(crate) fn fail(&mut self, error: StorageError) -> ContentError {
        if matches!(self.state, WriterState::Open) {
            self.state = WriterState::Failed { kind: error.kind(), reason: error.to_string() };
        }
        ContentError::Storage(error)
    }

    /// Lets the store take nothing more once its folder is gone.
    pub(crate) fn watch_folder(&mut self) -> Result<(), ContentError> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        lock.check_now_and_then().map_err(|error| self.fail(error))
    }

    /// Writes an entry into the active pack, or a new one when that is full.
    pub(crate) fn append(&mut self, entry: NewEntry<'_>) -> Result<EntryPlace, ContentError> {
        self.check()?;
        if let Some(Err(PastQuota { used, max })) = self.quota.as_ref().map(|quota| quota.check()) {
            return Err(ContentError::PastQuota { used, max });
        }
        self.watch_folder()?;
        // An entry is never on disk before the manifest that lists its pack.
        self.sync_names()?;
        let pack_bytes = self.options.pack_bytes;
        if !self
            .active
            .as_ref()
            .is_some_and(|active| active.has_room(entry.stored.len(), pack_bytes))
        {
            self.begin_pack()?;
        }
        let Some(active) = &mut self.active else {
            let reason = "no pack could be begun".to_owned();
            return Err(ContentError::Refused { kind: StorageErrorKind::Other, reason });
        };
        let bytes = to_u64(entry.stored.len());
        let place = active.append(entry)?;
        self.appended += 1;
        if let Some(quota) = &self.quota {
            quota.add_content(bytes);
        }
        Ok(place)
    }

    /// Begins a new pack, after the one before is sealed.
    pub(crate) fn begin_pack(&mut self) -> Result<(), ContentError> {
        self.make_folder()?;
        self.seal_active()?;
        let number = self.manifest.next_number;
        if self.manifest.count() >= MAX_PACKS || number == u32::MAX {
            let reason = format!("there are {MAX_PACKS} packs, the limit");
            return Err(ContentError::Refused { kind: StorageErrorKind::Other, reason });
        }
        let active = Active::create(&self.folder, number)?;
        // The name comes before the manifest that lists it; the next opening takes it up anyway.
        self.folder.sync().map_err(|error| self.fail(error))?;
        self.manifest.next_number = number + 1;
        self.manifest.packs.push(ListedPack {
            number,
            id: active.id,
            state: PackState::Open { synced_bytes: active.synced_bytes },
        });
        self.active = Some(active);
        self.write_manifest().inspect_err(|_| {
            // What no manifest lists takes no entries.
            self.active = None;
            self.manifest.packs.pop();
        })
    }

    /// Seals the active pack, synced; the manifest that says so is for the caller to write.
    fn seal_active(&mut self) -> Result<(), ContentError> {
        let Some(active) = &self.active else { return Ok(()) };
        let bytes = active.write_footer()?;
        if let Err(error) = active.file.sync_all() {
            return Err(self.fail(error));
        }
        self.set_state(active.number, PackState::Sealed { bytes });
        self.active = None;
        Ok(())
    }

    fn set_state(&mut self, number: u32, state: PackState) {
        let mut packs = self.manifest.packs.iter_mut();
        if let Some(pack) = packs.find(|pack| pack.number == number) {
            pack.state = state;
        }
    }

    pub(crate) fn write_manifest(&mut self) -> Result<(), ContentError> {
        match self.manifest.write(&self.folder) {
            Ok(()) => {
                self.names_synced = true;
                Ok(())
            }
            Err(ReplaceError::OldStays(error)) => Err(error.into()),
            Err(ReplaceError::Unknown(error)) => Err(self.fail(error)),
        }
    }

    fn make_folder(&mut self) -> Result<(), ContentError> {
        if self.lock.is_some() {
            return Ok(());
        }
        self.folder.create(self.options.mode)?;
        self.folder.sync_name().map_err(|error| self.fail(error))?;
        let lock = self.folder.lock();
        self.lock = Some(lock.map_err(|error| StorageError::new("locking the content", error))?);
        Ok(())
    }

    /// Makes the names of the files durable, once a session.
    pub(crate) fn sync_names(&mut self) -> Result<(), ContentError> {
        if self.names_synced || self.lock.is_none() {
            return Ok(());
        }
        self.folder.sync().map_err(|error| self.fail(error))?;
        self.names_synced = true;
        Ok(())
    }

    /// How many entries were appended by now, and what holds those that may not be synced yet.
    pub(crate) fn unsynced(&self) -> (u64, Option<Unsynced>) {
        let unsynced = self.active.as_ref().map(|active| Unsynced {
            pack: active.number,
            end: active.end,
            file: Arc::clone(&active.file),
        });
        (self.appended, unsynced.filter(|found| self.is_unsynced(found)))
    }

    fn is_unsynced(&self, found: &Unsynced) -> bool {
        self.active.as_ref().is_some_and(|active| active.synced_bytes < found.end)
    }

    /// Syncs what was appended, with everybody else waiting.
    pub(crate) fn sync_active(&mut self) -> Result<(), ContentError> {
        let (_, Some(unsynced)) = self.unsynced() else { return Ok(()) };
        if let Err(error) = unsynced.file.sync_data() {
            return Err(self.fail(error));
        }
        self.synced(&unsynced);
        Ok(())
    }

    /// The number of a new pack.
    pub(crate) fn take_number(&mut self) -> u32 {
        let number = self.manifest.next_number;
        self.manifest.next_number = number.saturating_add(1);
        number
    }

    pub(crate) const fn pack_bytes(&self) -> u64 {
        self.options.pack_bytes
    }

    /// Notes what was synced.
    pub(crate) fn synced(&mut self, unsynced: &Unsynced) {
        if let Some(active) = &mut self.active
            && active.number == unsynced.pack
        {
            active.synced_bytes = active.synced_bytes.max(unsynced.end);
        }
    }

    /// Notes in the manifest how far the active pack is synced, and gives the folder free. What is
    /// not synced by then is no part of what was acknowledged.
    pub(crate) fn close(&mut self) {
        let was_open = matches!(self.state, WriterState::Open);
        self.state = WriterState::Closed;
        if let Some(active) = self.active.take() {
            let state = PackState::Open { synced_bytes: active.synced_bytes };
            let listed = self.manifest.packs.iter().find(|pack| pack.number == active.number);
            let is_news = listed.is_some_and(|pack| pack.state != state);
            self.set_state(active.number, state);
            // Nothing rests on it but that the next opening has less to do.
            if was_open
                && is_news
                && let Err(error) = self.write_manifest()
            {
                tracing::warn!(%error, "the manifest of the content does not say what is synced");
            }
        }
        self.lock = None;
    }
}
