//! A GET of a polling session: answered at once, or held until there is something to say.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use trunkline_engineio::Protocol;

use super::connection::Connection;
use super::guard::Guard;
use super::held::{Added, HeldPoll};
use super::{Reply, compact, exchange, outcome, rest};
use crate::hub::Hub;
use crate::reply::{self, TryRecvError};
use crate::shard::{Answer, Asked, Command};
use crate::sid::Sid;

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
    connection.door.tell(sid.shard, Command::Poll { asked, poll, reply }).await;
    let guard = Guard::new(&connection.door, sid.shard, Command::PollGone { sid, poll });
    let rests = rest::may_come_after(connection, &request);
    let at_once = match answer.try_recv() {
        Ok(answer) => Some(answer),
        // The shard has stopped. A receiver that has said so must not be asked again.
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
    // It may wait for long: what waits is small, and the buffer that the request came in is hyper's again.
    let request = compact::copy_of(request);
    let held = HeldPoll { hub, sid, request, answer, guard, added };
    if rests {
        connection.held.set(Some(Box::new(held)));
        // The connection's task takes it from there and drops this future with all of hyper's.
        return std::future::pending().await;
    }
    reply_to(held, connection).await
}

/// Waits for the answer to a poll.
pub(super) async fn reply_to(mut held: HeldPoll, connection: &Connection) -> Reply {
    let answer = (&mut held.answer).await;
    let HeldPoll { hub, sid, request, guard, added, .. } = held;
    let answer = answer.unwrap_or_else(|_| Answer::Refused(outcome::unknown_shard(&sid)));
    // An answer may be long in the making, and its client go away meanwhile. In a box, so that a poll that waits
    // has no room for it.
    let reply = Box::pin(outcome::finish(connection, &hub, &request, answer)).await;
    guard.disarm();
    exchange::with(&added, reply)
}
