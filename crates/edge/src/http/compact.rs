//! A request without the buffer that it came in.

use bytes::{Bytes, BytesMut};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Uri};

/// A copy with memory of its own, no more than it needs. Headers and URI are slices of hyper's read buffer: while one
/// of them lives, the buffer does, and hyper takes another one for the connection.
pub(super) fn copy_of<B>(request: Request<B>) -> Request<()> {
    let headers = request.headers();
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut texts = BytesMut::with_capacity(bytes);
    for value in headers.values() {
        texts.extend_from_slice(value.as_bytes());
    }
    let mut texts = texts.freeze();
    let mut copies = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        copies.append(own_name(name), own_value(value, &mut texts));
    }
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.version_mut() = request.version();
    *copy.uri_mut() = own_uri(request.uri());
    *copy.headers_mut() = copies;
    copy
}

/// Names that HTTP knows are numbers; only others have text.
fn own_name(name: &HeaderName) -> HeaderName {
    HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone())
}

fn own_value(value: &HeaderValue, texts: &mut Bytes) -> HeaderValue {
    let text = texts.split_to(value.len());
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| value.clone())
}

fn own_uri(uri: &Uri) -> Uri {
    let text = Bytes::from(uri.to_string());
    Uri::from_maybe_shared(text).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_equal_and_shares_nothing() {
        let buffer = Bytes::from(b"/socket.io/?EIO=4&sid=abc|gzip, br|\xe9t\xe9|two".to_vec());
        let part = |range: std::ops::Range<usize>| buffer.slice(range);
        let value = |range| HeaderValue::from_maybe_shared(part(range)).expect("valid");
        let request = Request::get(Uri::from_maybe_shared(part(0..25)).expect("valid"))
            .header("accept-encoding", value(26..34))
            .header("x-own", value(35..38))
            .header("x-own", value(39..42))
            .header("x-empty", "")
            .body(7)
            .expect("valid");
        let (method, uri, headers) =
            (request.method().clone(), request.uri().to_string(), request.headers().len());
        let copy = copy_of(request);
        assert!(buffer.is_unique(), "the buffer is nobody else's any more");
        assert_eq!((copy.method(), copy.uri().to_string()), (&method, uri));
        assert_eq!(copy.headers().len(), headers);
        assert_eq!(copy.headers()["accept-encoding"], "gzip, br");
        let own: Vec<&[u8]> =
            copy.headers().get_all("x-own").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(own, [&b"\xe9t\xe9"[..], b"two"]);
        assert_eq!(copy.headers()["x-empty"], "");
    }
}
