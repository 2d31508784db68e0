//! `/`

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use spacefold::{SnapshotError, projection::ProblemFilter};
use spacefold_console::{Section, SpaceListRow, StorePage};

use super::page;
use crate::{
    access::CallerAccess, app::App, parameters::Parameters, problem::HttpProblem,
    served_store::ServedStore, tokens::TokenRight, visitor::Visitor,
};

/// Spaces of a page.
const PAGE_SPACES: usize = 100;

/// Ids that are looked for together.
const LOOK_SPACES: usize = 256;

/// `GET /`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require(TokenRight::Read)?;
    let mut given = Parameters::of(&uri)?;
    let after = given.text("after")?;
    given.finish()?;
    let frame = page::frame(&app, &access, &visitor, Section::Store);
    let page = app.ask(move |store| Ok(looked_at(store, &access, after)?.render(&frame))).await?;
    Ok(page::html(StatusCode::OK, page))
}

fn looked_at(
    store: &ServedStore,
    access: &CallerAccess,
    after: Option<String>,
) -> Result<StorePage, HttpProblem> {
    let (spaces, next) = rows(store, access, after.clone())?;
    let mut problems = store.projections().open_problems()?.problems(&ProblemFilter::default())?;
    problems.retain(|problem| access.sees(&problem.space_id));
    let mut page =
        StorePage { spaces, next, after, problems: Some(problems), ..StorePage::default() };
    if access.require_everywhere(TokenRight::Admin).is_ok() {
        let subscriptions = match store {
            ServedStore::Open(spaces) => {
                let stats = spaces.stats()?;
                page.health = Some(spaces.health());
                page.appended = Some((stats.appended, stats.opened_at));
                page.info = Some(spaces.admin().info());
                spaces.feed().durable_subscriptions()?
            }
            ServedStore::Followed(spaces) => {
                page.info = Some(spaces.info());
                spaces.durable_subscriptions()?
            }
        };
        let parked: usize = subscriptions.iter().map(|it| it.parked).sum();
        page.parked = Some(u64::try_from(parked).unwrap_or(u64::MAX));
    }
    Ok(page)
}

/// A page of the spaces that the caller sees, and what the next one comes after.
fn rows(
    store: &ServedStore,
    access: &CallerAccess,
    after: Option<String>,
) -> Result<(Vec<SpaceListRow>, Option<String>), HttpProblem> {
    let (mut rows, mut after) = (Vec::new(), after);
    loop {
        let found = store.log().spaces_after(after.as_deref(), LOOK_SPACES)?;
        let is_last = found.len() < LOOK_SPACES;
        for space_id in found {
            if access.sees(&space_id) {
                if rows.len() == PAGE_SPACES {
                    return Ok((rows, after));
                }
                match store.snapshot(&space_id) {
                    Ok(state) => rows.push(SpaceListRow {
                        space_id: space_id.clone(),
                        name: state.name().map(str::to_owned),
                        status: state.status(),
                        revision: state.revision(),
                        documents: u64::try_from(state.document_count()).unwrap_or(u64::MAX),
                        updated_at: state.updated_at(),
                    }),
                    Err(SnapshotError::UnknownSpace { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            after = Some(space_id);
        }
        if is_last {
            return Ok((rows, None));
        }
    }
}
