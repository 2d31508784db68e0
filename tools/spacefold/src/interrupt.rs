//! Ctrl-C: commands notice it between two units of work; what blocks is ended after a while.

use std::{
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use spacefold::EmbeddedLog;

use crate::error::{Failure, Status};

/// How long a command may take to notice and to end by itself.
const GRACE: Duration = Duration::from_secs(1);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static STORE: Mutex<Option<EmbeddedLog>> = Mutex::new(None);

/// Takes Ctrl-C over from the system.
pub(crate) fn install() {
    // Without a handler Ctrl-C still ends the process, and the store recovers when it is opened.
    let _ = ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::Release);
        thread::sleep(GRACE);
        let store = STORE.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = store.map(|log| log.close()) {
            Failure::from(error).report();
        }
        Failure::interrupted().report();
        process::exit(Status::Interrupted.code().into());
    });
}

/// Has the store closed if the command does not end in time.
pub(crate) fn guard(log: &EmbeddedLog) {
    *STORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(log.clone());
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
