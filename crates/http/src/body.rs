//! Reads a request's body within bounds.

mod peeked;

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

pub use self::peeked::Peeked;

/// The bytes of a body that is too long that are read and dropped, so that its sender reads the
/// answer.
const DISCARDED_BYTES_MAX: usize = 64 << 20;

/// The bounds of a body.
pub struct Bounds<'a> {
    /// The longest body, in bytes.
    pub bytes_max: usize,
    /// The most pieces in which it may arrive.
    pub chunks_max: usize,
    /// The longest time for all of it.
    pub timeout: Duration,
    /// The longest body while the node's memory is full, in bytes.
    pub full_bytes_max: usize,
    /// Whether the node's memory is full.
    pub is_full: &'a (dyn Fn() -> bool + Sync),
}

impl fmt::Debug for Bounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounds")
            .field("bytes_max", &self.bytes_max)
            .field("chunks_max", &self.chunks_max)
            .field("timeout", &self.timeout)
            .field("full_bytes_max", &self.full_bytes_max)
            .finish_non_exhaustive()
    }
}

/// Why a body was not read, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// The stream broke, or its framing was wrong.
    #[error("the body broke off")]
    Broken,
    /// The node's memory is full, and the body is longer than is accepted then.
    #[error("the node has no memory left for the body")]
    MemoryFull,
    /// The body did not arrive in time.
    #[error("the body did not come in time")]
    Slow,
    /// The body is longer than allowed.
    #[error("the body is too long")]
    TooLarge,
    /// The body arrived in more pieces than allowed.
    #[error("the body came in too many pieces")]
    TooManyChunks,
}

/// Reads a whole body.
///
/// The rest of a body that is too long is read and dropped in the background: closing the stream
/// with unread bytes would reset it, and the sender would lose the answer.
///
/// # Errors
///
/// See [`BodyError`].
///
/// # Panics
///
/// When called outside of a tokio runtime.
pub async fn read<B>(mut body: B, bounds: &Bounds<'_>) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let read = if body.size_hint().lower() > bounds.bytes_max as u64 {
        Err(BodyError::TooLarge)
    } else {
        let read = timeout(bounds.timeout, collect(&mut body, bounds)).await;
        read.unwrap_or(Err(BodyError::Slow))
    };
    if matches!(read, Err(BodyError::TooLarge | BodyError::TooManyChunks)) {
        tokio::spawn(discard(body, bounds.timeout));
    }
    read
}

async fn collect<B>(body: &mut B, bounds: &Bounds<'_>) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut collected = BytesMut::new();
    let mut chunks = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        let Ok(data) = frame.into_data() else { continue };
        let bytes = collected.len() + data.len();
        if bytes > bounds.bytes_max {
            return Err(BodyError::TooLarge);
        }
        chunks += 1;
        if chunks > bounds.chunks_max {
            return Err(BodyError::TooManyChunks);
        }
        if bytes > bounds.full_bytes_max && (bounds.is_full)() {
            return Err(BodyError::MemoryFull);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// Reads and drops the rest of a body, within bounds.
async fn discard<B>(mut body: B, limit: Duration)
where
    B: Body<Data = Bytes> + Unpin,
{
    let rest = async {
        let mut discarded_bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded_bytes += frame.data_ref().map_or(0, Bytes::len);
            if discarded_bytes > DISCARDED_BYTES_MAX {
                return;
            }
        }
    };
    // A client that still sends at the deadline has had time to read the answer.
    let _ = timeout(limit, rest).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::channel::Channel;

    use super::*;

    /// Reads a body of these pieces; memory becomes full at the piece with the index `full_from`.
    async fn read_pieces(pieces: &[usize], full_from: usize) -> Result<usize, BodyError> {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        let full = AtomicBool::new(false);
        let is_full = || full.load(Ordering::Relaxed);
        let bounds = Bounds {
            bytes_max: 100,
            chunks_max: 4,
            timeout: Duration::from_secs(30),
            full_bytes_max: 10,
            is_full: &is_full,
        };
        let send = async {
            for (at, length) in pieces.iter().enumerate() {
                full.store(at >= full_from, Ordering::Relaxed);
                if sender.send_data(Bytes::from(vec![0; *length])).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            drop(sender);
        };
        let (read, ()) = tokio::join!(read(body, &bounds), send);
        read.map(|bytes| bytes.len())
    }

    const NEVER: usize = usize::MAX;

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        assert_eq!(read_pieces(&[], NEVER).await, Ok(0));
        assert_eq!(read_pieces(&[40, 60], NEVER).await, Ok(100));
        assert_eq!(read_pieces(&[40, 61], NEVER).await, Err(BodyError::TooLarge));
        assert_eq!(read_pieces(&[1; 4], NEVER).await, Ok(4));
        assert_eq!(read_pieces(&[1; 5], NEVER).await, Err(BodyError::TooManyChunks));
    }

    #[tokio::test]
    async fn a_body_that_grows_while_memory_is_full_is_refused() {
        assert_eq!(read_pieces(&[5, 5], 0).await, Ok(10), "a short one is taken all the same");
        assert_eq!(read_pieces(&[5, 6], 0).await, Err(BodyError::MemoryFull));
        assert_eq!(read_pieces(&[50, 1], 1).await, Err(BodyError::MemoryFull));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_refused_in_time() {
        let (sender, body) = Channel::<Bytes, Infallible>::new(1);
        let bounds = Bounds {
            bytes_max: 100,
            chunks_max: 4,
            timeout: Duration::from_secs(30),
            full_bytes_max: 10,
            is_full: &|| false,
        };
        assert_eq!(read(body, &bounds).await, Err(BodyError::Slow));
        drop(sender);
    }
}
