//! Putting blocks into sealed files, in a thread of its own: the next blocks are made meanwhile.

use std::{
    sync::{Arc, Weak},
    thread,
};

use crossbeam_channel::Sender;
use spacefold_event_core::StorageError;

use crate::{block::EncodedBlock, journal::sealed_files, progress::Failure, shared::Shared};

/// Says that nothing is being filed any more, however the thread ends.
struct Filing {
    shared: Arc<Shared>,
    sealer: Weak<Sender<()>>,
}

impl Drop for Filing {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.progress.fail(Failure::new("filing blocks panicked"));
        }
        self.shared.progress.update(|state| state.is_filing = false);
        // The sealer looks again whether more is due; one that was told already does so anyway.
        if let Some(sealer) = self.sealer.upgrade() {
            let _ = sealer.try_send(());
        }
    }
}

/// Begins to put blocks into a sealed file, and to give up the journal files that hold nothing else.
/// Those before them must be filed. An error refuses appends, as one of the sealer's does.
/// The `sealer` is told when it is over.
pub(super) fn start(
    shared: &Arc<Shared>,
    blocks: Vec<EncodedBlock>,
    sealer: Weak<Sender<()>>,
) -> Result<(), StorageError> {
    shared.progress.update(|state| state.is_filing = true);
    let filing = Filing { shared: Arc::clone(shared), sealer };
    let work = move || {
        if let Err(error) = file(&filing.shared, &blocks) {
            let error = filing.shared.fail(error);
            tracing::error!(%error, "filing failed: appends are refused until reopened");
        }
    };
    if shared.folder.environment().is_stepped {
        work();
        return Ok(());
    }
    let spawned = thread::Builder::new().name("spacefold-filing".to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| StorageError::new("starting the filing thread", error))
}

fn file(shared: &Shared, blocks: &[EncodedBlock]) -> Result<(), StorageError> {
    let index = sealed_files::write(&shared.folder, shared.store_id, blocks)?;
    #[cfg(test)]
    drop(shared.noting_sealed.lock());
    let mut head_file = shared.head_file.lock();
    head_file.update(|head| {
        head.sealed_through = index.last_position;
        head.sealed_hash = index.last_hash;
        head.note_durable(index.last_position, shared.durable_frame());
    })?;
    drop(head_file);
    shared.sealed.sealed_through(index.last_position);
    let files = &shared.journal_files;
    files.give_up_through(index.last_position);
    shared.progress.update(|state| state.files_are_full = files.are_full());
    shared.keep_index(index.last_position)
}
