//! `/v1/contents/{hash}`

use std::{
    fs::File,
    io::{Read, Seek, Write},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use serde::Serialize;
use spacefold::{
    StorageError,
    content::{ContentError, ContentHash, ContentReader, ContentStore, StoredContent},
};
use tokio::time::timeout;

use crate::{
    access::CallerAccess,
    answer::{json, tagged},
    app::App,
    body::{next_bytes, too_large, too_slow},
    byte_range::ByteRange,
    chunks::{BodyChunks, CHUNK_BYTES, body_of},
    entity_tag::{CacheRule, EntityTag},
    parameters::Parameters,
    path_ids::PathIds,
    problem::HttpProblem,
    tokens::TokenRight,
};

/// Bytes that are read together and passed over, before others get their turn.
const SKIP_BYTES: u64 = 8 << 20;

#[derive(Serialize)]
struct ServedContent {
    hash: ContentHash,
    bytes: u64,
}

fn hash_of(ids: &PathIds) -> Result<ContentHash, HttpProblem> {
    let hash = ids.text("hash").parse();
    hash.map_err(|error| HttpProblem::bad_request("invalid_path", error))
}

/// `GET /v1/contents/{hash}`
pub(super) async fn get(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Read)?;
    Parameters::of(&uri)?.finish()?;
    // What has the hash is what had it.
    answer_of(&app, &headers, hash_of(&ids)?, CacheRule::Immutable).await
}

/// The bytes with a hash, or those that are asked for.
pub(super) async fn answer_of(
    app: &App,
    headers: &HeaderMap,
    hash: ContentHash,
    cache: CacheRule,
) -> Result<Response, HttpProblem> {
    let tag = EntityTag::of_content(hash);
    let reader = app.ask(move |store| Ok(store.open_content(&hash)?)).await?;
    let bytes = reader.content_bytes();
    if tag.is_known_to(headers) {
        return tagged(headers, &tag, cache, || json(&(), cache));
    }
    let range = ByteRange::of(headers, bytes, &tag)?;
    let sent = range.unwrap_or(ByteRange { start: 0, end: bytes });
    let chunks = ContentChunks { hash, reader, skip: sent.start, left: sent.len() };
    let mut response = Response::new(body_of(app, chunks).await?);
    let own = response.headers_mut();
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    own.insert(header::CONTENT_LENGTH, sent.len().into());
    own.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    own.insert(header::CACHE_CONTROL, cache.header());
    own.insert(header::ETAG, tag.header());
    // Whatever the bytes are: no browser takes them for a page of this server.
    own.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    own.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if let Some(range) = range {
        own.insert(header::CONTENT_RANGE, range.header(bytes));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Bytes of a content, checked while they are read: those before the range are read too.
struct ContentChunks {
    hash: ContentHash,
    reader: ContentReader,
    skip: u64,
    left: u64,
}

impl ContentChunks {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HttpProblem> {
        let read = self.reader.read(buffer);
        let read = read.map_err(|error| ContentError::of_reading(self.hash, error))?;
        if read == 0 {
            let doing = format!("reading {}", self.hash);
            return Err(StorageError::new(doing, "it ends too early").into());
        }
        Ok(read)
    }
}

impl BodyChunks for ContentChunks {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, HttpProblem> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut passed = 0;
        while self.skip > 0 {
            if passed >= SKIP_BYTES {
                return Ok(Some(Bytes::new()));
            }
            let most = usize::try_from(self.skip).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let read = self.read(chunk.get_mut(..most).unwrap_or_default())?;
            let read = u64::try_from(read).unwrap_or(u64::MAX);
            self.skip = self.skip.saturating_sub(read);
            passed += read;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let read = self.read(chunk.get_mut(..most).unwrap_or_default())?;
        chunk.truncate(read);
        self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(Some(chunk.into()))
    }
}

/// `PUT /v1/contents/{hash}`
pub(super) async fn put(
    State(app): State<App>,
    access: CallerAccess,
    ids: PathIds,
    uri: Uri,
    body: Body,
) -> Result<Response, HttpProblem> {
    access.require_everywhere(TokenRight::Command)?;
    let hash = hash_of(&ids)?;
    Parameters::of(&uri)?.finish()?;
    let content = app.writable()?.content().clone();
    let _upload = app.upload()?;
    let arrived = arrive(&app, body).await?;
    if arrived.hash != hash {
        let detail = format_args!("the bytes that arrived have the hash {}", arrived.hash);
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem = HttpProblem::new(status, "content_hash_mismatch", detail);
        return Err(problem.field("hash", arrived.hash));
    }
    let (was_there, stored) = app.ask(move |_| keep(&*content, arrived)).await?;
    let stored = ServedContent { hash: stored.hash, bytes: stored.bytes };
    let mut response = json(&stored, CacheRule::NoStore)?;
    *response.status_mut() = if was_there { StatusCode::OK } else { StatusCode::CREATED };
    response.headers_mut().insert(header::ETAG, EntityTag::of_content(hash).header());
    Ok(response)
}

/// A content in a temporary file, whose name is gone already.
struct Arrived {
    file: File,
    hash: ContentHash,
}

fn spooling(error: std::io::Error) -> HttpProblem {
    StorageError::new("keeping what arrives in a temporary file", error).into()
}

/// Takes a content in: it is stored once all of it is there, so that no client keeps the store
/// waiting, and nothing else is.
async fn arrive(app: &App, mut body: Body) -> Result<Arrived, HttpProblem> {
    let limit = app.limits().max_content_bytes;
    let mut file = app.ask(|_| tempfile::tempfile().map_err(spooling)).await?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0_u64;
    loop {
        let next = timeout(app.limits().content_pause, next_bytes(&mut body)).await;
        let Some(chunk) = next.map_err(|_| too_slow())?? else { break };
        bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if bytes > limit {
            return Err(too_large(limit));
        }
        (file, hasher) = app
            .ask(move |_| {
                hasher.update(&chunk);
                file.write_all(&chunk).map_err(spooling)?;
                Ok((file, hasher))
            })
            .await?;
    }
    let hash = hasher.finalize().to_hex().parse();
    let hash = hash.map_err(|error| HttpProblem::internal("internal", error))?;
    Ok(Arrived { file, hash })
}

/// Stores a content and syncs it; answers whether it was there.
fn keep(
    content: &dyn ContentStore,
    arrived: Arrived,
) -> Result<(bool, StoredContent), HttpProblem> {
    let Arrived { mut file, hash } = arrived;
    let was_there = content.contains(&hash)?;
    file.rewind().map_err(spooling)?;
    let stored = content.put(&mut file).map_err(|error| match error {
        ContentError::Source(error) => spooling(error),
        error => error.into(),
    })?;
    content.sync()?;
    Ok((was_there, stored))
}
