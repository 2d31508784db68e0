//! Taking content in: cut, hashed, packed and written, the parts of a large one by two threads.

use std::{
    io::Read,
    panic,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread::{self, Builder, Scope, ScopedJoinHandle},
};

use spacefold_event_core::{
    ContentError, ContentHash, ContentStore as _, StoredContent, bytes::to_u64,
};

use super::PackStore;
use crate::{
    chunk_list::ChunkList,
    chunks::{Chunks, PARALLEL_BYTES, WHOLE_CONTENT_BYTES},
    entry::ChunkPacker,
};

/// Chunks of a large content that wait to be stored: some MiB at the most.
const WAITING_CHUNKS: usize = 16;

/// Of a larger content what was written is synced each time there is this much of it, while more of it
/// is read: a sync at its end waits for the last of it alone.
const SYNCED_BYTES: u64 = 32 << 20;

/// Buffers of small contents that are kept for the next ones.
const MAX_KEPT: usize = 4;
/// Bytes of a buffer that is kept, at the most: what a small content needs.
const MAX_KEPT_BYTES: usize = 2 * WHOLE_CONTENT_BYTES;

/// Memory that taking a content in needs.
#[derive(Default)]
pub(super) struct IntakeBuffers {
    read: Vec<u8>,
    packer: ChunkPacker,
}

impl std::fmt::Debug for IntakeBuffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntakeBuffers").field("read", &self.read.len()).finish_non_exhaustive()
    }
}

/// Takes content of at most `limit` bytes, and the hash of all of it where that is known.
pub(super) fn put(
    store: &PackStore,
    limit: u64,
    content: &mut dyn Read,
    known: Option<ContentHash>,
) -> Result<StoredContent, ContentError> {
    store.writer().check()?;
    let IntakeBuffers { read, mut packer } = store.buffers.lock().pop().unwrap_or_default();
    let mut chunks = Chunks::of(content, read);
    let stored = put_chunks(store, limit, &mut chunks, &mut packer, known);
    let read = chunks.into_buffer();
    let mut buffers = store.buffers.lock();
    if buffers.len() < MAX_KEPT && read.len() <= MAX_KEPT_BYTES {
        buffers.push(IntakeBuffers { read, packer });
    }
    stored
}

fn put_chunks(
    store: &PackStore,
    limit: u64,
    chunks: &mut Chunks<'_>,
    packer: &mut ChunkPacker,
    known: Option<ContentHash>,
) -> Result<StoredContent, ContentError> {
    let first = chunks.next().map_err(ContentError::Source)?;
    let known_whole = known.filter(|_| first.is_last);
    let hash = known_whole.unwrap_or_else(|| ContentHash::of(first.bytes));
    let bytes = to_u64(first.bytes.len());
    if bytes > limit {
        return Err(ContentError::TooLarge);
    }
    store.put_chunk(hash, first.bytes, packer)?;
    if first.is_last {
        return Ok(StoredContent { hash, bytes });
    }
    let mut whole = known.is_none().then(blake3::Hasher::new);
    if let Some(whole) = &mut whole {
        whole.update(first.bytes);
    }
    let mut list = ChunkList::default();
    list.push(hash, u32::try_from(bytes).unwrap_or(u32::MAX));
    let mut intake = Intake { store, limit, chunks, packer, whole, read: bytes };
    intake.store_up_to(PARALLEL_BYTES, &mut list)?;
    if intake.read >= PARALLEL_BYTES {
        intake.store_rest(&mut list)?;
    }
    let whole = intake.whole.map(|whole| ContentHash::from_bytes(*whole.finalize().as_bytes()));
    let hash = known.or(whole).unwrap_or(hash);
    if list.chunks.len() > 1 {
        store.put_list(hash, &list)?;
    }
    Ok(StoredContent { hash, bytes: list.bytes })
}

/// A content that is taken in.
struct Intake<'a, 's> {
    store: &'a PackStore,
    limit: u64,
    chunks: &'a mut Chunks<'s>,
    packer: &'a mut ChunkPacker,
    /// Makes the hash of all of it, where that is not known.
    whole: Option<blake3::Hasher>,
    /// Bytes that were read.
    read: u64,
}

impl Intake<'_, '_> {
    /// The next chunk, and what packs it.
    fn next(&mut self) -> Result<Option<(&mut ChunkPacker, &[u8])>, ContentError> {
        let chunk = self.chunks.next().map_err(ContentError::Source)?.bytes;
        self.read += to_u64(chunk.len());
        if self.read > self.limit {
            return Err(ContentError::TooLarge);
        }
        if let Some(whole) = &mut self.whole {
            whole.update(chunk);
        }
        Ok((!chunk.is_empty()).then_some((&mut *self.packer, chunk)))
    }

    /// Stores chunks until this many bytes were read, or there are no more.
    fn store_up_to(&mut self, bytes: u64, list: &mut ChunkList) -> Result<(), ContentError> {
        let store = self.store;
        while self.read < bytes {
            let Some((packer, chunk)) = self.next()? else { return Ok(()) };
            store_chunk(store, chunk, packer, list)?;
        }
        Ok(())
    }

    /// Reads and cuts what is left while another thread stores it.
    fn store_rest(&mut self, list: &mut ChunkList) -> Result<(), ContentError> {
        let store = self.store;
        thread::scope(|scope| {
            let (to_store, chunks) = sync_channel(WAITING_CHUNKS);
            let (stored, free) = channel();
            let storing = StoringThread { store, chunks, stored };
            let Ok(storing) = named("spacefold-content").spawn_scoped(scope, || storing.run(scope))
            else {
                return self.store_up_to(u64::MAX, list);
            };
            let read = self.hand_over(&to_store, &free);
            drop(to_store);
            // What could not be stored came before what could not be read.
            let rest = storing.join().unwrap_or_else(|panic| panic::resume_unwind(panic))?;
            rest.chunks.into_iter().for_each(|chunk| list.push(chunk.hash, chunk.bytes));
            read
        })
    }

    /// Hands over all chunks that are left, in buffers that are free again or new.
    fn hand_over(
        &mut self,
        to_store: &SyncSender<Vec<u8>>,
        free: &Receiver<Vec<u8>>,
    ) -> Result<(), ContentError> {
        loop {
            let Some((_, chunk)) = self.next()? else { return Ok(()) };
            let mut buffer = free.try_recv().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(chunk);
            if to_store.send(buffer).is_err() {
                // Storing has failed, and tells why.
                return Ok(());
            }
        }
    }
}

/// Stores the chunks that it is given.
struct StoringThread<'a> {
    store: &'a PackStore,
    chunks: Receiver<Vec<u8>>,
    stored: Sender<Vec<u8>>,
}

impl<'scope> StoringThread<'scope> {
    /// Stores all chunks, and lists them.
    fn run(self, scope: &'scope Scope<'scope, '_>) -> Result<ChunkList, ContentError> {
        let store = self.store;
        let (mut list, mut packer) = (ChunkList::default(), ChunkPacker::default());
        let (mut unsynced, mut syncing) = (0, None::<ScopedJoinHandle<'_, ()>>);
        for chunk in self.chunks {
            store_chunk(store, &chunk, &mut packer, &mut list)?;
            unsynced += to_u64(chunk.len());
            // Nobody may be left who would use it again.
            let _ = self.stored.send(chunk);
            if unsynced >= SYNCED_BYTES
                && syncing.as_ref().is_none_or(ScopedJoinHandle::is_finished)
            {
                unsynced = 0;
                // A failure is noted: the store takes no more then. Where there is no thread to be
                // had, whoever syncs at the end has more to wait for.
                let sync = || drop(store.sync());
                syncing = named("spacefold-content-sync").spawn_scoped(scope, sync).ok();
            }
        }
        Ok(list)
    }
}

fn named(name: &str) -> Builder {
    Builder::new().name(name.to_owned())
}

fn store_chunk(
    store: &PackStore,
    chunk: &[u8],
    packer: &mut ChunkPacker,
    list: &mut ChunkList,
) -> Result<(), ContentError> {
    let hash = ContentHash::of(chunk);
    list.push(hash, u32::try_from(chunk.len()).unwrap_or(u32::MAX));
    store.put_chunk(hash, chunk, packer)
}
