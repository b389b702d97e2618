//! Decides what a request is for: an app's clients, a trunk, or a side door.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::task::spawn_local;
use trunkline_http::{Lease, SideBody, Visit};

use super::calls::{self, CALLS_PREFIX};
use super::connection::Connection;
use super::under_way::{Body, UnderWay};
use super::{Abort, Reply, answer, engine, upgrade, visitor};
use crate::environment::Environment;
use crate::hub::{Hub, Routed};
use crate::metrics::Cause;
use crate::peer::PortKind;
use crate::trunks;

/// The path of trunks.
const TRUNK_PATH: &str = "/trunk/v1";

/// Answers one request of a connection.
pub(super) async fn handle(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Abort> {
    connection.answered.set(false);
    let under_way = UnderWay::begin(&connection);
    if let Some(reply) = connection.ready.take().map(|reply| *reply) {
        // The request is a stand-in for the one that this reply answers.
        connection.answered.set(reply.is_ok());
        return reply.map(|answer| {
            connection.handle_answered(answer.status());
            answer.map(|body| under_way.with(Either::Left(body)))
        });
    }
    let last = connection.beyond_max.is_some();
    let mut reply = answer_to(Rc::clone(&connection), request).await;
    if let Ok(response) = &mut reply {
        if response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS {
            connection.switched.set(true);
        } else if last {
            answer::close_after(response);
        }
    }
    reply.map(|answer| {
        connection.handle_answered(answer.status());
        answer.map(|body| under_way.with(body))
    })
}

async fn answer_to(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, SideBody>>, Abort> {
    connection.used.set(true);
    if !names_one_host(&request) {
        connection.count_stream_refused("malformed_request");
        let mut response = answer::status(hyper::StatusCode::BAD_REQUEST);
        answer::close_after(&mut response);
        return Ok(response.map(Either::Left));
    }
    if let Err(why) = visitor::identify(&connection, &request) {
        return Ok(visitor::turn_away(&connection, why).map(Either::Left));
    }
    let env = connection.door.env();
    if let Some(belongs) = other_port(&connection, request.uri().path()) {
        return Ok(refuse_at_this_port(&connection, belongs).map(Either::Left));
    }
    if let Some(door) = env.side_doors.iter().find(|door| door.claims(request.uri().path())) {
        let answer = door.serve(visit(&connection, request)).await;
        return Ok(answer.map(Either::Right));
    }
    handle_own(connection, request).await.map(|answer| answer.map(Either::Left))
}

/// The hub of an ordinary request; `None` when it is for anything else, or is malformed.
pub(super) fn direct_hub<B>(connection: &Connection, request: &Request<B>) -> Option<Arc<Hub>> {
    let path = request.uri().path();
    let env = connection.door.env();
    let special = is_for_app_servers(env, path) || connection.from.port == PortKind::Trunks;
    if special || !names_one_host(request) {
        return None;
    }
    match env.directory.route(path) {
        Routed::Hub(hub) => Some(hub),
        Routed::UnknownHub(_) | Routed::Nowhere => None,
    }
}

/// Whether a path is for app servers or operators, not for clients.
fn is_for_app_servers(env: &Environment, path: &str) -> bool {
    path == TRUNK_PATH
        || path.starts_with(CALLS_PREFIX)
        || env.side_doors.iter().any(|door| door.claims(path))
}

/// The kind of port that alone serves this path, if it is not the one at which the request arrived.
fn other_port(connection: &Connection, path: &str) -> Option<PortKind> {
    let env = connection.door.env();
    if !env.trunk_port {
        return None;
    }
    let belongs = if is_for_app_servers(env, path) { PortKind::Trunks } else { PortKind::Public };
    (belongs != connection.from.port).then_some(belongs)
}

/// The answer to a request that belongs to another port of this node. It names the key of that
/// port, not its address: that is not for strangers.
fn refuse_at_this_port(connection: &Connection, belongs: PortKind) -> Response<Full<Bytes>> {
    connection.count_refused("wrong_port");
    let message = match belongs {
        PortKind::Public => {
            "this port is for app servers; clients connect to the port of the key `listen`"
        }
        PortKind::Trunks => {
            "this port is for clients; trunks, the REST API and Azure's tunnels are served on the port of the key `trunk_listen`"
        }
    };
    answer::error(hyper::StatusCode::NOT_FOUND, "wrong_port", message)
}

/// Wraps the request for a side door to answer.
fn visit(connection: &Connection, request: Request<Incoming>) -> Visit {
    let upgrading = upgrade::is_asked(&request);
    let permit = if upgrading { connection.permit.take() } else { None };
    let lease = permit.map(|permit| Box::new(permit) as Lease);
    Visit { request, from: connection.client().into(), lease }
}

/// Whether the request has exactly one `Host`, as RFC 9112, section 3.2, demands. Otherwise a proxy
/// in front and this node could each choose a different one.
fn names_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(hyper::header::HOST).iter();
    let first = hosts.next().is_some() || request.version() < hyper::Version::HTTP_11;
    first && hosts.next().is_none()
}

async fn handle_own(connection: Rc<Connection>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path();
    if path == TRUNK_PATH {
        return Ok(trunk(&connection, request));
    }
    if path.starts_with(CALLS_PREFIX) {
        return Ok(calls::handle(&connection, request).await);
    }
    match connection.door.env().directory.route(path) {
        Routed::Hub(hub) => engine::handle(connection, hub, request).await,
        Routed::UnknownHub(name) => {
            connection.count_refused("hub_unknown");
            if let Some(answer) = visitor::failed(&connection) {
                return Ok(answer);
            }
            Ok(answer::error(
                hyper::StatusCode::NOT_FOUND,
                "hub_unknown",
                &format!(
                    "this node serves no hub named '{name}'; check the client's path and the node's configuration"
                ),
            ))
        }
        Routed::Nowhere => {
            connection.count_refused("path_unknown");
            if let Some(answer) = visitor::failed(&connection) {
                return Ok(answer);
            }
            Ok(answer::error(
                hyper::StatusCode::NOT_FOUND,
                "path_unknown",
                "nothing is served here; Socket.IO clients connect at the app's own path (by default /socket.io/) or at /clients/socketio/hubs/{hub}",
            ))
        }
    }
}

/// Handles an app server's request to open a trunk.
fn trunk(connection: &Rc<Connection>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let env = connection.door.env();
    let authorization =
        request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let accepted = upgrade::websocket_key(&request)
        .map_err(|_| trunks::TrunkRefused::BadRequest)
        .and_then(|key| {
            if env.directory.draining.load(Ordering::Relaxed) {
                return Err(trunks::TrunkRefused::Draining);
            }
            let (hub, mark) = trunks::authorise(&env.directory, authorization)?;
            let permit = hub.trunk_permit(env.limits.trunks_per_hub_max);
            let permit = permit.ok_or(trunks::TrunkRefused::TrunksFull)?;
            Ok(((hub, mark), key, permit))
        });
    let (hub, key, permit) = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => {
            let cause = Cause { cause: refused.slug() };
            env.metrics.trunks_refused.get_or_create(&cause).inc();
            let pace = &env.directory.pace;
            if let Some(times) = pace.note(refused.slug(), Instant::now()) {
                tracing::warn!(address = %connection.client(), times, "trunk refused: {refused}");
            }
            if refused.status().is_client_error()
                && let Some(answer) = visitor::failed(connection)
            {
                return answer;
            }
            return answer::error(refused.status(), refused.slug(), &refused.to_string());
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let connection = Rc::clone(connection);
    spawn_local(async move {
        if let Some(stream) = upgrade::take_stream(upgraded, &connection, None).await {
            trunks::run(connection.door.clone(), hub, connection.client().into(), stream).await;
        }
        drop(permit);
    });
    upgrade::switching(&key, upgrade::Agreement::default(), Vec::new())
}
