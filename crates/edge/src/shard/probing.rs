//! The second WebSocket of a session, which probes to take over from the first transport.

use std::io;

use trunkline_websocket::{Opcode, encode};

use super::command::{AdoptedStream, SlotKey};
use super::idle::IdleFrames;
use super::poller::{Kind, Token};
use super::reading::{Ear, Heard, READS_PER_TURN};
use super::slot::{Probe, State, number_of};
use super::streams::Stream;
use super::uplink::Uplink;
use super::{Shard, Slot};
use crate::sid::Sid;

impl Shard {
    /// Adopts a second WebSocket that wants to take over from the session's first transport.
    pub(super) fn adopt_probe(&mut self, key: SlotKey, base64_only: bool, adopted: AdoptedStream) {
        let (stream, leftover) = Stream::adopt(adopted);
        let now = self.now;
        let token = Token::new(Kind::Probe, key.slot, key.generation);
        let watched =
            !self.departures.is_wanted(key.slot) && self.poller.add(&stream.socket, token).is_ok();
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
            live.probe = Some(Box::new(Probe { stream, base64_only }));
        }
        self.mark_dirty(key.slot);
        if !leftover.is_empty() {
            self.hear_probe(key.slot, &mut leftover.to_vec());
        }
        self.read_what_is_hidden(key.slot);
    }

    /// Reads the probing WebSocket before a request is handled: the client may have written to it
    /// before it made the request, and the two streams may belong to different threads.
    pub(super) fn catch_up_with_probe(&mut self, sid: &Sid) {
        let slot = self.slots.get_mut(sid.slot);
        let slot = slot.filter(|slot| slot.secret.matches(&sid.secret));
        if slot.and_then(Slot::live).is_some_and(|live| live.probe.is_some()) {
            self.read_probe(sid.slot);
        }
    }

    /// Reads the probing WebSocket, one turn's share of it.
    pub(super) fn read_probe(&mut self, index: u32) {
        if self.slots.get(index).is_some_and(|slot| matches!(slot.state, State::Arriving(_))) {
            return self.read_arriving(index);
        }
        for _ in 0..READS_PER_TURN {
            let Some(live) = self.slots.live(index) else {
                return;
            };
            let Some(probe) = &mut live.probe else { return };
            if !live.session.is_probing() {
                break; // About to be promoted: the rest is read as the session's own.
            }
            match probe.stream.socket.read(&mut self.scratch) {
                Ok(0) => return self.probe_ended(index),
                Ok(count) => {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    self.hear_probe(index, &mut scratch[..count]);
                    self.scratch = scratch;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return self.probe_ended(index),
            }
        }
        self.read_later(index);
    }

    /// Handles the end of the probing stream, perhaps just after it has taken over.
    fn probe_ended(&mut self, index: u32) {
        let was_probing = self.with(index, |live, now| {
            let was_probing = live.session.is_probing();
            if was_probing {
                live.session.handle_probe_closed(now);
                live.probe = None;
            } else {
                live.session.handle_stream_closed(now);
            }
            was_probing
        });
        if was_probing == Some(true) {
            self.count_upgrade("stream_closed");
        }
    }

    /// Feeds the probe's bytes to the session; everything after the upgrade packet is the session's
    /// own input.
    fn hear_probe(&mut self, index: u32, input: &mut [u8]) {
        let number = number_of(index, self.index, self.shards);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let uplink = slot.uplink();
        let is_between = slot.is_between();
        let State::Live(live) = &mut slot.state else { return };
        let Some(probe) = live.probe.as_deref_mut() else { return };
        let uplink = Uplink::new(&mut self.trunks, uplink, number);
        if uplink.is_none() && !is_between {
            return;
        }
        let mut ear = Ear {
            session: &mut live.session,
            held: &mut live.held,
            uplink,
            metrics: &self.env.metrics,
            now: self.now,
            is_probe: true,
            inflated: 0,
            idle: IdleFrames::default(),
        };
        let heard = ear.hear(&mut probe.stream, input);
        let inflated = ear.inflated;
        // A broken stream shows at its next read; a pong that does not fit waits in the stream.
        let _ = probe.stream.write(&mut Vec::new());
        if is_between {
            if live.held.is_some() {
                self.note_demand(index);
            }
        } else if live.held.as_ref().is_some_and(|held| held.waits_for_credit()) {
            self.pause(index);
        } else if live.held.is_some() {
            self.set_heavy(index);
        }
        self.inflated += inflated;
        self.mark_dirty(index);
        let last_frame = match heard {
            Heard::Fine | Heard::Misbehaved(_) => return,
            Heard::Closed(echo) => echo,
            Heard::Broken { slug, last_frame, .. } => {
                self.count_misbehaviour(slug);
                last_frame
            }
        };
        let Some(live) = self.slots.live(index) else { return };
        let probe = live.probe.take();
        // The stream is taken out first: if the session was just promoted to it, the session ends
        // with it.
        let now = self.now;
        if live.session.is_probing() {
            live.session.handle_probe_closed(now);
            self.count_upgrade("stream_closed");
        } else {
            live.session.handle_stream_closed(now);
        }
        if let Some(probe) = probe {
            self.linger(probe.stream, Some(last_frame));
        }
    }

    pub(super) fn count_upgrade(&self, outcome: &'static str) {
        self.env.metrics.upgrades.get_or_create(&crate::metrics::Outcome { outcome }).inc();
    }
}
