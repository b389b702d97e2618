//! A GET of a polling session: answered at once, or held until there is something to say.

use std::rc::Rc;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use trunkline_engineio::Protocol;

use super::exchange::Added;
use super::guard::Guard;
use super::{Connection, Reply, compact, engine, exchange, rest};
use crate::hub::Hub;
use crate::shard::{Answer, Asked, Command};
use crate::sid::Sid;

/// A poll that waits: small, and nothing of hyper's in it.
#[derive(Debug)]
pub(super) struct HeldPoll {
    hub: Arc<Hub>,
    sid: Sid,
    request: Request<()>,
    answer: oneshot::Receiver<Answer>,
    guard: Guard,
    added: Added,
}

pub(super) async fn poll(
    connection: &Rc<Connection>,
    hub: Arc<Hub>,
    sid: Sid,
    protocol: Protocol,
    request: Request<Incoming>,
    added: Added,
) -> Reply {
    let (reply, mut answer) = oneshot::channel();
    let poll = connection.door.poll_number();
    let asked = Asked { sid, protocol, hub: hub.number };
    connection.door.tell(sid.shard, Command::Poll { asked, poll, reply }).await;
    let guard = Guard::new(&connection.door, sid.shard, Command::PollGone { sid, poll });
    let rests = rest::may_come_after(connection, &request);
    let at_once = match answer.try_recv() {
        Ok(answer) => Some(answer),
        // The shard has stopped. A receiver that has said so must not be asked again.
        Err(TryRecvError::Closed) => Some(Answer::Refused(engine::unknown_shard(&sid))),
        Err(TryRecvError::Empty) => None,
    };
    if let Some(answer) = at_once {
        let reply = engine::finish(connection, &hub, &request, answer).await;
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
    held.reply(connection).await
}

impl HeldPoll {
    /// Waits for the answer.
    pub(super) async fn reply(mut self, connection: &Connection) -> Reply {
        let answer = (&mut self.answer).await;
        let Self { hub, sid, request, guard, added, .. } = self;
        let answer = answer.unwrap_or_else(|_| Answer::Refused(engine::unknown_shard(&sid)));
        // An answer may be long in the making, and its client go away meanwhile. In a box, so that a poll that waits
        // has no room for it.
        let reply = Box::pin(engine::finish(connection, &hub, &request, answer)).await;
        guard.disarm();
        exchange::with(&added, reply)
    }
}
