//! HTTP answers, with npm engine.io's status codes, headers and bodies where it has an equivalent.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Response, StatusCode};
use trunkline_engineio::error::HandshakeError;
use trunkline_trunk::settings::HttpCompression;
use trunkline_trunk::{Header, Response as Relayed};

use super::connection::Connection;
use super::jsonp;
use crate::compressor::Encoding;
use crate::shard::Payload;
use crate::unavailable::Unavailable;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The headers of a request that an answer to a poll or a post depends on.
pub(super) const LOOKED_AT: [HeaderName; 2] = [ACCEPT_ENCODING, USER_AGENT];

/// An empty answer with this status.
pub(super) fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Makes this the last answer of its connection, as for a refused upgrade.
pub(super) fn close_after<B>(response: &mut Response<B>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// An error of Trunkline's own: `{"error": code, "message": sentence}`.
pub(super) fn error(code: StatusCode, error: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "error": error, "message": message }).to_string();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The answer 503: no app server or no room for this session now.
pub(super) fn unavailable(why: Unavailable) -> Response<Full<Bytes>> {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, why.slug(), &why.to_string());
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(why.retry_after_s()));
    if why.ends_stream() {
        close_after(&mut response);
    }
    response
}

/// An Engine.IO error for which the app server has given no answer of its own.
pub(super) fn engine_error(error: HandshakeError) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(error.json_body()));
    *response.status_mut() =
        StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The app server's own answer.
pub(super) fn relayed(answer: Relayed) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    add_headers(response.headers_mut(), &answer.headers);
    response
}

/// The answer to a poll.
pub(super) async fn payload(
    connection: &Connection,
    payload: Payload,
    compression: Option<HttpCompression>,
    asked: &HeaderMap,
) -> Response<Full<Bytes>> {
    let Payload { content_type, body, compress, jsonp, lasting, first, mut flight } = payload;
    let mut body = match jsonp {
        Some(index) => jsonp::script(&index, &body),
        None => body,
    };
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type.as_str()));
    common(headers, asked);
    add_headers(headers, lasting.as_deref().unwrap_or_default());
    add_headers(headers, &first);
    let encoding = compression
        .filter(|compression| compress && body.len() >= compression.threshold_bytes as usize)
        .and_then(|_| choose(asked));
    if let Some(encoding) = encoding
        && let Some(compressed) =
            connection.door.env().compressor.compress(encoding, body.clone()).await
    {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(name(encoding)));
        body = compressed;
    }
    if let Some(flight) = &mut flight {
        flight.weighs(body.len());
    }
    connection.flight.set(flight);
    *response.body_mut() = Full::from(body);
    response
}

/// The answer to a POST.
pub(super) fn ok(lasting: Option<&[Header]>, asked: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(Bytes::from_static(b"ok")));
    let headers = response.headers_mut();
    // Not text/plain: some browsers offer that for download.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    common(headers, asked);
    add_headers(headers, lasting.unwrap_or_default());
    response
}

fn common(headers: &mut HeaderMap, asked: &HeaderMap) {
    headers.insert(CACHE_CONTROL, NO_STORE);
    let agent = asked.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    if contains(agent, b";MSIE") || contains(agent, b"Trident/") {
        headers.insert("x-xss-protection", HeaderValue::from_static("0"));
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Adds the app server's headers. Headers that frame the message are set only by the node; a
/// malformed one is left out.
pub(super) fn add_headers(to: &mut HeaderMap, headers: &[Header]) {
    for header in headers {
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(header.name.as_bytes()),
            HeaderValue::from_bytes(&latin1(&header.value)),
        ) else {
            tracing::debug!(name = %&*header.name, "a header of the app server is malformed");
            continue;
        };
        match name.as_str() {
            "connection" | "content-length" | "transfer-encoding" | "keep-alive" | "date" => (),
            // A map holds some thousands of headers; those beyond that are left out.
            "set-cookie" | "vary" => drop(to.try_append(name, value)),
            _ => drop(to.try_insert(name, value)),
        }
    }
}

/// Encodes a header's text as Node.js writes it: as Latin-1. Text that does not fit in Latin-1
/// becomes UTF-8.
fn latin1(text: &str) -> Vec<u8> {
    let narrow: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    narrow.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Chooses the encoding: gzip before deflate, if the client accepts both.
fn choose(asked: &HeaderMap) -> Option<Encoding> {
    let accepted = asked.get(ACCEPT_ENCODING)?.to_str().ok()?.to_ascii_lowercase();
    let takes = |name: &str| {
        accepted.split(',').any(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let named = parts.next().is_some_and(|got| got == name || got == "*");
            let refused = parts
                .any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0)));
            named && !refused
        })
    };
    if takes("gzip") {
        Some(Encoding::Gzip)
    } else if takes("deflate") {
        Some(Encoding::Deflate)
    } else {
        None
    }
}

fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Deflate => "deflate",
        Encoding::Gzip => "gzip",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_chosen_as_asked() {
        let table = [
            ("gzip, deflate", Some(Encoding::Gzip)),
            ("deflate, GZIP;q=0.5", Some(Encoding::Gzip)),
            ("deflate", Some(Encoding::Deflate)),
            ("gzip;q=0, deflate", Some(Encoding::Deflate)),
            ("*", Some(Encoding::Gzip)),
            ("br", None),
            ("", None),
        ];
        for (asked, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(asked));
            assert_eq!(choose(&headers), expected, "{asked}");
        }
        assert_eq!(choose(&HeaderMap::new()), None);
    }

    #[test]
    fn more_headers_than_a_map_holds_are_left_out() {
        let header = |name: String| Header { name: name.into(), value: "1".to_owned().into() };
        let many: Vec<_> = (0..40_000).map(|n| header(format!("x-{n}"))).collect();
        let same: Vec<_> = (0..40_000).map(|_| header("set-cookie".into())).collect();
        for headers in [many, same] {
            let mut map = HeaderMap::new();
            add_headers(&mut map, &headers);
            assert!(map.len() > 1_000, "what fits is there");
        }
    }

    #[test]
    fn framing_headers_of_the_app_are_left_out() {
        let mut headers = HeaderMap::new();
        let header = |name: &str, value: &str| Header {
            name: name.to_owned().into(),
            value: value.to_owned().into(),
        };
        add_headers(
            &mut headers,
            &[
                header("content-length", "7"),
                header("set-cookie", "a=1"),
                header("set-cookie", "b=2"),
                header("bad name", "x"),
                header("x-ok", "é"),
            ],
        );
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(headers.get("x-ok").map(HeaderValue::as_bytes), Some(&[0xe9][..]));
        assert_eq!(headers.len(), 3);
    }
}
