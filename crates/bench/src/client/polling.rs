//! The long-polling transport of a client, and its upgrade to WebSocket, pure.
//!
//! As in engine.io-client, one poll is always under way; packets are sent in one POST at a time
//! over a second stream; the upgrade is probed over a third. When the probe is answered, polling
//! pauses: no new poll, no new POST. When those under way have ended, the upgrade packet goes over
//! the WebSocket, followed by the packets that waited meanwhile.

use std::rc::Rc;

use crate::client::{Loss, Message};
use crate::frame::{self, Opcode};
use crate::http::{self, Site, Ticket};
use crate::out::{Framing, Out, SEPARATOR};
use crate::session::Session;

/// The state of the upgrade.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Probe {
    /// There will be no upgrade, or it has failed.
    Off,
    /// The upgrade starts as soon as the session is open.
    Wanted,
    /// The WebSocket must be opened: [`Polling::take_probe`].
    Due,
    /// The HTTP upgrade is under way.
    Connecting,
    /// The probe packet has been sent.
    Asked,
    /// The probe was answered: requests under way may finish.
    Pausing,
    /// The upgrade packet has been written.
    Done,
}

/// The polling transport of one client.
#[derive(Debug)]
pub(crate) struct Polling {
    site: Rc<Site>,
    ticket: Ticket,
    probe: Probe,
    polling: bool,
    posting: bool,
    /// Packets that wait for the next POST.
    queue: Out,
    poll_in: Vec<u8>,
    post_in: Vec<u8>,
    probe_in: Vec<u8>,
    poll_out: Vec<u8>,
    post_out: Vec<u8>,
    probe_out: Vec<u8>,
}

impl Polling {
    /// A new transport; the first poll is in [`Self::poll_out`] at once.
    pub(crate) fn new(site: &Rc<Site>, upgrades: bool) -> Self {
        Self {
            site: Rc::clone(site),
            ticket: Ticket::default(),
            probe: if upgrades { Probe::Wanted } else { Probe::Off },
            polling: true,
            posting: false,
            queue: Out::new(Framing::Payload, &site.manner.prefix),
            poll_in: Vec::new(),
            post_in: Vec::new(),
            probe_in: Vec::new(),
            poll_out: site.poll(None),
            post_out: Vec::new(),
            probe_out: Vec::new(),
        }
    }

    /// Bytes for the poll's stream.
    pub(crate) fn poll_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.poll_out)
    }

    /// Bytes for the POST's stream, which is opened if there is none.
    pub(crate) fn post_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.post_out)
    }

    /// Bytes for the probe's stream.
    pub(crate) fn probe_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.probe_out)
    }

    /// True once, when the probe's stream must be opened.
    pub(crate) fn take_probe(&mut self) -> bool {
        let due = self.probe == Probe::Due;
        if due {
            self.probe = Probe::Connecting;
            self.probe_out = self.site.upgrade(Some(&self.ticket));
        }
        due
    }

    /// Whether the probe's stream is now the session's.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.probe == Probe::Done
    }

    /// Whether a POST is under way, so that its stream may not end.
    pub(crate) fn is_posting(&self) -> bool {
        self.posting
    }

    /// Bytes that were read from the probe's stream and belong to the session already.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.probe_in
    }

    /// Lets `write` append packets; they are sent as soon as possible.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut Out)) {
        write(&mut self.queue);
        self.go_on();
    }

    /// Handles bytes from the poll's stream.
    pub(crate) fn handle_poll(
        &mut self,
        bytes: &[u8],
        session: &mut Session,
        auth: &[u8],
        sink: &mut impl FnMut(Message<'_>, &mut Out),
    ) -> Result<(), Loss> {
        self.poll_in.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.poll_in);
        let Some((body, used)) = http::answer(&input)? else {
            self.poll_in = input;
            return Ok(());
        };
        if used < input.len() || !self.polling {
            // An answer without a request.
            return Err(Loss::Protocol);
        }
        self.polling = false;
        if self.ticket.sid.is_empty() {
            self.ticket.cookie = http::cookie(&input).to_owned();
        }
        for text in body.split(|byte| *byte == SEPARATOR) {
            match text.strip_prefix(b"0") {
                Some(json) if self.ticket.sid.is_empty() => self.open(json, session, auth)?,
                _ => session.handle_packet(text, auth, &mut self.queue, sink)?,
            }
        }
        self.go_on();
        Ok(())
    }

    /// Handles bytes from the POST's stream.
    pub(crate) fn handle_post(&mut self, bytes: &[u8]) -> Result<(), Loss> {
        self.post_in.extend_from_slice(bytes);
        if http::answer(&self.post_in)?.is_some() {
            self.post_in = Vec::new();
            self.posting = false;
            self.go_on();
        }
        Ok(())
    }

    /// Handles bytes from the probe's stream. An error ends the probe, not the session.
    pub(crate) fn handle_probe(&mut self, bytes: &[u8]) -> Result<(), Loss> {
        self.probe_in.extend_from_slice(bytes);
        if self.probe == Probe::Connecting {
            let Some(head) = http::switched(&self.probe_in)? else { return Ok(()) };
            self.probe_in.drain(..head);
            frame::encode(&mut self.probe_out, Opcode::Text, &[b"2probe"]);
            self.probe = Probe::Asked;
        }
        if self.probe == Probe::Asked {
            let decoded = frame::decode(&self.probe_in).map_err(|_broken| Loss::Protocol)?;
            let Some((frame, used)) = decoded else { return Ok(()) };
            match (frame.opcode, frame.payload) {
                (Opcode::Text, b"3probe") => self.probe = Probe::Pausing,
                (Opcode::Close, _) => return Err(Loss::Eof),
                _ => return Err(Loss::Protocol),
            }
            self.probe_in.drain(..used);
            self.go_on();
        }
        Ok(())
    }

    /// Notes the end of the probe's stream: polling continues.
    pub(crate) fn probe_failed(&mut self) {
        self.probe = Probe::Off;
        self.probe_in = Vec::new();
        self.go_on();
    }

    fn open(&mut self, json: &[u8], session: &mut Session, auth: &[u8]) -> Result<(), Loss> {
        let handshake = session.open(json, auth, &mut self.queue)?;
        let offered = handshake.upgrades.iter().any(|name| name == "websocket");
        self.ticket.sid = handshake.sid;
        // A server that offers no upgrade has not failed at one: the caller sees that none was probed.
        self.probe = if self.probe == Probe::Wanted && offered { Probe::Due } else { Probe::Off };
        Ok(())
    }

    /// Starts whatever can start: the next poll, the next POST, or the end of the upgrade.
    fn go_on(&mut self) {
        if self.probe == Probe::Pausing {
            if !self.polling && !self.posting {
                self.finish();
            }
            return;
        }
        if self.ticket.sid.is_empty() || self.probe == Probe::Done {
            return;
        }
        if !self.polling {
            self.polling = true;
            self.poll_out = self.site.poll(Some(&self.ticket));
        }
        if !self.posting && !self.queue.bytes.is_empty() {
            self.posting = true;
            let payload = std::mem::take(&mut self.queue.bytes);
            self.post_out = self.site.post(&self.ticket, &payload);
        }
    }

    fn finish(&mut self) {
        frame::encode(&mut self.probe_out, Opcode::Text, &[b"5"]);
        let waiting = std::mem::take(&mut self.queue.bytes);
        for packet in waiting.split(|byte| *byte == SEPARATOR).filter(|packet| !packet.is_empty()) {
            frame::encode(&mut self.probe_out, Opcode::Text, &[packet]);
        }
        self.probe = Probe::Done;
    }
}

#[cfg(test)]
mod tests;
