//! The durable head as subscribers see it, and how they wait for it to move.
//!
//! One watcher follows the log and calls [`HeadWatch::advance`]; any number of subscribers wait.
//! Whoever waits for events of which there are none among the new ones is not woken: it is noted
//! that it has passed them.

use std::{
    collections::{BTreeMap, BTreeSet},
    task::{Poll, Waker},
    time::Instant,
};

use spacefold_event_core::{Position, ReadError};

use crate::sync::{Mutex, MutexGuard, PoisonError};

/// The durable head, to be waited for by those who have joined; `I` is what each is interested in.
#[derive(Debug)]
pub(crate) struct HeadWatch<I> {
    state: Mutex<WatchState<I>>,
}

#[derive(Debug)]
struct WatchState<I> {
    head: Position,
    members: BTreeMap<MemberId, Member<I>>,
    next_id: u64,
    /// Whether somebody follows the log.
    is_watched: bool,
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(u64);

#[derive(Debug)]
struct Member<I> {
    interest: I,
    /// Nothing up to here is of interest to it any more.
    passed: Position,
    /// Set while it waits.
    waker: Option<Waker>,
    /// When it wants to be woken though nothing has come.
    due: Option<Instant>,
    failure: Option<ReadError>,
    is_closed: bool,
}

/// Why a member goes on.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The head lies beyond what it has passed.
    Head { passed: Position },
    /// The log cannot be followed, for now.
    Failed(ReadError),
    /// It, or the watch, was closed.
    Closed,
}

/// What a new member has to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    Already,
    /// Nobody follows the log: the new member has to see to it that somebody does.
    NotYet,
}

/// Whom a move of the head has woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Somebody,
    Nobody,
}

impl<I: Clone> HeadWatch<I> {
    pub(crate) fn new() -> Self {
        let state = WatchState {
            head: Position::START,
            members: BTreeMap::new(),
            next_id: 0,
            is_watched: false,
            is_closed: false,
        };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, WatchState<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The durable head as it was announced last.
    pub(crate) fn head(&self) -> Position {
        self.state().head
    }

    /// Takes part, until [`HeadWatch::leave`].
    pub(crate) fn join(&self, interest: I) -> (MemberId, Watched) {
        let mut state = self.state();
        let id = MemberId(state.next_id);
        state.next_id += 1;
        let member = Member {
            interest,
            passed: Position::START,
            waker: None,
            due: None,
            failure: None,
            is_closed: false,
        };
        state.members.insert(id, member);
        let was_watched = std::mem::replace(&mut state.is_watched, true);
        (id, if was_watched { Watched::Already } else { Watched::NotYet })
    }

    pub(crate) fn leave(&self, id: MemberId) {
        self.state().members.remove(&id);
    }

    /// What the members are interested in.
    pub(crate) fn interests(&self) -> Vec<I> {
        self.state().members.values().map(|member| member.interest.clone()).collect()
    }

    /// Whether the watcher is to go on. After `false` the next one who joins is told that nobody
    /// follows the log.
    pub(crate) fn is_still_watched(&self) -> bool {
        let mut state = self.state();
        state.is_watched = !state.members.is_empty() && !state.is_closed;
        state.is_watched
    }

    /// Answers at once when there is something behind `seen`; otherwise `waker` is woken when
    /// there is, when the member or the watch is closed, and, within about the time of one wait of
    /// the watcher, when `due` has come.
    pub(crate) fn poll(
        &self,
        id: MemberId,
        seen: Position,
        due: Option<Instant>,
        waker: &Waker,
    ) -> Poll<Turn> {
        let mut state = self.state();
        let (head, is_closed) = (state.head, state.is_closed);
        let Some(member) = state.members.get_mut(&id) else {
            return Poll::Ready(Turn::Closed);
        };
        member.waker = None;
        if is_closed || member.is_closed {
            return Poll::Ready(Turn::Closed);
        }
        if let Some(failure) = member.failure.take() {
            return Poll::Ready(Turn::Failed(failure));
        }
        member.passed = member.passed.max(seen);
        if head > member.passed {
            return Poll::Ready(Turn::Head { passed: member.passed });
        }
        member.waker = Some(waker.clone());
        member.due = due;
        Poll::Pending
    }

    /// How far a member has passed events that are of no interest to it.
    pub(crate) fn passed(&self, id: MemberId) -> Position {
        self.state().members.get(&id).map_or(Position::START, |member| member.passed)
    }

    /// Moves the head, and wakes those who wait and `may_be_of_interest` to whom the events are
    /// that lie between. For the watcher alone.
    ///
    /// That is asked without the lock; who begins to wait meanwhile is woken in vain.
    pub(crate) fn advance(
        &self,
        head: Position,
        mut may_be_of_interest: impl FnMut(&I) -> bool,
    ) -> Woken {
        let (before, waiting) = {
            let state = self.state();
            let waiting = state.members.iter().filter(|(_, member)| member.waker.is_some());
            let waiting: Vec<(MemberId, I)> =
                waiting.map(|(id, member)| (*id, member.interest.clone())).collect();
            (state.head, waiting)
        };
        let unmoved: BTreeSet<MemberId> = waiting
            .into_iter()
            .filter(|(_, interest)| !may_be_of_interest(interest))
            .map(|(id, _)| id)
            .collect();
        let mut woken = Vec::new();
        let mut state = self.state();
        state.head = state.head.max(head);
        for (id, member) in &mut state.members {
            if member.waker.is_none() || member.passed >= head {
                continue;
            }
            if member.passed >= before && unmoved.contains(id) {
                member.passed = head;
            } else {
                woken.extend(member.waker.take());
            }
        }
        drop(state);
        let outcome = if woken.is_empty() { Woken::Nobody } else { Woken::Somebody };
        woken.into_iter().for_each(Waker::wake);
        outcome
    }

    /// Wakes those whose time has come.
    pub(crate) fn wake_due(&self, now: Instant) {
        self.wake(|member| member.due.is_some_and(|due| due <= now));
    }

    /// Tells those who wait that the log cannot be followed.
    pub(crate) fn fail(&self, error: &ReadError) {
        self.wake(|member| {
            let waits = member.waker.is_some();
            if waits {
                member.failure = Some(error.clone());
            }
            waits
        });
    }

    /// Closes one member: it is woken, and goes on no more.
    pub(crate) fn close_member(&self, id: MemberId) {
        let waker = self.state().members.get_mut(&id).and_then(|member| {
            member.is_closed = true;
            member.waker.take()
        });
        waker.into_iter().for_each(Waker::wake);
    }

    /// Closes the watch for everybody.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.wake(|_| true);
    }

    fn wake(&self, mut whom: impl FnMut(&mut Member<I>) -> bool) {
        let mut woken = Vec::new();
        let mut state = self.state();
        for member in state.members.values_mut() {
            if whom(member) {
                woken.extend(member.waker.take());
            }
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}
