//! `:invoke`: an event for many, and their acknowledgements streamed back to the caller.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::json;
use trunkline_clock::Timestamp;
use trunkline_socketio::{Kind, parse_head};

use super::Hub;
use super::calls::Caller;
use super::client::{Catching, ClientKey};
use super::downlink::Selection;
use crate::payload::{self, Packet};
use crate::rest::{Answer, RestError};

/// The first id that we give. App servers count from 0, so theirs never come here; JavaScript holds all of ours exactly.
const ID_FIRST: u64 = 1 << 52;
const ID_LAST: u64 = (1 << 53) - 1;

/// All invocations under way.
#[derive(Debug)]
pub(super) struct Invokes {
    next_id: u64,
    running: BTreeMap<u64, Invoke>,
}

#[derive(Debug)]
struct Invoke {
    caller: Caller,
    waiting: BTreeSet<ClientKey>,
    give_up_at: Timestamp,
}

impl Default for Invokes {
    fn default() -> Self {
        Self { next_id: ID_FIRST, running: BTreeMap::new() }
    }
}

impl Invokes {
    pub(super) fn poll_deadline(&self) -> Option<Timestamp> {
        // Ids and deadlines rise together.
        self.running.values().next().map(|invoke| invoke.give_up_at)
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = if id == ID_LAST { ID_FIRST } else { id + 1 };
        id
    }
}

impl Hub {
    /// Sends the event with an id of ours to each selected connection of this door.
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
        let text = with_id(text, id)
            .ok_or(RestError::Parameter("the payload is not one event without an id"))?;
        let targets = self.selected(selection);
        if targets.is_empty() {
            self.answer(caller, Answer::part(Bytes::new(), false));
            return Ok(());
        }
        // The first part lets the caller go on with its next call.
        self.answer(caller, Answer::part(Bytes::new(), true));
        let waiting = targets.iter().copied().collect();
        let give_up_at = self.now.at + self.settings.invoke_timeout;
        self.invokes.running.insert(id, Invoke { caller, waiting, give_up_at });
        let mut whole = vec![Packet::Message(&text)];
        whole.extend(attached.iter().cloned());
        for key in targets {
            self.deliver(key, &whole);
        }
        Ok(())
    }

    /// Whether a client's message is, or belongs to, the acknowledgement of an invocation.
    pub(super) fn caught(&mut self, key: ClientKey, binary: bool, message: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(&key) else { return false };
        if let Some(mut catching) = client.catching.take() {
            payload::append(&mut catching.payload, binary, message);
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
        let mut payload = String::new();
        payload::append(&mut payload, false, message);
        self.catch(key, Catching { id, missing: packet.attachments, payload });
        true
    }

    fn catch(&mut self, key: ClientKey, catching: Catching) {
        if catching.missing > 0 {
            if let Some(client) = self.clients.get_mut(&key) {
                client.catching = Some(catching);
            }
            return;
        }
        // A late or a second one means nothing.
        let Some(invoke) = self.invokes.running.get_mut(&catching.id) else { return };
        if !invoke.waiting.remove(&key) {
            return;
        }
        let (caller, done) = (invoke.caller, invoke.waiting.is_empty());
        self.metrics.invoke_answers.inc();
        // A whole line in one part: the caller reads part by part.
        let line = format!("{}\n", json!({ "Payload": catching.payload }));
        self.answer(caller, Answer::part(Bytes::from(line), true));
        if done {
            self.end_invoke(catching.id);
        }
    }

    /// A client that is gone acknowledges nothing.
    pub(super) fn invoke_client_gone(&mut self, key: ClientKey) {
        let running = self.invokes.running.iter_mut();
        let ids: Vec<u64> = running
            .filter_map(|(&id, invoke)| {
                (invoke.waiting.remove(&key) && invoke.waiting.is_empty()).then_some(id)
            })
            .collect();
        for id in ids {
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
        if let Some(invoke) = self.invokes.running.remove(&id) {
            self.answer(invoke.caller, Answer::part(Bytes::new(), false));
        }
    }

    /// Whoever asked is gone.
    pub(super) fn drop_invokes_of(&mut self, caller: impl Fn(Caller) -> bool) {
        self.invokes.running.retain(|_, invoke| !caller(invoke.caller));
    }
}

/// `2/ns,["ev"]` → `2/ns,<id>["ev"]`. None for what is no event, or has an id already.
fn with_id(text: &str, id: u64) -> Option<String> {
    let packet = parse_head(text).ok()?;
    if !matches!(packet.kind, Kind::Event | Kind::BinaryEvent) || packet.id.is_some() {
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
