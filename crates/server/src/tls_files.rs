//! Certificates and keys of files, and what is wrong with those that do not do.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
        server::WebPkiClientVerifier,
    },
};

/// The files that a server is encrypted by, in PEM.
///
/// # Examples
/// ```
/// use spacefold_server::TlsFiles;
/// let files = TlsFiles::new("server.crt", "server.key").client_ca("clients.crt");
/// # drop(files);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// Why files do not do for TLS. Nothing listens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file has not what is looked for in it, or not in that form.
    #[error("{} has no {wanted} that reads: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is looked for in it.
        wanted: &'static str,
        /// Why it is not that.
        why: String,
    },
    /// The key is not that of the certificate.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    OtherKey {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";

impl TlsFiles {
    /// A certificate, with those between it and its authority after it, and its private key.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), client_ca: None }
    }

    /// Lets in clients alone that have a certificate of one of the authorities in a file.
    #[must_use]
    pub fn client_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(path.into());
        self
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let malformed = |path: &Path, wanted, why: &dyn std::fmt::Display| TlsError::Malformed {
            path: path.to_owned(),
            wanted,
            why: why.to_string(),
        };
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| malformed(&self.key, KEY, &said(&error)))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| malformed(&self.certificate, CERTIFICATE, &error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| malformed(path, CERTIFICATE, &error))?;
                }
                let roots = Arc::new(roots);
                let clients = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let clients = clients.map_err(|error| malformed(path, CERTIFICATE, &error))?;
                builder.with_client_cert_verifier(clients)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::OtherKey { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(error) => {
                malformed(&self.certificate, CERTIFICATE, &error)
            }
            error => malformed(&self.key, KEY, &error),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config).into())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::File { path: path.to_owned(), cause })
}

/// The certificates in a file: one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let malformed =
        |why: String| TlsError::Malformed { path: path.to_owned(), wanted: CERTIFICATE, why };
    let text = read(path)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| malformed(said(&error)))?;
    if found.is_empty() {
        return Err(malformed(said(&pem::Error::NoItemsFound)));
    }
    Ok(found)
}

/// What is wrong with a file, without the bytes of it: some are secret.
fn said(error: &pem::Error) -> String {
    let said = match error {
        pem::Error::NoItemsFound => "there is none in it",
        pem::Error::MissingSectionEnd { .. } => "a section of it has no end",
        pem::Error::IllegalSectionStart { .. } => "a section of it has no proper begin",
        pem::Error::Base64Decode(_) => "a section of it is not base64",
        _ => "it is not PEM",
    };
    said.to_owned()
}
