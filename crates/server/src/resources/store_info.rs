//! `/v1/info`

use axum::{extract::State, http::Uri, response::Response};
use serde::Serialize;
use spacefold::{Position, projection::ProjectionInfo, subscribe::DurableSubscription};

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
    bytes: PrintedBytes,
    projections: Vec<PrintedFold>,
    subscriptions: Vec<PrintedPlace>,
    healed: u64,
    /// Why nothing can be written, where that is so.
    read_only: Option<String>,
}

#[derive(Serialize)]
struct PrintedBytes {
    journal: u64,
    sealed: u64,
    sled: u64,
}

#[derive(Serialize)]
struct PrintedFold {
    name: &'static str,
    version: u32,
    position: Position,
    lag: u64,
    is_paused: bool,
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

fn looked_at(store: &ServedStore) -> Result<PrintedStore, HttpProblem> {
    let (info, subscriptions, read_only) = match store {
        ServedStore::Open(spaces) => {
            let refusal = spaces.log().known_refusal().map(|refusal| refusal.to_string());
            (spaces.admin().info(), spaces.feed().durable_subscriptions()?, refusal)
        }
        ServedStore::Followed(spaces) => {
            let why = "it is followed beside the process that has it".to_owned();
            (spaces.info(), spaces.durable_subscriptions()?, Some(why))
        }
    };
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
        },
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
        }
    }
}

impl From<DurableSubscription> for PrintedPlace {
    fn from(place: DurableSubscription) -> Self {
        let DurableSubscription { name, position, lag, parked, .. } = place;
        Self { name, position, lag, parked }
    }
}
