//! Bodies of answers that are made while they are sent: a chunk at a time, on the pool, and the next
//! one only once the client has taken the one before. No thread waits for a client.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{app::App, pool::BlockingPool, problem::HttpProblem};

/// Bytes that a chunk has at least, where there are so many.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// What makes the chunks of a body.
pub(crate) trait BodyChunks: Send + 'static {
    /// The next chunk, which may be empty; `None` at the end.
    fn next_chunk(&mut self) -> Result<Option<Bytes>, HttpProblem>;
}

type Made<C> = (C, Result<Option<Bytes>, HttpProblem>);
type Making<C> = Pin<Box<dyn Future<Output = Result<Made<C>, HttpProblem>> + Send>>;

struct PulledBody<C> {
    pool: BlockingPool,
    first: Option<Bytes>,
    making: Option<Making<C>>,
}

/// A body of chunks, the first of which is made before there is an answer: what is wrong from the
/// beginning has a status of its own. What goes wrong later breaks the answer off, so that nobody takes
/// a part for the whole.
pub(crate) async fn body_of<C: BodyChunks>(app: &App, chunks: C) -> Result<Body, HttpProblem> {
    let pool = app.pool().clone();
    let (mut chunks, mut made) = make(&pool, chunks).await?;
    // What is searched for long is still the beginning.
    while made.as_ref().is_ok_and(|it| it.as_ref().is_some_and(Bytes::is_empty)) {
        (chunks, made) = make(&pool, chunks).await?;
    }
    let Some(first) = made? else { return Ok(Body::empty()) };
    let making = Some(begin(&pool, chunks));
    Ok(Body::new(PulledBody { pool, first: Some(first), making }))
}

async fn make<C: BodyChunks>(pool: &BlockingPool, mut chunks: C) -> Result<Made<C>, HttpProblem> {
    pool.run_in_turn(move || {
        let made = chunks.next_chunk();
        (chunks, made)
    })
    .await
}

/// Nothing is made before it is polled.
fn begin<C: BodyChunks>(pool: &BlockingPool, chunks: C) -> Making<C> {
    let pool = pool.clone();
    Box::pin(async move { make(&pool, chunks).await })
}

impl<C: BodyChunks> HttpBody for PulledBody<C> {
    type Data = Bytes;
    type Error = HttpProblem;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpProblem>>> {
        let body = self.get_mut();
        if let Some(first) = body.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            let Some(making) = &mut body.making else { return Poll::Ready(None) };
            let made = std::task::ready!(making.as_mut().poll(context));
            body.making = None;
            let (chunks, made) = match made {
                Ok(made) => made,
                Err(problem) => return Poll::Ready(Some(Err(broken_off(problem)))),
            };
            match made {
                Ok(None) => return Poll::Ready(None),
                Ok(Some(chunk)) => {
                    body.making = Some(begin(&body.pool, chunks));
                    if !chunk.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(chunk))));
                    }
                }
                Err(problem) => return Poll::Ready(Some(Err(broken_off(problem)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.making.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn broken_off(problem: HttpProblem) -> HttpProblem {
    tracing::warn!(%problem, "an answer is broken off");
    problem
}
