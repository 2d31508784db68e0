//! What a client is told.

use std::{fmt, time::Duration};

/// How a client asks.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use spacefold_client::ClientOptions;
/// let mut options = ClientOptions::default();
/// options.retry_for = Duration::ZERO;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// What the server is told of who asks: `sfk1_…`, as its tokens are.
    pub token: Option<String>,
    /// How long it may take to reach the server; 5 s unless told.
    pub connect_timeout: Duration,
    /// How long the server may be silent, before its answer and in the midst of it, or take nothing of what
    /// is sent; 60 s unless told. What waits for something to happen may be silent that much longer.
    pub silence_timeout: Duration,
    /// How long what failed for now is tried again, where nothing could be done twice by that; 10 s unless
    /// told. After that, the last failure is answered.
    pub retry_for: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            token: None,
            connect_timeout: Duration::from_secs(5),
            silence_timeout: Duration::from_secs(60),
            retry_for: Duration::from_secs(10),
        }
    }
}

/// The token is not printed.
impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, connect_timeout, silence_timeout, retry_for } = self;
        f.debug_struct("ClientOptions")
            .field("token", &token.as_ref().map(|_| "…"))
            .field("connect_timeout", connect_timeout)
            .field("silence_timeout", silence_timeout)
            .field("retry_for", retry_for)
            .finish()
    }
}
