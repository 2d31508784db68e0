//! Sled's copy of the log as an open store uses it: it is opened behind what needs none.

use std::sync::{
    Arc, RwLockWriteGuard,
    atomic::{AtomicBool, Ordering},
};

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
    /// Whether there is one: a store begins without.
    pub(crate) is_there: bool,
}

/// Sled's copy, or what takes its place for now.
pub(crate) struct CopyInUse {
    copy: SharedLock<Copy>,
    /// Whether a thread opens it by and by: nobody else need.
    is_awaited: AtomicBool,
    /// Whether there is to be one whatever is in it.
    is_demanded: AtomicBool,
}

impl CopyInUse {
    pub(crate) fn new(copy: Copy) -> Self {
        Self { copy: SharedLock::new(copy), is_awaited: false.into(), is_demanded: false.into() }
    }

    /// The copy, which has been opened.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn opened(&self) -> Result<Arc<dyn LogCopy>, ReadError> {
        match &*self.copy.read() {
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
        match &*self.copy.read() {
            Copy::Open(sled) => Ok(Some(Arc::clone(sled))),
            Copy::Unopened(_) | Copy::Unusable(_) => Ok(None),
            Copy::Closed => Err(ReadError::Closed),
        }
    }

    /// Whether there is one that can be used.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(&*self.copy.read(), Copy::Open(_))
    }

    /// Fails when the store is closed.
    pub(crate) fn check_open(&self) -> Result<(), ReadError> {
        match &*self.copy.read() {
            Copy::Closed => Err(ReadError::Closed),
            Copy::Open(_) | Copy::Unopened(_) | Copy::Unusable(_) => Ok(()),
        }
    }

    /// Whether it is still to be opened.
    pub(crate) fn is_unopened(&self) -> bool {
        matches!(&*self.copy.read(), Copy::Unopened(_))
    }

    /// Says whether a thread opens it by and by.
    pub(crate) fn await_it(&self, is_awaited: bool) {
        self.is_awaited.store(is_awaited, Ordering::Release);
    }

    /// Whether it is still to be opened, and a thread is on the way to.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::Acquire) && self.is_unopened()
    }

    /// Whether there was none when the store was opened, and there is none yet.
    pub(crate) fn is_missing(&self) -> bool {
        !self.is_demanded.load(Ordering::Acquire)
            && matches!(&*self.copy.read(), Copy::Unopened(unopened) if !unopened.is_there)
    }

    /// Says that there is to be one.
    pub(crate) fn demand(&self) {
        self.is_demanded.store(true, Ordering::Release);
    }

    /// What it is held against, for the one who opens it; `None` when it was opened.
    /// Maintenance must be held, and everybody else takes it to be unopened.
    pub(crate) fn unopened(&self) -> Option<Arc<Unopened>> {
        match &*self.copy.read() {
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
        self.copy.write()
    }
}
