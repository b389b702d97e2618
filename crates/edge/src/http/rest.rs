//! Connections at rest: those that wait, for an answer or for another request, without the buffers of hyper.
//!
//! A connection of hyper holds 16 KiB of buffers. A client that polls has one that waits in a GET for most of its
//! life, and often another one that waits for the next POST. Such a connection is taken apart: what stays is the
//! stream, what came in beyond the request, and the request itself as far as its answer needs it. When there is an
//! answer, hyper gets a fresh start with a request of our own making in front, and the answer at hand.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::{Request, Version};

use super::connection::Connection;
use super::io::ClientIo;
use super::upgrade;

/// Stands for a held request when hyper begins afresh: what keeps the connection open, and not more.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: rest\r\n\r\n";

/// Whether the connection goes on after this request in a way that a fresh start of hyper's can take up: HTTP/1.1,
/// kept alive, nobody waiting for `100 Continue`.
pub(super) fn may_come_after(connection: &Connection, request: &Request<Incoming>) -> bool {
    let get = request.method() == hyper::Method::GET;
    request.version() == Version::HTTP_11
        && connection.beyond_max.is_none()
        && !upgrade::has_token(request.headers(), "close")
        && (!get || request.body().is_end_stream())
}

/// What hyper is to read before the stream itself, to give the answer that has come meanwhile.
pub(super) fn stand_in(leftover: &Bytes) -> Bytes {
    if leftover.is_empty() {
        return Bytes::from_static(STAND_IN);
    }
    let mut both = BytesMut::with_capacity(STAND_IN.len() + leftover.len());
    both.extend_from_slice(STAND_IN);
    both.extend_from_slice(leftover);
    both.freeze()
}

/// The end of a stream whose client waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// The client has said something instead: its end is seen by who reads that.
    spoke: bool,
}

impl End {
    pub(super) fn new(io: &ClientIo) -> Self {
        Self { spoke: io.has_unread() }
    }

    /// Ready at the end; never, if the client has said something instead.
    pub(super) fn poll(&mut self, io: &ClientIo, cx: &mut Context<'_>) -> Poll<()> {
        if self.spoke {
            return Poll::Pending;
        }
        let peeked = ready!(io.poll_peek(cx));
        self.spoke = matches!(peeked, Ok(1..));
        if self.spoke { Poll::Pending } else { Poll::Ready(()) }
    }
}
