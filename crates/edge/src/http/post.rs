//! A POST of a polling session: packets from the client.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use trunkline_engineio::Protocol;
use trunkline_http::body::{self, BodyError, Bounds};

use super::connection::Connection;
use super::guard::Guard;
use super::{Abort, Reply, answer, exchange, outcome, rest};
use crate::hub::Hub;
use crate::memory::HELD_BYTES_BEYOND_CEILING;
use crate::reply;
use crate::shard::{
    Answer, Asked, Command, POST_BROKEN, POST_SLOW, POST_TOO_LARGE, POST_TOO_MANY_CHUNKS,
    PostBegun, PostBounds,
};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// Reads the body of a polling session's POST, within the shard's limits, and answers it.
pub(super) async fn post(
    connection: &Connection,
    hub: &Arc<Hub>,
    sid: Sid,
    protocol: Protocol,
    request: Request<Incoming>,
) -> Reply {
    let asked = Asked { sid, protocol, hub: hub.number };
    let (reply, begun) = reply::pair();
    let site = connection.door.site_of(&asked).await;
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
    let binary = parts.headers.get(CONTENT_TYPE).is_some_and(|v| v == "application/octet-stream");
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

/// The answer, the counted cause, and Engine.IO's description of the session's end.
fn refused_body(error: BodyError) -> (StatusCode, &'static str, &'static str) {
    match error {
        BodyError::Slow => (StatusCode::REQUEST_TIMEOUT, "body_timeout", POST_SLOW),
        BodyError::TooManyChunks => {
            (StatusCode::PAYLOAD_TOO_LARGE, "payload_in_pieces", POST_TOO_MANY_CHUNKS)
        }
        BodyError::Broken | BodyError::MemoryFull | BodyError::TooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", POST_TOO_LARGE)
        }
    }
}

async fn read_body(
    connection: &Connection,
    body: Incoming,
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
