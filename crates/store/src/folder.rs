//! The folder of a store: where everything is, who may be in it, and how it comes to be.

pub(crate) mod access;
pub(crate) mod aside;
mod lock;
pub(crate) mod watch;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process,
};

use spacefold_event_core::{Position, Schemas, StorageError, StoreMode, Timestamp};

use self::access::{create_file, create_folder};

use crate::{
    error::{Doing, OpenError},
    head::{Head, file::HeadFile},
};

/// The paths of a store.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// What is made in the folder gets this mode: that of the folder itself.
    mode: StoreMode,
    /// What its records are written and read by.
    schemas: &'static Schemas,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        let mode = access::mode_of(root);
        Self { root: root.to_owned(), mode, schemas: Schemas::today() }
    }

    /// The folder of a store whose records are written and read by these schemas.
    pub(crate) fn with_schemas(self, schemas: &'static Schemas) -> Self {
        Self { schemas, ..self }
    }

    pub(crate) const fn schemas(&self) -> &'static Schemas {
        self.schemas
    }

    /// Who may read and change what is made here.
    pub(crate) fn mode(&self) -> StoreMode {
        self.mode
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.root.join("HEAD")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn journal_file(&self, slot: u64) -> PathBuf {
        self.journal().join(format!("{slot:04}.journal"))
    }

    /// The files of the journal's folder, ascending.
    pub(crate) fn journal_slots(&self) -> Result<Vec<u64>, StorageError> {
        numbered(&self.journal(), 4, "journal")
    }

    pub(crate) fn sealed(&self) -> PathBuf {
        self.root.join("sealed")
    }

    pub(crate) fn sealed_file(&self, first: Position) -> PathBuf {
        self.sealed().join(format!("{:020}.sealed", first.get()))
    }

    /// The first position of each sealed file, ascending.
    pub(crate) fn sealed_firsts(&self) -> Result<Vec<Position>, StorageError> {
        let numbers = numbered(&self.sealed(), 20, "sealed")?;
        Ok(numbers.into_iter().map(Position::new).collect())
    }

    pub(crate) fn sled(&self) -> PathBuf {
        self.root.join("sled")
    }

    /// Where a copy of sled's is made, to take the place of the one that is there.
    pub(crate) fn unfinished_sled(&self) -> PathBuf {
        self.root.join("sled.unfinished")
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Whether a store is there; an absent or empty folder holds none.
    ///
    /// # Errors
    /// [`OpenError::NotAStore`] when something else is there.
    pub(crate) fn holds_a_store(&self) -> Result<bool, OpenError> {
        let not =
            |what: &str| OpenError::NotAStore { path: self.root.clone(), what: what.to_owned() };
        match fs::metadata(&self.root) {
            Ok(found) if !found.is_dir() => return Err(not("it is a file")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What would be made would not take the place of the link.
                let is_link = fs::symlink_metadata(&self.root).is_ok();
                return if is_link {
                    Err(not("it is a link that leads nowhere"))
                } else {
                    Ok(false)
                };
            }
            Err(error) => {
                return Err(StorageError::new(
                    format!("looking at {}", self.root.display()),
                    error,
                )
                .into());
            }
        }
        if self.head().exists() {
            return Ok(true);
        }
        let mut entries =
            fs::read_dir(&self.root).doing(|| format!("listing {}", self.root.display()))?;
        if entries.next().is_none() { Ok(false) } else { Err(not("it has no HEAD file")) }
    }

    /// Makes an empty store: complete in a folder beside, synced, then renamed into place, so that
    /// whatever happens a store is absent or complete.
    pub(crate) fn create(&self, head: &Head, mode: StoreMode) -> Result<Self, StorageError> {
        let parent = parent_of(&self.root);
        create_folders(&parent)?;
        let name = self.root.file_name().and_then(|name| name.to_str()).unwrap_or("store");
        let beside = parent.join(format!(".{name}.new-{}", process::id()));
        let beside = Self { root: beside, mode, ..*self };
        let made = self.create_by_way_of(&beside, head);
        if made.is_err() {
            // Nothing is left of what did not become a store; what cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(&beside.root);
        }
        made?;
        sync_folder(&parent)?;
        Ok(Self { mode, ..self.clone() })
    }

    fn create_by_way_of(&self, beside: &Self, head: &Head) -> Result<(), StorageError> {
        let mode = beside.mode;
        if beside.root.exists() {
            fs::remove_dir_all(&beside.root)
                .doing(|| format!("removing {}", beside.root.display()))?;
        }
        for folder in [beside.root.clone(), beside.journal(), beside.sealed()] {
            create_folder(&folder, mode).doing(|| format!("creating {}", folder.display()))?;
        }
        create_file(&beside.root.join("LOCK"), mode)
            .doing(|| format!("creating a lock in {}", beside.root.display()))?;
        HeadFile::create(&beside.head(), head, mode)?;
        for folder in [beside.journal(), beside.sealed(), beside.root.clone()] {
            sync_folder(&folder)?;
        }
        fs::rename(&beside.root, &self.root)
            .doing(|| format!("renaming {} to {}", beside.root.display(), self.root.display()))
    }

    /// Makes the names of the store's files durable, and its own: a process that was killed after
    /// it created or renamed one may not have come to it, and what is done next rests on them.
    pub(crate) fn sync_names(&self) -> Result<(), StorageError> {
        for folder in [&self.journal(), &self.sealed(), &self.root] {
            sync_folder(folder)?;
        }
        sync_folder(&parent_of(&self.root))
    }
}

/// The files of a folder whose name is a number of so many digits and this extension, ascending.
fn numbered(folder: &Path, digits: usize, extension: &str) -> Result<Vec<u64>, StorageError> {
    let doing = || format!("listing {}", folder.display());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).doing(doing)? {
        let path = PathBuf::from(entry.doing(doing)?.file_name());
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        let is_number = stem.len() == digits && stem.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && path.extension().is_some_and(|found| found == extension) {
            numbers.extend(stem.parse::<u64>());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Creates a folder and those above it that are missing, durably.
fn create_folders(folder: &Path) -> Result<(), StorageError> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|above| !above.exists()).collect();
    fs::create_dir_all(folder).doing(|| format!("creating {}", folder.display()))?;
    // The path of a relative folder ends in an empty one, which is the present folder.
    let made = missing.into_iter().filter(|made| !made.as_os_str().is_empty());
    made.map(parent_of).try_for_each(|above| sync_folder(&above))
}

/// The folder that a path is in.
fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes creations, renames and removals in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .doing(|| format!("syncing the folder {}", folder.display()))
}

/// The bytes of all files below a folder.
pub(crate) fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

/// Whether a folder holds a store, or what is left of one: other files have no place in it.
///
/// # Cost
/// Looks at four names in the folder.
#[must_use]
pub fn is_store(path: impl AsRef<Path>) -> bool {
    let folder = Folder::new(path.as_ref());
    let parts = [folder.journal(), folder.sealed(), folder.sled()];
    let parts = parts.iter().filter(|part| part.is_dir()).count();
    parts >= 2 || parts == 1 && folder.head().is_file()
}

/// The present instant.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
