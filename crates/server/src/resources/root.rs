//! `/v1`

use axum::{extract::State, http::Uri, response::Response};
use serde::Serialize;
use spacefold::{
    Position,
    event::{
        MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES, MAX_ID_BYTES, MAX_QUERY_FILTERS,
        MAX_TAG_BYTES, MAX_TAGS, id_text,
    },
    log::TimelineFork,
};

use crate::{
    answer::json, app::App, entity_tag::CacheRule, parameters::Parameters, problem::HttpProblem,
};

#[derive(Serialize)]
struct PrintedRoot {
    version: &'static str,
    store_id: String,
    log_id: String,
    timeline: String,
    fork: Option<PrintedTimelineFork>,
    head: Position,
    durable_head: Position,
    writable: bool,
    limits: PrintedLimits,
    links: PrintedLinks,
}

/// Where a timeline parted from another.
#[derive(Serialize)]
pub(super) struct PrintedTimelineFork {
    parent: String,
    position: Position,
}

impl From<TimelineFork> for PrintedTimelineFork {
    fn from(fork: TimelineFork) -> Self {
        Self { parent: fork.parent.to_string(), position: fork.position }
    }
}

#[derive(Serialize)]
struct PrintedLimits {
    append_events: usize,
    append_bytes: usize,
    event_bytes: usize,
    id_bytes: usize,
    tags: usize,
    tag_bytes: usize,
    query_filters: usize,
    body_bytes: usize,
    content_bytes: u64,
    page_events: u64,
    streams: usize,
    wait_seconds: u64,
}

#[derive(Serialize)]
struct PrintedLinks {
    events: &'static str,
    query: &'static str,
    append: &'static str,
    spaces: &'static str,
    space: &'static str,
    contents: &'static str,
    subscriptions: &'static str,
    projections: &'static str,
    jobs: &'static str,
    info: &'static str,
}

const LINKS: PrintedLinks = PrintedLinks {
    events: "/v1/events",
    query: "/v1/events/query",
    append: "/v1/append",
    spaces: "/v1/spaces",
    space: "/v1/spaces/{space}",
    contents: "/v1/contents/{hash}",
    subscriptions: "/v1/subscriptions",
    projections: "/v1/projections",
    jobs: "/v1/jobs",
    info: "/v1/info",
};

pub(super) async fn get(State(app): State<App>, uri: Uri) -> Result<Response, HttpProblem> {
    Parameters::of(&uri)?.finish()?;
    let (head, durable_head) =
        app.ask(|store| Ok((store.log().head(), store.durable_head()))).await?;
    let identity = app.identity();
    let limits = app.limits();
    let root = PrintedRoot {
        version: env!("CARGO_PKG_VERSION"),
        store_id: id_text(app.store().store_id()),
        log_id: identity.log_id.to_string(),
        timeline: identity.timeline.to_string(),
        fork: identity.fork.map(Into::into),
        head,
        durable_head,
        writable: app.writable().is_ok(),
        limits: PrintedLimits {
            append_events: MAX_APPEND_EVENTS,
            append_bytes: MAX_APPEND_BYTES,
            event_bytes: MAX_EVENT_BYTES,
            id_bytes: MAX_ID_BYTES,
            tags: MAX_TAGS,
            tag_bytes: MAX_TAG_BYTES,
            query_filters: MAX_QUERY_FILTERS,
            body_bytes: limits.max_body_bytes,
            content_bytes: limits.max_content_bytes,
            page_events: limits.max_page_events,
            streams: limits.max_streams,
            wait_seconds: limits.max_wait.as_secs(),
        },
        links: LINKS,
    };
    json(&root, CacheRule::NoStore)
}
