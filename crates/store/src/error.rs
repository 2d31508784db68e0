//! Why a store does not open.

use std::{fmt, io, path::PathBuf, process};

use spacefold_event_core::{Position, StorageError, Timestamp};

use crate::progress::StoreFailure;

/// Why a store does not open. Nothing is changed by a refused open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store at the path.
    #[error("there is no store in {}", path.display())]
    NoStore {
        /// The path.
        path: PathBuf,
    },
    /// The path leads to something that is not a store.
    #[error("{} is not a store: {what}", path.display())]
    NotAStore {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// Another process, or another handle of this one, has the store open.
    #[error("the store in {} is in use by {}", path.display(), holder(*pid))]
    AlreadyOpen {
        /// The path.
        path: PathBuf,
        /// The process that has it, where that is known.
        pid: Option<u32>,
    },
    /// The store has a format that this version does not know.
    #[error("the store in {} has format {found}: this version knows format {known}", path.display())]
    UnknownFormat {
        /// The path.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format this version knows.
        known: u32,
    },
    /// Something that was acknowledged as durable is damaged in the journal.
    #[error("the journal is damaged: {what} (position {position}, {}, byte {offset})", file.display())]
    JournalDamaged {
        /// The first position that is lost.
        position: Position,
        /// The file.
        file: PathBuf,
        /// The byte in the file from which on it does not read.
        offset: u64,
        /// What was found there.
        what: String,
    },
    /// The file system of the folder has no locks: nothing would keep two processes from writing
    /// one store.
    #[error(
        "the file system of {} has no locks, without which two processes could write one store: \
         {cause}",
        path.display()
    )]
    NoLocks {
        /// The folder of the store.
        path: PathBuf,
        /// What it says when it is asked for one.
        #[source]
        cause: io::Error,
    },
    /// Parts of the store are of different times, or of copies of it that went on apart: together
    /// they are no store. Every part is as it was.
    #[error("{part} in {} does not fit the rest of the store: {what}", path.display())]
    PartsDiffer {
        /// The folder of the store.
        path: PathBuf,
        /// The part that does not fit.
        part: StorePart,
        /// What tells.
        what: String,
    },
    /// An I/O thread of sled has panicked: this process can open no sled any more.
    #[error("an I/O thread of the storage engine has panicked: {what}; restart the process")]
    ProcessRestartRequired {
        /// What the thread said.
        what: String,
    },
    /// The system's clock is before 1970, where neither a store nor the ids of events can be made.
    #[error(
        "the system's clock is at {now}, before 1970: set it, then open the store; nothing was changed"
    )]
    ClockBefore1970 {
        /// Where it stands.
        now: Timestamp,
    },
    /// The disk or the operating system refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A part of a store, as it lies in its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorePart {
    /// The file `HEAD`.
    Head,
    /// The folder `journal`.
    Journal,
    /// The folder `sealed`.
    Segments,
    /// The folder `sled`.
    Sled,
}

impl StorePart {
    /// The name of the file or folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Head => "HEAD",
            Self::Journal => "journal",
            Self::Segments => "sealed",
            Self::Sled => "sled",
        }
    }
}

impl fmt::Display for StorePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == process::id() => "this process".to_owned(),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

impl StoreFailure {
    /// Why the store takes no appends, as the failure of doing something.
    pub(crate) fn while_doing(self, doing: &str) -> StorageError {
        StorageError::new(doing, self.reason).of_kind(self.kind)
    }
}
