//! Content stores on disk images that a power cut could have left, at the size of a test.
//!
//! `SPACEFOLD_TORTURE_ROUNDS` and `SPACEFOLD_TORTURE_SEED` make it another size, or the same again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

#[test]
fn a_disk_that_acknowledges_syncs_early_is_found_out() {
    let mut torture = Command::new(env!("CARGO_BIN_EXE_torture"));
    let status = torture.args(["packs", "--early-syncs", "--must-fail"]).status().unwrap();
    assert!(status.success(), "see what it printed above");
}

#[test]
fn content_that_was_acknowledged_is_in_every_image() {
    let status = Command::new(env!("CARGO_BIN_EXE_torture")).arg("packs").status().unwrap();
    assert!(status.success(), "see what it printed above");
}

#[test]
fn what_collections_leave_out_is_missed() {
    let mut torture = Command::new(env!("CARGO_BIN_EXE_torture"));
    let status = torture.args(["follow-packs", "--expect-dropped", "--must-fail"]).status();
    assert!(status.unwrap().success(), "see what it printed above");
}

#[test]
fn content_is_given_beside_whoever_collects_and_is_killed() {
    let status = Command::new(env!("CARGO_BIN_EXE_torture")).arg("follow-packs").status().unwrap();
    assert!(status.success(), "see what it printed above");
}
