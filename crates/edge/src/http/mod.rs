//! HTTP on the public port: one task per connection until it upgrades or ends.

mod answer;
mod clients;
mod compact;
mod engine;
mod exchange;
mod guard;
mod heads;
mod io;
mod jsonp;
mod poll;
mod query;
mod rest;
mod under_way;
mod upgrade;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep_until};

use self::io::ClientIo;
use self::poll::HeldPoll;
use self::under_way::{Body, UnderWay};
use crate::environment::Environment;
use crate::hub::{Hub, Routed};
use crate::metrics::{Cause, Outcome};
use crate::permits::StreamPermit;
use crate::reserve::Claim;
use crate::shard::{Command, Flight, LocalShard, Socket};
use crate::trunks;
use crate::unavailable::Unavailable;
use trunkline_http::{Lease, SideBody, Visit};

/// The path of trunks.
const TRUNK_PATH: &str = "/trunk/v1";
/// Headers of a request, where there are more than hyper's usual room is for: what 16 KiB can hold.
const HEADERS_MAX: usize = 4096;

/// What the HTTP tasks of one thread share: their own shard, and the way to the others.
#[derive(Clone, Debug)]
pub(crate) struct Door(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    shard: Rc<LocalShard>,
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
    /// A request has come and its answer is not written out.
    under_way: Cell<bool>,
    /// When the connection began, or its last answer ended.
    idle_since: Cell<Instant>,
    /// Its last request was read to the end and hyper has the answer; there may be another. Set when nothing more is
    /// awaited: a connection that rests takes what hyper still works at with it.
    answered: Cell<bool>,
    /// A poll that waits: the connection may rest.
    held: Cell<Option<Box<HeldPoll>>>,
    /// The answer to the poll that it rested with.
    ready: Cell<Option<Reply>>,
    /// Its last answer was `101`: the stream is not HTTP's any more.
    switched: Cell<bool>,
    /// It is one too many: it opens no session and ends with its first answer, see [`StreamPermit`].
    beyond_max: Option<Arc<Claim>>,
    /// For what leaves together with the last answer; nobody may hold it when the stream is taken back.
    io: Cell<Option<ClientIo>>,
    /// Its answer to a poll, until all of it has left.
    flight: Cell<Option<Flight>>,
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
        shard: Rc<LocalShard>,
        peers: Arc<[Sender<Command>]>,
        env: Arc<Environment>,
    ) -> Self {
        let own = shard.index();
        Self(Rc::new(Inner { shard, own, peers, env, next_poll: Cell::new(0) }))
    }

    pub(crate) fn env(&self) -> &Arc<Environment> {
        &self.0.env
    }

    pub(crate) fn peers(&self) -> &Arc<[Sender<Command>]> {
        &self.0.peers
    }

    /// Serves a fresh stream in a task of this thread.
    pub(crate) fn serve(&self, socket: Socket, address: SocketAddr, permit: StreamPermit) {
        let connection = Rc::new(Connection {
            door: self.clone(),
            address,
            used: Cell::new(false),
            under_way: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            answered: Cell::new(false),
            held: Cell::new(None),
            ready: Cell::new(None),
            switched: Cell::new(false),
            beyond_max: permit.beyond_max.clone(),
            io: Cell::new(None),
            flight: Cell::new(None),
            permit: Cell::new(Some(permit)),
        });
        match connection.beyond_max.clone() {
            None => spawn_local(serve(connection, socket)),
            Some(claim) => spawn_local(serve_while_wanted(connection, socket, claim)),
        };
    }

    /// Serves a trunk of this process in a task of this thread.
    pub(crate) fn serve_inside(&self, hub: Arc<Hub>, socket: Socket) {
        spawn_local(trunks::run_inside(self.clone(), hub, socket));
    }

    /// Hands a command to the shard that it is for. Does not wait for an answer.
    pub(crate) async fn tell(&self, shard: u8, command: Command) {
        if shard == self.0.own {
            self.0.shard.take_turn(command);
        } else if let Some(peer) = self.0.peers.get(usize::from(shard)) {
            // A shard that is gone takes the whole node with it: nobody is left to be told.
            let _ = peer.send(command).await;
        }
    }

    /// Waits until this thread's shard has done what others have asked of it so far: what `tell` hands to it does not
    /// queue behind that.
    pub(crate) async fn catch_up(&self) {
        let Some(inbox) = self.0.peers.get(usize::from(self.0.own)) else { return };
        if inbox.capacity() == inbox.max_capacity() {
            return;
        }
        let (reply, is_past) = oneshot::channel();
        // A shard that is gone takes the whole node with it.
        let _ = inbox.send(Command::Past(reply)).await;
        let _ = is_past.await;
    }

    /// `tell` from where nothing can wait: a guard's drop.
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

    /// The node is full: who operates it should know.
    fn note_full(&self, why: Unavailable) {
        let env = &self.0.env;
        let full = matches!(
            why,
            Unavailable::MemoryFull | Unavailable::SessionsFull | Unavailable::StreamsFull
        );
        if full && let Some(times) = env.directory.pace.note(why.slug(), Instant::now()) {
            tracing::warn!(cause = why.slug(), times, "clients refused with 503: {why}");
        }
    }

    fn count_refused(&self, cause: &'static str) {
        self.0.env.metrics.http_requests_refused.get_or_create(&Cause { cause }).inc();
    }
}

/// Serves a stream that is one too many: it may have to make room for another.
async fn serve_while_wanted(connection: Rc<Connection>, socket: Socket, claim: Arc<Claim>) {
    tokio::select! {
        () = serve(Rc::clone(&connection), socket) => (),
        () = claim.evicted() => connection.count_refused("streams_full"),
    }
}

async fn serve(connection: Rc<Connection>, socket: Socket) {
    let Ok(stream) = socket.into_descriptor() else { return };
    let Ok(stream) = tokio::net::TcpStream::from_std(stream.into()) else { return };
    let io = ClientIo::new(stream);
    connection.io.set(Some(io.clone()));
    loop {
        match talk(&connection, &io).await {
            Talked::Ended(ended) => {
                let answered = match ended {
                    _ if io.heads().is_broken() => {
                        connection.count_refused("malformed_request");
                        true
                    }
                    Ok(()) => true,
                    Err(error) => end_broken(&connection, &io, &error),
                };
                return end_gently(&connection, &io, answered).await;
            }
            Talked::TimedOut => {
                let answered = end_late(&connection, &io);
                return end_gently(&connection, &io, answered).await;
            }
            Talked::Unread(cause) => {
                connection.count_refused(cause);
                // The kernel need not keep what nobody reads.
                io.reset_at_end();
                return;
            }
            Talked::Crowded { leftover } => io.set_unread(leftover),
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
    /// A head did not come to its end in time, or no other request came.
    TimedOut,
    /// An answer was not read in time, or is not wanted any more: a slug of why.
    Unread(&'static str),
    /// A head has more headers than hyper has room for; `leftover` is what came of it.
    Crowded {
        leftover: Bytes,
    },
    /// The connection waits, see [`rest`]; `leftover` came in beyond the last request.
    Rests {
        leftover: Bytes,
    },
}

/// HTTP until the connection ends or can rest.
async fn talk(connection: &Rc<Connection>, io: &ClientIo) -> Talked {
    let limits = &connection.door.env().limits;
    let mut builder = http1::Builder::new();
    // Deadlines are this function's: hyper has one for a head and for the wait before it.
    builder
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes_max.max(8192))
        .half_close(false);
    let shared = Rc::clone(connection);
    let service = service_fn(move |request| handle(Rc::clone(&shared), request));
    if io.has_many_headers() {
        builder.max_headers(HEADERS_MAX);
    }
    // In a box, so that a connection at rest has no room for it.
    let mut http = Box::new(builder.serve_connection(io.clone(), service).with_upgrades());
    let mut alarm = Alarm::default();
    // Only while the kernel does not take what it is given.
    let mut unread = None;
    let ended = poll_fn(|cx| match Pin::new(&mut *http).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(Talked::Ended(ended))),
        Poll::Pending if io.is_flushed() => {
            unread = None;
            connection.flight.set(None);
            if connection.can_rest() || io.holds() && !connection.under_way.get() {
                return Poll::Ready(None);
            }
            let rung = alarm.poll(connection.deadline(io), cx);
            rung.map(|()| Some(Talked::TimedOut))
        }
        Poll::Pending => {
            let given_up = unread.get_or_insert_with(|| Box::pin(given_up(Rc::clone(connection))));
            given_up.as_mut().poll(cx).map(|cause| Some(Talked::Unread(cause)))
        }
    });
    if let Some(ended) = ended.await {
        return ended;
    }
    // It has not been upgraded, so it has its parts.
    let leftover = http.into_parts().map(|parts| parts.read_buf).unwrap_or_default();
    let crowded = io.holds() && !connection.can_rest();
    // A copy, because even an empty slice keeps hyper's buffer.
    let leftover = Bytes::copy_from_slice(&io.rest_of_unread(leftover));
    if crowded { Talked::Crowded { leftover } } else { Talked::Rests { leftover } }
}

/// Waits until an answer that is not read is given up, and tells its session. A slug of why.
async fn given_up(connection: Rc<Connection>) -> &'static str {
    let limit = connection.door.env().limits.answer_timeout;
    let Some(flight) = connection.flight.take() else {
        tokio::time::sleep(limit).await;
        return "answer_timeout";
    };
    let cut = tokio::time::timeout(limit, flight.cut()).await;
    if cut.is_ok() {
        return "session_ended";
    }
    // What was in it is lost, and the session with it.
    let gone = Command::HandshakeGone { key: flight.key, poll: flight.poll };
    connection.door.tell(flight.key.shard, gone).await;
    "answer_timeout"
}

/// Waits until there is something for hyper to do again. False: the connection is over.
async fn rested(connection: &Rc<Connection>, io: &ClientIo, leftover: Bytes) -> bool {
    connection.answered.set(false);
    let Some(held) = connection.held.take() else {
        if !leftover.is_empty() {
            io.set_unread(leftover);
            return true;
        }
        let timeout = connection.door.env().limits.keep_alive_timeout;
        // An end while nothing is asked is ordinary, whichever form it has: proxies drop what they need no longer.
        return matches!(tokio::time::timeout(timeout, io.peek()).await, Ok(Ok(_)));
    };
    // Its end first: an answer that nobody hears is one that the session has to know of.
    let reply = tokio::select! {
        biased;
        () = rest::gone(io, &leftover) => {
            connection.door.env().metrics.streams_broken.inc();
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

    /// A request over it is of a session that is there.
    fn prove_by_session(&self) {
        if let Some(claim) = &self.beyond_max {
            claim.prove_by_session();
        }
    }

    /// Until when the client has to send the rest of a head, or another request.
    fn deadline(&self, io: &ClientIo) -> Option<Instant> {
        let limits = &self.door.env().limits;
        if self.under_way.get() {
            return None;
        }
        match io.heads().begun() {
            Some(begun) => Some(begun + limits.header_timeout),
            // What is still being written has its own deadline.
            None if !io.is_flushed() => None,
            None if self.used.get() => Some(self.idle_since.get() + limits.keep_alive_timeout),
            None => Some(self.idle_since.get() + limits.header_timeout),
        }
    }

    /// What comes next on the stream is another request, unless it speaks another protocol from now on.
    fn handle_answered(&self, status: hyper::StatusCode) {
        if status == hyper::StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let io = self.io.take();
        if let Some(io) = &io {
            io.heads().handle_answered();
        }
        self.io.set(io);
    }

    fn count_refused(&self, cause: &'static str) {
        let refused = &self.door.env().metrics.streams_refused;
        refused.get_or_create(&Cause { cause }).inc();
    }
}

/// Lets the last answer arrive. A stream that has become a WebSocket is another's, and one too many is not kept for this.
async fn end_gently(connection: &Connection, io: &ClientIo, answered: bool) {
    if answered && !connection.switched.get() && connection.beyond_max.is_none() {
        io.linger().await;
    }
}

/// Ends a connection whose client did not send in time what was awaited. True when there was an answer.
fn end_late(connection: &Connection, io: &ClientIo) -> bool {
    if io.heads().begun().is_none() && connection.used.get() {
        return false; // An idle connection that was kept alive long enough.
    }
    io.write_last_words(
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    connection.count_refused("header_timeout");
    true
}

/// Counts a connection that ended in an error. True when there was an answer.
fn end_broken(connection: &Connection, io: &ClientIo, error: &hyper::Error) -> bool {
    let cause = if error.is_parse_too_large() {
        "header_too_large"
    } else if error.is_parse() {
        "malformed_request"
    } else if error.is_user() {
        "aborted"
    } else {
        // Before a request and between two an end is ordinary, a reset included: so do health checks and proxies.
        let asked = connection.under_way.get() || io.heads().begun().is_some();
        if asked || !io.is_flushed() {
            connection.door.env().metrics.streams_broken.inc();
        }
        return false;
    };
    connection.count_refused(cause);
    cause != "aborted"
}

/// Wakes the connection's task at its deadline.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = at else {
            self.0 = None;
            return Poll::Pending;
        };
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

async fn handle(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Abort> {
    connection.answered.set(false);
    let under_way = UnderWay::begin(&connection);
    if let Some(reply) = connection.ready.take() {
        // The request is a stand-in for the one that this answers.
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
        connection.count_refused("malformed_request");
        let mut response = answer::status(hyper::StatusCode::BAD_REQUEST);
        answer::close_after(&mut response);
        return Ok(response.map(Either::Left));
    }
    let doors = &connection.door.env().side_doors;
    if let Some(door) = doors.iter().find(|door| door.claims(request.uri().path())) {
        let upgrading = upgrade::is_asked(&request);
        let lease = if upgrading {
            connection.permit.take().map(|permit| Box::new(permit) as Lease)
        } else {
            None
        };
        let answer = door.serve(Visit { request, from: connection.address, lease }).await;
        return Ok(answer.map(Either::Right));
    }
    handle_own(connection, request).await.map(|answer| answer.map(Either::Left))
}

/// RFC 9112, section 3.2: without exactly one, a proxy in front and this node may mean different hosts.
fn names_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(hyper::header::HOST).iter();
    let first = hosts.next().is_some() || request.version() < hyper::Version::HTTP_11;
    first && hosts.next().is_none()
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
            let hub = trunks::authorise(&env.directory, authorization)?;
            let permit = hub.trunk_permit(env.limits.trunks_per_hub_max);
            let permit = permit.ok_or(trunks::TrunkRefused::TrunksFull)?;
            Ok((hub, key, permit))
        });
    let (hub, key, permit) = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => {
            let cause = Cause { cause: refused.slug() };
            env.metrics.trunks_refused.get_or_create(&cause).inc();
            let pace = &env.directory.pace;
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
        drop(permit);
    });
    upgrade::switching(&key, upgrade::Agreement::default(), Vec::new())
}
