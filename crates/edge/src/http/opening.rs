//! Requests that open something: a session that polls, a session on a WebSocket, or a WebSocket for
//! a session that polls.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::task::spawn_local;
use trunkline_engineio::{Protocol, TransportKind};
use trunkline_token::TextMark;
use trunkline_trunk::ClientRequest;

use super::clients::Admitted;
use super::connection::Connection;
use super::guard::HandshakeGuard;
use super::held::Added;
use super::query::Query;
use super::{Reply, answer, exchange, outcome, upgrade, visitor};
use crate::gate::Guest;
use crate::hub::{Hub, TrunkNumber};
use crate::reply;
use crate::shard::{
    Answer, Asked, Command, ForeignStream, Inspected, OpenRequest, SlotKey, TokenCommand,
};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// The client's part of a handshake.
pub(super) struct Handshake<'a> {
    pub(super) protocol: Protocol,
    pub(super) query: &'a Query,
    /// What its token says.
    pub(super) admitted: Admitted,
    /// The session in the count of its address.
    pub(super) guest: Option<Guest>,
}

async fn open<B>(
    connection: &Connection,
    hub: &Arc<Hub>,
    transport: TransportKind,
    client: Handshake<'_>,
    request: &Request<B>,
) -> Answer {
    let Handshake { protocol, query, admitted: Admitted { claims, token }, guest } = client;
    let user = token.user.filter(|_| token.place.is_some());
    let (reply, answer) = reply::pair();
    let poll = connection.door.poll_number();
    let opening = connection.door.open(OpenRequest {
        hub: Arc::clone(hub),
        protocol,
        transport,
        base64_only: query.base64_only,
        jsonp: query.jsonp.as_deref().map(Box::from),
        request: ClientRequest {
            claims,
            ..exchange::client_request(connection, request, transport)
        },
        token,
        guest,
        poll,
        reply,
    });
    let guard = opening.map(|key| HandshakeGuard::new(&connection.door, key, poll));
    let answer = answer.await.unwrap_or(Answer::Abort);
    if let Some(guard) = guard {
        guard.disarm();
    }
    if let (Answer::Payload(_) | Answer::Switch { .. }, Some(user)) = (&answer, user) {
        close_others(connection, hub, user);
    }
    answer
}

/// Closes the oldest sessions of a user who has one more than it may have.
fn close_others(connection: &Connection, hub: &Hub, user: TextMark) {
    let limit = hub.rules().user_sessions;
    if limit.max == 0 || limit.refuses {
        return;
    }
    for key in hub.beyond(user, limit.max) {
        let close = Command::Token(Box::new(TokenCommand::Close(key)));
        connection.door.tell_later(key.shard, close);
    }
}

/// Opens a session that polls: answers the handshake.
pub(super) async fn open_polling(
    connection: &Connection,
    hub: &Arc<Hub>,
    client: Handshake<'_>,
    request: Request<Incoming>,
) -> Reply {
    let answer = open(connection, hub, TransportKind::Polling, client, &request).await;
    outcome::finish(connection, hub, &request, answer).await
}

/// The end of a handshake on a WebSocket.
pub(super) enum Opened {
    /// The stream becomes the session's WebSocket after this answer, whose first frame is `first`.
    Switch { key: SlotKey, answer: Response<Full<Bytes>>, first: Bytes, deflate_window: Option<u8> },
    /// There is no session; the stream continues with HTTP.
    Answered(Reply),
}

/// Opens a session on a WebSocket, up to its answer.
pub(super) async fn open_on_stream<B>(
    connection: &Connection,
    hub: &Arc<Hub>,
    client: Handshake<'_>,
    request: &Request<B>,
) -> Opened {
    let (websocket_key, agreement) = match agree(hub, request) {
        Ok(agreed) => agreed,
        Err(why) => {
            connection.count_refused("bad_websocket_handshake");
            let refused = visitor::failed(connection).unwrap_or_else(|| upgrade::refused(why));
            return Opened::Answered(Ok(refused));
        }
    };
    let answer = open(connection, hub, TransportKind::WebSocket, client, request).await;
    match answer {
        Answer::Switch { key, headers, first } => {
            let deflate_window = agreement.deflate_window();
            let answer = upgrade::switching(&websocket_key, agreement, headers);
            Opened::Switch { key, answer, first, deflate_window }
        }
        Answer::Payload(_)
        | Answer::Ok { .. }
        | Answer::Status(_)
        | Answer::Relayed(_)
        | Answer::Refused(_)
        | Answer::Unavailable(_)
        | Answer::Abort => {
            Opened::Answered(outcome::finish(connection, hub, request, answer).await)
        }
    }
}

/// Opens a session on a WebSocket: accepts the stream and gives it to the shard.
pub(super) async fn open_websocket(
    connection: &Rc<Connection>,
    hub: &Arc<Hub>,
    client: Handshake<'_>,
    mut request: Request<Incoming>,
) -> Reply {
    match open_on_stream(connection, hub, client, &request).await {
        Opened::Switch { key, answer, first, deflate_window } => {
            if let Some(io) = connection.io.take() {
                io.set_tail(first);
            }
            adopt(connection, &mut request, key, (Adoption::Session, deflate_window));
            Ok(answer)
        }
        Opened::Answered(reply) => reply,
    }
}

fn agree<B>(
    hub: &Hub,
    request: &Request<B>,
) -> Result<(String, upgrade::Agreement), upgrade::BadHandshake> {
    let key = upgrade::websocket_key(request)?;
    let settings = hub.settings();
    let agreement = upgrade::Agreement::reach(request, settings.per_message_deflate.as_ref())?;
    Ok((key, agreement))
}

/// Accepts a WebSocket for a session that polls.
pub(super) async fn probe(
    connection: &Rc<Connection>,
    hub: &Arc<Hub>,
    (sid, sid_text): (Sid, &str),
    (protocol, base64_only): (Protocol, bool),
    mut request: Request<Incoming>,
    added: Added,
) -> Reply {
    let asked = Asked { sid, protocol, hub: hub.number };
    let (reply, found) = reply::pair();
    let site = connection.door.site_of(&asked).await;
    connection.door.tell(site, Command::Inspect { asked, reply }).await;
    let found = found.await.unwrap_or_else(|_| Err(Answer::Refused(outcome::unknown_shard(&sid))));
    let Inspected { key, movable, owner, .. } = match found {
        Ok(found) => found,
        Err(answer) => return outcome::finish(connection, hub, &request, answer).await,
    };
    let owner = owner.filter(|owner| movable && owner.own.moves && hub.may_begin_to_move());
    if key.elsewhere && owner.is_none() {
        let mut response = outcome::unavailable(connection, Unavailable::CannotMove);
        answer::close_after(&mut response);
        return Ok(response);
    }
    let (websocket_key, agreement) = match agree(hub, &request) {
        Ok(agreed) => agreed,
        Err(why) => {
            connection.count_refused("bad_websocket_handshake");
            return Ok(upgrade::refused(why));
        }
    };
    let adoption = match owner.filter(|_| key.elsewhere) {
        Some(owner) => Adoption::Foreign(Box::new(Foreign {
            asked,
            sid_text: sid_text.into(),
            trunk: owner.number,
            base64_only,
        })),
        None => Adoption::Probe { base64_only },
    };
    let adoption = (adoption, agreement.deflate_window());
    adopt(connection, &mut request, key, adoption);
    Ok(upgrade::switching(&websocket_key, agreement, added.into_iter().flatten()))
}

/// Accepts a WebSocket that no session can use, to close it at once.
pub(super) fn dismiss(connection: &Rc<Connection>, mut request: Request<Incoming>) -> Reply {
    connection.count_refused("websocket_for_polling");
    match upgrade::websocket_key(&request) {
        Ok(key) => {
            let shard = connection.door.own();
            let nobody = SlotKey::here(shard, u32::MAX, 0);
            let adoption = (Adoption::Probe { base64_only: false }, None);
            adopt(connection, &mut request, nobody, adoption);
            Ok(upgrade::switching(&key, upgrade::Agreement::default(), Vec::new()))
        }
        Err(why) => Ok(upgrade::refused(why)),
    }
}

enum Adoption {
    Session,
    Probe {
        base64_only: bool,
    },
    /// For a session of another node.
    Foreign(Box<Foreign>),
}

/// What this node's shard has to know of a session that another node has.
struct Foreign {
    asked: Asked,
    sid_text: Box<str>,
    trunk: TrunkNumber,
    base64_only: bool,
}

/// Gives the stream to its shard once the `101` is sent; then this connection's task ends.
fn adopt(
    connection: &Rc<Connection>,
    request: &mut Request<Incoming>,
    key: SlotKey,
    (adoption, deflate_window): (Adoption, Option<u8>),
) {
    let upgraded = hyper::upgrade::on(request);
    let connection = Rc::clone(connection);
    spawn_local(async move {
        let taken = upgrade::take_stream(upgraded, &connection, deflate_window).await;
        let command = match (taken, adoption) {
            (Some(stream), Adoption::Session) => Command::Adopt { key, stream },
            (Some(stream), Adoption::Probe { base64_only }) => {
                Command::Probe { key, base64_only, stream }
            }
            (Some(stream), Adoption::Foreign(foreign)) => {
                let Foreign { asked, sid_text, trunk, base64_only } = *foreign;
                let client = connection.client().ip;
                let foreign = ForeignStream { asked, sid_text, trunk, base64_only, client, stream };
                let command = Command::ForeignProbe(Box::new(foreign));
                return connection.door.tell(connection.door.own(), command).await;
            }
            (None, Adoption::Session) => Command::HandshakeGone { key, poll: 0 },
            (None, Adoption::Probe { .. } | Adoption::Foreign(_)) => return,
        };
        connection.door.tell(key.shard, command).await;
    });
}
