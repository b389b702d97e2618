//! WebSocket: one message is one packet.

use alloc::vec::Vec;

use super::Session;
use crate::Timestamp;
use crate::error::PeerMisbehaved;
use crate::lenient_base64;
use crate::packet::{Data, Packet};
use crate::protocol::{Body, TransportKind};

impl Session {
    /// A message came over the session's WebSocket. Some is a message for the app: borrowed from the input, or from `scratch` when
    /// it came as base64, in which case the scratch's content is replaced.
    ///
    /// # Errors
    ///
    /// The rule that the client broke; the session has ended.
    pub fn handle_message<'a>(
        &mut self,
        now: Timestamp,
        message: Body<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<Body<'a>>, PeerMisbehaved> {
        if self.transport != TransportKind::WebSocket {
            return Ok(None);
        }
        let data = match Packet::decode(self.protocol, message) {
            Ok(packet) => self.on_packet(now, packet)?,
            Err(misbehaved) => {
                self.undecodable(misbehaved)?;
                None
            }
        };
        Ok(data.map(|data| match data {
            Data::Base64(text) => {
                *scratch = lenient_base64::decode_lenient(text);
                Body::Binary(scratch)
            }
            Data::Binary(bytes) => Body::Binary(bytes),
            Data::Text(text) => Body::Text(text),
        }))
    }
}
