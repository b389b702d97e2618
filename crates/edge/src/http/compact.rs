//! A request's head in one piece of memory, kept while its answer is awaited.

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Uri};

/// Bytes of the length before each text.
const LENGTH: usize = size_of::<u32>();

/// A GET's target and headers. hyper's own would keep its whole read buffer alive, and a map of
/// headers takes more than a hundred bytes for each: here each one takes its text and eight bytes.
#[derive(Debug)]
pub(super) struct CompactHead(Box<[u8]>);

impl CompactHead {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let target = request.uri().to_string();
        let texts = || {
            let headers = request.headers().iter();
            let headers = headers.flat_map(|(name, value)| [name.as_ref(), value.as_bytes()]);
            std::iter::once(target.as_bytes()).chain(headers)
        };
        let mut head = Vec::with_capacity(texts().map(|text| LENGTH + text.len()).sum());
        for text in texts() {
            // A head is far shorter, because a connection limits its bytes.
            let length = u32::try_from(text.len()).unwrap_or(0);
            head.extend_from_slice(&length.to_ne_bytes());
            head.extend_from_slice(&text[..length as usize]);
        }
        Self(head.into_boxed_slice())
    }

    /// Rebuilds the request with those of its headers that are wanted.
    pub(super) fn request(&self, wanted: impl Fn(&[u8]) -> bool) -> Request<()> {
        let mut rest = &*self.0;
        let mut request = Request::new(());
        if let Ok(target) = Uri::from_maybe_shared(Bytes::copy_from_slice(next(&mut rest))) {
            *request.uri_mut() = target;
        }
        while !rest.is_empty() {
            let (name, value) = (next(&mut rest), next(&mut rest));
            if wanted(name)
                && let (Ok(name), Ok(value)) =
                    (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            {
                request.headers_mut().append(name, value);
            }
        }
        request
    }
}

/// Removes the next text from the front.
fn next<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, behind)) = rest.split_first_chunk::<LENGTH>() else { return &[] };
    let (text, behind) = behind.split_at(u32::from_ne_bytes(*length) as usize);
    *rest = behind;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(buffer: &Bytes) -> Request<u8> {
        let part = |range: std::ops::Range<usize>| buffer.slice(range);
        let value = |range| HeaderValue::from_maybe_shared(part(range)).expect("valid");
        Request::get(Uri::from_maybe_shared(part(0..25)).expect("valid"))
            .header("accept-encoding", value(26..34))
            .header("x-own", value(35..38))
            .header("x-own", value(39..42))
            .header("x-empty", "")
            .body(7)
            .expect("valid")
    }

    #[test]
    fn the_request_is_equal_and_nothing_of_the_buffer_is_kept() {
        let buffer = Bytes::from(b"/socket.io/?EIO=4&sid=abc|gzip, br|\xe9t\xe9|two".to_vec());
        let head = CompactHead::of(&request(&buffer));
        assert!(buffer.is_unique(), "the buffer is nobody else's any more");
        let (copy, request) = (head.request(|_| true), request(&buffer));
        assert_eq!((copy.method(), copy.uri()), (request.method(), request.uri()));
        assert_eq!(copy.headers(), request.headers());
    }

    #[test]
    fn headers_that_are_not_wanted_are_passed_over() {
        let buffer = Bytes::from(b"/socket.io/?EIO=4&sid=abc|gzip, br|\xe9t\xe9|two".to_vec());
        let copy = CompactHead::of(&request(&buffer)).request(|name| name == b"x-own");
        assert_eq!(copy.headers().len(), 2);
        assert_eq!(copy.headers().get_all("x-own").iter().count(), 2);
    }

    #[test]
    fn a_header_takes_its_text_and_eight_bytes() {
        let request = Request::get("/").header("a", "b").header("cd", "").body(()).expect("valid");
        assert_eq!(CompactHead::of(&request).0.len(), (4 + 1) + (8 + 2) + (8 + 2));
    }
}
