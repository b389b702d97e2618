//! What the admin port answers, path by path. No I/O here: a request's method and path go in, an answer comes out.

use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use crate::respond::{self, Body};
use crate::{Cause, Source};

/// One path. The index, the answer to an unknown path and the dispatch all read this table.
struct Route {
    path: &'static str,
    about: &'static str,
    answer: fn(&dyn Source) -> Response<Body>,
}

const ROUTES: &[Route] = &[
    Route { path: "/", about: "this list", answer: index },
    Route { path: "/livez", about: "200 while the process runs", answer: live },
    Route {
        path: "/readyz",
        about: "200 when new connections are welcome, else 503 with the causes (JSON)",
        answer: ready,
    },
    Route { path: "/metrics", about: "metrics for Prometheus (OpenMetrics text)", answer: metrics },
    Route {
        path: "/api/v1/status",
        about: "the node, its hubs, app servers and sessions (JSON)",
        answer: status,
    },
];

/// Answers one request. Bodies of requests are never read.
pub(crate) fn answer(method: &Method, path: &str, source: &dyn Source) -> Response<Body> {
    let Some(route) = ROUTES.iter().find(|route| route.path == path) else {
        return unknown_path();
    };
    if method != Method::GET && method != Method::HEAD {
        return wrong_method();
    }
    (route.answer)(source)
}

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<&'a [&'static str]>,
}

fn unknown_path() -> Response<Body> {
    let paths: Vec<&'static str> = ROUTES.iter().map(|route| route.path).collect();
    respond::json(
        StatusCode::NOT_FOUND,
        &Refusal {
            error: "path_unknown",
            message: "this is the admin port; clients and app servers use the public port",
            paths: Some(&paths),
        },
    )
}

fn wrong_method() -> Response<Body> {
    let mut response = respond::json(
        StatusCode::METHOD_NOT_ALLOWED,
        &Refusal {
            error: "method_not_allowed",
            message: "only GET and HEAD are answered here",
            paths: None,
        },
    );
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn index(_: &dyn Source) -> Response<Body> {
    let mut text = String::from("Trunkline admin port\n\n");
    for route in ROUTES {
        text.push_str(&format!("{:<16} {}\n", route.path, route.about));
    }
    respond::text(StatusCode::OK, text)
}

fn live(_: &dyn Source) -> Response<Body> {
    respond::text(StatusCode::OK, "ok\n".into())
}

#[derive(Serialize)]
struct ReadyBody<'a> {
    ready: bool,
    causes: &'a [Cause],
    notes: &'a [Cause],
}

fn ready(source: &dyn Source) -> Response<Body> {
    let readiness = source.readiness();
    let ready = readiness.causes.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond::json(status, &ReadyBody { ready, causes: &readiness.causes, notes: &readiness.notes })
}

fn metrics(source: &dyn Source) -> Response<Body> {
    let mut text = String::new();
    match source.write_metrics(&mut text) {
        Ok(()) => respond::open_metrics(text),
        Err(error) => internal("metrics could not be written", &error),
    }
}

fn status(source: &dyn Source) -> Response<Body> {
    match source.status_json() {
        Ok(body) => respond::json_bytes(StatusCode::OK, body),
        Err(error) => internal("status could not be written", &error),
    }
}

fn internal(message: &'static str, error: &dyn core::error::Error) -> Response<Body> {
    tracing::error!(%error, "{message}");
    respond::json(
        StatusCode::INTERNAL_SERVER_ERROR,
        &Refusal { error: "internal", message, paths: None },
    )
}

#[cfg(test)]
mod tests {
    use core::fmt;

    use http_body_util::BodyExt;

    use super::*;
    use crate::Readiness;

    #[derive(Default)]
    struct Fake {
        readiness: Readiness,
        metrics_fail: bool,
    }

    impl Source for Fake {
        fn readiness(&self) -> Readiness {
            self.readiness.clone()
        }

        fn status_json(&self) -> Result<Vec<u8>, serde_json::Error> {
            Ok(br#"{"node":"n-1"}"#.to_vec())
        }

        fn write_metrics(&self, out: &mut String) -> fmt::Result {
            out.push_str("# EOF\n");
            if self.metrics_fail { Err(fmt::Error) } else { Ok(()) }
        }
    }

    fn call(method: Method, path: &str, source: &Fake) -> (StatusCode, String, String) {
        let response = answer(&method, path, source);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let status = response.status();
        let mut body = core::pin::pin!(response.into_body().collect());
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        let core::task::Poll::Ready(Ok(body)) = body.as_mut().poll(&mut context) else {
            panic!("a full body is ready at once");
        };
        (status, kind, String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    #[test]
    fn every_path_has_its_answer() {
        let source = Fake::default();
        let cases = [
            (Method::GET, "/livez", 200, "text/plain; charset=utf-8", "ok\n"),
            (
                Method::GET,
                "/readyz",
                200,
                "application/json",
                r#"{"ready":true,"causes":[],"notes":[]}"#,
            ),
            (
                Method::GET,
                "/metrics",
                200,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "# EOF\n",
            ),
            (Method::GET, "/api/v1/status", 200, "application/json", r#"{"node":"n-1"}"#),
            (
                Method::POST,
                "/livez",
                405,
                "application/json",
                r#"{"error":"method_not_allowed","message":"only GET and HEAD are answered here"}"#,
            ),
            (
                Method::GET,
                "/socket.io/",
                404,
                "application/json",
                concat!(
                    r#"{"error":"path_unknown","message":"this is the admin port; clients and app servers use the public port","#,
                    r#""paths":["/","/livez","/readyz","/metrics","/api/v1/status"]}"#
                ),
            ),
        ];
        for (method, path, status, kind, body) in cases {
            let got = call(method.clone(), path, &source);
            assert_eq!(got, (StatusCode::from_u16(status).unwrap(), kind.into(), body.into()));
        }
    }

    #[test]
    fn a_cause_makes_it_unready_and_a_note_does_not() {
        let cause = |code| Cause { code, message: "why".into() };
        let noted = Fake {
            readiness: Readiness { causes: vec![], notes: vec![cause("no_app_server")] },
            ..Fake::default()
        };
        let (status, _, body) = call(Method::GET, "/readyz", &noted);
        assert_eq!(status, 200);
        assert_eq!(
            body,
            r#"{"ready":true,"causes":[],"notes":[{"code":"no_app_server","message":"why"}]}"#
        );

        let draining = Fake {
            readiness: Readiness { causes: vec![cause("draining")], notes: vec![] },
            ..Fake::default()
        };
        let (status, _, body) = call(Method::GET, "/readyz", &draining);
        assert_eq!(status, 503);
        assert_eq!(
            body,
            r#"{"ready":false,"causes":[{"code":"draining","message":"why"}],"notes":[]}"#
        );
    }

    #[test]
    fn the_index_names_every_path() {
        let (_, _, body) = call(Method::GET, "/", &Fake::default());
        for route in ROUTES {
            assert!(body.contains(route.path) && body.contains(route.about), "{}", route.path);
        }
    }

    #[test]
    fn metrics_that_fail_are_an_error_and_never_half_a_page() {
        let (status, _, body) =
            call(Method::GET, "/metrics", &Fake { metrics_fail: true, ..Fake::default() });
        assert_eq!(status, 500);
        assert!(!body.contains("EOF"), "{body}");
    }
}
