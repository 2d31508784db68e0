//! The command line and the client through a server: by its URL, and by the socket of the store.

mod equal;
mod reading;
mod server;
mod writing;

pub(crate) use self::server::TestServer;
