//! Putting blocks into segments, in a thread of its own: the next blocks are made meanwhile.

use std::{
    sync::{Arc, Weak},
    thread,
};

use crossbeam_channel::Sender;
use spacefold_event_core::StorageError;

use crate::{
    block::segment::noted::NotedSegment, id_lookup::make_ids_after_archiving, journal::segments,
    progress::StoreFailure, shared::SharedStore, unfiled::UnfiledBlocks,
};

/// Says that nothing is being archived any more, however the thread ends.
struct Archiving {
    shared: Arc<SharedStore>,
    sealer: Weak<Sender<()>>,
}

impl Drop for Archiving {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.progress.fail(StoreFailure::new("archiving blocks panicked"));
        }
        self.shared.progress.update(|state| state.is_archiving = false);
        // The sealer looks again whether more is due; one that was told already does so anyway.
        if let Some(sealer) = self.sealer.upgrade() {
            let _ = sealer.try_send(());
        }
    }
}

/// Begins to put blocks into a segment, and to give up the journal files that hold nothing else.
/// Those before them must be archived. An error refuses appends, as one of the sealer's does.
/// The `sealer` is told when it is over.
pub(super) fn start(
    shared: &Arc<SharedStore>,
    blocks: UnfiledBlocks,
    sealer: Weak<Sender<()>>,
) -> Result<(), StorageError> {
    shared.progress.update(|state| state.is_archiving = true);
    let archiving = Archiving { shared: Arc::clone(shared), sealer };
    let work = move || {
        let archived = archive(&archiving.shared, &blocks);
        if let Err(error) = archived {
            let error = archiving.shared.fail(error);
            tracing::error!(%error, "archiving failed: appends are refused until reopened");
            return;
        }
        let (shared, sealer) = (Arc::clone(&archiving.shared), Weak::clone(&archiving.sealer));
        drop((archiving, blocks));
        make_ids_after_archiving(&shared, &sealer);
    };
    if shared.folder.environment().is_stepped {
        work();
        return Ok(());
    }
    let spawned = thread::Builder::new().name("spacefold-archiving".to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| StorageError::new("starting the archiving thread", error))
}

fn archive(shared: &SharedStore, unfiled: &UnfiledBlocks) -> Result<(), StorageError> {
    let index = segments::write(&shared.folder, shared.store_id, &unfiled.blocks)?;
    if let Some(stamp) = shared.folder.segment_stamp(index.first_position)? {
        shared.kept_index.note_segment(NotedSegment { ends: index.ends(), stamp });
    }
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
    shared.keep_index(index.last_position)?;
    shared.keep_ids(unfiled, &index);
    Ok(())
}
