//! What a router is told beside its store.

use std::time::Duration;

use crate::{drain::Drain, tokens::TokenFile};

/// How much a client may ask for, each limit with the answer that it has past it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Bytes of a body that is read whole, such as that of an append: `413 body_too_large`.
    pub max_body_bytes: usize,
    /// Bytes of all such bodies at a time: `503 busy`.
    pub max_buffered_bytes: usize,
    /// How long a body that is read whole may take to arrive: `408 body_too_slow`.
    pub body_timeout: Duration,
    /// Bytes of a content that is put: `413 body_too_large`. They go through a temporary file.
    pub max_content_bytes: u64,
    /// How long the next bytes of a content may take to arrive: `408 body_too_slow`.
    pub content_pause: Duration,
    /// Contents that arrive at a time: `503 busy`.
    pub max_uploads: usize,
    /// Events of a page, whatever `limit` says: `400 invalid_parameter` for a larger one.
    pub max_page_events: u64,
    /// Bytes of events after which a page ends, whatever its limit: it says where to go on.
    pub max_page_bytes: usize,
    /// How long events are looked for before a page ends as it is, empty too.
    pub page_time: Duration,
    /// Calls into the store that run at a time; the rest wait for their turn.
    pub max_blocking_calls: usize,
    /// Requests that wait for their turn: `503 busy`.
    pub max_waiting_calls: usize,
    /// Streams and long polls that are open at a time: `503 too_many_streams`.
    pub max_streams: usize,
    /// Durable subscriptions that there may be for another one to be made: `409
    /// too_many_subscriptions`.
    pub max_subscriptions: usize,
    /// How long a client that polls keeps a durable subscription without doing so.
    pub session_idle: Duration,
    /// How long a request may wait for something to happen, whatever `wait` says.
    pub max_wait: Duration,
    /// After so long without an event a stream says how far it has come.
    pub stream_heartbeat: Duration,
    /// Connections that are open at a time: further ones wait to be accepted.
    pub max_connections: usize,
    /// How long the head of a request may take to arrive: the connection is closed.
    pub header_timeout: Duration,
    /// Bytes of the head of a request: `431`.
    pub max_header_bytes: usize,
    /// How long a client may take nothing of what is sent to it: the connection is closed.
    pub write_timeout: Duration,
    /// How long requests may go on once the server drains: then their connections are closed.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 64 << 20,
            max_buffered_bytes: 256 << 20,
            body_timeout: Duration::from_secs(60),
            max_content_bytes: 1 << 30,
            content_pause: Duration::from_secs(30),
            max_uploads: 32,
            max_page_events: 1_000,
            max_page_bytes: 8 << 20,
            page_time: Duration::from_secs(1),
            max_blocking_calls: 64,
            max_waiting_calls: 1_024,
            max_streams: 10_000,
            max_subscriptions: 1_000,
            session_idle: Duration::from_secs(60),
            max_wait: Duration::from_secs(60),
            stream_heartbeat: Duration::from_secs(15),
            max_connections: 2_000,
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 64 << 10,
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// What a [`router`](crate::router) is told beside its store.
///
/// # Examples
/// ```
/// use spacefold_server::Settings;
/// let mut settings = Settings::default();
/// settings.hosts.push("spaces.example.org".to_owned());
/// settings.limits.max_page_events = 100;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// How much a client may ask for.
    pub limits: ServerLimits,
    /// The names that a `Host` may have, without a port: `localhost`, `127.0.0.1` and `[::1]` unless
    /// told. Any other is answered `403 host_not_allowed`, so that no page of another site reaches the
    /// server under a name of its own.
    pub hosts: Vec<String>,
    /// Who may: whoever has one of these tokens (`Authorization: Bearer`), each what it grants. `None`
    /// lets everybody do everything.
    pub tokens: Option<TokenFile>,
    /// Whether an open store is only read: what writes is answered `403 read_only`.
    pub read_only: bool,
    /// Whether the console is there, for people who look: `GET /` and pages below it. With tokens it
    /// asks for one, and shows what that grants.
    pub console: bool,
    /// Requests whose answer begins so late are logged as slow; `None` logs none as that.
    pub slow_after: Option<Duration>,
    /// Begins the end: streams and long polls are closed once it [starts](Drain::start).
    pub drain: Drain,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: ServerLimits::default(),
            hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
            tokens: None,
            read_only: false,
            console: true,
            slow_after: Some(Duration::from_secs(1)),
            drain: Drain::default(),
        }
    }
}
