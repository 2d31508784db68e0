//! Folding a log with several threads, each of which folds the spaces that are its own.
//!
//! Every page is read once, by whichever thread needs it first, and handed to all; at most
//! [`PAGES_AHEAD`] are held, so that memory stays bounded when one thread has more to fold than
//! the others. The threads that have less to fold do the reading.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash, Hasher},
    io,
    num::NonZeroUsize,
    sync::{Arc, MutexGuard},
    thread,
};

use rapidhash::{RapidHashMap, fast::GlobalState};
use spacefold_event_core::{
    Envelope, LogReader, Page, Pages, Position, ReadError, ReadRequest, Records,
    bytes::{to_u32, to_u64, to_usize},
    lock::{Condition, Lock},
};
use spacefold_state::{Effect, Effects, SpaceState, SpaceStates};

use super::no_thread;

/// How many pages the fastest thread may be ahead of the slowest.
const PAGES_AHEAD: usize = 16;
/// How many events a thread folds together, about: of more the processor's own cache does not hold the
/// first any more, of fewer a state is come back to more often.
const EVENTS_AT_ONCE: usize = 2_048;

/// The states of some spaces, in one part for each thread that folds.
#[derive(Default)]
pub(super) struct Partitions(Vec<SpaceStates>);

impl Partitions {
    /// Parts that hold these states.
    pub(super) fn of(states: SpaceStates, threads: NonZeroUsize) -> Self {
        let mut parts: Vec<_> = (0..threads.get()).map(|_| SpaceStates::new()).collect();
        for state in states.sorted() {
            if let Some(part) = parts.get_mut(part_of(state.space_id(), threads)) {
                part.insert(Arc::clone(state));
            }
        }
        Self(parts)
    }

    /// The state of a space.
    pub(super) fn get(&self, space_id: &str) -> Option<&Arc<SpaceState>> {
        let threads = NonZeroUsize::new(self.0.len())?;
        self.0.get(part_of(space_id, threads))?.get(space_id)
    }

    /// How many states there are.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(SpaceStates::len).sum()
    }

    /// All of the states.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<SpaceState>> {
        self.0.iter().flat_map(SpaceStates::sorted)
    }

    /// Does the same with every part, each in a thread of its own.
    pub(super) fn each<T: Send>(&self, work: impl Fn(&SpaceStates) -> T + Sync) -> Vec<T> {
        thread::scope(|scope| {
            let work = &work;
            let mut parts = self.0.iter();
            let own = parts.next();
            let spawn = |part| thread::Builder::new().spawn_scoped(scope, move || work(part));
            let others: Vec<_> = parts.map(|part| (part, spawn(part))).collect();
            let mut done: Vec<T> = own.into_iter().map(work).collect();
            // Where there is no thread to be had, this one does it.
            let other =
                |(part, spawned): (_, io::Result<_>)| spawned.map_or_else(|_| work(part), joined);
            done.extend(others.into_iter().map(other));
            done
        })
    }
}

/// Folds the events after `after`, up to `to`, of the spaces that `wanted` selects, and answers what each
/// did. Ends before `to` where the events take more than `max_bytes` in memory.
///
/// Events that a state has taken in already are passed over.
pub(super) fn fold_partitioned(
    log: &dyn LogReader,
    (after, to): (Position, Position),
    max_bytes: u64,
    parts: Partitions,
    wanted: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(Partitions, Effects), ReadError> {
    let Partitions(parts) = parts;
    let threads = NonZeroUsize::new(parts.len()).unwrap_or(NonZeroUsize::MIN);
    let pages = SharedPages {
        readers: threads.get(),
        queue: Lock::new(Queue {
            first: 0,
            pages: VecDeque::new(),
            rest: Rest::Unread(log.pages(ReadRequest::from(after.next()).to(to))),
            bytes_left: max_bytes,
            read_to: after,
            stopped: false,
        }),
        moved: Condition::new(),
    };
    let is_own = |space_id: &str, part| part_of(space_id, threads) == part && wanted(space_id);
    let folded: Vec<Result<FoldedPart, ReadError>> = thread::scope(|scope| {
        let (pages, is_own) = (&pages, &is_own);
        let fold = move |part, states| fold_part(pages, states, |space_id| is_own(space_id, part));
        let mut parts = parts.into_iter().enumerate();
        let own = parts.next();
        let spawn = |(part, states)| {
            let spawned = thread::Builder::new().spawn_scoped(scope, move || fold(part, states));
            // The pages wait for every thread: without one of them the others end as well.
            spawned.inspect_err(|_| drop(StopOthers { pages, done: false }))
        };
        let others: Vec<_> = parts.map(spawn).collect();
        let mut folded: Vec<_> = own.into_iter().map(|(part, states)| fold(part, states)).collect();
        let other = |spawned: io::Result<_>| spawned.map_or_else(|e| Err(no_thread(e)), joined);
        folded.extend(others.into_iter().map(other));
        folded
    });
    let mut effects = Effects::new(after, pages.lock().read_to.min(to));
    let mut parts = Vec::new();
    for folded in folded {
        let folded = folded?;
        parts.push(folded.states);
        effects.merge(folded.effects);
    }
    Ok((Partitions(parts), effects))
}

/// What one thread has folded.
struct FoldedPart {
    states: SpaceStates,
    effects: Effects,
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Folds the spaces that are one thread's own.
fn fold_part(
    pages: &SharedPages<'_>,
    states: SpaceStates,
    is_own: impl Fn(&str) -> bool,
) -> Result<FoldedPart, ReadError> {
    let effects = Effects::new(Position::START, Position::START);
    let mut folded = FoldedPart { states, effects };
    // If this thread ends early, by an error or a panic, the others are not to wait for it.
    let mut stop = StopOthers { pages, done: false };
    let mut nth = 0;
    loop {
        let (mut batch, mut events) = (Vec::new(), 0);
        while events < EVENTS_AT_ONCE
            && let Some(page) = pages.get(nth)?
        {
            events += page.len();
            batch.push(page);
            nth += 1;
        }
        if batch.is_empty() {
            break;
        }
        fold_pages(&batch, &mut folded, &is_own)?;
    }
    stop.done = true;
    Ok(folded)
}

/// The key of a table of spaces: hashed by its bytes alone, which a text of several fields is not.
#[derive(PartialEq, Eq)]
struct SpaceId<'a>(&'a str);

impl Hash for SpaceId<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(self.0.as_bytes());
    }
}

/// The events of one space, by their places.
struct Chain<'a> {
    space_id: &'a str,
    first: u32,
    last: u32,
}

/// Where an event is, and the place of the next one of its space: a list for each space would be moved
/// as it grows.
struct Link {
    run: u32,
    index: u32,
    next: u32,
}

/// The place of no event, and no space of one's own.
const NOWHERE: u32 = u32::MAX;

/// The events of some pages that are of one's own spaces, space by space.
struct OwnEvents<'a> {
    runs: Vec<&'a Records>,
    links: Vec<Link>,
    chains: Vec<Chain<'a>>,
}

impl<'a> OwnEvents<'a> {
    fn of(pages: &'a [Page], is_own: impl Fn(&str) -> bool) -> Self {
        let count = pages.iter().map(Page::len).sum();
        let mut own =
            Self { runs: Vec::new(), links: Vec::with_capacity(count), chains: Vec::new() };
        let mut places: RapidHashMap<SpaceId<'_>, u32> = RapidHashMap::default();
        places.reserve(EVENTS_AT_ONCE / 2);
        let mut chains = Vec::new();
        for (records, indexes) in pages.iter().flat_map(Page::runs) {
            // A space is looked up once a run, however many events it has there.
            chains.clear();
            chains.extend(records.spaces().map(|(space_id, ..)| {
                *places.entry(SpaceId(space_id)).or_insert_with(|| match is_own(space_id) {
                    true => own.add_chain(space_id),
                    false => NOWHERE,
                })
            }));
            let run = to_u32(own.runs.len());
            own.runs.push(records);
            let mut spaces = records.space_indexes();
            let mut next = 0;
            for index in indexes {
                let space = spaces.nth(index - next);
                next = index + 1;
                let chain = space.and_then(|space| chains.get(space)).copied();
                own.add(chain.unwrap_or(NOWHERE), run, to_u32(index));
            }
        }
        own
    }

    fn add_chain(&mut self, space_id: &'a str) -> u32 {
        self.chains.push(Chain { space_id, first: NOWHERE, last: NOWHERE });
        to_u32(self.chains.len() - 1)
    }

    fn add(&mut self, chain: u32, run: u32, index: u32) {
        let Some(chain) = self.chains.get_mut(to_usize(chain)) else { return };
        let at = to_u32(self.links.len());
        match self.links.get_mut(to_usize(chain.last)) {
            Some(last) => last.next = at,
            None => chain.first = at,
        }
        chain.last = at;
        self.links.push(Link { run, index, next: NOWHERE });
    }

    fn envelope(&self, link: &Link) -> Option<Envelope<'a>> {
        self.runs.get(to_usize(link.run))?.envelope(to_usize(link.index))
    }
}

/// Folds the events of some pages that are of one's own spaces, space by space: what the
/// processor's cache has of a space after one event is there for the next.
fn fold_pages(
    pages: &[Page],
    folded: &mut FoldedPart,
    is_own: impl Fn(&str) -> bool,
) -> Result<(), ReadError> {
    let own = OwnEvents::of(pages, is_own);
    // By the places of the events, so that they come in order of position without being sorted.
    let mut effects = vec![(Position::START, Effect::Whole); own.links.len()];
    for Chain { space_id, first, .. } in &own.chains {
        let state = folded.states.state_mut(space_id);
        let mut at = *first;
        while let Some(link) = own.links.get(to_usize(at)) {
            if let Some(envelope) = own.envelope(link)
                && envelope.revision > state.revision()
            {
                let effect = state.apply(&envelope.decode()?);
                if effect != Effect::Whole
                    && let Some(place) = effects.get_mut(to_usize(at))
                {
                    *place = (envelope.position, effect);
                }
            }
            at = link.next;
        }
    }
    for (position, effect) in effects {
        if effect != Effect::Whole {
            folded.effects.push(position, effect);
        }
    }
    Ok(())
}

/// Which thread folds a space.
fn part_of(space_id: &str, threads: NonZeroUsize) -> usize {
    if threads.get() == 1 {
        return 0;
    }
    let parts = to_u64(threads.get());
    to_usize(GlobalState::new().hash_one(SpaceId(space_id)) % parts)
}

/// The pages of a log, each read once and handed to every thread.
struct SharedPages<'a> {
    readers: usize,
    queue: Lock<Queue<'a>>,
    moved: Condition,
}

struct Queue<'a> {
    /// The number of the first page that is held.
    first: u64,
    /// The pages that some thread has still to take, each with how many have.
    pages: VecDeque<(Page, usize)>,
    /// The pages after these.
    rest: Rest<'a>,
    /// How many bytes of pages may still be read.
    bytes_left: u64,
    /// The last position that was.
    read_to: Position,
    /// Whether a thread ended early: the others end too.
    stopped: bool,
}

/// What has not been read yet.
enum Rest<'a> {
    Unread(Pages<'a>),
    /// A thread has taken it out to read the next page.
    Reading,
    Nothing,
}

impl<'a> SharedPages<'a> {
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
            let has_room = queue.pages.len() < PAGES_AHEAD;
            match std::mem::replace(&mut queue.rest, Rest::Reading) {
                Rest::Unread(mut rest) if has_room => {
                    drop(queue);
                    let page = rest.next().transpose()?;
                    queue = self.lock();
                    queue.rest = Rest::Nothing;
                    if let Some(page) = &page {
                        queue.read_to = page.next().previous();
                        let left = queue.bytes_left.checked_sub(to_u64(page.memory_bytes()));
                        queue.bytes_left = left.unwrap_or(0);
                        if left.is_some() {
                            queue.rest = Rest::Unread(rest);
                        }
                    }
                    queue.pages.extend(page.map(|page| (page, 0)));
                    self.moved.notify_all();
                }
                Rest::Nothing => {
                    queue.rest = Rest::Nothing;
                    return Ok(None);
                }
                waiting => {
                    queue.rest = waiting;
                    queue = self.moved.wait(queue);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<'a>> {
        self.queue.lock()
    }
}

impl Queue<'_> {
    fn take(&mut self, nth: u64, readers: usize) -> Option<Page> {
        let index = to_usize(nth.checked_sub(self.first)?);
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
    pages: &'a SharedPages<'b>,
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
