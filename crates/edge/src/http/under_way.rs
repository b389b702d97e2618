//! A request that has come and whose answer has not been sent completely.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::connection::Connection;
use trunkline_http::SideBody;

/// Marks the connection as busy for as long as it lives.
pub(super) struct UnderWay(Rc<Connection>);

impl UnderWay {
    pub(super) fn begin(connection: &Rc<Connection>) -> Self {
        connection.under_way.set(true);
        Self(Rc::clone(connection))
    }

    /// The answer's body: the request is no longer under way when the body ends.
    pub(super) fn with(self, body: Either<Full<Bytes>, SideBody>) -> Body {
        Body { body, _under_way: self }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(false);
        self.0.idle_since.set(Instant::now());
    }
}

/// The body of an answer from this port's own code or from a side door.
pub(super) struct Body {
    body: Either<Full<Bytes>, SideBody>,
    _under_way: UnderWay,
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.body {
            Either::Left(body) => Pin::new(body).poll_frame(cx),
            Either::Right(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
