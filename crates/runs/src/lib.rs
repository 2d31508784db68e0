//! Sorted runs: derived state as sorted keys and values, in files of its own.
//!
//! A [`RunSet`] is a log-structured merge tree whose memory table belongs to its owner. The owner
//! collects changes, writes them as a *run* (a file of sorted rows that never changes), and the
//! manifest, which is replaced whole, says which runs count and carries whatever the owner wants to
//! become durable in the same step: a checkpoint. Runs that have become many are merged, each row
//! a few times over the life of a set.
//!
//! - **Memory** does not grow with the set: of a run its root page is in memory, all other pages,
//!   those of the index and of the filters too, are read through a [`PageCache`] with a bound.
//! - **Damage** is noticed by page: every page has a digest that is bound to its run and offset, and the
//!   manifest names each run by its contents. What is here is derived, so the answer to damage is
//!   [`RunsError::Damaged`], and the owner makes the set anew.
//! - **Durability**: a run is synced before a manifest names it, and a manifest is durable before
//!   the runs that it supersedes are removed. After a power cut the set is as of one manifest.
//!
//! Knows nothing of events: keys and values are bytes. Of `event-core` it uses the storage error.
//!
//! Lookups read at most one page of each level of a run's index, which has a fan-out of some 100,
//! and mostly none: a filter of 10 bits a key answers 99 % of the lookups of keys that are absent.
//! The scheme is that of the log-structured merge tree (O'Neil et al., *The log-structured merge-tree*,
//! 1996) with tiered merging; filters are Bloom filters, partitioned as the index is.

mod cache;
mod cursor;
mod error;
mod filter;
mod held;
mod joining;
mod manifest;
mod merge;
mod page;
mod run;
mod run_set;
mod view;
mod writer;

pub use self::{
    cache::PageCache,
    error::RunsError,
    joining::{Join, KeyValue},
    merge::RunScan,
    page::{MAX_KEY_BYTES, Row},
    run_set::{Opened, RunSet, RunSetOptions, Writing, Written},
    view::{Lookup, OwnedKeyValue, RowValue, View},
};
