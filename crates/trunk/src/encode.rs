//! Encodes frames, or their bare fields, at the end of a batch (section 2).
//!
//! A body is walked twice, first to measure and then to write, so nothing is buffered in between.
//! The functions take plain fields so that the hot path builds no [`Frame`].
//!
//! They panic when a body would be 4 GiB or longer, which `batch_bytes_max` prevents.

use bytes::{BufMut, BytesMut};

use crate::frame::{Frame, NamespaceNumber, RequestId, SessionNumber};
use crate::kind::FrameKind;
use crate::sink::{Sink, body_length, varint_length};
use crate::values::{CloseCode, EioVersion, ErrorCode, Origin, RequestCode, SendFlags, Transport};
use crate::{DESCRIPTION_BYTES_MAX, HEAD_BYTES_MAX, TOKEN_BYTES_MAX};

/// A client's request with borrowed fields.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a, H> {
    /// The transport that the client asked for.
    pub transport: Transport,
    /// Whether the client's connection is encrypted.
    pub secure: bool,
    /// The client's IP address as text.
    pub address: &'a str,
    /// The client's port.
    pub port: u16,
    /// The HTTP method.
    pub method: &'a str,
    /// Path and query exactly as the client sent them.
    pub url: &'a str,
    /// Pairs of name (lower case) and value; iterated several times.
    pub headers: H,
    /// JSON object of verified token claims, or empty.
    pub claims: &'a str,
}

/// Appends a `Message`; its cost is [`message_cost`].
pub fn encode_message(out: &mut BytesMut, session: SessionNumber, binary: bool, payload: &[u8]) {
    put_frame(out, FrameKind::Message, |to| {
        to.varint(session.0);
        to.u8(binary.into());
        to.raw(payload);
    });
}

/// Appends a `Send`; its cost is that of a `Message` with the same payload.
pub fn encode_send(out: &mut BytesMut, session: SessionNumber, flags: SendFlags, payload: &[u8]) {
    put_frame(out, FrameKind::Send, |to| {
        to.varint(session.0);
        to.u8(flags.to_wire());
        to.raw(payload);
    });
}

/// Appends a `Close`; a description longer than [`DESCRIPTION_BYTES_MAX`] is cut between
/// characters.
pub fn encode_close(
    out: &mut BytesMut,
    session: SessionNumber,
    reason: impl Into<CloseCode>,
    description: &str,
) {
    let code = reason.into();
    put_frame(out, FrameKind::Close, |to| {
        to.varint(session.0);
        to.u8(code.0);
        to.raw(description_bytes(description));
    });
}

/// Appends an `Upgraded`.
pub fn encode_upgraded(out: &mut BytesMut, session: SessionNumber, transport: Transport) {
    put_frame(out, FrameKind::Upgraded, |to| {
        to.varint(session.0);
        to.u8(transport.to_wire());
    });
}

/// Appends an `Open`.
pub fn encode_open<'a, H>(
    out: &mut BytesMut,
    session: SessionNumber,
    eio: EioVersion,
    sid: &str,
    request: &RequestView<'a, H>,
) where
    H: IntoIterator<Item = (&'a str, &'a str)> + Clone,
{
    put_frame(out, FrameKind::Open, |to| {
        to.varint(session.0);
        to.u8(eio.to_wire());
        to.bytes(sid.as_bytes());
        to.view(request);
    });
}

impl crate::frame::Open {
    /// Appends the `Open` to `out`, for a caller that keeps the body.
    pub fn encode(&self, out: &mut BytesMut) {
        put_frame(out, FrameKind::Open, |to| {
            to.varint(self.session.0);
            to.open(self);
        });
    }
}

/// One socket of an `Adopt`, with borrowed fields.
#[derive(Clone, Copy, Debug)]
pub struct AdoptedView<'a, R> {
    /// The name of the namespace.
    pub nsp: &'a str,
    /// The Socket.IO id.
    pub socket: &'a str,
    /// The private id.
    pub pid: &'a str,
    /// The socket's rooms, without the one that has its id as its name.
    pub rooms: &'a [R],
    /// The socket's last state.
    pub state: &'a [u8],
}

/// A session that another app server is to take over, with borrowed fields.
#[derive(Clone, Copy, Debug)]
pub struct AdoptView<'a> {
    /// The session.
    pub session: SessionNumber,
    /// The client's version of Engine.IO.
    pub eio: EioVersion,
    /// The session id that the client has.
    pub sid: &'a str,
    /// The session's present transport.
    pub transport: Transport,
    /// Why the session needs another app server.
    pub origin: Origin,
}

/// Appends an `Adopt`; the sockets are iterated several times.
pub fn encode_adopt<'a, 'b, H, S, R>(
    out: &mut BytesMut,
    adopt: &AdoptView<'_>,
    request: &RequestView<'a, H>,
    sockets: S,
) where
    H: IntoIterator<Item = (&'a str, &'a str)> + Clone,
    S: IntoIterator<Item = AdoptedView<'b, R>> + Clone,
    R: AsRef<str> + 'b,
{
    put_frame(out, FrameKind::Adopt, |to| {
        to.varint(adopt.session.0);
        to.u8(adopt.eio.to_wire());
        to.bytes(adopt.sid.as_bytes());
        to.u8(adopt.transport.to_wire());
        to.u8(adopt.origin.to_wire());
        to.view(request);
        to.length(sockets.clone().into_iter().count());
        for socket in sockets.clone() {
            to.bytes(socket.nsp.as_bytes());
            to.bytes(socket.socket.as_bytes());
            to.bytes(socket.pid.as_bytes());
            to.length(socket.rooms.len());
            for room in socket.rooms {
                to.bytes(room.as_ref().as_bytes());
            }
            to.bytes(socket.state);
        }
    });
}

/// Appends a `Request`.
pub fn encode_request<'a, H>(
    out: &mut BytesMut,
    request_id: RequestId,
    code: RequestCode,
    context: &str,
    request: &RequestView<'a, H>,
) where
    H: IntoIterator<Item = (&'a str, &'a str)> + Clone,
{
    put_frame(out, FrameKind::Request, |to| {
        to.varint(request_id.0);
        to.u8(code.to_wire());
        to.bytes(context.as_bytes());
        to.view(request);
    });
}

/// Appends a `Credit`.
pub fn encode_credit(out: &mut BytesMut, bytes: u32) {
    put_frame(out, FrameKind::Credit, |to| to.varint(bytes));
}

/// Appends a `Drain`.
pub fn encode_drain(out: &mut BytesMut, deadline_ms: u32) {
    put_frame(out, FrameKind::Drain, |to| to.varint(deadline_ms));
}

/// Appends an `Error`.
pub fn encode_error(out: &mut BytesMut, code: ErrorCode, message: &str) {
    put_frame(out, FrameKind::Error, |to| {
        to.varint(code.to_wire());
        to.bytes(message.as_bytes());
    });
}

/// Appends a `Got`.
pub fn encode_got(out: &mut BytesMut, batches: u32) {
    put_frame(out, FrameKind::Got, |to| to.varint(batches));
}

/// Appends a `Namespace`.
pub fn encode_namespace(out: &mut BytesMut, nsp: NamespaceNumber, name: &str) {
    put_frame(out, FrameKind::Namespace, |to| {
        to.varint(nsp.0);
        to.bytes(name.as_bytes());
    });
}

/// Appends a `Peers`; the ids are iterated several times.
pub fn encode_peers<'a, S>(out: &mut BytesMut, servers: S)
where
    S: IntoIterator<Item = &'a str> + Clone,
{
    put_frame(out, FrameKind::Peers, |to| {
        to.length(servers.clone().into_iter().count());
        for server in servers.clone() {
            to.bytes(server.as_bytes());
        }
    });
}

/// Appends a `Relayed`; `from` is the id of the app server that sent the payload.
pub fn encode_relayed(out: &mut BytesMut, from: &str, payload: &[u8]) {
    put_frame(out, FrameKind::Relayed, |to| {
        to.bytes(from.as_bytes());
        to.raw(payload);
    });
}

/// The cost of a `Message` or a `Send`: the length of its body in bytes (section 5).
pub fn message_cost(session: SessionNumber, payload_bytes: usize) -> u32 {
    body_length(varint_length(session.0) + 1 + payload_bytes)
}

impl Frame {
    /// Appends the frame: type, length, body.
    pub fn encode(&self, out: &mut BytesMut) {
        put_frame(out, self.kind(), |to| self.write_body(to));
    }

    /// The length of the whole frame in bytes: type, length, body.
    pub fn encoded_length(&self) -> usize {
        let body = self.body_length();
        1 + varint_length(body) + body as usize
    }

    /// The cost of a data frame in bytes; `None` for a frame that is free (section 5).
    pub fn data_cost(&self) -> Option<u32> {
        self.kind().is_data().then(|| self.body_length())
    }

    fn body_length(&self) -> u32 {
        measure(|to| self.write_body(to))
    }

    fn write_body(&self, to: &mut Sink<'_>) {
        if let Some(session) = self.session() {
            to.varint(session.0);
            return self.write_after_session(to);
        }
        match self {
            Self::Hello(hello) => to.hello(hello),
            Self::Welcome(welcome) => to.welcome(welcome),
            Self::Error { code, message } => {
                to.varint(code.to_wire());
                to.str(message);
            }
            Self::Ping { token } | Self::Pong { token } => {
                to.raw(&token[..token.len().min(TOKEN_BYTES_MAX)]);
            }
            Self::Credit { bytes } => to.varint(*bytes),
            Self::Drain { deadline_ms } => to.varint(*deadline_ms),
            Self::Settings { settings } => to.str(settings),
            Self::Request(request) => to.request(request),
            Self::Response { request_id, response } => {
                to.varint(request_id.0);
                to.response(response);
            }
            Self::Namespace { nsp, name } => {
                to.varint(nsp.0);
                to.str(name);
            }
            Self::Release { nsp } => to.varint(nsp.0),
            Self::Broadcast(broadcast) => to.broadcast(broadcast, None),
            Self::Recorded { offset, broadcast } => to.broadcast(broadcast, Some(offset)),
            Self::Peers { servers } => to.list(servers, Sink::str),
            Self::Relay { to: servers, payload } => {
                to.list(servers, Sink::str);
                to.raw(payload);
            }
            Self::Relayed { from, payload } => {
                to.str(from);
                to.raw(payload);
            }
            Self::Restore { request_id, nsp, pid, offset } => {
                to.varint(request_id.0);
                to.varint(nsp.0);
                to.str(pid);
                to.str(offset);
            }
            Self::Restored(restored) => to.restored(restored),
            Self::Number { next } => to.long(*next),
            Self::RestoredAt(restored) => to.restored_at(restored),
            Self::Proved { request_id, holds } => {
                to.varint(request_id.0);
                to.u8((*holds).into());
            }
            Self::GiveBack { nsp, pid } => {
                to.varint(nsp.0);
                to.str(pid);
            }
            Self::Call { request_id, name, arguments } => {
                to.varint(request_id.0);
                to.str(name);
                to.str(arguments);
            }
            Self::Called { request_id, done, answer } => {
                to.varint(request_id.0);
                to.u8((*done).into());
                to.str(answer);
            }
            Self::Handled { begun, done } => {
                to.varint(*begun);
                to.varint(*done);
            }
            Self::Got { batches } => to.varint(*batches),
            Self::Nodes { nodes } => to.list(nodes, Sink::listed_node),
            Self::Load { sessions, lag_ms } => {
                to.varint(*sessions);
                to.varint(*lag_ms);
            }
            Self::Operate(operate) => to.operate(operate),
            Self::Unhomed { waiting } => to.u8((*waiting).into()),
            Self::Open(_)
            | Self::Accept { .. }
            | Self::Reject { .. }
            | Self::Message { .. }
            | Self::Send { .. }
            | Self::Close { .. }
            | Self::Upgraded { .. }
            | Self::Mark { .. }
            | Self::Marked { .. }
            | Self::Attach { .. }
            | Self::Beside { .. }
            | Self::Choose { .. }
            | Self::Detach { .. }
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::Persist(_)
            | Self::Reattach(_)
            | Self::Prove { .. }
            | Self::Adopt(_)
            | Self::State(_)
            | Self::Standing { .. } => unreachable!("{} has a session", self.kind()),
        }
    }

    fn write_after_session(&self, to: &mut Sink<'_>) {
        match self {
            Self::Open(open) => to.open(open),
            Self::Accept { session: _, sid, headers, lasting } => {
                to.str(sid);
                to.list(headers, Sink::header);
                to.list(lasting, Sink::header);
            }
            Self::Reject { session: _, response } => to.response(response),
            Self::Message { session: _, binary, payload } => {
                to.u8((*binary).into());
                to.raw(payload);
            }
            Self::Send { session: _, flags, payload } => {
                to.u8(flags.to_wire());
                to.raw(payload);
            }
            Self::Close { session: _, reason, description } => {
                to.u8(reason.0);
                to.raw(description_bytes(description));
            }
            Self::Upgraded { session: _, transport } => to.u8(transport.to_wire()),
            Self::Mark { session: _, mark, now } => {
                to.varint(*mark);
                to.u8((*now).into());
            }
            Self::Marked { session: _, mark, waiting_bytes } => {
                to.varint(*mark);
                to.varint(*waiting_bytes);
            }
            Self::Attach { session: _, nsp, socket, rooms }
            | Self::Beside { session: _, nsp, socket, rooms } => {
                to.varint(nsp.0);
                to.str(socket);
                to.list(rooms, Sink::str);
            }
            Self::Choose { session: _, nsp, socket } => {
                to.varint(nsp.0);
                to.str(socket);
            }
            Self::Detach { session: _, nsp } => to.varint(nsp.0),
            Self::Join { session: _, nsp, rooms } | Self::Leave { session: _, nsp, rooms } => {
                to.varint(nsp.0);
                to.list(rooms, Sink::str);
            }
            Self::Persist(persist) => to.persist(persist),
            Self::Reattach(reattach) => to.reattach(reattach),
            Self::Adopt(adopt) => to.adopt(adopt),
            Self::State(state) => to.state(state),
            Self::Standing { session: _, flags } => to.u8(flags.to_wire()),
            Self::Prove { session: _, request_id, cut } => {
                to.varint(request_id.0);
                to.list(cut, Sink::position);
            }
            Self::Hello(_)
            | Self::Welcome(_)
            | Self::Error { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Credit { .. }
            | Self::Drain { .. }
            | Self::Settings { .. }
            | Self::Request(_)
            | Self::Response { .. }
            | Self::Namespace { .. }
            | Self::Release { .. }
            | Self::Broadcast(_)
            | Self::Recorded { .. }
            | Self::Peers { .. }
            | Self::Relay { .. }
            | Self::Relayed { .. }
            | Self::Restore { .. }
            | Self::Restored(_)
            | Self::Number { .. }
            | Self::RestoredAt(_)
            | Self::Proved { .. }
            | Self::GiveBack { .. }
            | Self::Call { .. }
            | Self::Called { .. }
            | Self::Handled { .. }
            | Self::Got { .. }
            | Self::Nodes { .. }
            | Self::Load { .. }
            | Self::Operate(_)
            | Self::Unhomed { .. } => unreachable!("{} has no session", self.kind()),
        }
    }
}

/// Writes type, length and body; the length is measured before anything is written.
fn put_frame(out: &mut BytesMut, kind: FrameKind, body: impl Fn(&mut Sink<'_>)) {
    let length = measure(&body);
    out.reserve(HEAD_BYTES_MAX + length as usize);
    out.put_u8(kind as u8);
    let mut to = Sink::Write(out);
    to.varint(length);
    body(&mut to);
}

fn measure(body: impl Fn(&mut Sink<'_>)) -> u32 {
    let mut to = Sink::Measure(0);
    body(&mut to);
    match to {
        Sink::Measure(length) => body_length(length),
        Sink::Write(_) => unreachable!("a body does not replace its sink"),
    }
}

/// The longest beginning of the text that a `Close` can carry.
fn description_bytes(text: &str) -> &[u8] {
    let mut end = text.len().min(DESCRIPTION_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}
