//! UmaDB's storage core, in the process: one batch a commit, events without tags.

use std::{ops::Range, path::Path, sync::Arc};

use anyhow::Result;
use umadb_core::{db::UmaDb, mvcc::Mvcc, mvcc::StorageOptions};
use umadb_dcb::{DcbEvent, DcbEventStoreSync};

use super::{Engine, Reader};
use crate::record::Batch;

/// Events that one read of the core collects.
const READ_EVENTS: u64 = 4_096;

/// A database.
pub(crate) struct Umadb {
    mvcc: Arc<Mvcc>,
    last: u64,
}

impl Umadb {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mvcc = Arc::new(Mvcc::new(false, StorageOptions::default().db_path(folder))?);
        let last = UmaDb::from_arc(Arc::clone(&mvcc)).head()?.unwrap_or(0);
        Ok(Self { mvcc, last })
    }
}

impl Engine for Umadb {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let event = |record: &[u8]| DcbEvent {
            event_type: "event".to_owned(),
            data: record.to_vec(),
            ..DcbEvent::new()
        };
        let events = batch.records().map(event).collect();
        let database = UmaDb::from_arc(Arc::clone(&self.mvcc));
        for appended in database.append_batch(vec![(events, None, None)])? {
            self.last = appended?;
        }
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(UmadbReader { mvcc: Arc::clone(&self.mvcc) }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct UmadbReader {
    mvcc: Arc<Mvcc>,
}

impl Reader for UmadbReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let database = UmaDb::from_arc(Arc::clone(&self.mvcc));
        let mut next = range.start;
        while next < range.end {
            let limit = u32::try_from((range.end - next).min(READ_EVENTS))?;
            let mut read = 0;
            for event in database.read(None, Some(next), false, Some(limit))? {
                let event = event?;
                each(&event.event.data)?;
                next = event.position + 1;
                read += 1;
            }
            if read == 0 {
                break;
            }
        }
        Ok(())
    }
}
