//! fjall with its default options: a batch a commit, `PersistMode::SyncData`.

use std::{ops::Range, path::Path};

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Reader};
use crate::record::Batch;

/// A database with one keyspace.
pub(crate) struct Fjall {
    database: Database,
    keyspace: Keyspace,
    last: u64,
}

impl Fjall {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let database = Database::builder(folder).open()?;
        let keyspace = database.keyspace("log", KeyspaceCreateOptions::default)?;
        let last = match keyspace.last_key_value() {
            Some(last) => u64::from_be_bytes(last.key()?.as_ref().try_into()?),
            None => 0,
        };
        Ok(Self { database, keyspace, last })
    }
}

impl Engine for Fjall {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let mut write = self.database.batch().durability(Some(PersistMode::SyncData));
        for record in batch.records() {
            self.last += 1;
            write.insert(&self.keyspace, self.last.to_be_bytes(), record);
        }
        Ok(write.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(FjallReader { keyspace: self.keyspace.clone() }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct FjallReader {
    keyspace: Keyspace,
}

impl Reader for FjallReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for entry in self.keyspace.range(range.start.to_be_bytes()..range.end.to_be_bytes()) {
            each(&entry.value()?)?;
        }
        Ok(())
    }
}
