//! Opening a store.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use spacefold_bus::EventBus;
use spacefold_content::PackStore;
use spacefold_event_core::{LogReader, closing::CloseOnce, lock::Lock};
use spacefold_service::SpaceService;
use spacefold_store::{EmbeddedLog, OpenError};

use super::{Inner, Spacefold};
use crate::{
    commitments::Committing,
    contents,
    engine::Engine,
    follower,
    options::{Folding, Missing, Options},
};

impl Options {
    /// Opens the store.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then.
    pub fn open(&self) -> Result<Spacefold, OpenError> {
        let mut store = self.store.clone();
        if let Some(mode) = self.mode {
            store = store.mode(mode);
        }
        let content = contents::prepare(&self.path)?;
        let log = match self.missing {
            Missing::Create => EmbeddedLog::open_with(&self.path, &store)?,
            Missing::Refuse => EmbeddedLog::open_existing_with(&self.path, &store)?,
        };
        let content = contents::open(content, self.content.mode(log.mode()), &log)?;
        Spacefold::over(log, content, self)
    }
}

impl Spacefold {
    /// Opens the store in the folder `path`, and creates it when the folder is absent or empty.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::new(path).open()
    }

    /// Opens the store in the folder `path`; creates nothing.
    ///
    /// # Errors
    /// [`OpenError::NoStore`] where there is none, or another [`OpenError`]; nothing is changed
    /// then.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Options::new(path).existing_only().open()
    }

    fn over(log: EmbeddedLog, content: PackStore, options: &Options) -> Result<Self, OpenError> {
        let content = Arc::new(content);
        let engine = Arc::new(Engine::new(log, content.clone(), options));
        let thread = match options.folding {
            Folding::Live => {
                let committing = Committing::new(options.commitments, engine.log.durable_head());
                Some(follower::follow(Arc::clone(&engine), committing)?)
            }
            Folding::OnDemand => None,
        };
        let folding = Lock::new(thread);
        let bus = EventBus::over(&engine.feed, options.bus.clone());
        let service = SpaceService::new(Arc::new(engine.log.clone()), Arc::clone(&engine.live))
            .with_content_store(content.clone());
        let closing = CloseOnce::default();
        let inner = Arc::new(Inner { bus, service, engine, content, folding, closing });
        Ok(Self { inner, floor: AtomicU64::new(0) })
    }
}
