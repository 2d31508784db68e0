//! What the sealer does where all files of the journal are full.

use std::{path::Path, sync::Arc};

use spacefold_disk::SimDisk;
use spacefold_event_core::{AppendRequest, LogWriter as _, SpaceEvent};

use crate::{
    embedded_log::EmbeddedLog, environment::Environment, log_copy::memory::MemoryCopies,
    options::StoreOptions, shared::SharedStore,
};

/// A store that seals when it is told to.
#[derive(Default)]
struct Store {
    disk: SimDisk,
    copies: MemoryCopies,
}

impl Store {
    fn open(&self) -> EmbeddedLog {
        let copies = Arc::new(self.copies.clone());
        let environment = Environment::stepped(Arc::new(self.disk.clone()), copies);
        let options = StoreOptions::default().journal_file_bytes(0).reserve_bytes(0);
        EmbeddedLog::open_in(&environment, Path::new("/store"), &options).unwrap()
    }
}

fn append(log: &EmbeddedLog, events: usize) {
    let events: Vec<_> =
        (0..events).map(|n| SpaceEvent::variable_set("s", "v", n as u64)).collect();
    log.append(&AppendRequest::new(&events)).unwrap();
}

/// Takes files into use until none is left: each is for events that are yet to come.
fn take_all_files(shared: &SharedStore) {
    let mut first = shared.progress.head();
    while !shared.journal_files.are_full() {
        first = first.next();
        shared.journal_files.take(first, 0).unwrap();
    }
    shared.progress.update(|state| state.files_are_full = true);
}

#[test]
fn appends_go_on_where_no_file_can_be_given_up() {
    let store = Store::default();
    let log = store.open();
    append(&log, 1);
    take_all_files(log.shared());
    assert!(log.shared().progress.are_files_full());
    log.step(false);
    assert!(log.shared().journal_files.are_full(), "what is there fills no block");
    assert!(!log.shared().progress.are_files_full(), "an append that needs a file would wait");
}

#[test]
fn blocks_of_an_earlier_session_are_archived_where_files_are_needed() {
    let store = Store::default();
    let log = store.open();
    append(&log, 1_024);
    log.close().unwrap();
    let log = store.open();
    assert_eq!(log.info().sealed_bytes, 0, "its blocks are in no segment");
    take_all_files(log.shared());
    log.step(false);
    assert!(log.info().sealed_bytes > 0);
    assert!(!log.shared().journal_files.are_full(), "their files were not given up");
    assert!(!log.shared().progress.are_files_full());
}
