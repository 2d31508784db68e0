//! The store is its specification, whatever it goes through: random histories against the model,
//! reopened and killed in the middle.
//!
//! `SPACEFOLD_MODEL_CASES` sets how many histories there are.

use std::cell::Cell;

use conformance::{LogFactory, model};
use damage::stores::{copy_folder, scratch};
use spacefold::log::{EventLog, MemoryLog};
use spacefold_store::{EmbeddedLog, StoreOptions};
use tempfile::TempDir;

fn cases(usual: u32) -> u32 {
    let set = std::env::var("SPACEFOLD_MODEL_CASES").ok();
    set.map_or(usual, |cases| cases.parse().expect("SPACEFOLD_MODEL_CASES is a number"))
}

struct Memory;

impl LogFactory for Memory {
    fn new() -> Self {
        Self
    }

    fn open(&self) -> Box<dyn EventLog> {
        Box::new(MemoryLog::new())
    }

    fn reopen(&self, _: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        None
    }

    fn model_cases() -> u32 {
        cases(1_000)
    }
}

/// A store in memory, so that a history costs milliseconds; it moves to another folder with every
/// crash.
struct Embedded {
    folder: TempDir,
    crashes: Cell<u32>,
}

impl Embedded {
    fn store(&self) -> std::path::PathBuf {
        self.folder.path().join(format!("store-{}", self.crashes.get()))
    }
}

impl LogFactory for Embedded {
    fn new() -> Self {
        Self { folder: scratch(), crashes: Cell::new(0) }
    }

    fn open(&self) -> Box<dyn EventLog> {
        let options =
            StoreOptions::default().journal_file_bytes(0).reserve_bytes(0).begin_with_copy();
        Box::new(EmbeddedLog::open_with(self.store(), &options).unwrap())
    }

    fn reopen(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        // The last handle closes the store.
        drop(log);
        Some(self.open())
    }

    fn outlives_its_handle(&self) -> bool {
        true
    }

    fn crash(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        let killed = self.store();
        self.crashes.set(self.crashes.get() + 1);
        copy_folder(&killed, &self.store());
        drop(log);
        std::fs::remove_dir_all(killed).unwrap();
        Some(self.open())
    }

    fn model_cases() -> u32 {
        cases(1_000)
    }
}

#[test]
fn the_log_in_memory_is_its_specification() {
    model::agrees_with_the_model(&Memory);
}

#[test]
fn the_store_is_its_specification_over_reopens_and_crashes() {
    model::agrees_with_the_model(&Embedded::new());
}
