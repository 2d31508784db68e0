//! `/metrics`: what is known of the store when it is asked for, as Prometheus reads it.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Uri, header},
    response::Response,
};
use spacefold::{Position, Timestamp, log::LogReader, subscribe::DurableSubscription};

use crate::{
    access::CallerAccess,
    app::App,
    entity_tag::CacheRule,
    metrics_text::{
        MetricKind::{Counter, Gauge},
        MetricsText,
    },
    parameters::Parameters,
    problem::HttpProblem,
    served_store::ServedStore,
    tokens::TokenRight,
};

/// Subscriptions that have metrics of their own: the first by their names.
const MAX_LABELLED_SUBSCRIPTIONS: usize = 1_000;

/// `GET /metrics`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Read)?;
    Parameters::of(&uri)?.finish()?;
    let mut text = MetricsText::default();
    of_server(&app, &mut text);
    let text = app
        .ask(move |store| {
            of_log(store, &mut text);
            of_projections(store, &mut text)?;
            of_subscriptions(store, &mut text)?;
            Ok(text)
        })
        .await?;
    let mut answer = Response::new(Body::from(text.into_text()));
    let headers = answer.headers_mut();
    let content_type = HeaderValue::from_static(MetricsText::CONTENT_TYPE);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, CacheRule::NoStore.header());
    Ok(answer)
}

fn of_server(app: &App, text: &mut MetricsText) {
    let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
    text.family("spacefold_build_info", (Gauge, "The version that runs."), version);
    let streams = (Gauge, "Streams and long polls that are open.");
    text.value("spacefold_streams", streams, app.open_streams());
    let most = (Gauge, "Streams and long polls that may be open.");
    text.value("spacefold_max_streams", most, app.limits().max_streams);
}

/// What the log says of itself without waiting for a write or a sync.
fn of_log(store: &ServedStore, text: &mut MetricsText) {
    let head = store.log().head();
    text.value("spacefold_head", (Gauge, "Position of the last event that was taken."), head);
    let appended = (Counter, "Events that were ever appended: a restart does not set it back.");
    text.value("spacefold_append_events_total", appended, head);
    let durable = (Gauge, "Position up to which everything is durable.");
    text.value("spacefold_durable_head", durable, store.durable_head());
    let ServedStore::Open(spaces) = store else { return };
    let health = spaces.log().health();
    let accepts = (Gauge, "Whether appends are taken: 1, or 0 until the store is opened again.");
    text.value("spacefold_accepts_appends", accepts, u8::from(health.accepts_appends));
    let lag = (Gauge, "Events that are durable and in no segment.");
    text.value("spacefold_seal_lag_events", lag, health.seal_lag);
    let unsealed = (Gauge, "Bytes of events in no block yet: appends wait at 64 MiB.");
    text.value("spacefold_unsealed_bytes", unsealed, health.unsealed_bytes);
    let healed = (Counter, "How often a copy was found wrong and made anew from the other.");
    text.value("spacefold_healed_total", healed, health.healed);
    let bytes = spaces.log().file_bytes();
    let parts = [
        ([("part", "journal")], bytes.journal),
        ([("part", "sealed")], bytes.sealed),
        ([("part", "sled")], bytes.sled),
        ([("part", "content")], bytes.content),
        ([("part", "derived")], bytes.derived),
        ([("part", "reserve")], bytes.reserve),
        ([("part", "set_aside")], bytes.set_aside),
    ];
    text.family("spacefold_store_bytes", (Gauge, "Bytes of its files, by what they are."), parts);
}

fn of_projections(store: &ServedStore, text: &mut MetricsText) -> Result<(), HttpProblem> {
    let infos = store.projections().infos()?;
    let lag = infos.iter().map(|info| ([("projection", info.name)], info.lag));
    let help = (Gauge, "Durable events that a projection has not folded.");
    text.family("spacefold_fold_lag_events", help, lag);
    let paused = infos.iter();
    let paused = paused.map(|it| ([("projection", it.name)], u8::from(it.paused.is_some())));
    let help = (Gauge, "Whether a projection is paused by an event that it cannot take in.");
    text.family("spacefold_projection_paused", help, paused);
    Ok(())
}

fn of_subscriptions(store: &ServedStore, text: &mut MetricsText) -> Result<(), HttpProblem> {
    let mut found = match store {
        ServedStore::Open(spaces) => spaces.feed().durable_subscriptions()?,
        ServedStore::Followed(spaces) => spaces.durable_subscriptions()?,
    };
    let number = (Gauge, "Durable subscriptions, of which 1,000 have metrics of their own.");
    text.value("spacefold_subscriptions", number, found.len());
    let parked: usize = found.iter().map(|it| it.parked).sum();
    let all = (Gauge, "Events that are parked, of all subscriptions.");
    text.value("spacefold_parked_events", all, parked);
    let oldest = (Gauge, "How long ago the oldest parked event was recorded.");
    text.value("spacefold_oldest_parked_seconds", oldest, oldest_parked(store, &found)?);
    found.truncate(MAX_LABELLED_SUBSCRIPTIONS);
    let lag = found.iter().map(|it| ([("subscription", &*it.name)], it.lag));
    let help = (Gauge, "Durable events after what a subscription has acknowledged.");
    text.family("spacefold_subscription_lag_events", help, lag);
    let parked = found.iter().map(|it| ([("subscription", &*it.name)], it.parked));
    let help = (Gauge, "Events that are parked.");
    text.family("spacefold_subscription_parked", help, parked);
    Ok(())
}

/// In seconds; 0 where none is parked, or it is not known here.
fn oldest_parked(store: &ServedStore, found: &[DurableSubscription]) -> Result<f64, HttpProblem> {
    let ServedStore::Open(spaces) = store else { return Ok(0.0) };
    let mut oldest: Option<Position> = None;
    for subscription in found.iter().filter(|it| it.parked > 0) {
        // One that was removed meanwhile has none.
        let parked = spaces.feed().parked(&subscription.name).unwrap_or_default();
        let first = parked.iter().map(|it| it.position).filter(|it| *it > Position::START).min();
        oldest = [oldest, first].into_iter().flatten().min();
    }
    let Some(position) = oldest else { return Ok(0.0) };
    let page = spaces.log().page_at(position)?;
    let recorded = page.as_ref().and_then(|page| page.envelopes().next().map(|it| it.recorded_at));
    Ok(recorded.map_or(0.0, age_seconds))
}

#[allow(clippy::cast_precision_loss, reason = "an age to the millisecond is exact enough")]
fn age_seconds(since: Timestamp) -> f64 {
    let micros = Timestamp::now().as_micros().saturating_sub(since.as_micros()).max(0);
    (micros / 1_000) as f64 / 1_000.0
}
