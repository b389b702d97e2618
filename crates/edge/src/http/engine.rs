//! Engine.IO over HTTP: npm's checks, then handshake, poll, post or upgrade.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use trunkline_engineio::{HandshakeError, TransportKind};

use super::connection::Connection;
use super::held::Added;
use super::opening::{Handshake, dismiss, open_polling, open_websocket, probe};
use super::outcome::unavailable;
use super::query::Query;
use super::verify::{Wanted, verify};
use super::{Reply, answer, clients, exchange, poll, post, visitor};
use crate::hub::Hub;
use crate::reply;
use crate::shard::{Answer, Asked, Command, Inspected};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// One request under a hub's path.
pub(super) async fn handle(
    connection: Rc<Connection>,
    hub: Arc<Hub>,
    request: Request<Incoming>,
) -> Reply {
    // Requests and WebSockets alike, and before the app is asked.
    if !visitor::has_good_origin(&hub, &request) {
        return Ok(visitor::refuse_origin(&connection, &hub, &request));
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    if request.method() == Method::OPTIONS {
        connection.door.env().metrics.count_idle("preflight", 1);
        let sid = connection.door.find_sid(&hub, &query.sid).await;
        let owner = inspected(&connection, &hub, &query, sid.unwrap_or_default()).await;
        let owner = owner.and_then(Result::ok).and_then(|inspected| inspected.owner);
        return Ok(exchange::preflight(&connection, &hub, owner, &request).await);
    }
    let sid = connection.door.find_sid(&hub, &query.sid).await;
    let (sid, unsure) = match sid {
        Ok(sid) => (sid, None),
        Err(why) => (None, Some(why)),
    };
    let asked = match verify(&hub, (&query, sid), &request) {
        Ok(asked) => asked,
        Err(refusal) => match unsure.filter(|_| refusal.error == HandshakeError::UnknownSid) {
            Some(why) => return Ok(unavailable(&connection, why)),
            None => return Ok(exchange::refuse(&connection, &hub, &request, &refusal).await),
        },
    };
    if connection.beyond_max.is_some() && asked.takes_stream() {
        connection.count_handshake(Unavailable::StreamsFull);
        hub.note_refused(Unavailable::StreamsFull);
        return Ok(unavailable(&connection, Unavailable::StreamsFull));
    }
    let added = match asked.of_session() {
        Some(transport) if hub.settings().every_request => {
            match about(&connection, &hub, (&query, sid), &request, transport).await {
                Ok(added) => added,
                Err(answer) => return Ok(*answer),
            }
        }
        Some(_) | None => None,
    };
    match asked {
        Wanted::Handshake(transport, protocol) => {
            let guest = match visitor::enter(&connection, &request) {
                Ok(guest) => guest,
                Err(answer) => return Ok(*answer),
            };
            let admitted = match clients::admit(&connection, &hub, &query, &request).await {
                Ok(admitted) => admitted,
                Err(refused) => return clients::refuse(&connection, &request, refused),
            };
            let client = Handshake { protocol, query: &query, admitted, guest };
            match transport {
                TransportKind::Polling => open_polling(&connection, &hub, client, request).await,
                TransportKind::WebSocket => {
                    open_websocket(&connection, &hub, client, request).await
                }
            }
        }
        Wanted::Upgrade(sid, protocol) => {
            let client = (protocol, query.base64_only);
            probe(&connection, &hub, (sid, &query.sid), client, request, added).await
        }
        Wanted::Poll(sid, protocol) => {
            poll::poll(&connection, hub, sid, protocol, request, added).await
        }
        Wanted::Post(sid, protocol) => {
            let reply = post::post(&connection, &hub, sid, protocol, request).await;
            exchange::with(&added, reply)
        }
        Wanted::Useless => dismiss(&connection, request),
        Wanted::Other => Ok(answer::status(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// What is known of the session that the query names.
async fn inspected(
    connection: &Connection,
    hub: &Hub,
    query: &Query,
    sid: Option<Sid>,
) -> Option<Result<Inspected, Answer>> {
    let sid = sid?;
    let asked = Asked { sid, protocol: query.protocol(), hub: hub.number };
    let (reply, found) = reply::pair();
    let site = connection.door.site_of(&asked).await;
    connection.door.tell(site, Command::Inspect { asked, reply }).await;
    found.await.ok()
}

/// Asks the session's app server about the request, if it wants to be asked. An unknown session is
/// refused later, with Engine.IO's error; no other request passes that it should have seen.
async fn about(
    connection: &Connection,
    hub: &Hub,
    (query, sid): (&Query, Option<Sid>),
    request: &Request<Incoming>,
    transport: TransportKind,
) -> Result<Added, Box<Response<Full<Bytes>>>> {
    let found = match inspected(connection, hub, query, sid).await {
        None => return Ok(None),
        Some(Ok(found)) => found,
        Some(Err(Answer::Unavailable(why))) => {
            return Err(Box::new(unavailable(connection, why)));
        }
        Some(Err(_)) => return Ok(None),
    };
    match found.owner {
        Some(owner) if owner.settings.every_request => {
            exchange::ask_owner(connection, &owner, request, transport).await
        }
        None if found.key.elsewhere && found.has_owner => {
            Err(Box::new(unavailable(connection, Unavailable::CannotAsk)))
        }
        Some(_) | None => Ok(None),
    }
}
