//! Connections at rest: those that wait for an answer or for another request, without the buffers
//! of hyper.
//!
//! A connection of hyper holds 16 KiB of buffers. A client that polls has one connection that waits
//! in a GET for most of its life, and often another one that waits for the next POST. Such a
//! connection is taken apart. Only three things are kept: the stream, the bytes that arrived after
//! the request, and the parts of the request that its answer needs. When the answer is ready, hyper
//! starts anew on the stream: it reads a stand-in request first and gives the answer to that.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::Body;
use hyper::{Request, Version};

use super::connection::Connection;
use super::io::ClientIo;
use super::upgrade;

/// The request that stands in for a held one when hyper starts anew: only what keeps the connection
/// open.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: rest\r\n\r\n";

/// Whether hyper can start anew after this request: the request is HTTP/1.1, the connection is kept
/// alive, and the client does not wait for `100 Continue`.
pub(super) fn may_come_after<B: Body>(connection: &Connection, request: &Request<B>) -> bool {
    let get = request.method() == hyper::Method::GET;
    request.version() == Version::HTTP_11
        && connection.beyond_max.is_none()
        && !upgrade::has_token(request.headers(), "close")
        && (!get || request.body().is_end_stream())
}

/// The bytes that hyper reads before the stream's own so that it sends the answer: the stand-in
/// request, then `leftover`.
pub(super) fn stand_in(leftover: &Bytes) -> Bytes {
    if leftover.is_empty() {
        return Bytes::from_static(STAND_IN);
    }
    let mut both = BytesMut::with_capacity(STAND_IN.len() + leftover.len());
    both.extend_from_slice(STAND_IN);
    both.extend_from_slice(leftover);
    both.freeze()
}

/// Watches for the end of a stream whose client waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Set when the client has sent bytes instead: the reader of those bytes sees the end.
    spoke: bool,
}

impl End {
    pub(super) fn new(io: &ClientIo) -> Self {
        Self { spoke: io.has_unread() }
    }

    /// Ready at the end of the stream; never ready if the client has sent bytes instead.
    pub(super) fn poll(&mut self, io: &ClientIo, cx: &mut Context<'_>) -> Poll<()> {
        if self.spoke {
            return Poll::Pending;
        }
        let peeked = ready!(io.poll_peek(cx));
        self.spoke = matches!(peeked, Ok(1..));
        if self.spoke { Poll::Pending } else { Poll::Ready(()) }
    }
}
