//! Everything that is tested from outside the crates.

mod arbitrary;
mod bus;
mod checkout;
mod cli;
mod codec;
mod commit;
mod content;
mod feed;
mod git;
mod json;
mod kill;
mod logs;
mod oracle;
mod planted;
mod python;
mod store;
mod support;
mod tidy;
