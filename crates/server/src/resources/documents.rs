//! `/v1/spaces/{space}/documents/{document}`, and the bytes of documents.

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use serde::Serialize;
use spacefold::{Snapshot, content::ContentAtError, state::Document};

use super::contents;
use crate::{
    accept::MediaType,
    access::CallerAccess,
    answer::{answer, printed, tagged},
    app::App,
    entity_tag::EntityTag,
    moment::AskedMoment,
    parameters::Parameters,
    path_ids::PathIds,
    problem::HttpProblem,
    served_store::ServedStore,
    tokens::TokenRight,
};

#[derive(Serialize)]
struct PrintedDocument<'a> {
    space_id: &'a str,
    document_id: &'a str,
    #[serde(flatten)]
    document: &'a Document,
}

/// The state that is asked for, and what it is known by where that is a position.
fn state(
    store: &ServedStore,
    moment: AskedMoment,
    space_id: &str,
) -> Result<(Snapshot, Option<EntityTag>), HttpProblem> {
    Ok(match moment.tagged(store)? {
        Some((position, tag)) => (store.at(position).snapshot(space_id)?, Some(tag)),
        None => (store.snapshot(space_id)?, None),
    })
}

fn unknown(snapshot: &Snapshot, document_id: &str) -> ContentAtError {
    ContentAtError::UnknownDocument {
        space_id: snapshot.space_id().to_owned(),
        document_id: document_id.to_owned(),
        position: snapshot.position(),
    }
}

/// `GET /v1/spaces/{space}/documents/{document}`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    let (space_id, document_id) = (ids.id("space")?, ids.id("document")?);
    access.require_of(TokenRight::Read, &space_id)?;
    let mut given = Parameters::of(&uri)?;
    let moment = AskedMoment::of(&mut given, &app)?;
    given.finish()?;
    let cache = moment.cache();
    let (tag, body) = app
        .ask(move |store| {
            let (snapshot, tag) = state(store, moment, &space_id)?;
            let document = snapshot.document(&document_id);
            let document = document.ok_or_else(|| unknown(&snapshot, &document_id))?;
            let tag = tag.unwrap_or_else(|| EntityTag::of_document(document.updated_position()));
            let document_id = &document_id;
            Ok((tag, printed(&PrintedDocument { space_id: &space_id, document_id, document })?))
        })
        .await?;
    tagged(&headers, &tag, cache, || Ok(answer(MediaType::Json, body, cache)))
}

/// `GET /v1/spaces/{space}/documents/{document}/content`
pub(super) async fn content(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    let (space_id, document_id) = (ids.id("space")?, ids.id("document")?);
    access.require_of(TokenRight::Read, &space_id)?;
    let mut given = Parameters::of(&uri)?;
    let moment = AskedMoment::of(&mut given, &app)?;
    given.finish()?;
    let hash = app
        .ask(move |store| {
            let (snapshot, _) = state(store, moment, &space_id)?;
            let document = snapshot.document(&document_id);
            let document = document.ok_or_else(|| unknown(&snapshot, &document_id))?;
            let position = snapshot.position();
            let hash = document.content_hash().ok_or_else(|| ContentAtError::NoContent {
                document_id: document_id.clone(),
                position,
            })?;
            let foreign = || ContentAtError::ForeignHash { document_id, hash: hash.to_string() };
            Ok(hash.content_hash().ok_or_else(foreign)?)
        })
        .await?;
    contents::answer_of(&app, &headers, hash, moment.cache()).await
}
