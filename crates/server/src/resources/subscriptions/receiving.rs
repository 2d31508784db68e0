//! Receiving under a durable subscription, and acknowledging what was received.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri},
    response::Response,
};
use serde::{Deserialize, Serialize};
use spacefold::{Position, Subscription, Timestamp, event::EventFilter, subscribe::AckError};

use super::{known, told};
use crate::{
    accept::{MediaType, negotiated},
    access::CallerAccess,
    answer::json,
    app::App,
    body::WholeBody,
    entity_tag::{self, CacheRule},
    parameters::{Parameters, invalid},
    path_ids::PathIds,
    problem::HttpProblem,
    receiving_sessions::{
        ReceivingSession, SessionEnd, SessionGuard, SessionKind, SessionOwner, session_over,
    },
    resources::{
        event_pages::{self, EventPage},
        live_events,
    },
    selection::{Begin, EventReading, check_timeline},
    tokens::TokenRight,
};

/// Which session a request is of, and an answer begins.
pub(super) const SESSION: HeaderName = HeaderName::from_static("spacefold-session");

/// Bytes of what a client says that it is.
const MAX_CLIENT_BYTES: usize = 256;

/// The session that a request says.
pub(super) fn session_of(headers: &HeaderMap) -> Result<Option<String>, HttpProblem> {
    Ok(entity_tag::text(headers, SESSION)?.map(str::to_owned))
}

/// `GET /v1/subscriptions/{name}/events`
pub(in crate::resources) async fn events(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let media_type = negotiated(&headers, &[MediaType::Json, MediaType::EventStream])?;
    let name = ids.id("name")?;
    let mut given = Parameters::of(&uri)?;
    check_timeline(&app, given.text("timeline")?.as_deref())?;
    let client = given.text("client")?;
    if client.as_ref().is_some_and(|client| client.len() > MAX_CLIENT_BYTES) {
        return Err(invalid("client", format_args!("it has at most {MAX_CLIENT_BYTES} bytes")));
    }
    let takes_over = given.flag("takeover")?;
    let asked = AskedSession { name, client, takes_over, access };
    if media_type == MediaType::EventStream {
        given.finish()?;
        return stream(&app, asked).await;
    }
    let wait = given.duration("wait")?.unwrap_or_default();
    let limit = given.number("limit")?;
    given.finish()?;
    if limit == Some(0) {
        return Err(invalid("limit", "none is too few"));
    }
    let session = match session_of(&headers)? {
        Some(id) => app.receiving_sessions().known(&asked.name, &id)?,
        None => begin(&app, &asked, SessionKind::Poll).await?,
    };
    poll(&app, &session, asked.access, (wait, limit)).await
}

/// What a client that wants to receive says.
struct AskedSession {
    name: String,
    client: Option<String>,
    takes_over: bool,
    access: CallerAccess,
}

/// Begins a session of a subscription that is there.
async fn begin(
    app: &App,
    asked: &AskedSession,
    kind: SessionKind,
) -> Result<Arc<ReceivingSession>, HttpProblem> {
    let spaces = app.writable()?.clone();
    let (name, access, takes_over) = (asked.name.clone(), asked.access.clone(), asked.takes_over);
    let client = asked.client.clone();
    let in_pool = app.clone();
    app.ask(move |_| {
        let found = known(&spaces, &access, &name)?;
        if found.position.is_none() || found.filter.is_none() {
            let detail =
                "what is kept of the subscription cannot be read: put it again, with `after`";
            return Err(HttpProblem::internal("subscription_unfit", detail));
        }
        let filter = found.filter.unwrap_or_default();
        if takes_over {
            in_pool.receiving_sessions().end_of(&name, SessionEnd::TakenOver);
        }
        let owner = SessionOwner { held_by: kind, client, since: Timestamp::now() };
        let subscription = Subscription::from_start().matching(filter);
        let place = spaces.feed().hold_durable(&name, &subscription);
        let place = place.map_err(|error| told(&in_pool, &name, error))?;
        in_pool.receiving_sessions().begin(&name, owner, place)
    })
    .await
}

/// The filter of the subscription, which a session keeps as it is.
async fn filter_of(app: &App, session: &ReceivingSession) -> Result<EventFilter, HttpProblem> {
    let (spaces, name) = (app.writable()?.clone(), session.name.clone());
    let found = app.ask(move |_| Ok(spaces.feed().durable_subscription(&name)?)).await?;
    found.and_then(|found| found.filter).ok_or_else(session_over)
}

async fn acknowledged(app: &App, session: &Arc<ReceivingSession>) -> Result<Position, HttpProblem> {
    let session = Arc::clone(session);
    app.ask(move |_| session.with_place(|place| Ok(place.acknowledged()))).await
}

async fn stream(app: &App, asked: AskedSession) -> Result<Response, HttpProblem> {
    let leave = app.stream()?;
    let session = begin(app, &asked, SessionKind::Stream).await?;
    let sessions = Arc::clone(app.receiving_sessions());
    let guard = SessionGuard { sessions, session: Arc::clone(&session) };
    let filter = filter_of(app, &session).await?;
    let after = acknowledged(app, &session).await?;
    let subscription = Subscription::after(after).matching(filter).named(&*session.name);
    let mut answer =
        live_events::stream_of_session(app, subscription, asked.access, (guard, leave)).await?;
    say_session(&mut answer, &session);
    Ok(answer)
}

fn say_session(answer: &mut Response, session: &ReceivingSession) {
    if let Ok(id) = HeaderValue::from_str(&session.id) {
        answer.headers_mut().insert(SESSION, id);
    }
}

/// A page behind what is acknowledged, once there is something in it.
async fn poll(
    app: &App,
    session: &Arc<ReceivingSession>,
    access: CallerAccess,
    (wait, limit): (Duration, Option<u64>),
) -> Result<Response, HttpProblem> {
    let idle = app.limits().session_idle;
    app.receiving_sessions().keep(session, idle.saturating_add(wait));
    let filter = filter_of(app, session).await?;
    let after = acknowledged(app, session).await?;
    let begin = Begin::After(after);
    let reading = EventReading { query: (&filter).into(), begin, to: None, limit, access };
    let page = tokio::select! {
        page = live_events::waited_page(app, filter, &reading, wait) => page?,
        () = session.retry_added() => event_pages::page_of(app, &reading, after).await?,
        _ = session.over() => return Err(session_over()),
    };
    session.give(page.next);
    app.receiving_sessions().keep(session, idle);
    let mut answer = page_answer(page, session, after);
    say_session(&mut answer, session);
    Ok(answer)
}

fn page_answer(page: EventPage, session: &ReceivingSession, acknowledged: Position) -> Response {
    let retried = session.take_retried();
    let mut more =
        format!(",\"session\":\"{}\",\"acknowledged\":{acknowledged},\"retried\":[", session.id)
            .into_bytes();
    more.extend(retried.join(&b','));
    more.push(b']');
    page.into_answer_with(&more)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAck {
    position: u64,
    #[serde(default)]
    sync: bool,
    #[serde(default)]
    timeline: Option<String>,
}

#[derive(Serialize)]
struct PrintedAck {
    acknowledged: Position,
    /// Whether no kill takes it back; else within a second.
    synced: bool,
}

/// `POST /v1/subscriptions/{name}/ack`
pub(in crate::resources) async fn ack(
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
    let written: WrittenAck = body.parsed()?;
    check_timeline(&app, written.timeline.as_deref())?;
    let position = Position::new(written.position);
    session.check_received(position)?;
    if session.owner.held_by == SessionKind::Poll {
        app.receiving_sessions().keep(&session, app.limits().session_idle);
    }
    let acknowledged = app
        .ask(move |_| {
            session.with_place(|place| {
                place.ack(position)?;
                if written.sync {
                    place.sync()?;
                }
                Ok(place.acknowledged())
            })
        })
        .await?;
    json(&PrintedAck { acknowledged, synced: written.sync }, CacheRule::NoStore)
}

/// The session that a request has to say.
pub(super) fn known_session(
    app: &App,
    headers: &HeaderMap,
    name: &str,
) -> Result<Arc<ReceivingSession>, HttpProblem> {
    app.receiving_sessions().known(name, &session_of(headers)?.ok_or_else(session_over)?)
}

impl From<AckError> for HttpProblem {
    fn from(error: AckError) -> Self {
        match error {
            AckError::NotReceived { position, received } => {
                Self::conflict("not_received", AckError::NotReceived { position, received })
                    .field("position", position)
                    .field("received", received)
            }
            AckError::Read(error) => error.into(),
            AckError::Storage(error) => error.into(),
            other => Self::internal("acknowledge", &other),
        }
    }
}
