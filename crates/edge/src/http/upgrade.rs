//! The agreement when a client's stream becomes a WebSocket, and taking the stream back from hyper
//! afterwards.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use trunkline_http::upgrade::switch;
pub(super) use trunkline_http::upgrade::{BadHandshake, has_token, is_asked, websocket_key};
use trunkline_trunk::Header;
use trunkline_trunk::settings::PerMessageDeflate;
use trunkline_websocket::deflate::{Agreed, negotiate};

use super::answer;
use super::connection::Connection;
use super::io::ClientIo;
use crate::shard::{AdoptedStream, deflate_settings};

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

/// The subprotocol for the answer: like the npm package `ws`, the first one that the client offers.
fn first_subprotocol<B>(request: &Request<B>) -> Option<HeaderValue> {
    let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    HeaderValue::from_str(offered.split(',').next()?.trim()).ok()
}

/// The subprotocol and the compression that a handshake agreed on.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) subprotocol: Option<HeaderValue>,
    pub(super) deflate: Option<Agreed>,
}

impl Agreement {
    /// Agrees as the npm package `ws` does: on the first subprotocol, and on compression if the app
    /// wants it and the client offers it in a form that the node supports.
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

/// The answer `101 Switching Protocols`.
pub(super) fn switching(
    key: &str,
    agreement: Agreement,
    headers: impl IntoIterator<Item = Header>,
) -> Response<Full<Bytes>> {
    let mut response = answer::status(StatusCode::SWITCHING_PROTOCOLS);
    let into = response.headers_mut();
    let headers: Vec<Header> = headers.into_iter().collect();
    answer::add_headers(into, &headers);
    switch(into, key);
    if let Some(subprotocol) = agreement.subprotocol {
        into.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    if let Some(agreed) = agreement.deflate
        && let Ok(extensions) = HeaderValue::from_str(&agreed.header_value)
    {
        into.insert(SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    response
}

/// Waits until the `101` is written and takes the stream. `None` when the client went away first.
pub(super) async fn take_stream(
    upgraded: OnUpgrade,
    connection: &Connection,
    deflate_window: Option<u8>,
) -> Option<AdoptedStream> {
    let parts = upgraded.await.ok()?.downcast::<ClientIo>().ok()?;
    drop(connection.io.take());
    let leftover = parts.io.rest_of_unread(parts.read_buf);
    let (socket, unsent) = parts.io.into_parts()?;
    let permit = connection.permit.take()?;
    Some(AdoptedStream { socket, unsent, leftover, permit, deflate_window })
}
