//! Reading clients' WebSockets into their app servers' batches.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::{Body, CloseReason, Session, TransportKind};
use trunkline_websocket::{Incoming, Opcode, Role, Rules, encode, encode_close};

use super::idle::{IdleFrames, is_empty_part};
use super::poller::{Kind, Readiness, Token};
use super::slot::{Carrier, Live, State, number_of};
use super::streams::Stream;
use super::uplink::{Held, Uplink};
use super::{SCRATCH_BYTES, Shard, meters};
use crate::memory::HELD_BYTES_BEYOND_CEILING;
use crate::metrics::Metrics;

/// Reads of one stream in one turn. The rest waits for the next turn, so that one client's flood
/// does not delay the others.
pub(super) const READS_PER_TURN: usize = 4;

/// The most pings of one read that are answered.
const PONGS_MAX: usize = 64;

/// The result of reading frames from one stream.
pub(super) enum Heard {
    /// Continue.
    Fine,
    /// The client sent a close frame; this is the answer.
    Closed(Bytes),
    /// A rule of RFC 6455 was broken.
    Broken { slug: &'static str, last_frame: Bytes, too_large: bool },
    /// A rule of Engine.IO was broken; the session has already handled it.
    Misbehaved(&'static str),
}

/// Inflated bytes after which a turn reads no more streams that may be compressed: some
/// milliseconds of work.
const INFLATED_PER_TURN: usize = 1024 * 1024;
/// Inflated bytes of one stream after which it waits until others have been read.
const HEAVY_BYTES: usize = 64 * 1024;
/// Frames without a message in one read after which the stream waits until others have been read.
const IDLE_FRAMES_MAX: u32 = 1_000;
/// The time that one turn spends on heavy streams and posts; the last one may exceed it.
const HEAVY_TIME: Duration = Duration::from_millis(1);
/// The pause after that, as a multiple of the time spent: so they get a quarter of a shard's time
/// at most.
const HEAVY_PAUSES: u32 = 3;
/// The longest message on a stream that does not carry the session yet: `2probe` and `5` need no
/// more.
pub(super) const PROBE_BYTES_MAX: usize = 1024;

/// A reader of one stream's bytes, with the parts of the session that they concern.
pub(super) struct Ear<'a> {
    pub(super) session: &'a mut Session,
    pub(super) held: &'a mut Option<Box<Held>>,
    /// `None` while the session is between two app servers: everything but a probe is held.
    pub(super) uplink: Option<Uplink<'a>>,
    pub(super) metrics: &'a Metrics,
    pub(super) now: Timestamp,
    /// Set when the stream is a probe, not the session's own.
    pub(super) is_probe: bool,
    /// Bytes of compressed messages after inflation.
    pub(super) inflated: usize,
    pub(super) idle: IdleFrames,
}

impl Ear<'_> {
    /// Decodes the bytes of one read, up to the first message that has to wait for credit. What
    /// follows is held as it arrived, compressed if it is.
    pub(super) fn hear(&mut self, stream: &mut Stream, input: &mut [u8]) -> Heard {
        let mut heard = Heard::Fine;
        let mut pongs = Vec::new();
        let mut rest = input;
        while !rest.is_empty() {
            if let Some(held) = self.held.as_mut()
                && !(self.is_probe && self.session.is_probing())
            {
                held.unheard.extend_from_slice(rest);
                break;
            }
            let waits = self.inflated > HEAVY_BYTES || self.uplink.is_none();
            if waits && !(self.is_probe && self.session.is_probing()) {
                // Others first, or nobody to send it to: the rest is held as it arrived.
                self.held.get_or_insert_default();
                continue;
            }
            match self.hear_frame(stream, rest, &mut pongs, &mut heard) {
                Ok(taken) => rest = &mut rest[taken..],
                Err(broken) => {
                    heard = broken;
                    break;
                }
            }
        }
        stream.queue_pongs(pongs);
        self.idle.count_into(self.metrics);
        if self.inflated > 0 {
            self.metrics.inflated_bytes.inc_by(self.inflated as u64);
        }
        heard
    }

    /// Reads one frame, or the available part of it. Returns its number of bytes.
    fn hear_frame(
        &mut self,
        stream: &mut Stream,
        input: &mut [u8],
        pongs: &mut Vec<Bytes>,
        heard: &mut Heard,
    ) -> Result<usize, Heard> {
        let probing = self.is_probe && self.session.is_probing();
        let message_bytes_max =
            if probing { PROBE_BYTES_MAX } else { self.session.config().payload_bytes_max };
        let is_empty_part = is_empty_part(input);
        let mut came = false;
        let deflate = stream.deflate_window.is_some();
        let rules = Rules { role: Role::Server, message_bytes_max, deflate };
        let mut message_bytes = 0;
        let decoded = stream.decoder.decode_frame(rules, input, &mut |incoming| {
            came = true;
            let body = match incoming {
                Incoming::Text(text) => Body::Text(text),
                Incoming::Binary(bytes) => Body::Binary(bytes),
                Incoming::Ping(payload) => {
                    if pongs.len() == PONGS_MAX {
                        // RFC 6455, section 5.5.3, allows answering only the latest of several
                        // pings.
                        pongs.pop();
                    }
                    pongs.push(encode(Opcode::Pong, payload, None));
                    self.idle.websocket_pings += 1;
                    return ControlFlow::Continue(());
                }
                Incoming::Pong(_) => {
                    self.idle.websocket_pongs += 1;
                    return ControlFlow::Continue(());
                }
                Incoming::Close { code, reason } => {
                    *heard = Heard::Closed(echo(code, reason));
                    return ControlFlow::Break(());
                }
            };
            message_bytes = match body {
                Body::Text(text) => text.len(),
                Body::Binary(bytes) => bytes.len(),
            };
            self.take(body, heard)
        });
        if let Ok(taken) = &decoded
            && deflate
            && message_bytes > *taken
        {
            self.inflated += message_bytes;
        }
        if is_empty_part && !came {
            self.idle.empty_parts += 1;
        }
        decoded.map_err(|rule| Heard::Broken {
            slug: rule.slug(),
            last_frame: encode_close(rule.close_code(), "", None),
            too_large: rule.close_code() == TOO_LARGE,
        })
    }

    fn take(&mut self, body: Body<'_>, heard: &mut Heard) -> ControlFlow<()> {
        if self.is_probe && self.session.is_probing() {
            if self.session.handle_probe_message(self.now, body) {
                // Sent at once: the frames that follow in the same read arrived on the new
                // transport.
                if let Some(uplink) = &mut self.uplink {
                    uplink.upgraded();
                }
            }
            return ControlFlow::Continue(());
        }
        if self.is_probe && self.session.transport() == TransportKind::Polling {
            return ControlFlow::Break(()); // The attempt is over.
        }
        match self.session.handle_message(self.now, body) {
            Ok(None) => self.idle.count(body),
            Ok(Some(body)) => {
                if let Some(uplink) = &mut self.uplink {
                    uplink.message(&body, self.held, self.metrics);
                }
            }
            Err(rule) => {
                *heard = Heard::Misbehaved(rule.slug());
                return ControlFlow::Break(());
            }
        }
        if self.session.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The close code for a message that is too large.
const TOO_LARGE: u16 = 1009;

impl Shard {
    /// Handles the sockets that epoll reports. True when there may be more.
    pub(super) fn handle_readiness(&mut self) -> io::Result<bool> {
        let mut ready = std::mem::take(&mut self.readiness);
        let more = self.poller.collect(&mut ready)?;
        for event in ready.drain(..) {
            self.stream_ready(event);
        }
        self.readiness = ready;
        Ok(more)
    }

    /// Handles an event of one socket.
    pub(super) fn stream_ready(&mut self, event: Readiness) {
        let Token { kind, index, .. } = event.token;
        match kind {
            Kind::Linger => return self.linger_ready(event),
            Kind::Rest => return self.rest_ready(event),
            Kind::Session | Kind::Probe => (),
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        if !event.token.is_of(slot.generation) {
            return;
        }
        let is_own = kind == Kind::Session || matches!(slot.state, State::Arriving(_));
        slot.ended |= event.ended && is_own;
        if event.writable {
            self.mark_dirty(index);
        }
        if event.readable {
            match kind {
                Kind::Session => self.read_stream(index),
                Kind::Probe => self.read_probe(index),
                Kind::Linger | Kind::Rest => (),
            }
        }
    }

    /// Continues with streams that had more to read than one turn's share.
    pub(super) fn read_unread(&mut self) {
        for _ in 0..self.unread.len() {
            if self.inflated > INFLATED_PER_TURN {
                return; // The other streams come first in the next turn.
            }
            let Some(index) = self.unread.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(index) else { continue };
            if !std::mem::take(&mut slot.unread) {
                continue;
            }
            self.read_probe(index);
            self.read_stream(index);
        }
    }

    /// Continues with some heavy streams and posts, at least one, if they may take time now.
    /// `clock` measures the time that they take.
    pub(super) fn read_heavy(&mut self, clock: impl Fn() -> Timestamp) {
        if self.heavy.is_empty() || self.heavy_at > self.now {
            return;
        }
        let begun = clock();
        for _ in 0..self.heavy.len() {
            let Some(index) = self.heavy.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(index) else { continue };
            if std::mem::take(&mut slot.heavy) && self.send_held(index) {
                self.read_stream(index);
            }
            if clock().since(begun) > HEAVY_TIME {
                break;
            }
        }
        let ended = clock();
        self.heavy_at = ended + ended.since(begun) * HEAVY_PAUSES;
    }

    /// Marks the slot as heavy, because its stream or post cost much time for few bytes: it is read
    /// after the others from now on.
    pub(super) fn set_heavy(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.heavy
        {
            slot.heavy = true;
            self.heavy.push_back(index);
        }
    }

    /// Notes that a stream has more to read, for the next turn.
    pub(super) fn read_later(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.unread
        {
            slot.unread = true;
            self.unread.push_back(index);
        }
    }

    /// Reads a session's WebSocket, one turn's share of it.
    pub(super) fn read_stream(&mut self, index: u32) {
        for _ in 0..READS_PER_TURN {
            let Some(slot) = self.slots.get_mut(index) else { return };
            if slot.heavy || slot.slowed.is_slowed() {
                return; // It has a turn of its own.
            }
            let Some(most) = self.flow_share(index) else { return };
            let Some(slot) = self.slots.get_mut(index) else { return };
            let (ended, uplink) = (slot.ended, slot.uplink());
            let State::Live(live) = &mut slot.state else { return };
            let Carrier::Stream(stream) = &mut live.carrier else { return };
            if stream.deflate_window.is_some() && self.inflated > INFLATED_PER_TURN {
                break;
            }
            let number = number_of(index, self.index, self.shards);
            let Some(uplink) = Uplink::new(&mut self.trunks, uplink, number) else {
                // The app server is gone: another one will take the session over, or it will be
                // closed.
                return self.hear_between(index, ended);
            };
            if live.held.as_ref().is_some_and(|held| !held.waits_for_credit()) {
                return self.set_heavy(index);
            }
            let readable = uplink.readable(slot.share, self.quantum).min(most);
            if live.held.is_some() || readable == 0 {
                self.pause(index);
                return;
            }
            let now = self.now;
            match stream.socket.read(&mut self.scratch[..readable]) {
                Ok(0) => {
                    live.session.handle_stream_closed(now);
                    self.mark_dirty(index);
                    return;
                }
                Ok(count) => {
                    uplink.note_read(&mut slot.share, count);
                    let mut scratch = std::mem::take(&mut self.scratch);
                    let open = self.hear(index, &mut scratch[..count]);
                    self.scratch = scratch;
                    // A short read has emptied the stream, and epoll reports an edge when more
                    // arrives.
                    if !open || (count < readable && !ended && !self.has_input(index)) {
                        return;
                    }
                    if readable < SCRATCH_BYTES {
                        break; // The others have their turns before it goes on.
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // A reset: npm's server cannot distinguish it from an ordinary end either.
                Err(_) => {
                    live.session.handle_stream_closed(now);
                    self.mark_dirty(index);
                    return;
                }
            }
        }
        self.read_later(index);
    }

    /// Handles that the stream of a session between two app servers may be read. Its bytes stay in
    /// the stream, unless the client has ended it: nothing else tells whether it only said its last
    /// words or has gone without a word.
    fn hear_between(&mut self, index: u32, ended: bool) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(index) else { return };
        if !slot.is_between() {
            return;
        }
        let State::Live(live) = &mut slot.state else { return };
        let Carrier::Stream(stream) = &mut live.carrier else { return };
        if ended && live.held.is_none() {
            match stream.socket.read(&mut self.scratch) {
                Ok(0) => live.session.handle_stream_closed(now),
                Ok(count) => {
                    let held = live.held.get_or_insert_default();
                    held.unheard.extend_from_slice(&self.scratch[..count]);
                }
                Err(error) if is_temporary(&error) => (),
                Err(_) => live.session.handle_stream_closed(now),
            }
            self.mark_dirty(index);
        }
        self.note_demand(index);
    }

    /// Reads bytes that arrived right after a handshake.
    pub(super) fn read_leftover(&mut self, index: u32, bytes: &[u8]) {
        self.hear(index, &mut bytes.to_vec());
    }

    /// Handles the bytes of one read. False when the stream is not to be read further.
    pub(super) fn hear(&mut self, index: u32, input: &mut [u8]) -> bool {
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return false };
        let uplink = slot.uplink();
        let is_between = slot.is_between();
        let State::Live(live) = &mut slot.state else { return false };
        let Carrier::Stream(stream) = &mut live.carrier else { return false };
        let Some(uplink) = Uplink::new(&mut self.trunks, uplink, number) else {
            if is_between {
                live.held.get_or_insert_default().unheard.extend_from_slice(input);
                self.note_demand(index);
            }
            return false;
        };
        let mut ear = Ear {
            session: &mut live.session,
            held: &mut live.held,
            uplink: Some(uplink),
            metrics: &self.env.metrics,
            now: self.now,
            is_probe: false,
            inflated: 0,
            idle: IdleFrames::default(),
        };
        let input_bytes = input.len();
        let heard = ear.hear(stream, input);
        let inflated = ear.inflated;
        let messages = ear.uplink.as_ref().map_or(0, |uplink| uplink.messages);
        let heavy = inflated > HEAVY_BYTES || ear.idle.total() > IDLE_FRAMES_MAX;
        self.inflated += inflated;
        let too_much = self.memory_full && live.held_bytes() > HELD_BYTES_BEYOND_CEILING;
        // Counts answers to pings, too: a client that sends pings and does not read the answers is
        // slow like any other.
        let full = live.session.outbox_bytes() >= self.env.limits.outbox_bytes_max;
        if live.held.as_ref().is_some_and(|held| held.waits_for_credit()) {
            self.pause(index);
        }
        if too_much {
            self.drop_client(index, CloseReason::MemoryFull);
        } else if full && !self.may_wait(index, 0) {
            self.drop_client(index, CloseReason::OutboxFull);
        }
        self.mark_dirty(index);
        if heavy {
            self.set_heavy(index);
        }
        // What is held as it came counts when it is decoded.
        let undecoded = held_bytes(self.slots.live(index));
        let bytes = input_bytes.saturating_sub(undecoded) as u64;
        self.charge(index, meters::Heard { messages, bytes, inflated: inflated as u64 });
        self.act_on(index, heard) && !heavy
    }

    fn act_on(&mut self, index: u32, heard: Heard) -> bool {
        let now = self.now;
        let Some(live) = self.slots.live(index) else {
            return false;
        };
        let last_frame = match heard {
            Heard::Fine => return !live.session.is_closed() && live.held.is_none(),
            Heard::Misbehaved(slug) => {
                self.count_misbehaviour(slug);
                return false;
            }
            Heard::Closed(echo) => {
                live.session.handle_stream_closed(now);
                echo
            }
            Heard::Broken { slug, last_frame, too_large } => {
                if too_large {
                    live.session.handle_message_too_large(now);
                } else {
                    live.session.handle_stream_error(now, slug);
                }
                self.count_misbehaviour(slug);
                last_frame
            }
        };
        // The session sends nothing more on this stream, so the shard sends the close frame.
        if let Some(live) = self.slots.live(index)
            && let Carrier::Stream(stream) = std::mem::replace(&mut live.carrier, Carrier::Gone)
        {
            self.linger(stream, Some(last_frame));
        }
        false
    }
}

fn held_bytes(live: Option<&mut Live>) -> usize {
    live.and_then(|live| live.held.as_ref()).map_or(0, |held| held.unheard.len())
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The answer to a close frame: the same code and reason.
pub(super) fn echo(code: Option<u16>, reason: &str) -> Bytes {
    match code {
        None => encode(Opcode::Close, &[], None),
        Some(code) => encode_close(code, reason, None),
    }
}
