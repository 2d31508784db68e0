//! `/projections`

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use spacefold_console::{ProjectionsPage, Section};

use super::{forms::SentForm, page};
use crate::{
    access::CallerAccess, app::App, parameters::Parameters, path_ids::PathIds,
    problem::HttpProblem, tokens::TokenRight, visitor::Visitor,
};

/// `GET /projections`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    Parameters::of(&uri)?.finish()?;
    let frame = page::frame(&app, &access, &visitor, Section::Projections);
    let page = app
        .ask(move |store| {
            let projections = store.projections().infos()?;
            Ok(ProjectionsPage { projections }.render(&frame))
        })
        .await?;
    Ok(page::html(StatusCode::OK, page))
}

/// `POST /console/projections/{change}`
pub(super) async fn change(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    ids: PathIds,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    let spaces = app.writable()?.clone();
    let mut form = SentForm::read(&app, &visitor, &headers, body).await?;
    let name = form.text("name")?;
    form.finish()?;
    let change = ids.text("change").to_owned();
    app.ask(move |_| {
        match change.as_str() {
            "resume" => spaces.projections().resume(&name)?,
            "skip" => spaces.projections().skip_event(&name)?,
            _ => return Err(HttpProblem::not_found("unknown_path", "there is no such change")),
        };
        Ok(())
    })
    .await?;
    page::see_other("../../projections")
}
