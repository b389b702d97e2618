//! HTTP on the public port: one task per connection until it upgrades or ends.

mod answer;
mod clients;
mod compact;
mod engine;
mod exchange;
mod guard;
mod io;
mod jsonp;
mod poll;
mod query;
mod rest;
mod upgrade;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioTimer;
use tokio::sync::mpsc::Sender;
use tokio::task::spawn_local;

use self::io::ClientIo;
use self::poll::HeldPoll;
use crate::acceptor::StreamPermit;
use crate::hub::Hub;
use crate::hub::Routed;
use crate::metrics::{Cause, Outcome};
use crate::shard::{Command, Environment, Shard, Unavailable};
use crate::side_door::{Lease, SideBody, Visit};
use crate::trunks;

/// The path of trunks.
const TRUNK_PATH: &str = "/trunk/v1";

/// What the HTTP tasks of one thread share: their own shard, and the way to the others.
#[derive(Clone, Debug)]
pub(crate) struct Door(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    shard: Rc<RefCell<Shard>>,
    own: u8,
    peers: Arc<[Sender<Command>]>,
    env: Arc<Environment>,
    next_poll: Cell<u32>,
}

/// One connection, for the requests that come over it.
struct Connection {
    door: Door,
    address: SocketAddr,
    /// A request has come over it: the wait for another may end without a word.
    used: Cell<bool>,
    /// Its last request was read to the end and hyper has the answer; there may be another. Set when nothing more is
    /// awaited: a connection that rests takes what hyper still works at with it.
    answered: Cell<bool>,
    /// A poll that waits: the connection may rest.
    held: Cell<Option<Box<HeldPoll>>>,
    /// The answer to the poll that it rested with.
    ready: Cell<Option<Reply>>,
    /// It is one too many: it opens no session and ends with its first answer, see [`StreamPermit`].
    beyond_max: bool,
    /// For what leaves together with the last answer; nobody may hold it when the stream is taken back.
    io: Cell<Option<ClientIo>>,
    /// Leaves with the stream when it becomes a WebSocket.
    permit: Cell<Option<StreamPermit>>,
}

/// The request cannot be answered; the connection is broken off, as npm engine.io does here.
#[derive(Debug, thiserror::Error)]
#[error("connection broken off")]
pub(crate) struct Abort;

type Reply = Result<Response<Full<Bytes>>, Abort>;

impl Door {
    pub(crate) fn new(
        shard: Rc<RefCell<Shard>>,
        peers: Arc<[Sender<Command>]>,
        env: Arc<Environment>,
    ) -> Self {
        let own = shard.borrow().index();
        Self(Rc::new(Inner { shard, own, peers, env, next_poll: Cell::new(0) }))
    }

    pub(crate) fn env(&self) -> &Arc<Environment> {
        &self.0.env
    }

    pub(crate) fn peers(&self) -> &Arc<[Sender<Command>]> {
        &self.0.peers
    }

    /// Serves a fresh stream in a task of this thread.
    pub(crate) fn serve(&self, stream: TcpStream, address: SocketAddr, permit: StreamPermit) {
        let connection = Rc::new(Connection {
            door: self.clone(),
            address,
            used: Cell::new(false),
            answered: Cell::new(false),
            held: Cell::new(None),
            ready: Cell::new(None),
            beyond_max: permit.beyond_max,
            io: Cell::new(None),
            permit: Cell::new(Some(permit)),
        });
        spawn_local(serve(connection, stream));
    }

    /// Serves a trunk of this process in a task of this thread.
    pub(crate) fn serve_inside(&self, hub: Arc<Hub>, stream: UnixStream) {
        spawn_local(trunks::run_inside(self.clone(), hub, stream));
    }

    /// Hands a command to the shard that it is for. Does not wait for an answer.
    pub(crate) async fn tell(&self, shard: u8, command: Command) {
        if shard == self.0.own {
            self.0.shard.borrow_mut().take_turn(command);
        } else if let Some(peer) = self.0.peers.get(usize::from(shard)) {
            // A shard that is gone takes the whole node with it: nobody is left to be told.
            let _ = peer.send(command).await;
        }
    }

    /// The same from where nothing can wait: a guard's drop.
    fn tell_later(&self, shard: u8, command: Command) {
        let door = self.clone();
        spawn_local(async move { door.tell(shard, command).await });
    }

    /// A number for a poll, different from those of other recent polls of any thread.
    fn poll_number(&self) -> u32 {
        let next = self.0.next_poll.get().wrapping_add(1) & 0x00ff_ffff;
        self.0.next_poll.set(next);
        u32::from(self.0.own) << 24 | next
    }

    fn count_handshake(&self, why: Unavailable) {
        self.0.env.metrics.handshakes.get_or_create(&Outcome { outcome: why.slug() }).inc();
    }

    fn count_refused(&self, cause: &'static str) {
        self.0.env.metrics.http_requests_refused.get_or_create(&Cause { cause }).inc();
    }
}

async fn serve(connection: Rc<Connection>, stream: TcpStream) {
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
    let io = ClientIo::new(stream);
    connection.io.set(Some(io.clone()));
    loop {
        match talk(&connection, &io).await {
            Talked::Ended(Ok(())) => return,
            Talked::Ended(Err(error)) => return end_broken(&connection, &io, &error),
            Talked::Rests { leftover } => {
                if !rested(&connection, &io, leftover).await {
                    return;
                }
            }
        }
    }
}

/// How hyper's part of a connection came to its end.
enum Talked {
    Ended(Result<(), hyper::Error>),
    /// The connection waits, see [`rest`]; `leftover` came in beyond the last request.
    Rests {
        leftover: Bytes,
    },
}

/// HTTP until the connection ends or can rest.
async fn talk(connection: &Rc<Connection>, io: &ClientIo) -> Talked {
    let limits = &connection.door.env().limits;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes_max.max(8192))
        .half_close(false);
    let shared = Rc::clone(connection);
    let service = service_fn(move |request| handle(Rc::clone(&shared), request));
    // In a box, so that a connection at rest has no room for it.
    let mut http = Box::new(builder.serve_connection(io.clone(), service).with_upgrades());
    let ended = poll_fn(|cx| match Pin::new(&mut *http).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if connection.can_rest() && io.is_flushed() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    if let Some(ended) = ended.await {
        return Talked::Ended(ended);
    }
    // It has not been upgraded, so it has its parts.
    let leftover = http.into_parts().map(|parts| parts.read_buf).unwrap_or_default();
    // A copy, because even an empty slice keeps hyper's buffer.
    Talked::Rests { leftover: Bytes::copy_from_slice(&io.rest_of_unread(leftover)) }
}

/// Waits until there is something for hyper to do again. False: the connection is over.
async fn rested(connection: &Rc<Connection>, io: &ClientIo, leftover: Bytes) -> bool {
    connection.answered.set(false);
    let Some(held) = connection.held.take() else {
        if !leftover.is_empty() {
            io.set_unread(leftover);
            return true;
        }
        // An idle connection may be kept alive for as long as a head may take.
        let timeout = connection.door.env().limits.header_timeout;
        return match tokio::time::timeout(timeout, io.peek()).await {
            Ok(Ok(_)) => true,
            Ok(Err(_)) => {
                connection.count_ended("stream_broken");
                false
            }
            Err(_) => false,
        };
    };
    // Its end first: an answer that nobody hears is one that the session has to know of.
    let reply = tokio::select! {
        biased;
        () = rest::gone(io, &leftover) => {
            connection.count_ended("stream_broken");
            return false;
        }
        reply = held.reply(connection) => reply,
    };
    connection.ready.set(Some(reply));
    io.set_unread(rest::stand_in(&leftover));
    true
}

impl Connection {
    /// Nothing is to be done but to wait, for an answer or for a request.
    fn can_rest(&self) -> bool {
        let held = self.held.take();
        let holds = held.is_some();
        self.held.set(held);
        holds || self.answered.get()
    }

    fn count_ended(&self, cause: &'static str) {
        let refused = &self.door.env().metrics.streams_refused;
        refused.get_or_create(&Cause { cause }).inc();
    }
}

/// Counts a connection that ended in an error, and answers where hyper does not.
fn end_broken(connection: &Connection, io: &ClientIo, error: &hyper::Error) {
    let cause = if error.is_timeout() && connection.used.get() {
        return; // An idle connection that was kept alive long enough.
    } else if error.is_timeout() {
        io.write_last_words(
            b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        );
        "header_timeout"
    } else if error.is_parse_too_large() {
        "header_too_large"
    } else if error.is_parse() {
        "malformed_request"
    } else if error.is_user() {
        "aborted"
    } else {
        "stream_broken"
    };
    connection.count_ended(cause);
}

/// From this port's own code, or from a side door.
type Body = Either<Full<Bytes>, SideBody>;

async fn handle(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Abort> {
    connection.answered.set(false);
    if let Some(reply) = connection.ready.take() {
        // The request is a stand-in for the one that this answers.
        connection.answered.set(reply.is_ok());
        return reply.map(|answer| answer.map(Either::Left));
    }
    let last = connection.beyond_max && request.uri().path() != TRUNK_PATH;
    let mut reply = answer_to(connection, request).await;
    if last
        && let Ok(response) = &mut reply
        && response.status() != hyper::StatusCode::SWITCHING_PROTOCOLS
    {
        answer::close_after(response);
    }
    reply
}

async fn answer_to(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Abort> {
    connection.used.set(true);
    let doors = &connection.door.env().side_doors;
    if let Some(door) = doors.iter().find(|door| door.claims(request.uri().path())) {
        let upgrading = upgrade::is_asked(&request);
        let lease = if upgrading { connection.permit.take().map(Lease) } else { None };
        let answer = door.serve(Visit { request, from: connection.address, lease }).await;
        return Ok(answer.map(Either::Right));
    }
    handle_own(connection, request).await.map(|answer| answer.map(Either::Left))
}

async fn handle_own(connection: Rc<Connection>, request: Request<Incoming>) -> Reply {
    let door = &connection.door;
    let path = request.uri().path();
    if path == TRUNK_PATH {
        return Ok(trunk(&connection, request));
    }
    match door.env().directory.route(path) {
        Routed::Hub(hub) => engine::handle(connection, hub, request).await,
        Routed::UnknownHub(name) => {
            door.count_refused("hub_unknown");
            Ok(answer::error(
                hyper::StatusCode::NOT_FOUND,
                "hub_unknown",
                &format!(
                    "this node serves no hub named '{name}'; check the client's path and the node's configuration"
                ),
            ))
        }
        Routed::Nowhere => {
            door.count_refused("path_unknown");
            Ok(answer::error(
                hyper::StatusCode::NOT_FOUND,
                "path_unknown",
                "nothing is served here; Socket.IO clients connect at the app's own path (by default /socket.io/) or at /clients/socketio/hubs/{hub}",
            ))
        }
    }
}

/// An app server wants to open a trunk.
fn trunk(connection: &Rc<Connection>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let env = connection.door.env();
    let authorization =
        request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let accepted = upgrade::websocket_key(&request)
        .map_err(|_| trunks::TrunkRefused::BadRequest)
        .and_then(|key| {
            if env.directory.draining.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(trunks::TrunkRefused::Draining);
            }
            trunks::authorise(&env.directory, authorization).map(|hub| (hub, key))
        });
    let (hub, key) = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => {
            let cause = Cause { cause: refused.slug() };
            env.metrics.trunks_refused.get_or_create(&cause).inc();
            let pace = &env.directory.trunks_refused;
            if let Some(times) = pace.note(refused.slug(), Instant::now()) {
                tracing::warn!(address = %connection.address, times, "trunk refused: {refused}");
            }
            return answer::error(refused.status(), refused.slug(), &refused.to_string());
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let connection = Rc::clone(connection);
    spawn_local(async move {
        if let Some(stream) = upgrade::take_stream(upgraded, &connection, None).await {
            trunks::run(connection.door.clone(), hub, connection.address, stream).await;
        }
    });
    upgrade::switching(&key, upgrade::Agreement::default(), Vec::new())
}
