//! Events as they come: streams, and requests that wait.

use std::{
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName},
    response::Response,
};
use serde::Serialize;
use serde_json::json;
use spacefold::{Delivery, Position, Snapshot, Subscription, event::EventFilter};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc::Sender},
    time::timeout,
};

use super::event_pages::{self, EventPage};
use crate::{
    accept::MediaType,
    access::CallerAccess,
    answer::negotiated_answer,
    app::App,
    channel_body::channel_body,
    entity_tag::{self, CacheRule},
    events_text::{EventForm, PageText},
    parameters::invalid,
    pooled_subscriber::PooledSubscriber,
    problem::HttpProblem,
    receiving_sessions::{ReceivingSession, SessionEnd, SessionGuard},
    selection::{Begin, EventReading},
};

/// Spaces whose states a stream may begin with.
const MAX_SNAPSHOT_SPACES: usize = 64;

/// How long a client is waited for that is to be told that its stream ends.
const CLOSING_TIME: Duration = Duration::from_secs(1);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// After so long a browser that lost the stream comes back.
const HELLO: &[u8] = b"retry: 1000\n\n";

/// `GET /v1/events` as a stream.
pub(super) async fn stream(
    app: &App,
    headers: &HeaderMap,
    filter: EventFilter,
    reading: &EventReading,
    snapshot: bool,
) -> Result<Response, HttpProblem> {
    if reading.to.is_some() || reading.limit.is_some() {
        return Err(invalid("to", "a stream has no end and no limit"));
    }
    let resumed = entity_tag::text(headers, LAST_EVENT_ID)?.map(last_event_id).transpose()?;
    let leave = app.stream()?;
    let subscription = Subscription::from_now().matching(filter);
    let subscription = subscription.heartbeat(app.limits().stream_heartbeat).named("http");
    let (states, subscriber) = if snapshot && resumed.is_none() {
        begin_with_states(app, reading, subscription).await?
    } else {
        let after = match resumed {
            Some(after) => after,
            None => event_pages::begin_of(app, reading).await?,
        };
        let subscription = subscription.beginning_after(after);
        (Vec::new(), app.ask(move |store| Ok(store.subscribe(subscription)?)).await?)
    };
    let subscriber = PooledSubscriber::new(app.pool(), subscriber);
    let access = reading.access.clone();
    Ok(begin_stream(app, subscriber, access, (None, leave), states))
}

/// What a durable subscription has not acknowledged, as a stream, for as long as its session is.
pub(super) async fn stream_of_session(
    app: &App,
    subscription: Subscription,
    access: CallerAccess,
    (guard, leave): (SessionGuard, OwnedSemaphorePermit),
) -> Result<Response, HttpProblem> {
    let subscription = subscription.heartbeat(app.limits().stream_heartbeat);
    let subscriber = app.ask(move |store| Ok(store.subscribe(subscription)?)).await?;
    let subscriber = PooledSubscriber::new(app.pool(), subscriber);
    Ok(begin_stream(app, subscriber, access, (Some(guard), leave), Vec::new()))
}

fn begin_stream(
    app: &App,
    subscriber: PooledSubscriber,
    access: CallerAccess,
    (guard, leave): (Option<SessionGuard>, OwnedSemaphorePermit),
    states: Vec<Snapshot>,
) -> Response {
    let (out, body) = channel_body();
    let session = guard.as_ref().map(|guard| Arc::clone(&guard.session));
    if let Some(session) = &session {
        session.writes_to(&out);
    }
    let stream = LiveStream {
        app: app.clone(),
        subscriber,
        out,
        access,
        session,
        _guard: guard,
        _leave: leave,
    };
    tokio::spawn(stream.run(states));
    negotiated_answer(MediaType::EventStream, body, CacheRule::NoStore)
}

fn last_event_id(text: &str) -> Result<Position, HttpProblem> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let position = digits.and_then(|digits| digits.parse().ok()).map(Position::new);
    position.ok_or_else(|| {
        let detail = "Last-Event-ID is the id of an event of a stream: its position";
        HttpProblem::bad_request("invalid_header", detail).field("header", "last-event-id")
    })
}

async fn begin_with_states(
    app: &App,
    reading: &EventReading,
    subscription: Subscription,
) -> Result<(Vec<Snapshot>, spacefold::Subscriber), HttpProblem> {
    if reading.begin != Begin::After(Position::START) {
        return Err(invalid("snapshot", "the states say where the events begin"));
    }
    let named = subscription.filter().space_ids().map_or(0, |spaces| spaces.len());
    if !(1..=MAX_SNAPSHOT_SPACES).contains(&named) {
        let detail = format_args!("name 1 to {MAX_SNAPSHOT_SPACES} spaces to begin with");
        return Err(invalid("snapshot", detail));
    }
    reading.access.require_sight_of(subscription.filter())?;
    let begun = app.ask(move |store| Ok(store.snapshot_then_subscribe(subscription)?)).await?;
    Ok((begun.snapshots, begun.tail))
}

/// A stream that is written for as long as its client takes it.
struct LiveStream {
    app: App,
    subscriber: PooledSubscriber,
    out: Sender<Bytes>,
    access: CallerAccess,
    /// Of a durable subscription, what its acknowledgements are of.
    session: Option<Arc<ReceivingSession>>,
    _guard: Option<SessionGuard>,
    _leave: OwnedSemaphorePermit,
}

/// Why a stream is over.
enum Over {
    /// The client has gone.
    Gone,
    /// The server ends, or the store was closed.
    Ending,
    /// Its durable subscription is somebody else's.
    SessionEnded(SessionEnd),
    Failed(HttpProblem),
}

impl From<HttpProblem> for Over {
    fn from(problem: HttpProblem) -> Self {
        Self::Failed(problem)
    }
}

impl LiveStream {
    async fn run(mut self, states: Vec<Snapshot>) {
        let (out, drain) = (self.out.clone(), self.app.settings().drain.clone());
        let session = self.session.clone();
        let session_end = async {
            match session {
                Some(session) => session.over().await,
                None => pending().await,
            }
        };
        let over = tokio::select! {
            () = out.closed() => Over::Gone,
            () = drain.started() => Over::Ending,
            end = session_end => Over::SessionEnded(end),
            over = self.write(states) => over,
        };
        let position = self.subscriber.position();
        let closing = match over {
            Over::Gone => return,
            Over::Ending => event("closing", None, &json!({ "reason": "ending" })),
            Over::SessionEnded(end) => event("closing", None, &json!({ "reason": end.name() })),
            Over::Failed(problem) => {
                tracing::warn!(%problem, "a stream is over");
                let problem: serde_json::Value =
                    serde_json::from_str(&problem.to_json()).unwrap_or_default();
                event("closing", None, &json!({ "reason": "failed", "problem": problem }))
            }
        };
        drop(self.subscriber);
        tracing::debug!(%position, "a stream is closed");
        // A client that takes nothing is not told.
        let _ = timeout(CLOSING_TIME, self.out.send(closing)).await;
    }

    async fn write(&mut self, states: Vec<Snapshot>) -> Over {
        match self.write_on(states).await {
            Ok(()) => Over::Ending,
            Err(over) => over,
        }
    }

    async fn write_on(&mut self, states: Vec<Snapshot>) -> Result<(), Over> {
        self.send(Bytes::from_static(HELLO)).await?;
        self.write_session().await?;
        self.write_states(states).await?;
        let mut told = Position::START;
        while let Some(delivery) = self.subscriber.next().await? {
            if let Some(session) = &self.session {
                session.give(self.subscriber.position());
            }
            match delivery {
                Delivery::Events(page) => {
                    let text = PageText::new(page, EventForm::Streamed, self.access.clone());
                    // Of what is not shown the client learns by a checkpoint.
                    if self.write_page(text).await? {
                        told = told.max(self.subscriber.position());
                    }
                }
                Delivery::CaughtUp { position } => {
                    told = position;
                    self.tell("caught-up", position, &json!({ "position": position })).await?;
                }
                Delivery::Lagging { position, lag } => {
                    let data = json!({ "position": position, "lag": lag });
                    self.tell("lagging", position, &data).await?;
                }
                Delivery::Heartbeat { position } if position > told => {
                    told = position;
                    self.tell("checkpoint", position, &json!({ "position": position })).await?;
                }
                _ => self.send(Bytes::from_static(b":\n\n")).await?,
            }
        }
        Ok(())
    }

    /// What acknowledgements are to carry, and behind what the events begin.
    async fn write_session(&mut self) -> Result<(), Over> {
        let Some(session) = self.session.clone() else { return Ok(()) };
        let acknowledged = session.received();
        let data = json!({
            "session": session.id, "subscription": session.name, "acknowledged": acknowledged,
        });
        self.send(event("session", None, &data)).await
    }

    /// The states, none with an id: who comes back before the last one is sent gets all of them anew.
    async fn write_states(&mut self, states: Vec<Snapshot>) -> Result<(), Over> {
        let Some(position) = states.first().map(Snapshot::position) else { return Ok(()) };
        for state in states {
            let text = self.app.pool().run_in_turn(move || event("snapshot", None, &state)).await?;
            self.send(text).await?;
        }
        self.tell("checkpoint", position, &json!({ "position": position })).await
    }

    /// Sends what is shown of a page; answers whether anything is.
    async fn write_page(&mut self, mut page: PageText) -> Result<bool, Over> {
        let mut is_any = false;
        loop {
            let write = move || {
                let mut out = Vec::new();
                page.write(&mut out, usize::MAX).map(|written| (page, out, written))
            };
            let (rest, out, written) = self.app.pool().run_in_turn(write).await??;
            if written == 0 {
                return Ok(is_any);
            }
            is_any = true;
            self.send(out.into()).await?;
            page = rest;
        }
    }

    async fn tell(
        &mut self,
        name: &str,
        position: Position,
        data: &impl Serialize,
    ) -> Result<(), Over> {
        self.send(event(name, Some(position), data)).await
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Over> {
        self.out.send(bytes).await.map_err(|_| Over::Gone)
    }
}

/// An event of a stream. Its data has no line breaks: JSON escapes them.
fn event(name: &str, id: Option<Position>, data: &impl Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n").into()
}

/// A page of events, once there is something.
pub(super) async fn waited_page(
    app: &App,
    filter: EventFilter,
    reading: &EventReading,
    wait: Duration,
) -> Result<EventPage, HttpProblem> {
    check_wait(app, wait)?;
    let after = event_pages::begin_of(app, reading).await?;
    let page = event_pages::page_of(app, reading, after).await?;
    // A page that ended early says where to go on.
    if !page.is_empty || page.next < page.head || reading.to.is_some_and(|to| to <= page.head) {
        return Ok(page);
    }
    if wait.is_zero() {
        return Ok(page);
    }
    let _leave = app.stream()?;
    let subscription = Subscription::after(page.next).matching(filter).named("http");
    let subscriber = app.ask(move |store| Ok(store.subscribe(subscription)?)).await?;
    let mut subscriber = PooledSubscriber::new(app.pool(), subscriber);
    let access = &reading.access;
    let something = async {
        loop {
            match subscriber.next().await {
                Ok(Some(Delivery::Events(page))) => {
                    if page.envelopes().any(|envelope| access.sees(envelope.space_id)) {
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
                Ok(Some(_)) => {}
            }
        }
    };
    until(app, wait, something).await;
    event_pages::page_of(app, reading, page.next).await
}

/// Waits until a position is durable.
pub(super) async fn wait_for(
    app: &App,
    position: Position,
    wait: Duration,
) -> Result<(), HttpProblem> {
    check_wait(app, wait)?;
    let head = app.ask(|store| Ok(store.durable_head())).await?;
    if position <= head || wait.is_zero() {
        return Ok(());
    }
    let _leave = app.stream()?;
    let subscription = Subscription::after(head).named("http");
    let subscriber = app.ask(move |store| Ok(store.subscribe(subscription)?)).await?;
    let mut subscriber = PooledSubscriber::new(app.pool(), subscriber);
    let there = async {
        while let Ok(Some(_)) = subscriber.next().await {
            if subscriber.position() >= position {
                return;
            }
        }
    };
    until(app, wait, there).await;
    Ok(())
}

fn check_wait(app: &App, wait: Duration) -> Result<(), HttpProblem> {
    let most = app.limits().max_wait;
    if wait > most {
        return Err(invalid("wait", format_args!("at most {} s are waited", most.as_secs())));
    }
    Ok(())
}

/// Waits for something, for a time, and until the server ends.
async fn until(app: &App, wait: Duration, something: impl Future<Output = ()>) {
    let drain = app.settings().drain.clone();
    let either = async {
        tokio::select! {
            () = something => {}
            () = drain.started() => {}
        }
    };
    // Either way it is looked again at what there is.
    let _ = timeout(wait, either).await;
}
