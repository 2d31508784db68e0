//! The conformance suite over replicated logs: over blocks that lose answers, delay and are read stale, so
//! that every case goes through the protocol's repairs.

use std::{sync::Arc, time::Duration};

use conformance::{LogFactory, conformance_suite};
use spacefold_disk::MemoryDisk;
use spacefold_event_core::EventLog;
use spacefold_objects::{FolderStorage, ObjectStorage};
use spacefold_replicated::{
    BlockLogLimits, ObjectBlocks, ReplicatedLog, ReplicatedOptions, SimBlocks,
};
use spacefold_store::{EmbeddedLog, StoreOptions};
use tempfile::TempDir;

fn blocks(max_in_flight: usize) -> SimBlocks {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    // Large groups are in parts.
    SimBlocks::new(seed, BlockLogLimits { max_block_bytes: 64 << 10, max_in_flight })
}

/// The log once it has read what the one before it had: a process sees what others append by and by, also
/// one that was here before under another name.
fn reopened(log: Box<dyn EventLog>, open: impl Fn() -> Box<dyn EventLog>) -> Box<dyn EventLog> {
    let head = log.durable_head();
    drop(log);
    let log = open();
    while log.wait_durable(head, Duration::from_secs(1)).unwrap() < head {}
    log
}

/// Whoever opens it has nothing, and reads all blocks.
struct Fresh {
    blocks: SimBlocks,
}

impl LogFactory for Fresh {
    fn new() -> Self {
        Self { blocks: blocks(1) }
    }

    fn open(&self) -> Box<dyn EventLog> {
        let own = Arc::new(EmbeddedLog::in_memory(&StoreOptions::default()).unwrap());
        let options = ReplicatedOptions::default();
        Box::new(ReplicatedLog::open(self.blocks.clone(), own, options).unwrap())
    }

    fn reopen(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        Some(reopened(log, || self.open()))
    }

    fn model_cases() -> u32 {
        24
    }
}

conformance_suite!(fresh, super::Fresh);

/// Whoever opens it has what it had, and reads on from there.
struct Kept {
    blocks: SimBlocks,
    folder: TempDir,
}

impl LogFactory for Kept {
    fn new() -> Self {
        Self { blocks: blocks(8), folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Box<dyn EventLog> {
        let own = EmbeddedLog::open(self.folder.path().join("store")).unwrap();
        let options = ReplicatedOptions::default().bookmark_in(own.derived_folder());
        Box::new(ReplicatedLog::open(self.blocks.clone(), Arc::new(own), options).unwrap())
    }

    fn reopen(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        Some(reopened(log, || self.open()))
    }

    fn model_cases() -> u32 {
        12
    }
}

conformance_suite!(kept, super::Kept);

/// The blocks are objects of a folder.
struct Objects {
    storage: Arc<dyn ObjectStorage>,
}

impl LogFactory for Objects {
    fn new() -> Self {
        let disk = Arc::new(MemoryDisk::default());
        Self { storage: Arc::new(FolderStorage::on(disk, "/objects")) }
    }

    fn open(&self) -> Box<dyn EventLog> {
        let own = Arc::new(EmbeddedLog::in_memory(&StoreOptions::default()).unwrap());
        let blocks = ObjectBlocks::open(Arc::clone(&self.storage)).unwrap();
        Box::new(ReplicatedLog::open(blocks, own, ReplicatedOptions::default()).unwrap())
    }

    fn reopen(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        Some(reopened(log, || self.open()))
    }

    fn model_cases() -> u32 {
        12
    }
}

conformance_suite!(objects, super::Objects);
