//! salamander-db: one atomic batch a commit, `Durability::Sync`, all of one stream. A database cannot
//! be handed to another thread, so it has one of its own; what is read comes back in chunks.

use std::{
    ops::{Bound, Range},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use crossbeam_channel::{Receiver, SendError, Sender, bounded};
use salamander::{
    AppendRequest, BranchId, Durability, EventType, ExpectedRevision, NewEvent, RecordReader as _,
    ReplayEnd, ReplayPlan, Salamander as Database, StreamName,
};
use serde_bytes::ByteBuf;

use super::{Engine, Reader};
use crate::record::Batch;

/// Bytes that its encoding puts before those of a body: their number.
const LENGTH_BYTES: usize = 8;
/// Records of a chunk, and chunks that wait to be taken.
const CHUNK_RECORDS: usize = 1_024;
const WAITING_CHUNKS: usize = 4;

type Log = Database<ByteBuf>;
type Job = Box<dyn FnOnce(&mut Log) + Send>;
type Chunk = Result<Vec<Vec<u8>>>;

/// A database with one stream.
pub(crate) struct Salamander {
    jobs: Sender<Job>,
    owner: thread::JoinHandle<()>,
    last: u64,
}

impl Salamander {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let (jobs, to_do) = bounded(1);
        let (opened, head) = bounded(1);
        // After a kill its lock stays, which is removed by hand.
        if folder.join("LOCK").exists() {
            std::fs::remove_file(folder.join("LOCK"))?;
        }
        let folder = folder.to_owned();
        let owner = thread::spawn(move || own(folder, &opened, &to_do));
        Ok(Self { jobs, owner, last: head.recv()?? })
    }
}

/// Opens the database, says where it ends, and does what comes.
fn own(folder: PathBuf, opened: &Sender<Result<u64>>, to_do: &Receiver<Job>) {
    match Log::open(folder) {
        Ok(mut log) => {
            let _ = opened.send(Ok(log.head()));
            to_do.iter().for_each(|job| job(&mut log));
        }
        Err(error) => drop(opened.send(Err(error.into()))),
    }
}

impl Engine for Salamander {
    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let event_type = EventType::new("event")?;
        let event =
            |record: &[u8]| NewEvent::new(event_type.clone(), ByteBuf::from(record.to_vec()));
        let request = AppendRequest {
            branch: BranchId::ZERO,
            stream: StreamName::new("log")?,
            expected: ExpectedRevision::Any,
            idempotency_key: None,
            events: batch.records().map(event).collect(),
            durability: Durability::Sync,
        };
        self.last += u64::try_from(request.events.len())?;
        let (done, committed) = bounded(1);
        let append: Job = Box::new(move |log| drop(done.send(log.append_batch(request).map(drop))));
        self.jobs.send(append).map_err(gone)?;
        Ok(committed.recv()??)
    }

    fn reader(&self) -> Result<Box<dyn Reader>> {
        Ok(Box::new(SalamanderReader { jobs: self.jobs.clone() }))
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn close(self: Box<Self>) -> Result<()> {
        let Self { jobs, owner, .. } = *self;
        drop(jobs);
        owner.join().map_err(|_| anyhow!("the thread of the database panicked"))
    }
}

fn gone<T>(_: SendError<T>) -> anyhow::Error {
    anyhow!("the thread of the database is gone")
}

struct SalamanderReader {
    jobs: Sender<Job>,
}

impl Reader for SalamanderReader {
    fn scan(&self, range: Range<u64>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (filled, chunks) = bounded::<Chunk>(WAITING_CHUNKS);
        let scan: Job = Box::new(move |log| {
            if let Err(error) = read(log, range, &filled) {
                let _ = filled.send(Err(error));
            }
        });
        self.jobs.send(scan).map_err(gone)?;
        for chunk in chunks {
            for record in chunk? {
                each(&record)?;
            }
        }
        Ok(())
    }
}

fn read(log: &Log, range: Range<u64>, filled: &Sender<Chunk>) -> Result<()> {
    let plan = ReplayPlan {
        from: Bound::Included(range.start - 1),
        until: ReplayEnd::At(range.end - 1),
        ..ReplayPlan::default()
    };
    let mut records = log.read(plan)?;
    let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
    while let Some(record) = records.next()? {
        let body = record.payload.get(LENGTH_BYTES..).context("an event without its length")?;
        chunk.push(body.to_vec());
        if chunk.len() == CHUNK_RECORDS {
            filled.send(Ok(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_RECORDS))))?;
        }
    }
    Ok(filled.send(Ok(chunk))?)
}
