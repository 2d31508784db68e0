//! Who could reach the store, and whether that is meant.

use std::net::SocketAddr;

use super::Serve;
use crate::error::{Failure, Status};

/// What decides on who could reach the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exposure {
    address: SocketAddr,
    is_anonymous: bool,
    is_encrypted: bool,
    is_meant: bool,
}

impl Exposure {
    pub(super) const fn of(serve: &Serve) -> Self {
        Self {
            address: serve.listen,
            is_anonymous: serve.allow_anonymous,
            is_encrypted: serve.tls_cert.is_some(),
            is_meant: serve.insecure,
        }
    }

    /// Fails where everybody could do everything, or tokens and events could be read on their way.
    pub(super) fn check(self) -> Result<(), Failure> {
        if self.address.ip().is_loopback() {
            return Ok(());
        }
        let refused = |what: &str, hint: &str| {
            Err(Failure::new(Status::Usage, what, format_args!("--listen {}", self.address), hint))
        };
        if self.is_anonymous {
            return refused(
                "others than this machine reach the address, and would need no token",
                "listen on a loopback address, or leave --allow-anonymous out",
            );
        }
        if !self.is_encrypted && !self.is_meant {
            return refused(
                "others than this machine reach the address, and nothing would be encrypted",
                "name --tls-cert and --tls-key, or say --insecure where something before it encrypts",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_it_takes_tokens_and_encryption_or_to_be_meant() {
        let check = |address: &str, is_anonymous, is_encrypted, is_meant| {
            let address = address.parse().unwrap();
            Exposure { address, is_anonymous, is_encrypted, is_meant }.check().is_ok()
        };
        for loopback in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:0"] {
            assert!(check(loopback, true, false, false) && check(loopback, false, false, false));
        }
        for beyond in ["0.0.0.0:0", "[::]:0", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(!check(beyond, false, false, false));
            assert!(check(beyond, false, true, false) && check(beyond, false, false, true));
            // Not even where it is meant.
            assert!(!check(beyond, true, true, true));
        }
    }
}
