//! `spacefold serve`

mod exposure;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process, thread,
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use spacefold::{CachePlace, Folding, Options, Spacefold};
use spacefold_server::{
    Drain, LocalService, ServeError, ServedStore, ServerListener, Settings, TokenFile, run,
    serve_local_with,
};

use self::exposure::Exposure;
use crate::{
    command::token,
    error::{self, Failure, Status},
    interrupt,
    service_manager::{self, READY, STOPPING},
    session::{CliSession, NewStore},
    time_span::parse_time,
};

/// How long a request takes that is slow.
const DEFAULT_SLOW: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 is one that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7353")]
    listen: SocketAddr,

    /// Only read, beside whoever has the store: it need not be writable, and there is no socket.
    #[arg(long, conflicts_with = "mode")]
    read_only: bool,

    /// Let everybody who reaches the address do everything, without a token: on loopback alone.
    #[arg(long)]
    allow_anonymous: bool,

    /// Listen beyond loopback without encryption: something before it is to do that.
    #[arg(long)]
    insecure: bool,

    /// Encrypt by the certificate in this file (PEM), those between it and its authority after it.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Let in clients alone that have a certificate of an authority in this file (PEM). They need a
    /// token too.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,

    /// A name that requests may have the server by (`Host`), beside localhost and the address. May be
    /// given several times.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    #[command(flatten)]
    tokens: token::TokensPlace,

    /// Log requests as slow (`-v`, SPACEFOLD_LOG=warn) that take this long to be answered.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    slow: Duration,

    #[command(flatten)]
    new_store: NewStore,
}

/// What the first line says, for programs.
#[derive(Serialize)]
struct PrintedServer {
    url: String,
    address: SocketAddr,
    /// Where the socket of the store is; none where the store is only read.
    socket: Option<PathBuf>,
    read_only: bool,
    /// The file of the tokens that are let in; none where everybody is.
    tokens: Option<PathBuf>,
}

impl Serve {
    /// For whoever is at this machine, at an address that is free.
    pub(super) fn at_this_machine() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            read_only: false,
            allow_anonymous: true,
            insecure: false,
            tls_cert: None,
            tls_key: None,
            client_ca: None,
            hosts: Vec::new(),
            tokens: token::TokensPlace::default(),
            slow: DEFAULT_SLOW,
            new_store: NewStore::default(),
        }
    }

    pub(crate) fn run(&self, session: &mut CliSession) -> Result<(), Failure> {
        self.serve(session, |session| self.open(session))
    }

    /// Serves what `open` opens, until Ctrl-C or SIGTERM.
    pub(super) fn serve(
        &self,
        session: &mut CliSession,
        open: impl FnOnce(&CliSession) -> Result<ServedStore, Failure>,
    ) -> Result<(), Failure> {
        Exposure::of(self).check()?;
        let mut settings = Settings::default();
        settings.hosts.extend(self.hosts.iter().cloned());
        settings.slow_after = Some(self.slow);
        let listener = TcpListener::bind(self.listen).map_err(|error| self.not_bound(&error))?;
        let address = listener.local_addr().map_err(|error| self.not_bound(&error))?;
        settings.hosts.push(host_of(&address));
        let listener = self.encrypted(listener)?;
        end_on_signals(&settings.drain)?;
        let store = open(session)?;
        if !self.allow_anonymous {
            settings.tokens = Some(self.tokens(session)?);
        }
        let socket = match &store {
            ServedStore::Open(spaces) => local(spaces, &settings),
            ServedStore::Followed(_) => None,
        };
        let printed = PrintedServer {
            url: format!("{}://{address}", if self.tls_cert.is_some() { "https" } else { "http" }),
            address,
            socket: socket.as_ref().map(|service| service.path().to_owned()),
            read_only: self.read_only,
            tokens: settings.tokens.as_ref().map(|tokens| tokens.path().to_owned()),
        };
        tell(session, &printed)?;
        service_manager::notify(READY);
        let served = run(store.clone(), listener, settings);
        let stopped = socket.map_or(Ok(()), LocalService::stop);
        match store {
            ServedStore::Open(spaces) => spaces.close()?,
            ServedStore::Followed(spaces) => spaces.close(),
        }
        served.and(stopped).map_err(|error| failure(&error))
    }

    fn open(&self, session: &CliSession) -> Result<ServedStore, Failure> {
        if self.read_only {
            let options = Options::new(&session.data).cache(CachePlace::User);
            return Ok(options.follow()?.into());
        }
        Ok(session.open(Folding::Live, self.new_store)?.into())
    }

    /// The tokens that are let in; says so where there is none yet.
    fn tokens(&self, session: &CliSession) -> Result<TokenFile, Failure> {
        let tokens = self.tokens.file(&session.data);
        if tokens.list().map_err(token::failure)?.is_empty() {
            error::warn(
                "there is no token, and nobody is let in over HTTP",
                "`spacefold token create` makes one, while this runs too",
            );
        }
        Ok(tokens)
    }

    fn not_bound(&self, error: &std::io::Error) -> Failure {
        Failure::new(
            Status::Failed,
            format_args!("nothing listens: {error}"),
            self.listen,
            "name another address with --listen; port 0 is one that is free",
        )
    }

    #[cfg(feature = "tls")]
    fn encrypted(&self, listener: TcpListener) -> Result<ServerListener, Failure> {
        use spacefold_server::TlsFiles;
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(listener.into());
        };
        let mut files = TlsFiles::new(certificate, key);
        if let Some(path) = &self.client_ca {
            files = files.client_ca(path);
        }
        ServerListener::encrypted(listener, &files).map_err(|error| {
            let hint = "name files in PEM: the certificate, and the private key of it";
            Failure::caused(&error, "reading certificates", hint)
        })
    }

    #[cfg(not(feature = "tls"))]
    fn encrypted(&self, listener: TcpListener) -> Result<ServerListener, Failure> {
        if self.tls_cert.is_none() {
            return Ok(listener.into());
        }
        Err(Failure::new(
            Status::Usage,
            "this build encrypts nothing",
            "--tls-cert",
            "build it with the feature `tls`, or put something before it that encrypts",
        ))
    }
}

/// The socket of the store; without one, the server goes on.
fn local(spaces: &Spacefold, settings: &Settings) -> Option<LocalService> {
    let served = serve_local_with(spaces, settings.clone());
    served.inspect_err(warn_of_socket).ok()
}

fn warn_of_socket(error: &ServeError) {
    error::warn(
        &format!("the store has no socket: {error}"),
        "commands beside this process only read; the address is served",
    );
}

fn failure(error: &ServeError) -> Failure {
    Failure::caused(error, "serving", "run it again; what was acknowledged is stored")
}

/// How an address is named as a host.
fn host_of(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

fn tell(session: &mut CliSession, server: &PrintedServer) -> Result<(), Failure> {
    if session.json {
        session.output.json(server)?;
    } else {
        session.output.line(&server.url)?;
    }
    session.output.flush()
}

/// Has the first signal that asks for it begin the end, and the second be it.
fn end_on_signals(drain: &Drain) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::caused(&error, "before anything", "run it again, with fewer threads about")
    };
    // The store is closed by whoever serves it, not by the handler of Ctrl-C.
    interrupt::cancellation();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let drain = drain.clone();
    let wait = move || {
        for _ in signals.forever() {
            if drain.has_started() {
                process::exit(Status::Interrupted.code().into());
            }
            drain.start();
            service_manager::notify(STOPPING);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(())
}
