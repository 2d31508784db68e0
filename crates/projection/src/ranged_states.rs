//! The states of all spaces within bounded memory: some spaces at a time, in the order of their ids.

use std::sync::Arc;

use spacefold_event_core::{RecordedEventRef, bytes::to_u64};
use spacefold_state::{SpaceState, SpaceStates, StateHash};

/// Bytes that the states of spaces take in memory where all of them are gone through, about, unless
/// told.
pub const STATES_MEMORY_BYTES: u64 = 128 << 20;

/// What a state without documents and variables takes in memory, at most about.
pub(crate) const NEW_STATE_BYTES: u64 = 768;
/// What an event can add to a state, to what it takes in a page, at most about.
pub(crate) const MEMORY_PER_PAGE_BYTE: u64 = 2;

/// The states of a range of spaces, which is all of them until they take too much memory: then it is
/// the lower half of them by their ids. The rest comes with another reading of the events, after
/// [`RangedStates::next_range`].
///
/// ```
/// use spacefold::{
///     Position, SpaceEvent, log::{AppendRequest, LogReader, LogWriter, MemoryLog, ReadRequest},
///     state::RangedStates,
/// };
/// let log = MemoryLog::new();
/// let created = ["a", "b", "c"].map(|id| SpaceEvent::space_created(id, id));
/// log.append(&AppendRequest::new(&created))?;
/// let mut states = RangedStates::new(1);
/// let mut found = Vec::new();
/// loop {
///     let page = log.read(&ReadRequest::from(Position::new(1)))?;
///     for event in page.events() {
///         states.apply(&event?);
///     }
///     states.has_read(page.memory_bytes());
///     found.extend(states.sorted().iter().map(|state| state.space_id().to_owned()));
///     if !states.next_range() {
///         break;
///     }
/// }
/// assert_eq!(found, ["a", "b", "c"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RangedStates {
    states: SpaceStates,
    /// The range begins behind this id.
    after: Option<String>,
    /// And ends with this one.
    to: Option<String>,
    max_bytes: u64,
    /// About what the states took when they were measured last, and what they may have grown since.
    measured: u64,
    grown: u64,
}

impl RangedStates {
    /// No event yet, of spaces that may take this many bytes of memory, about.
    #[must_use]
    pub const fn new(max_bytes: u64) -> Self {
        Self { states: SpaceStates::new(), after: None, to: None, max_bytes, measured: 0, grown: 0 }
    }

    /// Whether a space is in the range.
    #[must_use]
    pub fn holds(&self, space_id: &str) -> bool {
        self.after.as_deref().is_none_or(|after| after < space_id)
            && self.to.as_deref().is_none_or(|to| space_id <= to)
    }

    /// The id that the range ends with; `None` when it has all spaces that are left.
    #[must_use]
    pub fn end(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// Takes in the next event, if its space is in the range.
    pub fn apply(&mut self, event: &RecordedEventRef<'_>) {
        if self.holds(event.space_id) {
            let before = self.states.len();
            self.states.apply(event);
            if self.states.len() > before {
                self.grown = self.grown.saturating_add(NEW_STATE_BYTES);
            }
        }
    }

    /// Notes that the events taken in since the last time took this many bytes of memory themselves, and
    /// makes the range smaller when its states take too much.
    pub fn has_read(&mut self, bytes: usize) {
        let bytes = to_u64(bytes);
        self.grown = self.grown.saturating_add(bytes.saturating_mul(MEMORY_PER_PAGE_BYTE));
        while self.measured.saturating_add(self.grown) > self.max_bytes {
            self.measured = self.states.memory_bytes();
            self.grown = 0;
            // So that what is left takes a while to grow.
            if self.measured <= self.max_bytes / 4 * 3 || !self.divide() {
                return;
            }
        }
    }

    /// Lets go of the upper half of the spaces; `false` where there is none.
    fn divide(&mut self) -> bool {
        let sorted = self.states.sorted();
        let lower = sorted.len() / 2;
        let Some(last) = lower.checked_sub(1).and_then(|last| sorted.get(last)) else {
            // One space alone takes more: there is nothing to be done about it.
            return false;
        };
        let to = last.space_id().to_owned();
        let mut states = SpaceStates::new();
        sorted.iter().take(lower).for_each(|state| states.insert(Arc::clone(state)));
        self.states = states;
        self.to = Some(to);
        self.grown = self.measured / 2;
        self.measured = 0;
        true
    }

    /// The states of the range, sorted by space id.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Arc<SpaceState>> {
        self.states.sorted()
    }

    /// Goes on to the spaces behind the range, of which no event is taken in yet; `false` when there
    /// are none.
    pub fn next_range(&mut self) -> bool {
        let Some(to) = self.to.take() else { return false };
        self.after = Some(to);
        self.states = SpaceStates::new();
        (self.measured, self.grown) = (0, 0);
        true
    }
}

/// The hash of all states, as [`SpaceStates::hash`] makes it, of states that come in the order of their
/// ids, those of a range at a time.
#[derive(Debug)]
pub struct RangedHash {
    hasher: Box<blake3::Hasher>,
    /// The last id that was taken in, or could have been.
    through: Option<String>,
    is_whole: bool,
}

impl Default for RangedHash {
    fn default() -> Self {
        Self { hasher: Box::new(blake3::Hasher::new()), through: None, is_whole: false }
    }
}

impl RangedHash {
    /// Takes in the states of the range that were not taken in before.
    pub fn take_in(&mut self, states: &RangedStates) {
        if self.is_whole {
            return;
        }
        for state in states.sorted() {
            if self.through.as_deref().is_none_or(|through| through < state.space_id()) {
                self.push(state);
            }
        }
        match states.end() {
            Some(end) if self.through.as_deref().is_none_or(|through| through < end) => {
                self.through = Some(end.to_owned());
            }
            Some(_) => {}
            None => self.is_whole = true,
        }
    }

    /// Takes in the state of the next space.
    pub(crate) fn push(&mut self, state: &SpaceState) {
        SpaceStates::hash_space(&mut self.hasher, state.space_id(), state.state_hash());
    }

    /// The hash of the states that were taken in.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        StateHash::from_bytes(*self.hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests;
