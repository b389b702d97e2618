//! The clients of these tests: handshakes, polls, posts and WebSockets.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use trunkline_engineio::{Protocol, TransportKind};
use trunkline_trunk::{ClientRequest, Header, SessionNumber, Str, Transport};
use trunkline_websocket::{Opcode, encode};

use super::app::App;
use super::wire::Wire;
use super::world::World;
use crate::reply::{self, Awaited, TryRecvError};
use crate::shard::ClientToken;
use crate::shard::command::{AdoptedStream, Answer, Asked, Command, PostBegun, SlotKey, WholePost};
use crate::shard::opening::OpenRequest;
use crate::sid::Sid;
use crate::socket::Socket;

/// A client's handshake that is not answered yet.
pub(super) struct Handshake {
    pub(super) key: Option<Rc<Cell<SlotKey>>>,
    pub(super) poll: u32,
    pub(super) answer: Awaited<Answer>,
}

/// The properties of a client in its handshake, in addition to the transport.
#[derive(Clone)]
pub(super) struct ClientKind {
    pub(super) protocol: Protocol,
    pub(super) base64_only: bool,
    /// The number of the callback, if the client polls with scripts.
    pub(super) jsonp: Option<&'static str>,
    /// What its token says.
    pub(super) token: ClientToken,
    /// Its address, if that is counted.
    pub(super) ip: Option<IpAddr>,
}

impl Default for ClientKind {
    fn default() -> Self {
        Self {
            protocol: Protocol::V4,
            base64_only: false,
            jsonp: None,
            token: ClientToken::default(),
            ip: None,
        }
    }
}

/// A client with a session.
pub(super) struct Client {
    pub(super) key: SlotKey,
    pub(super) number: SessionNumber,
    pub(super) sid: Sid,
    pub(super) protocol: Protocol,
    /// The WebSocket; without effect while the client only polls.
    pub(super) wire: Wire,
    unparsed: RefCell<Vec<u8>>,
}

/// A GET of a client that polls.
pub(super) struct Poll {
    pub(super) number: u32,
    answer: Awaited<Answer>,
}

/// A POST of a client that polls.
pub(super) struct Post {
    begun: Awaited<PostBegun>,
    pub(super) cut: Option<Awaited<()>>,
    answer: Option<Awaited<Answer>>,
}

impl World {
    pub(super) fn handshake(&mut self, transport: TransportKind) -> Handshake {
        let (reply, answer) = reply::pair();
        let poll = self.poll_number();
        let gate = &self.env.gate;
        let open_session = |ip| gate.open_session(&gate.rules(), ip).expect("within its limits");
        let guest = self.kind.ip.and_then(open_session);
        let open = OpenRequest {
            hub: Arc::clone(&self.hub),
            protocol: self.kind.protocol,
            transport,
            base64_only: self.kind.base64_only,
            jsonp: self.kind.jsonp.map(Box::from),
            request: client_request(),
            token: self.kind.token.clone(),
            guest,
            poll,
            reply,
        };
        let key = self.shard.open(self.now, open);
        self.run();
        Handshake { key, poll, answer }
    }

    /// Lets the client of a handshake go away.
    pub(super) fn handshake_gone(&mut self, handshake: Handshake) {
        let Handshake { key, poll, answer } = handshake;
        drop(answer);
        let key = key.expect("it was put before an app server").get();
        self.tell(Command::HandshakeGone { key, poll });
    }

    /// Opens a session that polls; the client has read the open packet.
    pub(super) fn polling(&mut self, app: &App) -> Client {
        let mut handshake = self.handshake(TransportKind::Polling);
        let (number, sid) = app.newcomer();
        self.app_accepts(app, number);
        let open = handshake.said();
        let open = open.trim_start_matches(|c: char| c.is_ascii_digit() && c != '0' || c == ':');
        assert!(open.starts_with("0{\"sid\":"), "{open}");
        Client::new(handshake.key(), number, sid, Wire::default()).speaking(self.kind.protocol)
    }

    /// Opens a session over a WebSocket; the client has read the open packet.
    pub(super) fn websocket(&mut self, app: &App) -> Client {
        let mut handshake = self.handshake(TransportKind::WebSocket);
        let (number, sid) = app.newcomer();
        self.app_accepts(app, number);
        let client = self.adopt(&mut handshake, number, sid).speaking(self.kind.protocol);
        let said = client.reads();
        assert!(said.len() == 1 && said[0].starts_with("0{\"sid\":"), "{said:?}");
        client
    }

    /// Gives the client of an accepted handshake its WebSocket.
    pub(super) fn adopt(
        &mut self,
        handshake: &mut Handshake,
        number: SessionNumber,
        sid: Sid,
    ) -> Client {
        let Ok(Answer::Switch { key, first, .. }) = handshake.answer.try_recv() else {
            panic!("no WebSocket was promised");
        };
        let wire = Wire::default();
        if !first.is_empty() {
            wire.write(&[first]).expect("there is room");
        }
        let client = Client::new(key, number, sid, wire);
        let stream = self.adopted(&client.wire, b"");
        self.tell(Command::Adopt { key, stream });
        client
    }

    /// A WebSocket in the form in which the HTTP side hands it over.
    pub(super) fn adopted(&mut self, wire: &Wire, leftover: &[u8]) -> AdoptedStream {
        self.wires.push(wire.clone());
        AdoptedStream {
            socket: Socket::Wire(wire.clone()),
            unsent: Bytes::new(),
            leftover: Bytes::copy_from_slice(leftover),
            permit: self.streams.permit().expect("there are enough"),
            deflate_window: self.deflate_window,
        }
    }

    /// Opens a second WebSocket of the client that probes to take over.
    pub(super) fn probe(&mut self, client: &Client) {
        self.probe_with(client, b"");
    }

    pub(super) fn probe_with(&mut self, client: &Client, leftover: &[u8]) {
        let stream = self.adopted(&client.wire, leftover);
        self.tell(Command::Probe { key: client.key, base64_only: false, stream });
    }

    // Clients.

    pub(super) fn poll_number(&mut self) -> u32 {
        self.polls += 1;
        self.polls
    }

    pub(super) fn poll(&mut self, client: &Client) -> Poll {
        let (reply, answer) = reply::pair();
        let number = self.poll_number();
        self.tell(Command::Poll { asked: client.asked(), poll: number, reply });
        Poll { number, answer }
    }

    /// Ends the connection of a poll.
    pub(super) fn poll_gone(&mut self, client: &Client, poll: Poll) {
        let Poll { number, answer } = poll;
        drop(answer);
        self.tell(Command::PollGone { sid: client.sid, poll: number });
    }

    /// Begins a POST whose body has not arrived yet.
    pub(super) fn begin_post(&mut self, client: &Client) -> Post {
        let (reply, begun) = reply::pair();
        self.tell(Command::PostBegin { asked: client.asked(), reply });
        Post { begun, cut: None, answer: None }
    }

    /// Sends the body of a POST, if the shard wants it.
    pub(super) fn finish_post(&mut self, client: &Client, post: &mut Post, body: &str) -> String {
        self.finish_post_of(client, post, (false, body.as_bytes()))
    }

    /// Sends the body of a POST as bytes; `binary` is how the client declares them.
    pub(super) fn finish_post_of(
        &mut self,
        client: &Client,
        post: &mut Post,
        (binary, body): (bool, &[u8]),
    ) -> String {
        match post.begun.try_recv() {
            Ok(PostBegun::Wanted { key, cut, .. }) => {
                assert_eq!(key, client.key);
                post.cut = Some(cut);
                let (reply, answer) = reply::pair();
                let body = Bytes::copy_from_slice(body);
                self.tell(Command::PostBody { key, binary, body, reply });
                post.answer = Some(answer);
                post.said()
            }
            Ok(PostBegun::Refused(refusal)) => format!("refused {:?}", refusal.error),
            Ok(PostBegun::Status(status)) => format!("status {status}"),
            Ok(PostBegun::Unavailable(why)) => why.slug().into(),
            Err(_) => "waits".into(),
        }
    }

    /// A POST whose body arrived together with its head.
    pub(super) fn post_whole(&mut self, client: &Client, body: &str) -> Post {
        let (reply, answer) = reply::pair();
        let (_, begun) = reply::pair();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let post = WholePost { asked: client.asked(), binary: false, body, reply };
        self.tell(Command::Post(Box::new(post)));
        Post { begun, cut: None, answer: Some(answer) }
    }

    pub(super) fn post(&mut self, client: &Client, body: &str) -> String {
        let mut post = self.begin_post(client);
        self.finish_post(client, &mut post, body)
    }

    /// Sends a packet of the client over its WebSocket.
    pub(super) fn client_says(&mut self, client: &Client, text: &str) {
        client.writes(text);
        self.run();
    }

    pub(super) fn client_ends(&mut self, client: &Client) {
        client.wire.client_ends();
        self.run();
    }

    /// Lets the client read this many more bytes; `None`: all that arrive.
    pub(super) fn client_takes(&mut self, client: &Client, bytes: Option<usize>) {
        client.wire.set_room(bytes);
        self.run();
    }
}

impl Handshake {
    pub(super) fn key(&self) -> SlotKey {
        self.key.as_ref().expect("it was put before an app server").get()
    }

    pub(super) fn said(&mut self) -> String {
        said(&mut self.answer)
    }
}

impl Handshake {
    /// The answer in words, if there is one; the promise of a WebSocket can still be taken.
    pub(super) fn peek(&mut self) -> Option<String> {
        match self.answer.try_recv() {
            Ok(answer @ Answer::Switch { .. }) => {
                let (reply, again) = reply::pair();
                let _ = reply.send(answer);
                self.answer = again;
                Some("switch".into())
            }
            Ok(answer) => {
                let (reply, mut again) = reply::pair();
                let _ = reply.send(answer);
                Some(said(&mut again))
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some("dropped".into()),
        }
    }
}

impl Poll {
    /// The answer, unchanged.
    pub(super) fn take(&mut self) -> Option<Answer> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Answer::Abort),
        }
    }

    /// The answer in words; the client has read all of it.
    pub(super) fn said(&mut self) -> String {
        said(&mut self.answer)
    }

    /// The answer, which the client has not read yet.
    pub(super) fn unread(&mut self) -> Answer {
        self.answer.try_recv().expect("there is one")
    }
}

impl Post {
    pub(super) fn said(&mut self) -> String {
        self.answer.as_mut().map_or_else(|| "waits".into(), said)
    }

    /// Checks that the body is wanted, so that it can be sent. True when it is a form.
    pub(super) fn is_wanted(&mut self) -> bool {
        let Ok(PostBegun::Wanted { cut, jsonp, .. }) = self.begun.try_recv() else {
            panic!("the post is not wanted");
        };
        self.cut = Some(cut);
        jsonp
    }

    /// Like [`Self::is_wanted`], but the body need not be wanted.
    pub(super) fn is_begun(&mut self) -> bool {
        if let Ok(PostBegun::Wanted { cut, .. }) = self.begun.try_recv() {
            self.cut = Some(cut);
        }
        self.cut.is_some()
    }

    /// Whether the body has arrived and is being processed.
    pub(super) fn is_under_way(&self) -> bool {
        self.answer.is_some()
    }

    pub(super) fn is_cut(&mut self) -> bool {
        self.cut.as_mut().is_some_and(|cut| cut.try_recv() == Err(TryRecvError::Closed))
    }
}

/// A client's answer in words.
pub(super) fn said(answer: &mut Awaited<Answer>) -> String {
    match answer.try_recv() {
        Ok(Answer::Payload(payload)) => String::from_utf8_lossy(&payload.body).replace('\x1e', "|"),
        Ok(Answer::Ok { .. }) => "ok".into(),
        Ok(Answer::Status(status)) => format!("status {status}"),
        Ok(Answer::Relayed(response)) => format!("relayed {}", response.status),
        Ok(Answer::Switch { .. }) => "switch".into(),
        Ok(Answer::Refused(refusal)) => format!("refused {:?}", refusal.error),
        Ok(Answer::Unavailable(why)) => why.slug().into(),
        Ok(Answer::Abort) => "abort".into(),
        Err(TryRecvError::Empty) => "waits".into(),
        Err(TryRecvError::Closed) => "dropped".into(),
    }
}

impl Client {
    pub(super) fn new(key: SlotKey, number: SessionNumber, sid: Sid, wire: Wire) -> Self {
        Self { key, number, sid, protocol: Protocol::V4, wire, unparsed: RefCell::default() }
    }

    pub(super) fn speaking(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    pub(super) fn asked(&self) -> Asked {
        Asked { sid: self.sid, protocol: self.protocol, hub: 0 }
    }

    /// Writes a packet to the client's WebSocket; the shard has not read it yet.
    pub(super) fn writes(&self, text: &str) {
        self.wire.client_writes(&frame(Opcode::Text, text.as_bytes()));
    }

    /// What arrived over the WebSocket since the last call, in words.
    pub(super) fn reads(&self) -> Vec<String> {
        let mut bytes = self.unparsed.borrow_mut();
        bytes.extend(self.wire.client_reads());
        let mut said = Vec::new();
        while let Some((length, words)) = parse(&bytes) {
            bytes.drain(..length);
            said.push(words);
        }
        said
    }
}

/// A frame, masked as by a client.
pub(super) fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    encode(opcode, payload, Some([1, 2, 3, 4]))
}

/// One frame of a server, if it is complete.
fn parse(bytes: &[u8]) -> Option<(usize, String)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match second {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        length => (2, u64::from(length)),
    };
    let end = start + usize::try_from(length).ok()?;
    let payload = bytes.get(start..end)?;
    let text = String::from_utf8_lossy(payload);
    let words = match first & 0x0f {
        1 => text.into_owned(),
        2 => format!("binary {text}"),
        8 if payload.is_empty() => "close".into(),
        8 => format!("close {}", u16::from_be_bytes([payload[0], payload[1]])),
        10 => format!("pong {text}"),
        other => format!("opcode {other}"),
    };
    Some((end, words))
}

fn client_request() -> ClientRequest {
    ClientRequest {
        transport: Transport::Polling,
        secure: false,
        address: "127.0.0.9".into(),
        port: 5,
        method: "GET".into(),
        url: "/socket.io/?EIO=4&transport=polling".into(),
        headers: vec![
            Header { name: "host".into(), value: "chat.example.com".into() },
            Header { name: "cookie".into(), value: "a=1".into() },
        ],
        claims: Str::EMPTY,
    }
}
