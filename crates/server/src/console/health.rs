//! `/health`

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use spacefold::admin::VerifyDepth;
use spacefold_console::{HealthPage, Section};

use super::{forms::SentForm, page};
use crate::{
    access::CallerAccess, app::App, parameters::Parameters, problem::HttpProblem,
    served_store::ServedStore, tokens::TokenRight, visitor::Visitor,
};

/// `GET /health`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    Parameters::of(&uri)?.finish()?;
    let frame = page::frame(&app, &access, &visitor, Section::Health);
    let page = app.ask(move |store| Ok(looked_at(store).render(&frame))).await?;
    Ok(page::html(StatusCode::OK, page))
}

/// `POST /console/verify`
pub(super) async fn verify(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    SentForm::read(&app, &visitor, &headers, body).await?.finish()?;
    let frame = page::frame(&app, &access, &visitor, Section::Health);
    let page = app
        .ask(move |store| {
            let mut page = looked_at(store);
            page.verified = match store {
                ServedStore::Followed(spaces) => {
                    Some(spaces.verify(VerifyDepth::Full).map_err(|error| error.to_string()))
                }
                ServedStore::Open(_) => None,
            };
            Ok(page.render(&frame))
        })
        .await?;
    Ok(page::html(StatusCode::OK, page))
}

fn looked_at(store: &ServedStore) -> HealthPage {
    match store {
        ServedStore::Open(spaces) => HealthPage {
            info: Some(spaces.admin().info()),
            health: Some(spaces.health()),
            ..HealthPage::default()
        },
        ServedStore::Followed(spaces) => {
            HealthPage { info: Some(spaces.info()), can_verify: true, ..HealthPage::default() }
        }
    }
}
