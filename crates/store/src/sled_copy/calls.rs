//! Calls that may panic, or never return: none of it reaches the caller as such.

use std::{
    any::Any,
    cell::Cell,
    io,
    panic::{self, AssertUnwindSafe},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// How often a call that is watched is looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// How many intervals a watched call is given after a thread of sled has panicked.
const WATCH_GRACE: u32 = 20;

/// Why a call did not come back by itself.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// It panicked.
    Panicked(String),
    /// A thread of sled's own has panicked, and the call may never return.
    Abandoned,
    /// No thread could be started for it.
    NoThread(io::Error),
}

/// Set when a thread of sled's own has panicked; never unset.
static IO_THREAD_PANICKED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether a panic of this thread is caught by [`attempt`], and prints nothing.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Whether a thread of sled's own has panicked in this process.
pub(super) fn has_io_thread_panicked() -> bool {
    IO_THREAD_PANICKED.load(Ordering::Acquire)
}

/// Remembers that a thread of sled's own has panicked.
pub(super) fn note_io_thread_panic() {
    IO_THREAD_PANICKED.store(true, Ordering::Release);
}

/// Installs, once, a panic hook that swallows what [`attempt`] catches and the panics of sled's
/// own threads, and hands on all others.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    if thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name().is_some_and(|name| name.starts_with("sled-io-")) {
                note_io_thread_panic();
            } else if !QUIET.try_with(Cell::get).unwrap_or(false) {
                others(info);
            }
        }));
    });
}

/// Makes a call; a panic is caught and prints nothing.
pub(super) fn attempt<T>(call: impl FnOnce() -> T) -> Result<T, Interrupted> {
    let was_quiet = QUIET.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    QUIET.set(was_quiet);
    outcome.map_err(|payload| Interrupted::Panicked(panic_message(payload.as_ref())))
}

/// Makes a call in a thread that is left behind when a thread of sled's own has panicked and the
/// call does not come back; `wake` runs now and then while it lasts.
///
/// What `call` owns is dropped before this returns.
pub(super) fn watched<T: Send + 'static>(
    wake: impl Fn(),
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Interrupted> {
    let (sender, outcome) = mpsc::sync_channel(1);
    let run = move || drop(sender.send(attempt(call)));
    let spawned = thread::Builder::new().name("sled-call".to_owned()).spawn(run);
    let thread = spawned.map_err(Interrupted::NoThread)?;
    let mut grace = WATCH_GRACE;
    loop {
        match outcome.recv_timeout(WATCH_INTERVAL) {
            Ok(outcome) => {
                let _ = thread.join();
                return outcome;
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Interrupted::Panicked("its thread ended".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) if has_io_thread_panicked() => {
                grace = grace.saturating_sub(1);
                if grace == 0 {
                    return Err(Interrupted::Abandoned);
                }
            }
            Err(RecvTimeoutError::Timeout) => wake(),
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
