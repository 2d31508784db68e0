//! Calls to the operating system that fail, and disks that are full, at the size of a test.
//!
//! With `SPACEFOLD_TORTURE_ROUNDS` every call of a kind fails, in runs of so many appends, and disks are
//! filled so often; `SPACEFOLD_TORTURE_SEED` makes it the same again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

#[track_caller]
fn torture(harness: &str) {
    let status = Command::new(env!("CARGO_BIN_EXE_torture")).arg(harness).status().unwrap();
    assert!(status.success(), "see what it printed above");
}

#[test]
fn a_call_that_fails_is_never_swallowed_and_loses_nothing() {
    torture("faults");
}

#[test]
fn a_full_disk_loses_nothing() {
    torture("full-disk");
}
