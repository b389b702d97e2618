//! Handshakes of WebSockets without hyper.
//!
//! Nearly every client that connects, or returns after a node or a network was away, sends one
//! ordinary request that arrives complete in the first read and ends HTTP on its stream. hyper's
//! buffers and state machines are costly for that. Here such a request is parsed in place, decided
//! by the same functions as any other, and answered with one write. Everything that is out of the
//! ordinary goes to hyper with the bytes that were read, so there are no rules of its own here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{
    CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Request, Response, Uri};
use trunkline_engineio::{Protocol, TransportKind};

use super::clients;
use super::connection::Connection;
use super::heads::{Heads, Seen};
use super::opening::{Handshake, Opened, open_on_stream};
use super::query::Query;
use super::requests;
use super::under_way::UnderWay;
use super::verify::{Wanted, verify};
use super::visitor;
use crate::hub::Hub;

/// The most headers of such a request; browsers send some fifteen.
const HEADERS_MAX: usize = 48;

/// A request that opens a session on a WebSocket, and that npm's checks let pass.
pub(super) struct Direct {
    hub: Arc<Hub>,
    query: Query,
    protocol: Protocol,
    request: Request<()>,
}

/// The handshake that these bytes are, if they are exactly one and it is an ordinary one.
pub(super) fn find(connection: &Connection, bytes: &Bytes) -> Option<Direct> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let mut heads = Heads::default();
    heads.handle_bytes(bytes).ok()?;
    let request = (heads.take_seen() == Seen::default()).then(|| parse(bytes))??;
    // Whoever may not be here gets an answer, which is the ordinary way's to give.
    visitor::identify(connection, &request).ok()?;
    let hub = requests::direct_hub(connection, &request)?;
    if !visitor::has_good_origin(&hub, &request) {
        return None;
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    if !query.sid.is_empty() {
        return None;
    }
    match verify(&hub, (&query, None), &request) {
        Ok(Wanted::Handshake(TransportKind::WebSocket, protocol)) => {
            Some(Direct { hub, query, protocol, request })
        }
        Ok(_) | Err(_) => None,
    }
}

/// Parses a request that fills `bytes` and has no body, as hyper does.
fn parse(bytes: &Bytes) -> Option<Request<()>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(bytes).ok()?;
    if status != httparse::Status::Complete(bytes.len())
        || parsed.method != Some("GET")
        || parsed.version != Some(1)
    {
        return None;
    }
    let mut request = Request::new(());
    let target = bytes.slice_ref(parsed.path?.as_bytes());
    *request.uri_mut() = Uri::from_maybe_shared(target).ok()?;
    let into = request.headers_mut();
    into.reserve(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(header.value)).ok()?;
        into.append(name, value);
    }
    let plain = |headers: &HeaderMap| {
        ![CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING].iter().any(|name| headers.contains_key(name))
    };
    plain(into).then_some(request)
}

impl Direct {
    /// Opens the session, up to its answer.
    pub(super) async fn open(self, connection: Rc<Connection>) -> Opened {
        let Self { hub, query, protocol, request } = self;
        let _under_way = UnderWay::begin(&connection);
        connection.used.set(true);
        let guest = match visitor::enter(&connection, &request) {
            Ok(guest) => guest,
            Err(answer) => return Opened::Answered(Ok(*answer)),
        };
        let admitted = match clients::admit(&connection, &hub, &query, &request).await {
            Ok(admitted) => admitted,
            Err(refused) => {
                return Opened::Answered(clients::refuse(&connection, &request, refused));
            }
        };
        let client = Handshake { protocol, query: &query, admitted, guest };
        open_on_stream(&connection, &hub, client, &request).await
    }
}

thread_local! {
    /// The second of the last answer, and its date.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// The bytes of an answer without a body, as hyper writes it.
pub(super) fn head_of<B>(answer: &Response<B>) -> Vec<u8> {
    let status = answer.status();
    let mut head = Vec::with_capacity(256);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        push(&mut head, name.as_str(), value.as_bytes());
    }
    if !answer.headers().contains_key(hyper::header::DATE) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        DATE.with_borrow_mut(|(at, date)| {
            if *at != second || date.is_empty() {
                (*at, *date) = (second, httpdate::fmt_http_date(now));
            }
            push(&mut head, "date", date.as_bytes());
        });
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn push(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::StatusCode;

    use super::*;

    fn parsed(text: &str) -> Option<Request<()>> {
        parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_request_is_what_hyper_would_make_of_it() {
        let request = parsed("GET /a?b=c HTTP/1.1\r\nHost:  x \r\nX-Two: 1\r\nx-two: 2\r\n\r\n");
        let request = request.expect("ordinary");
        assert_eq!(request.uri().path_and_query().expect("both").as_str(), "/a?b=c");
        assert_eq!(request.headers()["host"], "x");
        let both: Vec<_> = request.headers().get_all("x-two").iter().collect();
        assert_eq!(both, ["1", "2"]);
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_left_to_hyper() {
        for odd in [
            "POST / HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET / HTTP/1.0\r\nhost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\n\r\nmore\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nho st: x\r\n\r\n",
            "GET http:/// HTTP/1.1\r\nhost: x\r\n\r\n",
        ] {
            assert!(parsed(odd).is_none(), "{odd:?}");
        }
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        assert!(parsed(&format!("GET / HTTP/1.1\r\n{many}\r\n")).is_none());
    }

    #[test]
    fn a_head_ends_with_its_date() {
        let mut answer = Response::new(Full::<Bytes>::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().append("x-a", HeaderValue::from_static("1"));
        answer.headers_mut().append("x-a", HeaderValue::from_static("2"));
        let head = String::from_utf8(head_of(&answer)).expect("text");
        let (lines, date) = head.split_once("date: ").expect("a date");
        assert_eq!(lines, "HTTP/1.1 101 Switching Protocols\r\nx-a: 1\r\nx-a: 2\r\n");
        assert!(date.ends_with(" GMT\r\n\r\n"), "{date}");
    }
}
