//! Serving one client's stream: HTTP until it becomes a WebSocket or ends.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::task::spawn_local;
use tokio::time::{Sleep, sleep_until};

use super::connection::Connection;
use super::io::ClientIo;
use super::{poll, requests, rest};
use crate::door::Door;
use crate::permits::StreamPermit;
use crate::reserve::Claim;
use crate::shard::Command;
use crate::socket::Socket;
use crate::watched::Watched;

/// Headers of a request, where there are more than hyper's usual room is for: what 16 KiB can hold.
const HEADERS_MAX: usize = 4096;

/// Serves a fresh stream in a task of this thread.
pub(crate) fn serve(door: Door, socket: Socket, address: SocketAddr, permit: StreamPermit) {
    let connection = Rc::new(Connection::new(door, address, permit));
    match connection.beyond_max.clone() {
        None => spawn_local(serve_to_the_end(connection, socket)),
        Some(claim) => spawn_local(serve_while_wanted(connection, socket, claim)),
    };
}

/// Serves a stream that is one too many: it may have to make room for another.
async fn serve_while_wanted(connection: Rc<Connection>, socket: Socket, claim: Arc<Claim>) {
    tokio::select! {
        () = serve_to_the_end(Rc::clone(&connection), socket) => (),
        () = claim.evicted() => connection.count_stream_refused("streams_full"),
    }
}

async fn serve_to_the_end(connection: Rc<Connection>, socket: Socket) {
    let Ok(stream) = Watched::new(socket) else { return };
    let io = ClientIo::new(stream);
    connection.io.set(Some(io.clone()));
    loop {
        match talk(&connection, &io).await {
            Talked::Ended(ended) => {
                let answered = match ended {
                    _ if io.heads().is_broken() => {
                        connection.count_stream_refused("malformed_request");
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
                connection.count_stream_refused(cause);
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
    let service = service_fn(move |request| requests::handle(Rc::clone(&shared), request));
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
        reply = poll::reply_to(*held, connection) => reply,
    };
    connection.ready.set(Some(reply));
    io.set_unread(rest::stand_in(&leftover));
    true
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
    connection.count_stream_refused("header_timeout");
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
