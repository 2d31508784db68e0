//! `/live`

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use spacefold::{
    Position,
    event::{EventFilter, RecordedEvent, TypePattern},
    log::ReadRequest,
};
use spacefold_console::{LivePage, Section};

use super::page;
use crate::{
    access::CallerAccess,
    app::App,
    parameters::{Parameters, invalid},
    problem::HttpProblem,
    served_store::ServedStore,
    tokens::TokenRight,
    visitor::Visitor,
};

/// Events that are shown of what was before.
const SHOWN_EVENTS: usize = 50;

/// Positions that are looked at for them: what is rare may not be among them.
const LOOK_POSITIONS: u64 = 50_000;

/// `GET /live`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let space_id = given.text("space")?.unwrap_or_default();
    let event_type = given.text("type")?.unwrap_or_default();
    given.finish()?;
    let mut filter = EventFilter::all();
    if !space_id.is_empty() {
        access.require_sight(&space_id)?;
        filter = filter.spaces([&space_id]);
    }
    if !event_type.is_empty() {
        let pattern: TypePattern = event_type.parse().map_err(|error| invalid("type", error))?;
        filter = filter.types([pattern]);
    }
    let frame = page::frame(&app, &access, &visitor, Section::Live);
    let page = app
        .ask(move |store| {
            let (events, through) = newest(store, &access, filter)?;
            Ok(LivePage { space_id, event_type, events, through }.render(&frame))
        })
        .await?;
    Ok(page::html(StatusCode::OK, page))
}

/// The newest events that pass a filter, newest first.
fn newest(
    store: &ServedStore,
    access: &CallerAccess,
    filter: EventFilter,
) -> Result<(Vec<RecordedEvent>, Position), HttpProblem> {
    let head = store.durable_head();
    let mut found = Vec::new();
    let (mut to, mut stretch, mut left) = (head, 1_000, LOOK_POSITIONS);
    while to > Position::START && found.len() < SHOWN_EVENTS && left > 0 {
        let before = Position::new(to.get().saturating_sub(stretch));
        let mut some = Vec::new();
        let read = ReadRequest::from(before.next()).to(to).matching(filter.clone());
        for page in store.log().pages(read) {
            for event in page?.events() {
                let event = event?;
                if access.sees(event.space_id) {
                    some.push(event.to_owned_event());
                }
            }
        }
        found.extend(some.into_iter().rev());
        left = left.saturating_sub(stretch);
        (to, stretch) = (before, (stretch * 4).min(left));
    }
    found.truncate(SHOWN_EVENTS);
    Ok((found, head))
}
