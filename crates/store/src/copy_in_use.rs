//! Sled's copy of the log as an open store uses it: it is opened behind what needs none.

use std::sync::{Arc, RwLockWriteGuard};

use spacefold_event_core::{Position, ReadError, StorageError, lock::SharedLock};

use crate::{head::Head, journal::segments::Segments, kin::Kin, log_copy::LogCopy};

/// Sled's copy, or why there is none.
pub(crate) enum Copy {
    /// It is opened by whoever needs it first: the store is used without it until then.
    Unopened(Arc<Unopened>),
    Open(Arc<dyn LogCopy>),
    /// Nothing can be written, and so sled cannot be used: events are read without it.
    Unusable(StorageError),
    /// The store is closed.
    Closed,
}

/// What sled's copy is held against when it is opened: the store as opening found it.
pub(crate) struct Unopened {
    /// HEAD, brought up to the segments.
    pub(crate) head: Head,
    pub(crate) sealed: Segments,
    /// Whose the copy is.
    pub(crate) kin: Kin,
    /// The position of the last event.
    pub(crate) end: Position,
    /// Whether every full block has been made.
    pub(crate) was_closed: bool,
}

/// Sled's copy, or what takes its place for now.
pub(crate) struct CopyInUse(SharedLock<Copy>);

impl CopyInUse {
    pub(crate) fn new(copy: Copy) -> Self {
        Self(SharedLock::new(copy))
    }

    /// The copy, which has been opened.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn opened(&self) -> Result<Arc<dyn LogCopy>, ReadError> {
        match &*self.0.read() {
            Copy::Open(sled) => Ok(Arc::clone(sled)),
            Copy::Unopened(_) => {
                Err(StorageError::new("using sled's copy", "it is not open").into())
            }
            Copy::Unusable(why) => Err(why.clone().into()),
            Copy::Closed => Err(ReadError::Closed),
        }
    }

    /// The copy, if it is open and can be used.
    pub(crate) fn usable(&self) -> Result<Option<Arc<dyn LogCopy>>, ReadError> {
        match &*self.0.read() {
            Copy::Open(sled) => Ok(Some(Arc::clone(sled))),
            Copy::Unopened(_) | Copy::Unusable(_) => Ok(None),
            Copy::Closed => Err(ReadError::Closed),
        }
    }

    /// Whether there is one that can be used.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(&*self.0.read(), Copy::Open(_))
    }

    /// Fails when the store is closed.
    pub(crate) fn check_open(&self) -> Result<(), ReadError> {
        match &*self.0.read() {
            Copy::Closed => Err(ReadError::Closed),
            Copy::Open(_) | Copy::Unopened(_) | Copy::Unusable(_) => Ok(()),
        }
    }

    /// Whether it is still to be opened.
    pub(crate) fn is_unopened(&self) -> bool {
        matches!(&*self.0.read(), Copy::Unopened(_))
    }

    /// What it is held against, for the one who opens it; `None` when it was opened.
    /// Maintenance must be held, and everybody else takes it to be unopened.
    pub(crate) fn unopened(&self) -> Option<Arc<Unopened>> {
        match &*self.0.read() {
            Copy::Unopened(unopened) => Some(Arc::clone(unopened)),
            Copy::Open(_) | Copy::Unusable(_) | Copy::Closed => None,
        }
    }

    /// Goes on without it: it could not be opened.
    pub(crate) fn go_without(&self, why: StorageError) {
        *self.write() = Copy::Unusable(why);
    }

    /// Lets go of it: the store is closed.
    pub(crate) fn close(&self) {
        *self.write() = Copy::Closed;
    }

    /// To put another in its place, while nobody reads it.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Copy> {
        self.0.write()
    }
}
