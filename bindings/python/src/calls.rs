//! Calls into the engine: the interpreter is let go around each, waits come in slices between which
//! signals are looked at, and none is begun while the interpreter ends.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use pyo3::prelude::*;

use crate::{errors, opened::Opened};

/// How long a wait goes on before signals are looked at.
const SLICE: Duration = Duration::from_millis(100);
/// How long the end of the interpreter waits for threads that are in the engine.
const EXIT_WAIT: Duration = Duration::from_secs(10);

static EXITING: AtomicBool = AtomicBool::new(false);
/// Threads between letting the interpreter go and having it again.
static IN_ENGINE: AtomicUsize = AtomicUsize::new(0);
/// What is closed before the interpreter ends.
static OPEN: Mutex<Vec<(u32, Weak<Opened>)>> = Mutex::new(Vec::new());

struct Counted;

impl Counted {
    fn new() -> Self {
        IN_ENGINE.fetch_add(1, Ordering::AcqRel);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // A process that was forked begins at none.
        let _ = IN_ENGINE.fetch_update(Ordering::AcqRel, Ordering::Acquire, |it| it.checked_sub(1));
    }
}

/// Whether the interpreter ends: every store is closed, or about to be.
pub(crate) fn is_exiting() -> bool {
    EXITING.load(Ordering::Acquire)
}

/// Calls the engine without the interpreter.
pub(crate) fn detached<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> PyResult<T> {
    if is_exiting() {
        return Err(errors::closed(py, "the interpreter is exiting"));
    }
    let _counted = Counted::new();
    Ok(py.detach(call))
}

/// Calls `step` with how long it may wait, until it has something or `timeout` has passed. Ctrl-C
/// ends it within a slice.
pub(crate) fn waiting<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut step: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        let found = detached(py, || step(slice))?;
        py.check_signals()?;
        if found.is_some() || left.is_some_and(|left| left <= slice) {
            return Ok(found);
        }
    }
}

/// Makes a call that may take long in a thread of its own, so that Ctrl-C need not wait for it: the
/// call is then told by its flag that nobody wants its answer.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    call: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = sync_channel(1);
    let given_up = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&given_up);
    let thread = thread::Builder::new().name("spacefold-call".to_owned()).spawn(move || {
        // Where nobody waits any more, nobody needs the answer.
        let _ = sender.send(call(&flag));
    });
    thread.map_err(|error| errors::storage(py, &format!("a thread cannot be started: {error}")))?;
    let receiver = Mutex::new(receiver);
    let received = waiting(py, None, |slice| {
        let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        match receiver.recv_timeout(slice) {
            Ok(answer) => Some(Some(answer)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(None),
        }
    });
    if received.is_err() {
        given_up.store(true, Ordering::Release);
    }
    let lost = || errors::storage(py, "the thread of the call has ended without an answer");
    received?.flatten().ok_or_else(lost)
}

/// Has a store closed before the interpreter ends.
pub(crate) fn close_at_exit(opened: &Arc<Opened>) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, known)| known.strong_count() > 0);
    open.push((opened.pid(), Arc::downgrade(opened)));
}

/// Closes every store that this process has open, and waits for the threads that are in the engine:
/// one that came back later would find no interpreter. Nothing is begun after it.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) {
    EXITING.store(true, Ordering::Release);
    py.detach(|| {
        // Held by nobody for long, unless a fork came in between: then it is of no use here.
        let open = OPEN.try_lock().map(|mut open| std::mem::take(&mut *open)).unwrap_or_default();
        for (pid, opened) in open {
            if pid == std::process::id()
                && let Some(opened) = opened.upgrade()
            {
                // Whatever failed, the next opening recovers; nobody is left to be told.
                let _ = opened.close();
            }
        }
        let deadline = Instant::now() + EXIT_WAIT;
        while IN_ENGINE.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Begins anew in a process that was forked: the threads of its parent are not here.
#[pyfunction]
pub(crate) fn after_fork() {
    IN_ENGINE.store(0, Ordering::Release);
}
