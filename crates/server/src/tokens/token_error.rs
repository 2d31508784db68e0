//! Why tokens are no good.

use std::{io, path::PathBuf};

use spacefold::event::MAX_ID_BYTES;

/// Why tokens cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read or written. What was in it is there.
    #[error("the tokens in {} cannot be used: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Others than its owner may read or write the file: no token in it counts.
    #[error("{} may be read or written by others, its mode is {mode:o}: make it 600", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What is in the file is not what was written there.
    #[error("{} does not read: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A pattern of spaces is empty or too long.
    #[error("a pattern of spaces has {bytes} bytes, allowed are 1 to {MAX_ID_BYTES}")]
    PatternLength {
        /// Its bytes.
        bytes: usize,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}
