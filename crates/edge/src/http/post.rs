//! A POST of a polling session: packets from the client.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderMap};
use hyper::{Request, StatusCode};
use trunkline_engineio::Protocol;
use trunkline_http::body::{self, BodyError, Bounds, Peeked};

use super::connection::Connection;
use super::guard::Guard;
use super::{Abort, Reply, answer, exchange, outcome, rest};
use crate::door::Site;
use crate::hub::Hub;
use crate::memory::HELD_BYTES_BEYOND_CEILING;
use crate::reply;
use crate::shard::{
    Answer, Asked, Command, POST_BROKEN, POST_SLOW, POST_TOO_LARGE, POST_TOO_MANY_CHUNKS,
    PostBegun, PostBounds, WholePost,
};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// The longest body that is sent to another node together with its head.
const WHOLE_BYTES_MAX: usize = 16 * 1024;
/// The counted cause of a refusal.
const TOO_LARGE: &str = "payload_too_large";

/// Reads the body of a polling session's POST, within the shard's limits, and answers it.
pub(super) async fn post(
    connection: &Connection,
    hub: &Arc<Hub>,
    sid: Sid,
    protocol: Protocol,
    request: Request<Incoming>,
) -> Reply {
    let asked = Asked { sid, protocol, hub: hub.number };
    let site = connection.door.site_of(&asked).await;
    let mut request = request.map(Peeked::new);
    if site == Site::Elsewhere
        && !request.headers().contains_key(EXPECT)
        && let Some(body) = request.body_mut().all_at_once(WHOLE_BYTES_MAX).await
    {
        return post_whole(connection, hub, (asked, body), request).await;
    }
    let (reply, begun) = reply::pair();
    connection.door.tell(site, Command::PostBegin { asked, reply }).await;
    let begun = begun.await.unwrap_or_else(|_| PostBegun::Refused(outcome::unknown_shard(&sid)));
    let (key, bounds, jsonp, cut) = match begun {
        PostBegun::Wanted { key, bounds, jsonp, cut } => {
            connection.prove_by_session();
            (key, bounds, jsonp, cut)
        }
        PostBegun::Refused(refusal) => {
            return Ok(exchange::refuse(connection, hub, &request, &refusal).await);
        }
        PostBegun::Status(code) => {
            return outcome::finish(connection, hub, &request, Answer::Status(code)).await;
        }
        PostBegun::Unavailable(why) => return Ok(outcome::unavailable(connection, why)),
    };
    let gone = Command::PostGone { key, fault: Some(POST_BROKEN) };
    let guard = Guard::new(&connection.door, key.site(), gone);
    let rests = rest::may_come_after(connection, &request);
    let (parts, body) = request.into_parts();
    let binary = is_binary(&parts.headers);
    let body = tokio::select! {
        body = read_body(connection, body, bounds) => body,
        // Cut off: the session has ended, or this request overlapped with another.
        _ = cut => Err(BodyError::Broken),
    };
    let body = match body {
        Ok(body) => body,
        Err(BodyError::Broken) => return Err(Abort),
        Err(BodyError::MemoryFull) => {
            return Ok(outcome::unavailable(connection, Unavailable::MemoryFull));
        }
        Err(error @ (BodyError::Slow | BodyError::TooLarge | BodyError::TooManyChunks)) => {
            guard.disarm();
            let (status, cause, fault) = refused_body(error);
            connection.count_refused(cause);
            let gone = Command::PostGone { key, fault: Some(fault) };
            connection.door.tell(key.site(), gone).await;
            return Ok(answer::status(status));
        }
    };
    guard.disarm();
    let body = if jsonp {
        // A form without the field carries no packets; the post still succeeds.
        super::jsonp::payload_of_form(&body)
    } else {
        Some(body)
    };
    let Some(body) = body else {
        let gone = Command::PostGone { key, fault: None };
        connection.door.tell(key.site(), gone).await;
        return Ok(answer::ok(None, &parts.headers));
    };
    let (reply, answer) = reply::pair();
    connection.door.tell(key.site(), Command::PostBody { key, binary, body, reply }).await;
    let answer = answer.await.unwrap_or(Answer::Abort);
    let reply = outcome::finish(connection, hub, &Request::from_parts(parts, ()), answer).await;
    // The body was read to its end, so the next bytes on the stream are another request.
    connection.answered.set(rests);
    reply
}

/// Sends a POST with its body to the node that has the session, and answers it.
async fn post_whole<B: Body>(
    connection: &Connection,
    hub: &Arc<Hub>,
    (asked, body): (Asked, Bytes),
    request: Request<B>,
) -> Reply {
    let binary = is_binary(request.headers());
    let rests = rest::may_come_after(connection, &request);
    let (reply, answer) = reply::pair();
    let post = Box::new(WholePost { asked, binary, body, reply });
    connection.door.tell(Site::Elsewhere, Command::Post(post)).await;
    let answer = answer.await.unwrap_or(Answer::Abort);
    match &answer {
        Answer::Refused(_) | Answer::Unavailable(_) => {}
        Answer::Status(413) => connection.count_refused(TOO_LARGE),
        Answer::Payload(_)
        | Answer::Ok { .. }
        | Answer::Status(_)
        | Answer::Relayed(_)
        | Answer::Switch { .. }
        | Answer::Abort => connection.prove_by_session(),
    }
    let reply = outcome::finish(connection, hub, &request, answer).await;
    connection.answered.set(rests);
    reply
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|v| v == "application/octet-stream")
}

/// The answer, the counted cause, and Engine.IO's description of the session's end.
fn refused_body(error: BodyError) -> (StatusCode, &'static str, &'static str) {
    match error {
        BodyError::Slow => (StatusCode::REQUEST_TIMEOUT, "body_timeout", POST_SLOW),
        BodyError::TooManyChunks => {
            (StatusCode::PAYLOAD_TOO_LARGE, "payload_in_pieces", POST_TOO_MANY_CHUNKS)
        }
        BodyError::Broken | BodyError::MemoryFull | BodyError::TooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE, POST_TOO_LARGE)
        }
    }
}

async fn read_body(
    connection: &Connection,
    body: Peeked<Incoming>,
    bounds: PostBounds,
) -> Result<Bytes, BodyError> {
    let env = connection.door.env();
    let PostBounds { bytes_max, chunks_max, timeout } = bounds;
    let bounds = Bounds {
        bytes_max,
        chunks_max,
        timeout,
        full_bytes_max: HELD_BYTES_BEYOND_CEILING,
        is_full: &|| env.memory.is_full(&env.metrics),
    };
    body::read(body, &bounds).await
}
