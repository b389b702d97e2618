//! One Socket.IO client over WebSocket, pure: bytes in, bytes and messages out.
//!
//! Contract for callers:
//!
//! 1. [`Client::start`] appends the HTTP upgrade to `out`; send it when the stream is connected.
//! 2. [`Client::handle_bytes`] takes what was read, appends answers (pong, namespace connect) to `out` and
//!    shows each message to the sink, in order. The sink may append to `out` too.
//! 3. An error ends the client: close the stream, count the [`Loss`], make a new `Client` to come back.
//!
//! An idle client owns no heap memory.

use std::rc::Rc;

use crate::frame::{self, Frame, Opcode};
use crate::http::{self, Site};
use crate::out::Out;
use crate::session::{Loss, Message, Phase, Session};
use crate::transport::Transport;

use polling::Polling;

pub(crate) mod polling;

/// Longest message gathered from fragments.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One Socket.IO client: see the module's documentation.
#[derive(Debug)]
pub(crate) struct Client {
    session: Session,
    /// A frame that has not arrived completely yet.
    partial: Vec<u8>,
    /// State that an idle WebSocket client does not need, behind one thin pointer.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Default)]
struct Rare {
    /// The message that fragments are gathered into.
    fragments: Option<Vec<u8>>,
    /// JSON that the connect packet carries.
    auth: Vec<u8>,
    polling: Option<Polling>,
}

impl Client {
    /// A new client; `auth` is JSON for the connect packet, or empty. The first bytes to send go
    /// into `out`.
    pub(crate) fn start(
        transport: Transport,
        site: &Rc<Site>,
        auth: Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Self {
        let mut rare = Rare { auth, ..Rare::default() };
        let phase = if transport == Transport::WebSocket {
            out.extend_from_slice(&site.upgrade(None));
            Phase::Upgrading
        } else {
            let mut polling = Polling::new(site, transport == Transport::Upgrade);
            out.extend_from_slice(&polling.poll_out());
            rare.polling = Some(polling);
            Phase::Opening
        };
        let is_needed = !rare.auth.is_empty() || rare.polling.is_some();
        Self {
            session: Session::new(phase),
            partial: Vec::new(),
            rare: is_needed.then(|| Box::new(rare)),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.session.phase
    }

    /// Milliseconds without a ping after which Socket.IO's client gives the server up; 0 before the handshake.
    pub(crate) fn silence_ms_max(&self) -> u32 {
        self.session.silence_ms_max
    }

    /// The polling transport, while the client uses it.
    pub(crate) fn polling(&mut self) -> Option<&mut Polling> {
        self.rare.as_mut()?.polling.as_mut()
    }

    /// Finishes the upgrade: from now on bytes belong to the WebSocket. Returns the bytes that have
    /// already come over it.
    pub(crate) fn finish_upgrade(&mut self) -> Vec<u8> {
        let polling = self.rare.take().and_then(|rare| rare.polling);
        polling.map(Polling::into_rest).unwrap_or_default()
    }

    /// Handles bytes from the stream (with polling, from the stream of the polls). See the contract
    /// above.
    pub(crate) fn handle_bytes(
        &mut self,
        input: &[u8],
        out: &mut Out,
        sink: &mut impl FnMut(Message<'_>, &mut Out),
    ) -> Result<(), Loss> {
        if let Some(Rare { polling: Some(polling), auth, .. }) = self.rare.as_deref_mut() {
            return polling.handle_poll(input, &mut self.session, auth, sink);
        }
        if self.partial.is_empty() {
            let used = self.consume(input, out, sink)?;
            self.partial.extend_from_slice(&input[used..]);
            return Ok(());
        }
        let mut whole = core::mem::take(&mut self.partial);
        whole.extend_from_slice(input);
        let used = self.consume(&whole, out, sink)?;
        if used < whole.len() {
            whole.drain(..used);
            self.partial = whole;
        }
        Ok(())
    }

    /// Handles all complete frames in `input`; returns their length.
    fn consume(
        &mut self,
        input: &[u8],
        out: &mut Out,
        sink: &mut impl FnMut(Message<'_>, &mut Out),
    ) -> Result<usize, Loss> {
        let mut used = 0;
        if self.session.phase == Phase::Upgrading {
            let Some(head) = http::switched(input)? else { return Ok(0) };
            self.session.phase = Phase::Opening;
            used = head;
        }
        while let Some((frame, length)) =
            frame::decode(&input[used..]).map_err(|_broken| Loss::Protocol)?
        {
            used += length;
            self.handle_frame(frame, out, sink)?;
        }
        Ok(used)
    }

    fn handle_frame(
        &mut self,
        frame: Frame<'_>,
        out: &mut Out,
        sink: &mut impl FnMut(Message<'_>, &mut Out),
    ) -> Result<(), Loss> {
        match frame.opcode {
            Opcode::Text if frame.fin => self.handle_text(frame.payload, out, sink),
            Opcode::Text => self.gather(frame.payload),
            Opcode::Continuation => {
                if self.fragments().is_none() {
                    return Err(Loss::Protocol);
                }
                self.gather(frame.payload)?;
                if !frame.fin {
                    return Ok(());
                }
                let rare = self.rare.as_mut();
                let text = rare.and_then(|rare| rare.fragments.take()).unwrap_or_default();
                self.handle_text(&text, out, sink)
            }
            Opcode::Ping => {
                frame::encode(&mut out.bytes, Opcode::Pong, &[frame.payload]);
                Ok(())
            }
            Opcode::Close => Err(Loss::WebSocketClose(close_code(frame.payload))),
            // Attachments of binary events: counted by no scenario yet.
            Opcode::Binary | Opcode::Pong => Ok(()),
        }
    }

    fn fragments(&self) -> Option<&Vec<u8>> {
        self.rare.as_ref()?.fragments.as_ref()
    }

    fn gather(&mut self, payload: &[u8]) -> Result<(), Loss> {
        let rare = self.rare.get_or_insert_default();
        let text = rare.fragments.get_or_insert_default();
        if text.len() + payload.len() > MESSAGE_BYTES_MAX {
            return Err(Loss::Protocol);
        }
        text.extend_from_slice(payload);
        Ok(())
    }

    fn handle_text(
        &mut self,
        text: &[u8],
        out: &mut Out,
        sink: &mut impl FnMut(Message<'_>, &mut Out),
    ) -> Result<(), Loss> {
        let auth = self.rare.as_ref().map_or(&b""[..], |rare| &rare.auth);
        self.session.handle_packet(text, auth, out, sink)?;
        if self.fragments().is_none() && self.session.phase == Phase::Joined {
            self.rare = None;
        }
        Ok(())
    }
}

/// RFC 6455 section 7.4.1: 1005 stands for a close frame without a code.
fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code))
}

#[cfg(test)]
mod tests;
