//! Where callers wait for the answers to their appends: all of a group are woken by one call.
//!
//! A caller does not know which group its append will be part of. So there are two rooms, of which the
//! writer opens the other one whenever it begins a group: whoever comes later than that waits there,
//! and is mostly not woken for a group that his append is no part of. Who is, waits on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::sync::{Condvar, Mutex, PoisonError};

/// How many rooms there are.
const ROOMS: usize = 2;

/// The rooms.
#[derive(Debug, Default)]
pub(crate) struct WaitingRooms {
    rooms: [Room; ROOMS],
    /// The room for those who come now: whichever it is, everybody is woken.
    open: AtomicUsize,
}

#[derive(Debug, Default)]
struct Room {
    door: Mutex<()>,
    answered: Condvar,
}

/// A place in one of the rooms, for one append. Whoever waits there looks again when it is dropped.
#[derive(Debug)]
pub(crate) struct WaitingPlace {
    rooms: Arc<WaitingRooms>,
    room: usize,
    is_called: bool,
}

/// The rooms that have callers of a group: they are woken when it is dropped, after the answers were
/// given.
#[derive(Debug)]
pub(crate) struct Called {
    rooms: Arc<WaitingRooms>,
    has_callers: [bool; ROOMS],
}

impl WaitingRooms {
    /// Takes a place for an append that is about to be handed over: the place, and the number of its room.
    pub(crate) fn take_place(self: &Arc<Self>) -> (WaitingPlace, usize) {
        let room = self.open.load(Ordering::Relaxed) % ROOMS;
        (WaitingPlace { rooms: Arc::clone(self), room, is_called: false }, room)
    }

    /// Begins a group: whoever comes from now on waits in the other room.
    pub(crate) fn begin_group(self: &Arc<Self>) -> Called {
        self.open.fetch_add(1, Ordering::Relaxed);
        Called { rooms: Arc::clone(self), has_callers: [false; ROOMS] }
    }

    /// Waits in a room until `look` finds an answer.
    pub(crate) fn wait<T>(&self, room: usize, mut look: impl FnMut() -> Option<T>) -> T {
        let Room { door, answered } = self.room(room);
        let mut inside = door.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = look() {
                return answer;
            }
            inside = answered.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn room(&self, room: usize) -> &Room {
        let [even, odd] = &self.rooms;
        if room % ROOMS == 0 { even } else { odd }
    }

    fn wake(&self, room: usize) {
        let Room { door, answered } = self.room(room);
        // Whoever has looked before the answers were given waits by now.
        drop(door.lock().unwrap_or_else(PoisonError::into_inner));
        answered.notify_all();
    }
}

impl Called {
    /// Has whoever waits at a place woken with the others.
    pub(crate) fn add(&mut self, mut place: WaitingPlace) {
        place.is_called = true;
        if let Some(has_callers) = self.has_callers.get_mut(place.room) {
            *has_callers = true;
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        for (room, has_callers) in self.has_callers.into_iter().enumerate() {
            if has_callers {
                self.rooms.wake(room);
            }
        }
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        if !self.is_called {
            self.rooms.wake(self.room);
        }
    }
}
