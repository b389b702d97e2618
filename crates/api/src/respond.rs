//! Answers, with the headers that they share.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::exposition::Format;

pub(crate) type Body = Full<Bytes>;

pub(crate) fn text(status: StatusCode, body: String) -> Response<Body> {
    with_kind(status, "text/plain; charset=utf-8", body.into())
}

pub(crate) fn metrics(format: Format, body: String) -> Response<Body> {
    let mut response = with_kind(StatusCode::OK, format.content_type(), body.into());
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(body).expect("our own answers have string keys and no maps");
    json_bytes(status, body)
}

pub(crate) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    with_kind(status, "application/json", body.into())
}

fn with_kind(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Health, metrics and status change at any time, so they must not be cached.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
