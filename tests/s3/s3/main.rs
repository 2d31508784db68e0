//! Objects in a bucket of a real service, reached through a proxy of which any call may go wrong.

mod backups;
mod command_line;
mod proxy;
mod service;
mod storage;
