//! A store in a folder that is read: opened where nobody has it, else followed.

use std::{io, ops::Deref, path::Path};

use rustix::{
    fs::{Access, access},
    io::Errno,
};
use spacefold::{
    CachePlace, Folding, FollowedStore, Options, Spacefold, SpacesReader, StorageError,
    log::StoreOptions,
};

use crate::{error::Failure, interrupt};

/// A store in a folder that is read.
pub(crate) enum ReadStore {
    Open(Spacefold),
    Followed(FollowedStore, Option<StorageError>),
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// The log, and what is read from it as it is.
    Log,
    /// What is folded: of a store that is followed that is kept for the next command.
    States,
}

impl ReadStore {
    /// Follows the store that is there, whoever has it.
    pub(crate) fn follow(
        path: &Path,
        needed: Needed,
        why: Option<StorageError>,
    ) -> Result<Self, Failure> {
        let cache = match needed {
            Needed::Log => CachePlace::Memory,
            Needed::States => CachePlace::User,
        };
        let options = Options::new(path).folding(Folding::OnDemand).cache(cache);
        let spaces = options.follow()?;
        let log = spaces.log().clone();
        interrupt::begin(spaces.log(), move || {
            log.close();
            Ok(())
        })?;
        Ok(Self::Followed(spaces, why))
    }

    /// A store that was opened.
    pub(crate) fn opened(spaces: Spacefold) -> Result<Self, Failure> {
        let log = spaces.log().clone();
        interrupt::begin(spaces.log(), move || log.close())?;
        Ok(Self::Open(spaces))
    }

    /// The name of the door.
    pub(crate) const fn door(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Followed(..) => "follow",
        }
    }

    pub(crate) fn close_store(self) -> Result<(), StorageError> {
        match self {
            Self::Open(spaces) => spaces.close(),
            Self::Followed(spaces, _) => {
                spaces.close();
                Ok(())
            }
        }
    }
}

impl Deref for ReadStore {
    type Target = SpacesReader;

    fn deref(&self) -> &SpacesReader {
        match self {
            Self::Open(spaces) => spaces,
            Self::Followed(spaces, _) => spaces,
        }
    }
}

/// How a store that is there is opened to be asked something: without what the answer does not take.
pub(crate) fn for_a_question(path: &Path) -> Options {
    let store = StoreOptions::default().copy_on_demand();
    Options::new(path).existing_only().folding(Folding::OnDemand).store(store)
}

/// Why nothing can be written in a folder that is there; `None` where something may be.
pub(crate) fn unwritable(path: &Path) -> Option<StorageError> {
    match access(path, Access::WRITE_OK) {
        Err(errno @ (Errno::ACCESS | Errno::ROFS | Errno::PERM)) => {
            let doing = format!("the store takes no appends: writing to {}", path.display());
            Some(StorageError::new(doing, io::Error::from(errno)))
        }
        _ => None,
    }
}
