//! `/v1/subscriptions`: which durable subscriptions there are, and making, moving and removing them.

pub(super) mod parked;
pub(super) mod receiving;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde::{Deserialize, Serialize};
use spacefold::{
    Position, Spacefold, Subscription, event::EventFilter, subscribe::DurableSubscription,
};

use crate::{
    accept::MediaType,
    access::CallerAccess,
    answer::json,
    app::App,
    body::WholeBody,
    bounded::ObjectOf,
    entity_tag::CacheRule,
    parameters::{Parameters, invalid},
    path_ids::{PathIds, segment_of_id},
    printed_filter::PrintedFilter,
    problem::HttpProblem,
    receiving_sessions::{SessionEnd, SessionOwner},
    selection::{WrittenFilter, timeline_changed},
    served_store::ServedStore,
    tokens::TokenRight,
};

/// Subscriptions of a page that is asked for without a limit.
const PAGE_SUBSCRIPTIONS: u64 = 100;

#[derive(Serialize)]
struct ListedSubscription {
    name: String,
    /// The position that was acknowledged last; `null` when what is kept does not decode.
    position: Option<Position>,
    /// `null` when none can be read.
    filter: Option<PrintedFilter>,
    lag: u64,
    parked: usize,
    /// Whether somebody receives under the name.
    is_held: bool,
    /// Who, where that is a client of this server.
    #[serde(flatten)]
    owner: Option<SessionOwner>,
    href: String,
}

#[derive(Serialize)]
struct ListedSubscriptions {
    subscriptions: Vec<ListedSubscription>,
    /// What the next page comes after; `null` where there is none.
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct WrittenSubscription {
    filter: Option<ObjectOf<WrittenFilter>>,
    after: Option<u64>,
}

impl ListedSubscription {
    fn of(app: &App, found: DurableSubscription) -> Self {
        let owner = app.receiving_sessions().of(&found.name).map(|session| session.owner.clone());
        Self {
            href: format!("/v1/subscriptions/{}", segment_of_id(&found.name)),
            position: found.position,
            filter: found.filter.as_ref().map(PrintedFilter::from),
            lag: found.lag,
            parked: found.parked,
            is_held: found.is_owned,
            owner,
            name: found.name,
        }
    }
}

/// Whether a caller may know of a subscription: of one whose events are all shown.
fn is_seen(access: &CallerAccess, found: &DurableSubscription) -> bool {
    let filter = found.filter.as_ref();
    filter.map_or(access.sees_everything(), |it| access.require_sight_of(it).is_ok())
}

fn unknown(name: &str) -> HttpProblem {
    let detail = format_args!("there is no subscription {name:?}");
    HttpProblem::not_found("unknown_subscription", detail).field("subscription", name)
}

/// A subscription that the caller may know of.
fn known(
    spaces: &Spacefold,
    access: &CallerAccess,
    name: &str,
) -> Result<DurableSubscription, HttpProblem> {
    let found = spaces.feed().durable_subscription(name)?.ok_or_else(|| unknown(name))?;
    match &found.filter {
        Some(filter) => access.require_sight_of(filter)?,
        None => access.require_everywhere(TokenRight::Read)?,
    }
    Ok(found)
}

/// What whoever is not the first to receive is answered.
fn held(app: &App, name: &str) -> HttpProblem {
    let detail = format_args!("somebody receives under the name {name:?}");
    let problem = HttpProblem::conflict("subscription_held", detail).retryable();
    let problem = problem.field("subscription", name);
    match app.receiving_sessions().of(name) {
        Some(session) => problem
            .field("held_by", session.owner.held_by)
            .field("client", session.owner.client.as_deref())
            .field("since", session.owner.since),
        None => problem.field("held_by", "process"),
    }
}

/// `GET /v1/subscriptions`
pub(super) async fn list(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let after = given.text("after")?;
    let limit = given.number("limit")?;
    given.finish()?;
    let most = app.limits().max_page_events;
    let limit = limit.unwrap_or(PAGE_SUBSCRIPTIONS.min(most));
    if !(1..=most).contains(&limit) {
        return Err(invalid("limit", format_args!("a page has 1 to {most} subscriptions")));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = app.ask(subscriptions_of).await?;
    found.retain(|it| after.as_ref().is_none_or(|after| it.name > *after) && is_seen(&access, it));
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|last| last.name.clone());
    let subscriptions = found.into_iter().map(|it| ListedSubscription::of(&app, it)).collect();
    json(&ListedSubscriptions { subscriptions, next }, CacheRule::NoStore)
}

fn subscriptions_of(store: &ServedStore) -> Result<Vec<DurableSubscription>, HttpProblem> {
    Ok(match store {
        ServedStore::Open(spaces) => spaces.feed().durable_subscriptions()?,
        ServedStore::Followed(spaces) => spaces.durable_subscriptions()?,
    })
}

/// `GET /v1/subscriptions/{name}`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let name = ids.id("name")?;
    Parameters::of(&uri)?.finish()?;
    let found = app
        .ask(move |store| match store {
            ServedStore::Open(spaces) => known(spaces, &access, &name),
            ServedStore::Followed(_) => {
                let mut all = subscriptions_of(store)?.into_iter();
                let found = all.find(|it| it.name == name && is_seen(&access, it));
                found.ok_or_else(|| unknown(&name))
            }
        })
        .await?;
    json(&ListedSubscription::of(&app, found), CacheRule::NoStore)
}

/// `PUT /v1/subscriptions/{name}`
pub(super) async fn put(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let name = ids.id("name")?;
    let mut given = Parameters::of(&uri)?;
    let takes_over = given.flag("takeover")?;
    given.finish()?;
    let spaces = app.writable()?.clone();
    let (_, body) = WholeBody::read(&app, &headers, body, &[MediaType::Json]).await?;
    let written: WrittenSubscription = body.parsed()?;
    let filter = written.filter.map(|ObjectOf(filter)| filter.filter()).transpose()?;
    let filter = filter.unwrap_or_default();
    access.require_sight_of(&filter)?;
    let after = written.after.map(Position::new);
    let asked = app.clone();
    let (found, is_new) = app
        .ask(move |_| {
            let is_new =
                put_subscription(&asked, &spaces, &access, &name, (filter, after), takes_over)?;
            let found = spaces.feed().durable_subscription(&name)?;
            Ok((found.ok_or_else(|| unknown(&name))?, is_new))
        })
        .await?;
    let mut answer = json(&ListedSubscription::of(&app, found), CacheRule::NoStore)?;
    if is_new {
        *answer.status_mut() = StatusCode::CREATED;
    }
    Ok(answer)
}

/// Whether the subscription is new.
fn put_subscription(
    app: &App,
    spaces: &Spacefold,
    access: &CallerAccess,
    name: &str,
    (filter, after): (EventFilter, Option<Position>),
    takes_over: bool,
) -> Result<bool, HttpProblem> {
    let feed = spaces.feed();
    let Some(found) = feed.durable_subscription(name)? else {
        access.require(TokenRight::Admin)?;
        let most = app.limits().max_subscriptions;
        if feed.durable_subscriptions()?.len() >= most {
            let detail = format_args!("there are {most} subscriptions, the most that may be");
            return Err(HttpProblem::conflict("too_many_subscriptions", detail));
        }
        let begin = Subscription::after(after.unwrap_or_default()).matching(filter);
        drop(feed.hold_durable(name, &begin).map_err(|error| told(app, name, error))?);
        return Ok(true);
    };
    let is_same_filter = found.filter.as_ref() == Some(&filter);
    if is_same_filter && after.is_none_or(|after| found.position == Some(after)) {
        return Ok(false);
    }
    if let Some(kept) = &found.filter {
        access.require_sight_of(kept)?;
    } else {
        access.require_everywhere(TokenRight::Admin)?;
    }
    access.require(TokenRight::Admin)?;
    let Some(after) = after else {
        let detail = "the subscription is kept with another filter: say from where the new one \
                      applies, by `after`";
        return Err(HttpProblem::conflict("other_filter", detail)
            .field("position", found.position)
            .field("kept", found.filter.as_ref().map(PrintedFilter::from)));
    };
    if takes_over {
        app.receiving_sessions().end_of(name, SessionEnd::Changed);
    }
    let moved = if is_same_filter {
        feed.reset_durable(name, after)
    } else {
        feed.change_durable_filter(name, &filter, after)
    };
    moved.map_err(|error| told(app, name, error))?;
    Ok(false)
}

/// `DELETE /v1/subscriptions/{name}`
pub(super) async fn delete(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Admin)?;
    let name = ids.id("name")?;
    let mut given = Parameters::of(&uri)?;
    let takes_over = given.flag("takeover")?;
    given.finish()?;
    let spaces = app.writable()?.clone();
    let asked = app.clone();
    app.ask(move |_| {
        known(&spaces, &access, &name)?;
        if takes_over {
            asked.receiving_sessions().end_of(&name, SessionEnd::Changed);
        }
        spaces.feed().remove_durable(&name).map_err(|error| told(&asked, &name, error))
    })
    .await?;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

/// Why there is no subscription, with who has it and where the log parted.
fn told(app: &App, name: &str, error: spacefold::SubscribeError) -> HttpProblem {
    match error {
        spacefold::SubscribeError::Owned { .. } => held(app, name),
        spacefold::SubscribeError::Unfit { .. } => {
            timeline_changed(&app.identity(), &error).field("subscription", name)
        }
        error => error.into(),
    }
}
