//! `/subscriptions`

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use spacefold::Position;
use spacefold_console::{Section, SubscriptionsPage};

use super::{forms::SentForm, page};
use crate::{
    access::CallerAccess,
    app::App,
    parameters::{Parameters, invalid},
    path_ids::PathIds,
    problem::HttpProblem,
    served_store::ServedStore,
    tokens::TokenRight,
    visitor::Visitor,
};

/// `GET /subscriptions`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Admin)?;
    Parameters::of(&uri)?.finish()?;
    let frame = page::frame(&app, &access, &visitor, Section::Subscriptions);
    let page = app
        .ask(move |store| {
            let page = match store {
                ServedStore::Open(spaces) => SubscriptionsPage {
                    durable: spaces.feed().durable_subscriptions()?,
                    open: spaces.feed().subscribers(),
                },
                ServedStore::Followed(spaces) => {
                    SubscriptionsPage { durable: spaces.durable_subscriptions()?, open: Vec::new() }
                }
            };
            Ok(page.render(&frame))
        })
        .await?;
    Ok(page::html(StatusCode::OK, page))
}

/// `POST /console/subscriptions/{change}`
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
    let (name, after) = (form.text("name")?, form.number("after")?);
    form.finish()?;
    let change = ids.text("change").to_owned();
    app.ask(move |_| match (change.as_str(), after) {
        ("reset", Some(after)) => Ok(spaces.feed().reset_durable(&name, Position::new(after))?),
        ("reset", None) => Err(invalid("after", "after which position?")),
        ("remove", None) => Ok(spaces.feed().remove_durable(&name)?),
        _ => Err(HttpProblem::not_found("unknown_path", "there is no such change")),
    })
    .await?;
    page::see_other("../../subscriptions")
}
