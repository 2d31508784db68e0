//! redb: a table with the number as its key, `Durability::Immediate`.

use std::{ops::Range, path::Path, sync::Arc};

use anyhow::Result;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Engine, Reader};
use crate::record::Batch;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// A database with one table.
pub(crate) struct Redb {
    database: Arc<Database>,
    last: u64,
}

impl Redb {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let database = Database::create(folder.join("log.redb"))?;
        let write = database.begin_write()?;
        let last = write.open_table(LOG)?.last()?.map_or(0, |(number, _)| number.value());
        write.commit()?;
        Ok(Self { database: Arc::new(database), last })
    }
}

impl Engine for Redb {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut table = write.open_table(LOG)?;
            for record in batch.records() {
                self.last += 1;
                table.insert(self.last, record)?;
            }
        }
        Ok(write.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(RedbReader { database: Arc::clone(&self.database) }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct RedbReader {
    database: Arc<Database>,
}

impl Reader for RedbReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let table = self.database.begin_read()?.open_table(LOG)?;
        for entry in table.range(range)? {
            let (_, record) = entry?;
            each(record.value())?;
        }
        Ok(())
    }
}
