//! LMDB through heed: a database with the number as its key, appended in order, synced by default.

use std::{ops::Range, path::Path};

use anyhow::Result;
use heed::{
    Database, Env, EnvOpenOptions, PutFlags, WithoutTls,
    byteorder::BE,
    types::{Bytes, U64},
};

use super::{Engine, Reader};
use crate::record::Batch;

/// Room in the address space; the file takes what it needs.
const MAP_BYTES: usize = 64 << 30;

type Log = Database<U64<BE>, Bytes>;

/// An environment with one database.
pub(crate) struct Lmdb {
    env: Env<WithoutTls>,
    log: Log,
    last: u64,
}

impl Lmdb {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP_BYTES);
        #[expect(unsafe_code, reason = "nobody else writes to the folder of a measurement")]
        // SAFETY: the file is mapped, and no other process changes it while it is.
        let env = unsafe { options.open(folder)? };
        let mut write = env.write_txn()?;
        let log: Log = env.create_database(&mut write, None)?;
        let last = log.last(&write)?.map_or(0, |(number, _)| number);
        write.commit()?;
        Ok(Self { env, log, last })
    }
}

impl Engine for Lmdb {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let mut write = self.env.write_txn()?;
        for record in batch.records() {
            self.last += 1;
            self.log.put_with_flags(&mut write, PutFlags::APPEND, &self.last, record)?;
        }
        Ok(write.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(LmdbReader { env: self.env.clone(), log: self.log }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

struct LmdbReader {
    env: Env<WithoutTls>,
    log: Log,
}

impl Reader for LmdbReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let read = self.env.read_txn()?;
        for entry in self.log.range(&read, &range)? {
            let (_, record) = entry?;
            each(record)?;
        }
        Ok(())
    }
}
