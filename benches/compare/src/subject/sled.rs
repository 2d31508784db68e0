//! sled 0.34 with an event per key. Its `flush` does not reach the disk on Linux, so that a commit
//! ends with an `fdatasync` of its file.

use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
};

use anyhow::{Context, Result};
use sled::{Config, Db};

use super::{Engine, Reader};
use crate::record::Batch;

/// The size that sled takes by default.
const CACHE_BYTES: u64 = 1 << 30;
/// The size that spacefold gives it.
const SPACEFOLD_CACHE_BYTES: u64 = 64 << 20;

/// A database with its default tree.
pub(crate) struct Sled {
    database: Db,
    file: File,
    last: u64,
}

impl Sled {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let config = Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let database = config.open()?;
        let file = File::open(folder.join("db"))?;
        let last = match database.last()? {
            Some((key, _)) => u64::from_be_bytes(key.as_ref().try_into()?),
            None => 0,
        };
        Ok(Self { database, file, last })
    }
}

/// Opens a sled folder as its own `conf` says it was made, and closes it: what of opening a store
/// of spacefold's is sled's. Answers the number of its trees.
pub(crate) fn open_alone(folder: &Path) -> Result<u64> {
    let conf = fs::read(folder.join("conf"))?;
    let conf = String::from_utf8_lossy(&conf);
    let segment = conf.lines().find_map(|line| line.strip_prefix("segment_size:"));
    let segment = segment.context("no segment_size in conf")?.trim().parse()?;
    let config = Config::new().path(folder).segment_size(segment).flush_every_ms(None);
    let database = config.cache_capacity(SPACEFOLD_CACHE_BYTES).open()?;
    Ok(database.tree_names().len() as u64)
}

impl Engine for Sled {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let mut write = sled::Batch::default();
        for record in batch.records() {
            self.last += 1;
            write.insert(&self.last.to_be_bytes(), record);
        }
        self.database.apply_batch(write)?;
        self.database.flush()?;
        Ok(self.file.sync_data()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(SledReader { database: self.database.clone() }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.database.flush()?;
        Ok(self.file.sync_data()?)
    }
}

struct SledReader {
    database: Db,
}

impl Reader for SledReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for entry in self.database.range(range.start.to_be_bytes()..range.end.to_be_bytes()) {
            let (_, record) = entry?;
            each(&record)?;
        }
        Ok(())
    }
}
