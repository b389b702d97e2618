//! Serving one client's stream: HTTP until it becomes a WebSocket or ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep_until};
use trunkline_admission::proxy_header::begins_like_proxy_header;

use super::connection::Connection;
use super::direct;
use super::held::HeldPoll;
use super::io::ClientIo;
use super::opening::Opened;
use super::{Reply, poll, requests, rest};
use crate::door::Door;
use crate::entrance::Claim;
use crate::entrance::StreamPermit;
use crate::peer::Peer;
use crate::shard::{AdoptedStream, Command, SlotKey};
use crate::socket::Socket;
use crate::watched::Watched;

/// The most headers of a request when hyper's default room is too small: as many as 16 KiB can
/// hold.
const HEADERS_MAX: usize = 4096;

/// Time after which a connection that waits for another request no longer needs a task.
const REST_AFTER: Duration = Duration::from_secs(1);

/// Serves a new stream in a task of this thread.
pub(crate) fn serve(door: Door, socket: Socket, from: Peer, permit: StreamPermit) {
    let connection = Connection::new(door, from, permit);
    serve_connection(connection, socket);
}

/// Serves a stream that rested, see [`Command::Rest`].
pub(crate) fn serve_again(door: Door, socket: Socket, from: Peer, permit: StreamPermit) {
    let connection = Connection::new(door, from, permit);
    connection.used.set(true);
    serve_connection(connection, socket);
}

fn serve_connection(connection: Connection, socket: Socket) {
    let Ok(stream) = Watched::new(socket) else { return };
    let connection = Rc::new(connection);
    let io = ClientIo::new(stream);
    connection.io.set(Some(io.clone()));
    let claim = connection.beyond_max.clone();
    let serving = Serving::new(connection, io);
    match claim {
        None => spawn_local(serving),
        Some(claim) => spawn_local(serve_while_wanted(serving, claim)),
    };
}

/// Serves a stream beyond the limit, which may have to make room for another.
async fn serve_while_wanted(serving: Serving, claim: Arc<Claim>) {
    let connection = Rc::clone(&serving.connection);
    tokio::select! {
        () = serving => (),
        () = claim.evicted() => connection.count_stream_refused("streams_full"),
    }
}

/// The task of one client's stream until its end. Every client that polls has two, which rest for
/// most of its life: so what runs is boxed, and what waits is small.
struct Serving {
    connection: Rc<Connection>,
    /// `None` once the stream has left this task.
    io: Option<ClientIo>,
    stage: Stage,
}

enum Stage {
    /// A new stream has brought no bytes yet. If it brings none in time, hyper says so.
    Greeting(Pin<Box<Sleep>>),
    /// A handshake without hyper.
    Opening {
        open: Pin<Box<dyn Future<Output = Opened>>>,
        end: rest::End,
    },
    /// hyper has the stream.
    Talking(Pin<Box<dyn Future<Output = Talked>>>),
    /// A poll waits for its answer; `poll` is `None` once the answer has arrived.
    Held {
        poll: Option<Box<HeldPoll>>,
        end: rest::End,
    },
    /// The answer to the poll is being built.
    Answering {
        reply: Pin<Box<dyn Future<Output = Reply>>>,
        end: rest::End,
    },
    /// The connection waits for another request; after this time, without this task.
    Idle(Pin<Box<Sleep>>),
    Ending(Pin<Box<dyn Future<Output = ()>>>),
}

#[cfg(all(not(any(test, feature = "fuzzing")), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Serving>() <= 48);

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        while let Some(next) = ready!(this.poll_stage(cx)) {
            this.stage = next;
        }
        Poll::Ready(())
    }
}

impl Serving {
    fn new(connection: Rc<Connection>, io: ClientIo) -> Self {
        let is_new = !connection.used.get() && connection.beyond_max.is_none();
        let stage = if is_new {
            let timeout = connection.door.env().limits.header_timeout;
            Stage::Greeting(Box::pin(tokio::time::sleep(timeout)))
        } else {
            Stage::talking(&connection, &io)
        };
        Self { connection, io: Some(io), stage }
    }

    /// Polls the current stage; resolves to the next one when it is over. `None`: there is no next
    /// one.
    fn poll_stage(&mut self, cx: &mut Context<'_>) -> Poll<Option<Stage>> {
        let Self { connection, io: Some(io), stage } = self else { return Poll::Ready(None) };
        // Checked first: an answer that the client can no longer receive must be known to the
        // session.
        if stage.is_left(io, cx) {
            connection.door.env().metrics.streams_broken.inc();
            return Poll::Ready(None);
        }
        Poll::Ready(match stage {
            Stage::Greeting(timeout) => match io.poll_first(cx) {
                Poll::Ready(first) => Some(Stage::after_greeting(connection, io, first)),
                Poll::Pending => {
                    ready!(timeout.as_mut().poll(cx));
                    Some(Stage::talking(connection, io))
                }
            },
            Stage::Talking(talk) => {
                let talked = ready!(talk.as_mut().poll(cx));
                Stage::after_talk(connection, io, talked)
            }
            Stage::Held { poll: held, end } => {
                let Some(poll) = held else { return Poll::Ready(None) };
                let answer = ready!(Pin::new(&mut poll.answer).poll(cx)).ok();
                held.take().map(|held| {
                    let connection = Rc::clone(connection);
                    let reply = async move { poll::reply_to(*held, answer, &connection).await };
                    Stage::Answering { reply: Box::pin(reply), end: *end }
                })
            }
            Stage::Answering { reply, .. } => {
                let reply = ready!(reply.as_mut().poll(cx));
                Some(Stage::talking_with(connection, io, reply))
            }
            Stage::Opening { open, .. } => match ready!(open.as_mut().poll(cx)) {
                Opened::Answered(reply) => Some(Stage::talking_with(connection, io, reply)),
                Opened::Switch { key, answer, first, deflate_window } => {
                    let mut bytes = direct::head_of(&answer);
                    bytes.extend_from_slice(&first);
                    self.switch(key, bytes.into(), deflate_window);
                    None
                }
            },
            Stage::Idle(timeout) => match io.poll_peek(cx) {
                Poll::Ready(Ok(_)) => Some(Stage::talking(connection, io)),
                // An end between requests is ordinary, in whichever form: proxies drop connections
                // that they no longer need.
                Poll::Ready(Err(_)) => None,
                Poll::Pending => {
                    ready!(timeout.as_mut().poll(cx));
                    self.leave();
                    None
                }
            },
            Stage::Ending(end) => {
                ready!(end.as_mut().poll(cx));
                None
            }
        })
    }

    /// Writes the last answer of HTTP and gives the stream to its shard.
    fn switch(&mut self, key: SlotKey, mut answer: Bytes, deflate_window: Option<u8>) {
        let Self { connection, io, .. } = self;
        connection.switched.set(true);
        drop(connection.io.take());
        let Some(io) = io.take() else { return };
        answer.advance(io.write_now(&answer));
        let taken = io.into_parts().zip(connection.permit.take());
        let command = match taken {
            Some(((socket, _), permit)) => {
                let leftover = Bytes::new();
                let stream =
                    AdoptedStream { socket, unsent: answer, leftover, permit, deflate_window };
                Command::Adopt { key, stream }
            }
            None => Command::HandshakeGone { key, poll: 0 },
        };
        connection.door.tell_now(key.shard, command);
    }

    /// Gives the stream to the shard until another request arrives.
    fn leave(&mut self) {
        drop(self.connection.io.take());
        let parts = self.io.take().and_then(ClientIo::into_parts);
        let (Some((socket, _)), Some(permit)) = (parts, self.connection.permit.take()) else {
            return;
        };
        let Connection { door, from, .. } = &*self.connection;
        let span = door.env().limits.keep_alive_timeout.saturating_sub(REST_AFTER);
        door.tell_later(door.own(), Command::Rest { socket, from: from.clone(), permit, span });
    }
}

impl Stage {
    fn after_greeting(connection: &Rc<Connection>, io: &ClientIo, first: Bytes) -> Self {
        if !connection.from.secure && first.len() > 2 && trunkline_tls::is_client_hello(&first) {
            return Self::without_tls(connection, io);
        }
        if begins_like_proxy_header(&first) {
            note_proxy_header(connection);
        }
        if let Some(direct) = direct::find(connection, &first) {
            let open = Box::pin(direct.open(Rc::clone(connection)));
            return Self::Opening { open, end: rest::End::new(io) };
        }
        io.set_first(first);
        Self::talking(connection, io)
    }

    /// Refuses a TLS handshake on a port without TLS, so that the client can tell.
    fn without_tls(connection: &Rc<Connection>, io: &ClientIo) -> Self {
        connection.count_stream_refused("tls_unexpected");
        if let Some(times) = connection.door.env().directory.note("tls_unexpected") {
            let client = connection.from.client();
            tracing::warn!(%client, times, "a TLS handshake on a port without TLS");
        }
        io.write_last_words(trunkline_tls::NO_TLS_HERE);
        let io = io.clone();
        Self::Ending(Box::pin(async move { io.linger().await }))
    }

    fn after_talk(connection: &Rc<Connection>, io: &ClientIo, talked: Talked) -> Option<Self> {
        let answered = match talked {
            Talked::Crowded => return Some(Self::talking(connection, io)),
            Talked::Rests => return Some(Self::rest(connection, io)),
            Talked::Unread(cause) => {
                connection.count_stream_refused(cause);
                // The kernel need not keep bytes that are never read.
                io.reset_at_end();
                return None;
            }
            Talked::TimedOut => end_late(connection, io),
            Talked::Ended(_) if io.is_broken() => {
                connection.count_stream_refused("malformed_request");
                true
            }
            Talked::Ended(Ok(())) => true,
            Talked::Ended(Err(error)) => end_broken(connection, io, &error),
        };
        // Lets the last answer arrive. A stream that has become a WebSocket belongs to another
        // task, and one beyond the limit is not kept for this.
        let lingers = answered && !connection.switched.get() && connection.beyond_max.is_none();
        let io = io.clone();
        lingers.then(|| Self::Ending(Box::pin(async move { io.linger().await })))
    }

    /// Begins the stage in which hyper has nothing to do for a while, see [`rest`].
    fn rest(connection: &Rc<Connection>, io: &ClientIo) -> Self {
        connection.answered.set(false);
        let at_start = io.rest();
        if let Some(poll) = connection.held.take() {
            return Self::Held { poll: Some(poll), end: rest::End::new(io) };
        }
        if io.has_unread() || !at_start {
            return Self::talking(connection, io);
        }
        let timeout = connection.door.env().limits.keep_alive_timeout;
        Self::Idle(Box::pin(tokio::time::sleep(timeout.min(REST_AFTER))))
    }

    /// Gives a reply to hyper, which starts anew with a request that stands in for the answered
    /// one.
    fn talking_with(connection: &Rc<Connection>, io: &ClientIo, reply: Reply) -> Self {
        connection.ready.set(Some(Box::new(reply)));
        io.set_unread(rest::stand_in(&io.rest_of_unread(Bytes::new())));
        Self::talking(connection, io)
    }

    fn talking(connection: &Rc<Connection>, io: &ClientIo) -> Self {
        Self::Talking(Box::pin(talk(Rc::clone(connection), io.clone())))
    }

    /// Whether the client has ended its stream while it waits for an answer.
    fn is_left(&mut self, io: &ClientIo, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Opening { end, .. } | Self::Held { end, .. } | Self::Answering { end, .. } => {
                end.poll(io, cx).is_ready()
            }
            Self::Greeting(_) | Self::Talking(_) | Self::Idle(_) | Self::Ending(_) => false,
        }
    }
}

/// The reason why hyper's part of a connection ended.
enum Talked {
    Ended(Result<(), hyper::Error>),
    /// A head was not complete in time, or no other request arrived.
    TimedOut,
    /// An answer was not read in time, or is no longer wanted: a slug of the reason.
    Unread(&'static str),
    /// A head has more headers than hyper has room for. Its bytes so far are to be read again.
    Crowded,
    /// The connection waits, see [`rest`]. Bytes after the last request are to be read again.
    Rests,
}

/// Speaks HTTP until the connection ends or can rest.
async fn talk(connection: Rc<Connection>, io: ClientIo) -> Talked {
    let limits = &connection.door.env().limits;
    let mut builder = http1::Builder::new();
    // This function keeps the deadlines itself: hyper has a single one for a head and for the wait
    // before it.
    builder
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes_max.max(8192))
        .half_close(false);
    let shared = Rc::clone(&connection);
    let service = service_fn(move |request| requests::handle(Rc::clone(&shared), request));
    if io.has_many_headers() {
        builder.max_headers(HEADERS_MAX);
    }
    let mut http = builder.serve_connection(io.clone(), service).with_upgrades();
    let mut alarm = Alarm::default();
    // Exists only while the kernel does not accept what is written.
    let mut unread = None;
    let ended = poll_fn(|cx| match Pin::new(&mut http).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(Talked::Ended(ended))),
        Poll::Pending if io.is_flushed() => {
            unread = None;
            connection.flight.set(None);
            if connection.can_rest() || io.holds() && !connection.under_way.get() {
                return Poll::Ready(None);
            }
            let rung = alarm.poll(connection.deadline(&io), cx);
            rung.map(|()| Some(Talked::TimedOut))
        }
        Poll::Pending => {
            let given_up = unread.get_or_insert_with(|| Box::pin(given_up(Rc::clone(&connection))));
            given_up.as_mut().poll(cx).map(|cause| Some(Talked::Unread(cause)))
        }
    });
    if let Some(ended) = ended.await {
        return ended;
    }
    // The connection has not been upgraded, so hyper still has its parts.
    let leftover = http.into_parts().map(|parts| parts.read_buf).unwrap_or_default();
    let crowded = io.holds() && !connection.can_rest();
    // A copy, because even an empty slice keeps hyper's buffer.
    let leftover = Bytes::copy_from_slice(&io.rest_of_unread(leftover));
    if !leftover.is_empty() {
        io.set_unread(leftover);
    }
    if crowded { Talked::Crowded } else { Talked::Rests }
}

/// Waits until an unread answer is given up, and notifies its session. Returns a slug of the
/// reason.
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
    // The answer's packets are lost, and the session with them.
    let gone = Command::HandshakeGone { key: flight.key, poll: flight.poll };
    connection.door.tell(flight.key.site(), gone).await;
    "answer_timeout"
}

/// Counts and logs a PROXY header where none is read: HTTP goes on to refuse it.
fn note_proxy_header(connection: &Connection) {
    let cause = "proxy_header_unexpected";
    connection.count_stream_refused(cause);
    if let Some(times) = connection.door.env().directory.note(cause) {
        tracing::warn!(
            address = %connection.from.client(), cause, times,
            "streams refused: they begin with a PROXY header, but their address is not in trusted_proxies, or proxy_protocol is off"
        );
    }
}

/// Ends a connection whose client did not send the awaited bytes in time. True when it sent an
/// answer.
fn end_late(connection: &Connection, io: &ClientIo) -> bool {
    if io.head_begun().is_none() && connection.used.get() {
        return false; // An idle connection that was kept alive long enough.
    }
    io.write_last_words(
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    connection.count_stream_refused("header_timeout");
    true
}

/// Counts a connection that ended in an error. True when hyper sent an answer.
fn end_broken(connection: &Connection, io: &ClientIo, error: &hyper::Error) -> bool {
    let cause = if error.is_parse_too_large() {
        "header_too_large"
    } else if error.is_parse() {
        "malformed_request"
    } else if error.is_user() {
        "aborted"
    } else {
        // Before a request and between two requests an end is ordinary, even a reset: health checks
        // and proxies do that.
        let asked = connection.under_way.get() || io.head_begun().is_some();
        if asked || !io.is_flushed() {
            connection.door.env().metrics.streams_broken.inc();
        }
        return false;
    };
    connection.count_stream_refused(cause);
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
