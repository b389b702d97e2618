//! App servers and their tunnels. An app server is the `sub` of its tokens; its tunnels may open
//! and end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_mesh::PeerKey;
use trunkline_switchboard::ServerKey;
use trunkline_switchboard::affinity::{self, Candidate, Cursor, Standing};

use super::borrowed::Lent;
use super::client::ClientKey;
use super::event::TunnelEvent;
use super::outbox::TunnelId;
use super::{Hub, Now, Output, Settings};
use crate::peers::{NAME_BYTES_MAX, Word};
use crate::tunnel::{Message, Response, encode};

/// New clients go to other app servers when an app server has had something to answer for this long
/// and has answered nothing.
const LATE_AFTER: Duration = Duration::from_secs(1);

/// All app servers of a hub.
#[derive(Debug, Default)]
pub(super) struct Servers {
    servers: BTreeMap<u32, Server>,
    by_id: HashMap<Box<str>, ServerKey>,
    tunnels: HashMap<TunnelId, Tunnel>,
    cursor: Cursor,
    next: u32,
}

/// One app server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: Box<str>,
    /// Its tunnels, oldest first: events go over the oldest.
    pub(super) tunnels: Vec<TunnelId>,
    pub(super) sessions: u32,
    /// The number of our next event.
    next_ack: u64,
    /// Events that it has not answered.
    pending: HashMap<u64, Pending>,
    /// The same of other nodes' clients.
    pub(super) lent: HashMap<u64, Lent>,
    /// The cost of those events in the inner trunk's credit.
    unanswered_bytes: u64,
    /// The time of its last answer, or of the first event since all were answered.
    answered_at: Timestamp,
    /// Answers that wait for a tunnel.
    undelivered: VecDeque<Bytes>,
    undelivered_bytes: usize,
    /// Clients with messages that wait for a tunnel, in order.
    pub(super) waiting: VecDeque<ClientKey>,
    /// The time at which it is given up, unless it has a tunnel by then.
    give_up_at: Option<Timestamp>,
}

/// An event whose answer is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) client: ClientKey,
    pub(super) kind: TunnelEvent,
    pub(super) cost: u64,
    tunnel: TunnelId,
}

#[derive(Debug)]
struct Tunnel {
    server: ServerKey,
    /// Whether the app server has been told that it is connected; only then is the tunnel used.
    greeted: bool,
    status_at: Timestamp,
    /// The other node where it ends, and its number there.
    home: Option<(PeerKey, u64)>,
}

impl Servers {
    /// Whether any app server can be reached now.
    pub(super) fn has_tunnel(&self) -> bool {
        !self.tunnels.is_empty()
    }

    pub(super) fn get(&self, key: ServerKey) -> Option<&Server> {
        self.servers.get(&key.0)
    }

    pub(super) fn get_mut(&mut self, key: ServerKey) -> Option<&mut Server> {
        self.servers.get_mut(&key.0)
    }

    /// The app server of a tunnel.
    pub(super) fn of_tunnel(&self, tunnel: TunnelId) -> Option<ServerKey> {
        self.tunnels.get(&tunnel).map(|tunnel| tunnel.server)
    }

    /// The app server with the fewest sessions among those with a tunnel that answer; counts the
    /// new session.
    pub(super) fn pick(&mut self, now: Timestamp) -> Option<ServerKey> {
        let reachable = self.servers.iter().filter(|(_, server)| !server.tunnels.is_empty());
        let candidates = reachable.map(|(&key, server)| Candidate {
            server: ServerKey(key),
            standing: server.standing(now),
            load: server.sessions,
        });
        let key = affinity::pick(&mut self.cursor, candidates)?;
        if let Some(server) = self.get_mut(key) {
            server.sessions += 1;
        }
        Some(key)
    }

    /// The node where a tunnel ends, and its number there; `None` when it ends here.
    pub(super) fn home_of(&self, tunnel: TunnelId) -> Option<(PeerKey, u64)> {
        self.tunnels.get(&tunnel)?.home
    }

    /// The app server of a tunnel that ends here and is used.
    pub(super) fn of_own_tunnel(&self, tunnel: TunnelId) -> Option<ServerKey> {
        let tunnel = self.tunnels.get(&tunnel)?;
        (tunnel.home.is_none() && tunnel.greeted).then_some(tunnel.server)
    }

    /// All tunnels that end here and are used, for other nodes.
    pub(super) fn own_tunnels(&self) -> Vec<(u64, Box<str>)> {
        let own = self.tunnels.iter().filter_map(|(&id, _)| {
            let server = self.get(self.of_own_tunnel(id)?)?;
            (server.id.len() <= NAME_BYTES_MAX).then(|| (id.0, server.id.clone()))
        });
        let mut own: Vec<_> = own.collect();
        own.sort_unstable();
        own
    }

    /// Forgets what another node waits for.
    pub(super) fn forget_lent(&mut self, peer: PeerKey) {
        for server in self.servers.values_mut() {
            server.lent.retain(|_, lent| lent.peer != peer);
        }
    }

    /// Whether nobody waits for an answer of this app server.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self, id: &str) -> bool {
        let server = self.by_id.get(id).and_then(|key| self.get(*key));
        server.is_none_or(|server| server.pending.is_empty() && server.lent.is_empty())
    }

    /// Some open tunnel.
    #[cfg(test)]
    pub(super) fn any_tunnel(&self) -> Option<TunnelId> {
        self.servers.values().find_map(|server| server.tunnels.first().copied())
    }

    pub(super) fn poll_deadline(&self, settings: &Settings) -> Option<Timestamp> {
        let status = self.tunnels.values().map(|tunnel| tunnel.status_at);
        let alone = self.is_alone();
        let servers = self.servers.values();
        let others = servers.flat_map(|server| {
            [server.give_up_at, server.silent_at(settings, alone)].into_iter().flatten()
        });
        status.chain(others).min()
    }

    /// Whether there is no other app server that this one could hold up.
    fn is_alone(&self) -> bool {
        self.servers.len() < 2
    }

    /// The app server with this id, new if it is unknown.
    fn enter(&mut self, id: &str) -> ServerKey {
        if let Some(key) = self.by_id.get(id) {
            return *key;
        }
        let key = ServerKey(self.next);
        self.next = self.next.wrapping_add(1);
        self.by_id.insert(id.into(), key);
        self.servers.insert(
            key.0,
            Server {
                id: id.into(),
                tunnels: Vec::new(),
                sessions: 0,
                next_ack: 1,
                pending: HashMap::new(),
                lent: HashMap::new(),
                unanswered_bytes: 0,
                answered_at: Timestamp::ORIGIN,
                undelivered: VecDeque::new(),
                undelivered_bytes: 0,
                waiting: VecDeque::new(),
                give_up_at: None,
            },
        );
        key
    }
}

impl Server {
    /// The number for an event that is sent over this tunnel now.
    pub(super) fn begin(
        &mut self,
        now: Timestamp,
        client: ClientKey,
        kind: TunnelEvent,
        cost: u64,
        tunnel: TunnelId,
    ) -> u64 {
        let ack_id = self.take_number();
        // The answer to the last event of a client has no effect.
        if kind != TunnelEvent::Disconnected {
            if self.pending.is_empty() {
                self.answered_at = now;
            }
            self.unanswered_bytes += cost;
            self.pending.insert(ack_id, Pending { client, kind, cost, tunnel });
        }
        ack_id
    }

    /// The number for an event.
    pub(super) const fn take_number(&mut self) -> u64 {
        let number = self.next_ack;
        self.next_ack += 1;
        number
    }

    /// Ends the wait for an answer; returns its event.
    pub(super) fn end(&mut self, now: Timestamp, ack_id: u64) -> Option<Pending> {
        let pending = self.forget(ack_id)?;
        self.answered_at = now;
        Some(pending)
    }

    fn forget(&mut self, ack_id: u64) -> Option<Pending> {
        let pending = self.pending.remove(&ack_id)?;
        self.unanswered_bytes -= pending.cost;
        Some(pending)
    }

    fn standing(&self, now: Timestamp) -> Standing {
        let late = !self.pending.is_empty() && now.since(self.answered_at) > LATE_AFTER;
        if late { Standing::Late } else { Standing::Prompt }
    }

    /// The time at which it has answered nothing for too long.
    fn silent_at(&self, settings: &Settings, alone: bool) -> Option<Timestamp> {
        let crowds = !alone && self.unanswered_bytes >= settings.crowding_bytes;
        let timeout = if crowds { settings.crowding_timeout } else { settings.answer_timeout };
        (!self.pending.is_empty()).then(|| self.answered_at + timeout)
    }
}

impl Hub {
    /// Handles a new tunnel, whose token named the app server.
    pub(crate) fn handle_tunnel_up(&mut self, now: Now, tunnel: TunnelId, server_id: &str) {
        self.now = now;
        self.metrics.tunnels.inc();
        self.add_tunnel(tunnel, server_id, None);
    }

    /// `home`: the other node where the tunnel ends.
    pub(super) fn add_tunnel(
        &mut self,
        tunnel: TunnelId,
        server_id: &str,
        home: Option<(PeerKey, u64)>,
    ) {
        let key = self.servers.enter(server_id);
        let status_at = self.now.at + self.settings.status_interval;
        let added = Tunnel { server: key, greeted: false, status_at, home };
        self.servers.tunnels.insert(tunnel, added);
        if let Some(server) = self.servers.get_mut(key) {
            server.give_up_at = None;
        }
        self.greet_tunnels();
    }

    /// Tells app servers that they are connected, once clients can be served: the app waits for
    /// that.
    pub(super) fn greet_tunnels(&mut self) {
        if !self.trunk.up {
            return;
        }
        let waiting = self.servers.tunnels.iter_mut().filter(|(_, tunnel)| !tunnel.greeted);
        let mut greeted: Vec<(TunnelId, ServerKey)> = waiting
            .map(|(&id, tunnel)| {
                tunnel.greeted = true;
                (id, tunnel.server)
            })
            .collect();
        greeted.sort_unstable_by_key(|(id, _)| *id);
        for (tunnel, key) in greeted {
            self.greet(tunnel, key);
        }
    }

    fn greet(&mut self, tunnel: TunnelId, key: ServerKey) {
        let is_here = self.servers.home_of(tunnel).is_none();
        if is_here {
            let connected = Message::Connected { connection_id: format!("tunnel-{}", tunnel.0) };
            self.outbox.push(Output::Message(tunnel, encode(&connected)));
        }
        let Some(server) = self.servers.get_mut(key) else { return };
        server.tunnels.push(tunnel);
        server.undelivered_bytes = 0;
        let undelivered = std::mem::take(&mut server.undelivered);
        let waiting = std::mem::take(&mut server.waiting);
        if is_here {
            let id = server.id.clone();
            self.offer_tunnel(tunnel, &id);
        }
        for answer in undelivered {
            self.tell(tunnel, answer);
        }
        for key in waiting {
            if let Some(client) = self.clients.get_mut(&key) {
                client.waiting = false;
            }
            self.pump(key);
        }
    }

    /// Handles the end of a tunnel. `clean`: the app server closed it itself, so nothing that it
    /// sent is lost.
    pub(crate) fn handle_tunnel_down(&mut self, now: Now, tunnel: TunnelId, clean: bool) {
        self.now = now;
        let Some(Tunnel { server: key, home, greeted, .. }) = self.servers.tunnels.remove(&tunnel)
        else {
            return;
        };
        if home.is_none() {
            self.metrics.tunnels.dec();
        }
        if home.is_none() && greeted {
            self.say_to_all(&Word::TunnelDown { tunnel: tunnel.0, clean });
        }
        let grace = self.settings.reconnect_grace;
        let last = !self.servers.tunnels.values().any(|other| other.server == key);
        let Some(server) = self.servers.get_mut(key) else { return };
        server.tunnels.retain(|other| *other != tunnel);
        server.lent.retain(|_, lent| lent.tunnel != tunnel);
        if last {
            server.give_up_at = Some(now.at + grace);
        }
        let lost: Vec<(u64, Pending)> = server
            .pending
            .iter()
            .filter(|(_, pending)| pending.tunnel == tunnel)
            .map(|(&ack_id, &pending)| (ack_id, pending))
            .collect();
        for (ack_id, pending) in lost {
            if let Some(server) = self.servers.get_mut(key) {
                server.forget(ack_id);
            }
            self.event_lost(pending);
        }
        if !clean {
            // The app's side waits indefinitely for answers to calls that never arrived, so those
            // clients would receive nothing more.
            self.orphan_all_of(key);
        }
    }

    /// Sends an answer to an app server over any of its tunnels, or keeps it for the next one.
    pub(super) fn answer_server(
        &mut self,
        key: ServerKey,
        tunnel: Option<TunnelId>,
        response: Response,
    ) {
        let frame = encode(&Message::Response(response));
        let bytes_max = self.settings.undelivered_bytes_max;
        let Some(server) = self.servers.get_mut(key) else { return };
        let same = tunnel.filter(|tunnel| server.tunnels.contains(tunnel));
        if let Some(tunnel) = same.or_else(|| server.tunnels.first().copied()) {
            self.tell(tunnel, frame);
        } else if server.undelivered_bytes + frame.len() <= bytes_max {
            server.undelivered_bytes += frame.len();
            server.undelivered.push_back(frame);
        } else {
            self.metrics.answers_dropped.inc();
        }
    }

    /// Sends a status message to quiet tunnels.
    pub(super) fn say_status(&mut self) {
        let now = self.now.at;
        let next = now + self.settings.status_interval;
        let mut due: Vec<TunnelId> = Vec::new();
        for (&id, tunnel) in &mut self.servers.tunnels {
            if tunnel.status_at <= now {
                tunnel.status_at = next;
                if tunnel.greeted && tunnel.home.is_none() {
                    due.push(id);
                }
            }
        }
        for id in due {
            let status = Message::Status { message: "ok".to_owned() };
            self.outbox.push(Output::Message(id, encode(&status)));
        }
    }

    /// Ends app servers that hang: they accept events and answer none. Messages of their clients
    /// take room that the clients of other app servers need. Such an app server is treated as if
    /// its tunnel broke: it may return.
    pub(super) fn end_silent_servers(&mut self) {
        let (now, alone) = (self.now, self.servers.is_alone());
        let silent = self.servers.servers.values().filter(|server| {
            server.silent_at(&self.settings, alone).is_some_and(|at| at <= now.at)
        });
        let tunnels: Vec<TunnelId> = silent.flat_map(|server| server.tunnels.clone()).collect();
        for tunnel in tunnels {
            tracing::warn!(
                hub = self.settings.name,
                tunnel = tunnel.0,
                "an app server answers no events"
            );
            match self.servers.home_of(tunnel) {
                None => self.outbox.push(Output::EndTunnel(tunnel, "app_server_silent")),
                Some((peer, tunnel)) => {
                    self.say(peer, &Word::EndTunnel { tunnel });
                }
            }
            self.handle_tunnel_down(now, tunnel, false);
        }
    }

    /// Forgets app servers that did not return.
    pub(super) fn give_up_servers(&mut self) {
        let now = self.now.at;
        let late: Vec<ServerKey> = self
            .servers
            .servers
            .iter()
            .filter(|(_, server)| server.give_up_at.is_some_and(|at| at <= now))
            .map(|(&key, _)| ServerKey(key))
            .collect();
        for key in late {
            self.orphan_all_of(key);
            let Some(server) = self.servers.servers.remove(&key.0) else { continue };
            self.servers.by_id.remove(&server.id);
            self.metrics.answers_dropped.inc_by(server.undelivered.len() as u64);
            for pending in server.pending.values() {
                self.outbox.push(Output::Processed(pending.cost));
            }
            // No app server is left that could be notified about these.
            let told: Vec<ClientKey> = self
                .clients
                .iter()
                .filter(|(_, client)| client.server == key && !client.is_open())
                .map(|(&client, _)| client)
                .collect();
            for client in told {
                self.forget(client);
            }
        }
    }
}
