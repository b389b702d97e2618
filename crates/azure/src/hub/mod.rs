//! One hub as a pure state machine: actions of clients, app servers and REST callers are the input;
//! frames and answers are the output.
//!
//! No clock, socket or task is used here: the service around it passes the time in and carries out
//! the outputs.
//!
//! Contract for callers:
//!
//! 1. Feed input with `handle_*`.
//! 2. Then call [`Hub::poll_output`] until it returns `None`, and look at [`Hub::wants_trunk`].
//! 3. Then sleep until [`Hub::poll_deadline`].

mod borrowed;
mod calls;
mod client;
mod downlink;
mod event;
mod invoke;
mod opening;
mod orphans;
mod outbox;
mod peers;
mod scatter;
mod selecting;
mod serverless;
mod servers;
mod uplink;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_token::Secret;
use trunkline_trunk::{Frame, NamespaceNumber, SessionNumber, Str};

use self::client::{Client, ClientKey};
use self::invoke::Invokes;
pub(crate) use self::outbox::{CallId, Outbox, Output, TunnelId};
use self::peers::Peers;
use self::scatter::Gathers;
pub(crate) use self::scatter::RawCall;
use self::servers::Servers;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::serverless::{Machine, Settings as ServerlessSettings, SocketIds};

/// The settings of a hub.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The hub's name, as configured.
    pub(crate) name: String,
    /// All keys; each signs connection ids.
    pub(crate) keys: Vec<Secret>,
    /// The node's name for app servers: a host, with its port.
    pub(crate) origin: String,
    /// How long an app server that closed its tunnel may take to open another.
    pub(crate) reconnect_grace: Duration,
    /// How long an app server may answer nothing at all while events of its clients wait for
    /// answers.
    pub(crate) answer_timeout: Duration,
    /// [`Self::answer_timeout`] for an app server that holds up others: it has
    /// [`Self::crowding_bytes`] of what all app servers together may have unanswered.
    pub(crate) crowding_timeout: Duration,
    pub(crate) crowding_bytes: u64,
    /// The interval of status messages to each tunnel. The app's side gives up a tunnel that is
    /// quiet for 120 s.
    pub(crate) status_interval: Duration,
    /// How many clients of a lost app server are closed per second.
    pub(crate) orphan_close_per_second: u32,
    /// The longest message that the node accepts from a client.
    pub(crate) message_bytes_max: u32,
    /// The bytes of answers that are kept for an app server without a tunnel.
    pub(crate) undelivered_bytes_max: usize,
    /// How long clients may take to acknowledge an invocation.
    pub(crate) invoke_timeout: Duration,
    /// The most namespaces that the inner trunk may name; groups in other namespaces are served one
    /// connection at a time.
    pub(crate) namespaces_max: usize,
    /// Present when the hub has event handlers.
    pub(crate) serverless: Option<ServerlessSettings>,
}

/// The time of an input: monotonic for deadlines, and of the calendar.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    pub(crate) at: Timestamp,
    pub(crate) unix_ms: u64,
}

/// One hub: see the module's documentation.
#[derive(Debug)]
pub(crate) struct Hub {
    settings: Settings,
    metrics: Metrics,
    now: Now,
    registry: Registry,
    clients: HashMap<ClientKey, Client>,
    /// The clients with a live session.
    by_session: HashMap<SessionNumber, ClientKey>,
    next_client: u64,
    servers: Servers,
    invokes: Invokes,
    peers: Peers,
    gathers: Gathers,
    trunk: InnerTrunk,
    /// Clients that wait to be closed at a limited rate.
    orphans: VecDeque<ClientKey>,
    orphans_at: Option<Timestamp>,
    /// Clients with messages in the present batch.
    touched: Vec<ClientKey>,
    /// Takes the role of the app servers when there are none and the hub has event handlers.
    serverless: Option<Machine>,
    socket_ids: SocketIds,
    outbox: Outbox,
}

#[derive(Debug, Default)]
struct InnerTrunk {
    up: bool,
    /// The app's options that the node has.
    engine: Option<opening::Engine>,
    namespaces: HashMap<Box<str>, NamespaceNumber>,
}

impl Hub {
    /// A hub without clients. `seed` must be random.
    pub(crate) fn new(settings: Settings, metrics: Metrics, seed: [u8; 16]) -> Self {
        let serverless = settings.serverless.clone().map(Machine::new);
        let mut id_seed = [0; 32];
        id_seed[..16].copy_from_slice(&seed);
        Self {
            serverless,
            socket_ids: SocketIds::new(id_seed),
            settings,
            metrics,
            now: Now::default(),
            registry: Registry::new(seed),
            clients: HashMap::new(),
            by_session: HashMap::new(),
            next_client: 0,
            servers: Servers::default(),
            invokes: Invokes::default(),
            peers: Peers::default(),
            gathers: Gathers::default(),
            trunk: InnerTrunk::default(),
            orphans: VecDeque::new(),
            orphans_at: None,
            touched: Vec::new(),
            outbox: Outbox::default(),
        }
    }

    /// Changes what the operator has changed. Without handlers, clients that only these served are
    /// closed.
    pub(crate) fn handle_changed(
        &mut self,
        now: Now,
        keys: Vec<Secret>,
        origin: String,
        serverless: Option<ServerlessSettings>,
    ) {
        self.now = now;
        self.settings.keys = keys;
        self.settings.origin = origin;
        match (&mut self.serverless, &serverless) {
            (Some(machine), Some(settings)) => machine.set_settings(settings.clone()),
            (None, Some(settings)) => self.serverless = Some(Machine::new(settings.clone())),
            (Some(_), None) => self.end_serverless(),
            (None, None) => (),
        }
        self.settings.serverless = serverless;
    }

    /// The next output.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// Whether clients can be served, or are being served: then the node should give them to this
    /// door. While this door only waits for its app server to return, new clients go to other app
    /// servers of the hub.
    pub(crate) fn wants_trunk(&self) -> bool {
        self.servers.has_tunnel() || self.serverless.is_some() || !self.by_session.is_empty()
    }

    /// Whether tunnels and callers should not be read now, because other nodes do not keep up.
    pub(crate) fn is_crowded(&self, now: Now) -> bool {
        self.peers.is_crowded(now.at)
    }

    /// Notes that the inner trunk is up. Nothing of an earlier one is left.
    pub(crate) fn handle_trunk_up(&mut self, now: Now) {
        self.now = now;
        self.trunk = InnerTrunk { up: true, ..InnerTrunk::default() };
        self.greet_tunnels();
    }

    /// Notes that the inner trunk has ended, and all sessions with it.
    pub(crate) fn handle_trunk_down(&mut self, now: Now) {
        self.now = now;
        self.trunk = InnerTrunk::default();
        let sessions: Vec<_> = self.by_session.keys().copied().collect();
        for session in sessions {
            self.session_ended(session, "the node has closed the connection");
        }
    }

    /// The deadline of [`Self::poll_deadline`] has passed.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.say_status();
        self.end_silent_servers();
        self.give_up_servers();
        self.close_orphans();
        self.end_late_invokes();
        self.end_late_gathers();
        self.begin_again();
        self.serverless_timeout();
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn poll_deadline(&self) -> Option<Timestamp> {
        let serverless = self.serverless.as_ref().and_then(Machine::poll_deadline);
        let servers = self.servers.poll_deadline(&self.settings);
        let invokes = self.invokes.poll_deadline();
        let peers = self.peers.poll_deadline(self.now.at);
        let gathers = self.gathers.poll_deadline();
        let all = [servers, self.orphans_at, invokes, serverless, peers, gathers];
        all.into_iter().flatten().min()
    }

    /// The number of a namespace on the inner trunk; `None` when the trunk is down or names too
    /// many namespaces already.
    fn namespace_number(&mut self, name: &str) -> Option<NamespaceNumber> {
        if !self.trunk.up {
            return None;
        }
        if let Some(number) = self.trunk.namespaces.get(name) {
            return Some(*number);
        }
        let count = self.trunk.namespaces.len();
        if count >= self.settings.namespaces_max {
            return None;
        }
        let nsp = NamespaceNumber(u32::try_from(count).ok()?);
        self.trunk.namespaces.insert(name.into(), nsp);
        self.outbox.frame(Frame::Namespace { nsp, name: Str::from(name) });
        Some(nsp)
    }
}
