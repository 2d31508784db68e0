//! A store that is open, or followed, for all the objects of Python that use it.

use std::{
    fmt,
    ops::Deref,
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use pyo3::prelude::*;
use spacefold::{
    FollowedStore, Spacefold, SpacesReader, StorageError,
    log::{Pages, ReadRequest},
};

use crate::errors;

/// Whether the engine's threads are in this process: after a fork they are in the parent alone, and
/// what waits for one of them waits for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn this() -> Self {
        Self(process::id())
    }

    pub(crate) fn is_another(self) -> bool {
        self.0 != process::id()
    }

    /// Refuses what was opened before a fork.
    pub(crate) fn check(self, py: Python<'_>) -> PyResult<()> {
        if self.is_another() { Err(errors::forked(py, self.0, process::id())) } else { Ok(()) }
    }
}

/// Something of the engine that waits for its threads when it is dropped: it is left alone in a
/// process that was forked, and dropped without the interpreter.
pub(crate) struct Kept<T: Send> {
    process: Process,
    value: Option<T>,
}

impl<T: Send> Kept<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { process: Process::this(), value: Some(value) }
    }

    /// The value; refused in a process that was forked.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<&T> {
        self.process.check(py)?;
        self.value.as_ref().ok_or_else(|| errors::closed(py, "it is gone"))
    }
}

impl<T: Send> Drop for Kept<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        if self.process.is_another() {
            std::mem::forget(value);
            return;
        }
        let mut held = Some(value);
        // `None` once the interpreter has ended: then nobody waits for it.
        Python::try_attach(|py| py.detach(|| drop(held.take())));
        drop(held);
    }
}

/// The store itself: one session for all who share it, so that each reads what another has written.
pub(crate) struct Opened {
    process: Process,
    store: Door,
    is_closed: AtomicBool,
}

enum Door {
    Owned(Box<Spacefold>),
    Followed(Box<FollowedStore>),
}

impl Opened {
    pub(crate) fn owned(store: Spacefold) -> Self {
        Self::new(Door::Owned(Box::new(store)))
    }

    pub(crate) fn followed(store: FollowedStore) -> Self {
        Self::new(Door::Followed(Box::new(store)))
    }

    fn new(store: Door) -> Self {
        Self { process: Process::this(), store, is_closed: AtomicBool::new(false) }
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.process.0
    }

    /// The store, to be written; `None` when it is followed.
    pub(crate) const fn writer(&self) -> Option<&Spacefold> {
        match &self.store {
            Door::Owned(store) => Some(store),
            Door::Followed(_) => None,
        }
    }

    pub(crate) const fn follower(&self) -> Option<&FollowedStore> {
        match &self.store {
            Door::Owned(_) => None,
            Door::Followed(store) => Some(store),
        }
    }

    /// The pages of a read, up to the durable head as it is now.
    pub(crate) fn pages(&self, read: ReadRequest) -> Pages<'static> {
        match &self.store {
            Door::Owned(store) => Pages::of(Box::new(store.log().clone()), read),
            Door::Followed(store) => Pages::of(Box::new(store.log().clone()), read),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) -> Result<(), StorageError> {
        self.is_closed.store(true, Ordering::Release);
        match &self.store {
            Door::Owned(store) => store.close(),
            Door::Followed(store) => {
                store.close();
                Ok(())
            }
        }
    }
}

impl Deref for Opened {
    type Target = SpacesReader;

    fn deref(&self) -> &SpacesReader {
        match &self.store {
            Door::Owned(store) => store,
            Door::Followed(store) => store,
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("process", &self.process).finish_non_exhaustive()
    }
}
