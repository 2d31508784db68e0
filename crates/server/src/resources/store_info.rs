//! `/v1/info`

use std::collections::BTreeMap;

use axum::{extract::State, http::Uri, response::Response};
use serde::Serialize;
use spacefold::{
    Position, Timestamp,
    admin::AheadOfClock,
    projection::{ActivityFilter, Paused, ProjectionInfo},
    subscribe::DurableSubscription,
};

use super::root::PrintedTimelineFork;
use crate::{
    access::CallerAccess, answer::json, app::App, entity_tag::CacheRule, parameters::Parameters,
    problem::HttpProblem, served_store::ServedStore, tokens::TokenRight,
};

#[derive(Serialize)]
struct PrintedStore {
    store_id: String,
    log_id: String,
    timeline: String,
    fork: Option<PrintedTimelineFork>,
    format_version: u32,
    head: Position,
    durable_head: Position,
    spaces: u64,
    /// How many events there are of each type that occurs.
    events_by_type: BTreeMap<String, u64>,
    bytes: PrintedBytes,
    /// `null` of a store that is followed.
    accepts_appends: Option<bool>,
    /// Durable events that are in no segment yet.
    seal_lag: u64,
    projections: Vec<PrintedFold>,
    subscriptions: Vec<PrintedPlace>,
    healed: u64,
    /// `null` where no event was recorded ahead of the clock.
    ahead_of_clock: Option<PrintedClock>,
    /// Only where nothing can be written: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<String>,
}

#[derive(Serialize)]
struct PrintedBytes {
    journal: u64,
    sealed: u64,
    sled: u64,
    content: u64,
    derived: u64,
    reserve: u64,
    set_aside: u64,
}

/// The newest events were recorded ahead of the system's clock.
#[derive(Serialize)]
struct PrintedClock {
    since: Position,
    newest: Timestamp,
    seconds: u64,
}

#[derive(Serialize)]
struct PrintedFold {
    name: &'static str,
    version: u32,
    position: Position,
    lag: u64,
    is_paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
}

#[derive(Serialize)]
struct PrintedPlace {
    name: String,
    position: Option<Position>,
    lag: u64,
    parked: usize,
}

pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Admin)?;
    Parameters::of(&uri)?.finish()?;
    json(&app.ask(looked_at).await?, CacheRule::NoStore)
}

/// How many spaces are looked for together.
const LOOK_SPACES: usize = 4_096;

fn space_count(store: &ServedStore) -> Result<u64, HttpProblem> {
    let mut after: Option<String> = None;
    let mut spaces = 0_u64;
    loop {
        let found = store.log().spaces_after(after.as_deref(), LOOK_SPACES)?;
        spaces = spaces.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
        if found.len() < LOOK_SPACES {
            return Ok(spaces);
        }
        after = found.into_iter().next_back();
    }
}

fn looked_at(store: &ServedStore) -> Result<PrintedStore, HttpProblem> {
    let (info, subscriptions, files, accepts_appends, read_only) = match store {
        ServedStore::Open(spaces) => {
            let refusal = spaces.log().known_refusal().map(|refusal| refusal.to_string());
            let accepts = spaces.health().log.accepts_appends;
            let subscriptions = spaces.feed().durable_subscriptions()?;
            let files = spaces.log().file_bytes();
            (spaces.admin().info(), subscriptions, files, Some(accepts), refusal)
        }
        ServedStore::Followed(spaces) => {
            let why = "it is followed beside the process that has it".to_owned();
            let subscriptions = spaces.durable_subscriptions()?;
            (spaces.info(), subscriptions, spaces.log().file_bytes(), None, Some(why))
        }
    };
    let mut events_by_type = BTreeMap::<String, u64>::new();
    for count in store.projections().activity()?.counts(&ActivityFilter::default())? {
        *events_by_type.entry(count.type_name).or_default() += count.events;
    }
    let ahead = AheadOfClock::of(store.log())?;
    let projections = store.projections().infos()?;
    Ok(PrintedStore {
        store_id: info.store_id,
        log_id: info.identity.log_id.to_string(),
        timeline: info.identity.timeline.to_string(),
        fork: info.identity.fork.map(Into::into),
        format_version: info.format_version,
        head: info.head,
        durable_head: info.durable_head,
        bytes: PrintedBytes {
            journal: info.journal_bytes,
            sealed: info.sealed_bytes,
            sled: info.sled_bytes,
            content: files.content,
            derived: files.derived,
            reserve: files.reserve,
            set_aside: files.set_aside,
        },
        spaces: space_count(store)?,
        events_by_type,
        accepts_appends,
        seal_lag: info.durable_head.since(info.sealed_through),
        ahead_of_clock: ahead.map(|ahead| PrintedClock {
            since: ahead.since,
            newest: ahead.newest,
            seconds: ahead.by().as_secs(),
        }),
        projections: projections.into_iter().map(PrintedFold::from).collect(),
        subscriptions: subscriptions.into_iter().map(PrintedPlace::from).collect(),
        healed: info.healed,
        read_only,
    })
}

impl From<ProjectionInfo> for PrintedFold {
    fn from(info: ProjectionInfo) -> Self {
        Self {
            name: info.name,
            version: info.version,
            position: info.position,
            lag: info.lag,
            is_paused: info.paused.is_some(),
            paused: info.paused,
        }
    }
}

impl From<DurableSubscription> for PrintedPlace {
    fn from(place: DurableSubscription) -> Self {
        let DurableSubscription { name, position, lag, parked, .. } = place;
        Self { name, position, lag, parked }
    }
}
