//! The opening handshake of RFC 6455, for every WebSocket on the public port.

use hyper::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request};
use trunkline_websocket::accept_key;

/// Why a WebSocket handshake is malformed, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadHandshake {
    /// The key is missing, or is not 16 bytes in Base64.
    #[error("Missing or invalid Sec-WebSocket-Key header")]
    Key,
    /// The request is not a `GET`.
    #[error("Invalid HTTP method")]
    Method,
    /// Compression is offered in a form that cannot be read, or cannot be fulfilled.
    #[error("Invalid or unacceptable Sec-WebSocket-Extensions header")]
    Extensions,
    /// The request does not ask for a WebSocket on this connection.
    #[error("Invalid Upgrade header")]
    Upgrade,
    /// The version is missing or unknown.
    #[error("Missing or invalid Sec-WebSocket-Version header")]
    Version,
}

/// Whether the request asks for another protocol on this connection.
pub fn is_asked<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    headers.contains_key(UPGRADE) && has_token(headers, "upgrade")
}

/// Whether the header `Connection` contains this word, in any case.
pub fn has_token(headers: &HeaderMap, token: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    })
}

/// The key of a well-formed WebSocket handshake.
pub fn websocket_key<B>(request: &Request<B>) -> Result<String, BadHandshake> {
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

/// Sets the headers of `101 Switching Protocols`.
pub fn switch(headers: &mut HeaderMap, key: &str) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&accept_key(key)).expect("base64 is a header value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
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
