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
/// The longest event name that handlers receive, in bytes: it stands in a URL and in a header.
const EVENT_NAME_BYTES_MAX: usize = 1024;

/// One call of a handler that is under way.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallKey(pub(crate) u64);

/// The outputs of the machine, in order.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Output {
    /// Call a handler, then [`Machine::handle_answer`]; when `call` is `None`, the answer is not
    /// awaited.
    Call { call: Option<CallKey>, event: Event },
    /// End the client's connection.
    Close { session: u32, cause: CloseCause },
    /// Send a handler's answer to the client: one Engine.IO payload, unchanged.
    Deliver { session: u32, payload: Bytes },
    /// Note a new socket: the client is in the group of the namespace and in the group of its own
    /// id.
    Enter { session: u32, socket: Arc<SocketFacts> },
    /// Note the end of a socket: the client is in none of the namespace's groups.
    Exit { session: u32, namespace: Box<str> },
    /// Count a message of a client that had no effect.
    Ignored(Ignored),
    /// Send one Engine.IO message, a text.
    Send { session: u32, text: String },
}

/// Why the machine ends a connection, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CloseCause {
    /// The client sent events faster than the handler answers.
    EventsWaiting,
    /// The client joined no namespace in time.
    NamespaceTimeout,
    /// A message is no packet, or a packet came at the wrong time.
    PacketInvalid,
}

/// Why a client's message had no effect, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ignored {
    /// An acknowledgement: no handler can ask for one.
    Ack,
    /// A binary event: the contract with handlers does not support it.
    Binary,
    /// An event whose name is too long for a URL or a header.
    EventName,
    /// An event that no handler is configured for.
    NoHandler,
}

/// The Socket.IO server of one hub: see the module's documentation.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: Settings,
    sessions: HashMap<u32, Session>,
    sockets: HashMap<SocketKey, Socket>,
    calls: HashMap<CallKey, Asked>,
    /// When sessions without a socket are closed.
    deadlines: BTreeSet<(Timestamp, u32)>,
    outputs: VecDeque<Output>,
    /// Bytes of events that wait for the events before them or for their answer.
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
    /// The bytes of its event.
    cost: usize,
}

#[derive(Debug)]
struct Session {
    facts: Arc<Facts>,
    /// Sockets by namespace; sockets that have left are removed.
    sockets: BTreeMap<Box<str>, SocketKey>,
    /// The time at which the session is closed if it has no socket by then.
    deadline: Option<Timestamp>,
    /// Binary messages still to come that belong to an ignored packet.
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

    /// Changes the bounds, for what comes from now on.
    pub(crate) fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Handles a session whose handshake was accepted.
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

    /// Handles a text from the client. A namespace that the client joins gets a socket with an id
    /// from `new_id`.
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
            // As in Socket.IO, a packet for a namespace that was not joined ends the connection.
            (PacketKind::Connect | PacketKind::ConnectError, Some(_)) | (_, None) => {
                self.end(session, CloseCause::PacketInvalid);
            }
        }
    }

    /// Handles bytes from the client: an attachment, or a violation.
    pub(crate) fn handle_binary(&mut self, session: u32) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        match known.attachments.checked_sub(1) {
            Some(left) => known.attachments = left,
            None => self.end(session, CloseCause::PacketInvalid),
        }
    }

    /// Handles the end of the client's connection; an empty reason is a normal end.
    pub(crate) fn handle_closed(&mut self, session: u32, reason: &str) {
        self.forget_deadline(session);
        let Some(known) = self.sessions.remove(&session) else { return };
        for key in known.sockets.into_values() {
            self.retire(key, reason);
        }
    }

    /// Handles the end of a call. The answer to a call that is no longer awaited is ignored.
    pub(crate) fn handle_answer(&mut self, call: CallKey, answered: &Answered) {
        let Some(Asked { key, user_event, facts, cost }) = self.calls.remove(&call) else { return };
        self.waiting.release(&facts.connection, cost);
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        socket.asked = false;
        let session = socket.session;
        match (&socket.state, answered.payload()) {
            (State::Connecting { .. }, _) => return self.decide(key, answered),
            // A client that has left gets no answer: its ids may mean something else by now.
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

    /// Ends this socket; the caller has already notified the client (the REST API's `disconnect`).
    pub(crate) fn disconnect(&mut self, session: u32, namespace: &str) {
        self.leave(session, namespace);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// The number of sockets whose handler does not yet know of their end.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Bytes of events that wait for the events before them or for their answer.
    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.bytes
    }

    fn enter(&mut self, session: u32, packet: &Packet<'_>, new_id: &mut dyn FnMut() -> Box<str>) {
        let key = SocketKey(self.next_key());
        let Some(known) = self.sessions.get_mut(&session) else { return };
        // Older clients append a query; it is no part of the name.
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

    /// Handles the handler's decision about a new socket.
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
            // The handler has accepted the socket, so it must also receive its end.
            return self.retire(key, &reason);
        }
        self.forget_deadline(session);
        let data = format!("{{\"sid\":{}}}", trunkline_socketio::quote(&facts.id));
        let text = encode(&Packet::connect(&facts.namespace, &data));
        self.outputs.push_back(Output::Enter { session, socket: facts });
        self.outputs.push_back(Output::Send { session, text });
        // The answer has no effect, but events wait for it: a handler must receive `connected`
        // before them.
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
        // Handlers get Engine.IO's packet, which begins with its type.
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

    /// Sends the next event of a socket, or its end, unless an answer is awaited.
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

    /// Removes a socket whose client stays connected.
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

    /// Finishes a socket that is no longer in a session.
    fn retire(&mut self, key: SocketKey, reason: &str) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let reason = reason.to_owned();
        if let State::Connecting { gone } = &mut socket.state {
            // The pending answer decides whether the socket ever existed for the handler.
            *gone = Some(reason);
        } else {
            socket.state = State::Left(reason);
            self.go_on(key);
        }
    }

    /// Ends a connection. The caller's later [`Self::handle_closed`] for it has no effect.
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

    /// Calls a handler and awaits the answer.
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

    /// Calls a handler whose answer has no effect.
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
    /// The reason as `disconnected` events carry it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::EventsWaiting => "too many events",
            Self::NamespaceTimeout => "no namespace",
            Self::PacketInvalid => "parse error",
        }
    }
}
