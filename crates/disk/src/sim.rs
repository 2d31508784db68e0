//! A disk in memory, for tests: it says what may be left of it when the power fails, and fails when
//! it is told to. Everything it does follows from its seed and from what is asked of it.
//!
//! - What no sync has covered may be lost, kept, torn at 512 bytes, or kept out of order
//!   ([`Kept`]).
//! - Any one call can fail ([`Fault`]), with the power gone from then on if need be. After a sync
//!   that failed, what it was to cover counts as clean: a later sync answers and brings nothing to
//!   the disk, as Linux does.

pub mod crash;
mod cut;
mod pages;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt, io,
    path::{Component, Path, PathBuf},
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use spacefold_event_core::{
    StorageError, StoreMode,
    bytes::{to_u64, to_usize},
    lock::Lock,
};

pub use self::{
    cut::{Image, Kept, image},
    pages::{FilePages, PAGE_BYTES, PageBytes, PageStates, SECTOR_BYTES},
    tree::{NameChange, Node, NodeId, ROOT, Tree},
};
use crate::{
    disk::{Access, Disk, File, FileId, FileStamp, Folder, Found},
    doing::Doing,
    naming::{Named, check_remove, check_remove_folder, check_rename},
};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of the disk. Of a write nothing was done, of a sync it is not known what was.
    Broken,
    /// No room is left. Calls that take none, reads and removals, do not fail so.
    Full,
    /// Half of a write was done, in whole sectors, before the disk failed; other calls fail as
    /// [`Fault::Broken`].
    Short,
    /// The power fails before the call: it and every later one fail.
    PowerCut,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Broken, Self::Full, Self::Short, Self::PowerCut];
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Lock<SimState>>,
    /// Whether it is another process's: its calls do not count.
    is_beside: bool,
}

/// What looks at a disk between the calls of its user.
type Onlooker = Box<dyn FnMut() + Send>;

struct SimState {
    tree: Tree,
    calls: u64,
    /// The number of the call that fails, and how.
    fault: Option<(u64, Fault)>,
    has_power: bool,
    /// The kind of call that was failed, for a test that asks what was tried.
    failed: Option<&'static str>,
    /// The files that are locked.
    locked: BTreeSet<NodeId>,
    onlooker: Option<Onlooker>,
    half_written: Option<HalfWritten>,
}

/// The begin of a write, as an onlooker may see it.
struct HalfWritten {
    node: NodeId,
    offset: u64,
    bytes: Vec<u8>,
}

impl HalfWritten {
    fn put_over(&self, node: NodeId, buffer: &mut [u8], offset: u64) {
        if node != self.node {
            return;
        }
        for (place, byte) in (self.offset..).zip(&self.bytes) {
            let place = place.checked_sub(offset).and_then(|place| usize::try_from(place).ok());
            if let Some(there) = place.and_then(|place| buffer.get_mut(place)) {
                *there = *byte;
            }
        }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::of(Tree::default())
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

impl SimDisk {
    fn of(tree: Tree) -> Self {
        let state = SimState {
            tree,
            calls: 0,
            fault: None,
            has_power: true,
            failed: None,
            locked: BTreeSet::new(),
            onlooker: None,
            half_written: None,
        };
        Self { state: Arc::new(Lock::new(state)), is_beside: false }
    }

    /// The folder that everything is in; its name is durable.
    #[must_use]
    pub fn root(&self) -> Arc<dyn Folder> {
        Arc::new(SimFolder { disk: self.clone(), node: ROOT, path: PathBuf::from("/") })
    }

    /// The calls that were made so far, those that failed among them.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Lets one call fail: the one with this number, from 1.
    pub fn fail_call(&self, call: u64, fault: Fault) {
        self.state().fault = Some((call, fault));
    }

    /// What kind of call was failed, once one was.
    #[must_use]
    pub fn failed_call(&self) -> Option<&'static str> {
        self.state().failed
    }

    /// A disk with what may be left of this one if the power fails now: all of it durable, one of
    /// many outcomes, drawn from `rng`.
    #[must_use]
    pub fn after_power_cut(&self, kept: Kept, rng: &mut fastrand::Rng) -> Self {
        let image = image(&self.state().tree, kept, rng);
        let mut tree = Tree::default();
        restore(&mut tree, ROOT, image);
        Self::of(tree)
    }

    /// The same disk, as another process has it: its calls do not count, and none is one that is to
    /// fail.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { state: Arc::clone(&self.state), is_beside: true }
    }

    /// Has something look at the disk before each call, and when a write is half done, from now on;
    /// `None` ends it. It may look through a handle that is [beside](SimDisk::beside).
    pub fn look_between_calls(&self, onlooker: Option<Box<dyn FnMut() + Send>>) {
        self.state().onlooker = onlooker;
    }

    fn state(&self) -> MutexGuard<'_, SimState> {
        self.state.lock()
    }

    /// Lets the onlooker look, unless the call is its own.
    fn be_looked_at(&self) {
        // Not held meanwhile: it makes calls.
        let onlooker = if self.is_beside { None } else { self.state().onlooker.take() };
        if let Some(mut onlooker) = onlooker {
            onlooker();
            let mut state = self.state();
            state.half_written = None;
            state.onlooker.get_or_insert(onlooker);
        }
    }

    /// Makes a call: what it does, unless it is one that fails.
    fn call<T>(
        &self,
        call: DiskCall,
        path: &Path,
        act: impl FnOnce(&mut SimState) -> Result<T, io::Error>,
    ) -> Result<T, StorageError> {
        self.be_looked_at();
        let mut state = self.state();
        if self.is_beside {
            let result = if state.has_power { act(&mut state) } else { Err(power_is_off()) };
            return result.doing(|| format!("{} {}", call.name(), path.display()));
        }
        state.calls += 1;
        let result = match state.take_fault(call) {
            Some(error) => Err(error),
            None => act(&mut state),
        };
        result.doing(|| format!("{} {}", call.name(), path.display()))
    }
}

impl Disk for SimDisk {
    fn look(&self, path: &Path) -> Result<Option<Found>, StorageError> {
        self.call(DiskCall::Open, path, |state| {
            let node = state.tree.find_path(path).and_then(|node| state.tree.node(node));
            Ok(node.map(|node| match node {
                Node::Folder(_) => Found::Folder,
                Node::File(_) => Found::File,
            }))
        })
    }

    fn create_folders(&self, path: &Path) -> Result<(), StorageError> {
        self.call(DiskCall::Create, path, |state| {
            let mut folder = ROOT;
            for component in path.components() {
                let Component::Normal(name) = component else { continue };
                let name = name.to_string_lossy();
                folder = match state.tree.find(folder, &name) {
                    Some(there) => there,
                    None => {
                        let made = Node::Folder(BTreeMap::new());
                        let made = state.tree.create(folder, name.into_owned(), made);
                        let began = state.tree.begin_sync();
                        state.tree.end_sync(folder, began);
                        made
                    }
                };
            }
            Ok(())
        })
    }

    /// Paths lead from [`SimDisk::root`], whether they are absolute or not.
    fn folder(&self, path: &Path) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        self.call(DiskCall::Open, path, |state| {
            let folder = state.tree.find_path(path);
            let is_folder = |node: &NodeId| matches!(state.tree.node(*node), Some(Node::Folder(_)));
            Ok(folder.filter(is_folder).map(|node| {
                let folder = SimFolder { disk: self.clone(), node, path: path.to_owned() };
                Arc::new(folder) as Arc<dyn Folder>
            }))
        })
    }
}

/// What a node is, for whoever wants to change its name.
fn named(tree: &Tree, node: NodeId) -> Named {
    match tree.node(node) {
        Some(Node::Folder(names)) => Named::Folder { is_empty: names.is_empty() },
        _ => Named::File,
    }
}

/// Puts an image on a disk, durable.
fn restore(tree: &mut Tree, folder: NodeId, images: BTreeMap<String, Image>) {
    for (name, image) in images {
        match image {
            Image::Folder(within) => {
                let node = tree.add_durable(folder, name, Node::Folder(BTreeMap::new()));
                restore(tree, node, within);
            }
            Image::File { bytes, pages } => {
                let pages = FilePages::of_image(bytes, pages);
                tree.add_durable(folder, name, Node::File(pages));
            }
        }
    }
}

/// What is asked of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskCall {
    List,
    Open,
    Create,
    Rename,
    Remove,
    Read,
    Write,
    SetLen,
    Sync,
    SyncFolder,
}

impl DiskCall {
    const fn name(self) -> &'static str {
        match self {
            Self::List => "listing",
            Self::Open => "opening",
            Self::Create => "creating",
            Self::Rename => "renaming",
            Self::Remove => "removing",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::SetLen => "cutting",
            Self::Sync => "syncing",
            Self::SyncFolder => "syncing the folder",
        }
    }

    const fn takes_room(self) -> bool {
        matches!(self, Self::Create | Self::Write | Self::Sync | Self::SyncFolder | Self::SetLen)
    }
}

impl SimState {
    /// The error of a call that is to fail.
    fn take_fault(&mut self, call: DiskCall) -> Option<io::Error> {
        if !self.has_power {
            return Some(power_is_off());
        }
        let (number, fault) = self.fault?;
        if number != self.calls || (fault == Fault::Full && !call.takes_room()) {
            return None;
        }
        self.failed = Some(call.name());
        match fault {
            Fault::Broken => Some(io::Error::from_raw_os_error(EIO)),
            Fault::Full => Some(io::ErrorKind::StorageFull.into()),
            // Half of a write is done first; see `write`.
            Fault::Short if call == DiskCall::Write => None,
            Fault::Short => Some(io::Error::from_raw_os_error(EIO)),
            Fault::PowerCut => {
                self.has_power = false;
                Some(power_is_off())
            }
        }
    }

    /// Whether the next call is to fail.
    fn fails_next(&self) -> bool {
        !self.has_power || self.fault.is_some_and(|(call, _)| call == self.calls + 1)
    }

    fn is_short(&self) -> bool {
        self.fault == Some((self.calls, Fault::Short))
    }

    fn write(&mut self, node: NodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        let is_short = self.is_short();
        let done = if is_short { first_half(bytes, offset) } else { bytes };
        self.tree.file(node, |pages, time| pages.write(time, offset, done));
        if is_short { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    fn sync(&mut self, node: NodeId) {
        let began = self.tree.begin_sync();
        self.tree.end_sync(node, began);
    }
}

/// Half of a write, up to the end of a sector: no system ends one within a page of its cache.
fn first_half(bytes: &[u8], offset: u64) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(0);
    let half = start + bytes.len() / 2;
    let done = (half - half % SECTOR_BYTES).saturating_sub(start);
    bytes.get(..done).unwrap_or(&[])
}

const EIO: i32 = 5;

fn power_is_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the power is off")
}

#[derive(Debug)]
struct SimFolder {
    disk: SimDisk,
    node: NodeId,
    path: PathBuf,
}

impl SimFolder {
    fn call<T>(
        &self,
        call: DiskCall,
        name: &str,
        act: impl FnOnce(&mut SimState) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        self.disk.call(call, &self.path.join(name), act)
    }

    fn file(&self, node: NodeId, name: &str) -> Arc<dyn File> {
        let (disk, path) = (self.disk.clone(), self.path.join(name));
        Arc::new(SimFile { disk, node, path, holds_lock: AtomicBool::new(false) })
    }

    fn within(&self, node: NodeId, name: &str) -> Arc<dyn Folder> {
        Arc::new(Self { disk: self.disk.clone(), node, path: self.path.join(name) })
    }
}

impl Folder for SimFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn held_path(&self) -> Option<PathBuf> {
        None
    }

    fn id(&self) -> Result<FileId, StorageError> {
        Ok(id_of(self.node))
    }

    fn mode(&self) -> StoreMode {
        StoreMode::PRIVATE
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.call(DiskCall::List, "", |state| match state.tree.node(self.node) {
            Some(Node::Folder(names)) => Ok(names.keys().cloned().collect()),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        })
    }

    fn find(&self, name: &str, _access: Access) -> Result<Option<Arc<dyn File>>, StorageError> {
        self.call(DiskCall::Open, name, |state| match state.tree.find(self.node, name) {
            Some(node) if matches!(state.tree.node(node), Some(Node::File(_))) => {
                Ok(Some(self.file(node, name)))
            }
            Some(_) => Err(io::ErrorKind::IsADirectory.into()),
            None => Ok(None),
        })
    }

    fn create_to_become(&self, name: &str, later: &str) -> Result<Arc<dyn File>, StorageError> {
        self.call(DiskCall::Create, name, |state| {
            let node = match state.tree.find(self.node, name) {
                Some(node) => node,
                None => {
                    let file = Node::File(FilePages::default());
                    state.tree.create(self.node, name.to_owned(), file)
                }
            };
            if !state.tree.file(node, |pages, time| pages.truncate(time, 0)) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok(self.file(node, later))
        })
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let name = &*name.to_string_lossy();
        self.call(DiskCall::Open, name, |state| match state.tree.find(self.node, name) {
            Some(node) if matches!(state.tree.node(node), Some(Node::Folder(_))) => {
                Ok(Some(self.within(node, name)))
            }
            _ => Ok(None),
        })
    }

    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        self.folder(name)
    }

    fn create_folder(
        &self,
        name: &OsStr,
        _mode: StoreMode,
    ) -> Result<Arc<dyn Folder>, StorageError> {
        let name = &*name.to_string_lossy();
        self.call(DiskCall::Create, name, |state| {
            if state.tree.find(self.node, name).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let folder = Node::Folder(BTreeMap::new());
            let node = state.tree.create(self.node, name.to_owned(), folder);
            Ok(self.within(node, name))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.disk.call(DiskCall::Rename, &self.path.join(from), |state| {
            let from = state.tree.place(self.node, from);
            let to = state.tree.place(self.node, to);
            let (Some(from), Some(to)) = (from, to) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let nodes = [&from, &to].map(|(folder, name)| state.tree.find(*folder, name));
            if let [Some(node), Some(there)] = nodes
                && node == there
            {
                return Ok(());
            }
            let [node, there] = nodes.map(|node| node.map(|node| named(&state.tree, node)));
            check_rename(node, there)?;
            state.tree.rename(from, to);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.call(DiskCall::Remove, name, |state| {
            let found = state.tree.find(self.node, name);
            check_remove(found.map(|node| named(&state.tree, node)))?;
            state.tree.remove(self.node, name.to_owned());
            Ok(())
        })
    }

    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError> {
        let name = &*name.to_string_lossy();
        self.call(DiskCall::Remove, name, |state| {
            let found = state.tree.find(self.node, name);
            if check_remove_folder(found.map(|node| named(&state.tree, node)))? {
                state.tree.remove(self.node, name.to_owned());
            }
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.call(DiskCall::SyncFolder, "", |state| {
            let began = state.tree.begin_sync();
            state.tree.end_sync(self.node, began);
            Ok(())
        })
    }

    /// One that follows from the bytes: files with equal ones have equal stamps, whatever became of
    /// them.
    fn stamp(&self, name: &str) -> Result<Option<FileStamp>, StorageError> {
        self.call(DiskCall::Read, name, |state| {
            let node = state.tree.find(self.node, name).and_then(|node| state.tree.node(node));
            let Some(Node::File(pages)) = node else { return Ok(None) };
            let mut bytes = vec![0; to_usize(pages.len())];
            if !pages.read(0, &mut bytes) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // FNV-1a.
            let digest = bytes.iter().fold(0x811c_9dc5_u32, |digest, byte| {
                (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
            });
            Ok(Some(FileStamp { number: 0, bytes: pages.len(), changed_at: digest.into() }))
        })
    }

    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError> {
        let path = self.path.join(name);
        Ok(self.disk.state().tree.find_path(&path).map(id_of))
    }
}

fn id_of(node: NodeId) -> FileId {
    FileId { device: 0, number: to_u64(node) }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: NodeId,
    path: PathBuf,
    holds_lock: AtomicBool,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl SimFile {
    fn call<T>(
        &self,
        call: DiskCall,
        act: impl FnOnce(&mut SimState) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        self.disk.call(call, &self.path, act)
    }
}

impl File for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn id(&self) -> Result<FileId, StorageError> {
        Ok(id_of(self.node))
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        self.call(DiskCall::Read, |state| match state.tree.node(self.node) {
            Some(Node::File(pages)) => Ok(pages.len()),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        })
    }

    fn read_if_there(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError> {
        self.call(DiskCall::Read, |state| match state.tree.node(self.node) {
            Some(Node::File(pages)) => {
                let is_there = pages.read(offset, buffer);
                if let Some(half) = state.half_written.as_ref().filter(|_| self.disk.is_beside) {
                    half.put_over(self.node, buffer, offset);
                }
                Ok(is_there)
            }
            _ => Err(io::ErrorKind::IsADirectory.into()),
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        {
            // No system writes all of it in one go: who looks before the call sees half of it. It is not
            // in the file: what a power cut leaves is whole sectors.
            let mut state = self.disk.state();
            if !self.disk.is_beside && state.onlooker.is_some() && !state.fails_next() {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
                state.half_written = Some(HalfWritten { node: self.node, offset, bytes: half });
            }
        }
        self.call(DiskCall::Write, |state| state.write(self.node, bytes, offset))
    }

    fn set_len(&self, bytes: u64) -> Result<(), StorageError> {
        self.call(DiskCall::SetLen, |state| {
            state.tree.file(self.node, |pages, time| pages.truncate(time, bytes));
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        let synced = self.call(DiskCall::Sync, |state| {
            state.sync(self.node);
            Ok(())
        });
        if synced.is_err() {
            let mut state = self.disk.state();
            if state.has_power {
                state.tree.fail_sync(self.node);
            }
        }
        synced
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.disk.state();
        if !state.has_power {
            return Err(power_is_off());
        }
        let is_ours = state.locked.insert(self.node);
        self.holds_lock.fetch_or(is_ours, Ordering::AcqRel);
        Ok(is_ours)
    }

    fn is_locked(&self) -> io::Result<bool> {
        let holds_lock = self.holds_lock.load(Ordering::Acquire);
        Ok(!holds_lock && self.disk.state().locked.contains(&self.node))
    }

    fn unlock(&self) {
        if self.holds_lock.swap(false, Ordering::AcqRel) {
            self.disk.state().locked.remove(&self.node);
        }
    }
}

#[cfg(test)]
mod tests;
