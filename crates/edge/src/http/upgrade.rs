//! The handshake of RFC 6455, and taking the stream back from hyper after it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use trunkline_trunk::Header;
use trunkline_trunk::settings::PerMessageDeflate;
use trunkline_websocket::accept_key;
use trunkline_websocket::deflate::{Agreed, negotiate};

use super::io::ClientIo;
use super::{Connection, answer};
use crate::shard::{AdoptedStream, deflate_settings};

/// Why a WebSocket handshake is malformed. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BadHandshake {
    #[error("Missing or invalid Sec-WebSocket-Key header")]
    Key,
    #[error("Invalid HTTP method")]
    Method,
    #[error("Invalid or unacceptable Sec-WebSocket-Extensions header")]
    Extensions,
    #[error("Invalid Upgrade header")]
    Upgrade,
    #[error("Missing or invalid Sec-WebSocket-Version header")]
    Version,
}

/// Whether the request asks for another protocol on this connection.
pub(super) fn is_asked<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    headers.contains_key(UPGRADE) && has_token(headers, "upgrade")
}

pub(super) fn has_token(headers: &HeaderMap, token: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    })
}

/// The key of a well-formed WebSocket handshake.
pub(super) fn websocket_key<B>(request: &Request<B>) -> Result<String, BadHandshake> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(BadHandshake::Method);
    }
    let asks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if !has_token(headers, "upgrade") || !headers.get(UPGRADE).is_some_and(asks) {
        return Err(BadHandshake::Upgrade);
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .and_then(|value| value.to_str().ok())
        .filter(|key| is_sixteen_bytes_of_base64(key))
        .ok_or(BadHandshake::Key)?;
    match headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) {
        Some(b"13" | b"8") => Ok(key.to_owned()),
        Some(_) | None => Err(BadHandshake::Version),
    }
}

fn is_sixteen_bytes_of_base64(key: &str) -> bool {
    key.strip_suffix("==").is_some_and(|digits| {
        digits.len() == 22
            && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    })
}

/// The answer to a malformed handshake.
pub(super) fn refused(why: BadHandshake) -> Response<Full<Bytes>> {
    let mut response = answer::status(match why {
        BadHandshake::Method => StatusCode::METHOD_NOT_ALLOWED,
        BadHandshake::Extensions
        | BadHandshake::Key
        | BadHandshake::Upgrade
        | BadHandshake::Version => StatusCode::BAD_REQUEST,
    });
    *response.body_mut() = Full::from(why.to_string());
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    if why == BadHandshake::Version {
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13, 8"));
    }
    response
}

/// The npm package `ws` takes the first subprotocol that a client offers.
fn first_subprotocol<B>(request: &Request<B>) -> Option<HeaderValue> {
    let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    HeaderValue::from_str(offered.split(',').next()?.trim()).ok()
}

/// What was agreed beside the protocol itself.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) subprotocol: Option<HeaderValue>,
    pub(super) deflate: Option<Agreed>,
}

impl Agreement {
    /// Follows the npm package `ws`: the first subprotocol, and compression where the app wants it and the client
    /// offers it in a form that can be had.
    pub(super) fn reach<B>(
        request: &Request<B>,
        wanted: Option<&PerMessageDeflate>,
    ) -> Result<Self, BadHandshake> {
        let subprotocol = first_subprotocol(request);
        let Some(wanted) = wanted else { return Ok(Self { subprotocol, deflate: None }) };
        let offers: Vec<&[u8]> = request
            .headers()
            .get_all(SEC_WEBSOCKET_EXTENSIONS)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if offers.is_empty() {
            return Ok(Self { subprotocol, deflate: None });
        }
        let deflate = negotiate(&offers.join(&b", "[..]), &deflate_settings(wanted))
            .map_err(|_| BadHandshake::Extensions)?;
        Ok(Self { subprotocol, deflate })
    }

    pub(super) fn deflate_window(&self) -> Option<u8> {
        self.deflate.as_ref().map(|agreed| agreed.window_bits)
    }
}

/// `101 Switching Protocols`.
pub(super) fn switching(
    key: &str,
    agreement: Agreement,
    headers: impl IntoIterator<Item = Header>,
) -> Response<Full<Bytes>> {
    let mut response = answer::status(StatusCode::SWITCHING_PROTOCOLS);
    let into = response.headers_mut();
    let headers: Vec<Header> = headers.into_iter().collect();
    answer::add_headers(into, &headers);
    into.insert(UPGRADE, HeaderValue::from_static("websocket"));
    into.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(subprotocol) = agreement.subprotocol {
        into.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    if let Some(agreed) = agreement.deflate
        && let Ok(extensions) = HeaderValue::from_str(&agreed.header_value)
    {
        into.insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    let accept = HeaderValue::from_str(&accept_key(key)).expect("base64 is a header value");
    into.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Waits for the `101` to be written and takes the stream. `None`: the client went away first.
pub(super) async fn take_stream(
    upgraded: OnUpgrade,
    connection: &Connection,
    deflate_window: Option<u8>,
) -> Option<AdoptedStream> {
    let parts = upgraded.await.ok()?.downcast::<ClientIo>().ok()?;
    drop(connection.io.take());
    let leftover = parts.io.rest_of_unread(parts.read_buf);
    let (stream, unsent) = parts.io.into_parts().ok()?;
    let permit = connection.permit.take()?;
    Some(AdoptedStream { socket: stream.into(), unsent, leftover, permit, deflate_window })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request(connection: &str, upgrade: &str, key: &str, version: &str) -> Request<()> {
        Request::get("/")
            .header("connection", connection)
            .header("upgrade", upgrade)
            .header("sec-websocket-key", key)
            .header("sec-websocket-version", version)
            .body(())
            .expect("valid")
    }

    #[test]
    fn each_rule_of_the_handshake_is_checked() {
        let table = [
            (request("Upgrade", "websocket", KEY, "13"), Ok(KEY.to_owned())),
            (request("keep-alive, upgrade", "WebSocket", KEY, "8"), Ok(KEY.to_owned())),
            (request("close", "websocket", KEY, "13"), Err(BadHandshake::Upgrade)),
            (request("upgrade", "h2c", KEY, "13"), Err(BadHandshake::Upgrade)),
            (request("upgrade", "websocket", "short==", "13"), Err(BadHandshake::Key)),
            (request("upgrade", "websocket", KEY, "12"), Err(BadHandshake::Version)),
        ];
        for (request, expected) in table {
            assert_eq!(websocket_key(&request), expected);
        }
    }
}
