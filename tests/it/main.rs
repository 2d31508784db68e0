//! Everything that is tested from outside the crates.

mod arbitrary;
mod bus;
mod checkout;
mod cli;
mod clock;
mod codec;
mod commit;
mod commitments;
mod content;
mod feed;
mod git;
mod hostile;
mod json;
mod kill;
mod logs;
mod oracle;
mod planted;
mod projections;
mod python;
mod service;
mod store;
mod support;
mod targets;
mod tidy;
mod withheld;
mod words;
