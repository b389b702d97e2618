//! WebSockets that probe here for sessions of other nodes, until their clients change to them.

use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use trunkline_engineio::{Body, ForeignProbe, Probed};
use trunkline_websocket::{Incoming, Opcode, Role, Rules, encode, encode_close};

use super::Shard;
use super::arriving::{Arriving, Stage};
use super::capture::Queue;
use super::command::{AdoptedStream, Asked};
use super::poller::{Kind, Token};
use super::reading::{PROBE_BYTES_MAX, READS_PER_TURN, echo};
use super::slot::{Slot, State};
use super::streams::Stream;
use crate::hub::{Seat, TrunkNumber};
use crate::sid::{SLOTS_MAX, SidSecret};

/// The most sessions that a node takes at a time, those that still probe included.
const ARRIVALS_MAX: usize = 1024;

/// A client's WebSocket for a session that another node has.
#[derive(Debug)]
pub(crate) struct ForeignStream {
    pub(crate) asked: Asked,
    /// The session id as the client sent it: the app may have made it.
    pub(crate) sid_text: Box<str>,
    /// This node's trunk of the session's app server.
    pub(crate) trunk: TrunkNumber,
    pub(crate) base64_only: bool,
    /// The client's address.
    pub(crate) client: IpAddr,
    pub(crate) stream: AdoptedStream,
}

/// The result of reading from a stream that probes.
enum Heard {
    Nothing,
    Upgrade,
    /// The stream is to be closed with this frame.
    Over(Bytes),
}

impl Shard {
    /// Accepts a WebSocket that probes for a session of another node.
    pub(super) fn take_foreign_probe(&mut self, foreign: ForeignStream) {
        let ForeignStream { asked, sid_text, trunk, base64_only, client, stream } = foreign;
        let (stream, leftover) = Stream::adopt(stream);
        let place = self.room_for_arrival(trunk);
        let Some((seat, hub, upgrade_timeout)) = place else {
            self.count_upgrade("refused");
            self.linger(stream, Some(encode(Opcode::Close, &[], None)));
            return;
        };
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let secret = SidSecret(self.rng.random());
        let vacant = self.slots.vacant();
        let index = vacant.index();
        let token = Token::new(Kind::Probe, index, generation);
        if self.poller.add(&stream.socket, token).is_err() {
            self.count_upgrade("refused");
            return;
        }
        let probe = ForeignProbe::new(self.now, asked.protocol, upgrade_timeout);
        let arriving = Arriving {
            asked,
            key: None,
            sid_text,
            trunk,
            base64_only,
            client,
            seat,
            probe,
            stream,
            unheard: Vec::new(),
            stage: Stage::Probing,
            until: probe.deadline(),
            queue: Queue::default(),
            export: None,
        };
        let state = State::Arriving(Box::new(arriving));
        vacant.insert(Slot::new(generation, secret, hub, state));
        self.env.sessions[usize::from(self.index)].fetch_add(1, Ordering::Relaxed);
        self.arrivals.count += 1;
        self.arm(index, Some(probe.deadline()));
        if leftover.is_empty() {
            self.read_arriving(index);
        } else {
            self.hear_arriving(index, &mut leftover.to_vec());
            self.read_what_is_hidden(index);
        }
    }

    /// A place in the hub of the trunk, the hub's number, and the time that its app gives an upgrade;
    /// `None` when this shard cannot take a session of it now.
    fn room_for_arrival(&self, trunk: TrunkNumber) -> Option<(Seat, u16, Duration)> {
        let shards = usize::try_from(self.shards).unwrap_or(1);
        let has_room = self.arrivals.count < ARRIVALS_MAX.div_ceil(shards)
            && self.slots.len() < SLOTS_MAX
            && !self.memory_full
            && !self.env.directory.draining.load(Ordering::Relaxed)
            && self.env.sessions_total() < self.env.limits.sessions_max;
        let shard_trunk = self.trunks.get(&trunk).filter(|_| has_room)?;
        let hub = &shard_trunk.trunk.hub;
        Some((hub.seat()?, hub.number, shard_trunk.config.upgrade_timeout))
    }

    /// Reads the WebSocket of a session on its way, as long as it only probes.
    pub(super) fn read_arriving(&mut self, index: u32) {
        for _ in 0..READS_PER_TURN {
            let Some(slot) = self.slots.get_mut(index) else { return };
            let State::Arriving(arriving) = &mut slot.state else { return };
            if arriving.stage != Stage::Probing {
                return; // The rest is read as the session's own.
            }
            match arriving.stream.socket.read(&mut self.scratch) {
                Ok(0) => return self.fail_arrival(index, "stream_closed", true),
                Ok(count) => {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    self.hear_arriving(index, &mut scratch[..count]);
                    self.scratch = scratch;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return self.fail_arrival(index, "stream_closed", true),
            }
        }
        self.read_later(index);
    }

    fn hear_arriving(&mut self, index: u32, input: &mut [u8]) {
        let Some(arriving) = self.arriving(index) else { return };
        let (heard, pings) = arriving.hear(input);
        if pings > 0 {
            for _ in 0..pings {
                arriving.stream.queue(ForeignProbe::pong());
            }
            self.note_probe(index);
        }
        if let Some(arriving) = self.arriving(index) {
            // A broken stream shows at its next read.
            let _ = arriving.stream.write(&mut Vec::new());
        }
        match heard {
            Heard::Nothing => (),
            Heard::Upgrade => self.want(index),
            Heard::Over(frame) => self.end_arrival(index, "not_upgraded", true, frame),
        }
    }

    /// Lets the owner know that the client probes here. False when it cannot.
    pub(super) fn note_probe(&mut self, index: u32) -> bool {
        let shard = self.index;
        let cluster = self.env.cluster.clone();
        let Some(arriving) = self.arriving(index) else { return false };
        if arriving.key.is_some() {
            return true;
        }
        arriving.key = cluster.and_then(|cluster| cluster.begin_move(arriving.asked, shard));
        match arriving.key {
            Some(key) => self.arrivals.slots.insert(key.id, index),
            None => return false,
        };
        true
    }
}

impl Arriving {
    /// Reads frames up to the client's change. Returns the number of its probes, too.
    fn hear(&mut self, input: &mut [u8]) -> (Heard, u32) {
        let mut heard = Heard::Nothing;
        let mut pings = 0;
        let mut pongs = Vec::new();
        let mut rest = input;
        let deflate = self.stream.deflate_window.is_some();
        let rules = Rules { role: Role::Server, message_bytes_max: PROBE_BYTES_MAX, deflate };
        let close = || encode(Opcode::Close, &[], None);
        while !rest.is_empty() && matches!(heard, Heard::Nothing) {
            let probe = &self.probe;
            let taken = self.stream.decoder.decode_frame(rules, rest, &mut |incoming| {
                let body = match incoming {
                    Incoming::Text(text) => Body::Text(text),
                    Incoming::Binary(bytes) => Body::Binary(bytes),
                    Incoming::Ping(payload) => {
                        pongs.clear();
                        pongs.push(encode(Opcode::Pong, payload, None));
                        return ControlFlow::Continue(());
                    }
                    Incoming::Pong(_) => return ControlFlow::Continue(()),
                    Incoming::Close { code, reason } => {
                        heard = Heard::Over(echo(code, reason));
                        return ControlFlow::Break(());
                    }
                };
                match probe.handle_message(body) {
                    Probed::Ping => pings = 1,
                    Probed::Upgrade => heard = Heard::Upgrade,
                    Probed::Failed => heard = Heard::Over(close()),
                }
                ControlFlow::Continue(())
            });
            match taken {
                Ok(taken) => rest = &mut rest[taken..],
                Err(rule) => heard = Heard::Over(encode_close(rule.close_code(), "", None)),
            }
        }
        self.stream.queue_pongs(pongs);
        if matches!(heard, Heard::Upgrade) {
            self.unheard = rest.to_vec();
        }
        (heard, pings)
    }
}
