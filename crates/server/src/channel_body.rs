//! A body that a task writes, one chunk ahead of the client at the most.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame};
use tokio::sync::mpsc::{Receiver, Sender, channel};

struct ChannelBody(Receiver<Bytes>);

/// Where chunks are written, and the body of them: it ends when its writer is dropped.
pub(crate) fn channel_body() -> (Sender<Bytes>, Body) {
    let (sender, receiver) = channel(1);
    (sender, Body::new(ChannelBody(receiver)))
}

impl HttpBody for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let received = std::task::ready!(self.get_mut().0.poll_recv(context));
        Poll::Ready(received.map(|chunk| Ok(Frame::data(chunk))))
    }
}
