//! What the limits of the process are taken as: errors with a message, not a process that is gone.

use std::{
    env, hint::black_box, io, os::unix::process::CommandExt as _, process::Command, sync::Arc,
};

use rustix::process::{Resource, getrlimit};
use signal_hook::{consts::SIGXFSZ, flag};
use spacefold::{StorageError, log::StorageErrorKind};
use spacefold_event_core::bytes::to_u64;

/// The stack that is made sure of where memory is limited; no command takes as much.
const STACK_BYTES: usize = 1 << 20;
/// Bytes of the stack that one step of that takes.
const STEP_BYTES: usize = 16 << 10;

/// Takes the signal over that a write past the limit on the size of files sends: such a write is an
/// error then, which says what was written; the signal would end the process without a word.
pub(crate) fn turn_signals_into_errors() {
    // Without a handler the process ends as it would have anyway.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

/// Grows the stack of the first thread now, where the process may have only so much memory. It grows
/// as it is used else, and when it cannot, the process ends without a word.
///
/// # Errors
/// When the limit leaves no room for it.
pub(crate) fn make_sure_of_the_stack() -> Result<(), StorageError> {
    let Some(limit) = getrlimit(Resource::As).current else { return Ok(()) };
    share_one_heap();
    let needed = taken()?.saturating_add(to_u64(STACK_BYTES));
    if needed > limit {
        let what = format!("it may have {limit} bytes, and needs {needed} to begin with");
        return Err(
            StorageError::new("starting the process", what).of_kind(StorageErrorKind::NoMemory)
        );
    }
    grow(STACK_BYTES / STEP_BYTES);
    Ok(())
}

/// Begins anew with one heap for all threads, unless that is so: the allocator gives each thread
/// addresses of its own, as many as there are, and those that are left are too few for what does not
/// ask whether it got any.
///
/// How many heaps there are is read from the environment when a process begins, or told by a call
/// that is not safe. `verify` of a small store needs 130 MB of addresses with one heap, some 400 with
/// one for each thread, 180 with jemalloc, which crashed below that, and more than 400 with mimalloc.
fn share_one_heap() {
    const HEAPS: &str = "MALLOC_ARENA_MAX";
    if env::var_os(HEAPS).is_none() {
        let mut arguments = env::args_os();
        let mut anew = Command::new("/proc/self/exe");
        if let Some(name) = arguments.next() {
            anew.arg0(name);
        }
        // It goes on as it is where that cannot be done.
        let _ = anew.args(arguments).env(HEAPS, "1").exec();
    }
}

/// The bytes of address space that the process has.
fn taken() -> Result<u64, StorageError> {
    let failed = |cause: io::Error| StorageError::new("asking how large the process is", cause);
    let sizes = std::fs::read_to_string("/proc/self/statm").map_err(failed)?;
    let pages: u64 = sizes.split(' ').next().and_then(|size| size.parse().ok()).unwrap_or(0);
    Ok(pages.saturating_mul(to_u64(rustix::param::page_size())))
}

#[inline(never)]
fn grow(steps: usize) -> u8 {
    let room = black_box([1_u8; STEP_BYTES]);
    let below = if steps == 0 { 0 } else { grow(steps - 1) };
    // Looked at behind the call, so that it is no loop.
    room.iter().fold(below, |sum, byte| sum.wrapping_add(*byte))
}
