//! Content stores on disk images that a power cut could have left, at the size of a test.
//!
//! `SPACEFOLD_TORTURE_ROUNDS` and `SPACEFOLD_TORTURE_SEED` make it another size, or the same again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::process::Command;

#[test]
fn content_that_was_acknowledged_is_in_every_image() {
    let status = Command::new(env!("CARGO_BIN_EXE_torture")).arg("packs").status().unwrap();
    assert!(status.success(), "see what it printed above");
}
