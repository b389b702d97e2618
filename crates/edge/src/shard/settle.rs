//! The end of a turn: the outputs of each touched session become answers, frames on streams, and
//! timers.

use bytes::Bytes;
use trunkline_engineio::{Event, PollKey, Transmit, TransportKind};
use trunkline_websocket::{CLOSE_CODE_ABSENT, Opcode, encode, encode_close};

use super::Shard;
use super::backlog::SLICE;
use super::command::{Answer, Payload, SlotKey};
use super::flight::Flight;
use super::poller::{Kind, Token};
use super::slot::{Carrier, Live, Probe, State};
use super::uring::Job;

/// The most frames taken from one session before they are written: a limit for the list, not for
/// the session.
const GATHER_MAX: usize = 256;
/// The limit of the list in bytes, plus one frame: bytes that the stream does not accept stay with
/// it, in addition to the outbox.
const GATHER_BYTES_MAX: usize = 256 * 1024;

/// The bytes that one session gets before others have their turn.
const FLUSH_BYTES_MAX: usize = 1024 * 1024;

/// The bytes that all such clients together get in one slice.
const SLICE_BYTES_MAX: usize = 4 * FLUSH_BYTES_MAX;

/// What stopped the gathering of a session's frames.
enum Pause {
    /// The stream accepts nothing now.
    Blocked,
    /// Nothing more to send.
    Drained,
    /// The list is full: write and go on.
    Full,
    /// The next message is compressed in a later turn.
    Later,
    Respond {
        poll: PollKey,
        payload: Payload,
    },
    Probe(Bytes),
    Promote,
    CloseStream(u16),
    CloseProbe,
}

impl Shard {
    /// Settles every session that this turn has touched.
    pub(super) fn settle_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for (place, index) in dirty.drain(..).enumerate() {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.dirty = false;
            if place < SLICE || self.backlog.slots() > 2 * self.slots.len() {
                self.settle(index);
            } else {
                self.mark_for_later(index);
            }
        }
        // Settling one slot may touch another (so far none does); keep the list's memory in any
        // case.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    /// Whether a slice of an earlier turn's work waits.
    pub(super) fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Settles the next slice of the work left from earlier turns.
    pub(super) fn settle_slice(&mut self) {
        // A slot that must wait again goes to the end of the queue: visit each only once in this
        // turn.
        let waiting = self.backlog.slots();
        let whole = waiting >= SLICE;
        self.slice_bytes = 0;
        for _ in 0..waiting.clamp(1, SLICE) {
            // A few clients with very much data are as much work as many with little.
            if self.slice_bytes >= SLICE_BYTES_MAX {
                break;
            }
            let Some(index) = self.backlog.pop() else { break };
            if self.slots.get(index).is_some_and(|slot| slot.backlogged) && !self.write_later(index)
            {
                self.settle(index);
            }
        }
        self.write_jobs();
        if whole {
            self.env.metrics.flush_slices.inc();
        }
    }

    /// Adds a session that has one piece for an idle stream to the jobs of this slice. False:
    /// settle it by itself.
    fn write_later(&mut self, index: u32) -> bool {
        if self.ring.is_none() {
            return false;
        }
        let Some(slot) = self.slots.get_mut(index) else { return false };
        if slot.watched {
            return false;
        }
        let Some(live) = slot.live() else { return false };
        let Carrier::Stream(stream) = &live.carrier else { return false };
        let Some(descriptor) = stream.socket.plain() else { return false };
        let Some(frame) = live.single_frame() else { return false };
        self.jobs.push(Job::new(index, descriptor, frame));
        true
    }

    fn write_jobs(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        let mut jobs = std::mem::take(&mut self.jobs);
        ring.send(&mut jobs);
        for job in jobs.drain(..) {
            let written = job.written();
            let now = self.now;
            if let Some(live) = self.slots.live(job.slot)
                && let Carrier::Stream(stream) = &mut live.carrier
                && stream.keep_rest(job.frame, written).is_err()
            {
                live.carrier = Carrier::Gone;
                live.session.handle_stream_error(now, "the stream broke");
            }
            self.settle(job.slot);
        }
        self.jobs = jobs;
    }

    /// Settles a session now whose flush waits for a later slice.
    pub(super) fn settle_if_backlogged(&mut self, index: u32) {
        if self.slots.get(index).is_some_and(|slot| slot.backlogged) {
            self.settle(index);
        }
    }

    /// Whether the backlog is full.
    fn is_crowded(&self) -> bool {
        self.backlog.slots() > 2 * self.slots.len()
    }

    /// Leaves the rest of a session's flush to a later slice.
    fn flush_later(&mut self, index: u32, flushed_bytes: usize) {
        self.slice_bytes += flushed_bytes;
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.backlogged
        {
            slot.backlogged = true;
            self.backlog.push(index);
        }
    }

    fn settle(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.backlogged = false;
        }
        self.flush(index);
        while let Some(event) = self.slots.live(index).and_then(|live| live.session.poll_event()) {
            match event {
                Event::Upgraded => self.count_upgraded(index),
                Event::Closed { reason, description } => {
                    // The output of the close itself (a close packet, a close frame) leaves first.
                    self.flush(index);
                    self.end_when_heard(index, reason, description);
                    return;
                }
            }
        }
        let deadline = match self.slots.get(index).map(|slot| &slot.state) {
            Some(State::Live(live)) => live
                .session
                .poll_deadline()
                .into_iter()
                .chain(self.departures.deadline_of(index))
                .min(),
            Some(State::Arriving(arriving)) => Some(arriving.deadline()),
            Some(State::Opening(_) | State::Ended) | None => None,
        };
        self.arm(index, deadline);
    }

    /// Moves the session's output as far as its carriers accept it.
    pub(super) fn flush(&mut self, index: u32) {
        let before = self.waiting_if_watched(index);
        self.flush_unseen(index);
        if let Some(before) = before {
            self.note_left(index, before);
        }
    }

    fn flush_unseen(&mut self, index: u32) {
        let may_pause = !self.is_crowded();
        let mut gathered_bytes = 0;
        loop {
            let now = self.now;
            let Some(slot) = self.slots.get_mut(index) else { return };
            let State::Live(live) = &mut slot.state else { return };
            let mut frames = std::mem::take(&mut self.gathered);
            let outbox_bytes = live.session.outbox_bytes();
            let pause = live.gather(&mut frames);
            // The length before compression: this is the cost.
            gathered_bytes += outbox_bytes.saturating_sub(live.session.outbox_bytes());
            let written = live.write(&mut frames);
            self.gathered = frames;
            if !written {
                live.carrier = Carrier::Gone;
                live.session.handle_stream_error(now, "the stream broke");
                continue;
            }
            match pause {
                // What blocked it may have left just now. Then there is room for more, and no event
                // will say so.
                Pause::Blocked if live.stream_is_idle() => (),
                Pause::Blocked | Pause::Drained => return,
                // Other sessions of this thread have their turn before a client with very much data
                // gets more.
                Pause::Full if gathered_bytes >= FLUSH_BYTES_MAX && may_pause => {
                    return self.flush_later(index, gathered_bytes);
                }
                Pause::Full => (),
                Pause::Later => return self.mark_for_later(index),
                Pause::Respond { poll, mut payload } => {
                    let key = SlotKey::here(self.index, index, slot.generation);
                    if let Carrier::Polling(polling) = &mut live.carrier {
                        let flights = polling.flights.get_or_insert_default();
                        let bytes = payload.body.len();
                        let whose = (key, poll.0);
                        payload.flight =
                            Some(Flight::new(flights, &self.env.metrics, bytes, whose));
                    }
                    if let Some(reply) = live.take_held(poll)
                        && reply.send(Answer::Payload(Box::new(payload))).is_err()
                    {
                        live.session.handle_poll_lost(now);
                    }
                }
                Pause::Probe(frame) => {
                    if let Some(probe) = &mut live.probe {
                        probe.stream.queue(frame);
                        // A broken probe shows at its next read.
                        let _ = probe.stream.write(&mut Vec::new());
                    }
                }
                Pause::Promote => self.promote(index),
                Pause::CloseStream(code) => {
                    if let Carrier::Stream(stream) =
                        std::mem::replace(&mut live.carrier, Carrier::Gone)
                    {
                        self.linger(stream, Some(close_frame(code)));
                    }
                }
                Pause::CloseProbe => {
                    if let Some(probe) = live.probe.take() {
                        self.count_upgrade("failed");
                        self.linger(probe.stream, Some(close_frame(CLOSE_CODE_ABSENT)));
                    }
                }
            }
        }
    }

    /// Puts the probing WebSocket in the place of polling.
    fn promote(&mut self, index: u32) {
        let slot = self.slots.at(index);
        let token = Token::new(Kind::Session, index, slot.generation);
        let slot_trunk = slot.trunk;
        let State::Live(live) = &mut slot.state else { return };
        let Some(probe) = live.probe.take() else { return };
        let Probe { stream, base64_only } = *probe;
        // The descriptor is watched already and only gets another token, so this needs no further
        // resources.
        let _ = self.poller.retarget(&stream.socket, token);
        live.session.set_base64_only(base64_only);
        let deflate =
            stream.deflate_window.and_then(|bits| self.trunks.get(&slot_trunk)?.agreed(bits));
        live.session.set_deflate(deflate);
        match std::mem::replace(&mut live.carrier, Carrier::Stream(stream)) {
            Carrier::Polling(polling) => {
                if let Some((_, reply)) = polling.held {
                    let _ = reply.send(Answer::Abort);
                }
                // A client that follows the protocol has read what was sent over the old transport.
                if let Some(flights) = polling.flights {
                    flights.cut();
                }
            }
            // npm lets a WebSocket take over from a WebSocket, too.
            Carrier::Stream(old) => self.linger(old, Some(close_frame(CLOSE_CODE_ABSENT))),
            Carrier::Promised | Carrier::Gone => (),
        }
        // Bytes may have come after the last read as a probe.
        self.read_later(index);
    }

    /// Counts an upgrade; the app server was notified when the upgrade packet came.
    fn count_upgraded(&mut self, index: u32) {
        self.count_upgrade("done");
        let slot = self.slots.at(index);
        if slot.live().is_none() {
            return;
        }
        let before = std::mem::replace(&mut slot.counted, TransportKind::WebSocket);
        self.count_session(before, -1);
        self.count_session(TransportKind::WebSocket, 1);
    }
}

fn close_frame(code: u16) -> Bytes {
    if code == CLOSE_CODE_ABSENT {
        encode(Opcode::Close, &[], None)
    } else {
        encode_close(code, "", None)
    }
}

impl Live {
    /// Takes the session's frames until another output comes.
    fn gather(&mut self, frames: &mut Vec<Bytes>) -> Pause {
        // A stream that is about to be replaced delays nothing.
        let replaced = self.probe.is_some() && !self.session.is_probing();
        let blocked = matches!(&self.carrier, Carrier::Promised)
            || matches!(&self.carrier, Carrier::Stream(stream) if !stream.is_idle());
        if blocked && !replaced {
            return Pause::Blocked;
        }
        let mut bytes = 0;
        while frames.len() < GATHER_MAX && bytes < GATHER_BYTES_MAX {
            match self.session.poll_transmit() {
                None => return Pause::Drained,
                Some(Transmit::Frame(frame)) => {
                    bytes += frame.len();
                    frames.push(frame);
                }
                Some(Transmit::Later) => return Pause::Later,
                Some(Transmit::ProbeFrame(frame)) => return Pause::Probe(frame),
                Some(Transmit::PromoteProbe) => return Pause::Promote,
                Some(Transmit::CloseStream { code }) => return Pause::CloseStream(code),
                Some(Transmit::CloseProbe) => return Pause::CloseProbe,
                Some(Transmit::Respond { poll, content_type, body, compress }) => {
                    let first = match &mut self.carrier {
                        Carrier::Polling(polling) => std::mem::take(&mut polling.first),
                        Carrier::Promised | Carrier::Stream(_) | Carrier::Gone => Vec::new(),
                    };
                    let lasting = self.lasting();
                    let jsonp = self.jsonp();
                    let flight = None;
                    let payload =
                        Payload { content_type, body, compress, jsonp, lasting, first, flight };
                    return Pause::Respond { poll, payload };
                }
            }
        }
        Pause::Full
    }

    /// The session's only frame, or burst of frames, for an idle stream. If it has other output, everything stays where
    /// it is.
    fn single_frame(&mut self) -> Option<Bytes> {
        let Carrier::Stream(stream) = &self.carrier else { return None };
        if !stream.is_idle() || self.probe.is_some() || !self.session.has_one_piece() {
            return None;
        }
        match self.session.poll_transmit() {
            Some(Transmit::Frame(frame)) => Some(frame),
            Some(_) | None => None,
        }
    }

    /// Writes frames; false when the stream broke.
    fn write(&mut self, frames: &mut Vec<Bytes>) -> bool {
        match &mut self.carrier {
            Carrier::Stream(stream) => stream.write(frames).is_ok(),
            Carrier::Promised | Carrier::Polling(_) | Carrier::Gone => {
                frames.clear();
                true
            }
        }
    }
}
