//! Clients of servers that the command line is told of.

use std::{env, fmt, fs::File, io::Read as _, path::Path, time::Duration};

use spacefold_client::{Client, ClientOptions, Endpoint};

use crate::error::{Failure, Status};

/// How long a server that cannot be reached is tried again: somebody waits.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// Bytes of a file that has a token.
const MAX_TOKEN_BYTES: u64 = 4_096;

/// A client of a server, with the token of a file, or of the environment.
pub(crate) fn client(endpoint: Endpoint, token_file: Option<&Path>) -> Result<Client, Failure> {
    let mut options = ClientOptions::default();
    options.retry_for = RETRY_FOR;
    options.token = match token_file {
        Some(path) => Some(token_in(path)?),
        None => env::var("SPACEFOLD_TOKEN").ok().filter(|token| !token.is_empty()),
    };
    Ok(Client::new(endpoint, options))
}

fn token_in(path: &Path) -> Result<String, Failure> {
    let failed = |what: &dyn fmt::Display| {
        let hint = "name a file that has the token, as `spacefold token create` printed it";
        Failure::new(Status::Usage, what, path.display(), hint)
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(MAX_TOKEN_BYTES).read_to_string(&mut text).map_err(|error| failed(&error))?;
    match text.trim() {
        token if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(token.to_owned())
        }
        _ => Err(failed(&"the file has no token")),
    }
}
