//! The entries of a recording, as bytes: written by the recorder, read by the tests, which include
//! this file rather than link the recorder.
//!
//! An entry is `kind u8, file u64, number u64, length of the path u32, length of the bytes u32`, little
//! endian, then the path and the bytes. Files go by their inode numbers, paths are below the root.

/// Names the folder that is watched.
pub const ROOT: &str = "SPACEFOLD_RECORDER_ROOT";
/// Names the file that entries are appended to.
pub const LOG: &str = "SPACEFOLD_RECORDER_LOG";
/// Names the file to which marks are written.
pub const MARKS: &str = "SPACEFOLD_RECORDER_MARKS";
/// Says which call fails.
pub const FAULT: &str = "SPACEFOLD_RECORDER_FAULT";
/// The number of marks after which the process kills itself: in the middle of no change, so that the
/// recording is complete.
pub const DIE_AFTER: &str = "SPACEFOLD_RECORDER_DIE_AFTER";
/// `0` leaves out the bytes of writes.
pub const BYTES: &str = "SPACEFOLD_RECORDER_BYTES";
/// The seconds by which the clock of the process is ahead, or behind when there are fewer than none.
pub const CLOCK: &str = "SPACEFOLD_RECORDER_CLOCK";

/// Bytes of an entry before its path.
const HEADER_BYTES: usize = 25;

/// Something that a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file was created.
    Create {
        /// Its inode.
        file: u64,
        /// Where.
        path: String,
    },
    /// A folder was created.
    CreateFolder {
        /// Its inode.
        file: u64,
        /// Where.
        path: String,
    },
    /// Bytes were written to a file.
    Write {
        /// Its inode.
        file: u64,
        /// Where in it.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was given a length.
    Truncate {
        /// Its inode.
        file: u64,
        /// The length.
        len: u64,
    },
    /// A file was grown to a length, if it was shorter, with zeros.
    Grow {
        /// Its inode.
        file: u64,
        /// The length.
        len: u64,
    },
    /// A file or folder was renamed; what was at the new name is gone.
    Rename {
        /// The old name.
        from: String,
        /// The new one.
        to: String,
    },
    /// A file or folder was removed.
    Remove {
        /// Where.
        path: String,
    },
    /// A sync of a file or folder begins.
    SyncBegins {
        /// Its inode.
        file: u64,
        /// The number of this sync.
        sync: u64,
        /// Its path.
        path: String,
    },
    /// A sync has come back without an error: what was done to the file before it began is on disk.
    SyncEnds {
        /// The inode of the file.
        file: u64,
        /// The number of this sync.
        sync: u64,
    },
    /// Part of a file was asked to be written, which promises nothing.
    SyncRange {
        /// Its inode.
        file: u64,
        /// Its path.
        path: String,
    },
    /// The process wrote this to the file for marks.
    Mark {
        /// What it wrote.
        bytes: Vec<u8>,
    },
    /// A call was made to fail, on purpose.
    Fault {
        /// The inode of the file, 0 where it has none.
        file: u64,
        /// The path.
        path: String,
        /// Which kind of call.
        call: String,
    },
}

impl Entry {
    /// Appends the entry to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let none: &[u8] = &[];
        let (kind, file, number, path, bytes): (u8, u64, u64, &str, &[u8]) = match self {
            Self::Create { file, path } => (1, *file, 0, path, none),
            Self::CreateFolder { file, path } => (2, *file, 0, path, none),
            Self::Write { file, offset, bytes } => (3, *file, *offset, "", bytes),
            Self::Truncate { file, len } => (4, *file, *len, "", none),
            Self::Grow { file, len } => (5, *file, *len, "", none),
            Self::Rename { from, to } => (6, 0, 0, from, to.as_bytes()),
            Self::Remove { path } => (7, 0, 0, path, none),
            Self::SyncBegins { file, sync, path } => (8, *file, *sync, path, none),
            Self::SyncEnds { file, sync } => (9, *file, *sync, "", none),
            Self::SyncRange { file, path } => (10, *file, 0, path, none),
            Self::Mark { bytes } => (11, 0, 0, "", bytes),
            Self::Fault { file, path, call } => (12, *file, 0, path, call.as_bytes()),
        };
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        out.push(kind);
        out.extend_from_slice(&file.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&len(path.as_bytes()));
        out.extend_from_slice(&len(bytes));
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(bytes);
    }

    /// The entry at the start of `bytes`, and how many bytes it takes; `None` when it is not whole.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let (file, number) = (u64_at(1)?, u64_at(9)?);
        let path_end = HEADER_BYTES.checked_add(usize::try_from(u32_at(17)?).ok()?)?;
        let end = path_end.checked_add(usize::try_from(u32_at(21)?).ok()?)?;
        let path = String::from_utf8(bytes.get(HEADER_BYTES..path_end)?.to_vec()).ok()?;
        let rest = bytes.get(path_end..end)?.to_vec();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        let entry = match bytes.first()? {
            1 => Self::Create { file, path },
            2 => Self::CreateFolder { file, path },
            3 => Self::Write { file, offset: number, bytes: rest },
            4 => Self::Truncate { file, len: number },
            5 => Self::Grow { file, len: number },
            6 => Self::Rename { from: path, to: text(rest)? },
            7 => Self::Remove { path },
            8 => Self::SyncBegins { file, sync: number, path },
            9 => Self::SyncEnds { file, sync: number },
            10 => Self::SyncRange { file, path },
            11 => Self::Mark { bytes: rest },
            12 => Self::Fault { file, path, call: text(rest)? },
            _ => return None,
        };
        Some((entry, end))
    }
}
