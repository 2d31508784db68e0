//! A simulated disk that does what a recording tells of.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use spacefold_disk::sim::{FilePages, Image, Kept, Node, NodeId, PAGE_BYTES, ROOT, Tree, image};

use crate::entry::Entry;

/// A recording that is not one of a file system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording speaks of {0}, of which it has said nothing before")]
pub struct Unknown(String);

/// A file system, as far as a recording tells of it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    tree: Tree,
    /// The newest file with each inode number.
    inodes: HashMap<u64, NodeId>,
    /// When each sync that is under way began.
    syncs: HashMap<u64, u64>,
}

impl Disk {
    /// The file system that a folder holds; all of it is on the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_folder(root: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        disk.inodes.insert(fs::metadata(root)?.ino(), ROOT);
        disk.read_folder(root, ROOT)?;
        Ok(disk)
    }

    fn read_folder(&mut self, path: &Path, folder: NodeId) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let found = entry.metadata()?;
            let node = if found.is_dir() {
                Node::Folder(Default::default())
            } else {
                Node::File(FilePages::durable(&fs::read(entry.path())?))
            };
            let name = entry.file_name().to_string_lossy().into();
            let node = self.tree.add_durable(folder, name, node);
            self.inodes.insert(found.ino(), node);
            if found.is_dir() {
                self.read_folder(&entry.path(), node)?;
            }
        }
        Ok(())
    }

    /// Takes what a process did.
    ///
    /// # Errors
    /// [`Unknown`] when it was done to something that has not been created.
    pub fn take(&mut self, entry: &Entry) -> Result<(), Unknown> {
        match entry {
            Entry::Create { file, path } => {
                self.create(*file, path, Node::File(FilePages::default()))
            }
            Entry::CreateFolder { file, path } => {
                self.create(*file, path, Node::Folder(Default::default()))
            }
            Entry::Write { file, offset, bytes } => {
                self.file(*file, |pages, time| pages.write(time, *offset, bytes))
            }
            Entry::Truncate { file, len } => {
                self.file(*file, |pages, time| pages.truncate(time, *len))
            }
            Entry::Grow { file, len } => self.file(*file, |pages, time| pages.grow(time, *len)),
            Entry::Rename { from, to } => {
                self.find(from)?;
                let from = self.find_parent(from)?;
                let to = self.find_parent(to)?;
                self.tree.rename(from, to);
                Ok(())
            }
            Entry::Remove { path } => {
                let (folder, name) = self.find_parent(path)?;
                self.tree.remove(folder, name);
                Ok(())
            }
            Entry::SyncBegins { sync, .. } => {
                self.syncs.insert(*sync, self.tree.begin_sync());
                Ok(())
            }
            Entry::SyncEnds { file, sync } => self.sync(*file, *sync),
            Entry::Fault { file, call, .. } if call == "sync" => {
                let is_folder = |node| matches!(self.tree.node(node), Some(Node::Folder(_)));
                match self.inodes.get(file) {
                    Some(node) if is_folder(*node) => Ok(()),
                    _ => self.file(*file, FilePages::fail_sync),
                }
            }
            Entry::Fault { .. } | Entry::SyncRange { .. } | Entry::Mark { .. } => Ok(()),
        }
    }

    fn create(&mut self, inode: u64, path: &str, node: Node) -> Result<(), Unknown> {
        let (folder, name) = self.find_parent(path)?;
        let node = self.tree.create(folder, name, node);
        self.inodes.insert(inode, node);
        Ok(())
    }

    fn file(&mut self, inode: u64, act: impl FnOnce(&mut FilePages, u64)) -> Result<(), Unknown> {
        let node = self.inodes.get(&inode).copied();
        match node.map(|node| self.tree.file(node, act)) {
            Some(true) => Ok(()),
            _ => Err(Unknown(format!("the file with inode {inode}"))),
        }
    }

    fn sync(&mut self, inode: u64, sync: u64) -> Result<(), Unknown> {
        let unknown = || Unknown(format!("the sync of inode {inode}"));
        let began = self.syncs.remove(&sync).ok_or_else(unknown)?;
        let node = *self.inodes.get(&inode).ok_or_else(unknown)?;
        self.tree.end_sync(node, began);
        Ok(())
    }

    /// What programs see at a path.
    fn find(&self, path: &str) -> Result<NodeId, Unknown> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        let found = names.try_fold(ROOT, |folder, name| self.tree.find(folder, name));
        found.ok_or_else(|| Unknown(path.to_owned()))
    }

    /// The folder that a path is in, and its name there.
    fn find_parent(&self, path: &str) -> Result<(NodeId, String), Unknown> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find(folder)?, name.to_owned()))
    }
}

/// Writes an image of what may be on the disk into a folder, which must be empty.
///
/// # Errors
/// When it cannot be written.
pub fn write_image(
    disk: &Disk,
    kept: Kept,
    rng: &mut fastrand::Rng,
    folder: &Path,
) -> io::Result<()> {
    write_folder(image(&disk.tree, kept, rng), folder)
}

fn write_folder(
    images: std::collections::BTreeMap<String, Image>,
    folder: &Path,
) -> io::Result<()> {
    for (name, image) in images {
        let path = folder.join(name);
        match image {
            Image::Folder(within) => {
                fs::create_dir(&path)?;
                write_folder(within, &path)?;
            }
            Image::File { bytes, pages } => write_file(&path, bytes, &pages)?,
        }
    }
    Ok(())
}

/// Writes a file, runs of neighbouring pages at once.
fn write_file(
    path: &Path,
    bytes: u64,
    pages: &[(u64, std::sync::Arc<[u8; PAGE_BYTES]>)],
) -> io::Result<()> {
    let file = fs::File::create(path)?;
    for run in pages.chunk_by(|(one, _), (two, _)| one + 1 == *two) {
        let content: Vec<u8> = run.iter().flat_map(|(_, page)| page.iter().copied()).collect();
        let start = run.first().map_or(0, |(number, _)| number * PAGE_BYTES as u64);
        file.write_all_at(&content, start)?;
    }
    file.set_len(bytes)
}
