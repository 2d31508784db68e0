//! The conformance suite over each kind of log.

mod followed;
mod replicated;

use conformance::{LogFactory, conformance_suite};
use spacefold_event_core::{EventLog, MemoryLog};
use spacefold_store::{EmbeddedLog, StoreOptions};
use tempfile::TempDir;

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
        300
    }
}

conformance_suite!(memory, super::Memory);

struct Embedded {
    folder: TempDir,
}

impl LogFactory for Embedded {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Box<dyn EventLog> {
        Box::new(EmbeddedLog::open(self.folder.path().join("store")).unwrap())
    }

    fn reopen(&self, log: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        // The last handle closes the store.
        drop(log);
        Some(self.open())
    }

    fn model_cases() -> u32 {
        24
    }
}

conformance_suite!(embedded, super::Embedded);

struct EmbeddedInMemory;

impl LogFactory for EmbeddedInMemory {
    fn new() -> Self {
        Self
    }

    fn open(&self) -> Box<dyn EventLog> {
        Box::new(EmbeddedLog::in_memory(&StoreOptions::default()).unwrap())
    }

    fn reopen(&self, _: Box<dyn EventLog>) -> Option<Box<dyn EventLog>> {
        None
    }

    fn model_cases() -> u32 {
        100
    }
}

conformance_suite!(embedded_in_memory, super::EmbeddedInMemory);
