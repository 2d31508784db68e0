//! Opening a store.

use std::{path::Path, sync::Arc};

use spacefold_bus::{EventBus, Feed, PlaceFile};
use spacefold_content::PackStore;
use spacefold_event_core::{LogReader as _, Timestamp, closing::CloseOnce};
use spacefold_projection::DerivedState;
use spacefold_service::SpaceService;
use spacefold_store::{EmbeddedLog, OpenError};

use super::{Spacefold, SpacefoldInner};
use crate::{
    commitments::Committing,
    contents,
    engine::Engine,
    folding,
    options::{Folding, Missing, Options, StorePlace},
    spaces_reader::SpacesReader,
};

impl Options {
    /// Opens the store.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then.
    pub fn open(&self) -> Result<Spacefold, OpenError> {
        let mut store = self.store.clone();
        if let Some(bytes) = self.max_bytes {
            store = store.max_bytes(bytes);
        }
        if let Some(mode) = self.mode {
            store = store.mode(mode);
        }
        let content = contents::prepare(&self.place)?;
        let log = match (&self.place, self.missing) {
            (StorePlace::Folder(path), Missing::Create) => EmbeddedLog::open_with(path, &store)?,
            (StorePlace::Folder(path), Missing::Refuse) => {
                EmbeddedLog::open_existing_with(path, &store)?
            }
            (StorePlace::Memory, Missing::Create) => EmbeddedLog::in_memory(&store)?,
            (StorePlace::Memory, Missing::Refuse) => {
                return Err(OpenError::NoStore { path: contents::IN_MEMORY.into() });
            }
        };
        let content = contents::open(content, self.content.mode(log.mode()), &log)?;
        let content = content.within(Arc::clone(log.quota()));
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

    /// An empty store in memory, for tests of programs that embed one: everything that a store does
    /// it does there too, by the same code. It is gone with its last clone, and needs no folder and
    /// no disk. [`Options::in_memory`] opens one with options.
    ///
    /// # What cannot hold in memory
    /// - *Durability*: what is answered as durable lasts as long as the store. Syncs, and
    ///   [`Durability`](crate::Durability), do what they do on disk, but nothing outlives the process,
    ///   or the store: [`Spacefold::save`] and
    ///   [`Admin::checkpoints`](crate::admin::Admin::checkpoints) work, and after [`Spacefold::close`]
    ///   every call answers that it is closed.
    /// - *Another process*: nobody else can open it, twice neither. Each call makes a store of its own.
    /// - *Files*: [`EmbeddedLog::path`] of its [log](Spacefold::log) is no path of the operating
    ///   system's, so that [`verify`](crate::admin::verify) answers [`OpenError::NoStore`] for it.
    ///   [`Admin::info`](crate::admin::Admin::info) counts bytes of memory.
    ///
    /// Nothing is given back but by dropping it: events take their bytes in memory two or three times.
    ///
    /// # Errors
    /// [`OpenError`] when a thread cannot be started.
    ///
    /// # Examples
    /// ```
    /// use spacefold::{Position, Spacefold};
    /// let spaces = Spacefold::in_memory()?;
    /// let service = spaces.service();
    /// service.create_space("handbook", "Handbook")?;
    /// service.add_document("handbook", "intro", "/intro.md")?;
    /// service.set_content("handbook", "intro", b"# Hello")?;
    /// assert!(spaces.snapshot("handbook")?.has_path("/intro.md"));
    /// assert!(!spaces.at(Position::new(1)).snapshot("handbook")?.has_path("/intro.md"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_memory() -> Result<Self, OpenError> {
        Options::in_memory().open()
    }

    fn over(log: EmbeddedLog, content: PackStore, options: &Options) -> Result<Self, OpenError> {
        let content = Arc::new(content);
        let derived = DerivedState::in_folder(log.derived_folder());
        let places = Arc::new(PlaceFile::in_folder(log.subscriptions_folder()));
        let mut feed = Feed::kept_in(Arc::new(log.clone()), places);
        if let Some(within) = options.sync_places_within {
            feed = feed.sync_places_within(within);
        }
        let read = Arc::new(log.clone());
        let engine = Arc::new(Engine::new(read, content.clone(), derived, feed, options));
        if options.folding == Folding::Live {
            let committing = Committing::new(options.commitments, log.clone());
            folding::start(&engine, Some(committing))?;
        }
        let bus = EventBus::over(&engine.feed, options.bus.clone());
        let service = SpaceService::new(Arc::new(log.clone()), Arc::clone(&engine.live))
            .with_content_store(content.clone());
        let reader = SpacesReader::new(Arc::clone(&engine), Some(service.clone()));
        let closing = CloseOnce::default();
        let opened = (Timestamp::now(), log.head());
        let inner = SpacefoldInner { bus, service, engine, log, content, opened, closing };
        let inner = Arc::new(inner);
        Ok(Self { inner, reader })
    }
}
