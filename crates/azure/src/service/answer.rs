//! Answers over HTTP.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, channel::Channel};
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::Body;
use crate::rest::Answer;

/// Parts of an answer on their way to the stream; further parts wait in the hub's queue.
const PARTS_MAX: usize = 16;

/// A whole answer.
pub(super) fn whole(answer: Answer) -> Response<Body> {
    let body = Full::new(answer.body.clone()).boxed();
    with_head(&answer, body)
}

/// An answer in parts; the first part is known.
pub(super) fn streamed(first: Answer, mut rest: Receiver<Answer>) -> Response<Body> {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(PARTS_MAX);
    let response = with_head(&first, body.boxed());
    tokio::spawn(async move {
        let mut part = Some(first);
        while let Some(answer) = part {
            let sent =
                answer.body.is_empty() || sender.send(Frame::data(answer.body)).await.is_ok();
            if !sent || !answer.more {
                return;
            }
            part = rest.recv().await;
        }
    });
    response
}

fn with_head(answer: &Answer, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// An error outside of the data plane.
pub(super) fn error(status: StatusCode, slug: &str, message: &str) -> Response<Body> {
    let body = json!({ "error": slug, "message": message });
    whole(Answer::json(status.as_u16(), &body))
}

/// Replaces the machine's place of the next page by the URL of the next page.
pub(super) fn with_next_page(answer: Answer, link: impl FnOnce(&str) -> String) -> Answer {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return answer };
    let place = match body.get("nextLink") {
        Some(Value::Number(skip)) => skip.to_string(),
        Some(Value::String(place)) => place.clone(),
        Some(_) | None => return answer,
    };
    body["nextLink"] = link(&place).into();
    Answer::json(answer.status, &body)
}
