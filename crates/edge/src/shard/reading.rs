//! Reading clients' WebSockets into their app servers' batches.

use std::io::{self, Read};
use std::ops::ControlFlow;

use bytes::Bytes;
use trunkline_engineio::Body;
use trunkline_websocket::{Incoming, Opcode, Role, encode, encode_close};

use super::command::{AdoptedStream, SlotKey};
use super::polling::Uplink;
use super::slot::{Carrier, State, number_of};
use super::streams::{Kind, Readiness, Stream, Token};
use super::{SCRATCH_BYTES, Shard};

/// Reads of one stream in one turn; the rest waits for the next turn, so that a flood starves nobody.
const READS_PER_TURN: usize = 4;

/// What a batch of frames from one stream came to.
enum Heard {
    /// Go on.
    Fine,
    /// The client said goodbye; this is the answer.
    Closed(Bytes),
    /// A rule was broken: close with this code.
    Broken { code: u16, slug: &'static str, too_large: bool },
    /// A rule of Engine.IO was broken; the session has seen to it.
    Misbehaved(&'static str),
}

impl Shard {
    /// Serves what epoll reports. True when there may be more.
    pub(super) fn handle_readiness(&mut self) -> io::Result<bool> {
        let mut ready = std::mem::take(&mut self.readiness);
        let more = self.poller.collect(&mut ready)?;
        for event in ready.drain(..) {
            self.stream_ready(event);
        }
        self.readiness = ready;
        Ok(more)
    }

    fn stream_ready(&mut self, event: Readiness) {
        let Token { kind, index, .. } = event.token;
        if kind == Kind::Linger {
            self.linger_ready(event);
            return;
        }
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if !event.token.is_of(slot.generation) {
            return;
        }
        slot.ended |= event.ended && kind == Kind::Session;
        if event.writable {
            self.mark_dirty(index);
        }
        if event.readable {
            match kind {
                Kind::Session => self.read_stream(index),
                Kind::Probe => self.read_probe(index),
                Kind::Linger => (),
            }
        }
    }

    /// Goes on with streams that had more than one turn's share.
    pub(super) fn read_unread(&mut self) {
        for _ in 0..self.unread.len() {
            let Some(index) = self.unread.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            if std::mem::take(&mut slot.unread) {
                self.read_stream(index);
            }
        }
    }

    pub(super) fn read_later(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && !slot.unread
        {
            slot.unread = true;
            self.unread.push_back(index);
        }
    }

    fn read_stream(&mut self, index: u32) {
        for _ in 0..READS_PER_TURN {
            let Some(slot) = self.slots.get_mut(index as usize) else { return };
            let ended = slot.ended;
            let State::Live(live) = &mut slot.state else { return };
            let Carrier::Stream(stream) = &mut live.carrier else { return };
            let number = number_of(index, self.index, self.shards);
            let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.trunk, number) else {
                return; // The app server is gone, and the session will be closed.
            };
            if !uplink.has_credit() {
                uplink.pause(index);
                return;
            }
            let now = self.now;
            match stream.io.read(&mut self.scratch) {
                Ok(0) => {
                    live.session.handle_stream_closed(now);
                    self.mark_dirty(index);
                    return;
                }
                Ok(count) => {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    let open = self.hear(index, &mut scratch[..count]);
                    self.scratch = scratch;
                    // A short read has emptied the stream, and an edge will tell of more.
                    if !open || (count < SCRATCH_BYTES && !ended) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // A reset: npm's server cannot tell it from an orderly end either.
                Err(_) => {
                    live.session.handle_stream_closed(now);
                    self.mark_dirty(index);
                    return;
                }
            }
        }
        self.read_later(index);
    }

    /// Bytes that came right behind a handshake.
    pub(super) fn read_leftover(&mut self, index: u32, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.hear(index, &mut bytes);
    }

    /// Decodes what one read brought. False when the session is over.
    fn hear(&mut self, index: u32, input: &mut [u8]) -> bool {
        let now = self.now;
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index as usize) else { return false };
        let State::Live(live) = &mut slot.state else { return false };
        let Carrier::Stream(stream) = &mut live.carrier else { return false };
        let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.trunk, number) else {
            return false;
        };
        let metrics = &self.env.metrics;
        let session = &mut live.session;
        let message_bytes_max = uplink.payload_bytes_max();
        let mut heard = Heard::Fine;
        let mut pongs = Vec::new();
        let decoded =
            stream.decoder.decode(Role::Server, message_bytes_max, input, &mut |incoming| {
                let body = match incoming {
                    Incoming::Text(text) => Body::Text(text),
                    Incoming::Binary(bytes) => Body::Binary(bytes),
                    Incoming::Ping(payload) => {
                        pongs.push(encode(Opcode::Pong, payload, None));
                        return ControlFlow::Continue(());
                    }
                    Incoming::Pong(_) => return ControlFlow::Continue(()),
                    Incoming::Close { code, reason } => {
                        heard = Heard::Closed(echo(code, reason));
                        return ControlFlow::Break(());
                    }
                };
                match session.handle_message(now, body) {
                    Ok(None) => (),
                    Ok(Some(body)) => {
                        metrics.messages_received.inc();
                        metrics.received_bytes.inc_by(body_len(&body));
                        if uplink.message(&body) {
                            metrics.trunk_stalls.inc();
                        }
                    }
                    Err(rule) => {
                        heard = Heard::Misbehaved(rule.slug());
                        return ControlFlow::Break(());
                    }
                }
                if session.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        for pong in pongs {
            stream.queue(pong);
        }
        if let Err(rule) = decoded {
            heard = Heard::Broken {
                code: rule.close_code(),
                slug: rule.slug(),
                too_large: rule.close_code() == 1009,
            };
        }
        self.mark_dirty(index);
        self.act_on(index, heard)
    }

    fn act_on(&mut self, index: u32, heard: Heard) -> bool {
        let now = self.now;
        let Some(live) = self.slots.get_mut(index as usize).and_then(super::Slot::live) else {
            return false;
        };
        let last_frame = match heard {
            Heard::Fine => return !live.session.is_closed(),
            Heard::Misbehaved(slug) => {
                self.count_misbehaviour(slug);
                return false;
            }
            Heard::Closed(echo) => {
                live.session.handle_stream_closed(now);
                echo
            }
            Heard::Broken { code, slug, too_large } => {
                if too_large {
                    live.session.handle_stream_error(now, "max payload size exceeded");
                } else {
                    live.session.handle_stream_error(now, slug);
                }
                self.count_misbehaviour(slug);
                encode_close(code, "", None)
            }
        };
        // The session has no more to say over this stream: the close frame is ours.
        if let Some(live) = self.slots.get_mut(index as usize).and_then(super::Slot::live)
            && let Carrier::Stream(stream) = std::mem::replace(&mut live.carrier, Carrier::Gone)
        {
            self.linger(stream, Some(last_frame));
        }
        false
    }

    /// A second WebSocket came for a session that polls.
    pub(super) fn adopt_probe(&mut self, key: SlotKey, base64_only: bool, adopted: AdoptedStream) {
        let (stream, leftover) = Stream::adopt(adopted);
        let now = self.now;
        let token = Token::new(Kind::Probe, key.slot, key.generation);
        let watched = self.poller.add(&stream, token).is_ok();
        let welcome = self.live(key).is_some_and(|live| {
            watched && live.probe.is_none() && live.session.handle_probe_opened(now).is_ok()
        });
        if !welcome {
            self.count_upgrade("refused");
            // npm's server closes such a stream without a code.
            self.linger(stream, Some(encode(Opcode::Close, &[], None)));
            return;
        }
        if let Some(live) = self.live(key) {
            live.probe = Some(Box::new(stream));
            live.session.set_base64_only(base64_only);
        }
        self.mark_dirty(key.slot);
        if !leftover.is_empty() {
            self.hear_probe(key.slot, &mut leftover.to_vec());
        }
    }

    fn read_probe(&mut self, index: u32) {
        let now = self.now;
        loop {
            let Some(live) = self.slots.get_mut(index as usize).and_then(super::Slot::live) else {
                return;
            };
            let Some(probe) = &mut live.probe else {
                // The probe was promoted with this event under way.
                self.read_stream(index);
                return;
            };
            match probe.io.read(&mut self.scratch) {
                Ok(0) => break,
                Ok(count) => {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    self.hear_probe(index, &mut scratch[..count]);
                    self.scratch = scratch;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => break,
            }
        }
        if let Some(live) = self.slots.get_mut(index as usize).and_then(super::Slot::live)
            && let Some(probe) = live.probe.take()
        {
            live.session.handle_probe_closed(now);
            self.count_upgrade("stream_closed");
            drop(probe);
            self.mark_dirty(index);
        }
    }

    /// Feeds the probe's bytes to the session; what follows the upgrade packet is the session's own traffic.
    fn hear_probe(&mut self, index: u32, input: &mut [u8]) {
        let now = self.now;
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let State::Live(live) = &mut slot.state else { return };
        let Some(probe) = live.probe.as_deref_mut() else { return };
        let Some(mut uplink) = Uplink::new(&mut self.trunks, slot.trunk, number) else { return };
        let session = &mut live.session;
        let message_bytes_max = uplink.payload_bytes_max();
        let mut last_frame = None;
        let mut pongs = Vec::new();
        let decoded =
            probe.decoder.decode(Role::Server, message_bytes_max, input, &mut |incoming| {
                let body = match incoming {
                    Incoming::Text(text) => Body::Text(text),
                    Incoming::Binary(bytes) => Body::Binary(bytes),
                    Incoming::Ping(payload) => {
                        pongs.push(encode(Opcode::Pong, payload, None));
                        return ControlFlow::Continue(());
                    }
                    Incoming::Pong(_) => return ControlFlow::Continue(()),
                    Incoming::Close { code, reason } => {
                        last_frame = Some(echo(code, reason));
                        return ControlFlow::Break(());
                    }
                };
                if session.is_probing() {
                    session.handle_probe_message(now, body);
                } else if let Ok(Some(body)) = session.handle_message(now, body) {
                    uplink.message(&body);
                }
                ControlFlow::Continue(())
            });
        for pong in pongs {
            probe.queue(pong);
        }
        if let Err(rule) = decoded {
            self.count_misbehaviour(rule.slug());
            last_frame = Some(encode_close(rule.close_code(), "", None));
        }
        self.mark_dirty(index);
        let Some(last_frame) = last_frame else { return };
        let Some(live) = self.slots.get_mut(index as usize).and_then(super::Slot::live) else {
            return;
        };
        if live.session.is_probing() {
            live.session.handle_probe_closed(now);
        } else {
            live.session.handle_stream_closed(now);
        }
        if let Some(probe) = live.probe.take() {
            self.count_upgrade("stream_closed");
            self.linger(*probe, Some(last_frame));
        }
    }

    pub(super) fn count_upgrade(&self, outcome: &'static str) {
        self.env.metrics.upgrades.get_or_create(&crate::metrics::Outcome { outcome }).inc();
    }
}

/// A close frame is answered with its like.
fn echo(code: Option<u16>, reason: &str) -> Bytes {
    match code {
        None => encode(Opcode::Close, &[], None),
        Some(code) => encode_close(code, reason, None),
    }
}

fn body_len(body: &Body<'_>) -> u64 {
    match body {
        Body::Text(text) => text.len() as u64,
        Body::Binary(bytes) => bytes.len() as u64,
    }
}
