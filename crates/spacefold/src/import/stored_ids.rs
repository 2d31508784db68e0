//! Which ids the log has: exactly, for any number of events, in bounded memory.
//!
//! Of each id in the covered stretch of the log, 50 bits are kept. An id whose bits are not among
//! them is not stored there. One whose bits are is looked for in the log itself, in a pass over
//! the id columns that goes on where the last one found something: for input that repeats what
//! is stored in the order it is stored in, all passes together read each page once.

use rapidhash::RapidHashSet;
use spacefold_event_core::{EventId, LogReader, Position, ReadError, ReadRequest, bytes::to_usize};

/// Events whose ids are kept in memory, about 80 MB of them; the stretch after is searched for the
/// ids of each window.
pub(super) const MAX_COVERED_EVENTS: usize = 16 << 20;

/// The ids of a log, as far as an import has to know them.
#[derive(Debug)]
pub(super) struct StoredIds {
    fingerprints: Fingerprints,
    max_covered: usize,
    /// Every id up to here has its fingerprint kept; no id after here need have.
    covered: Position,
    /// Where the next search of the covered stretch begins, and of the stretch after it.
    covered_cursor: Position,
    uncovered_cursor: Position,
}

impl StoredIds {
    pub(super) fn new(max_covered: usize) -> Self {
        Self {
            fingerprints: Fingerprints::new(),
            max_covered,
            covered: Position::START,
            covered_cursor: Position::START,
            uncovered_cursor: Position::START,
        }
    }

    /// Which of `ids` are stored, up to the durable head.
    pub(super) fn known(
        &mut self,
        log: &dyn LogReader,
        ids: impl Iterator<Item = EventId>,
    ) -> Result<RapidHashSet<EventId>, ReadError> {
        self.cover(log)?;
        let ids: RapidHashSet<EventId> = ids.collect();
        let mut wanted: RapidHashSet<EventId> =
            ids.iter().filter(|id| self.fingerprints.may_hold(**id)).copied().collect();
        let mut known = RapidHashSet::default();
        let covered = (Position::START.next(), self.covered);
        search(log, covered, &mut self.covered_cursor, &mut wanted, &mut known)?;
        let head = log.durable_head();
        if head > self.covered {
            let mut wanted = ids.difference(&known).copied().collect();
            let uncovered = (self.covered.next(), head);
            search(log, uncovered, &mut self.uncovered_cursor, &mut wanted, &mut known)?;
        }
        Ok(known)
    }

    /// Takes up ids that were just stored, from `first` on.
    pub(super) fn appended(&mut self, first: Position, ids: &[EventId]) {
        // Behind a stretch that is not covered, or that someone else has written, they are read
        // from the log like any others.
        if first == self.covered.next() && self.room() >= ids.len() {
            for id in ids {
                self.fingerprints.insert(*id);
                self.covered = self.covered.next();
            }
        }
    }

    /// Covers the log up to its durable head, as far as memory allows.
    fn cover(&mut self, log: &dyn LogReader) -> Result<(), ReadError> {
        if self.room() == 0 {
            return Ok(());
        }
        let read = ReadRequest::from(self.covered.next());
        let limit = self.room().min(read.limit);
        for page in log.pages(read.limit(limit)) {
            for envelope in page?.envelopes().take(self.room()) {
                self.fingerprints.insert(envelope.event_id);
                self.covered = envelope.position;
            }
            if self.room() == 0 {
                break;
            }
        }
        Ok(())
    }

    fn room(&self) -> usize {
        self.max_covered.saturating_sub(self.fingerprints.len)
    }
}

/// Moves what is found in a stretch of the log, both ends inclusive, from `wanted` to `known`: one
/// round from the cursor on, which ends as soon as nothing is wanted any more.
fn search(
    log: &dyn LogReader,
    (from, to): (Position, Position),
    cursor: &mut Position,
    wanted: &mut RapidHashSet<EventId>,
    known: &mut RapidHashSet<EventId>,
) -> Result<(), ReadError> {
    if from > to {
        return Ok(());
    }
    let start = if (from..=to).contains(cursor) { *cursor } else { from };
    for (from, to) in [(start, to), (from, start.previous())] {
        let mut pages = log.pages(ReadRequest::from(from).to(to));
        while !wanted.is_empty()
            && let Some(page) = pages.next().transpose()?
        {
            for envelope in page.envelopes() {
                if wanted.remove(&envelope.event_id) {
                    known.insert(envelope.event_id);
                    *cursor = envelope.position.next();
                }
            }
        }
    }
    Ok(())
}

/// A set of ids that is never wrong about what it does not hold, at some four bytes an id.
#[derive(Debug)]
struct Fingerprints {
    /// By the upper bits of an id's hash, the lower ones of each id that has them.
    buckets: Vec<Vec<u32>>,
    len: usize,
}

const BUCKET_BITS: u32 = 18;

impl Fingerprints {
    fn new() -> Self {
        Self { buckets: vec![Vec::new(); 1 << BUCKET_BITS], len: 0 }
    }

    fn may_hold(&self, id: EventId) -> bool {
        let (bucket, rest) = split(id);
        self.buckets.get(bucket).is_some_and(|bucket| bucket.contains(&rest))
    }

    fn insert(&mut self, id: EventId) {
        let (bucket, rest) = split(id);
        let Some(bucket) = self.buckets.get_mut(bucket) else {
            return;
        };
        if bucket.len() == bucket.capacity() {
            // Growing by a quarter wastes less than doubling would.
            bucket.reserve_exact(bucket.len() / 4 + 4);
        }
        bucket.push(rest);
        self.len += 1;
    }
}

/// The bucket of an id and what is kept of it there.
fn split(id: EventId) -> (usize, u32) {
    const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let product = u128::from_le_bytes(*id.as_bytes()).wrapping_mul(FACTOR);
    let mixed = (product ^ (product >> 67)).wrapping_mul(FACTOR);
    let [a, b, c, d, e, f, g, h, ..] = mixed.to_be_bytes();
    let upper = u32::from_be_bytes([a, b, c, d]) >> (u32::BITS - BUCKET_BITS);
    let bucket = to_usize(upper);
    (bucket, u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests;
