#![doc = include_str!("../README.md")]
//!
//! Spaces that a server of spacefold serves: a blocking client of its HTTP interface, over TCP and over
//! the socket of a store.
//!
//! ```no_run
//! use spacefold::{AppendCondition, SpaceEvent};
//! use spacefold_client::{Client, ClientOptions, Endpoint};
//!
//! let endpoint: Endpoint = "http://127.0.0.1:7353".parse()?;
//! let client = Client::new(endpoint, ClientOptions::default());
//! let created = SpaceEvent::space_created("handbook", "Handbook");
//! client.append(&[created], &AppendCondition::no_space("handbook"))?;
//! assert_eq!(client.snapshot("handbook", None)?.name(), Some("Handbook"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it takes
//! Typed calls, one for each thing that a server is asked. States come whole, in the encoding that they
//! are stored in, and are the [`Snapshot`](spacefold::Snapshot)s that a store gives: nothing is folded
//! here, and no more of the log is read than is asked for. Events come as lines, as they are needed.
//!
//! # Failures
//! A [`ClientError`] says whether the request may have been done
//! ([`effects`](ClientError::effects)). What may be repeated without doing anything twice is tried again
//! until [`ClientOptions::retry_for`] is over: reading, content, appends, whose events have ids, and
//! commands under a key. An answer is held to what a server answers: what is too long, of another form or
//! cut short is an error, whoever sent it.
//!
//! # Threads
//! None, and no runtime. A [`Client`] may be shared between threads; it keeps connections open.

mod answers;
mod client;
mod client_error;
mod client_options;
mod content;
mod endpoint;
mod event_lines;
mod exchange;
mod pulling;
mod reading;
mod request_effects;
mod request_json;
mod request_target;
mod server_problem;
mod transport;
mod writing;

pub use self::{
    answers::{CommandAnswer, RemoteDiff, RemoteReceipt, RemoteStore, SpaceListing},
    client::Client,
    client_error::ClientError,
    client_options::ClientOptions,
    endpoint::{Endpoint, InvalidEndpoint},
    event_lines::{EventLine, RemoteEventPage, RemoteEvents},
    request_effects::RequestEffects,
    server_problem::ServerProblem,
    writing::CommandMarks,
};
