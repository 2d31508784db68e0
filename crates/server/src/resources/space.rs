//! `/v1/spaces/{space}`: its state, its differences and who made it what it is.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, Uri},
    response::Response,
};
use serde::Serialize;
use spacefold::{Change, Moment, Position, Revision, Snapshot};

use super::live_events;
use crate::{
    accept::{MediaType, negotiated},
    access::CallerAccess,
    answer::{answer, json, negotiated_answer, printed, tagged},
    app::App,
    chunks::{BodyChunks, CHUNK_BYTES, body_of},
    entity_tag::{CacheRule, EntityTag},
    moment::AskedMoment,
    parameters::{Parameters, invalid},
    path_ids::PathIds,
    problem::HttpProblem,
    selection::check_timeline,
    served_store::ServedStore,
    tokens::TokenRight,
};

/// Changes of a page that is asked for without a limit.
const PAGE_CHANGES: u64 = 1_000;

#[derive(Serialize)]
struct PrintedChanges<'a> {
    space_id: &'a str,
    from: Position,
    to: Position,
    changes: &'a [Change],
    /// What the next page comes after; `null` where there is none.
    next: Option<usize>,
}

/// The position that a state is of, where it does not say so itself.
const STATE_POSITION: HeaderName = HeaderName::from_static("spacefold-position");

/// `GET /v1/spaces/{space}`
pub(super) async fn state(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    let space_id = ids.id("space")?;
    access.require_of(TokenRight::Read, &space_id)?;
    let media_type = negotiated(&headers, &[MediaType::Json, MediaType::State])?;
    let mut given = Parameters::of(&uri)?;
    let moment = AskedMoment::of(&mut given, &app)?;
    let after = given.number("after")?.map(Position::new);
    let wait = given.duration("wait")?;
    given.finish()?;
    if moment.moment.is_some() && (after.is_some() || wait.is_some()) {
        return Err(invalid("after", "a state of the past is there already"));
    }
    match (after, wait) {
        (Some(after), wait) => {
            live_events::wait_for(&app, after, wait.unwrap_or_default()).await?;
        }
        (None, Some(_)) => return Err(invalid("wait", "it waits for a position: add after")),
        (None, None) => {}
    }
    if media_type == MediaType::State {
        return stored_form(&app, space_id, moment, after).await;
    }
    let cache = moment.cache();
    if moment.moment.is_some() {
        let known = headers.clone();
        let (tag, body) = app
            .ask(move |store| {
                let (position, tag) = asked_for(moment, store)?;
                // A client that has it is told so without folding it again.
                if tag.is_known_to(&known) {
                    return Ok((tag, None));
                }
                let snapshot = store.at(position).snapshot(&space_id)?;
                Ok((tag, Some(snapshot.to_json())))
            })
            .await?;
        let body = body.unwrap_or_default();
        return tagged(&headers, &tag, cache, || Ok(negotiated_answer(media_type, body, cache)));
    }
    let snapshot = app.ask(move |store| now(store, &space_id, after)).await?;
    let tag = EntityTag::of_revision(snapshot.revision());
    if tag.is_known_to(&headers) {
        return tagged(&headers, &tag, cache, || json(&(), cache));
    }
    // A walk over the whole state.
    let body = app.ask(move |_| Ok(snapshot.to_json())).await?;
    tagged(&headers, &tag, cache, || Ok(negotiated_answer(media_type, body, cache)))
}

fn now(
    store: &ServedStore,
    space_id: &str,
    after: Option<Position>,
) -> Result<Snapshot, HttpProblem> {
    Ok(match after {
        Some(after) => store.snapshot_after(space_id, after, std::time::Duration::ZERO)?,
        None => store.snapshot(space_id)?,
    })
}

/// The state in the encoding that it is stored in, for clients of the same version: no cache keeps it.
async fn stored_form(
    app: &App,
    space_id: String,
    moment: AskedMoment,
    after: Option<Position>,
) -> Result<Response, HttpProblem> {
    let (position, body) = app
        .ask(move |store| {
            let snapshot = match moment.moment {
                Some(moment) => store.at(moment).snapshot(&space_id)?,
                None => now(store, &space_id, after)?,
            };
            Ok((snapshot.position(), snapshot.state().encode()))
        })
        .await?;
    let mut response = negotiated_answer(MediaType::State, body, CacheRule::NoStore);
    response.headers_mut().insert(STATE_POSITION, position.get().into());
    Ok(response)
}

fn asked_for(
    moment: AskedMoment,
    store: &ServedStore,
) -> Result<(Position, EntityTag), HttpProblem> {
    let asked = moment.tagged(store)?;
    asked.ok_or_else(|| HttpProblem::internal("internal", "no moment is asked for"))
}

/// `GET /v1/spaces/{space}/blame`
pub(super) async fn blame(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    let space_id = ids.id("space")?;
    access.require_of(TokenRight::Read, &space_id)?;
    let mut given = Parameters::of(&uri)?;
    let moment = AskedMoment::of(&mut given, &app)?;
    given.finish()?;
    let cache = moment.cache();
    let known = headers.clone();
    let (tag, body) = app
        .ask(move |store| {
            let (position, tag) = match moment.tagged(store)? {
                Some(asked) => asked,
                None => {
                    let revision = match store.log().revision(&space_id)? {
                        Revision::NONE => return Err(HttpProblem::unknown_space(&space_id)),
                        revision => revision,
                    };
                    (store.durable_head(), EntityTag::of_revision(revision))
                }
            };
            if tag.is_known_to(&known) {
                return Ok((tag, Vec::new()));
            }
            // As a value, so that its keys are sorted, as the command line prints them.
            let blame = serde_json::to_value(store.at(position).blame(&space_id)?);
            let blame = blame.map_err(|error| HttpProblem::internal("internal", error))?;
            Ok((tag, printed(&blame)?))
        })
        .await?;
    tagged(&headers, &tag, cache, || Ok(answer(MediaType::Json, body, cache)))
}

/// An end of a difference: a position, or a time.
fn end(given: &mut Parameters, name: &'static str) -> Result<Moment, HttpProblem> {
    let text = given.text(name)?.ok_or_else(|| invalid(name, "it is missing"))?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let position = text.parse().map_err(|_| invalid(name, "it is beyond every position"))?;
        return Ok(Position::new(position).into());
    }
    let time = text.parse().map(Moment::Time);
    time.map_err(|error| invalid(name, format_args!("neither a position nor a time: {error}")))
}

/// `GET /v1/spaces/{space}/diff`
pub(super) async fn diff(
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
    let (from, to) = (end(&mut given, "from")?, end(&mut given, "to")?);
    let document_id = given.text("document")?;
    let after = given.number("after")?.unwrap_or(0);
    let limit = given.number("limit")?;
    let names_timeline = check_timeline(&app, given.text("timeline")?.as_deref())?;
    given.finish()?;
    if limit == Some(0) {
        return Err(invalid("limit", "none is too few"));
    }
    let is_of_positions = [from, to].iter().all(|end| matches!(end, Moment::Position(_)));
    let cache = match is_of_positions && names_timeline {
        true => CacheRule::Immutable,
        false => CacheRule::Revalidate,
    };
    let known = headers.clone();
    let (tag, paged) = app
        .ask(move |store| {
            let (from, to) = (store.at(from).position()?, store.at(to).position()?);
            let tag = EntityTag::of_position(
                store.log().identity().timeline,
                format_args!("{from}-{to}"),
            );
            let head = store.durable_head();
            if let Some(beyond) = [from, to].into_iter().find(|position| *position > head) {
                return Err(HttpProblem::beyond_head(beyond, head));
            }
            if tag.is_known_to(&known) {
                return Ok((tag, None));
            }
            let changes = match &document_id {
                Some(document_id) => store.diff_document(&space_id, document_id, from..to)?,
                None => store.diff(&space_id, from..to)?,
            };
            let after = usize::try_from(after).unwrap_or(usize::MAX);
            Ok((tag, Some(PagedChanges { space_id, from, to, changes, written: after })))
        })
        .await?;
    let Some(paged) = paged else {
        return tagged(&headers, &tag, cache, || json(&(), cache));
    };
    if media_type == MediaType::NdJson {
        let mut paged = paged;
        paged.cut(limit.unwrap_or(u64::MAX));
        let body = body_of(&app, paged).await?;
        return Ok(negotiated_answer(media_type, body, cache));
    }
    let body = app.ask(move |_| paged.page(limit.unwrap_or(PAGE_CHANGES))).await?;
    tagged(&headers, &tag, cache, || Ok(negotiated_answer(media_type, body, cache)))
}

/// What changed, of which some is written.
struct PagedChanges {
    space_id: String,
    from: Position,
    to: Position,
    changes: Vec<Change>,
    written: usize,
}

impl PagedChanges {
    fn cut(&mut self, limit: u64) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.changes.truncate(self.written.saturating_add(limit));
    }

    fn page(mut self, limit: u64) -> Result<Vec<u8>, HttpProblem> {
        let all = self.changes.len();
        self.cut(limit);
        let end = self.changes.len();
        let changes = self.changes.get(self.written..).unwrap_or_default();
        printed(&PrintedChanges {
            space_id: &self.space_id,
            from: self.from,
            to: self.to,
            changes,
            next: (end < all).then_some(end),
        })
    }
}

impl BodyChunks for PagedChanges {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, HttpProblem> {
        let mut out = Vec::new();
        while let Some(change) = self.changes.get(self.written) {
            out.extend_from_slice(&printed(change)?);
            out.push(b'\n');
            self.written += 1;
            if out.len() >= CHUNK_BYTES {
                break;
            }
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }
}
