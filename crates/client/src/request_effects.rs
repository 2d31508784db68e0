//! What is known after a failure.

/// What is known of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEffects {
    /// It was not done.
    None,
    /// It may have been done, all of it or none.
    Unknown,
}
