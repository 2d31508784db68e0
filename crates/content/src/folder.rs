//! The folder of a content store: where its files are, and who may be in it.

mod access;
mod lock;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use spacefold_event_core::{StorageError, StorageErrorKind, StoreMode};

pub(crate) use self::lock::FolderLock;
use crate::error::Doing;

/// What the name of a file ends in until it is complete.
const UNFINISHED: &str = "unfinished";
/// The name of the manifest.
const MANIFEST: &str = "MANIFEST";

/// The paths of a content store.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// What is made in the folder gets this mode: that of the folder itself, once it is there.
    mode: StoreMode,
}

impl Folder {
    /// A folder that gets this mode when it is made; one that is there has its own.
    pub(crate) fn new(root: &Path, mode: StoreMode) -> Self {
        Self { root: root.to_owned(), mode: access::mode_of(root).unwrap_or(mode) }
    }

    /// The folder, to be made with this mode.
    pub(crate) fn made_with(self, mode: StoreMode) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join(MANIFEST)
    }

    pub(crate) fn pack(&self, number: u32) -> PathBuf {
        self.root.join(format!("{number:010}.pack"))
    }

    /// Whether a store was ever made here.
    pub(crate) fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// The numbers of the packs whose files are here, ascending.
    pub(crate) fn packs(&self) -> Result<Vec<u32>, StorageError> {
        let mut numbers = Vec::new();
        for name in self.names()? {
            numbers.extend(pack_number(&name));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes what was being written when a process stopped.
    pub(crate) fn remove_unfinished(&self) -> Result<(), StorageError> {
        let is_ours = |name: &&String| {
            let whole = name.strip_suffix(UNFINISHED).and_then(|name| name.strip_suffix('.'));
            whole.is_some_and(|name| name.starts_with(MANIFEST) || pack_number(name).is_some())
        };
        for name in self.names()?.iter().filter(is_ours) {
            let path = self.root.join(name);
            match fs::remove_file(&path) {
                // It is in nobody's way.
                Err(error) if StorageErrorKind::of_io(&error).forbids_writing_only() => {}
                removed => removed.doing(|| format!("removing {}", path.display()))?,
            }
        }
        Ok(())
    }

    /// Copies the manifest beside, under a name of its own, before another takes its place.
    pub(crate) fn set_manifest_aside(&self) -> Result<(), StorageError> {
        let from = self.manifest();
        let bytes = fs::read(&from).doing(|| format!("reading {}", from.display()))?;
        let aside = |number: u32| self.root.join(format!("{MANIFEST}.set-aside-{number}"));
        let free = (0..).map(aside).find(|path| !path.exists());
        let mut file = NewFile::create(self, free.unwrap_or_else(|| aside(u32::MAX)))?;
        if let Err(error) = file.write_all(&bytes) {
            file.discard();
            return Err(error);
        }
        file.finish()?;
        self.sync()
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        let doing = || format!("listing {}", self.root.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).doing(doing)? {
            names.extend(entry.doing(doing)?.file_name().into_string());
        }
        Ok(names)
    }

    /// Makes the folder, durably.
    pub(crate) fn create(&self) -> Result<(), StorageError> {
        if self.root.is_dir() {
            return Ok(());
        }
        access::create_folder(&self.root, self.mode)
            .doing(|| format!("creating {}", self.root.display()))?;
        match self.root.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
            _ => sync_folder(Path::new(".")),
        }
    }

    /// Makes creations, renames and removals in the folder durable.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        sync_folder(&self.root)
    }
}

/// The number in the name of a pack.
fn pack_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".pack").filter(|stem| stem.len() == 10);
    let is_number = |stem: &&str| stem.bytes().all(|byte| byte.is_ascii_digit());
    digits.filter(is_number)?.parse().ok()
}

/// A file that is complete, or not there: written under another name, synced, then renamed.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) file: File,
    unfinished: PathBuf,
    path: PathBuf,
}

impl NewFile {
    pub(crate) fn create(folder: &Folder, path: PathBuf) -> Result<Self, StorageError> {
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".");
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = access::open_new(&mut options, &unfinished, folder.mode)
            .doing(|| format!("creating {}", unfinished.display()))?;
        Ok(Self { file, unfinished, path })
    }

    /// Syncs the file and gives it its name; the folder is for the caller to sync.
    pub(crate) fn finish(self) -> Result<File, StorageError> {
        let done = self
            .file
            .sync_all()
            .doing(|| format!("syncing {}", self.unfinished.display()))
            .and_then(|()| {
                fs::rename(&self.unfinished, &self.path)
                    .doing(|| format!("renaming {}", self.unfinished.display()))
            });
        if let Err(error) = done {
            self.discard();
            return Err(error);
        }
        Ok(self.file)
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(bytes).doing(|| format!("writing {}", self.unfinished.display()))
    }

    /// Removes the file again; what stays is removed by the next opening.
    pub(crate) fn discard(&self) {
        let _ = fs::remove_file(&self.unfinished);
    }
}

fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .doing(|| format!("syncing the folder {}", folder.display()))
}
