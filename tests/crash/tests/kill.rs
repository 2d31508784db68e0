//! Writers that are killed at random moments, followed or not, at the size of a test.
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
fn what_was_acknowledged_survives_a_kill() {
    torture("kill");
}

#[test]
fn what_a_follower_has_shown_survives_a_kill_of_the_owner() {
    torture("follow");
}
