//! Opening a replicated log: which log it is, and reading again what this process has read before.

use std::{
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Instant,
};

use spacefold_event_core::{
    EventLog, LogId, LogIdentity, Pending, Position, StorageError, closing::CloseOnce, lock::Lock,
};
use uuid::Uuid;

use super::{FIRST_PAUSE, LONGEST_PAUSE, LogShared, ReplicatedLog, ReplicatedOptions, Trouble};
use crate::{
    block_log::{BlockLog, BlockLogLimits, PutAnswer, PutOutcome},
    bookmark,
    error::{BlockDamage, ReplicatedOpenError},
    group_block::GroupBlockHeader,
    replica::Replica,
    tail::BlockTail,
    wake::Wake,
};

impl<B: BlockLog> ReplicatedLog<B> {
    /// Opens the log that these blocks hold, and begins one where they hold none. `log` is the log of
    /// this process that follows it: nobody else may append to it, and it is empty or was this before.
    ///
    /// Waits until everything is read that the backend gives, and that `log` holds.
    ///
    /// # Errors
    /// [`ReplicatedOpenError`].
    ///
    /// # Cost
    /// In proportion to the blocks behind the [bookmark](ReplicatedOptions::bookmark_in); without one,
    /// to all of them.
    pub fn open(
        blocks: B,
        log: Arc<dyn EventLog>,
        options: ReplicatedOptions,
    ) -> Result<Self, ReplicatedOpenError> {
        let limits = blocks.limits();
        if limits.max_block_bytes < BlockLogLimits::LEAST_BLOCK_BYTES {
            let max_block_bytes = limits.max_block_bytes;
            return Err(ReplicatedOpenError::TooSmall { backend: blocks.name(), max_block_bytes });
        }
        let opening =
            LogOpening { blocks: &blocks, deadline: Instant::now() + options.open_timeout };
        let begun = begin(&opening, &*log, &options)?;
        let (tail, identity) = begun;
        let wake = Arc::new(Wake::default());
        let writer = Uuid::new_v4().into_bytes();
        let replica = Replica::new(Arc::clone(&log), tail, writer, limits, Arc::clone(&wake))
            .map_err(ReplicatedOpenError::Cache)?;
        let shared = LogShared {
            blocks,
            log,
            identity,
            options,
            replica: Lock::new(replica),
            wake,
            is_closing: AtomicBool::new(false),
            trouble: Lock::new(Trouble::default()),
            marked: Lock::new(0),
        };
        shared.read_again()?;
        Ok(Self::start(Arc::new(shared))?)
    }

    fn start(shared: Arc<LogShared<B>>) -> Result<Self, StorageError> {
        let log = Self {
            shared: Arc::clone(&shared),
            threads: Lock::new(Vec::new()),
            closing: CloseOnce::default(),
        };
        let following = Arc::clone(&shared);
        log.spawn("spacefold-commit", move || shared.commit())?;
        log.spawn("spacefold-follow", move || following.follow())?;
        Ok(log)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StorageError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
        let thread =
            thread.map_err(|error| StorageError::new("starting a thread of the log", error))?;
        self.threads.lock().push(thread);
        Ok(())
    }
}

/// Asking a backend until it answers, or the time is over.
struct LogOpening<'a, B> {
    blocks: &'a B,
    deadline: Instant,
}

impl<B: BlockLog> LogOpening<'_, B> {
    fn check_time(&self, why: impl Into<String>) -> Result<(), ReplicatedOpenError> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let cause = StorageError::new("opening the replicated log", why.into());
        Err(ReplicatedOpenError::Unreachable { backend: self.blocks.name(), cause })
    }

    /// Which log it is: as its first block says, which is put where there is none.
    fn identity(&self) -> Result<LogIdentity, ReplicatedOpenError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.blocks.get(1) {
                Ok(blocks) => match blocks.first() {
                    Some(first) => match read_identity(first) {
                        Ok(identity) => return Ok(identity),
                        Err(cause) => {
                            let damage =
                                ReplicatedOpenError::Damaged { backend: self.blocks.name(), cause };
                            self.check_time("").map_err(|_| damage)?;
                            "the first block is damaged".to_owned()
                        }
                    },
                    None => self.put_first()?,
                },
                Err(error) => error.to_string(),
            };
            self.check_time(why)?;
            self.blocks.wait_for(1, pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Puts a first block, unless there is said to be one; which one is in the end is read.
    fn put_first(&self) -> Result<String, ReplicatedOpenError> {
        match self.blocks.head_hint() {
            Ok(0) => {}
            Ok(head) => return Ok(format!("there are {head} blocks, and the first is not given")),
            Err(error) => return Ok(error.to_string()),
        }
        let identity = LogIdentity::created(LogId::random());
        let writer = Uuid::new_v4().into_bytes();
        let (block, _) = GroupBlockHeader::first(identity, writer).encode(&[]);
        let (answer, put) = Pending::new(|| PutOutcome::Unknown);
        let answer = PutAnswer::new(move |outcome| answer.answer(outcome));
        self.blocks.put_if_absent(1, block.into(), answer);
        Ok(match put.wait() {
            PutOutcome::Landed => "the first block was put, and is not given".to_owned(),
            PutOutcome::Refused => "there is a first block that is not given".to_owned(),
            PutOutcome::Unknown => "nobody knows whether the first block was taken".to_owned(),
        })
    }
}

fn read_identity(block: &[u8]) -> Result<LogIdentity, BlockDamage> {
    let mut tail = BlockTail::start();
    tail.take(block)?;
    tail.identity.ok_or(BlockDamage::OtherLog { place: 1 })
}

/// Where reading begins.
fn begin<B: BlockLog>(
    opening: &LogOpening<'_, B>,
    log: &dyn EventLog,
    options: &ReplicatedOptions,
) -> Result<(BlockTail, LogIdentity), ReplicatedOpenError> {
    let identity = opening.identity()?;
    let bookmark = options.bookmark.as_ref().map(bookmark::read).transpose()?.flatten();
    if let Some(tail) = bookmark {
        if tail.identity.is_some_and(|own| own != identity) {
            let cause = BlockDamage::OtherLog { place: 1 };
            return Err(ReplicatedOpenError::Damaged { backend: opening.blocks.name(), cause });
        }
        if tail.head <= log.head() {
            return Ok((tail, identity));
        }
    }
    Ok((BlockTail::start(), identity))
}

impl<B: BlockLog> LogShared<B> {
    /// Reads until the backend gives no more, and everything is read that the log of this process has.
    fn read_again(&self) -> Result<(), ReplicatedOpenError> {
        let deadline = Instant::now() + self.options.open_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            self.catch_up();
            let (has_read_again, tail, failed) = {
                let replica = self.replica.lock();
                let failed = replica.failure().cloned();
                (replica.has_read_again(), replica.tail().clone(), failed)
            };
            if let Some(error) = failed {
                return Err(error.into());
            }
            let (damage, unreachable, is_missing) = {
                let trouble = self.trouble.lock();
                let is_missing = trouble.missing_since.is_some();
                (trouble.damage.clone(), trouble.unreachable.clone(), is_missing)
            };
            if has_read_again && damage.is_none() && unreachable.is_none() && !is_missing {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let backend = self.blocks.name();
                if let Some(why) = unreachable.filter(|_| damage.is_none()) {
                    let cause = StorageError::new("opening the replicated log", why);
                    return Err(ReplicatedOpenError::Unreachable { backend, cause });
                }
                let cause = damage.unwrap_or_else(|| lacking(&tail, self.log.head()));
                return Err(ReplicatedOpenError::Damaged { backend, cause });
            }
            self.blocks.wait_for(tail.next, pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The blocks end before the events that this process has.
fn lacking(tail: &BlockTail, head: Position) -> BlockDamage {
    let why = format!("the blocks end at position {}, it has events up to {head}", tail.head);
    BlockDamage::Divergent { place: tail.next, why }
}
