//! Connections: TCP as the HTTP library makes them, and sockets of the file system beside them.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use ureq::{
    Agent, Error, Timeout,
    config::Config,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{
            Buffers, ConnectionDetails, Connector, DefaultConnector, LazyBuffers, NextTimeout,
            Transport,
        },
    },
};

use crate::{client_options::ClientOptions, endpoint::Endpoint};

/// Bytes of the head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How long a connection that nobody uses is kept: less than servers keep one.
const IDLE_CONNECTION: Duration = Duration::from_secs(5);

/// What makes the requests of a client.
pub(crate) fn agent_for(endpoint: &Endpoint, options: &ClientOptions) -> Agent {
    let config = Config::builder()
        // What goes wrong is told by problems.
        .http_status_as_error(false)
        // A token is for one server, whoever that names.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("spacefold/", env!("CARGO_PKG_VERSION")))
        .accept("")
        .max_response_header_size(MAX_HEAD_BYTES)
        .max_idle_age(IDLE_CONNECTION)
        .timeout_connect(Some(options.connect_timeout))
        .timeout_per_read(Some(options.silence_timeout))
        .timeout_per_write(Some(options.silence_timeout))
        .build();
    match endpoint {
        Endpoint::Url(_) => {
            Agent::with_parts(config, DefaultConnector::default(), DefaultResolver::default())
        }
        Endpoint::Socket(path) => {
            Agent::with_parts(config, SocketConnector { path: path.clone() }, NoNames)
        }
    }
}

/// Nothing is looked up of a socket.
#[derive(Debug)]
struct NoNames;

impl Resolver for NoNames {
    fn resolve(
        &self,
        _uri: &ureq::http::Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        // One is asked for, and none is looked at.
        let mut none = self.empty();
        none.push(SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(none)
    }
}

/// Connects to one socket, whatever is asked for.
#[derive(Debug)]
struct SocketConnector {
    path: PathBuf,
}

impl Connector for SocketConnector {
    type Out = SocketTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<SocketTransport>, Error> {
        let stream = UnixStream::connect(&self.path)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(SocketTransport { stream, buffers }))
    }
}

/// A connection through a socket.
struct SocketTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketTransport").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The time that is left, where there is a limit.
fn left(timeout: &NextTimeout) -> Result<Option<Duration>, Error> {
    match timeout.not_zero() {
        Some(after) => Ok(Some(*after)),
        None if timeout.after.is_not_happening() => Ok(None),
        None => Err(Error::Timeout(timeout.reason)),
    }
}

fn failed(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(reason),
        _ => error.into(),
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(left(&timeout)?)?;
        let output = self.buffers.output();
        let output = output.get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(|error| failed(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(left(&timeout)?)?;
        let input = self.buffers.input_append_buf();
        let read = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| failed(error, timeout.reason))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Whether the connection may be used once more: nothing has come that nobody asked for, its end
    /// neither.
    fn is_open(&mut self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        let mut byte = [0];
        let found = self.stream.read(&mut byte);
        let is_quiet = found.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        is_quiet && self.stream.set_nonblocking(false).is_ok()
    }
}
