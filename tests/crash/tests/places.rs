//! Stores with durable subscriptions on disk images that a power cut or a kill could have left, at the
//! size of a test.
//!
//! `SPACEFOLD_TORTURE_ROUNDS` and `SPACEFOLD_TORTURE_SEED` make it another size, or the same again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

#[test]
fn a_disk_that_acknowledges_syncs_early_is_found_out() {
    let mut torture = Command::new(env!("CARGO_BIN_EXE_torture"));
    let status = torture.args(["places", "--early-syncs", "--must-fail"]).status().unwrap();
    assert!(status.success(), "see what it printed above");
}

#[test]
fn places_go_back_by_what_was_not_synced_and_never_forward() {
    let status = Command::new(env!("CARGO_BIN_EXE_torture")).arg("places").status().unwrap();
    assert!(status.success(), "see what it printed above");
}
