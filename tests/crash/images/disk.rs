//! A file system, as far as a recording tells of it: what programs see, what is on the disk for sure,
//! and what may be.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::{entry::Entry, images::content::Content};

/// A file or folder, for as long as it exists under whatever name.
pub type NodeId = usize;

/// The folder that was recorded.
pub const ROOT: NodeId = 0;

/// A file or a folder.
#[derive(Clone, Debug)]
pub enum Node {
    /// A folder, with what programs see in it.
    Folder(BTreeMap<String, NodeId>),
    /// A file.
    File(Content),
}

/// A change to the names in folders.
#[derive(Clone, Debug)]
pub struct NameChange {
    /// When.
    pub time: u64,
    /// A name that is gone: the folder and the name in it.
    pub removed: Option<(NodeId, String)>,
    /// A name that is there: the folder, the name in it, and what it names.
    pub added: Option<(NodeId, String, NodeId)>,
}

impl NameChange {
    /// The folders whose names it changes.
    pub fn folders(&self) -> impl Iterator<Item = NodeId> {
        let removed = self.removed.as_ref().map(|(folder, _)| *folder);
        let added = self.added.as_ref().map(|(folder, _, _)| *folder);
        removed.into_iter().chain(added.filter(|folder| Some(*folder) != removed))
    }
}

/// A recording that is not one of a file system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording speaks of {0}, of which it has said nothing before")]
pub struct Unknown(String);

/// A file system.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    /// The newest file with each inode number.
    inodes: HashMap<u64, NodeId>,
    changes: Vec<NameChange>,
    /// When the last sync of each folder that has come back began.
    synced_folders: HashMap<NodeId, u64>,
    /// When each sync that is under way began.
    syncs: HashMap<u64, u64>,
    /// The number of entries so far.
    time: u64,
}

impl Disk {
    /// The file system that a folder holds; all of it is on the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_folder(root: &Path) -> io::Result<Self> {
        let mut disk = Self {
            nodes: vec![Node::Folder(BTreeMap::new())],
            inodes: HashMap::from([(fs::metadata(root)?.ino(), ROOT)]),
            changes: Vec::new(),
            synced_folders: HashMap::new(),
            syncs: HashMap::new(),
            time: 1,
        };
        disk.read_folder(root, ROOT)?;
        disk.synced_folders = (0..disk.nodes.len()).map(|node| (node, 1)).collect();
        Ok(disk)
    }

    fn read_folder(&mut self, path: &Path, folder: NodeId) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let found = entry.metadata()?;
            let node = if found.is_dir() {
                Node::Folder(BTreeMap::new())
            } else {
                Node::File(Content::durable(&fs::read(entry.path())?))
            };
            let node = self.add_node(found.ino(), node);
            self.change(None, Some((folder, entry.file_name().to_string_lossy().into(), node)));
            if found.is_dir() {
                self.read_folder(&entry.path(), node)?;
            }
        }
        Ok(())
    }

    /// The number of entries so far.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// A file or folder.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(node)
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &Content> {
        self.nodes.iter().filter_map(|node| match node {
            Node::File(content) => Some(content),
            Node::Folder(_) => None,
        })
    }

    /// Every change to names, in order.
    #[must_use]
    pub fn changes(&self) -> &[NameChange] {
        &self.changes
    }

    /// How many changes, from the first, are on the disk when the file system keeps their order: all
    /// up to the last one to a folder that was synced behind it.
    #[must_use]
    pub fn durable_changes(&self) -> usize {
        let is_durable = |change: &NameChange| {
            change.folders().any(|folder| self.is_synced(folder, change.time))
        };
        self.changes.iter().rposition(is_durable).map_or(0, |last| last + 1)
    }

    /// Whether the names in a folder as of a time are on the disk, whatever is of others.
    #[must_use]
    pub fn is_synced(&self, folder: NodeId, time: u64) -> bool {
        self.synced_folders.get(&folder).is_some_and(|synced| *synced >= time)
    }

    /// Takes what a process did.
    ///
    /// # Errors
    /// [`Unknown`] when it was done to something that has not been created.
    pub fn take(&mut self, entry: &Entry) -> Result<(), Unknown> {
        self.time += 1;
        let time = self.time;
        match entry {
            Entry::Create { file, path } => {
                self.create(*file, path, Node::File(Content::default()))
            }
            Entry::CreateFolder { file, path } => {
                self.create(*file, path, Node::Folder(BTreeMap::new()))
            }
            Entry::Write { file, offset, bytes } => {
                self.content(*file, |content| content.write(time, *offset, bytes))
            }
            Entry::Truncate { file, len } => {
                self.content(*file, |content| content.truncate(time, *len))
            }
            Entry::Grow { file, len } => self.content(*file, |content| content.grow(time, *len)),
            Entry::Rename { from, to } => self.rename(from, to),
            Entry::Remove { path } => {
                let removed = self.find_parent(path)?;
                self.change(Some(removed), None);
                Ok(())
            }
            Entry::SyncBegins { sync, .. } => {
                self.syncs.insert(*sync, time);
                Ok(())
            }
            Entry::SyncEnds { file, sync } => self.sync(*file, *sync),
            Entry::Fault { file, call, .. } if call == "sync" => self.fail_sync(*file),
            Entry::Fault { .. } | Entry::SyncRange { .. } | Entry::Mark { .. } => Ok(()),
        }
    }

    fn create(&mut self, inode: u64, path: &str, node: Node) -> Result<(), Unknown> {
        let (folder, name) = self.find_parent(path)?;
        let node = self.add_node(inode, node);
        self.change(None, Some((folder, name, node)));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Unknown> {
        let removed = self.find_parent(from)?;
        let node = self.find(from)?;
        let (folder, name) = self.find_parent(to)?;
        self.change(Some(removed), Some((folder, name, node)));
        Ok(())
    }

    fn content(&mut self, inode: u64, act: impl FnOnce(&mut Content)) -> Result<(), Unknown> {
        let node = self.inodes.get(&inode).and_then(|node| self.nodes.get_mut(*node));
        match node {
            Some(Node::File(content)) => act(content),
            _ => return Err(Unknown(format!("the file with inode {inode}"))),
        }
        Ok(())
    }

    fn sync(&mut self, inode: u64, sync: u64) -> Result<(), Unknown> {
        let unknown = || Unknown(format!("the sync of inode {inode}"));
        let began = self.syncs.remove(&sync).ok_or_else(unknown)?;
        let node = *self.inodes.get(&inode).ok_or_else(unknown)?;
        match self.nodes.get_mut(node) {
            Some(Node::File(content)) => content.sync(began),
            Some(Node::Folder(_)) => {
                let synced = self.synced_folders.entry(node).or_default();
                *synced = began.max(*synced);
            }
            None => return Err(unknown()),
        }
        Ok(())
    }

    fn fail_sync(&mut self, inode: u64) -> Result<(), Unknown> {
        let time = self.time;
        let is_file = |node: &NodeId| matches!(self.nodes.get(*node), Some(Node::File(_)));
        if self.inodes.get(&inode).is_none_or(is_file) {
            return self.content(inode, |content| content.fail_sync(time));
        }
        Ok(())
    }

    fn add_node(&mut self, inode: u64, node: Node) -> NodeId {
        self.nodes.push(node);
        self.inodes.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn change(
        &mut self,
        removed: Option<(NodeId, String)>,
        added: Option<(NodeId, String, NodeId)>,
    ) {
        if let Some((folder, name)) = &removed
            && let Some(Node::Folder(names)) = self.nodes.get_mut(*folder)
        {
            names.remove(name);
        }
        if let Some((folder, name, node)) = &added
            && let Some(Node::Folder(names)) = self.nodes.get_mut(*folder)
        {
            names.insert(name.clone(), *node);
        }
        self.changes.push(NameChange { time: self.time, removed, added });
    }

    /// What programs see at a path.
    fn find(&self, path: &str) -> Result<NodeId, Unknown> {
        let names = path.split('/').filter(|name| !name.is_empty());
        let found = names.into_iter().try_fold(ROOT, |folder, name| match self.nodes.get(folder) {
            Some(Node::Folder(names)) => names.get(name).copied(),
            _ => None,
        });
        found.ok_or_else(|| Unknown(path.to_owned()))
    }

    /// The folder that a path is in, and its name there.
    fn find_parent(&self, path: &str) -> Result<(NodeId, String), Unknown> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find(folder)?, name.to_owned()))
    }
}
