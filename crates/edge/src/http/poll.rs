//! The GET of a polling session: answered at once, or held until the session has packets to send.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use trunkline_engineio::Protocol;

use super::compact::CompactHead;
use super::connection::Connection;
use super::guard::PollGuard;
use super::held::{Added, HeldPoll};
use super::{Reply, answer, exchange, outcome, rest};
use crate::hub::Hub;
use crate::reply::{self, TryRecvError};
use crate::shard::{Answer, Asked, Command};
use crate::sid::Sid;

/// Answers the GET of a polling session, or lets the connection rest until the shard has an answer.
pub(super) async fn poll(
    connection: &Rc<Connection>,
    hub: Arc<Hub>,
    sid: Sid,
    protocol: Protocol,
    request: Request<Incoming>,
    added: Added,
) -> Reply {
    let (reply, mut answer) = reply::pair();
    let poll = connection.door.poll_number();
    let asked = Asked { sid, protocol, hub: hub.number };
    let site = connection.door.site_of(&asked).await;
    connection.door.tell(site, Command::Poll { asked, poll, reply }).await;
    let guard = PollGuard::new(&connection.door, (site, sid), poll);
    let rests = rest::may_come_after(connection, &request);
    let at_once = match answer.try_recv() {
        Ok(answer) => Some(answer),
        // The shard has stopped. A receiver that has returned `Closed` must not be polled again.
        Err(TryRecvError::Closed) => Some(Answer::Refused(outcome::unknown_shard(&sid))),
        Err(TryRecvError::Empty) => None,
    };
    if let Some(answer) = at_once {
        let reply = outcome::finish(connection, &hub, &request, answer).await;
        guard.disarm();
        connection.answered.set(rests);
        return exchange::with(&added, reply);
    }
    connection.prove_by_session();
    // The poll may wait for long. So only a small part of it waits, and hyper can reuse the buffer
    // of the request.
    let head = CompactHead::of(&request);
    drop(request);
    let held = HeldPoll { hub, head, answer, guard, added };
    if rests {
        connection.held.set(Some(Box::new(held)));
        // The connection's task continues from here and drops this future together with hyper's
        // state.
        return std::future::pending().await;
    }
    let mut held = Box::new(held);
    let answer = (&mut held.answer).await;
    reply_to(*held, answer.ok(), connection).await
}

/// Builds the HTTP answer to a poll that has waited. `None`: the shard has stopped.
pub(super) async fn reply_to(
    held: HeldPoll,
    answer: Option<Answer>,
    connection: &Connection,
) -> Reply {
    let HeldPoll { hub, head, guard, added, .. } = held;
    let answer = answer.unwrap_or_else(|| Answer::Refused(outcome::unknown_shard(&guard.sid)));
    // Only an app server that is asked about a refusal sees the complete request.
    let all = matches!(answer, Answer::Refused(_));
    let looked_at =
        |name: &[u8]| answer::LOOKED_AT.iter().any(|known| known.as_str().as_bytes() == name);
    let request = head.request(|name| all || looked_at(name));
    let reply = outcome::finish(connection, &hub, &request, answer).await;
    guard.disarm();
    exchange::with(&added, reply)
}
