//! Pages of events, and the search for the newest ones.

use std::time::Instant;

use axum::{body::Body, response::Response};
use spacefold::{
    Position,
    event::EventQuery,
    log::{Pages, ReadRequest},
};

use crate::{
    accept::MediaType,
    answer::negotiated_answer,
    app::App,
    chunks::body_of,
    entity_tag::CacheRule,
    events_text::EventLines,
    parameters::invalid,
    problem::HttpProblem,
    selection::{Begin, EventReading},
    served_store::{LogOf, ServedStore},
    settings::ServerLimits,
};

/// Events of a page that is asked for without a limit.
const PAGE_EVENTS: u64 = 100;

/// Events that are read, or looked at, together.
const READ_EVENTS: usize = 1_024;

/// Events that are looked at in one reading, whether they pass or not.
const LOOK_EVENTS: usize = 65_536;

/// How far back the first search for the newest events goes; each further one goes twice as far.
const FIRST_SEARCH_EVENTS: u64 = 4_096;

/// How far back one search goes at the most.
const MAX_SEARCH_EVENTS: u64 = 1 << 20;

/// A page, as JSON without its last parts, and where to go on.
pub(super) struct EventPage {
    json: Vec<u8>,
    pub(super) is_empty: bool,
    /// Everything up to here was looked at.
    pub(super) next: Position,
    pub(super) head: Position,
}

impl EventPage {
    pub(super) fn into_answer(self) -> Response {
        self.into_answer_with(b"")
    }

    /// The answer with further members, each after a comma.
    pub(super) fn into_answer_with(self, more: &[u8]) -> Response {
        let Self { mut json, next, head, .. } = self;
        let end = format!("],\"next\":{next},\"head\":{head}");
        json.extend_from_slice(end.as_bytes());
        json.extend_from_slice(more);
        json.push(b'}');
        negotiated_answer(MediaType::Json, json, CacheRule::NoStore)
    }
}

/// The answer to a reading: a page, or lines up to its end.
pub(super) async fn answer_of(
    app: &App,
    reading: EventReading,
    media_type: MediaType,
) -> Result<Response, HttpProblem> {
    let after = begin_of(app, &reading).await?;
    match media_type {
        MediaType::NdJson => lines_of(app, reading, after).await,
        _ => Ok(page_of(app, &reading, after).await?.into_answer()),
    }
}

async fn lines_of(
    app: &App,
    reading: EventReading,
    after: Position,
) -> Result<Response, HttpProblem> {
    let limits = app.limits().clone();
    let body: Body = body_of(app, begun(app, reading, after, limits).await?).await?;
    Ok(negotiated_answer(MediaType::NdJson, body, CacheRule::NoStore))
}

async fn begun(
    app: &App,
    reading: EventReading,
    after: Position,
    limits: ServerLimits,
) -> Result<EventLines, HttpProblem> {
    app.ask(move |store| {
        let read = request(&reading.query, after, reading.to);
        let pages = Pages::of(LogOf(store.clone()), read);
        Ok(EventLines::new(pages, reading.limit, reading.access, &limits))
    })
    .await
}

/// The page behind a position.
pub(super) async fn page_of(
    app: &App,
    reading: &EventReading,
    after: Position,
) -> Result<EventPage, HttpProblem> {
    let limits = app.limits().clone();
    let most = limits.max_page_events;
    let limit = reading.limit.unwrap_or(PAGE_EVENTS.min(most));
    if limit > most {
        return Err(invalid("limit", format_args!("a page has at most {most} events")));
    }
    let reading = reading.clone();
    app.ask(move |store| read_page(store, &reading, after, limit, &limits)).await
}

fn request(query: &EventQuery, after: Position, to: Option<Position>) -> ReadRequest {
    let read = ReadRequest::from(after.next()).matching(query.clone());
    let read = read.limit(READ_EVENTS).looking_at(LOOK_EVENTS);
    to.map_or(read.clone(), |to| read.to(to))
}

fn read_page(
    store: &ServedStore,
    reading: &EventReading,
    after: Position,
    limit: u64,
    limits: &ServerLimits,
) -> Result<EventPage, HttpProblem> {
    let began = Instant::now();
    let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut page = EventPage {
        json: b"{\"events\":[".to_vec(),
        is_empty: true,
        next: after,
        head: store.durable_head(),
    };
    let request = request(&reading.query, after, reading.to).limit(left.clamp(1, READ_EVENTS));
    for read in store.log().pages(request) {
        let read = read?;
        for event in read.events() {
            let event = event?;
            if !reading.access.sees(event.space_id) {
                continue;
            }
            if !page.is_empty {
                page.json.push(b',');
            }
            event.write_json(&mut page.json);
            page.is_empty = false;
            page.next = event.position;
            left -= 1;
            if left == 0 || page.json.len() >= limits.max_page_bytes {
                return Ok(page);
            }
        }
        page.next = page.next.max(read.next().previous());
        if began.elapsed() >= limits.page_time {
            break;
        }
    }
    Ok(page)
}

/// The position behind which a reading begins, which is not beyond the head.
pub(super) async fn begin_of(app: &App, reading: &EventReading) -> Result<Position, HttpProblem> {
    match reading.begin {
        Begin::After(after) => {
            let head = app.ask(|store| Ok(store.durable_head())).await?;
            if after > head {
                return Err(HttpProblem::beyond_head(after, head));
            }
            Ok(after)
        }
        Begin::Last(wanted) => before_newest(app, reading, wanted).await,
    }
}

/// The position behind which the newest `wanted` of the events are. Each stretch is a call of its own:
/// others get their turn, and a client that has gone ends it.
async fn before_newest(
    app: &App,
    reading: &EventReading,
    wanted: u64,
) -> Result<Position, HttpProblem> {
    let head = app.ask(|store| Ok(store.durable_head())).await?;
    let mut to = reading.to.map_or(head, |to| to.min(head));
    if reading.query.is_all() && reading.access.sees_everything() {
        return Ok(Position::new(to.get().saturating_sub(wanted)));
    }
    let mut missing = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut stretch = FIRST_SEARCH_EVENTS;
    while to > Position::START && missing > 0 {
        let before = Position::new(to.get().saturating_sub(stretch));
        let (searched, most) = (reading.clone(), missing);
        let found = app.ask(move |store| newest(store, &searched, before, to, most)).await?;
        if let Some(first) = found.first().filter(|_| found.len() >= missing) {
            return Ok(first.previous());
        }
        missing -= found.len();
        to = before;
        stretch = (stretch * 2).min(MAX_SEARCH_EVENTS);
    }
    Ok(if missing == 0 { head } else { Position::START })
}

/// The positions of the newest `most` events of a stretch.
fn newest(
    store: &ServedStore,
    reading: &EventReading,
    before: Position,
    to: Position,
    most: usize,
) -> Result<Vec<Position>, HttpProblem> {
    let mut found = std::collections::VecDeque::new();
    let read = ReadRequest::from(before.next()).to(to).matching(reading.query.clone());
    for page in store.log().pages(read) {
        for envelope in page?.envelopes().filter(|it| reading.access.sees(it.space_id)) {
            found.push_back(envelope.position);
            if found.len() > most {
                found.pop_front();
            }
        }
    }
    Ok(found.into())
}
