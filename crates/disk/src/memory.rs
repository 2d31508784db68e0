//! A disk in memory, for what is to be gone with the process.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use spacefold_event_core::{
    StorageError, StoreMode,
    bytes::{to_u64, to_usize},
    lock::{Lock, SharedLock},
};

use crate::{
    disk::{Access, Disk, File, FileId, FileStamp, Folder, Found},
    doing::Doing,
    naming::{Named, check_remove, check_remove_folder, check_rename},
};

/// A disk in memory: what is on it is gone with the last that holds any of it. Syncs do nothing,
/// since nothing outlives the process. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    root: Arc<MemoryNode>,
}

/// A folder or a file.
struct MemoryNode {
    number: u64,
    content: NodeContent,
}

enum NodeContent {
    Folder(Lock<BTreeMap<String, Arc<MemoryNode>>>),
    File { bytes: SharedLock<Vec<u8>>, is_locked: AtomicBool },
}

impl MemoryNode {
    fn new(content: NodeContent) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self { number: NUMBERS.fetch_add(1, Ordering::Relaxed), content })
    }

    fn folder() -> Arc<Self> {
        Self::new(NodeContent::Folder(Lock::default()))
    }

    fn file() -> Arc<Self> {
        Self::new(NodeContent::File {
            bytes: SharedLock::default(),
            is_locked: AtomicBool::new(false),
        })
    }

    const fn id(&self) -> FileId {
        FileId { device: 0, number: self.number }
    }

    /// What is in a folder.
    fn names(&self) -> Option<MutexGuard<'_, BTreeMap<String, Arc<Self>>>> {
        match &self.content {
            NodeContent::Folder(names) => Some(names.lock()),
            NodeContent::File { .. } => None,
        }
    }

    fn child(&self, name: &str) -> Option<Arc<Self>> {
        self.names()?.get(name).cloned()
    }

    fn named(&self) -> Named {
        match self.names() {
            Some(names) => Named::Folder { is_empty: names.is_empty() },
            None => Named::File,
        }
    }

    /// What a path leads to from here.
    fn find(self: &Arc<Self>, path: &Path) -> Option<Arc<Self>> {
        path.components().try_fold(Arc::clone(self), |node, part| match part {
            std::path::Component::Normal(name) => node.child(name.to_str()?),
            _ => Some(node),
        })
    }
}

impl Default for MemoryNode {
    fn default() -> Self {
        Self { number: 0, content: NodeContent::Folder(Lock::default()) }
    }
}

impl fmt::Debug for MemoryNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("number", &self.number).finish_non_exhaustive()
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder that everything is in.
    #[must_use]
    pub fn root(&self) -> Arc<dyn Folder> {
        MemoryFolder::shared(&self.root, Arc::clone(&self.root), PathBuf::from("/"))
    }
}

impl Disk for MemoryDisk {
    fn look(&self, path: &Path) -> Result<Option<Found>, StorageError> {
        Ok(self.root.find(path).map(|node| match node.content {
            NodeContent::Folder(_) => Found::Folder,
            NodeContent::File { .. } => Found::File,
        }))
    }

    fn create_folders(&self, path: &Path) -> Result<(), StorageError> {
        let mut node = Arc::clone(&self.root);
        for name in path.iter().filter_map(OsStr::to_str).filter(|name| *name != "/") {
            let made = node.names().map(|mut names| {
                Arc::clone(names.entry(name.to_owned()).or_insert_with(MemoryNode::folder))
            });
            node = made.ok_or(io::ErrorKind::NotADirectory.into()).doing(|| creating(path))?;
        }
        Ok(())
    }

    fn folder(&self, path: &Path) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let found = self.root.find(path).filter(|node| node.names().is_some());
        Ok(found.map(|node| MemoryFolder::shared(&self.root, node, path.to_owned())))
    }
}

#[derive(Debug)]
struct MemoryFolder {
    /// The folder that everything on the disk is in.
    root: Arc<MemoryNode>,
    node: Arc<MemoryNode>,
    path: PathBuf,
}

impl MemoryFolder {
    fn shared(root: &Arc<MemoryNode>, node: Arc<MemoryNode>, path: PathBuf) -> Arc<dyn Folder> {
        Arc::new(Self { root: Arc::clone(root), node, path })
    }

    fn children(&self) -> Result<MutexGuard<'_, BTreeMap<String, Arc<MemoryNode>>>, StorageError> {
        let is_none = || io::Error::from(io::ErrorKind::NotADirectory);
        self.node.names().ok_or_else(is_none).doing(|| format!("reading {}", self.path.display()))
    }

    fn file(&self, name: &str, node: Arc<MemoryNode>) -> Arc<dyn File> {
        Arc::new(MemoryFile {
            node,
            path: self.path.join(name),
            holds_lock: AtomicBool::new(false),
        })
    }

    /// The folder that the last part of a path is in, and that part.
    fn parent_of<'p>(&self, path: &'p Path) -> Result<(Arc<MemoryNode>, &'p str), StorageError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let folder = self.node.find(parent).filter(|node| node.names().is_some());
        let name = path.file_name().and_then(OsStr::to_str);
        folder
            .zip(name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
            .doing(|| format!("looking for {}", self.path.join(path).display()))
    }
}

impl Folder for MemoryFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn held_path(&self) -> Option<PathBuf> {
        None
    }

    fn id(&self) -> Result<FileId, StorageError> {
        Ok(self.node.id())
    }

    fn mode(&self) -> StoreMode {
        StoreMode::PRIVATE
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        Ok(self.children()?.keys().cloned().collect())
    }

    fn find(&self, name: &str, _: Access) -> Result<Option<Arc<dyn File>>, StorageError> {
        match self.children()?.get(name) {
            None => Ok(None),
            Some(node) if node.named() == Named::File => {
                Ok(Some(self.file(name, Arc::clone(node))))
            }
            Some(_) => Err(io::ErrorKind::IsADirectory.into())
                .doing(|| format!("opening {}", self.path.join(name).display())),
        }
    }

    fn create_to_become(&self, name: &str, later: &str) -> Result<Arc<dyn File>, StorageError> {
        let mut children = self.children()?;
        let node = children.entry(name.to_owned()).or_insert_with(MemoryNode::file);
        match &node.content {
            NodeContent::File { bytes, .. } => {
                bytes.write().clear();
                Ok(self.file(later, Arc::clone(node)))
            }
            NodeContent::Folder(_) => {
                Err(io::ErrorKind::IsADirectory.into()).doing(|| creating(&self.path.join(name)))
            }
        }
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        let found = name.to_str().and_then(|name| self.node.child(name));
        let found = found.filter(|node| node.names().is_some());
        Ok(found.map(|node| Self::shared(&self.root, node, self.path.join(name))))
    }

    fn part(&self, name: &OsStr) -> Result<Option<Arc<dyn Folder>>, StorageError> {
        self.folder(name)
    }

    fn create_folder(&self, name: &OsStr, _: StoreMode) -> Result<Arc<dyn Folder>, StorageError> {
        let path = self.path.join(name);
        let mut children = self.children()?;
        let key = name.to_string_lossy().into_owned();
        if children.contains_key(&key) {
            return Err(io::ErrorKind::AlreadyExists.into()).doing(|| creating(&path));
        }
        let node = MemoryNode::folder();
        children.insert(key, Arc::clone(&node));
        Ok(Self::shared(&self.root, node, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        let ((from_folder, from_name), (to_folder, to_name)) =
            (self.parent_of(from)?, self.parent_of(to)?);
        let doing = || format!("renaming {}", self.path.join(from).display());
        let (node, there) = (from_folder.child(from_name), to_folder.child(to_name));
        let is_same =
            |node: &Arc<MemoryNode>| there.as_ref().is_some_and(|to| Arc::ptr_eq(to, node));
        if node.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        let [from_named, to_named] = [&node, &there].map(|node| node.as_ref().map(|n| n.named()));
        check_rename(from_named, to_named).doing(doing)?;
        from_folder.names().and_then(|mut names| names.remove(from_name));
        if let Some((mut names, node)) = to_folder.names().zip(node) {
            names.insert(to_name.to_owned(), node);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let mut children = self.children()?;
        check_remove(children.get(name).map(|node| node.named()))
            .doing(|| format!("removing {}", self.path.join(name).display()))?;
        children.remove(name);
        Ok(())
    }

    fn remove_folder(&self, name: &OsStr) -> Result<(), StorageError> {
        let key = &*name.to_string_lossy();
        let mut children = self.children()?;
        check_remove_folder(children.get(key).map(|node| node.named()))
            .doing(|| format!("removing {}", self.path.join(name).display()))?;
        children.remove(key);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// None: nothing in memory is so large that reading it should be saved.
    fn stamp(&self, _: &str) -> Result<Option<FileStamp>, StorageError> {
        Ok(None)
    }

    fn id_by_path(&self, name: &str) -> Result<Option<FileId>, StorageError> {
        Ok(self.root.find(&self.path.join(name)).map(|node| node.id()))
    }
}

#[derive(Debug)]
struct MemoryFile {
    node: Arc<MemoryNode>,
    path: PathBuf,
    holds_lock: AtomicBool,
}

impl MemoryFile {
    fn with_bytes<T>(&self, act: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match &self.node.content {
            NodeContent::File { bytes, .. } => Some(act(&bytes.read())),
            NodeContent::Folder(_) => None,
        }
    }

    fn change(&self, act: impl FnOnce(&mut Vec<u8>)) {
        if let NodeContent::File { bytes, .. } = &self.node.content {
            act(&mut bytes.write());
        }
    }
}

impl File for MemoryFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn id(&self) -> Result<FileId, StorageError> {
        Ok(self.node.id())
    }

    fn bytes(&self) -> Result<u64, StorageError> {
        Ok(self.with_bytes(|bytes| to_u64(bytes.len())).unwrap_or(0))
    }

    fn read_if_there(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError> {
        let read = self.with_bytes(|bytes| {
            let from = bytes.get(to_usize(offset)..)?.get(..buffer.len())?;
            buffer.copy_from_slice(from);
            Some(())
        });
        Ok(read.flatten().is_some())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        let (begin, end) = (to_usize(offset), to_usize(offset) + bytes.len());
        self.change(|held| {
            if held.len() < end && !bytes.is_empty() {
                held.resize(end, 0);
            }
            held.get_mut(begin..end).unwrap_or_default().copy_from_slice(bytes);
        });
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> Result<(), StorageError> {
        self.change(|held| held.resize(to_usize(bytes), 0));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let NodeContent::File { is_locked, .. } = &self.node.content else { return Ok(false) };
        let is_ours = !is_locked.swap(true, Ordering::AcqRel);
        if is_ours {
            self.holds_lock.store(true, Ordering::Release);
        }
        Ok(is_ours)
    }

    fn is_locked(&self) -> io::Result<bool> {
        let NodeContent::File { is_locked, .. } = &self.node.content else { return Ok(false) };
        Ok(!self.holds_lock.load(Ordering::Acquire) && is_locked.load(Ordering::Acquire))
    }

    fn unlock(&self) {
        if let NodeContent::File { is_locked, .. } = &self.node.content
            && self.holds_lock.swap(false, Ordering::AcqRel)
        {
            is_locked.store(false, Ordering::Release);
        }
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.unlock();
    }
}

fn creating(path: &Path) -> String {
    format!("creating {}", path.display())
}
