//! Stores that are harmed on purpose. See the library of this package for how.
//!
//! `SPACEFOLD_DAMAGE=all` runs every byte and every bit, and more of everything random;
//! `SPACEFOLD_DAMAGE_PARTS` says how many pairs and triples of parts are exchanged in each store,
//! `SPACEFOLD_DAMAGE_CASE` is one such case, as it is printed, to run alone, and
//! `SPACEFOLD_DAMAGE_SEED` chooses another seed than the usual one.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests: a panic is how they fail, and they print their counts"
)]

mod clock;
mod controls;
mod decoders;
mod files;
mod model;
mod parts;
mod processes;
mod race;
mod sled_copy;

/// The program that cases run in.
const WORKER: &str = env!("CARGO_BIN_EXE_damage-worker");

/// Whether everything is to be run, which takes hours.
fn all() -> bool {
    std::env::var("SPACEFOLD_DAMAGE").is_ok_and(|set| set == "all")
}
