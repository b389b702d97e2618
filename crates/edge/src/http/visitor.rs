//! The client of a request: who it is, and whether its address may do what it asks for.
//!
//! A connection from a trusted proxy carries requests of many clients, so the client is looked up
//! for each request anew.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use trunkline_admission::forwarded::{Malformed, Named, read_forwarded, read_x_forwarded};

use super::connection::Connection;
use super::{answer, upgrade};
use crate::gate::{ForwardedHeader, Guest, Refused, Rules};
use crate::hub::Hub;
use crate::peer::Endpoint;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

type Answer = Box<Response<Full<Bytes>>>;

/// The client that a trusted proxy has named for the present request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    pub(super) client: Endpoint,
    pub(super) secure: bool,
}

/// The reason why a request has no client that may be here.
pub(super) enum Unwelcome {
    Malformed(Malformed),
    Refused(Refused),
}

/// Finds out who the client of a request is, and whether it may be here.
pub(super) fn identify<B>(connection: &Connection, request: &Request<B>) -> Result<(), Unwelcome> {
    let rules = connection.door.rules();
    let from = connection.from.client();
    connection.visitor.set(None);
    if rules.trusts_any() && rules.trusts(from.ip) {
        let named = named(&rules, request.headers()).map_err(Unwelcome::Malformed)?;
        connection.visitor.set(Some(Box::new(Visitor {
            client: named.client.map_or(from, Endpoint::from),
            secure: named.secure.unwrap_or(connection.from.secure),
        })));
    }
    rules.check(connection.client().ip).map_err(Unwelcome::Refused)
}

/// The answer to a request whose client may not be here.
pub(super) fn turn_away(connection: &Connection, why: Unwelcome) -> Response<Full<Bytes>> {
    let mut response = match why {
        Unwelcome::Malformed(malformed) => {
            connection.count_refused("forwarded_malformed");
            let message = malformed.to_string();
            answer::error(StatusCode::BAD_REQUEST, "forwarded_malformed", &message)
        }
        Unwelcome::Refused(why) => refuse(connection, why),
    };
    answer::close_after(&mut response);
    response
}

/// What a trusted proxy says about its client.
fn named(rules: &Rules, headers: &HeaderMap) -> Result<Named, Malformed> {
    let values = |name: HeaderName| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let is_trusted = |ip| rules.trusts(ip);
    let by_forwarded = match rules.forwarded_header() {
        ForwardedHeader::Auto => !headers.contains_key(X_FORWARDED_FOR),
        ForwardedHeader::XForwardedFor => false,
        ForwardedHeader::Forwarded => true,
    };
    if by_forwarded && headers.contains_key(FORWARDED) {
        return read_forwarded(values(FORWARDED), is_trusted);
    }
    if rules.forwarded_header() == ForwardedHeader::Forwarded {
        return Ok(Named::default());
    }
    Ok(read_x_forwarded(values(X_FORWARDED_FOR), values(X_FORWARDED_PROTO), is_trusted))
}

/// Whether the web page from which a request comes may use the hub. A request without an origin is
/// not from a script of another page.
pub(super) fn has_good_origin<B>(hub: &Hub, request: &Request<B>) -> bool {
    let mut sent = request.headers().get_all(ORIGIN).iter();
    let Some(origin) = sent.next() else { return true };
    match &hub.rules().origins {
        None => true,
        Some(origins) => sent.next().is_none() && origins.allow(origin.as_bytes()),
    }
}

/// The answer to a request of a web page that may not use the hub.
pub(super) fn refuse_origin<B>(
    connection: &Connection,
    hub: &Hub,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    connection.count_refused("origin_not_allowed");
    if let Some(times) = connection.door.env().directory.note("origin_not_allowed") {
        let (origin, address) = (request.headers().get(ORIGIN), connection.client().ip);
        tracing::warn!(
            hub = %hub.name, ?origin, %address, times,
            "requests refused: their origin is not in allowed_origins"
        );
    }
    if let Some(answer) = failed(connection) {
        return answer;
    }
    let message = "web pages of this origin may not connect to this hub";
    let mut response = answer::error(StatusCode::FORBIDDEN, "origin_not_allowed", message);
    if upgrade::is_asked(request) {
        answer::close_after(&mut response);
    }
    response
}

/// Counts a handshake and the session that it may open. The error is the answer to one too many.
pub(super) fn enter<B>(
    connection: &Connection,
    request: &Request<B>,
) -> Result<Option<Guest>, Answer> {
    let env = connection.door.env();
    let (rules, ip) = (connection.door.rules(), connection.client().ip);
    if request.headers().contains_key(X_FORWARDED_FOR) && !rules.trusts(ip) {
        env.gate.note_forwards(&rules, ip, env.sessions_total());
    }
    env.gate.open_session(&rules, ip).map_err(|why| {
        let mut response = refuse(connection, why);
        if upgrade::is_asked(request) {
            answer::close_after(&mut response);
        }
        Box::new(response)
    })
}

/// Counts that the present request fails by its client's own fault. `Some`: too many do, and this
/// is the answer instead of the usual one.
pub(super) fn failed(connection: &Connection) -> Option<Response<Full<Bytes>>> {
    let (rules, ip) = (connection.door.rules(), connection.client().ip);
    let why = connection.door.env().gate.fail(&rules, ip).err()?;
    let mut response = refuse(connection, why);
    answer::close_after(&mut response);
    Some(response)
}

fn refuse(connection: &Connection, why: Refused) -> Response<Full<Bytes>> {
    connection.count_refused(why.slug());
    connection.door.env().gate.note(why, connection.client().ip);
    let mut response = answer::error(why.status(), why.slug(), &why.to_string());
    if let Some(seconds) = why.retry_after_s() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
