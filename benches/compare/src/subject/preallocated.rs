//! What the disk allows: a file of zeros that was synced ahead, written over and over, so that no
//! sync has metadata to write. It keeps nothing.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Result, bail};

use super::{Engine, Reader, plain::frame};
use crate::record::Batch;

/// Bytes of the file.
const FILE_BYTES: u64 = 64 << 20;

/// A file of a fixed length.
pub(crate) struct Preallocated {
    file: File,
    offset: u64,
    last: u64,
    buffer: Vec<u8>,
}

impl Preallocated {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("log");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let zeros = vec![0; 1 << 20];
        let mut offset = 0;
        while offset < FILE_BYTES {
            file.write_all_at(&zeros, offset)?;
            offset += zeros.len() as u64;
        }
        file.sync_all()?;
        Ok(Self { file, offset: 0, last: 0, buffer: Vec::new() })
    }
}

impl Engine for Preallocated {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        frame(batch, &mut self.buffer)?;
        let bytes = self.buffer.len() as u64;
        if self.offset + bytes > FILE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.file.sync_data()?;
        self.offset += bytes;
        self.last += batch.len() as u64;
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        bail!("a file that is written over keeps no events")
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
