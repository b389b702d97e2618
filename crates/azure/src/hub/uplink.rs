//! Messages and ends from clients to their app servers, in an order that the app's side keeps.

use bytes::Bytes;
use trunkline_socketio::parse_head;
use trunkline_trunk::{CloseReason, Frame, NamespaceNumber, SessionNumber};

use super::client::{Client, ClientKey, Phase, Word};
use super::event::{self, TunnelEvent};
use super::servers::Pending;
use super::{Hub, Now, Output};
use crate::metrics::{Cause, EventOutcome};
use crate::payload;
use crate::tunnel;

/// The longest payload made of several messages; a longer message goes alone.
const BATCH_BYTES_MAX: usize = 256 * 1024;

impl Hub {
    /// Handles a frame from the inner trunk.
    pub(crate) fn handle_frame(&mut self, now: Now, frame: Frame) {
        self.now = now;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others concern no app server like this"
        )]
        match frame {
            Frame::Open(open) => self.open(&open),
            Frame::Request(request) => self.answer_request(&request),
            Frame::Message { session, binary, payload } => self.hear(session, binary, &payload),
            Frame::Close { session, reason, .. } => {
                self.flush_batches();
                self.session_ended(session, words(reason.reason()));
            }
            _ => (),
        }
    }

    /// Handles the end of a batch.
    pub(crate) fn handle_batch_end(&mut self, now: Now) {
        self.now = now;
        self.flush_batches();
    }

    fn flush_batches(&mut self) {
        for key in std::mem::take(&mut self.touched) {
            self.flush_batch(key);
        }
    }

    fn flush_batch(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        if client.batch.is_empty() {
            return;
        }
        let payload = std::mem::take(&mut client.batch);
        let cost = std::mem::take(&mut client.batch_cost);
        client.held.push_back(Word::Message { payload, cost, waits: false });
        self.pump(key);
    }

    /// Handles one message of a client.
    fn hear(&mut self, session: SessionNumber, binary: bool, message: &[u8]) {
        let cost = u64::from(trunkline_trunk::encode::message_cost(session, message.len()));
        let Some(key) = self.by_session.get(&session).copied() else {
            self.outbox.push(Output::Processed(cost));
            return;
        };
        if !binary && message.contains(&payload::SEPARATOR_BYTE) {
            // What follows the separator would count as a packet of its own. Socket.IO ends the
            // connection, too: JSON cannot contain it.
            self.outbox.push(Output::Processed(cost));
            self.close_for(key, "packet_invalid", "a message that holds a separator of packets");
            return;
        }
        if self.caught(key, binary, message) {
            self.outbox.push(Output::Processed(cost));
            return;
        }
        if self.is_serverless(key) {
            self.outbox.push(Output::Processed(cost));
            self.hear_serverless(session, binary, message);
            return;
        }
        let left = (!binary && message.first() == Some(&b'1')).then(|| namespace_of(message));
        let Some(client) = self.clients.get(&key) else { return };
        if left.is_some() || client.batch.len() + message.len() > BATCH_BYTES_MAX {
            self.flush_batch(key);
        }
        let Some(client) = self.clients.get_mut(&key) else { return };
        if client.batch.is_empty() {
            self.touched.push(key);
        }
        payload::append(&mut client.batch, binary, message);
        client.batch_cost += cost;
        if let Some(namespace) = left {
            let payload = std::mem::take(&mut client.batch);
            let cost = std::mem::take(&mut client.batch_cost);
            client.held.push_back(Word::Message { payload, cost, waits: true });
            self.leave_namespace(session, &namespace);
            self.pump(key);
        }
    }

    /// Sends a payload to the app server in a client's name.
    pub(super) fn say_for(&mut self, key: ClientKey, payload: &str, waits: bool) {
        if self.is_serverless(key) {
            return;
        }
        self.flush_batch(key);
        if let Some(client) = self.clients.get_mut(&key) {
            client.held.push_back(Word::Message { payload: payload.to_owned(), cost: 0, waits });
        }
        self.pump(key);
    }

    /// Removes the client from a namespace, here and in the node.
    pub(super) fn leave_namespace(&mut self, session: SessionNumber, namespace: &str) {
        self.registry.leave_namespace(session, namespace);
        if let Some(key) = self.by_session.get(&session).copied() {
            self.invoke_client_left(key, namespace);
        }
        self.serverless_left(session, namespace);
        if let Some(nsp) = self.known_namespace(namespace) {
            self.outbox.frame(Frame::Detach { session, nsp });
        }
    }

    /// The number of a namespace that the inner trunk has named already.
    pub(super) fn known_namespace(&self, name: &str) -> Option<NamespaceNumber> {
        self.trunk.namespaces.get(name).copied()
    }

    /// Handles the end of a session: its number is no longer ours.
    pub(super) fn session_ended(&mut self, session: SessionNumber, reason: &'static str) {
        let Some(key) = self.by_session.remove(&session) else { return };
        self.flush_batch(key);
        self.registry.remove(session);
        self.invoke_client_gone(key);
        if self.is_serverless(key) {
            self.serverless_ended(key, session, reason);
            return;
        }
        let Some(client) = self.clients.get_mut(&key) else { return };
        // An app server that has not answered yet is notified after its answer.
        if let Phase::Open = std::mem::replace(&mut client.phase, Phase::Ended) {
            self.say_disconnected(key, reason);
        }
    }

    /// Ends a session from our side, for a cause that is counted.
    pub(super) fn close_for(
        &mut self,
        key: ClientKey,
        cause: &'static str,
        description: &'static str,
    ) {
        if self.clients.get(&key).is_some_and(Client::is_open) {
            self.metrics.clients_closed.get_or_create(&Cause { cause }).inc();
            self.close_client(key, description);
        }
    }

    /// Ends a session from our side.
    pub(super) fn close_client(&mut self, key: ClientKey, description: &'static str) {
        let Some(client) = self.clients.get(&key).filter(|client| client.is_open()) else { return };
        let session = client.session;
        self.outbox.frame(Frame::Close {
            session,
            reason: CloseReason::AppClosed.into(),
            description: trunkline_trunk::Str::from_static(description),
        });
        self.session_ended(session, "");
    }

    pub(super) fn say_disconnected(&mut self, key: ClientKey, reason: &'static str) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.held.push_back(Word::Disconnected { reason });
        }
        self.pump(key);
    }

    /// Sends those of a client's messages that may be sent now.
    pub(super) fn pump(&mut self, key: ClientKey) {
        loop {
            let Some(client) = self.clients.get_mut(&key) else { return };
            let Some(word) = client.held.front() else { return };
            if word.waits() && client.outstanding > 0 {
                return;
            }
            let Some(server) = self.servers.get_mut(client.server) else {
                self.app_server_is_gone(key);
                return;
            };
            let Some(&tunnel) = server.tunnels.first() else {
                if !std::mem::replace(&mut client.waiting, true) {
                    server.waiting.push_back(key);
                }
                if client.orphaned {
                    self.drop_messages(key);
                }
                return;
            };
            let (kind, content, cost) = match client.held.pop_front() {
                Some(Word::Message { payload, cost, .. }) => {
                    client.outstanding += 1;
                    (TunnelEvent::Message, Bytes::from(payload), cost)
                }
                Some(Word::Disconnected { reason }) => {
                    let body = serde_json::json!({ "reason": reason }).to_string();
                    (TunnelEvent::Disconnected, Bytes::from(body), 0)
                }
                None => return,
            };
            let ack_id = server.begin(self.now.at, key, kind, cost, tunnel);
            let request = event::request(&self.settings, self.now, client, kind, content, ack_id);
            self.tell_event(tunnel, request, kind != TunnelEvent::Disconnected);
            if kind == TunnelEvent::Disconnected {
                let label = EventOutcome { event: kind.name(), outcome: "told" };
                self.metrics.events.get_or_create(&label).inc();
                // Nothing follows the last event, and its answer has no effect.
                self.forget(key);
                return;
            }
        }
    }

    /// Handles a client whose app server is gone. If its session is open, it waits to be closed.
    fn app_server_is_gone(&mut self, key: ClientKey) {
        if self.clients.get(&key).is_some_and(Client::is_open) {
            self.drop_messages(key);
        } else {
            self.forget(key);
        }
    }

    /// Drops the messages of a client that waits to be closed and has no app server: keeping them
    /// would hold up the clients of others.
    fn drop_messages(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let mut dropped = Vec::new();
        client.held.retain(|word| match word {
            Word::Message { cost, .. } => {
                dropped.push(*cost);
                false
            }
            Word::Disconnected { .. } => true,
        });
        for cost in dropped {
            let label = EventOutcome { event: TunnelEvent::Message.name(), outcome: "lost" };
            self.metrics.events.get_or_create(&label).inc();
            self.release(cost);
        }
    }

    /// Handles an app server's answer to an event.
    pub(super) fn event_answered(&mut self, pending: Pending, response: &tunnel::Response) {
        let outcome = if response.status_code < 300 { "accepted" } else { "refused" };
        let label = EventOutcome { event: pending.kind.name(), outcome };
        self.metrics.events.get_or_create(&label).inc();
        self.release(pending.cost);
        match pending.kind {
            TunnelEvent::Connect => self.connect_answered(pending.client, response),
            TunnelEvent::Disconnected => (),
            TunnelEvent::Message => {
                if let Some(client) = self.clients.get_mut(&pending.client) {
                    client.outstanding = client.outstanding.saturating_sub(1);
                }
                if response.status_code >= 300 {
                    self.close_for(
                        pending.client,
                        "event_refused",
                        "the app server refused a message",
                    );
                }
                self.pump(pending.client);
            }
        }
    }

    /// Handles an event of which it will never be known whether the app server received it.
    pub(super) fn event_lost(&mut self, pending: Pending) {
        let label = EventOutcome { event: pending.kind.name(), outcome: "lost" };
        self.metrics.events.get_or_create(&label).inc();
        self.release(pending.cost);
        match pending.kind {
            TunnelEvent::Connect => self.reject_unavailable(pending.client),
            TunnelEvent::Disconnected => (),
            TunnelEvent::Message => {
                if let Some(client) = self.clients.get_mut(&pending.client) {
                    client.outstanding = client.outstanding.saturating_sub(1);
                }
                self.orphan(pending.client);
                self.pump(pending.client);
            }
        }
    }

    /// Forgets a client whose app server has been told everything.
    pub(super) fn forget(&mut self, key: ClientKey) {
        let Some(client) = self.clients.remove(&key) else { return };
        self.metrics.connections.dec();
        let mut cost = client.batch_cost;
        for word in &client.held {
            if let Word::Message { cost: one, .. } = word {
                cost += one;
            }
        }
        self.release(cost);
        if let Some(server) = self.servers.get_mut(client.server) {
            server.sessions = server.sessions.saturating_sub(1);
        }
    }

    fn release(&mut self, cost: u64) {
        if cost > 0 {
            self.outbox.push(Output::Processed(cost));
        }
    }
}

/// The namespace of a Socket.IO packet, without the query that may follow its name.
fn namespace_of(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let nsp = parse_head(&text).map_or("/", |packet| packet.nsp);
    nsp.split('?').next().unwrap_or(nsp).to_owned()
}

/// The reason in an app server's `disconnected` event: empty for a normal end.
fn words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::ClientClosed
        | CloseReason::ClosedWithMessages
        | CloseReason::AppClosed
        | CloseReason::AppShutdown => "",
        CloseReason::TransportError => "the client's connection broke",
        CloseReason::PingTimeout => "the client did not answer pings",
        CloseReason::ParseError | CloseReason::ParseErrorWithMessages => {
            "the client sent what cannot be read"
        }
        CloseReason::OutboxFull => "the client did not keep up",
        CloseReason::MessageTooLarge => "the client sent a message that is too large",
        CloseReason::NodeShutdown | CloseReason::Moved => "the node is shutting down",
        CloseReason::AppLost | CloseReason::HandedOver => "the app server was lost",
        CloseReason::GoneBeforeAnswer => "the client went away",
    }
}
