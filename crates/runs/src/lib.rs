#![doc = include_str!("../README.md")]

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
