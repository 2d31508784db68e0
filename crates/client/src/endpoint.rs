//! Where a server is.

use std::{fmt, path::PathBuf, str::FromStr};

use ureq::http::Uri;

/// Where a server answers: a URL, or the socket of a store.
///
/// # Examples
/// ```
/// use spacefold_client::Endpoint;
/// let endpoint: Endpoint = "http://127.0.0.1:7353/".parse()?;
/// assert_eq!(endpoint.to_string(), "http://127.0.0.1:7353");
/// assert!("127.0.0.1:7353".parse::<Endpoint>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A URL, without what is behind its path: it is the beginning of every request's.
    Url(String),
    /// The path of a socket.
    Socket(PathBuf),
}

/// A text that is no URL of a server: what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no URL of a server: {why}")]
pub struct InvalidEndpoint {
    /// The text, or the first of it.
    text: String,
    why: &'static str,
}

impl Endpoint {
    /// What the URL of every request begins with.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Url(url) => url,
            // The name that a server knows itself by, whoever asks it through its socket.
            Self::Socket(_) => "http://localhost",
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let wrong = |why| InvalidEndpoint { text: text.chars().take(200).collect(), why };
        let uri: Uri = text.parse().map_err(|_| wrong("it is not one"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") if cfg!(feature = "tls") => {}
            Some("https") => return Err(wrong("this program was built without TLS (feature tls)")),
            _ => return Err(wrong("it begins with http:// or https://")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a token goes beside it, not into it"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(wrong("it ends with its path"));
        }
        Ok(Self::Url(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Socket(path) => write!(f, "the socket {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_without_anything_behind_its_path() {
        for (text, url) in [
            ("http://127.0.0.1:7353", "http://127.0.0.1:7353"),
            ("http://[::1]:7353/", "http://[::1]:7353"),
            ("http://spaces.example/mounted/here/", "http://spaces.example/mounted/here"),
        ] {
            assert_eq!(text.parse(), Ok(Endpoint::Url(url.to_owned())));
        }
        for text in [
            "",
            "localhost",
            "127.0.0.1:7353",
            "/var/lib/store/sock",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://me:secret@host/",
            "http://host/?a=1",
            "http://host/#a",
            "http://ho st/",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains("is no URL of a server"), "{error}");
        }
        assert_eq!("https://host".parse::<Endpoint>().is_ok(), cfg!(feature = "tls"));
    }
}
