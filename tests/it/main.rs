//! Everything that is tested from outside the crates.

mod arbitrary;
mod bus;
mod checkout;
mod cli;
mod codec;
mod commit;
mod commitments;
mod content;
mod feed;
mod folder_gone;
mod git;
mod json;
mod kill;
mod logs;
mod machine;
mod modes;
mod oracle;
mod planted;
mod projections;
mod python;
mod service;
mod store;
mod support;
mod tidy;
