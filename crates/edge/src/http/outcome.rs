//! Turns a shard's answers into HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use trunkline_engineio::error::HandshakeError;

use super::connection::Connection;
use super::verify::refusal;
use super::{Abort, Reply, answer, exchange, upgrade};
use crate::hub::Hub;
use crate::shard::{Answer, Refusal};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// The refusal when the shard that the sid names gave no answer because it has stopped.
pub(super) fn unknown_shard(sid: &Sid) -> Refusal {
    refusal(HandshakeError::UnknownSid, &[("sid", &sid.encode())])
}

/// Turns a shard's answer into HTTP.
pub(super) async fn finish<B>(
    connection: &Connection,
    hub: &Arc<Hub>,
    request: &Request<B>,
    answer: Answer,
) -> Reply {
    let asked: &HeaderMap = request.headers();
    Ok(match answer {
        Answer::Payload(payload) => {
            answer::payload(connection, *payload, hub.settings().http_compression, asked).await
        }
        Answer::Ok { lasting } => answer::ok(lasting.as_deref(), asked),
        Answer::Status(code) => {
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
            answer::status(code)
        }
        Answer::Relayed(response) => {
            let mut response = answer::relayed(response);
            if upgrade::is_asked(request) {
                answer::close_after(&mut response);
            }
            response
        }
        Answer::Refused(refusal) => exchange::refuse(connection, hub, request, &refusal).await,
        Answer::Unavailable(why) => unavailable(connection, why),
        Answer::Abort | Answer::Switch { .. } => return Err(Abort),
    })
}

/// A 503, counted and logged.
pub(super) fn unavailable(connection: &Connection, why: Unavailable) -> Response<Full<Bytes>> {
    connection.count_refused(why.slug());
    connection.note_full(why);
    answer::unavailable(why)
}
