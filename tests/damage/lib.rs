//! Harm that is done to stores on purpose, and what must come of it.
//!
//! | module | what it is |
//! |---|---|
//! | [`stores`] | makes the stores that are harmed: small ones, of a known history |
//! | [`layout`] | which bytes of a store's files hold what |
//! | [`harm`] | one piece of damage, as data: a case can be written down and run again |
//! | [`contents`] | everything that a store answers with, to compare |
//! | [`case`] | harms a copy of a store, opens or verifies it, and judges what happened |
//! | [`mod@bench`] | runs cases in worker processes: a hang or an abort costs one of them |
//! | [`parts`] | parts of a store that are of another time, of a sibling or of another store |
//! | [`decoders`] | everything that reads bytes it did not write, and valid bytes to begin with |
//! | [`report`] | counts the outcomes and keeps the violations |
//! | [`random`] | numbers from a seed |
//!
//! The worker process is `worker.rs`; the runs are the tests in `tests/`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test harness: a panic is how it fails, it prints counts, fields of cases say what they are"
)]

pub mod bench;
pub mod case;
pub mod contents;
pub mod decoders;
pub mod harm;
pub mod layout;
pub mod parts;
pub mod random;
pub mod report;
pub mod stores;
