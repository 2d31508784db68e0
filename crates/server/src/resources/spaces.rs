//! `/v1/spaces`

use std::collections::VecDeque;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use serde::Serialize;
use spacefold::{Position, Revision, Snapshot, SnapshotError, Timestamp, state::SpaceStatus};

use crate::{
    accept::{MediaType, negotiated},
    access::CallerAccess,
    answer::{negotiated_answer, printed, tagged},
    app::App,
    chunks::{BodyChunks, CHUNK_BYTES, body_of},
    entity_tag::{CacheRule, EntityTag},
    moment::AskedMoment,
    parameters::{Parameters, invalid},
    path_ids::segment_of_id,
    problem::HttpProblem,
    served_store::ServedStore,
    tokens::TokenRight,
};

/// Spaces of a page that is asked for without a limit.
const PAGE_SPACES: u64 = 100;

/// Ids that are looked for together.
const LOOK_SPACES: usize = 256;

#[derive(Serialize)]
struct PrintedListing<'a> {
    space_id: &'a str,
    name: Option<&'a str>,
    status: SpaceStatus,
    revision: Revision,
    documents: usize,
    updated_at: Timestamp,
    href: String,
}

/// Spaces, and where to go on.
#[derive(Serialize)]
struct PrintedSpaces {
    spaces: Vec<serde_json::Value>,
    /// What the next page comes after; `null` where there is none.
    next: Option<String>,
    /// As of which position; `null` where each is as it is now.
    position: Option<Position>,
    /// Only of spaces as they are now: what is as of a position is the same for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Position>,
}

/// The ids of the spaces, in order, a few at a time.
struct SpaceIds {
    access: CallerAccess,
    after: Option<String>,
    found: VecDeque<String>,
    is_last: bool,
}

impl SpaceIds {
    fn after(after: Option<String>, access: CallerAccess) -> Self {
        Self { access, after, found: VecDeque::new(), is_last: false }
    }

    /// The next one that the caller sees.
    fn next(&mut self, store: &ServedStore) -> Result<Option<String>, HttpProblem> {
        loop {
            match self.next_of_all(store)? {
                Some(space_id) if !self.access.sees(&space_id) => {}
                next => return Ok(next),
            }
        }
    }

    fn next_of_all(&mut self, store: &ServedStore) -> Result<Option<String>, HttpProblem> {
        if self.found.is_empty() && !self.is_last {
            let found = store.log().spaces_after(self.after.as_deref(), LOOK_SPACES)?;
            self.is_last = found.len() < LOOK_SPACES;
            self.found = found.into();
        }
        let next = self.found.pop_front();
        if next.is_some() {
            self.after.clone_from(&next);
        }
        Ok(next)
    }
}

/// The listing of a space as JSON; none of one that had no event then.
fn listing(
    store: &ServedStore,
    space_id: &str,
    at: Option<Position>,
) -> Result<Option<serde_json::Value>, HttpProblem> {
    let snapshot = match at {
        Some(at) => store.at(at).snapshot(space_id),
        None => store.snapshot(space_id),
    };
    let snapshot: Snapshot = match snapshot {
        Err(SnapshotError::UnknownSpace { .. }) => return Ok(None),
        snapshot => snapshot?,
    };
    let at = at.map_or_else(String::new, |at| format!("?at={at}"));
    let listing = PrintedListing {
        space_id: snapshot.space_id(),
        name: snapshot.name(),
        status: snapshot.status(),
        revision: snapshot.revision(),
        documents: snapshot.document_count(),
        updated_at: snapshot.updated_at(),
        href: format!("/v1/spaces/{}{at}", segment_of_id(snapshot.space_id())),
    };
    let listing = serde_json::to_value(listing);
    listing.map(Some).map_err(|error| HttpProblem::internal("internal", error))
}

/// `GET /v1/spaces`
pub(super) async fn list(
    State(app): State<App>,
    access: CallerAccess,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let media_type = negotiated(&headers, &[MediaType::Json, MediaType::NdJson])?;
    let mut given = Parameters::of(&uri)?;
    let moment = AskedMoment::of(&mut given, &app)?;
    let after = given.text("after")?;
    let limit = given.number("limit")?;
    given.finish()?;
    let asked = app.ask(move |store| moment.tagged(store)).await?;
    let at = asked.as_ref().map(|(position, _)| *position);
    if media_type == MediaType::NdJson {
        let left = limit.unwrap_or(u64::MAX);
        let lines = SpaceLines { app: app.clone(), ids: SpaceIds::after(after, access), at, left };
        let body = body_of(&app, lines).await?;
        return Ok(negotiated_answer(media_type, body, CacheRule::NoStore));
    }
    let most = app.limits().max_page_events;
    let limit = limit.unwrap_or(PAGE_SPACES.min(most));
    if !(1..=most).contains(&limit) {
        return Err(invalid("limit", format_args!("a page has 1 to {most} spaces")));
    }
    let page_time = app.limits().page_time;
    let page = app
        .ask(move |store| read_page(store, SpaceIds::after(after, access), limit, at, page_time))
        .await?;
    // Which spaces a position has may be told: where the page ends may not, by the time that it took.
    let cache = match &asked {
        Some(_) if page.next.is_none() => moment.cache(),
        _ => CacheRule::NoStore,
    };
    let body = printed(&page)?;
    match asked {
        Some((_, tag)) if page.next.is_none() => {
            let tag: EntityTag = tag;
            tagged(&headers, &tag, cache, || Ok(negotiated_answer(media_type, body, cache)))
        }
        _ => Ok(negotiated_answer(media_type, body, cache)),
    }
}

fn read_page(
    store: &ServedStore,
    mut ids: SpaceIds,
    limit: u64,
    at: Option<Position>,
    page_time: std::time::Duration,
) -> Result<PrintedSpaces, HttpProblem> {
    let began = std::time::Instant::now();
    let mut spaces = Vec::new();
    let mut left = limit;
    while left > 0 {
        let Some(space_id) = ids.next(store)? else {
            return Ok(PrintedSpaces { spaces, next: None, position: at, head: head(store, at) });
        };
        if let Some(listing) = listing(store, &space_id, at)? {
            spaces.push(listing);
            left -= 1;
        }
        // One space leads on, however little time there is.
        if began.elapsed() >= page_time {
            break;
        }
    }
    // The last one may have been on the page.
    let last = ids.after.clone();
    let next = ids.next(store)?.and(last);
    Ok(PrintedSpaces { spaces, next, position: at, head: head(store, at) })
}

fn head(store: &ServedStore, at: Option<Position>) -> Option<Position> {
    at.is_none().then(|| store.durable_head())
}

/// The listings, as lines.
struct SpaceLines {
    app: App,
    ids: SpaceIds,
    at: Option<Position>,
    left: u64,
}

impl BodyChunks for SpaceLines {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, HttpProblem> {
        let began = std::time::Instant::now();
        let mut out = Vec::new();
        while out.len() < CHUNK_BYTES && self.left > 0 {
            let store = self.app.store();
            let Some(space_id) = self.ids.next(store)? else { break };
            if let Some(listing) = listing(store, &space_id, self.at)? {
                out.extend_from_slice(&printed(&listing)?);
                out.push(b'\n');
                self.left -= 1;
            }
            if began.elapsed() >= self.app.limits().page_time {
                return Ok(Some(out.into()));
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }
}
