//! What a shared engine must give: immutable blocks in numbered places, each taken once.

use std::{fmt, sync::Arc, time::Duration};

use spacefold_event_core::StorageError;

/// Blocks in places that are numbered from 1 without gaps: what several writers share.
///
/// # What a backend promises
/// - A place is taken once, and what is in it never changes.
/// - A put that was answered [`PutOutcome::Landed`] is in its place for good, whatever fails after it.
/// - No block is taken beyond the first free place: place 8 is not taken while 7 is free.
///
/// Nothing else is believed. Answers may be lost, puts may land at any time after they were made,
/// reads may be stale, and the head is a hint.
pub trait BlockLog: fmt::Debug + Send + Sync + 'static {
    /// What it is called in messages; no secret is in it.
    fn name(&self) -> String;

    /// What it takes.
    fn limits(&self) -> BlockLogLimits;

    /// Puts a block into a place unless that is taken, and has `answer` say what became of it, at
    /// once or later, from any thread. The answer is bounded in time: where none comes, it is
    /// [`PutOutcome::Unknown`].
    fn put_if_absent(&self, place: u64, block: Arc<[u8]>, answer: PutAnswer);

    /// Blocks from a place on, one after the other without a gap: as many as the backend finds good,
    /// and none where it has none there, or knows of none yet. It need not be up to date.
    ///
    /// # Errors
    /// [`StorageError`] when the backend cannot be read now.
    fn get(&self, from: u64) -> Result<Vec<Arc<[u8]>>, StorageError>;

    /// About the last place that is taken, 0 when none is. It may be too low, and for a while it may
    /// be too high.
    ///
    /// # Errors
    /// [`StorageError`] when the backend cannot be asked now.
    fn head_hint(&self) -> Result<u64, StorageError>;

    /// Waits until a place may be taken, or `timeout` has passed.
    fn wait_for(&self, place: u64, timeout: Duration);
}

/// What a backend takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLogLimits {
    /// Bytes of a block at the most: at least [`BlockLogLimits::LEAST_BLOCK_BYTES`].
    pub max_block_bytes: usize,
    /// How many puts may be under way, to places one after the other. More than 1 only where a put is
    /// refused while the place before its own is free, whatever order they arrive in.
    pub max_in_flight: usize,
}

impl BlockLogLimits {
    /// The least that a backend has to take.
    pub const LEAST_BLOCK_BYTES: usize = 1_024;
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The block is in its place, for good.
    Landed,
    /// It was refused: the place is taken, or one before it is free. An earlier put of the same block
    /// may be what it is taken by.
    Refused,
    /// Nobody knows: it is in its place, will be, or never.
    Unknown,
}

/// Where a backend says what became of a put. Dropped, it says that nobody knows.
pub struct PutAnswer(Option<Box<dyn FnOnce(PutOutcome) + Send>>);

impl PutAnswer {
    /// An answer that is given to `take`.
    pub fn new(take: impl FnOnce(PutOutcome) + Send + 'static) -> Self {
        Self(Some(Box::new(take)))
    }

    /// Says it.
    pub fn give(mut self, outcome: PutOutcome) {
        if let Some(take) = self.0.take() {
            take(outcome);
        }
    }
}

impl Drop for PutAnswer {
    fn drop(&mut self) {
        if let Some(take) = self.0.take() {
            take(PutOutcome::Unknown);
        }
    }
}

impl fmt::Debug for PutAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutAnswer").finish_non_exhaustive()
    }
}
