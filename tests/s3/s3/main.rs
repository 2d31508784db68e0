//! Objects in a bucket of a real service, reached through a proxy of which any call may go wrong.

#[cfg(test)]
mod backups;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod service;
#[cfg(test)]
mod storage;
