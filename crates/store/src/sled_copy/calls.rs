//! Calls that may panic, or never return: none of it reaches the caller as such.

use std::{
    any::Any,
    cell::Cell,
    fs,
    io::{self, ErrorKind},
    panic::{self, AssertUnwindSafe},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use rustix::{process::Pid, thread::gettid};

/// How often a call that is watched is looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// How many intervals a watched call is given after a thread of sled has panicked.
const WATCH_GRACE: u32 = 20;

/// What the names of sled's own threads begin with.
const IO_THREAD: &str = "sled-io-";

/// Why a call did not come back by itself.
#[derive(Debug)]
pub(super) enum CallInterrupted {
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
            if thread::current().name().is_some_and(|name| name.starts_with(IO_THREAD)) {
                note_io_thread_panic();
            } else if !QUIET.try_with(Cell::get).unwrap_or(false) {
                others(info);
            }
        }));
    });
}

/// Makes a call; a panic is caught and prints nothing.
pub(super) fn attempt<T>(call: impl FnOnce() -> T) -> Result<T, CallInterrupted> {
    let was_quiet = QUIET.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    QUIET.set(was_quiet);
    outcome.map_err(|payload| CallInterrupted::Panicked(panic_message(payload.as_ref())))
}

/// Makes a call in a thread that is left behind when a thread of sled's own has panicked and the
/// call does not come back; `wake` runs now and then while it lasts.
///
/// What `call` owns is dropped before this returns.
pub(super) fn watched<T: Send + 'static>(
    wake: impl Fn(),
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CallInterrupted> {
    let (sender, outcome) = mpsc::sync_channel(1);
    let (starting, started) = mpsc::sync_channel(1);
    let run = move || {
        let _ = starting.send(gettid());
        drop(sender.send(attempt(call)));
    };
    let spawned = thread::Builder::new().name("sled-call".to_owned()).spawn(run);
    let thread = spawned.map_err(CallInterrupted::NoThread)?;
    let mut grace = WATCH_GRACE;
    let mut lonely = Lonely { thread: started.recv().ok(), since: None, intervals: 0 };
    loop {
        match outcome.recv_timeout(WATCH_INTERVAL) {
            Ok(outcome) => {
                let _ = thread.join();
                return outcome;
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(CallInterrupted::Panicked("its thread ended".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) if has_io_thread_panicked() => {
                grace = grace.saturating_sub(1);
                if grace == 0 {
                    return Err(CallInterrupted::Abandoned);
                }
            }
            Err(RecvTimeoutError::Timeout) if lonely.is_for_long() => {
                let what = "sled has got no threads to work with: restart the process";
                return Err(CallInterrupted::NoThread(io::Error::new(
                    ErrorKind::OutOfMemory,
                    what,
                )));
            }
            Err(RecvTimeoutError::Timeout) => wake(),
        }
    }
}

/// A call that waits for threads of sled's that are not there. sled starts them once, before it does
/// anything, and goes on without those that it does not get: with none it waits for ever.
struct Lonely {
    thread: Option<Pid>,
    /// How long the thread had run when it was looked at last.
    since: Option<String>,
    intervals: u32,
}

impl Lonely {
    /// Looks once more: whether the thread has slept all the time, for long, with nobody to wake it.
    fn is_for_long(&mut self) -> bool {
        let ran = self.thread.and_then(asleep_after);
        let is_stuck = ran.is_some() && ran == self.since && !has_sleds_threads();
        self.since = ran;
        self.intervals = if is_stuck { self.intervals + 1 } else { 0 };
        self.intervals >= WATCH_GRACE
    }
}

/// How long a thread has run, when it sleeps; `None` when it does not, or nobody says.
fn asleep_after(thread: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
    // The name of the thread, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let is_asleep = fields.first() == Some(&"S");
    is_asleep.then(|| fields.get(11..13).map(|ran| ran.join(" ")))?
}

fn has_sleds_threads() -> bool {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return true };
    let mut names = threads.flatten().map(|thread| fs::read(thread.path().join("comm")));
    names.any(|name| name.is_ok_and(|name| name.starts_with(IO_THREAD.as_bytes())))
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
