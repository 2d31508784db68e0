//! Opens sled's copy while the store is in use, in a thread of its own.

use std::{
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::Sender;
use spacefold_event_core::Position;

use crate::{progress::StoreFailure, shared::SharedStore};

/// How long one wait lasts; the end of the log ends it at once.
const LONG: Duration = Duration::from_secs(60);

/// Opens the copy of a store that has just been opened. A small one goes on without; where there is no
/// thread to be had, whoever needs the copy first opens it.
pub(crate) fn open_behind(
    shared: &Arc<SharedStore>,
    sealer: Weak<Sender<()>>,
    is_on_demand: bool,
) -> Option<JoinHandle<()>> {
    if shared.folder.environment().is_stepped || !shared.copy.is_unopened() {
        return None;
    }
    if shared.needs_no_copy() {
        load_revisions(shared, || false);
        return None;
    }
    start(shared, sealer, is_on_demand)
}

/// Begins to open the copy, or to make it, and then brings into memory what appends ask for; on demand,
/// once something was appended. The sealer waits for it meanwhile, and is told.
pub(crate) fn start(
    shared: &Arc<SharedStore>,
    sealer: Weak<Sender<()>>,
    is_on_demand: bool,
) -> Option<JoinHandle<()>> {
    let opening = Opening { shared: Arc::clone(shared), sealer };
    let first_append = shared.progress.durable_head().next();
    let open = move || {
        let shared = &opening.shared;
        if is_on_demand && !becomes_durable(shared, first_append) {
            return;
        }
        // A failure is noted: the store takes no appends then.
        if shared.sled().is_err() {
            return;
        }
        opening.tell_sealer();
        // With the writer the last one who wakes the sealer is gone: the store is being closed.
        load_revisions(shared, || opening.sealer.strong_count() == 0);
    };
    shared.copy.await_it(true);
    let opener = thread::Builder::new().name("spacefold-opener".to_owned()).spawn(open);
    if opener.is_err() {
        shared.copy.await_it(false);
    }
    opener.ok()
}

/// Says that nobody opens the copy any more, however the thread ends: the sealer does, where it has to.
struct Opening {
    shared: Arc<SharedStore>,
    sealer: Weak<Sender<()>>,
}

impl Opening {
    /// Wakes the sealer, which has waited for the copy. One that was told already looks again anyway.
    fn tell_sealer(&self) {
        if let Some(sealer) = self.sealer.upgrade() {
            let _ = sealer.try_send(());
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.progress.fail(StoreFailure::new("opening sled's copy panicked"));
        }
        self.shared.copy.await_it(false);
        self.tell_sealer();
    }
}

fn load_revisions(shared: &SharedStore, is_over: impl Fn() -> bool) {
    if let Err(error) = shared.load_revisions(is_over) {
        tracing::warn!(%error, "the revisions of the spaces are read as they are asked for");
    }
}

/// Waits until something is durable at a position; false where the log ends or fails before.
fn becomes_durable(shared: &SharedStore, position: Position) -> bool {
    loop {
        match shared.progress.wait_durable(position, LONG) {
            Ok(durable) if durable < position => {}
            waited => return waited.is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path, thread, time::Instant};

    use spacefold_event_core::{
        AppendRequest, LogReader, LogWriter, Position, ReadRequest, SpaceEvent,
    };

    use super::LONG;
    use crate::{EmbeddedLog, StoreOptions};

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
        files.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
    }

    fn append(log: &EmbeddedLog, events: usize) {
        let events: Vec<SpaceEvent> =
            (0..events).map(|_| SpaceEvent::space_activated("a")).collect();
        log.append(&AppendRequest::new(&events)).unwrap();
    }

    fn count(log: &EmbeddedLog) -> usize {
        let pages = log.pages(ReadRequest::from(Position::new(1)));
        pages.map(|page| page.unwrap().len()).sum()
    }

    #[test]
    fn blocks_are_made_where_nobody_waits_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let log = EmbeddedLog::open(&path).unwrap();
        append(&log, 4_000);
        log.close().unwrap();
        let log = EmbeddedLog::open_with(&path, &StoreOptions::default().copy_on_demand()).unwrap();
        log.stop_waiting();
        // So much fills a batch of blocks, for which the sealer opens the copy.
        for _ in 0..5 {
            append(&log, 4_000);
        }
        let begun = Instant::now();
        while log.shared().copy.is_unopened() {
            assert!(begun.elapsed() < LONG, "nobody opens the copy");
            thread::yield_now();
        }
        log.close().unwrap();
    }

    #[test]
    fn a_question_leaves_sleds_copy_alone_and_an_append_brings_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let log = EmbeddedLog::open(&path).unwrap();
        append(&log, 4_000);
        log.close().unwrap();
        let before = files(&path.join("sled"));
        let on_demand = StoreOptions::default().copy_on_demand();

        let log = EmbeddedLog::open_with(&path, &on_demand).unwrap();
        assert_eq!(count(&log), 4_000);
        assert!(log.shared().copy.is_unopened());
        log.close().unwrap();
        assert!(files(&path.join("sled")) == before, "sled's files have changed");

        // What is appended goes where it always does, and closing notes it.
        let log = EmbeddedLog::open_with(&path, &on_demand).unwrap();
        append(&log, 4_000);
        log.close().unwrap();
        assert!(files(&path.join("sled")) != before, "sled has nothing of the append");
        let log = EmbeddedLog::open(&path).unwrap();
        assert_eq!(count(&log), 8_000);
        log.close().unwrap();
        assert!(crate::verify(&path, crate::VerifyOptions::default()).unwrap().problems.is_empty());
    }
}
