//! SQLite: a table with the number as its integer key, write-ahead log, `synchronous=FULL`.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rusqlite::{Connection, params};

use super::{Engine, Reader};
use crate::record::Batch;

/// A database with one connection.
pub(crate) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    last: u64,
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

impl Sqlite {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("log.sqlite");
        let connection = connect(&path)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, record BLOB NOT NULL)",
        )?;
        let last: i64 =
            connection
                .query_row("SELECT coalesce(max(number), 0) FROM log", [], |row| row.get(0))?;
        Ok(Self { path, connection, last: last.unsigned_abs() })
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO log VALUES (?1, ?2)")?;
            for record in batch.records() {
                self.last += 1;
                insert.execute(params![i64::try_from(self.last)?, record])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(SqliteReader { connection: connect(&self.path)? }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

struct SqliteReader {
    connection: Connection,
}

impl Reader for SqliteReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut select = self.connection.prepare_cached(
            "SELECT record FROM log WHERE number >= ?1 AND number < ?2 ORDER BY number",
        )?;
        let end = i64::try_from(range.end).unwrap_or(i64::MAX);
        let mut rows = select.query(params![i64::try_from(range.start)?, end])?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(0)?.as_blob()?)?;
        }
        Ok(())
    }
}
