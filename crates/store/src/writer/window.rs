//! The retry window of the writer: loaded by a thread of its own once the store is open, so that
//! only an append that needs it waits.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use spacefold_event_core::{Position, ReadError, StorageError, append_rules::RetryWindow};

use crate::shared::Shared;

/// The retry window, or whoever loads it.
pub(super) struct Window {
    state: State,
    events: usize,
    stop: Arc<AtomicBool>,
}

enum State {
    Loading(JoinHandle<Result<RetryWindow, ReadError>>),
    Loaded(RetryWindow),
    /// It could not be loaded: whoever needs it tries again.
    Missing,
}

impl Window {
    /// Begins to load the ids of the newest `events` positions up to `through`.
    pub(super) fn load(shared: &Arc<Shared>, events: usize, through: Position) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut window = Window::empty(events, through);
        let state = if window.head() == through {
            State::Loaded(window)
        } else {
            let (shared, stopped) = (Arc::clone(shared), Arc::clone(&stop));
            let load = move || {
                catch_up(&shared, &mut window, through, &stopped)?;
                Ok(window)
            };
            let thread = thread::Builder::new().name("spacefold-window".to_owned()).spawn(load);
            thread.map_or(State::Missing, State::Loading)
        };
        Self { state, events, stop }
    }

    /// The window brought up to `durable_head`, once it is loaded.
    pub(super) fn wait(
        &mut self,
        shared: &Shared,
        durable_head: Position,
    ) -> Result<&mut RetryWindow, ReadError> {
        let mut window = match mem::replace(&mut self.state, State::Missing) {
            State::Loaded(window) => window,
            State::Loading(thread) => thread.join().unwrap_or_else(|_| {
                Err(StorageError::new("loading the newest event ids", "the thread panicked").into())
            })?,
            State::Missing => Self::empty(self.events, durable_head),
        };
        if window.head() < Self::empty(self.events, durable_head).head() {
            window = Self::empty(self.events, durable_head);
        }
        catch_up(shared, &mut window, durable_head, &self.stop)?;
        self.state = State::Loaded(window);
        match &mut self.state {
            State::Loaded(window) => Ok(window),
            State::Loading(_) | State::Missing => Err(ReadError::Closed),
        }
    }

    /// Whether [`Window::wait`] does not wait.
    pub(super) fn is_loaded(&self) -> bool {
        match &self.state {
            State::Loading(thread) => thread.is_finished(),
            State::Loaded(_) => true,
            State::Missing => false,
        }
    }

    /// A window without the ids that it should have at `head`.
    fn empty(events: usize, head: Position) -> RetryWindow {
        let reach = Position::new(u64::try_from(events).unwrap_or(u64::MAX));
        RetryWindow::new(events, Position::new(head.since(reach)))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let State::Loading(thread) = mem::replace(&mut self.state, State::Missing) {
            // What it has loaded, or why not, is of no use any more.
            let _ = thread.join();
        }
    }
}

/// Takes in the ids that the log has up to `through`, and perhaps some behind it.
fn catch_up(
    shared: &Shared,
    window: &mut RetryWindow,
    through: Position,
    stop: &AtomicBool,
) -> Result<(), ReadError> {
    while window.head() < through && !stop.load(Ordering::Relaxed) {
        let next = window.head().next();
        let Some((first, ids)) = shared.event_ids_at(next)? else {
            break;
        };
        let known = usize::try_from(next.since(first)).unwrap_or(usize::MAX);
        window.extend(ids.get(known..).unwrap_or_default());
    }
    Ok(())
}
