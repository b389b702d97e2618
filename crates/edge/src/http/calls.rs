//! Calls about clients' tokens over HTTP, for app servers in any language: `POST /trunk/v1/calls/NAME`
//! with a bearer token like that of a trunk, and the arguments as JSON.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use trunkline_http::body::{self, Bounds};

use super::connection::Connection;
use super::{answer, visitor};
use crate::calls::{self, ARGUMENTS_BYTES_MAX, Caller};
use crate::trunks;

/// The beginning of the paths of calls.
pub(super) const CALLS_PREFIX: &str = "/trunk/v1/calls/";

const ARGUMENTS_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers a call.
pub(super) async fn handle(
    connection: &Rc<Connection>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let env = connection.door.env();
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let hub = match trunks::authorise(&env.directory, authorization) {
        Ok((hub, _)) => hub,
        Err(refused) => {
            connection.count_refused("call_unauthorized");
            if refused.status().is_client_error()
                && let Some(answer) = visitor::failed(connection)
            {
                return answer;
            }
            return answer::error(refused.status(), refused.slug(), &refused.to_string());
        }
    };
    if request.method() != Method::POST {
        let message = "calls are made with POST";
        return answer::error(StatusCode::METHOD_NOT_ALLOWED, "method", message);
    }
    let (parts, body) = request.into_parts();
    let bounds = Bounds {
        bytes_max: ARGUMENTS_BYTES_MAX,
        chunks_max: usize::MAX,
        timeout: ARGUMENTS_TIMEOUT,
        full_bytes_max: ARGUMENTS_BYTES_MAX,
        is_full: &|| false,
    };
    let arguments = match body::read(body, &bounds).await {
        Ok(arguments) => arguments,
        Err(error) => {
            return answer::error(StatusCode::BAD_REQUEST, "arguments", &error.to_string());
        }
    };
    let name = parts.uri.path().strip_prefix(CALLS_PREFIX).unwrap_or_default();
    let called = calls::call(&connection.door, &hub, Caller::Http, (name, &arguments)).await;
    let (status, body) = match called {
        Ok(answer) => (StatusCode::OK, answer),
        Err(why) => {
            let status = StatusCode::from_u16(why.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, why.to_json())
        }
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
