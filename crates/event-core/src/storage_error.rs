//! Failures of whatever events are stored in, and what each kind of them asks for.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    sync::Arc,
};

/// A failure of whatever a log stores its events in: what was being done, and the cause.
#[derive(Clone, Debug)]
pub struct StorageError {
    doing: String,
    cause: Arc<dyn Error + Send + Sync>,
}

/// A cause that does not tell by itself of which kind it is. It is a link of the chain of causes,
/// so that it is found whatever the failure is wrapped in.
#[derive(Debug)]
struct OfKind {
    kind: StorageErrorKind,
    cause: Arc<dyn Error + Send + Sync>,
}

/// What kind of failure a [`StorageError`] is: what has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// No space is left on the disk, or in the user's share of it.
    NoRoom,
    /// A file would grow past what this process may write (`ulimit -f`), or the file system holds.
    FileTooLarge,
    /// The file system takes no changes.
    ReadOnly,
    /// The process may not do this to the file or folder.
    NotPermitted,
    /// The process gets no more memory, or no more threads.
    NoMemory,
    /// The process, or the machine, has as many files open as it may.
    TooManyFiles,
    /// The folder is not where it was any more: deleted, renamed or replaced.
    FolderGone,
    /// Anything else: the disk failed, or a file holds something unexpected.
    Other,
}

impl StorageErrorKind {
    /// The kind as one word, as programs print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "no-room",
            Self::FileTooLarge => "file-too-large",
            Self::ReadOnly => "read-only",
            Self::NotPermitted => "not-permitted",
            Self::NoMemory => "no-memory",
            Self::TooManyFiles => "too-many-files",
            Self::FolderGone => "folder-gone",
            Self::Other => "storage",
        }
    }

    /// The kind with this [name](Self::name); `None` where none has it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let kinds = [
            Self::NoRoom,
            Self::FileTooLarge,
            Self::ReadOnly,
            Self::NotPermitted,
            Self::NoMemory,
            Self::TooManyFiles,
            Self::FolderGone,
            Self::Other,
        ];
        kinds.into_iter().find(|kind| kind.name() == name)
    }

    /// What to do about it, for people; `None` where nobody knows.
    #[must_use]
    pub const fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::NoRoom => {
                "free space on the disk first, then run the command again; nothing acknowledged is \
                 lost"
            }
            Self::FileTooLarge => {
                "let the process write larger files (`ulimit -f`), then run the command again; \
                 nothing acknowledged is lost"
            }
            Self::ReadOnly => {
                "have the file system take changes (it is mounted read-only), then run the command \
                 again"
            }
            Self::NotPermitted => {
                "get the permission to read and write the folder and its files, then run the \
                 command again"
            }
            Self::NoMemory => {
                "let the process have more memory or threads (`ulimit -v`, `ulimit -u`), then run \
                 the command again"
            }
            Self::TooManyFiles => {
                "let the process open more files (`ulimit -n`), then run the command again"
            }
            Self::FolderGone => {
                "put the folder of the store back where it was, then open the store again"
            }
            Self::Other => return None,
        })
    }

    /// Whether this keeps a program from changing files, and not from reading what is in them.
    #[must_use]
    pub const fn forbids_writing_only(self) -> bool {
        matches!(self, Self::NoRoom | Self::FileTooLarge | Self::ReadOnly | Self::NotPermitted)
    }

    /// What kind of failure of the storage is behind an error; `None` when none is.
    #[must_use]
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        let mut found = None;
        while let Some(error) = next {
            let here = if let Some(of_kind) = error.downcast_ref::<OfKind>() {
                Some(of_kind.kind)
            } else if let Some(error) = error.downcast_ref::<io::Error>() {
                Some(Self::of_io(error))
            } else if let Some(kind) = error.downcast_ref::<Self>() {
                Some(*kind)
            } else if error.is::<StorageError>() {
                Some(Self::Other)
            } else {
                None
            };
            found = here.or(found);
            if found.is_some_and(|kind| kind != Self::Other) {
                break;
            }
            next = error.source();
        }
        found
    }

    /// What an error of the operating system comes to.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoRoom,
            ErrorKind::FileTooLarge => Self::FileTooLarge,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::PermissionDenied => Self::NotPermitted,
            // Files on disk never make anybody wait: this is how a thread is refused.
            ErrorKind::OutOfMemory | ErrorKind::WouldBlock => Self::NoMemory,
            _ if cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => {
                Self::TooManyFiles
            }
            _ => Self::Other,
        }
    }
}

const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

impl fmt::Display for StorageErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error that knows no more of a failure than its kind has that as its source.
impl Error for StorageErrorKind {}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.cause)
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The cause itself, not what shares it: whoever looks for a type would not find it there.
        Some(&*self.cause)
    }
}

impl fmt::Display for OfKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for OfKind {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

impl StorageError {
    /// The failure `cause` while `doing` something, which names the file or key.
    pub fn new(doing: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { doing: doing.into(), cause: cause.into().into() }
    }

    /// What is asked for of a store that was closed, while `doing` something.
    pub fn closed(doing: impl Into<String>) -> Self {
        Self::new(doing, io::Error::new(io::ErrorKind::BrokenPipe, "the store is closed"))
    }

    /// The same failure, of a kind that its cause does not tell by itself.
    #[must_use]
    pub fn of_kind(self, kind: StorageErrorKind) -> Self {
        Self { doing: self.doing, cause: Arc::new(OfKind { kind, cause: self.cause }) }
    }

    /// What kind of failure it is, as the cause says, or a cause of that.
    #[must_use]
    pub fn kind(&self) -> StorageErrorKind {
        StorageErrorKind::behind(self).unwrap_or(StorageErrorKind::Other)
    }

    /// Whether the cause is that there is no space left on the disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.kind() == StorageErrorKind::NoRoom
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppendError, ContentError};

    #[test]
    fn the_kind_is_found_however_deep_the_cause_lies() {
        let kinds = [
            (28, StorageErrorKind::NoRoom),
            (122, StorageErrorKind::NoRoom),
            (27, StorageErrorKind::FileTooLarge),
            (30, StorageErrorKind::ReadOnly),
            (13, StorageErrorKind::NotPermitted),
            (1, StorageErrorKind::NotPermitted),
            (12, StorageErrorKind::NoMemory),
            (11, StorageErrorKind::NoMemory),
            (24, StorageErrorKind::TooManyFiles),
            (23, StorageErrorKind::TooManyFiles),
            (5, StorageErrorKind::Other),
        ];
        for (errno, kind) in kinds {
            let error = StorageError::new("writing", io::Error::from_raw_os_error(errno));
            assert_eq!(error.kind(), kind, "{errno}");
            assert_eq!(error.is_disk_full(), kind == StorageErrorKind::NoRoom, "{errno}");
            let outer = StorageError::new("appending", crate::ReadError::from(error));
            assert_eq!(outer.kind(), kind, "{errno} below two others");
        }
    }

    #[test]
    fn a_refusal_says_what_kind_of_failure_came_before_it() {
        let reason = || "the disk is full".to_owned();
        let kind = StorageErrorKind::NoRoom;
        let append = AppendError::Refused { kind, reason: reason() };
        assert_eq!(StorageErrorKind::behind(&append), Some(kind));
        let content = ContentError::Refused { kind, reason: reason() };
        assert_eq!(StorageErrorKind::behind(&content), Some(kind));
        assert_eq!(StorageErrorKind::behind(&AppendError::Closed), None);
        let other = StorageError::new("reading", "it ends too early");
        let unreadable = AppendError::Unreadable(other.into());
        assert_eq!(unreadable.storage_kind(), Some(StorageErrorKind::Other));
    }

    #[test]
    fn a_kind_that_was_given_counts() {
        let error = StorageError::new("looking", "it is gone");
        assert_eq!(error.kind(), StorageErrorKind::Other);
        let error = error.of_kind(StorageErrorKind::FolderGone);
        assert_eq!(error.kind(), StorageErrorKind::FolderGone);
        let outer = StorageError::new("appending", crate::ReadError::from(error));
        assert_eq!(outer.kind(), StorageErrorKind::FolderGone);
    }
}
