//! The call that fails: `kind:number:how:path`, such as `write:3:ENOSPC:journal/`.
//!
//! The call of the kind that has the number, from 1, among those whose path below the root
//! contains the last part, fails once. With a `+` behind the number every later one fails as well.

use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Writing to a file.
    Write,
    /// Syncing a file or folder, and asking for a part of it to be written.
    Sync,
    /// Reading from a file.
    Read,
    /// Opening a file or folder.
    Open,
    /// Renaming.
    Rename,
    /// Removing a file or folder.
    Remove,
    /// Creating a folder.
    CreateFolder,
    /// Giving a file a length.
    Truncate,
}

impl Call {
    /// Every kind, with its name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("write", Self::Write),
        ("sync", Self::Sync),
        ("read", Self::Read),
        ("open", Self::Open),
        ("rename", Self::Rename),
        ("remove", Self::Remove),
        ("create-folder", Self::CreateFolder),
        ("truncate", Self::Truncate),
    ];

    /// The name of the kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, call)| *call == self).map_or("", |(name, _)| name)
    }
}

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It fails with this error.
    Errno(i32),
    /// It does half of what was asked, and says so.
    Short,
}

/// Names of the errors, with their numbers on Linux.
const ERRORS: [(&str, How); 4] = [
    ("EINTR", How::Errno(4)),
    ("EIO", How::Errno(5)),
    ("ENOSPC", How::Errno(28)),
    ("short", How::Short),
];

/// Which call fails, and how often such a call was made.
#[derive(Debug)]
pub struct Fault {
    call: Call,
    number: u64,
    for_ever: bool,
    how: How,
    path: String,
    made: AtomicU64,
}

impl Fault {
    /// Reads a fault from its text; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        let name = parts.next()?;
        let (_, call) = *Call::ALL.iter().find(|(known, _)| *known == name)?;
        let number = parts.next()?;
        let for_ever = number.ends_with('+');
        let number = number.trim_end_matches('+').parse().ok()?;
        let name = parts.next()?;
        let (_, how) = *ERRORS.iter().find(|(known, _)| *known == name)?;
        let path = parts.next()?.to_owned();
        Some(Self { call, number, for_ever, how, path, made: AtomicU64::new(0) })
    }

    /// Counts a call, and says what becomes of it when it is the one.
    pub fn hits(&self, call: Call, path: &str) -> Option<How> {
        if call != self.call || !path.contains(&self.path) {
            return None;
        }
        let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let hit = made == self.number || self.for_ever && made > self.number;
        hit.then_some(self.how)
    }
}
