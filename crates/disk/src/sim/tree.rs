//! Files and folders, as far as calls tell of them: what programs see, what is on the disk for sure,
//! and what may be.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Component, Path},
};

use super::pages::FilePages;

/// A file or folder, for as long as it exists under whatever name.
pub type NodeId = usize;

/// The folder that everything is in.
pub const ROOT: NodeId = 0;

/// A file or a folder.
#[derive(Clone, Debug)]
pub enum Node {
    /// A folder, with what programs see in it.
    Folder(BTreeMap<String, NodeId>),
    /// A file.
    File(FilePages),
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

/// Files and folders below [`ROOT`]. Every call takes one step of time.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    changes: Vec<NameChange>,
    /// When the last sync of each folder that has come back began.
    synced_folders: HashMap<NodeId, u64>,
    time: u64,
}

impl Default for Tree {
    /// An empty folder.
    fn default() -> Self {
        Self {
            nodes: vec![Node::Folder(BTreeMap::new())],
            changes: Vec::new(),
            synced_folders: HashMap::from([(ROOT, 1)]),
            time: 1,
        }
    }
}

impl Tree {
    /// Adds what is on the disk already, under a folder: for sure, its name too.
    pub fn add_durable(&mut self, folder: NodeId, name: String, node: Node) -> NodeId {
        let added = self.add(folder, name, node);
        self.synced_folders.insert(folder, self.time);
        self.synced_folders.insert(added, self.time);
        added
    }

    /// The steps so far.
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
    pub fn files(&self) -> impl Iterator<Item = &FilePages> {
        self.nodes.iter().filter_map(|node| match node {
            Node::File(pages) => Some(pages),
            Node::Folder(_) => None,
        })
    }

    /// What programs see under a name in a folder.
    #[must_use]
    pub fn find(&self, folder: NodeId, name: &str) -> Option<NodeId> {
        match self.nodes.get(folder) {
            Some(Node::Folder(names)) => names.get(name).copied(),
            _ => None,
        }
    }

    /// What programs see at a path from [`ROOT`].
    #[must_use]
    pub fn find_path(&self, path: &Path) -> Option<NodeId> {
        path.components().try_fold(ROOT, |folder, component| match component {
            Component::Normal(name) => self.find(folder, name.to_str()?),
            Component::RootDir | Component::CurDir => Some(folder),
            Component::ParentDir | Component::Prefix(_) => None,
        })
    }

    /// The folder that a path leads into, and the last name of it.
    #[must_use]
    pub fn place(&self, folder: NodeId, path: &Path) -> Option<(NodeId, String)> {
        let name = path.file_name()?.to_str()?;
        let mut above = path.parent().into_iter().flat_map(Path::components);
        let folder = above.try_fold(folder, |folder, component| {
            self.find(folder, component.as_os_str().to_str()?)
        })?;
        Some((folder, name.to_owned()))
    }

    /// Every change to names, in order.
    #[must_use]
    pub fn changes(&self) -> &[NameChange] {
        &self.changes
    }

    /// How many changes, from the first, are on the disk when the file system keeps their order:
    /// all up to the last one to a folder that was synced after it.
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

    /// Creates a file or folder.
    pub fn create(&mut self, folder: NodeId, name: String, node: Node) -> NodeId {
        self.time += 1;
        self.add(folder, name, node)
    }

    /// Gives what has a name in a folder another, in the same or another folder.
    pub fn rename(&mut self, from: (NodeId, String), to: (NodeId, String)) {
        self.time += 1;
        if let Some(node) = self.find(from.0, &from.1) {
            self.change(Some(from), Some((to.0, to.1, node)));
        }
    }

    /// Removes a name from a folder.
    pub fn remove(&mut self, folder: NodeId, name: String) {
        self.time += 1;
        self.change(Some((folder, name)), None);
    }

    /// Does something to a file at a new time; whether it is one.
    pub fn file(&mut self, node: NodeId, act: impl FnOnce(&mut FilePages, u64)) -> bool {
        self.time += 1;
        match self.nodes.get_mut(node) {
            Some(Node::File(pages)) => {
                act(pages, self.time);
                true
            }
            _ => false,
        }
    }

    /// A sync begins; when.
    pub fn begin_sync(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    /// A sync that began at a time has come back without an error.
    pub fn end_sync(&mut self, node: NodeId, began: u64) {
        self.time += 1;
        match self.nodes.get_mut(node) {
            Some(Node::File(pages)) => pages.sync(began),
            Some(Node::Folder(_)) => {
                let synced = self.synced_folders.entry(node).or_default();
                *synced = began.max(*synced);
            }
            None => {}
        }
    }

    /// A sync has failed: what is not on the disk counts as clean from now on.
    pub fn fail_sync(&mut self, node: NodeId) {
        self.file(node, |pages, time| pages.fail_sync(time));
    }

    fn add(&mut self, folder: NodeId, name: String, node: Node) -> NodeId {
        self.nodes.push(node);
        let added = self.nodes.len() - 1;
        self.change(None, Some((folder, name, added)));
        added
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
}
