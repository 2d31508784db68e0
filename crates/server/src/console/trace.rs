//! `/trace`

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use spacefold::{
    Position,
    event::{EventFilter, EventQuery},
    log::ReadRequest,
};
use spacefold_console::{Section, TracePage};

use super::page;
use crate::{
    access::CallerAccess, app::App, parameters::Parameters, problem::HttpProblem,
    served_store::ServedStore, tokens::TokenRight, visitor::Visitor,
};

/// Events of a page.
const PAGE_EVENTS: usize = 200;

/// `GET /trace`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let correlation_id = given.text("correlation")?.unwrap_or_default();
    let from = given.number("from")?.unwrap_or(1);
    given.finish()?;
    let query = EventQuery::from(&EventFilter::all().correlation_id(&correlation_id));
    query.check_limits().map_err(|limit| HttpProblem::from(&limit))?;
    let frame = page::frame(&app, &access, &visitor, Section::Trace);
    let (page_time, deadline) = (app.limits().page_time, std::time::Instant::now());
    let page = app
        .ask(move |store| {
            let mut page = TracePage { correlation_id, ..TracePage::default() };
            if !page.correlation_id.is_empty() {
                let is_over = || deadline.elapsed() >= page_time;
                read(store, &access, query, Position::new(from), is_over, &mut page)?;
            }
            Ok(page.render(&frame))
        })
        .await?;
    Ok(page::html(StatusCode::OK, page))
}

fn read(
    store: &ServedStore,
    access: &CallerAccess,
    query: EventQuery,
    from: Position,
    is_over: impl Fn() -> bool,
    page: &mut TracePage,
) -> Result<(), HttpProblem> {
    let head = store.durable_head();
    let read = ReadRequest::from(from).matching(query).looking_at(1 << 16);
    for found in store.log().pages(read) {
        let found = found?;
        for event in found.events() {
            let event = event?;
            if !access.sees(event.space_id) {
                continue;
            }
            if page.events.len() == PAGE_EVENTS {
                page.next = Some(event.position.get());
                return Ok(());
            }
            page.events.push(event.to_owned_event());
        }
        if is_over() && found.next() <= head {
            page.next = Some(found.next().get());
            return Ok(());
        }
    }
    Ok(())
}
