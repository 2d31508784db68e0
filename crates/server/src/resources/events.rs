//! `/v1/events`, its query and its single events; the history of a space.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use spacefold::{EventId, Position, Revision, event::EventFilter};

use super::{event_pages, live_events};
use crate::{
    accept::{MediaType, negotiated},
    access::CallerAccess,
    answer::{answer, tagged},
    app::App,
    body::WholeBody,
    entity_tag::{CacheRule, EntityTag},
    parameters::{Parameters, invalid},
    path_ids::PathIds,
    problem::HttpProblem,
    selection::{WrittenFilter, WrittenReading, check_timeline},
    served_store::ServedStore,
    tokens::TokenRight,
};

/// `GET /v1/events`
pub(crate) async fn list(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    use MediaType::{EventStream, Json, NdJson};
    access.require(TokenRight::Read)?;
    let media_type = negotiated(&headers, &[Json, NdJson, EventStream])?;
    let mut given = Parameters::of(&uri)?;
    let filter = WrittenFilter::of(&mut given)?.filter()?;
    let reading = WrittenReading::of(&mut given)?.reading(&app, filter.clone(), access)?;
    if media_type == EventStream {
        let snapshot = given.flag("snapshot")?;
        given.finish()?;
        return live_events::stream(&app, &headers, filter, &reading, snapshot).await;
    }
    let wait = if media_type == Json { given.duration("wait")? } else { None };
    given.finish()?;
    match wait {
        Some(wait) => {
            Ok(live_events::waited_page(&app, filter, &reading, wait).await?.into_answer())
        }
        None => event_pages::answer_of(&app, reading, media_type).await,
    }
}

/// `POST /v1/events/query`
pub(super) async fn query(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let media_type = negotiated(&headers, &[MediaType::Json, MediaType::NdJson])?;
    Parameters::of(&uri)?.finish()?;
    let (_, body) = WholeBody::read(&app, &headers, body, &[MediaType::Json]).await?;
    let written: WrittenReading = body.parsed()?;
    let reading = written.reading(&app, EventFilter::all(), access)?;
    event_pages::answer_of(&app, reading, media_type).await
}

/// `GET /v1/events/{position}`, or by its id
pub(super) async fn one(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let names_timeline = check_timeline(&app, given.text("timeline")?.as_deref())?;
    given.finish()?;
    let asked = AskedEvent::of(ids.text("position"))?;
    let cache = match asked {
        AskedEvent::At(_) if names_timeline => CacheRule::Immutable,
        _ => CacheRule::Revalidate,
    };
    let (position, event) = app.ask(move |store| asked.read(store, &access)).await?;
    let tag = EntityTag::of_position(app.identity().timeline, position);
    tagged(&headers, &tag, cache, || Ok(answer(MediaType::Json, event, cache)))
}

/// What names an event.
#[derive(Clone, Copy)]
enum AskedEvent {
    At(Position),
    Id(EventId),
}

impl AskedEvent {
    fn of(text: &str) -> Result<Self, HttpProblem> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let named = match is_number {
            true => text.parse().ok().map(|position| Self::At(Position::new(position))),
            false => text.parse().ok().map(Self::Id),
        };
        named.ok_or_else(|| {
            let detail = "an event is named by its position, a whole number below 2^64, or its id";
            HttpProblem::bad_request("invalid_path", detail)
        })
    }

    /// Where the event is, and its JSON.
    fn read(
        self,
        store: &ServedStore,
        access: &CallerAccess,
    ) -> Result<(Position, Vec<u8>), HttpProblem> {
        let position = match self {
            Self::At(position) => Some(position),
            Self::Id(id) => store.find_event(id)?,
        };
        let page = position.map(|position| store.log().page_at(position)).transpose()?.flatten();
        let event = page.as_ref().and_then(|page| page.events().next()).transpose()?;
        match (self, event) {
            (Self::At(position), Some(event)) => {
                access.require_sight(event.space_id)?;
                Ok((position, event.to_json().into_bytes()))
            }
            (Self::At(position), None) => Err(match store.durable_head() {
                head if position > head => HttpProblem::beyond_head(position, head),
                _ => HttpProblem::not_found("unknown_position", "positions of events begin at 1"),
            }),
            (Self::Id(_), Some(event)) if access.sees(event.space_id) => {
                Ok((event.position, event.to_json().into_bytes()))
            }
            // Of others it is not told whether it is there.
            (Self::Id(id), _) => {
                let detail = format_args!("there is no event {id}");
                Err(HttpProblem::not_found("unknown_event", detail).field("event_id", id))
            }
        }
    }
}

/// `GET /v1/spaces/{space}/history`
pub(super) async fn history(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    let media_type = negotiated(&headers, &[MediaType::Json, MediaType::NdJson])?;
    let space_id = ids.id("space")?;
    access.require_of(TokenRight::Read, &space_id)?;
    let mut given = Parameters::of(&uri)?;
    if !given.all("space").is_empty() {
        return Err(invalid("space", "it is in the path"));
    }
    let filter = WrittenFilter::of(&mut given)?.filter()?.spaces([&space_id]);
    let reading = WrittenReading::of(&mut given)?.reading(&app, filter, access)?;
    given.finish()?;
    app.ask(move |store| match store.log().revision(&space_id)? {
        Revision::NONE => Err(HttpProblem::unknown_space(&space_id)),
        _ => Ok(()),
    })
    .await?;
    event_pages::answer_of(&app, reading, media_type).await
}
