//! `:invoke`: an event to many clients, whose acknowledgements are streamed back to the caller.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::json;
use trunkline_clock::Timestamp;
use trunkline_socketio::{PacketKind, parse_head};

use super::Hub;
use super::calls::Caller;
use super::client::{Catching, ClientKey};
use super::downlink::Selection;
use crate::payload::{self, Packet};
use crate::rest::{Answer, RestError};

/// The first acknowledgement id that we use. App servers count from 0 and never get here;
/// JavaScript can represent all of our ids exactly.
const ID_FIRST: u64 = 1 << 52;
const ID_LAST: u64 = (1 << 53) - 1;
/// Acknowledgements that all invocations together may wait for. Beyond it the oldest invocation
/// ends.
const WAITING_MAX: usize = 1 << 21;
/// Bytes of acknowledgements with missing attachments, of all clients together. Beyond it the
/// client that sent the last one is closed.
const CAUGHT_BYTES_MAX: usize = 64 << 20;

/// All invocations under way.
#[derive(Debug)]
pub(super) struct Invokes {
    next_id: u64,
    running: BTreeMap<u64, Invoke>,
    /// The number of acknowledgements that are awaited.
    waiting: usize,
    /// The bytes that clients have in [`Catching`].
    pub(super) caught_bytes: usize,
}

#[derive(Debug)]
struct Invoke {
    caller: Caller,
    namespace: Box<str>,
    waiting: BTreeSet<ClientKey>,
    give_up_at: Timestamp,
}

impl Default for Invokes {
    fn default() -> Self {
        Self { next_id: ID_FIRST, running: BTreeMap::new(), waiting: 0, caught_bytes: 0 }
    }
}

impl Invokes {
    pub(super) fn poll_deadline(&self) -> Option<Timestamp> {
        // Later ids have later deadlines.
        self.running.values().next().map(|invoke| invoke.give_up_at)
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = if id == ID_LAST { ID_FIRST } else { id + 1 };
        id
    }

    /// Whether this invocation waits for this client.
    fn waits_for(&self, id: u64, key: ClientKey) -> bool {
        self.running.get(&id).is_some_and(|invoke| invoke.waiting.contains(&key))
    }

    fn insert(&mut self, id: u64, invoke: Invoke) {
        self.waiting += invoke.waiting.len();
        self.running.insert(id, invoke);
    }

    fn remove(&mut self, id: u64) -> Option<Invoke> {
        let invoke = self.running.remove(&id)?;
        self.waiting -= invoke.waiting.len();
        Some(invoke)
    }

    /// The oldest invocation, when there is no room for `targets` more acknowledgements.
    fn too_old(&self, targets: usize) -> Option<u64> {
        let oldest = *self.running.keys().next()?;
        (self.waiting.saturating_add(targets) > WAITING_MAX).then_some(oldest)
    }
}

impl Hub {
    /// Sends the event, with an id of ours, to each selected connection of this door.
    pub(super) fn invoke(
        &mut self,
        caller: Caller,
        selection: &Selection,
        packets: &[Packet<'_>],
    ) -> Result<(), RestError> {
        let Some((Packet::Message(text), attached)) = packets.split_first() else {
            return Err(RestError::Parameter("the payload is not one event of Socket.IO"));
        };
        let id = self.invokes.take_id();
        let namespace = parse_head(text).map_or("/", |packet| packet.nsp).into();
        let text = with_id(text, id)
            .ok_or(RestError::Parameter("the payload is not one event without an id"))?;
        let targets = self.selected(selection);
        if targets.is_empty() {
            self.answer(caller, Answer::part(Bytes::new(), false));
            return Ok(());
        }
        while let Some(oldest) = self.invokes.too_old(targets.len()) {
            self.metrics.invokes_cut.inc();
            self.end_invoke(oldest);
        }
        // The first part lets the caller go on with its next call.
        self.answer(caller, Answer::part(Bytes::new(), true));
        let waiting = targets.iter().copied().collect();
        let give_up_at = self.now.at + self.settings.invoke_timeout;
        self.invokes.insert(id, Invoke { caller, namespace, waiting, give_up_at });
        let mut whole = vec![Packet::Message(&text)];
        whole.extend(attached.iter().cloned());
        for key in targets {
            self.deliver(key, &whole);
        }
        Ok(())
    }

    /// Whether a client's message is an acknowledgement of an invocation, or an attachment of one.
    pub(super) fn caught(&mut self, key: ClientKey, binary: bool, message: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(&key) else { return false };
        if let Some(mut catching) = client.catching.take() {
            self.invokes.caught_bytes -= catching.payload.len();
            if !binary {
                // As in Socket.IO, a text in place of an attachment ends the connection.
                self.close_for(key, "packet_invalid", "an acknowledgement without its attachments");
                return true;
            }
            // Keep nothing of an acknowledgement that is not awaited.
            if self.invokes.waits_for(catching.id, key) {
                payload::append(&mut catching.payload, binary, message);
            }
            catching.missing = catching.missing.saturating_sub(1);
            self.catch(key, catching);
            return true;
        }
        if binary || !matches!(message.first(), Some(b'3' | b'6')) {
            return false;
        }
        let text = String::from_utf8_lossy(message);
        let Ok(packet) = parse_head(&text) else { return false };
        let Some(id) = packet.id.filter(|id| *id >= ID_FIRST) else { return false };
        let missing = packet.attachments;
        let mut payload = String::new();
        if self.invokes.waits_for(id, key) {
            payload::append(&mut payload, false, message);
        }
        self.catch(key, Catching { id, missing, payload });
        true
    }

    fn catch(&mut self, key: ClientKey, catching: Catching) {
        if catching.missing > 0 {
            if self.invokes.caught_bytes + catching.payload.len() > CAUGHT_BYTES_MAX {
                self.close_for(key, "acks_waiting", "too many acknowledgements lack attachments");
            } else if let Some(client) = self.clients.get_mut(&key) {
                self.invokes.caught_bytes += catching.payload.len();
                client.catching = Some(catching);
            }
            return;
        }
        // A late or second acknowledgement is ignored.
        let Some(invoke) = self.invokes.running.get_mut(&catching.id) else { return };
        if !invoke.waiting.remove(&key) {
            return;
        }
        self.invokes.waiting -= 1;
        let (caller, done) = (invoke.caller, invoke.waiting.is_empty());
        self.metrics.invoke_answers.inc();
        // Each part is a whole line, because the caller reads part by part.
        let line = format!("{}\n", json!({ "Payload": catching.payload }));
        self.answer(caller, Answer::part(Bytes::from(line), true));
        if done {
            self.end_invoke(catching.id);
        }
    }

    /// Stops waiting for a client that has gone.
    pub(super) fn invoke_client_gone(&mut self, key: ClientKey) {
        let catching = self.clients.get_mut(&key).and_then(|client| client.catching.take());
        self.invokes.caught_bytes -= catching.map_or(0, |catching| catching.payload.len());
        self.end_waits_for(key, None);
    }

    /// Stops waiting for a client that has left the namespace.
    pub(super) fn invoke_client_left(&mut self, key: ClientKey, namespace: &str) {
        self.end_waits_for(key, Some(namespace));
    }

    /// Ends all waits for this client, or its waits in one namespace.
    fn end_waits_for(&mut self, key: ClientKey, namespace: Option<&str>) {
        let mut ended = Vec::new();
        for (&id, invoke) in &mut self.invokes.running {
            let concerned = namespace.is_none_or(|namespace| namespace == &*invoke.namespace);
            if concerned && invoke.waiting.remove(&key) {
                self.invokes.waiting -= 1;
                if invoke.waiting.is_empty() {
                    ended.push(id);
                }
            }
        }
        for id in ended {
            self.end_invoke(id);
        }
    }

    pub(super) fn end_late_invokes(&mut self) {
        let now = self.now.at;
        let late: Vec<u64> = self
            .invokes
            .running
            .iter()
            .take_while(|(_, invoke)| invoke.give_up_at <= now)
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            self.end_invoke(id);
        }
    }

    fn end_invoke(&mut self, id: u64) {
        if let Some(invoke) = self.invokes.remove(id) {
            self.answer(invoke.caller, Answer::part(Bytes::new(), false));
        }
    }

    /// Drops the invocations of callers that have gone.
    pub(super) fn drop_invokes_of(&mut self, caller: impl Fn(Caller) -> bool) {
        let running = self.invokes.running.iter();
        let gone: Vec<u64> =
            running.filter_map(|(&id, invoke)| caller(invoke.caller).then_some(id)).collect();
        for id in gone {
            self.invokes.remove(id);
        }
    }
}

/// Inserts an id: `2/ns,["ev"]` becomes `2/ns,<id>["ev"]`. `None` for a packet that is no event or
/// already has an id.
fn with_id(text: &str, id: u64) -> Option<String> {
    let packet = parse_head(text).ok()?;
    if !matches!(packet.kind, PacketKind::Event | PacketKind::BinaryEvent) || packet.id.is_some() {
        return None;
    }
    let at = text.len() - packet.data.len();
    Some(format!("{}{id}{}", &text[..at], packet.data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_right_behind_the_namespace() {
        for (text, expected) in [
            ("2[\"a\"]", Some("25[\"a\"]")),
            ("2/x,[\"a\"]", Some("2/x,5[\"a\"]")),
            ("51-/x,[\"a\"]", Some("51-/x,5[\"a\"]")),
            ("27[\"a\"]", None),
            ("3[\"a\"]", None),
            ("nonsense", None),
        ] {
            assert_eq!(with_id(text, 5).as_deref(), expected, "{text}");
        }
    }
}
