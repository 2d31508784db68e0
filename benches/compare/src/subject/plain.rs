//! A file that grows: length, checksum and bytes of each record, one write and one sync a commit.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, ErrorKind, Read},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Engine, Reader};
use crate::record::Batch;

/// Bytes in front of a record: its length and its checksum.
const HEADER_BYTES: usize = 8;
/// Records between two of which a reader knows the place.
const RECORDS_BETWEEN_MARKS: u64 = 4_096;

/// A plain log.
pub(crate) struct Plain {
    path: PathBuf,
    file: File,
    offset: u64,
    last: u64,
    marks: Vec<u64>,
    buffer: Vec<u8>,
}

/// Writes the records of a batch as they stand in the file.
pub(super) fn frame(batch: &Batch, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    for record in batch.records() {
        buffer.extend_from_slice(&u32::try_from(record.len())?.to_le_bytes());
        buffer.extend_from_slice(&crc32c::crc32c(record).to_le_bytes());
        buffer.extend_from_slice(record);
    }
    Ok(())
}

impl Plain {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("log");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut log = Self { path, file, offset: 0, last: 0, marks: vec![0], buffer: Vec::new() };
        log.find_end()?;
        Ok(log)
    }

    /// Reads the file up to the first record that is not whole.
    fn find_end(&mut self) -> Result<()> {
        let mut input = BufReader::with_capacity(1 << 20, File::open(&self.path)?);
        let mut record = Vec::new();
        while let Some(bytes) = read_record(&mut input, &mut record)? {
            self.count(bytes);
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64) {
        self.offset += bytes;
        self.last += 1;
        if self.last.is_multiple_of(RECORDS_BETWEEN_MARKS) {
            self.marks.push(self.offset);
        }
    }
}

/// Reads a record and answers the bytes it takes; `None` where there is no whole one.
fn read_record(input: &mut impl Read, record: &mut Vec<u8>) -> Result<Option<u64>> {
    let mut header = [0; HEADER_BYTES];
    match input.read_exact(&mut header) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let [a, b, c, d, rest @ ..] = header;
    let len = u32::from_le_bytes([a, b, c, d]);
    if len == 0 || len > 1 << 20 {
        return Ok(None);
    }
    record.resize(usize::try_from(len)?, 0);
    match input.read_exact(record) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let whole = crc32c::crc32c(record) == u32::from_le_bytes(rest);
    Ok(whole.then_some(u64::from(len) + HEADER_BYTES as u64))
}

impl Engine for Plain {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        frame(batch, &mut self.buffer)?;
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.file.sync_data()?;
        let lens: Vec<u64> = batch.records().map(|record| record.len() as u64).collect();
        lens.iter().for_each(|len| self.count(len + HEADER_BYTES as u64));
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(PlainReader { path: self.path.clone(), marks: self.marks.clone() }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct PlainReader {
    path: PathBuf,
    marks: Vec<u64>,
}

impl Reader for PlainReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        use std::io::Seek;
        let before = range.start.saturating_sub(1);
        let mark = usize::try_from(before / RECORDS_BETWEEN_MARKS)?;
        let offset = self.marks.get(mark).context("a record beyond the end")?;
        let mut file = File::open(&self.path)?;
        file.seek(std::io::SeekFrom::Start(*offset))?;
        let mut input = BufReader::with_capacity(1 << 18, file);
        let mut record = Vec::new();
        let mut number = before / RECORDS_BETWEEN_MARKS * RECORDS_BETWEEN_MARKS + 1;
        while number < range.end && read_record(&mut input, &mut record)?.is_some() {
            if number >= range.start {
                each(&record)?;
            }
            number += 1;
        }
        Ok(())
    }
}
