//! The Socket.IO server of a hub without app servers.

use core::mem;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_socketio::{Packet, PacketKind, encode, event_name, parse};

use super::answer::Answered;
use super::event::{self, Event, EventKind, Facts, SocketFacts};
use super::settings::Settings;
use super::socket::{self, Socket, SocketKey, State};
use super::waiting::Waiting;

/// The longest name of a namespace, in bytes.
const NAMESPACE_BYTES_MAX: usize = 256;
/// The longest name of an event that handlers are told, in bytes: it stands in a URL and in a header.
const EVENT_NAME_BYTES_MAX: usize = 1024;

/// One call of a handler that is under way.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallKey(pub(crate) u64);

/// What the caller has to do, in order.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Output {
    /// Tell a handler; then [`Machine::handle_answer`], unless `call` is `None`: nobody waits for that answer.
    Call { call: Option<CallKey>, event: Event },
    /// End the client's connection.
    Close { session: u32, cause: CloseCause },
    /// A handler's answer: one Engine.IO payload for the client, as it is.
    Deliver { session: u32, payload: Bytes },
    /// The client is a socket of this namespace: it is in the group of the namespace and in that of its own id.
    Enter { session: u32, socket: Arc<SocketFacts> },
    /// It is no more, and in none of the namespace's groups.
    Exit { session: u32, namespace: Box<str> },
    /// Something a client sent led to nothing; to be counted.
    Ignored(Ignored),
    /// One Engine.IO message, a text.
    Send { session: u32, text: String },
}

/// Why the machine ends a connection. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CloseCause {
    /// It sent events faster than the handler answers.
    EventsWaiting,
    /// It entered no namespace in time.
    NamespaceTimeout,
    /// A message that is no packet, or one that must not come now.
    PacketInvalid,
}

/// What of a client leads to nothing. Alphabetical.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ignored {
    /// An acknowledgement: no handler can ask for one.
    Ack,
    /// A binary event: the contract with handlers has none.
    Binary,
    /// An event whose name is too long for a URL and a header.
    EventName,
    /// An event that no handler is configured for.
    NoHandler,
}

#[derive(Debug)]
pub(crate) struct Machine {
    settings: Settings,
    sessions: HashMap<u32, Session>,
    sockets: HashMap<SocketKey, Socket>,
    calls: HashMap<CallKey, Asked>,
    /// When sessions without a socket are closed.
    deadlines: BTreeSet<(Timestamp, u32)>,
    outputs: VecDeque<Output>,
    /// Bytes of events that wait for their turn or for their answer.
    waiting: Waiting,
    /// The last number given to a socket or call.
    last_key: u64,
}

/// A call whose answer is awaited.
#[derive(Debug)]
struct Asked {
    key: SocketKey,
    user_event: bool,
    facts: Arc<SocketFacts>,
    /// Bytes of its event.
    cost: usize,
}

#[derive(Debug)]
struct Session {
    facts: Arc<Facts>,
    /// By namespace; those that have left are not in here.
    sockets: BTreeMap<Box<str>, SocketKey>,
    /// When it is closed, unless it has become a socket by then.
    deadline: Option<Timestamp>,
    /// Binary messages to come that belong to a packet that is ignored.
    attachments: u32,
}

impl Machine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            sessions: HashMap::new(),
            sockets: HashMap::new(),
            calls: HashMap::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
            waiting: Waiting::default(),
            last_key: 0,
        }
    }

    /// A client's handshake was accepted.
    pub(crate) fn handle_open(&mut self, now: Timestamp, session: u32, facts: Facts) {
        let at = now + self.settings.connect_timeout;
        let opened = Session {
            facts: Arc::new(facts),
            sockets: BTreeMap::new(),
            deadline: Some(at),
            attachments: 0,
        };
        self.sessions.insert(session, opened);
        self.deadlines.insert((at, session));
    }

    /// The client sent a text. A namespace that it enters becomes a socket with the id `new_id` makes.
    pub(crate) fn handle_text(
        &mut self,
        session: u32,
        text: &str,
        new_id: &mut dyn FnMut() -> Box<str>,
    ) {
        let Some(known) = self.sessions.get(&session) else { return };
        if known.attachments > 0 {
            return self.end(session, CloseCause::PacketInvalid);
        }
        let Ok(packet) = parse(text) else {
            return self.end(session, CloseCause::PacketInvalid);
        };
        let socket = known.sockets.get(packet.nsp).copied();
        match (packet.kind, socket) {
            (PacketKind::Connect, None) => self.enter(session, &packet, new_id),
            (PacketKind::Disconnect, Some(_)) => self.leave(session, packet.nsp),
            (PacketKind::Event, Some(key)) => self.take_event(session, key, &packet, text),
            (PacketKind::Ack, Some(_)) => self.ignore(Ignored::Ack),
            (PacketKind::BinaryAck | PacketKind::BinaryEvent, Some(_)) => {
                self.expect_attachments(session, packet.attachments);
            }
            // As in Socket.IO, where a packet for a namespace that was not entered ends the connection.
            (PacketKind::Connect | PacketKind::ConnectError, Some(_)) | (_, None) => {
                self.end(session, CloseCause::PacketInvalid);
            }
        }
    }

    /// The client sent bytes: an attachment, or they have no business here.
    pub(crate) fn handle_binary(&mut self, session: u32) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        match known.attachments.checked_sub(1) {
            Some(left) => known.attachments = left,
            None => self.end(session, CloseCause::PacketInvalid),
        }
    }

    /// The client's connection has ended; an empty reason is a normal end.
    pub(crate) fn handle_closed(&mut self, session: u32, reason: &str) {
        self.forget_deadline(session);
        let Some(known) = self.sessions.remove(&session) else { return };
        for key in known.sockets.into_values() {
            self.retire(key, reason);
        }
    }

    /// A call has ended. An answer to a call that nobody waits for any more is nothing.
    pub(crate) fn handle_answer(&mut self, call: CallKey, answered: &Answered) {
        let Some(Asked { key, user_event, facts, cost }) = self.calls.remove(&call) else { return };
        self.waiting.release(&facts.connection, cost);
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        socket.asked = false;
        let session = socket.session;
        match (&socket.state, answered.payload()) {
            (State::Connecting { .. }, _) => return self.decide(key, answered),
            // Whoever has left gets nothing: its ids may mean something else already.
            (State::Connected, Some(payload)) if user_event => {
                self.outputs.push_back(Output::Deliver { session, payload });
            }
            (State::Connected | State::Left(_), _) => (),
        }
        if user_event && *answered == Answered::NoHandler {
            self.ignore(Ignored::NoHandler);
        }
        self.go_on(key);
    }

    /// The deadline of [`Self::poll_deadline`] has passed.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(&(at, session)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.end(session, CloseCause::NamespaceTimeout);
        }
    }

    /// Somebody else ended this socket and has told the client: the data plane's `disconnect`.
    pub(crate) fn disconnect(&mut self, session: u32, namespace: &str) {
        self.leave(session, namespace);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Sockets whose handler was not yet told of their end.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Bytes of events that wait for their turn or for their answer.
    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.bytes
    }

    fn enter(&mut self, session: u32, packet: &Packet<'_>, new_id: &mut dyn FnMut() -> Box<str>) {
        let key = SocketKey(self.next_key());
        let Some(known) = self.sessions.get_mut(&session) else { return };
        // A query is a relic of older clients, and no part of the name.
        let namespace = packet.nsp.split('?').next().unwrap_or(packet.nsp);
        let too_many = known.sockets.len() >= self.settings.namespaces_max;
        let body_bytes = known.facts.connect_body.len() + packet.data.len();
        let full = !self.waiting.fits(&known.facts, body_bytes, self.settings.waiting_bytes_max);
        if namespace.len() > NAMESPACE_BYTES_MAX || too_many || namespace != packet.nsp {
            let text = if too_many { "too many namespaces" } else { "Invalid namespace" };
            let data = format!("{{\"message\":{}}}", trunkline_socketio::quote(text));
            return self.refuse(session, packet.nsp, &data);
        }
        if full {
            return self.refuse(session, packet.nsp, &Answered::Unavailable.refusal());
        }
        let facts = SocketFacts {
            connection: Arc::clone(&known.facts),
            namespace: namespace.into(),
            id: new_id(),
        };
        known.sockets.insert(namespace.into(), key);
        let body = event::connect_body(&facts.connection, packet.data);
        self.sockets.insert(key, Socket::new(session, Arc::new(facts)));
        self.ask(key, EventKind::Connect, body);
    }

    /// The handler has said whether the socket may be.
    fn decide(&mut self, key: SocketKey, answered: &Answered) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let (session, facts) = (socket.session, Arc::clone(&socket.facts));
        let State::Connecting { gone } = mem::replace(&mut socket.state, State::Connected) else {
            return;
        };
        if !answered.accepts() {
            self.sockets.remove(&key);
            if gone.is_none() {
                self.unlist(session, &facts.namespace);
                self.refuse(session, &facts.namespace, &answered.refusal());
            }
            return;
        }
        if let Some(reason) = gone {
            // The handler counts it in; it has to count it out again.
            return self.retire(key, &reason);
        }
        self.forget_deadline(session);
        let data = format!("{{\"sid\":{}}}", trunkline_socketio::quote(&facts.id));
        let text = encode(&Packet::connect(&facts.namespace, &data));
        self.outputs.push_back(Output::Enter { session, socket: facts });
        self.outputs.push_back(Output::Send { session, text });
        // What it answers is nothing, but events wait for it: a handler hears `connected` before them.
        self.ask(key, EventKind::Connected, "{}".into());
    }

    fn refuse(&mut self, session: u32, namespace: &str, data: &str) {
        let packet = Packet { kind: PacketKind::ConnectError, ..Packet::connect(namespace, data) };
        self.outputs.push_back(Output::Send { session, text: encode(&packet) });
    }

    fn take_event(&mut self, session: u32, key: SocketKey, packet: &Packet<'_>, text: &str) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let (State::Connected, Some(name)) = (&socket.state, event_name(packet.data)) else {
            return self.end(session, CloseCause::PacketInvalid);
        };
        if name.len() > EVENT_NAME_BYTES_MAX {
            return self.ignore(Ignored::EventName);
        }
        // Handlers get Engine.IO's packet, hence the type in front.
        let (name, text) = (name.into_boxed_str(), format!("4{text}"));
        let cost = socket::cost(&name, &text);
        let full = socket.waiting.len() >= self.settings.socket_events_max
            || !self.waiting.fits(&socket.facts.connection, cost, self.settings.waiting_bytes_max);
        if full {
            return self.end(session, CloseCause::EventsWaiting);
        }
        socket.waiting.push_back((name, text));
        self.waiting.hold(&socket.facts.connection, cost);
        self.go_on(key);
    }

    /// Tells the next event of a socket, or its end, unless an answer is awaited.
    fn go_on(&mut self, key: SocketKey) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        if socket.asked {
            return;
        }
        if let Some((name, text)) = socket.waiting.pop_front() {
            self.waiting.release(&socket.facts.connection, socket::cost(&name, &text));
            return self.ask(key, EventKind::User(name), text);
        }
        if let State::Left(reason) = &socket.state {
            let body = event::disconnected_body(reason);
            self.tell(key, EventKind::Disconnected, body);
            self.sockets.remove(&key);
        }
    }

    /// The client is still here; its socket is not.
    fn leave(&mut self, session: u32, namespace: &str) {
        let Some(key) = self.unlist(session, namespace) else { return };
        self.outputs.push_back(Output::Exit { session, namespace: namespace.into() });
        self.retire(key, "");
    }

    /// Takes a socket out of its session.
    fn unlist(&mut self, session: u32, namespace: &str) -> Option<SocketKey> {
        let known = self.sessions.get_mut(&session)?;
        known.sockets.remove(namespace)
    }

    /// What is left to do for a socket that is in no session any more.
    fn retire(&mut self, key: SocketKey, reason: &str) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let reason = reason.to_owned();
        if let State::Connecting { gone } = &mut socket.state {
            // Whether it ever was one is known with the answer.
            *gone = Some(reason);
        } else {
            socket.state = State::Left(reason);
            self.go_on(key);
        }
    }

    /// The machine ends a connection. The caller's [`Self::handle_closed`] for it comes to nothing.
    fn end(&mut self, session: u32, cause: CloseCause) {
        self.outputs.push_back(Output::Close { session, cause });
        self.handle_closed(session, cause.reason());
    }

    fn ignore(&mut self, what: Ignored) {
        self.outputs.push_back(Output::Ignored(what));
    }

    fn expect_attachments(&mut self, session: u32, attachments: u32) {
        if let Some(known) = self.sessions.get_mut(&session) {
            known.attachments = attachments;
        }
        self.ignore(Ignored::Binary);
    }

    fn forget_deadline(&mut self, session: u32) {
        let deadline = self.sessions.get_mut(&session).and_then(|known| known.deadline.take());
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, session));
        }
    }

    /// A call whose answer is awaited.
    fn ask(&mut self, key: SocketKey, kind: EventKind, body: String) {
        let call = CallKey(self.next_key());
        let user_event = matches!(kind, EventKind::User(_));
        let cost = socket::cost(kind.name(), &body);
        if let Some(socket) = self.sockets.get_mut(&key) {
            socket.asked = true;
            let facts = Arc::clone(&socket.facts);
            self.waiting.hold(&facts.connection, cost);
            self.calls.insert(call, Asked { key, user_event, facts, cost });
        }
        self.call(Some(call), key, kind, body);
    }

    /// A call whose answer changes nothing.
    fn tell(&mut self, key: SocketKey, kind: EventKind, body: String) {
        self.call(None, key, kind, body);
    }

    fn call(&mut self, call: Option<CallKey>, key: SocketKey, kind: EventKind, body: String) {
        let number = self.next_key();
        let Some(socket) = self.sockets.get(&key) else { return };
        let event = Event { kind, socket: Arc::clone(&socket.facts), number, body };
        self.outputs.push_back(Output::Call { call, event });
    }

    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }
}

impl CloseCause {
    /// As `disconnected` tells it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::EventsWaiting => "too many events",
            Self::NamespaceTimeout => "no namespace",
            Self::PacketInvalid => "parse error",
        }
    }
}
