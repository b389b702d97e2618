//! A look at the beginning of a body.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::future::poll_fn;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// How often hyper is asked for the bytes that it has read together with the head: it is told that
/// they are wanted, and gives them when it runs next.
const LOOKS: u32 = 2;

/// A body of which the first piece may have been read already.
#[derive(Debug)]
pub struct Peeked<B> {
    first: Option<Bytes>,
    rest: B,
}

impl<B> Peeked<B> {
    /// A body that nobody has looked at.
    pub const fn new(body: B) -> Self {
        Self { first: None, rest: body }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Peeked<B> {
    /// The whole body, if its length is known, it is at most so long, and all of it has arrived
    /// together with the head. Otherwise nothing of it is lost, and nothing was waited for.
    pub async fn all_at_once(&mut self, bytes_max: usize) -> Option<Bytes> {
        let length = usize::try_from(self.size_hint().exact()?).ok()?;
        if length > bytes_max {
            return None;
        }
        let mut looks = 0;
        poll_fn(|cx| {
            if self.first.is_some() || self.rest.is_end_stream() {
                return Poll::Ready(());
            }
            looks += 1;
            match Pin::new(&mut self.rest).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.first = frame.into_data().ok();
                    Poll::Ready(())
                }
                // A broken body is found again by whoever reads it.
                Poll::Ready(Some(Err(_)) | None) => Poll::Ready(()),
                Poll::Pending if looks < LOOKS => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Pending => Poll::Ready(()),
            }
        })
        .await;
        match &self.first {
            Some(first) if first.len() == length => self.first.take(),
            None if length == 0 => Some(Bytes::new()),
            Some(_) | None => None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Peeked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Poll::Ready(ready!(Pin::new(&mut self.rest).poll_frame(cx)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.size_hint();
        let first = self.first.as_ref().map_or(0, Bytes::len) as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + first);
        }
        hint.set_lower(hint.lower() + first);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::channel::Channel;
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    /// A body that says its length and comes in pieces.
    struct Sized(u64, Channel<Bytes, Infallible>);

    impl Body for Sized {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Pin::new(&mut self.1).poll_frame(cx)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    #[tokio::test]
    async fn a_body_that_is_there_is_taken_at_once() {
        let mut body = Peeked::new(Full::new(Bytes::from_static(b"4hello")));
        assert_eq!(body.all_at_once(5).await, None, "it is longer");
        assert_eq!(body.all_at_once(6).await, Some(Bytes::from_static(b"4hello")));
        let mut body = Peeked::new(Full::new(Bytes::new()));
        assert_eq!(body.all_at_once(6).await, Some(Bytes::new()));
        let (_sender, body) = Channel::<Bytes, Infallible>::new(1);
        assert_eq!(Peeked::new(body).all_at_once(6).await, None, "nobody knows its length");
    }

    #[tokio::test]
    async fn of_a_body_that_comes_in_pieces_nothing_is_lost() {
        for pieces in [&[][..], &["4he"], &["4he", "llo"]] {
            let (mut sender, body) = Channel::new(2);
            for piece in pieces {
                sender.send_data(Bytes::from_static(piece.as_bytes())).await.expect("it is read");
            }
            let mut body = Peeked::new(Sized(6, body));
            assert_eq!(body.all_at_once(6).await, None);
            let more = &"4hello"[pieces.concat().len()..];
            sender.send_data(Bytes::from_static(more.as_bytes())).await.expect("it is read");
            drop(sender);
            let all = body.collect().await.expect("it is whole").to_bytes();
            assert_eq!(all, "4hello");
        }
    }
}
