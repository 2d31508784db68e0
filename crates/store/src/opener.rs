//! Opens sled's copy while the store is in use, in a thread of its own.

use std::{
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
};

use crossbeam_channel::Sender;

use crate::shared::SharedStore;

/// Opens the copy of a store that has just been opened. A small one goes on without; where there is no
/// thread to be had, whoever needs the copy first opens it.
pub(crate) fn open_behind(
    shared: &Arc<SharedStore>,
    sealer: Weak<Sender<()>>,
) -> Option<JoinHandle<()>> {
    if shared.folder.environment().is_stepped || !shared.copy.is_unopened() {
        return None;
    }
    if shared.needs_no_copy() {
        load_revisions(shared, || false);
        return None;
    }
    start(shared, sealer)
}

/// Begins to open the copy, or to make it, and then brings into memory what appends ask for. The sealer
/// waits for it meanwhile, and is told.
pub(crate) fn start(shared: &Arc<SharedStore>, sealer: Weak<Sender<()>>) -> Option<JoinHandle<()>> {
    let opening = Arc::clone(shared);
    let open = move || {
        // A failure is noted: the store takes no appends then.
        let is_open = opening.sled().is_ok();
        if let Some(sealer) = sealer.upgrade() {
            // What has waited for the copy. One that was told already looks again anyway.
            let _ = sealer.try_send(());
        }
        if is_open {
            // With the writer the last one who wakes the sealer is gone: the store is being closed.
            load_revisions(&opening, || sealer.strong_count() == 0);
        }
    };
    shared.copy.await_it(true);
    let opener = thread::Builder::new().name("spacefold-opener".to_owned()).spawn(open);
    shared.copy.await_it(opener.is_ok());
    opener.ok()
}

fn load_revisions(shared: &SharedStore, is_over: impl Fn() -> bool) {
    if let Err(error) = shared.load_revisions(is_over) {
        tracing::warn!(%error, "the revisions of the spaces are read as they are asked for");
    }
}
