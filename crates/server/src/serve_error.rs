//! Why a store is not served.

use std::{io, path::PathBuf};

use spacefold::{ReadError, StorageError};

/// Why a store is not served. It is open as it was, and nothing listens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The runtime or the thread that it runs in is not to be had.
    #[error("there are no threads to serve from: {0}")]
    Runtime(#[source] io::Error),
    /// The listener cannot be used.
    #[error("the listener cannot be used: {0}")]
    Listener(#[source] io::Error),
    /// This process serves the store already.
    #[error("the store is served at {} already", path.display())]
    AlreadyServed {
        /// Where the socket is.
        path: PathBuf,
    },
    /// Something that is no socket is where the socket is to be. It stays.
    #[error("{} is in the way of the socket, and is none", path.display())]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("no socket is made at {}: {cause}", path.display())]
    Socket {
        /// Where it was to be.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// There is no place for the socket: the store is in memory, or its path is too long.
    #[error(transparent)]
    Place(#[from] StorageError),
    /// The store is closed: whose its socket is now is not known.
    #[error(transparent)]
    Closed(#[from] ReadError),
}
