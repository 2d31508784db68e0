//! A library to preload (`LD_PRELOAD`) that stands between a process and its C library: it writes
//! down everything the process does to the files below a folder, in order, or makes one of its calls
//! fail. It can also set the clock of the process.
//!
//! | environment | meaning |
//! |---|---|
//! | [`entry::ROOT`] | the folder that is watched; without it nothing is done |
//! | [`entry::LOG`] | the file that entries are appended to, see [`entry`]; outside of the folder |
//! | [`entry::MARKS`] | a file outside of the folder: what is written to it becomes an [`entry::Entry::Mark`] |
//! | [`entry::FAULT`] | which call fails, and how, see [`fault`] |
//! | [`entry::DIE_AFTER`] | the number of marks after which the process kills itself, in the middle of no change |
//! | [`entry::BYTES`] | `0`: entries say that something was written, but not what |
//! | [`entry::CLOCK`] | seconds by which the time of day is ahead; whether anything is watched or not |
//!
//! One lock is held over each call that changes something and over its entry, so that the order
//! of the entries is the order of the effects. A sync, which takes long, has an entry before and
//! one after it: it covers what stands before the first, once the second is there.
//!
//! What this does not see: writes through mapped memory, and calls that the store does not make
//! (`copy_file_range`, `sendfile`, links). Whoever uses a recording first proves that it leads to
//! the very bytes of the folder.

mod calls;
pub mod entry;
pub mod fault;
mod real;
mod recorder;
