//! The background thread that turns the tail into blocks: into sled, and into sealed files for
//! which the journal files are given up.

use std::{
    fs,
    sync::{Arc, PoisonError, atomic::Ordering},
    thread,
};

use crossbeam_channel::Receiver;
use spacefold_event_core::{Position, StorageError};

use crate::{
    block::index::INDEX_KEY,
    block::plan::BlockPlan,
    block::{self, EncodedBlock},
    error::Doing,
    folder::{Folder, sync_folder},
    journal::frame::FileHeader,
    journal::sealed_files,
    shared::Shared,
};

/// Bytes of blocks that make a sealed file.
const SEALED_FILE_BYTES: usize = 8 << 20;
/// Blocks after which sled's copy is synced and the index kept, so that opening has less to catch
/// up with.
const BLOCKS_BETWEEN_CHECKPOINTS: u64 = 2_048;

struct Sealer {
    shared: Arc<Shared>,
    /// Bytes of the blocks that are in no sealed file yet.
    unfiled_bytes: usize,
    blocks_since_checkpoint: u64,
}

/// Starts the sealer; it ends when nobody can wake it any more.
pub(crate) fn start(
    shared: &Arc<Shared>,
    unfiled_bytes: usize,
    wake: Receiver<()>,
) -> Result<thread::JoinHandle<()>, StorageError> {
    let shared = Arc::clone(shared);
    let mut sealer = Sealer { shared, unfiled_bytes, blocks_since_checkpoint: 0 };
    thread::Builder::new()
        .name("spacefold-sealer".to_owned())
        .spawn(move || {
            // Also once before anybody calls: opening may have left full blocks in the tail.
            while sealer.work() && wake.recv().is_ok() {}
        })
        .map_err(|error| StorageError::new("starting the sealer thread", error))
}

impl Sealer {
    /// Seals every full block there is; whether it is worth going on.
    fn work(&mut self) -> bool {
        match self.seal_all() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the sealer failed: appends are refused until reopened");
                self.shared.fail(&error);
                false
            }
        }
    }

    fn seal_all(&mut self) -> Result<(), StorageError> {
        loop {
            let shared = Arc::clone(&self.shared);
            let guard = shared.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
            let planned = {
                let view = self.shared.view();
                let plan = BlockPlan::next(view.tail.runs(), view.index.end().next());
                plan.map(|plan| (plan, view.index.last_hash()))
            };
            let Some((plan, previous)) = planned else {
                return Ok(());
            };
            self.seal(&plan, previous)?;
            drop(guard);
        }
    }

    /// Makes one block and shows it to readers.
    fn seal(&mut self, plan: &BlockPlan, previous: block::BlockHash) -> Result<(), StorageError> {
        let unsealable = |cause: String| StorageError::new("making a block", cause);
        let (assignments, body) = plan.encode().map_err(|e| unsealable(e.to_string()))?;
        let first = assignments.first_position;
        let encoded = block::encode(self.shared.store_id, previous, &assignments, &body, &[]);
        let block = block::decode(&encoded.bytes, self.shared.store_id)
            .map_err(|error| unsealable(error.to_string()))?;
        let sled = self.shared.sled().map_err(|error| unsealable(error.to_string()))?;
        sled.put_block(first, &mut block::split(&encoded.bytes))
            .map_err(|error| StorageError::new(format!("putting the block at {first}"), error))?;
        self.shared.view_mut().seal(&block.records, encoded.hash);
        self.shared.index_changed.store(true, Ordering::Relaxed);
        self.shared.announce();
        self.unfiled_bytes += encoded.bytes.len();
        self.blocks_since_checkpoint += 1;
        if self.unfiled_bytes >= SEALED_FILE_BYTES {
            self.file_blocks()?;
        }
        if self.blocks_since_checkpoint >= BLOCKS_BETWEEN_CHECKPOINTS {
            checkpoint(&self.shared)?;
            self.blocks_since_checkpoint = 0;
        }
        Ok(())
    }

    /// Puts the blocks that are in no sealed file into one, then gives up the journal files that
    /// hold nothing else.
    fn file_blocks(&mut self) -> Result<(), StorageError> {
        let sealed_through = self.head(|head| head.sealed_through);
        let firsts: Vec<Position> =
            self.shared.view().index.blocks_from(sealed_through.next()).collect();
        let sled = self.shared.sled().map_err(|error| StorageError::new("filing blocks", error))?;
        let mut blocks = Vec::with_capacity(firsts.len());
        for first in firsts {
            let doing = || format!("filing the block at {first}");
            let stored = sled
                .block_at_or_before(first)
                .map_err(|error| StorageError::new(doing(), error))?
                .filter(|stored| stored.first() == first)
                .ok_or_else(|| StorageError::new(doing(), "sled does not have it"))?;
            let bytes = stored.bytes().into_owned();
            let block = block::decode(&bytes, self.shared.store_id)
                .map_err(|error| StorageError::new(doing(), error))?;
            block.verify_hash().map_err(|error| StorageError::new(doing(), error))?;
            blocks.push(EncodedBlock { bytes, hash: block.hash });
        }
        let index = sealed_files::write(&self.shared.folder, self.shared.store_id, &blocks)?;
        let mut head_file = self.shared.head_file.lock().unwrap_or_else(PoisonError::into_inner);
        head_file.update(|head| {
            head.sealed_through = index.last_position;
            head.sealed_hash = index.last_hash;
            head.durable_head = head.durable_head.max(index.last_position);
        })?;
        drop(head_file);
        self.unfiled_bytes = 0;
        give_up_journal_files(&self.shared.folder, self.shared.store_id, index.last_position)
    }

    fn head<T>(&self, of: impl FnOnce(&crate::head::Head) -> T) -> T {
        of(self.shared.head_file.lock().unwrap_or_else(PoisonError::into_inner).head())
    }
}

/// Syncs sled's copy and keeps the index, so that the next opening finds both.
pub(crate) fn checkpoint(shared: &Shared) -> Result<(), StorageError> {
    let doing = || "keeping the index of the blocks".to_owned();
    let sled = shared.sled().map_err(|error| StorageError::new(doing(), error))?;
    shared.index_changed.store(false, Ordering::Relaxed);
    let index = shared.view().index.encode();
    sled.put_blob(INDEX_KEY, &index).map_err(|error| StorageError::new(doing(), error))?;
    sled.sync().map_err(|error| StorageError::new("syncing sled's copy", error))
}

/// Removes the journal files all of whose events are in sealed files; never the last one.
fn give_up_journal_files(
    folder: &Folder,
    store_id: [u8; 16],
    sealed_through: Position,
) -> Result<(), StorageError> {
    let numbers = Folder::numbered(&folder.journal(), "journal")?;
    for pair in numbers.windows(2) {
        let [number, next] = pair else { break };
        let path = folder.journal_file(*next);
        let mut header = vec![0; crate::journal::frame::FILE_HEADER_BYTES];
        let doing = || format!("reading {}", path.display());
        let file = fs::File::open(&path).doing(doing)?;
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut header, 0).doing(doing)?;
        let header = FileHeader::parse(&header, store_id)
            .map_err(|error| StorageError::new(doing(), error))?;
        if header.first_position.previous() > sealed_through {
            break;
        }
        let path = folder.journal_file(*number);
        fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
        sync_folder(&folder.journal())?;
    }
    Ok(())
}
