//! The answers of the admin port, path by path. No I/O here: a request's method and path go in, an
//! answer comes out.

use hyper::header::{ACCEPT, ALLOW, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use serde::Serialize;

use crate::exposition::{Format, to_text};
use crate::respond::{self, Body};
use crate::{Cause, Refused, Source};

/// One path. The index, the answer to an unknown path and the dispatch all use this table.
struct Route {
    path: &'static str,
    about: &'static str,
    answer: Handler,
}

/// How the answer of a path is made.
enum Handler {
    /// The function answers at once.
    Now(fn(&dyn Source, &HeaderMap) -> Response<Body>),
    /// The answer needs a response from the threads that serve clients.
    Alive,
    /// The answer takes as long as is counted.
    Talkers,
}

const ROUTES: &[Route] = &[
    Route { path: "/", about: "this list", answer: Handler::Now(index) },
    Route {
        path: "/livez",
        about: "200 while every shard answers, else 503 with the causes (JSON)",
        answer: Handler::Alive,
    },
    Route {
        path: "/readyz",
        about: "200 when new connections are welcome, else 503 with the causes (JSON)",
        answer: Handler::Now(ready),
    },
    Route {
        path: "/metrics",
        about: "metrics for Prometheus (OpenMetrics or text format 0.0.4, as asked)",
        answer: Handler::Now(metrics),
    },
    Route {
        path: "/api/v1/status",
        about: "the node, its hubs, app servers and sessions (JSON)",
        answer: Handler::Now(status),
    },
    Route {
        path: "/api/v1/cluster",
        about: "the nodes of the cluster, as this node sees them (JSON)",
        answer: Handler::Now(cluster),
    },
    Route {
        path: "/api/v1/talkers",
        about: "who sends most: ?by=bytes|messages|handshakes|failures&for=10s&hub=NAME&rows=20 (JSON)",
        answer: Handler::Talkers,
    },
];

/// Answers one request. Bodies of requests are never read.
pub(crate) async fn answer<B>(request: &Request<B>, source: &dyn Source) -> Response<Body> {
    // As on the public port, and as RFC 9112 (section 3.2) asks.
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 || hosts == 0 && request.version() >= Version::HTTP_11 {
        return wrong_host();
    }
    let Some(route) = ROUTES.iter().find(|route| route.path == request.uri().path()) else {
        return unknown_path();
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return wrong_method();
    }
    match route.answer {
        Handler::Now(answer) => answer(source, request.headers()),
        Handler::Alive => live(&source.liveness().await),
        Handler::Talkers => talkers(source.talkers(request.uri().query().unwrap_or("")).await),
    }
}

fn talkers(answer: Result<Vec<u8>, Refused>) -> Response<Body> {
    match answer {
        Ok(body) => respond::json_bytes(StatusCode::OK, body),
        Err(Refused { status, error, message }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            respond::json(status, &QuestionRefused { error, message })
        }
    }
}

#[derive(Serialize)]
struct QuestionRefused {
    error: &'static str,
    message: String,
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

fn wrong_host() -> Response<Body> {
    respond::json(
        StatusCode::BAD_REQUEST,
        &Refusal {
            error: "host_missing_or_repeated",
            message: "a request of HTTP/1.1 has exactly one Host header",
            paths: None,
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

fn index(_: &dyn Source, _: &HeaderMap) -> Response<Body> {
    let mut text = String::from("Trunkline admin port\n\n");
    for route in ROUTES {
        text.push_str(&format!("{:<16} {}\n", route.path, route.about));
    }
    respond::text(StatusCode::OK, text)
}

#[derive(Serialize)]
struct LiveBody<'a> {
    live: bool,
    causes: &'a [Cause],
}

fn live(causes: &[Cause]) -> Response<Body> {
    if causes.is_empty() {
        return respond::text(StatusCode::OK, "ok\n".into());
    }
    respond::json(StatusCode::SERVICE_UNAVAILABLE, &LiveBody { live: false, causes })
}

#[derive(Serialize)]
struct ReadyBody<'a> {
    ready: bool,
    causes: &'a [Cause],
    notes: &'a [Cause],
}

fn ready(source: &dyn Source, _: &HeaderMap) -> Response<Body> {
    let readiness = source.readiness();
    let ready = readiness.causes.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond::json(status, &ReadyBody { ready, causes: &readiness.causes, notes: &readiness.notes })
}

fn metrics(source: &dyn Source, headers: &HeaderMap) -> Response<Body> {
    let accept: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    let mut text = String::new();
    match source.write_metrics(&mut text) {
        Ok(()) if format == Format::Text => respond::metrics(format, to_text(&text)),
        Ok(()) => respond::metrics(format, text),
        Err(error) => internal("metrics could not be written", &error),
    }
}

fn status(source: &dyn Source, _: &HeaderMap) -> Response<Body> {
    match source.status_json() {
        Ok(body) => respond::json_bytes(StatusCode::OK, body),
        Err(error) => internal("status could not be written", &error),
    }
}

fn cluster(source: &dyn Source, _: &HeaderMap) -> Response<Body> {
    match source.cluster_json() {
        Some(Ok(body)) => respond::json_bytes(StatusCode::OK, body),
        Some(Err(error)) => internal("the cluster could not be written", &error),
        None => respond::json(
            StatusCode::NOT_FOUND,
            &Refusal {
                error: "no_cluster",
                message: "this node is alone; the key `cluster` names the cluster that a node joins",
                paths: None,
            },
        ),
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
    use crate::{Liveness, Readiness};

    #[derive(Default)]
    struct Fake {
        readiness: Readiness,
        silent: Vec<Cause>,
        metrics_fail: bool,
        cluster: Option<&'static [u8]>,
    }

    impl Source for Fake {
        fn liveness(&self) -> Liveness {
            Box::pin(core::future::ready(self.silent.clone()))
        }

        fn readiness(&self) -> Readiness {
            self.readiness.clone()
        }

        fn status_json(&self) -> Result<Vec<u8>, serde_json::Error> {
            Ok(br#"{"node":"n-1"}"#.to_vec())
        }

        fn cluster_json(&self) -> Option<Result<Vec<u8>, serde_json::Error>> {
            self.cluster.map(|json| Ok(json.to_vec()))
        }

        fn talkers(&self, query: &str) -> crate::Asked {
            let refused = Refused { status: 429, error: "busy", message: query.into() };
            let answer = if query == "by=bytes" { Ok(b"{}".to_vec()) } else { Err(refused) };
            Box::pin(core::future::ready(answer))
        }

        fn write_metrics(&self, out: &mut String) -> fmt::Result {
            out.push_str("# EOF\n");
            if self.metrics_fail { Err(fmt::Error) } else { Ok(()) }
        }
    }

    fn call(method: Method, path: &str, source: &Fake) -> (StatusCode, String, String) {
        call_with(method, path, &HeaderMap::new(), source)
    }

    /// The result of a future that is ready at once.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        match core::pin::pin!(future).poll(&mut context) {
            core::task::Poll::Ready(value) => value,
            core::task::Poll::Pending => panic!("the fake does not wait"),
        }
    }

    fn call_with(
        method: Method,
        path: &str,
        headers: &HeaderMap,
        source: &Fake,
    ) -> (StatusCode, String, String) {
        let mut request = Request::builder().method(method).uri(path).body(()).unwrap();
        request.headers_mut().extend(headers.clone());
        request.headers_mut().insert(HOST, HeaderValue::from_static("node"));
        let response = now(answer(&request, source));
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let status = response.status();
        let body = now(response.into_body().collect()).expect("a full body cannot fail");
        (status, kind, String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_shard_that_does_not_answer_makes_it_dead() {
        let silent = vec![Cause { code: "shard_silent", message: "why".into() }];
        let (status, _, body) = call(Method::GET, "/livez", &Fake { silent, ..Fake::default() });
        assert_eq!(status, 503);
        assert_eq!(body, r#"{"live":false,"causes":[{"code":"shard_silent","message":"why"}]}"#);
    }

    #[test]
    fn metrics_come_in_the_format_that_was_asked_for() {
        let asks = |accept| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let (_, kind, body) = call_with(Method::GET, "/metrics", &headers, &Fake::default());
            (kind, body)
        };
        let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(asks("application/openmetrics-text"), (open.into(), "# EOF\n".into()));
        let text = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(asks("text/plain"), (text.into(), String::new()));
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
            (Method::GET, "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", ""),
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
                    r#""paths":["/","/livez","/readyz","/metrics","/api/v1/status","/api/v1/cluster","/api/v1/talkers"]}"#
                ),
            ),
        ];
        for (method, path, status, kind, body) in cases {
            let got = call(method.clone(), path, &source);
            assert_eq!(got, (StatusCode::from_u16(status).unwrap(), kind.into(), body.into()));
        }
    }

    #[test]
    fn a_node_that_is_alone_has_no_cluster_to_show() {
        let (status, _, body) = call(Method::GET, "/api/v1/cluster", &Fake::default());
        assert_eq!(status, 404);
        assert!(body.contains(r#""error":"no_cluster""#), "{body}");
        let member = Fake { cluster: Some(br#"{"cluster":"eu"}"#), ..Fake::default() };
        let (status, kind, body) = call(Method::GET, "/api/v1/cluster", &member);
        assert_eq!(
            (status.as_u16(), &*kind, &*body),
            (200, "application/json", r#"{"cluster":"eu"}"#)
        );
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
    fn a_question_gets_its_answer_or_the_reason_why_there_is_none() {
        let ask = |path| call(Method::GET, path, &Fake::default());
        let (status, _, body) = ask("/api/v1/talkers?by=bytes");
        assert_eq!((status.as_u16(), &*body), (200, "{}"));
        let (status, _, body) = ask("/api/v1/talkers?x");
        assert_eq!((status.as_u16(), &*body), (429, r#"{"error":"busy","message":"x"}"#));
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
