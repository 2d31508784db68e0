//! Stores that die in the middle of their work, and are then opened and checked.
//!
//! - [`workload`]: appends whose content follows from a seed, so that it can be made again to be
//!   compared. [`message`]: what a writer says of them, [`child`]: the writer, a process to be
//!   killed.
//! - [`history`]: what is known to be stored. [`walk`]: what a log holds, compared with the workload.
//!   [`check`]: opens a store, and compares all that it answers with both.
//! - [`writer`]: a child process under observation. [`moment`]: when it dies.
//! - [`kill`]: writers killed at random moments, and [`follow`]: followers beside them. [`power`]: the disk cut from power under them.
//! - [`preload`]: a writer under the recorder, which leaves [`entry`] after entry, or makes a call fail.
//!   [`images`]: disks as a power cut may have left them, made of what was recorded. [`faults`]: calls
//!   to the operating system that fail, one a run. [`full_disk`]: no room. [`packs`]: images of content
//!   stores. [`places`]: images of stores with durable subscriptions.
//!
//! The binary `torture` runs each of them; `tests/` runs each at a size that fits a test.

pub mod check;
pub mod child;
#[path = "recorder/entry.rs"]
pub mod entry;
pub mod faults;
mod folders;
pub mod follow;
pub mod full_disk;
pub mod history;
pub mod images;
pub mod kill;
pub mod message;
pub mod moment;
pub mod packs;
pub mod places;
pub mod power;
pub mod preload;

pub mod walk;
pub mod workload;
pub mod writer;
