//! The bytes of a content, chunk by chunk, each checked before it is given.

use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
    vec,
};

use spacefold_event_core::{ContentError, ContentHash, bytes::to_u64};

use super::ReadContext;
use crate::{
    chunk_list::{ChunkList, ChunkRef},
    chunks::PARALLEL_BYTES,
};

/// Chunks that are read ahead of the reader of a large content: some MiB at the most.
const CHUNKS_AHEAD: usize = 16;

/// The bytes of a content.
pub(super) struct CheckedReader {
    hash: ContentHash,
    chunks: ChunkSource,
    /// The hash of the chunks so far, when there are several.
    whole: Option<Box<blake3::Hasher>>,
    /// Bytes of the chunks that are not given yet, the present one apart.
    left: u64,
    chunk: Vec<u8>,
    given: usize,
    failed: Option<String>,
}

impl CheckedReader {
    /// The bytes of a content that is one chunk.
    pub(super) fn of_chunk(context: Arc<ReadContext>, chunk: ChunkRef) -> Self {
        Self::new(context, chunk.hash, vec![chunk], None)
    }

    /// The bytes of a content that is a list of chunks.
    pub(super) fn of_list(context: Arc<ReadContext>, hash: ContentHash, list: ChunkList) -> Self {
        Self::new(context, hash, list.chunks, Some(Box::default()))
    }

    fn new(
        context: Arc<ReadContext>,
        hash: ContentHash,
        chunks: Vec<ChunkRef>,
        whole: Option<Box<blake3::Hasher>>,
    ) -> Self {
        let left = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        let chunks = ChunkSource::Here(ChunkLoader { context, hash, left: chunks.into_iter() });
        Self { hash, chunks, whole, left, chunk: Vec::new(), given: 0, failed: None }
    }

    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, ContentError> {
        // What was given by now tells that the rest is wanted too.
        if self.left >= PARALLEL_BYTES && !self.chunk.is_empty() {
            self.chunks.read_ahead();
        }
        let damaged = |what: &str| ContentError::Damaged { hash: self.hash, what: what.to_owned() };
        let chunk = match self.chunks.next() {
            Some(chunk) => chunk?,
            None if self.left == 0 => return Ok(None),
            None => return Err(damaged("reading its chunks has ended early")),
        };
        self.left = self.left.saturating_sub(to_u64(chunk.len()));
        if let Some(whole) = &mut self.whole {
            whole.update(&chunk);
            let expected = blake3::Hash::from_bytes(*self.hash.as_bytes());
            if self.left == 0 && whole.finalize() != expected {
                return Err(damaged("its chunks together have another hash"));
            }
        }
        Ok(Some(chunk))
    }
}

impl BufRead for CheckedReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.given == self.chunk.len() {
            if let Some(what) = &self.failed {
                let what = format!("an earlier read of it failed: {what}");
                return Err(ContentError::Damaged { hash: self.hash, what }.into());
            }
            match self.next_chunk() {
                Ok(None) => return Ok(&[]),
                Ok(Some(chunk)) => (self.chunk, self.given) = (chunk, 0),
                Err(error) => {
                    self.failed = Some(error.to_string());
                    (self.chunk, self.given) = (Vec::new(), 0);
                    return Err(error.into());
                }
            }
        }
        Ok(self.chunk.get(self.given..).unwrap_or(&[]))
    }

    fn consume(&mut self, bytes: usize) {
        self.given = self.given.saturating_add(bytes).min(self.chunk.len());
    }
}

impl Read for CheckedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// Where the chunks of a content come from.
enum ChunkSource {
    /// They are read when they are asked for.
    Here(ChunkLoader),
    /// A thread reads and checks them.
    Ahead { chunks: Receiver<Result<Vec<u8>, ContentError>>, thread: Option<JoinHandle<()>> },
    /// There are none.
    None,
}

impl ChunkSource {
    fn next(&mut self) -> Option<Result<Vec<u8>, ContentError>> {
        match self {
            Self::Here(loader) => loader.next(),
            Self::Ahead { chunks, .. } => chunks.recv().ok(),
            Self::None => None,
        }
    }

    /// Has a thread read and check from now on, where there is one to be had.
    fn read_ahead(&mut self) {
        let Self::Here(loader) = self else { return };
        let ahead = ChunkLoader {
            context: Arc::clone(&loader.context),
            hash: loader.hash,
            left: loader.left.as_slice().to_vec().into_iter(),
        };
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let read = move || {
            for chunk in ahead {
                let is_failure = chunk.is_err();
                // Nobody takes what was read any more, or there is nothing more to be given.
                if sender.send(chunk).is_err() || is_failure {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("spacefold-content".to_owned()).spawn(read);
        if let Ok(thread) = thread {
            *self = Self::Ahead { chunks, thread: Some(thread) };
        }
    }
}

impl Drop for ChunkSource {
    fn drop(&mut self) {
        if let Self::Ahead { thread, .. } = self
            && let Some(thread) = thread.take()
        {
            // The thread ends when nobody takes its chunks, so these go first.
            *self = Self::None;
            // Where it has panicked the chunks have ended early, which was told.
            let _ = thread.join();
        }
    }
}

/// Reads the chunks of a content, and checks each.
struct ChunkLoader {
    context: Arc<ReadContext>,
    hash: ContentHash,
    left: vec::IntoIter<ChunkRef>,
}

impl ChunkLoader {
    fn load(&self, expected: ChunkRef) -> Result<Vec<u8>, ContentError> {
        let damaged = |what: String| ContentError::Damaged { hash: self.hash, what };
        let chunk = self.context.chunk(&expected.hash);
        let chunk = chunk.map_err(|error| match error {
            ContentError::Missing { hash } => damaged(format!("its chunk {hash} is missing")),
            ContentError::Damaged { hash, what } => damaged(format!("its chunk {hash}: {what}")),
            other => other,
        })?;
        if to_u64(chunk.len()) != u64::from(expected.bytes) {
            return Err(damaged(format!("its chunk {} has another length", expected.hash)));
        }
        Ok(chunk)
    }
}

impl Iterator for ChunkLoader {
    type Item = Result<Vec<u8>, ContentError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.left.next()?;
        Some(self.load(next))
    }
}
