//! A listener that encrypts: who gets through, and which files do not do.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use spacefold_server::{Drain, ServerListener, Settings, TlsError, TlsFiles, run};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::client::handbook;

/// An authority, and files of certificates that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("ca.crt"), issuer.pem()).unwrap();
        Self { issuer, folder: folder.to_owned() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a certificate for a name, and its key.
    fn sign(&self, name: &str) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file("it.crt"), certificate.pem()).unwrap();
        fs::write(self.file("it.key"), key.serialize_pem()).unwrap();
        TlsFiles::new(self.file("it.crt"), self.file("it.key"))
    }

    /// What a client trusts, and shows.
    fn client(&self, shown: Option<&Self>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let certificates = |path| CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap);
        certificates(self.file("ca.crt")).for_each(|it| roots.add(it).unwrap());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match shown {
            None => builder.with_no_client_auth(),
            Some(of) => {
                let key = PrivateKeyDer::from_pem_file(of.file("it.key")).unwrap();
                let chain = certificates(of.file("it.crt")).collect();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

/// Serves by these files, while something is asked.
fn serving<T>(files: &TlsFiles, ask: impl FnOnce(SocketAddr) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = ServerListener::encrypted(listener, files).unwrap();
    let settings = Settings::default();
    let drain: Drain = settings.drain.clone();
    let served = std::thread::spawn(move || run(handbook(), listener, settings).unwrap());
    let answer = ask(address);
    drain.start();
    served.join().unwrap();
    answer
}

/// What `GET /v1` is answered with.
fn get(address: SocketAddr, config: ClientConfig) -> std::io::Result<String> {
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
    stream.write_all(b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn who_trusts_the_authority_is_answered_and_nothing_is_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let other = Authority::new(&folder.path().join("other"));
    let files = authority.sign("localhost");
    serving(&files, |address| {
        let answer = get(address, authority.client(None)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        get(address, other.client(None)).unwrap_err();
        // A client that does not encrypt gets no answer of HTTP.
        let mut plain = TcpStream::connect(address).unwrap();
        plain.write_all(b"GET /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        // And one that says nothing holds up nobody.
        let _silent = TcpStream::connect(address).unwrap();
        get(address, authority.client(None)).unwrap();
    });
}

#[test]
fn a_client_shows_a_certificate_of_the_authority_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let clients = Authority::new(&folder.path().join("clients"));
    clients.sign("somebody");
    let files = authority.sign("localhost").client_ca(clients.file("ca.crt"));
    serving(&files, |address| {
        let answer = get(address, authority.client(Some(&clients))).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        for other in [None, Some(&authority)] {
            let answer = get(address, authority.client(other));
            assert!(!answer.is_ok_and(|answer| answer.contains("HTTP")));
        }
    });
}

#[test]
fn files_that_do_not_do_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let other = Authority::new(&folder.path().join("other"));
    authority.sign("localhost");
    other.sign("localhost");
    let path = |name: &str| folder.path().join(name);
    let (certificate, key) = (path("it.crt"), path("it.key"));
    let text = fs::read_to_string(&certificate).unwrap();
    let begin = text.lines().next().unwrap();
    let bad = [
        ("empty", String::new()),
        ("words", "no certificate".to_owned()),
        ("cut", text[..text.len() / 2].to_owned()),
        ("no-base64", format!("{begin}\n!!!!\n-----END CERTIFICATE-----\n")),
        ("no-der", format!("{begin}\nAAAA\n-----END CERTIFICATE-----\n")),
    ];
    let refused = |files: &TlsFiles| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        ServerListener::encrypted(listener, files).unwrap_err()
    };
    for (name, text) in bad {
        fs::write(path(name), text).unwrap();
        for files in [
            TlsFiles::new(path(name), &key),
            TlsFiles::new(&certificate, &key).client_ca(path(name)),
        ] {
            let error = refused(&files);
            assert!(matches!(error, TlsError::Malformed { .. }), "{name}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = refused(&TlsFiles::new(&certificate, path(name)));
        assert!(error.to_string().contains(name), "{error}");
    }
    let error = refused(&TlsFiles::new(path("absent"), &key));
    assert!(matches!(error, TlsError::File { .. }), "{error}");
    let error = refused(&TlsFiles::new(&certificate, other.file("it.key")));
    assert!(matches!(error, TlsError::OtherKey { .. }), "{error}");
}
