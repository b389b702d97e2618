//! Packets on their way to the server, framed as the client's transport wants them.

use std::rc::Rc;

use crate::frame::{self, Opcode};

/// How packets are told apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Framing {
    /// A polling payload: packets with a record separator between them.
    Payload,
    /// One masked text frame each.
    #[default]
    WebSocket,
}

/// The separator of the packets in a payload (Engine.IO protocol 4, "Packet encoding").
pub(crate) const SEPARATOR: u8 = 0x1e;

/// Collects packets for one client.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) bytes: Vec<u8>,
    pub(crate) framing: Framing,
    /// The text between a packet's type and its data: the namespace, or nothing for the main one.
    pub(crate) prefix: Rc<str>,
}

impl Out {
    pub(crate) fn new(framing: Framing, prefix: &str) -> Self {
        Self { bytes: Vec::new(), framing, prefix: prefix.into() }
    }

    /// Appends one Engine.IO packet whose text is all `parts` in order.
    pub(crate) fn packet(&mut self, parts: &[&[u8]]) {
        match self.framing {
            Framing::WebSocket => frame::encode(&mut self.bytes, Opcode::Text, parts),
            Framing::Payload => {
                if !self.bytes.is_empty() {
                    self.bytes.push(SEPARATOR);
                }
                parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
            }
        }
    }

    /// Appends an event with JSON array items such as `"echo","text"`, asking for ack `id` if given.
    pub(crate) fn emit(&mut self, ack: Option<u64>, array_items: &[&[u8]]) {
        let prefix = &self.prefix;
        let head = match ack {
            Some(id) => format!("42{prefix}{id}["),
            None => format!("42{prefix}["),
        };
        let mut parts: [&[u8]; 8] = [b""; 8];
        debug_assert!(array_items.len() <= 6, "an emit has at most six parts");
        parts[0] = head.as_bytes();
        for (slot, item) in parts[1..].iter_mut().zip(array_items) {
            *slot = item;
        }
        parts[7] = b"]";
        self.packet(&parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_separates_packets() {
        let mut out = Out::new(Framing::Payload, "");
        out.packet(&[b"3"]);
        out.emit(Some(12), &[b"\"echo\",\"", b"0:1:", b"xx", b"\""]);
        assert_eq!(out.bytes, b"3\x1e4212[\"echo\",\"0:1:xx\"]");
    }

    #[test]
    fn events_go_to_their_namespace() {
        let mut out = Out::new(Framing::Payload, "/chat,");
        out.emit(Some(12), &[b"\"echo\""]);
        out.emit(None, &[b"\"who\""]);
        assert_eq!(out.bytes, b"42/chat,12[\"echo\"]\x1e42/chat,[\"who\"]");
    }
}
