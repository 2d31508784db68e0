//! Events of a durable subscription that are set aside, since they could not be processed.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde::{Deserialize, Serialize};
use spacefold::{
    EventId, Position,
    bus::{ParkedEvent, ParkedId},
    subscribe::ParkError,
};
use tokio::time::timeout;

use super::{
    known,
    receiving::{known_session, session_of},
    told,
};
use crate::{
    accept::MediaType,
    access::CallerAccess,
    answer::json,
    app::App,
    body::WholeBody,
    entity_tag::CacheRule,
    parameters::{Parameters, invalid},
    path_ids::PathIds,
    problem::HttpProblem,
    receiving_sessions::SessionKind,
    served_store::ServedStore,
    tokens::TokenRight,
};

/// Parked events of a page that is asked for without a limit.
const PAGE_PARKED: u64 = 100;

/// Bytes of why an event could not be processed, of which the first 1,024 are kept.
const MAX_REASON_BYTES: usize = 64 << 10;

/// Bytes of what an event is set aside by.
const MAX_HANDLER_BYTES: usize = 256;

#[derive(Serialize)]
struct PrintedParked {
    position: Position,
    event_id: EventId,
    event_type: String,
    space_id: String,
    handler: String,
    attempts: u32,
    reason: String,
    href: String,
}

impl From<ParkedEvent> for PrintedParked {
    fn from(parked: ParkedEvent) -> Self {
        Self {
            position: parked.position,
            event_id: parked.event_id,
            event_type: parked.type_name,
            space_id: parked.space_id,
            handler: parked.handler,
            attempts: parked.attempts,
            reason: parked.reason,
            href: format!("/v1/events/{}", parked.position),
        }
    }
}

#[derive(Serialize)]
struct PrintedParkedPage {
    parked: Vec<PrintedParked>,
    /// What the next page comes after; `null` where there is none.
    next: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenParked {
    position: u64,
    reason: String,
    #[serde(default)]
    handler: String,
}

/// `GET /v1/subscriptions/{name}/parked`
pub(in crate::resources) async fn list(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let name = ids.id("name")?;
    let mut given = Parameters::of(&uri)?;
    let (after, limit) = (given.number("after")?.unwrap_or(0), given.number("limit")?);
    given.finish()?;
    let most = app.limits().max_page_events;
    let limit = limit.unwrap_or(PAGE_PARKED.min(most));
    if !(1..=most).contains(&limit) {
        return Err(invalid("limit", format_args!("a page has 1 to {most} events")));
    }
    let page = app
        .ask(move |store| {
            let ServedStore::Open(spaces) = store else {
                let detail = "what is parked is known to the process that has the store";
                return Err(HttpProblem::new(StatusCode::FORBIDDEN, "read_only", detail));
            };
            known(spaces, &access, &name)?;
            let mut parked = spaces.feed().parked(&name)?;
            parked.retain(|it| access.sees(&it.space_id));
            let of = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let end = after.saturating_add(limit);
            let next = (parked.len() > of(end)).then_some(end);
            let page = parked.into_iter().skip(of(after)).take(of(limit));
            Ok(PrintedParkedPage { parked: page.map(PrintedParked::from).collect(), next })
        })
        .await?;
    json(&page, CacheRule::NoStore)
}

/// `POST /v1/subscriptions/{name}/parked`
pub(in crate::resources) async fn park(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let name = ids.id("name")?;
    Parameters::of(&uri)?.finish()?;
    app.writable()?;
    let session = known_session(&app, &headers, &name)?;
    let (_, body) = WholeBody::read(&app, &headers, body, &[MediaType::Json]).await?;
    let written: WrittenParked = body.parsed()?;
    for (key, bytes, most) in [
        ("reason", written.reason.len(), MAX_REASON_BYTES),
        ("handler", written.handler.len(), MAX_HANDLER_BYTES),
    ] {
        if bytes > most {
            let detail = format_args!("{key:?} has {bytes} bytes, allowed are {most}");
            return Err(HttpProblem::bad_request("invalid_body", detail));
        }
    }
    let position = Position::new(written.position);
    session.check_received(position)?;
    let parked = app
        .ask(move |_| {
            session.with_place(|place| {
                let id = place.park(position, &written.handler, &written.reason)?;
                let found = place.parked()?.into_iter().find(|it| it.id == id);
                found.ok_or_else(|| not_parked(position))
            })
        })
        .await?;
    json(&PrintedParked::from(parked), CacheRule::NoStore)
}

fn not_parked(position: Position) -> HttpProblem {
    let detail = format_args!("no event at position {position} is parked");
    HttpProblem::not_found("not_parked", detail).field("position", position)
}

/// What a request about a parked event says.
struct AskedParked {
    name: String,
    position: Position,
    /// Of one handler alone, where several have set the event aside.
    handler: Option<String>,
}

impl AskedParked {
    fn of(ids: &PathIds, uri: &Uri) -> Result<Self, HttpProblem> {
        let name = ids.id("name")?;
        let text = ids.text("position");
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let position = digits.and_then(|digits| digits.parse().ok()).map(Position::new);
        let position = position.ok_or_else(|| {
            HttpProblem::bad_request("invalid_path", "a position is a whole number below 2^64")
        })?;
        let mut given = Parameters::of(uri)?;
        let handler = given.text("handler")?;
        given.finish()?;
        Ok(Self { name, position, handler })
    }

    /// Those that are meant, all of events that are shown.
    fn ids_among(
        &self,
        access: &CallerAccess,
        parked: Vec<ParkedEvent>,
    ) -> Result<Vec<ParkedId>, HttpProblem> {
        let is_meant = |it: &ParkedEvent| {
            it.position == self.position
                && access.sees(&it.space_id)
                && self.handler.as_ref().is_none_or(|handler| *handler == it.handler)
        };
        let meant: Vec<ParkedId> = parked.into_iter().filter(is_meant).map(|it| it.id).collect();
        if meant.is_empty() { Err(not_parked(self.position)) } else { Ok(meant) }
    }
}

#[derive(Serialize)]
struct PrintedRetry {
    position: Position,
    /// Who is given the event again.
    given_to: SessionKind,
}

/// `POST /v1/subscriptions/{name}/parked/{position}/retry`
pub(in crate::resources) async fn retry(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Admin)?;
    let asked = AskedParked::of(&ids, &uri)?;
    let spaces = app.writable()?.clone();
    let position = asked.position;
    let name = asked.name.clone();
    let event = app
        .ask(move |store| {
            known(&spaces, &access, &asked.name)?;
            asked.ids_among(&access, spaces.feed().parked(&asked.name)?)?;
            let page = store.log().page_at(position)?;
            let event = page.as_ref().and_then(|page| page.events().next());
            let event = event.ok_or_else(|| not_parked(position))??;
            let mut json = Vec::new();
            event.write_json(&mut json);
            Ok(json)
        })
        .await?;
    let nobody = || {
        let detail = "no client receives under the name: open a stream, or poll, and retry again";
        HttpProblem::conflict("nobody_receives", detail).retryable()
    };
    let session = app.receiving_sessions().of(&name).ok_or_else(nobody)?;
    match session.owner.held_by {
        SessionKind::Poll => session.retry(event)?,
        SessionKind::Stream => {
            let out = session.stream().ok_or_else(nobody)?;
            let text = [&b"event: retry\ndata: "[..], &event, b"\n\n"].concat();
            let sent = timeout(app.limits().max_wait, out.send(Bytes::from(text))).await;
            let is_slow =
                |_| HttpProblem::unavailable("busy", "the client of the stream takes nothing");
            sent.map_err(is_slow)?.map_err(|_| nobody())?;
        }
    }
    json(&PrintedRetry { position, given_to: session.owner.held_by }, CacheRule::NoStore)
}

#[derive(Serialize)]
struct PrintedDiscard {
    position: Position,
    discarded: usize,
}

/// `POST /v1/subscriptions/{name}/parked/{position}/discard`
pub(in crate::resources) async fn discard(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let asked = AskedParked::of(&ids, &uri)?;
    let spaces = app.writable()?.clone();
    // Who has processed it in the end is whoever receives.
    let session = match session_of(&headers)? {
        Some(id) => Some(app.receiving_sessions().known(&asked.name, &id)?),
        None => {
            access.require(TokenRight::Admin)?;
            app.receiving_sessions().of(&asked.name)
        }
    };
    let position = asked.position;
    let in_pool = app.clone();
    let discarded = app
        .ask(move |_| {
            known(&spaces, &access, &asked.name)?;
            let ids = asked.ids_among(&access, spaces.feed().parked(&asked.name)?)?;
            for id in &ids {
                match &session {
                    Some(session) => session.with_place(|place| Ok(place.discard(*id)?))?,
                    None => spaces
                        .feed()
                        .discard_parked(&asked.name, *id)
                        .map_err(|error| told(&in_pool, &asked.name, error))?,
                }
            }
            Ok(ids.len())
        })
        .await?;
    json(&PrintedDiscard { position, discarded }, CacheRule::NoStore)
}

impl From<ParkError> for HttpProblem {
    fn from(error: ParkError) -> Self {
        match error {
            ParkError::Full => Self::conflict("too_many_parked", ParkError::Full),
            ParkError::NoEvent { position } => {
                Self::not_found("unknown_position", ParkError::NoEvent { position })
            }
            ParkError::Read(error) => error.into(),
            ParkError::Storage(error) => error.into(),
            other => Self::internal("park", &other),
        }
    }
}
