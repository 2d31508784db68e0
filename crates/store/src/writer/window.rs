//! The retry window of the writer: loaded by a thread of its own, so that only an append that needs
//! it waits.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use spacefold_event_core::{Position, ReadError, StorageError, append_rules::RetryWindow};

use crate::shared::Shared;

/// How long whoever opens a store has it to himself: most programs read first, and loading takes as
/// much of a processor as reading what is loaded.
const HEAD_START: Duration = Duration::from_secs(1);

/// The retry window, or whoever loads it.
pub(super) struct Window {
    state: State,
    events: usize,
    stop: Arc<AtomicBool>,
}

enum State {
    /// It begins when the sender goes, or after a while.
    Loading(Sender<()>, JoinHandle<Result<RetryWindow, ReadError>>),
    Loaded(RetryWindow),
    /// It could not be loaded: whoever needs it tries again.
    Missing,
}

impl Window {
    /// Loads the ids of the newest `events` positions up to `through`, soon or once they are needed.
    pub(super) fn load(shared: &Arc<Shared>, events: usize, through: Position) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut window = Window::empty(events, through);
        let state = if window.head() == through {
            State::Loaded(window)
        } else {
            let (shared, stopped) = (Arc::clone(shared), Arc::clone(&stop));
            let (begin, begun): (Sender<()>, Receiver<()>) = bounded(0);
            let load = move || {
                // Nothing is ever sent: it ends when it is time, or when the sender goes.
                let _ = begun.recv_timeout(HEAD_START);
                catch_up(&shared, &mut window, through, &stopped)?;
                Ok(window)
            };
            let thread = thread::Builder::new().name("spacefold-window".to_owned()).spawn(load);
            thread.map_or(State::Missing, |thread| State::Loading(begin, thread))
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
            State::Loading(begin, thread) => {
                drop(begin);
                thread.join().unwrap_or_else(|_| {
                    let doing = "loading the newest event ids";
                    Err(StorageError::new(doing, "the thread panicked").into())
                })?
            }
            State::Missing => Self::empty(self.events, durable_head),
        };
        if window.head() < Self::empty(self.events, durable_head).head() {
            window = Self::empty(self.events, durable_head);
        }
        catch_up(shared, &mut window, durable_head, &self.stop)?;
        self.state = State::Loaded(window);
        match &mut self.state {
            State::Loaded(window) => Ok(window),
            State::Loading(..) | State::Missing => Err(ReadError::Closed),
        }
    }

    /// Whether [`Window::wait`] does not wait.
    pub(super) fn is_loaded(&self) -> bool {
        match &self.state {
            State::Loading(_, thread) => thread.is_finished(),
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
        if let State::Loading(begin, thread) = mem::replace(&mut self.state, State::Missing) {
            drop(begin);
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
