//! What connections come from: an address, one on which everything is encrypted, or a socket of this
//! machine whose peers are known by their user.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener as StdTcpListener},
    os::unix::net::UnixListener as StdUnixListener,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

#[cfg(feature = "tls")]
use crate::tls_files::{TlsError, TlsFiles};

/// A listener that [`serve`](crate::serve) and [`run`](crate::run) take connections from: made of one for
/// TCP, which has to be bound, or of a [socket](Self::socket).
pub struct ServerListener(Kind);

enum Kind {
    Tcp(StdTcpListener),
    Socket(StdUnixListener),
    #[cfg(feature = "tls")]
    Tls(StdTcpListener, tokio_rustls::TlsAcceptor),
}

impl From<StdTcpListener> for ServerListener {
    fn from(listener: StdTcpListener) -> Self {
        Self(Kind::Tcp(listener))
    }
}

impl TryFrom<TcpListener> for ServerListener {
    type Error = io::Error;

    fn try_from(listener: TcpListener) -> io::Result<Self> {
        listener.into_std().map(Self::from)
    }
}

impl ServerListener {
    /// A socket of this machine. Only processes of the user of this process, and of the superuser, are
    /// answered, whatever the mode of the file.
    #[must_use]
    pub const fn socket(listener: StdUnixListener) -> Self {
        Self(Kind::Socket(listener))
    }

    /// An address on which everything is encrypted, by TLS 1.3.
    ///
    /// # Errors
    /// [`TlsError`], which names the file that does not do.
    #[cfg(feature = "tls")]
    pub fn encrypted(listener: StdTcpListener, files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self(Kind::Tls(listener, files.acceptor()?)))
    }

    /// Makes it known to the runtime that this is called in.
    pub(crate) fn on_runtime(self) -> io::Result<Listening> {
        let tcp = |listener: StdTcpListener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        Ok(match self.0 {
            Kind::Tcp(listener) => Listening::Tcp(tcp(listener)?),
            Kind::Socket(listener) => {
                listener.set_nonblocking(true)?;
                Listening::Socket(UnixListener::from_std(listener)?)
            }
            #[cfg(feature = "tls")]
            Kind::Tls(listener, acceptor) => Listening::Tls(tcp(listener)?, acceptor),
        })
    }
}

impl fmt::Debug for ServerListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = f.debug_tuple("ServerListener");
        match &self.0 {
            Kind::Tcp(listener) => named.field(listener),
            Kind::Socket(listener) => named.field(listener),
            #[cfg(feature = "tls")]
            Kind::Tls(listener, _) => named.field(listener),
        };
        named.finish()
    }
}

/// A listener of a runtime.
pub(crate) enum Listening {
    Tcp(TcpListener),
    Socket(UnixListener),
    #[cfg(feature = "tls")]
    Tls(TcpListener, tokio_rustls::TlsAcceptor),
}

/// What bytes of HTTP are read from and written to.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection that was accepted; what its client has to do first is not waited for.
pub(crate) enum AcceptedStream {
    Tcp(TcpStream),
    Socket(UnixStream),
    #[cfg(feature = "tls")]
    Tls(TcpStream, tokio_rustls::TlsAcceptor),
}

impl Listening {
    pub(crate) async fn accept(&self) -> io::Result<AcceptedStream> {
        // Events are small, and are wanted when they happen.
        let at_once = |stream: TcpStream| {
            let _ = stream.set_nodelay(true);
            stream
        };
        Ok(match self {
            Self::Tcp(listener) => AcceptedStream::Tcp(at_once(listener.accept().await?.0)),
            Self::Socket(listener) => AcceptedStream::Socket(listener.accept().await?.0),
            #[cfg(feature = "tls")]
            Self::Tls(listener, acceptor) => {
                AcceptedStream::Tls(at_once(listener.accept().await?.0), acceptor.clone())
            }
        })
    }

    /// Where it listens, for logs.
    pub(crate) fn place(&self) -> String {
        let address = |address: io::Result<SocketAddr>| {
            address.map_or_else(|error| error.to_string(), |address| address.to_string())
        };
        match self {
            Self::Tcp(listener) => address(listener.local_addr()),
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => address(listener.local_addr()),
            Self::Socket(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or_else(String::new, |path| path.display().to_string())
            }
        }
    }
}

impl AcceptedStream {
    /// What requests come through, once it is known who the client is, as far as the listener asks.
    pub(crate) async fn begin(self) -> io::Result<Box<dyn ByteStream>> {
        match self {
            Self::Tcp(stream) => Ok(Box::new(stream)),
            Self::Socket(stream) => {
                check_peer(&stream)?;
                Ok(Box::new(stream))
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream, acceptor) => Ok(Box::new(acceptor.accept(stream).await?)),
        }
    }
}

/// Fails for a peer of another user.
fn check_peer(stream: &UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if is_welcome(peer, rustix::process::geteuid().as_raw()) {
        return Ok(());
    }
    let why = format!("the peer is of user {peer}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// The superuser can do anything with the store anyway.
const fn is_welcome(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_are_not_welcome_at_a_socket() {
        assert!(is_welcome(1000, 1000) && is_welcome(0, 1000));
        assert!(!is_welcome(1001, 1000) && !is_welcome(1000, 0));
    }
}
