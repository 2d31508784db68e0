//! Collecting garbage: content that nothing needs is left behind when its pack is written anew.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::BuildHasher,
};

use rapidhash::{RapidHashMap, RapidHashSet};
use spacefold_disk::NewFile;
use spacefold_event_core::{ContentError, ContentHash, bytes::to_u64};

use crate::{
    active::{Active, NewEntry},
    entry::{EntryKind, PayloadCodec},
    index::EntryPlace,
    manifest::{ListedPack, PackState},
    pack::{Listed, read_footer},
    pack_store::PackStore,
    scan::scan,
    writer::PackWriter,
};

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectReport {
    /// Entries that are gone: small contents, chunks of large ones, and their lists.
    pub removed_entries: u64,
    /// Bytes that they held.
    pub removed_bytes: u64,
    /// Entries that are there afterwards.
    pub kept_entries: u64,
    /// Packs that were written anew without them, or are gone.
    pub rewritten_packs: u64,
    /// Packs that stay as they are, since something in them that is needed is damaged.
    pub damaged_packs: u64,
    /// Bytes of disk that were given back.
    pub freed_bytes: u64,
}

/// What becomes of a pack that is damaged where nothing says what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DamagedPacks {
    /// It may have held something that is needed: it stays, so that the loss is not forgotten.
    Stay,
    /// Everything that is needed is elsewhere.
    Go,
}

impl PackStore {
    /// Removes every content that is not among the `needed`, and the chunks that no other content
    /// has. What was put, put again or asked for with
    /// [`contains`](spacefold_event_core::ContentStore::contains) since the store was opened stays:
    /// the event that names it may be under way. A damaged pack goes once everything needed is
    /// elsewhere.
    ///
    /// # Durability
    /// A kill or a power cut at any moment leaves everything that is needed.
    ///
    /// # Errors
    /// [`ContentError`]; nothing that is needed is gone then. [`ContentError::Damaged`] when the
    /// list of a needed content does not read, so that nobody knows which chunks it needs.
    ///
    /// # Cost
    /// Looks every content up among the `needed`, then reads, checks and writes every pack that has
    /// something to leave behind; other packs are not touched. Blocks until that is done, and syncs what
    /// it has written before anything goes. Puts, syncs and reads go on meanwhile.
    pub fn collect_garbage<S: BuildHasher>(
        &self,
        needed: &HashSet<ContentHash, S>,
    ) -> Result<CollectReport, ContentError> {
        let index = self.shared.index();
        let all_here = needed.iter().all(|hash| index.get(hash).is_some());
        drop(index);
        let damaged = if all_here { DamagedPacks::Go } else { DamagedPacks::Stay };
        self.collect(&mut |hash| needed.contains(hash), damaged)
    }

    pub(crate) fn collect(
        &self,
        is_needed: &mut dyn FnMut(&ContentHash) -> bool,
        damaged: DamagedPacks,
    ) -> Result<CollectReport, ContentError> {
        let _only_one = self.collecting.lock();
        self.writer().check()?;
        let needed = self.mark(is_needed)?;
        let all_here = {
            let index = self.shared.index();
            damaged == DamagedPacks::Go && needed.iter().all(|hash| index.get(hash).is_some())
        };
        let forgets_lost = all_here && !self.writer().manifest.lost.is_empty();
        let victims = self.victims(&needed, all_here)?;
        if victims.is_empty() && !forgets_lost {
            let kept_entries = to_u64(self.shared.index().iter().count());
            return Ok(CollectReport { kept_entries, ..CollectReport::default() });
        }
        let mut collection = Collection::of(self, needed, victims)?;
        collection.forgets_lost = forgets_lost;
        collection.copy_live()?;
        collection.commit()
    }

    /// Everything that is needed now, chunks too.
    fn mark(
        &self,
        is_needed: &mut dyn FnMut(&ContentHash) -> bool,
    ) -> Result<RapidHashSet<ContentHash>, ContentError> {
        let mut entries: Vec<(ContentHash, EntryPlace)> =
            self.shared.index().iter().map(|(hash, place)| (*hash, *place)).collect();
        let mut needed = RapidHashSet::default();
        // In the order of the disk: of some of them the lists are read.
        entries.sort_unstable_by_key(|(_, place)| (place.pack, place.offset));
        for (hash, place) in entries {
            if !place.put_here && !is_needed(&hash) {
                continue;
            }
            needed.insert(hash);
            // The chunks of one that was put here were put here.
            if place.kind == EntryKind::List && !place.put_here {
                needed.extend(self.shared.list(&hash)?.chunks.iter().map(|chunk| chunk.hash));
            }
        }
        Ok(needed)
    }

    /// The packs that hold something that is not needed, or something twice, and damaged ones when
    /// everything needed is here.
    fn victims(
        &self,
        needed: &RapidHashSet<ContentHash>,
        all_here: bool,
    ) -> Result<BTreeSet<u32>, ContentError> {
        let mut victims = BTreeSet::new();
        let mut held: RapidHashMap<u32, usize> = HashMap::default();
        for (hash, place) in self.shared.index().iter() {
            *held.entry(place.pack).or_default() += 1;
            if !place.put_here && !needed.contains(hash) {
                victims.insert(place.pack);
            }
        }
        let writer = self.writer();
        let packs = writer.manifest.packs.clone();
        let damaged = writer.damaged.clone();
        drop(writer);
        for pack in packs {
            let number = pack.number;
            if damaged.contains(&number) {
                // With it goes the only trace of what it may have held.
                if all_here {
                    victims.insert(number);
                } else {
                    victims.remove(&number);
                }
            } else if let PackState::Sealed { bytes } = pack.state
                && !victims.contains(&number)
            {
                let file = self.shared.files.get(number)?;
                let len = file.bytes()?.min(bytes);
                let footer = read_footer(file.as_ref(), pack.id, len)?;
                let indexed = held.get(&number).copied().unwrap_or(0);
                if footer.is_none_or(|(entries, _)| entries.len() > indexed) {
                    victims.insert(number);
                }
            }
        }
        Ok(victims)
    }
}

impl PackStore {
    /// The entries of a pack, those that another entry of the same hash has followed too.
    fn entries_of(&self, number: u32) -> Result<Vec<Listed>, ContentError> {
        let listed =
            self.writer().manifest.packs.iter().find(|pack| pack.number == number).copied();
        let Some(pack) = listed else { return Ok(Vec::new()) };
        let file = self.shared.files.get(number)?;
        let file = file.as_ref();
        let len = file.bytes()?;
        let bytes = pack.state.synced_bytes().min(len);
        if let Some((entries, _)) = read_footer(file, pack.id, bytes)? {
            return Ok(entries);
        }
        let scanned = scan(file, pack.id, len, bytes, &mut |_, _, _| {})?;
        let offset = |offset: u64| u32::try_from(offset).unwrap_or(u32::MAX);
        let entries = scanned.entries.iter();
        Ok(entries.map(|(at, header)| Listed::of(header, offset(*at))).collect())
    }
}

/// A collection under way.
struct Collection<'a> {
    store: &'a PackStore,
    needed: RapidHashSet<ContentHash>,
    /// Whether packs that are missing are not missed any more.
    forgets_lost: bool,
    /// What is needed of each pack that is to go, in the order it stands there.
    live: BTreeMap<u32, Vec<(ContentHash, EntryPlace)>>,
    /// What is not needed of them.
    garbage: Vec<(ContentHash, EntryPlace)>,
    /// The new packs, complete.
    written: Vec<ListedPack>,
    /// The new pack that is being written.
    open: Option<(NewFile, Active)>,
    moved: Vec<(ContentHash, EntryPlace)>,
    /// Bytes at which a new pack is full.
    pack_bytes: u64,
    report: CollectReport,
}

impl<'a> Collection<'a> {
    fn of(
        store: &'a PackStore,
        needed: RapidHashSet<ContentHash>,
        victims: BTreeSet<u32>,
    ) -> Result<Self, ContentError> {
        let mut writer = store.writer();
        if writer.active.as_ref().is_some_and(|active| victims.contains(&active.number)) {
            writer.begin_pack()?;
            store.shared.set_packs(&writer.manifest);
        }
        let pack_bytes = writer.pack_bytes();
        drop(writer);
        let mut live: BTreeMap<u32, Vec<(ContentHash, EntryPlace)>> =
            victims.into_iter().map(|number| (number, Vec::new())).collect();
        let mut garbage = Vec::new();
        for (hash, place) in store.shared.index().iter() {
            let Some(of_pack) = live.get_mut(&place.pack) else { continue };
            if place.put_here || needed.contains(hash) {
                of_pack.push((*hash, *place));
            } else {
                garbage.push((*hash, *place));
            }
        }
        for of_pack in live.values_mut() {
            of_pack.sort_unstable_by_key(|(_, place)| place.offset);
        }
        Ok(Self {
            store,
            needed,
            forgets_lost: false,
            live,
            garbage,
            written: Vec::new(),
            open: None,
            moved: Vec::new(),
            pack_bytes,
            report: CollectReport::default(),
        })
    }

    /// Copies what is needed into new packs; a pack of which something does not read stays.
    fn copy_live(&mut self) -> Result<(), ContentError> {
        for (number, entries) in std::mem::take(&mut self.live) {
            let copied = self.check_elsewhere(number).and_then(|()| self.copy_pack(&entries));
            match copied {
                Ok(()) => {
                    self.live.insert(number, entries);
                }
                Err(ContentError::Damaged { .. }) => self.report.damaged_packs += 1,
                Err(error) => {
                    self.discard();
                    return Err(error);
                }
            }
        }
        let live = &self.live;
        self.garbage.retain(|(_, place)| live.contains_key(&place.pack));
        self.moved.retain(|(hash, _)| {
            self.store.shared.index().get(hash).is_some_and(|place| live.contains_key(&place.pack))
        });
        self.finish_open().inspect_err(|_| self.discard())
    }

    /// What a pack holds and is needed, and for which another entry of the same hash counts, goes
    /// with it: so that entry must read.
    fn check_elsewhere(&self, number: u32) -> Result<(), ContentError> {
        let shared = &self.store.shared;
        for entry in self.store.entries_of(number)? {
            let Some(place) = shared.index().get(&entry.hash) else { continue };
            let is_elsewhere = (place.pack, place.offset) != (number, entry.offset);
            if is_elsewhere && (place.put_here || self.needed.contains(&entry.hash)) {
                CheckedEntry::read(self.store, &entry.hash, place)?;
            }
        }
        Ok(())
    }

    fn copy_pack(&mut self, entries: &[(ContentHash, EntryPlace)]) -> Result<(), ContentError> {
        for (hash, place) in entries {
            let entry = CheckedEntry::read(self.store, hash, *place)?;
            let fits = self
                .open
                .as_ref()
                .is_some_and(|(_, active)| active.has_room(entry.stored.len(), self.pack_bytes));
            if !fits {
                self.finish_open()?;
                let number = self.store.writer().take_number();
                self.open = Some(Active::create_unfinished(&self.store.writer().folder, number)?);
            }
            if let Some((_, active)) = &mut self.open {
                self.moved.push((*hash, active.append(entry.as_new(*hash))?));
            }
        }
        Ok(())
    }

    fn finish_open(&mut self) -> Result<(), ContentError> {
        let Some((file, active)) = self.open.take() else { return Ok(()) };
        let bytes = active.write_footer()?;
        file.finish()?;
        self.written.push(ListedPack {
            number: active.number,
            id: active.id,
            state: PackState::Sealed { bytes },
        });
        Ok(())
    }

    /// Removes the new packs, since nothing refers to them yet.
    fn discard(&mut self) {
        self.open = None;
        let folder = self.store.writer().folder.clone();
        for pack in self.written.drain(..) {
            let _ = folder.remove_pack(pack.number);
        }
    }

    /// Puts the new packs in the place of the old ones, in one step.
    fn commit(mut self) -> Result<CollectReport, ContentError> {
        let mut writer = self.store.writer();
        let committed = writer
            .check()
            .and_then(|()| writer.folder.sync().map_err(|error| writer.fail(error)))
            .and_then(|()| self.swap(&mut writer));
        drop(writer);
        if let Err(error) = committed {
            // Where the manifest may have been replaced, the new packs must stay.
            if !matches!(self.store.writer().check(), Err(ContentError::Refused { .. })) {
                self.discard();
            }
            return Err(error);
        }
        let live = &self.live;
        self.store.writer().damaged.retain(|number| !live.contains_key(number));
        self.remove_old();
        self.report.kept_entries = to_u64(self.store.shared.index().iter().count());
        Ok(self.report)
    }

    fn swap(&mut self, writer: &mut PackWriter) -> Result<(), ContentError> {
        loop {
            let mut index = self.store.shared.index_mut();
            // What was put again since it was found to be garbage is needed now.
            let wanted: Vec<(ContentHash, EntryPlace)> = self
                .garbage
                .iter()
                .filter_map(|(hash, old)| {
                    let now = index.get(hash)?;
                    (now.pack == old.pack && now.put_here).then_some((*hash, now))
                })
                .collect();
            if wanted.is_empty() {
                let before = writer.manifest.clone();
                let packs = &mut writer.manifest.packs;
                packs.retain(|pack| !self.live.contains_key(&pack.number));
                packs.extend(&self.written);
                packs.sort_unstable_by_key(|pack| pack.number);
                if self.forgets_lost {
                    writer.manifest.lost.clear();
                }
                if let Err(error) = writer.write_manifest() {
                    writer.manifest = before;
                    return Err(error);
                }
                for (hash, place) in self.moved.drain(..) {
                    if let Some(now) = index.get(&hash)
                        && self.live.contains_key(&now.pack)
                    {
                        index.insert(hash, EntryPlace { put_here: now.put_here, ..place });
                    }
                }
                for (hash, old) in &self.garbage {
                    if index.get(hash).is_some_and(|now| now.pack == old.pack) {
                        self.report.removed_entries += 1;
                        self.report.removed_bytes += u64::from(old.bytes);
                        index.remove(hash);
                    }
                }
                self.store.shared.set_packs(&writer.manifest);
                return Ok(());
            }
            drop(index);
            self.rescue(writer, wanted)?;
        }
    }

    /// Copies what was garbage, and is not any more, behind everything else.
    fn rescue(
        &self,
        writer: &mut PackWriter,
        wanted: Vec<(ContentHash, EntryPlace)>,
    ) -> Result<(), ContentError> {
        for (hash, place) in wanted {
            let entry = CheckedEntry::read(self.store, &hash, place)?;
            let place = writer.append(entry.as_new(hash))?;
            self.store.shared.set_packs(&writer.manifest);
            self.store.shared.index_mut().insert(hash, place);
        }
        writer.sync_active()
    }

    /// Removes the old packs. What stays, because of an error or since the process is stopped here,
    /// the next opening takes in and the next collection removes: until then a list that stays may
    /// be of chunks that are gone.
    fn remove_old(&mut self) {
        let folder = self.store.writer().folder.clone();
        let files = &self.store.shared.files;
        let bytes_of =
            |number: u32| files.get(number).and_then(|file| file.bytes()).unwrap_or_default();
        let before: u64 = self.live.keys().map(|number| bytes_of(*number)).sum();
        let after: u64 = self.written.iter().map(|pack| pack.state.synced_bytes()).sum();
        self.report.freed_bytes = before.saturating_sub(after);
        self.report.rewritten_packs = to_u64(self.live.len());
        for number in self.live.keys() {
            files.forget(*number);
            if let Err(error) = folder.remove_pack(*number) {
                tracing::warn!(number, %error, "a pack that was collected stays for now");
            }
        }
        if let Err(error) = folder.sync() {
            tracing::warn!(%error, "packs that were collected may stay for now");
        }
    }
}

/// An entry as it is stored, after it was checked.
struct CheckedEntry {
    kind: EntryKind,
    codec: PayloadCodec,
    bytes: u32,
    stored: Vec<u8>,
}

impl CheckedEntry {
    fn read(
        store: &PackStore,
        hash: &ContentHash,
        place: EntryPlace,
    ) -> Result<Self, ContentError> {
        let stored = if place.kind == EntryKind::List {
            store.shared.list(hash)?.encode()
        } else {
            store.shared.stored_chunk(hash)?.1
        };
        let (kind, codec, bytes) = (place.kind, place.codec, place.bytes);
        Ok(Self { kind, codec, bytes, stored })
    }

    fn as_new(&self, hash: ContentHash) -> NewEntry<'_> {
        let (kind, codec, bytes) = (self.kind, self.codec, self.bytes);
        NewEntry { kind, codec, hash, bytes, stored: &self.stored }
    }
}
