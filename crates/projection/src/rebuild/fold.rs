//! Folding a log with several threads, each of which folds the spaces that are its own.
//!
//! Every page is read once, by whichever thread needs it first, and handed to all; at most
//! [`PAGES_AHEAD`] are held, so that memory stays bounded when one thread has more to fold than
//! the others. The threads that have less to fold do the reading.

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustc_hash::{FxHashMap, FxHasher};
use spacefold_event_core::{Envelope, EventLog, Page, Position, Read, ReadError};

use crate::{
    SpaceStates,
    live_states::{corrupt, stuck},
};

/// How many pages the fastest thread may be ahead of the slowest.
const PAGES_AHEAD: usize = 16;
/// How many pages a thread folds together.
const PAGES_AT_ONCE: usize = 4;

/// The states of all spaces at `head`.
pub(super) fn fold_partitioned(
    log: &dyn EventLog,
    head: Position,
    threads: NonZeroUsize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<SpaceStates, ReadError> {
    let pages = Pages {
        log,
        head,
        readers: threads.get(),
        progress,
        queue: Mutex::new(Queue {
            first: 0,
            pages: VecDeque::new(),
            next: Position::new(1),
            reading: false,
            stopped: false,
        }),
        moved: Condvar::new(),
    };
    let folded = thread::scope(|scope| {
        let pages = &pages;
        let others: Vec<_> = (1..threads.get())
            .map(|part| scope.spawn(move || fold_part(pages, part, threads)))
            .collect();
        let mut folded = vec![fold_part(pages, 0, threads)];
        for other in others {
            match other.join() {
                Ok(part) => folded.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        folded
    });
    let mut states = SpaceStates::new();
    for part in folded {
        states.absorb(part?);
    }
    Ok(states)
}

/// Folds the spaces that are one thread's own.
fn fold_part(
    pages: &Pages<'_>,
    part: usize,
    threads: NonZeroUsize,
) -> Result<SpaceStates, ReadError> {
    // If this thread ends early, by an error or a panic, the others are not to wait for it.
    let mut stop = StopOthers { pages, done: false };
    let mut states = SpaceStates::new();
    let mut nth = 0;
    loop {
        let mut batch = Vec::with_capacity(PAGES_AT_ONCE);
        while batch.len() < PAGES_AT_ONCE
            && let Some(page) = pages.get(nth)?
        {
            batch.push(page);
            nth += 1;
        }
        if batch.is_empty() {
            break;
        }
        fold_pages(&batch, &mut states, |space_id| part_of(space_id, threads) == part)?;
    }
    stop.done = true;
    Ok(states)
}

/// Folds the events of some pages that are of one's own spaces, space by space: what the
/// processor's cache has of a space after one event is there for the next.
fn fold_pages(
    pages: &[Page],
    states: &mut SpaceStates,
    is_own: impl Fn(&str) -> bool,
) -> Result<(), ReadError> {
    let mut places: FxHashMap<&str, Option<usize>> = FxHashMap::default();
    let mut spaces: Vec<(&str, Vec<Envelope<'_>>)> = Vec::new();
    for envelope in pages.iter().flat_map(Page::envelopes) {
        let space_id = envelope.space_id;
        let place = places.entry(space_id).or_insert_with(|| {
            is_own(space_id).then(|| {
                spaces.push((space_id, Vec::new()));
                spaces.len() - 1
            })
        });
        if let Some((_, envelopes)) = place.and_then(|place| spaces.get_mut(place)) {
            envelopes.push(envelope);
        }
    }
    for (space_id, envelopes) in spaces {
        let state = states.state_mut(space_id);
        for envelope in envelopes {
            let position = envelope.position;
            let event = envelope.decode().map_err(|cause| corrupt(position, cause))?;
            state.apply(&event);
        }
    }
    Ok(())
}

/// Which thread folds a space.
fn part_of(space_id: &str, threads: NonZeroUsize) -> usize {
    if threads.get() == 1 {
        return 0;
    }
    let mut hasher = FxHasher::default();
    space_id.hash(&mut hasher);
    let parts = u64::try_from(threads.get()).unwrap_or(u64::MAX);
    // The upper half is the better mixed one.
    usize::try_from((hasher.finish() >> 32) % parts).unwrap_or(0)
}

/// The pages of a log, each read once and handed to every thread.
struct Pages<'a> {
    log: &'a dyn EventLog,
    head: Position,
    readers: usize,
    progress: &'a (dyn Fn(u64) + Sync),
    queue: Mutex<Queue>,
    moved: Condvar,
}

struct Queue {
    /// The number of the first page that is held.
    first: u64,
    /// The pages that some thread has still to take, each with how many have.
    pages: VecDeque<(Page, usize)>,
    /// Where the next page begins.
    next: Position,
    /// Whether a thread is reading it.
    reading: bool,
    /// Whether a thread ended early: the others end too.
    stopped: bool,
}

impl Pages<'_> {
    /// The page of this number, which each thread asks for in turn; `None` after the last one.
    fn get(&self, nth: u64) -> Result<Option<Page>, ReadError> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return Ok(None);
            }
            if let Some(page) = queue.take(nth, self.readers) {
                self.moved.notify_all();
                return Ok(Some(page));
            }
            if queue.next > self.head {
                return Ok(None);
            }
            if queue.reading || queue.pages.len() >= PAGES_AHEAD {
                queue = self.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.reading = true;
            let from = queue.next;
            drop(queue);
            let page = self.log.read(&Read::from(from).to(self.head))?;
            if page.next() <= from {
                return Err(stuck(from));
            }
            let read = page.next().previous().min(self.head);
            (self.progress)(read.get());
            queue = self.lock();
            queue.reading = false;
            queue.next = page.next();
            queue.pages.push_back((page, 0));
            self.moved.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn take(&mut self, nth: u64, readers: usize) -> Option<Page> {
        let index = usize::try_from(nth.checked_sub(self.first)?).ok()?;
        let (page, taken) = self.pages.get_mut(index)?;
        *taken += 1;
        let page = page.clone();
        while self.pages.front().is_some_and(|(_, taken)| *taken >= readers) {
            self.pages.pop_front();
            self.first += 1;
        }
        Some(page)
    }
}

/// Ends the other threads, unless its own came to the last page.
struct StopOthers<'a, 'b> {
    pages: &'a Pages<'b>,
    done: bool,
}

impl Drop for StopOthers<'_, '_> {
    fn drop(&mut self) {
        if !self.done {
            self.pages.lock().stopped = true;
            self.pages.moved.notify_all();
        }
    }
}
