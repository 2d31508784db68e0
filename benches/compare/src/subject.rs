//! What is measured: storage engines behind one small trait, and spacefold as it is.

mod batpak;
mod fjall;
mod lmdb;
mod plain;
mod preallocated;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod salamander;
mod sled;
mod spacefold;
mod sqlite;
#[cfg(feature = "umadb")]
mod umadb;

use std::{ops::Range, path::Path, sync::Arc};

use anyhow::{Result, bail};
use spacefold_event_core::SpaceEvent;
use spacefold_projection::LiveStates;
use spacefold_store::EmbeddedLog;

pub(crate) use self::{
    sled::open_alone as open_sled_alone, spacefold::append as append_to_spacefold,
};
use crate::{
    fold::{ObviousStates, Summary},
    record::{Batch, Digest},
};

/// One of the engines.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A file that grows: one write and one `fdatasync` an append.
    Plain,
    /// A file of zeros that is written over and over: what the disk allows.
    Preallocated,
    /// spacefold.
    Spacefold,
    /// SQLite, write-ahead log, `synchronous=FULL`.
    Sqlite,
    /// fjall, `PersistMode::SyncData`.
    Fjall,
    /// redb, `Durability::Immediate`.
    Redb,
    /// LMDB, its default durability.
    Lmdb,
    /// RocksDB, `sync`.
    Rocksdb,
    /// The core of UmaDB.
    Umadb,
    /// batpak, an atomic batch, synced.
    Batpak,
    /// salamander-db, `Durability::Sync`.
    Salamander,
    /// sled 0.34, an event per key, `flush` and an `fdatasync` of its file.
    Sled,
}

impl Kind {
    /// All that this build has.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Plain, Self::Preallocated, Self::Spacefold, Self::Sqlite];
        all.extend([Self::Fjall, Self::Redb, Self::Lmdb]);
        if cfg!(feature = "rocksdb") {
            all.push(Self::Rocksdb);
        }
        if cfg!(feature = "umadb") {
            all.push(Self::Umadb);
        }
        all.extend([Self::Batpak, Self::Salamander, Self::Sled]);
        all
    }

    /// The name on the command line and in the results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Preallocated => "preallocated",
            Self::Spacefold => "spacefold",
            Self::Sqlite => "sqlite",
            Self::Fjall => "fjall",
            Self::Redb => "redb",
            Self::Lmdb => "lmdb",
            Self::Rocksdb => "rocksdb",
            Self::Umadb => "umadb",
            Self::Batpak => "batpak",
            Self::Salamander => "salamander",
            Self::Sled => "sled",
        }
    }

    /// Whether what was stored can be read back: not from a file that is written over.
    pub(crate) const fn keeps_events(self) -> bool {
        !matches!(self, Self::Preallocated)
    }
}

/// A storage engine with one store open: records under consecutive numbers from 1.
pub(crate) trait Engine: Send {
    /// Stores the records in one transaction, durable when it returns.
    fn commit(&mut self, batch: &Batch) -> Result<()>;

    /// A view for a thread of its own.
    fn reader(&self) -> Result<Box<dyn Reader>>;

    /// The number of the last record; 0 when there is none.
    fn last(&self) -> u64;

    /// Closes the store as its makers want it.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Reads records in order.
pub(crate) trait Reader: Send {
    /// Hands over every record whose number is in the range.
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
}

/// An open store.
pub(crate) enum Store {
    /// spacefold's, through its public API.
    Spacefold(EmbeddedLog),
    /// A rival's, and the room in which the caller's thread encodes.
    Rival(Box<dyn Engine>, Batch),
}

impl Store {
    /// Opens the store of this kind in a folder, and makes one where there is none.
    pub(crate) fn open(kind: Kind, folder: &Path) -> Result<Self> {
        let engine: Box<dyn Engine> = match kind {
            Kind::Spacefold => return Ok(Self::Spacefold(spacefold::open(folder)?)),
            Kind::Plain => Box::new(plain::Plain::open(folder)?),
            Kind::Preallocated => Box::new(preallocated::Preallocated::open(folder)?),
            Kind::Sqlite => Box::new(sqlite::Sqlite::open(folder)?),
            Kind::Fjall => Box::new(fjall::Fjall::open(folder)?),
            Kind::Redb => Box::new(redb::Redb::open(folder)?),
            Kind::Lmdb => Box::new(lmdb::Lmdb::open(folder)?),
            Kind::Batpak => Box::new(batpak::Batpak::open(folder)?),
            Kind::Salamander => Box::new(salamander::Salamander::open(folder)?),
            Kind::Sled => Box::new(sled::Sled::open(folder)?),
            #[cfg(feature = "rocksdb")]
            Kind::Rocksdb => Box::new(rocksdb::Rocksdb::open(folder)?),
            #[cfg(feature = "umadb")]
            Kind::Umadb => Box::new(umadb::Umadb::open(folder)?),
            #[allow(unreachable_patterns, reason = "with every feature on, all kinds are there")]
            other => bail!("{} is not part of this build", other.name()),
        };
        Ok(Self::Rival(engine, Batch::default()))
    }

    /// Appends events, encoded in this thread, durable when it returns.
    pub(crate) fn append(&mut self, events: &[SpaceEvent]) -> Result<()> {
        match self {
            Self::Spacefold(log) => spacefold::append(log, events),
            Self::Rival(engine, batch) => {
                batch.clear();
                batch.encode(events)?;
                engine.commit(batch)
            }
        }
    }

    /// The number of events.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Spacefold(log) => spacefold::len(log),
            Self::Rival(engine, _) => engine.last(),
        }
    }

    /// Decodes every event whose number is in the range, in this thread.
    pub(crate) fn replay(&self, range: Range<u64>) -> Result<Digest> {
        self.replayer()?.replay(range)
    }

    /// Folds the states of all spaces: a rival's records with the obvious fold.
    pub(crate) fn fold(&self) -> Result<Folded> {
        Ok(match self {
            Self::Spacefold(log) => Folded::Spacefold(spacefold::fold(log)?),
            Self::Rival(engine, _) => {
                let mut states = ObviousStates::default();
                let mut position = 0;
                engine.reader()?.scan(1..engine.last() + 1, &mut |record| {
                    position += 1;
                    states.apply(position, record)
                })?;
                Folded::Rival(states)
            }
        })
    }

    /// A view for a thread of its own.
    pub(crate) fn replayer(&self) -> Result<Replayer> {
        Ok(match self {
            Self::Spacefold(log) => Replayer::Spacefold(log.clone()),
            Self::Rival(engine, _) => Replayer::Rival(engine.reader()?),
        })
    }

    /// Closes the store.
    pub(crate) fn close(self) -> Result<()> {
        match self {
            Self::Spacefold(log) => Ok(log.close()?),
            Self::Rival(engine, _) => engine.close(),
        }
    }
}

/// The states of all spaces.
pub(crate) enum Folded {
    /// spacefold's, persisted.
    Spacefold(Arc<LiveStates>),
    /// Those of a rival's events.
    Rival(ObviousStates),
}

impl Folded {
    /// What they come to.
    pub(crate) fn summary(&self) -> Result<Summary> {
        match self {
            Self::Spacefold(states) => spacefold::summary(states),
            Self::Rival(states) => Ok(states.summary()),
        }
    }
}

/// Decodes events in a thread of its own.
pub(crate) enum Replayer {
    /// spacefold's.
    Spacefold(EmbeddedLog),
    /// A rival's.
    Rival(Box<dyn Reader>),
}

impl Replayer {
    /// Decodes every event whose number is in the range.
    pub(crate) fn replay(&self, range: Range<u64>) -> Result<Digest> {
        match self {
            Self::Spacefold(log) => spacefold::replay(log, range),
            Self::Rival(reader) => {
                let mut digest = Digest::default();
                reader.scan(range, &mut |record| digest.add_record(record))?;
                Ok(digest)
            }
        }
    }
}
