//! RocksDB: a write batch a commit, with `sync`, LZ4, everything else as it is by default.

use std::{ops::Range, path::Path, sync::Arc};

use anyhow::Result;
use rocksdb::{
    DB, DBCompressionType, Direction, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::{Engine, Reader};
use crate::record::Batch;

/// A database with its default column family.
pub(crate) struct Rocksdb {
    database: Arc<DB>,
    sync: WriteOptions,
    last: u64,
}

impl Rocksdb {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Lz4);
        let database = DB::open(&options, folder)?;
        let last = match database.iterator(IteratorMode::End).next() {
            Some(last) => u64::from_be_bytes(last?.0.as_ref().try_into()?),
            None => 0,
        };
        let mut sync = WriteOptions::default();
        sync.set_sync(true);
        Ok(Self { database: Arc::new(database), sync, last })
    }
}

impl Engine for Rocksdb {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let mut write = WriteBatch::default();
        for record in batch.records() {
            self.last += 1;
            write.put(self.last.to_be_bytes(), record);
        }
        Ok(self.database.write_opt(write, &self.sync)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(RocksdbReader { database: Arc::clone(&self.database) }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.database.cancel_all_background_work(true);
        Ok(())
    }
}

struct RocksdbReader {
    database: Arc<DB>,
}

impl Reader for RocksdbReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(range.end.to_be_bytes());
        let start = range.start.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        for entry in self.database.iterator_opt(mode, options) {
            let (_, record) = entry?;
            each(&record)?;
        }
        Ok(())
    }
}
