//! The folder of a store: where everything is, who may be in it, and how it comes to be. It is held
//! open, and so are the folders in it: what is done through them is done in this store, whatever
//! becomes of its name.

mod lock;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use spacefold_disk::{
    Access, Disk, File, FileStamp, Folder as DiskFolder, Found, LazyFolder, NewFile, RealDisk,
};
use spacefold_event_core::{Position, Schemas, StorageError, StoreMode, Timestamp};

use crate::{
    aside::SetAside,
    environment::Environment,
    error::{OpenError, StorePart},
    log_copy::LogCopies,
};

pub(crate) const HEAD: &str = "HEAD";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const SEALED: &str = "sealed";
const RESERVE: &str = "reserve";
const DERIVED: &str = "derived";
const SUBSCRIPTIONS: &str = "subscriptions";
/// The name of the file that is locked while the store is open.
pub(crate) const LOCK: &str = "LOCK";

/// The folder of a store, open. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct StoreFolder {
    held: Arc<OpenFolder>,
}

#[derive(Debug)]
struct OpenFolder {
    environment: Environment,
    root: Arc<dyn DiskFolder>,
    /// `None` of a store that has lost it, or has something else in its place.
    journal: Option<Arc<dyn DiskFolder>>,
    sealed: Option<Arc<dyn DiskFolder>>,
    copies: Arc<dyn LogCopies>,
}

impl StoreFolder {
    /// The store in a folder; `None` when that is absent or empty.
    ///
    /// # Errors
    /// [`OpenError::NotAStore`] when something else is there.
    pub(crate) fn open(environment: &Environment, path: &Path) -> Result<Option<Self>, OpenError> {
        let not =
            |what: &str| OpenError::NotAStore { path: path.to_owned(), what: what.to_owned() };
        match environment.disk.look(path)? {
            Some(Found::Folder) => {}
            Some(Found::File) => return Err(not("it is a file")),
            // What would be made would not take the place of the link.
            Some(Found::DeadLink) => return Err(not("it is a link that leads nowhere")),
            None => return Ok(None),
        }
        let Some(root) = environment.disk.folder(path)? else { return Ok(None) };
        if root.id_by_path(HEAD)?.is_none() {
            return if root.names()?.is_empty() {
                Ok(None)
            } else {
                Err(not("it has no HEAD file"))
            };
        }
        let journal = root.part(JOURNAL.as_ref())?;
        let sealed = root.part(SEALED.as_ref())?;
        let copies = environment.copies_in(&root);
        let environment = environment.clone();
        Ok(Some(Self { held: Arc::new(OpenFolder { environment, root, journal, sealed, copies }) }))
    }

    /// The store at a path of the operating system's.
    #[cfg(test)]
    pub(crate) fn at(path: &Path) -> Self {
        Self::open(&Environment::default(), path).unwrap().unwrap()
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.held.environment
    }

    /// What records are written and read by.
    pub(crate) fn schemas(&self) -> &'static Schemas {
        self.held.environment.schemas
    }

    /// The copies of the log that are read.
    pub(crate) fn copies(&self) -> &Arc<dyn LogCopies> {
        &self.held.copies
    }

    /// Where what is derived from the log is kept, but for what sled has.
    pub(crate) fn derived(&self) -> Arc<dyn DiskFolder> {
        LazyFolder::within(&self.held.root, DERIVED)
    }

    /// Where the places of subscriptions are kept, which nothing can be derived from.
    pub(crate) fn subscriptions(&self) -> Arc<dyn DiskFolder> {
        LazyFolder::within(&self.held.root, SUBSCRIPTIONS)
    }

    /// Who may read and change what is made here.
    pub(crate) fn mode(&self) -> StoreMode {
        self.held.root.mode()
    }

    /// The folder itself, as it is held open.
    pub(crate) fn held(&self) -> &Arc<dyn DiskFolder> {
        &self.held.root
    }

    /// The path it was opened by, for messages.
    pub(crate) fn root(&self) -> &Path {
        self.held.root.path()
    }

    /// What messages call the file of HEAD.
    pub(crate) fn head_path(&self) -> PathBuf {
        self.root().join(HEAD)
    }

    pub(crate) fn journal_path(&self) -> PathBuf {
        self.root().join(JOURNAL)
    }

    /// What messages call a file of the journal.
    pub(crate) fn journal_file_path(&self, slot: u64) -> PathBuf {
        self.journal_path().join(journal_name(slot))
    }

    pub(crate) fn sealed_path(&self) -> PathBuf {
        self.root().join(SEALED)
    }

    /// What messages call a segment.
    pub(crate) fn segment_path(&self, first: Position) -> PathBuf {
        self.sealed_path().join(segment_name(first))
    }

    pub(crate) fn sled_path(&self) -> PathBuf {
        self.root().join(StorePart::Sled.name())
    }

    pub(crate) fn journal(&self) -> Result<&Arc<dyn DiskFolder>, StorageError> {
        self.held.journal.as_ref().ok_or_else(|| missing(self.journal_path()))
    }

    pub(crate) fn sealed(&self) -> Result<&Arc<dyn DiskFolder>, StorageError> {
        self.held.sealed.as_ref().ok_or_else(|| missing(self.sealed_path()))
    }

    /// A part that every store has from its first moment on and this one has not, and what is wrong
    /// with it.
    pub(crate) fn lost_part(&self) -> Result<Option<(StorePart, &'static str)>, StorageError> {
        let parts =
            [(StorePart::Journal, &self.held.journal), (StorePart::Segments, &self.held.sealed)];
        let Some((part, _)) = parts.into_iter().find(|(_, held)| held.is_none()) else {
            return Ok(None);
        };
        let is_there = self.held.root.names()?.iter().any(|name| name == part.name());
        Ok(Some((part, if is_there { "it is no folder" } else { "it is missing" })))
    }

    /// The file of HEAD.
    pub(crate) fn open_head(&self, access: Access) -> Result<Arc<dyn File>, StorageError> {
        self.held.root.open(HEAD, access)
    }

    /// The files of the journal's folder, ascending.
    pub(crate) fn journal_slots(&self) -> Result<Vec<u64>, StorageError> {
        Ok(numbered(&self.journal()?.names()?, 4, ".journal"))
    }

    /// A file of the journal.
    pub(crate) fn open_journal_file(
        &self,
        slot: u64,
        access: Access,
    ) -> Result<Arc<dyn File>, StorageError> {
        self.journal()?.open(&journal_name(slot), access)
    }

    /// Makes a file of the journal, empty.
    pub(crate) fn create_journal_file(&self, slot: u64) -> Result<Arc<dyn File>, StorageError> {
        self.journal()?.create(&journal_name(slot))
    }

    pub(crate) fn remove_journal_file(&self, slot: u64) -> Result<(), StorageError> {
        self.journal()?.remove(&journal_name(slot))
    }

    /// Whether a file of the journal has no name any more in the folder that is at this one's path.
    pub(crate) fn has_lost_journal_file(&self, slot: u64) -> bool {
        let found = self.journal().and_then(|journal| journal.id_by_path(&journal_name(slot)));
        matches!(found, Ok(None))
    }

    /// Makes the names of the journal's files durable.
    pub(crate) fn sync_journal_names(&self) -> Result<(), StorageError> {
        self.journal()?.sync()
    }

    /// Files of the journal that are to be set aside together.
    pub(crate) fn journal_aside(&self) -> SetAside {
        SetAside::of(&self.held.root, JOURNAL)
    }

    /// The first position of each segment, ascending.
    pub(crate) fn segment_firsts(&self) -> Result<Vec<Position>, StorageError> {
        let numbers = numbered(&self.sealed()?.names()?, 20, ".sealed");
        Ok(numbers.into_iter().map(Position::new).collect())
    }

    /// A segment.
    pub(crate) fn open_segment(&self, first: Position) -> Result<Arc<dyn File>, StorageError> {
        self.sealed()?.open(&segment_name(first), Access::Read)
    }

    /// What tells whether the file of a segment is as it was; `None` where the disk does not say.
    pub(crate) fn segment_stamp(&self, first: Position) -> Result<Option<FileStamp>, StorageError> {
        self.sealed()?.stamp(&segment_name(first))
    }

    /// Puts a whole segment in its place, durably, of its parts: after an error the old file is there
    /// or the new one.
    pub(crate) fn replace_segment(
        &self,
        first: Position,
        parts: &[&[u8]],
    ) -> Result<(), StorageError> {
        let sealed = self.sealed()?;
        let new = NewFile::create(sealed, &segment_name(first))?;
        new.file().write_whole(parts)?;
        new.finish()?;
        sealed.sync()
    }

    /// Segments that are to be set aside together.
    pub(crate) fn sealed_aside(&self) -> SetAside {
        SetAside::of(&self.held.root, SEALED)
    }

    /// The file of the reserve, if there is one.
    pub(crate) fn open_reserve(&self) -> Result<Option<Arc<dyn File>>, StorageError> {
        self.held.root.find(RESERVE, Access::ReadWrite)
    }

    pub(crate) fn create_reserve(&self) -> Result<Arc<dyn File>, StorageError> {
        self.held.root.create(RESERVE)
    }

    pub(crate) fn remove_reserve(&self) -> Result<(), StorageError> {
        self.held.root.remove(RESERVE)
    }

    /// Makes the names of the store's files durable, and its own: a process that was killed after
    /// it created or renamed one may not have come to it, and what is done next rests on them.
    pub(crate) fn sync_names(&self) -> Result<(), StorageError> {
        for folder in [self.journal()?, self.sealed()?, &self.held.root] {
            folder.sync()?;
        }
        let above = parent_of(self.root());
        let above = self.environment().disk.folder(&above)?.ok_or_else(|| missing(above))?;
        above.sync()
    }

    /// The bytes of the files of a part.
    pub(crate) fn bytes_of(&self, part: StorePart) -> u64 {
        let folder = match part {
            StorePart::Journal => &self.held.journal,
            StorePart::Segments => &self.held.sealed,
            StorePart::Sled => return self.copies().disk_bytes(),
            StorePart::Head => return 0,
        };
        let Some(folder) = folder else { return 0 };
        let bytes = |name: &String| folder.find(name, Access::Read).ok()??.bytes().ok();
        folder.names().unwrap_or_default().iter().filter_map(bytes).sum()
    }
}

/// The name of a file of the journal.
pub(crate) fn journal_name(slot: u64) -> String {
    format!("{slot:04}.journal")
}

/// The name of a segment.
pub(crate) fn segment_name(first: Position) -> String {
    format!("{:020}.sealed", first.get())
}

/// The numbers in the names that are one of this many digits and this ending, ascending.
fn numbered(names: &[String], digits: usize, ending: &str) -> Vec<u64> {
    let number = |name: &String| {
        let stem = name.strip_suffix(ending).filter(|stem| stem.len() == digits)?;
        let is_number = stem.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { stem.parse::<u64>().ok() } else { None }
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

pub(crate) fn missing(folder: PathBuf) -> StorageError {
    let gone = io::Error::from(io::ErrorKind::NotFound);
    StorageError::new(format!("opening {}", folder.display()), gone)
}

/// The folder that a path is in.
pub(crate) fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether a folder holds a store, or what is left of one: other files have no place in it.
///
/// # Cost
/// Looks at four names in the folder.
#[must_use]
pub fn is_store(path: impl AsRef<Path>) -> bool {
    let is = |name: &str, found| {
        RealDisk.look(&path.as_ref().join(name)).is_ok_and(|there| there == Some(found))
    };
    let parts = [JOURNAL, SEALED, StorePart::Sled.name()];
    let parts = parts.into_iter().filter(|part| is(part, Found::Folder)).count();
    parts >= 2 || parts == 1 && is(HEAD, Found::File)
}

/// The present instant.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
