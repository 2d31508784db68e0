//! Ctrl-C: commands notice it between two units of work; what blocks is ended after a while, but
//! for a command that ends by itself.

use std::{
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use spacefold::{StorageError, log::LogReader};
use spacefold_event_core::lock::Lock;

use crate::error::{self, Failure, Status};

/// How long a command may take to notice and to end by itself.
const GRACE: Duration = Duration::from_secs(1);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static ENDS_BY_ITSELF: AtomicBool = AtomicBool::new(false);
static STORE: Lock<Option<Box<CloseStore>>> = Lock::new(None);

type CloseStore = dyn FnOnce() -> Result<(), StorageError> + Send;

/// Takes Ctrl-C over from the system.
pub(crate) fn install() {
    // Without a handler Ctrl-C still ends the process, and the store recovers when it is opened.
    let _ = ctrlc::set_handler(|| {
        let is_again = INTERRUPTED.swap(true, Ordering::AcqRel);
        if ENDS_BY_ITSELF.load(Ordering::Acquire) {
            if is_again {
                process::exit(Status::Interrupted.code().into());
            }
            return;
        }
        thread::sleep(GRACE);
        let store = STORE.lock().take();
        if let Some(Err(error)) = store.map(|close| close()) {
            Failure::from(error).report();
        }
        Failure::interrupted().report();
        process::exit(Status::Interrupted.code().into());
    });
}

/// Begins with a log that was opened or is followed: has it closed if the command does not end in time, and
/// warns of the clock.
pub(crate) fn begin(
    log: &dyn LogReader,
    close: impl FnOnce() -> Result<(), StorageError> + Send + 'static,
) -> Result<(), Failure> {
    guard(close);
    error::warn_of_clock(log)
}

/// Has the store closed if the command does not end in time.
fn guard(close: impl FnOnce() -> Result<(), StorageError> + Send + 'static) {
    *STORE.lock() = Some(Box::new(close));
}

/// For a command that keeps what it has and ends when this is set, however long that takes. Pressed
/// again, Ctrl-C ends the process.
pub(crate) fn cancellation() -> &'static AtomicBool {
    ENDS_BY_ITSELF.store(true, Ordering::Release);
    &INTERRUPTED
}

pub(crate) fn requested() -> bool {
    INTERRUPTED.load(Ordering::Acquire)
}

/// Ends the command between two units of work if Ctrl-C was pressed.
pub(crate) fn check() -> Result<(), Failure> {
    if requested() {
        return Err(Failure::interrupted());
    }
    Ok(())
}
