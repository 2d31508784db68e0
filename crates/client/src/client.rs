//! A client.

use ureq::Agent;

use crate::{client_options::ClientOptions, endpoint::Endpoint, transport::agent_for};

/// Asks a server, one request after the other for each thread that does: see the [crate].
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) agent: Agent,
    pub(crate) endpoint: Endpoint,
    pub(crate) options: ClientOptions,
}

impl Client {
    /// A client of the server at an endpoint. Nothing is sent yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, options: ClientOptions) -> Self {
        let agent = agent_for(&endpoint, &options);
        Self { agent, endpoint, options }
    }

    /// Where the server is.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
