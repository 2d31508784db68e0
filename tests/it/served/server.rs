//! A server in this process, and the ways to it.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::Command,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use spacefold::{Spacefold, admin::socket_path};
use spacefold_client::{Client, ClientOptions};
use spacefold_server::{Drain, Settings, router, serve};

use crate::support::cli_at;

/// A server of a store that is open here, until it is dropped.
pub(crate) struct TestServer {
    address: SocketAddr,
    drain: Drain,
    serving: Option<JoinHandle<()>>,
}

impl TestServer {
    pub(crate) fn of(spaces: &Spacefold) -> Self {
        Self::with(spaces, Settings::default())
    }

    pub(crate) fn with(spaces: &Spacefold, settings: Settings) -> Self {
        let (spaces, drain) = (spaces.clone(), settings.drain.clone());
        let (told, bound) = mpsc::channel();
        let serving = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, router(spaces, settings.clone()), &settings).await.unwrap();
            });
        });
        Self { address: bound.recv().unwrap(), drain, serving: Some(serving) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.url().parse().unwrap(), ClientOptions::default())
    }

    /// The command line, told the URL.
    pub(crate) fn cli(&self) -> Command {
        cli_at(&self.url())
    }

    /// Answers at the socket of the store too, as whoever serves it does.
    pub(crate) fn at_socket_of(&self, store: &Path) {
        let listener = UnixListener::bind(socket_path(store).unwrap()).unwrap();
        let address = self.address;
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(address) else { return };
                between(client, server);
            }
        });
    }
}

/// Hands on what comes from both sides, each until its end.
fn between(client: UnixStream, server: TcpStream) {
    let (from_client, to_client) = (client.try_clone().unwrap(), client);
    let (from_server, to_server) = (server.try_clone().unwrap(), server);
    thread::spawn(move || {
        let _ = io::copy(&mut &from_client, &mut &to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut &from_server, &mut &to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.drain.start();
        if let Some(serving) = self.serving.take() {
            let ended = serving.join();
            if !thread::panicking() {
                ended.unwrap();
            }
        }
    }
}
