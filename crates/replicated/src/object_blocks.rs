//! Blocks as objects that are put once: a folder that several processes reach, or a bucket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use spacefold_event_core::{StorageError, bytes::to_u64};
use spacefold_objects::{ObjectError, ObjectErrorKind, ObjectKey, ObjectStorage};
use uuid::Uuid;

use crate::block_log::{BlockLog, BlockLogLimits, PutAnswer, PutOutcome};

/// Bytes of a block at the most: what the largest group takes is less.
const MAX_BLOCK_BYTES: usize = 32 << 20;
/// Bytes, and blocks, after which a read gives what it has.
const READ_BYTES: usize = 8 << 20;
const READ_BLOCKS: usize = 256;
/// Blocks of a folder.
const FOLDER_BLOCKS: u64 = 1_000;
/// The largest number of a place: names have this many digits.
const MAX_PLACE: u64 = 999_999_999_999_999;

/// A [`BlockLog`] whose blocks are objects, named by their places: `log/<thousand>/<place>`.
///
/// An object that is put unless one is there is all that it needs, of a folder
/// ([`FolderStorage`](spacefold_objects::FolderStorage)) or of S3 and its like. One group is under way
/// at a time, so that a place is never taken beyond a free one; whatever waits meanwhile is in the
/// next group. An append takes as long as two puts at the most: a sync in a folder, some 10 to 100 ms
/// on a service. Others see it within the [poll interval](ObjectBlocks::poll_every).
#[derive(Debug)]
pub struct ObjectBlocks {
    storage: Arc<dyn ObjectStorage>,
    poll_interval: Duration,
    /// A place that is known to be taken, with all before it.
    known: AtomicU64,
}

impl ObjectBlocks {
    /// The blocks in a storage, after two puts to the name of an object have shown that the second is
    /// refused there. The object, of a random name in `probe`, is removed.
    ///
    /// # Errors
    /// [`ObjectError`]; of kind [`ObjectErrorKind::Unconditional`] where the second was taken too:
    /// several writers would overwrite each other's blocks.
    pub fn open(storage: Arc<dyn ObjectStorage>) -> Result<Self, ObjectError> {
        let probe = ObjectKey::new(format!("probe/{}", Uuid::new_v4().simple()));
        storage.put_new(&probe, b"first")?;
        let is_taken_twice = storage.put_new(&probe, b"second")?;
        storage.remove(std::slice::from_ref(&probe))?;
        if is_taken_twice {
            let what = format!("trying {}", storage.name());
            let cause = StorageError::new(what, "an object that was there was put anew");
            return Err(ObjectError::new(ObjectErrorKind::Unconditional, cause));
        }
        Ok(Self { storage, poll_interval: Duration::from_millis(50), known: AtomicU64::new(0) })
    }

    /// How often it is looked whether others have put a block; 50 ms unless told. Each look is a
    /// request.
    #[must_use]
    pub const fn poll_every(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    fn failed(error: &ObjectError) -> StorageError {
        error.cause().clone()
    }

    fn is_there(&self, place: u64) -> bool {
        let found = key_of(place).and_then(|key| self.storage.get(&key, 0).ok().flatten());
        found.is_some()
    }
}

fn folder_of(place: u64) -> String {
    format!("log/{:012}", place / FOLDER_BLOCKS)
}

/// The key of a place; `None` of one that is beyond the last.
fn key_of(place: u64) -> Option<ObjectKey> {
    (place <= MAX_PLACE).then(|| ObjectKey::new(format!("{}/{place:015}", folder_of(place))))
}

/// The place that a name is of; `None` of what else lies there.
fn place_of(name: &str) -> Option<u64> {
    let is_digits = name.len() == 15 && name.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| name.parse().ok()).flatten()
}

impl BlockLog for ObjectBlocks {
    fn name(&self) -> String {
        self.storage.name()
    }

    fn limits(&self) -> BlockLogLimits {
        BlockLogLimits { max_block_bytes: MAX_BLOCK_BYTES, max_in_flight: 1 }
    }

    fn put_if_absent(&self, place: u64, block: Arc<[u8]>, answer: PutAnswer) {
        let Some(key) = key_of(place) else { return answer.give(PutOutcome::Refused) };
        answer.give(match self.storage.put_new(&key, &block) {
            Ok(true) => {
                self.known.fetch_max(place, Ordering::SeqCst);
                PutOutcome::Landed
            }
            Ok(false) => PutOutcome::Refused,
            Err(error) => {
                tracing::warn!(%error, %key, "a block was not put, as far as is known");
                PutOutcome::Unknown
            }
        });
    }

    fn get(&self, from: u64) -> Result<Vec<Arc<[u8]>>, StorageError> {
        let (mut blocks, mut bytes): (Vec<Arc<[u8]>>, usize) = (Vec::new(), 0);
        for key in (from.max(1)..).map_while(key_of) {
            if bytes >= READ_BYTES || blocks.len() >= READ_BLOCKS {
                break;
            }
            match self.storage.get(&key, to_u64(MAX_BLOCK_BYTES)) {
                Ok(Some(block)) => {
                    bytes += block.len();
                    blocks.push(block.into());
                }
                Ok(None) => break,
                // What was read before it is good.
                Err(_) if !blocks.is_empty() => break,
                Err(error) => return Err(Self::failed(&error)),
            }
        }
        if let Some(last) = (from.max(1) - 1).checked_add(to_u64(blocks.len())) {
            self.known.fetch_max(if blocks.is_empty() { 0 } else { last }, Ordering::SeqCst);
        }
        Ok(blocks)
    }

    fn head_hint(&self) -> Result<u64, StorageError> {
        let mut last = self.known.load(Ordering::SeqCst);
        loop {
            // Folder by folder, from the one that the next block would be in.
            let folder = folder_of(last + 1);
            let names = self.storage.list_all(&folder).map_err(|error| Self::failed(&error))?;
            let newest = names.iter().filter_map(|name| place_of(name)).max().unwrap_or(0);
            if newest <= last {
                return Ok(last);
            }
            last = newest;
            if !(last + 1).is_multiple_of(FOLDER_BLOCKS) {
                return Ok(last);
            }
        }
    }

    fn wait_for(&self, place: u64, timeout: Duration) {
        let end = Instant::now() + timeout;
        while !self.is_there(place) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(self.poll_interval));
        }
    }
}

#[cfg(test)]
mod tests;
