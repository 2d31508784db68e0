//! Disks that are cut from power, at the size of a test; skipped, with a word on the error output,
//! where disks cannot be cut, unless `CI` or `SPACEFOLD_REQUIRE_POWER_CUTS` is set.
//!
//! `SPACEFOLD_TORTURE_ROUNDS` and `SPACEFOLD_TORTURE_SEED` make it another size, or the same again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

#[track_caller]
fn torture(harness: &str) {
    let status = Command::new(env!("CARGO_BIN_EXE_torture")).arg(harness).status().unwrap();
    assert!(status.success(), "see what it printed above");
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    torture("power");
}

#[test]
fn a_page_cache_that_lies_after_a_failed_sync_is_survived() {
    torture("failed-syncs");
}
