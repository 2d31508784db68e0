#![doc = include_str!("../README.md")]
//!
//! Spaces over HTTP: a router over a store that is open, or that is followed beside the process that has
//! it. It can be mounted in an axum application, served [on a runtime](serve), [in a thread](run) or
//! [through the socket of the store](serve_local).
//!
//! ```
//! use axum::Router;
//! use spacefold::Spacefold;
//! use spacefold_server::{Settings, router};
//!
//! let spaces = Spacefold::in_memory()?;
//! let application: Router =
//!     Router::new().nest_service("/spaces", router(spaces, Settings::default()));
//! # drop(application);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who may
//! With [tokens](Settings::tokens), who has one that is good: it grants rights over spaces, and what it
//! does not grant is not shown. Without, nobody is asked who they are: whoever reaches the router may do
//! what the store lets this process do, and what keeps others away is the listener on a loopback address,
//! or what the application puts before the router. Only an [encrypted](ServerListener::encrypted) listener
//! encrypts; the [socket](serve_local) of a store answers processes of the same user alone.
//!
//! Pages of other sites are kept away either way: a `Host` that is not among
//! [those that are told](Settings::hosts), an `Origin` or `Sec-Fetch-Site` of another site are answered
//! `403`, and bodies have to be named as what they are, by `Content-Type`.
//!
//! # Paths
//! | | |
//! |---|---|
//! | `GET /v1` | which store it is, how far it is, its limits |
//! | `GET /v1/info` | the store at a glance |
//! | `GET /healthz`, `GET /readyz` | whether the process answers; whether requests are welcome |
//! | `GET /metrics` | what is to be watched, as Prometheus reads it |
//! | `GET /v1/events` | events: a page, lines, or a stream, as `Accept` says |
//! | `POST /v1/events/query` | the same for several filters, and for those that no URL holds |
//! | `GET /v1/events/{position}` | one event |
//! | `POST /v1/append` | appends events, on a condition |
//! | `GET /v1/spaces` | the spaces, now or as of a moment |
//! | `GET /v1/spaces/{space}` | the state of a space, now, as of a moment, or once a position is there |
//! | `GET /v1/spaces/{space}/diff` | what changed between two moments |
//! | `GET /v1/spaces/{space}/history` | its events |
//! | `GET /v1/spaces/{space}/blame` | which event gave each part its value |
//! | `GET /v1/spaces/{space}/documents/{document}` | a document, now or as of a moment |
//! | `GET /v1/spaces/{space}/documents/{document}/content` | its bytes |
//! | `POST /v1/spaces/{space}/{operation}`, `POST /v1/spaces/{space}/batch` | commands |
//! | `GET`, `PUT /v1/contents/{hash}` | content by its hash |
//! | `GET /`, and pages below it | the [console](Settings::console), for people |
//! | `GET /v1/projections`, `GET /v1/projections/{name}` | how projections are doing |
//! | `GET /v1/projections/{name}/rows` | the rows of one that comes with the store |
//! | `POST /v1/projections/rebuild`, `POST /v1/projections/{name}/rebuild` | folds anew, or compares, as a job |
//! | `GET /v1/jobs`, `GET`, `DELETE /v1/jobs/{id}` | how a job is doing, and its end |
//! | `GET /v1/subscriptions` | the durable subscriptions |
//! | `GET`, `PUT`, `DELETE /v1/subscriptions/{name}` | one of them |
//! | `GET /v1/subscriptions/{name}/events` | what it has not acknowledged: a page, or a stream |
//! | `POST /v1/subscriptions/{name}/ack` | acknowledges what was received |
//! | `GET`, `POST /v1/subscriptions/{name}/parked` | events that are set aside |
//! | `POST /v1/subscriptions/{name}/parked/{position}/{retry\|discard}` | gives one again, or up |
//!
//! `docs/http.md` has every parameter, form and answer.
//!
//! # How it works
//! Calls into the store run on a bounded number of threads, never on the runtime; appends and commands are
//! awaited without one. What is sent is made a chunk at a time, as the client takes it, and so is what is
//! read for it: memory is bounded, and no client holds a thread. All [limits](ServerLimits) have a name
//! and an answer.

mod accept;
mod access;
mod answer;
mod app;
mod body;
mod bounded;
mod byte_range;
mod channel_body;
mod chunks;
mod command_fields;
mod condition;
mod console;
mod console_sessions;
mod drain;
mod entity_tag;
mod events_text;
mod guard;
mod jobs;
mod local_service;
mod metrics_text;
mod moment;
mod parameters;
mod path_ids;
mod pool;
mod pooled_subscriber;
mod printed_filter;
mod problem;
mod receiving_sessions;
mod request_ids;
mod request_trace;
mod resources;
mod selection;
mod serve_error;
mod served_store;
mod server_listener;
mod serving;
mod settings;
mod space_timelines;
mod timed_io;
#[cfg(feature = "tls")]
mod tls_files;
mod tokens;
mod visitor;

use axum::{Router, middleware};

#[cfg(feature = "tls")]
pub use self::tls_files::{TlsError, TlsFiles};
pub use self::{
    drain::Drain,
    local_service::{LocalService, serve_local, serve_local_with},
    serve_error::ServeError,
    served_store::ServedStore,
    server_listener::ServerListener,
    serving::{run, serve},
    settings::{ServerLimits, Settings},
    tokens::{KeptToken, SpacePattern, TokenError, TokenFile, TokenGrant, TokenRight},
};
use crate::app::App;

/// The router over a store: an open one, which is read and written, or one that is followed.
///
/// It needs a tokio runtime with time, and is closed by nobody: [start the drain](Drain::start) of its
/// settings before the store is closed.
///
/// # Examples
/// See the [crate] and [`serve`].
pub fn router(spaces: impl Into<ServedStore>, settings: Settings) -> Router {
    let app = App::new(spaces.into(), settings);
    let guarded = middleware::from_fn_with_state(app.clone(), guard::guard);
    let traced = middleware::from_fn_with_state(app.clone(), request_trace::trace);
    let mut routes = resources::routes();
    if app.settings().console {
        routes = routes.merge(console::routes());
    }
    routes.layer(guarded).layer(traced).with_state(app)
}
