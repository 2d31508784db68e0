//! A block log in memory that does everything a backend may do to a protocol, by a seed: it loses
//! answers, delays and reorders puts, gives stale reads and wrong hints. It forgets nothing that it has
//! acknowledged, unless it is told to lie.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use spacefold_event_core::{
    StorageError,
    bytes::{to_u64, to_usize},
    lock::{Condition, Lock},
};

use crate::block_log::{BlockLog, BlockLogLimits, PutAnswer, PutOutcome};

/// What a simulated block log does that no backend may: planted faults, which tests have to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockLie {
    /// It replaces the last block by another one that is put there.
    Replaces,
    /// It says that a put has landed which it drops.
    AcknowledgesEarly,
    /// It says that a put has landed which it refused.
    AcknowledgesRefused,
    /// It loses the last block, which it has acknowledged.
    Forgets,
    /// It gives the blocks behind one that it does not give, as if they were in its place.
    Skips,
}

/// A simulated [`BlockLog`]: clones are the same one, as connections to a server are.
#[derive(Clone, Debug)]
pub struct SimBlocks {
    state: Arc<Lock<SimBlocksState>>,
    landed: Arc<Condition>,
    limits: BlockLogLimits,
}

#[derive(Debug)]
struct SimBlocksState {
    random: SmallRandom,
    blocks: Vec<Arc<[u8]>>,
    puts: Vec<PutUnderWay>,
    is_stepped: bool,
    is_calm: bool,
    lie: Option<BlockLie>,
}

#[derive(Debug)]
struct PutUnderWay {
    place: u64,
    block: Arc<[u8]>,
    answer: Option<PutAnswer>,
}

/// SplitMix64: enough for schedules, the same everywhere.
#[derive(Debug)]
struct SmallRandom(u64);

impl SmallRandom {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

impl SimBlocks {
    /// An empty one that settles puts by itself, as a server does.
    #[must_use]
    pub fn new(seed: u64, limits: BlockLogLimits) -> Self {
        let state = SimBlocksState {
            random: SmallRandom(seed),
            blocks: Vec::new(),
            puts: Vec::new(),
            is_stepped: false,
            is_calm: false,
            lie: None,
        };
        let (state, landed) = (Arc::new(Lock::new(state)), Arc::new(Condition::new()));
        Self { state, landed, limits }
    }

    /// The same where puts stay under way until [`SimBlocks::step`] settles one.
    #[must_use]
    pub fn stepped(self) -> Self {
        self.state.lock().is_stepped = true;
        self
    }

    /// The same, telling this lie now and then.
    #[must_use]
    pub fn lying(self, lie: BlockLie) -> Self {
        self.state.lock().lie = Some(lie);
        self
    }

    /// Settles some put that is under way: whether there was one.
    pub fn step(&self) -> bool {
        let mut state = self.state.lock();
        let under_way = to_u64(state.puts.len());
        if under_way == 0 {
            return false;
        }
        let which = to_usize(state.random.below(under_way));
        let (answer, outcome) = state.settle(which);
        drop(state);
        self.landed.notify_all();
        if let Some(answer) = answer {
            answer.give(outcome);
        }
        true
    }

    /// Does nothing of the kind any more: everything is settled, and read as it is.
    pub fn calm(&self) {
        self.state.lock().is_calm = true;
        while self.step() {}
    }

    /// How many blocks there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        to_u64(self.state.lock().blocks.len())
    }

    /// Whether there is no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SimBlocksState {
    /// Settles a put: who is answered, and what.
    fn settle(&mut self, which: usize) -> (Option<PutAnswer>, PutOutcome) {
        let PutUnderWay { place, block, answer } = self.puts.swap_remove(which);
        if !self.is_calm && self.random.one_in(12) {
            // It never arrives.
            return (answer, PutOutcome::Unknown);
        }
        let lies = self.random.one_in(6);
        let lie = self.lie.filter(|_| lies && !self.is_calm);
        let last = to_u64(self.blocks.len());
        let outcome = match lie {
            Some(BlockLie::Replaces) if place == last && place > 1 => {
                self.blocks.pop();
                self.blocks.push(block);
                PutOutcome::Landed
            }
            Some(BlockLie::AcknowledgesEarly) if place == last + 1 => PutOutcome::Landed,
            Some(BlockLie::AcknowledgesRefused) if place == last => PutOutcome::Landed,
            Some(BlockLie::Forgets) if last > 1 => {
                self.blocks.pop();
                PutOutcome::Refused
            }
            _ if place == last + 1 => {
                self.blocks.push(block);
                PutOutcome::Landed
            }
            _ => PutOutcome::Refused,
        };
        if !self.is_calm && self.random.one_in(8) {
            // The answer is lost.
            return (answer, PutOutcome::Unknown);
        }
        (answer, outcome)
    }
}

impl BlockLog for SimBlocks {
    fn name(&self) -> String {
        "simulated blocks".to_owned()
    }

    fn limits(&self) -> BlockLogLimits {
        self.limits
    }

    fn put_if_absent(&self, place: u64, block: Arc<[u8]>, answer: PutAnswer) {
        let mut state = self.state.lock();
        state.puts.push(PutUnderWay { place, block, answer: Some(answer) });
        if state.is_stepped {
            return;
        }
        let newest = state.puts.len() - 1;
        let (answer, outcome) = if state.random.one_in(12) {
            // It lands later, if it does.
            let answer = state.puts.last_mut().and_then(|put| put.answer.take());
            (answer, PutOutcome::Unknown)
        } else {
            state.settle(newest)
        };
        let is_late = state.puts.len() > 4 || state.random.one_in(4);
        drop(state);
        if let Some(answer) = answer {
            answer.give(outcome);
        }
        if is_late {
            self.step();
        }
        self.landed.notify_all();
    }

    fn get(&self, from: u64) -> Result<Vec<Arc<[u8]>>, StorageError> {
        let mut state = self.state.lock();
        let last = to_u64(state.blocks.len());
        if !state.is_calm && state.random.one_in(16) {
            return Err(StorageError::new("reading simulated blocks", "no answer"));
        }
        let is_stale = !state.is_calm && state.random.one_in(3);
        let end = if is_stale { state.random.below(last + 1) } else { last };
        let skips = !state.is_calm && state.lie == Some(BlockLie::Skips) && state.random.one_in(4);
        let begin = to_usize(from.saturating_sub(1)) + usize::from(skips && from > 1);
        let blocks = state.blocks.get(begin..to_usize(end)).unwrap_or_default();
        Ok(blocks.to_vec())
    }

    fn head_hint(&self) -> Result<u64, StorageError> {
        let mut state = self.state.lock();
        let last = to_u64(state.blocks.len());
        if state.is_calm || last == 0 {
            return Ok(last);
        }
        Ok(match state.random.below(4) {
            0 => state.random.below(last + 1),
            1 => last + state.random.below(3),
            _ => last,
        })
    }

    fn wait_for(&self, place: u64, timeout: Duration) {
        let end = Instant::now() + timeout;
        let mut state = self.state.lock();
        while to_u64(state.blocks.len()) < place {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (state, _) = self.landed.wait_timeout(state, left);
        }
    }
}
