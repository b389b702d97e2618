//! WebSocket: one message is one packet.

use super::Session;
use crate::Timestamp;
use crate::close::CloseReason;
use crate::error::PeerMisbehaved;
use crate::lenient_base64;
use crate::packet::{Data, Packet};
use crate::protocol::{Body, TransportKind};

impl Session {
    /// Handles a message over the session's WebSocket. `Some` is a message for the app: borrowed
    /// from the input, or from the session when the client sent it as base64 because it cannot send
    /// bytes.
    ///
    /// # Errors
    ///
    /// The rule that the client broke; the session has ended.
    pub fn handle_message<'a>(
        &'a mut self,
        now: Timestamp,
        message: Body<'a>,
    ) -> Result<Option<Body<'a>>, PeerMisbehaved> {
        self.decoded = None;
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
                let bytes = lenient_base64::decode_lenient(text).into_boxed_slice();
                Body::Binary(self.decoded.insert(bytes))
            }
            Data::Binary(bytes) => Body::Binary(bytes),
            Data::Text(text) => Body::Text(text),
        }))
    }

    /// Handles a WebSocket message whose announced length is more than `maxHttpBufferSize`: the
    /// caller sends close code 1009. Over polling such a POST is answered with status 413 and the
    /// session lives on, so the session need not know.
    pub fn handle_message_too_large(&mut self, _now: Timestamp) {
        if self.transport == TransportKind::WebSocket {
            self.finish_gone(CloseReason::TooLarge, "Max payload size exceeded");
        }
    }
}
