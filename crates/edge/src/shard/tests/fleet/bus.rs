//! A model of the bus: at most once in principle, worse on demand.

use std::time::Duration;

use rand::Rng;
use trunkline_mesh::{BusEvent, Destination, Transmit};

use super::{Event, Fleet};

/// What goes wrong on the bus, in thousandths of all datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) lost: u32,
    pub(super) repeated: u32,
    /// Up to 3 ms later than others: overtaken.
    pub(super) reordered: u32,
    /// Up to two seconds later than others.
    pub(super) late: u32,
    /// Nodes whose inbox is gone are not reported in so many cases.
    pub(super) unreported: u32,
    /// The links' datagrams of this node vanish; its beats do not.
    pub(super) mute: Option<usize>,
}

/// What the bus has carried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) beats: u64,
    pub(super) datagrams: u64,
    /// Bytes that nodes sent.
    pub(super) bytes: u64,
    /// Beats and datagrams that arrived.
    pub(super) delivered: u64,
    /// The bytes of these.
    pub(super) delivered_bytes: u64,
}

impl Fleet {
    fn happens_in(&mut self, permille: u32) -> bool {
        permille > 0 && self.rng.random_ratio(permille, 1000)
    }

    pub(super) fn publish(&mut self, from: usize, transmit: Transmit) {
        let Transmit::Publish { to, payload } = transmit else { return };
        let digest = payload
            .iter()
            .fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        self.note(("published", from, digest));
        if !self.nodes[from].connected {
            return;
        }
        self.tally.bytes += payload.len() as u64;
        match to {
            Destination::Everybody => {
                self.tally.beats += 1;
                for at in (0..self.nodes.len()).filter(|at| *at != from) {
                    let event = BusEvent::Datagram { lane: None, payload: payload.clone() };
                    self.fly_or_not(from, at, event);
                }
            }
            Destination::Node { number, incarnation, lane } => {
                self.tally.datagrams += 1;
                if self.bus.mute == Some(from) {
                    return;
                }
                let side = self.nodes[from].side;
                let found = self.nodes.iter().position(|node| {
                    let there = node.process.as_ref();
                    node.connected
                        && node.side == side
                        && there.is_some_and(|process| {
                            process.incarnation == incarnation
                                && process.subscribed.contains(&number)
                        })
                });
                match found {
                    Some(at) => {
                        let event = BusEvent::Datagram { lane: Some(lane), payload };
                        self.fly_or_not(from, at, event);
                    }
                    None => {
                        if !self.happens_in(self.bus.unreported) {
                            let event = BusEvent::Unreachable { number, incarnation };
                            self.fly(from, from, event);
                        }
                    }
                }
            }
        }
    }

    fn fly_or_not(&mut self, from: usize, to: usize, event: BusEvent) {
        if self.happens_in(self.bus.lost) {
            return;
        }
        if self.happens_in(self.bus.repeated) {
            self.fly(from, to, event.clone());
        }
        self.fly(from, to, event);
    }

    fn fly(&mut self, from: usize, to: usize, event: BusEvent) {
        if self.nodes[to].process.is_none() {
            return;
        }
        let life = self.nodes[to].life;
        let mut micros = 100;
        if self.happens_in(self.bus.reordered) {
            micros += self.rng.random_range(0..3_000);
        }
        if self.happens_in(self.bus.late) {
            micros += self.rng.random_range(0..2_000_000);
        }
        let from = Some((from, self.nodes[from].side));
        let event = Event::Bus { from, to, life, event };
        self.at(self.now + Duration::from_micros(micros), event);
    }

    /// Whether what the bus carries arrives: its sender, and the side where that was at the time.
    pub(super) fn lands(&mut self, (from, side): (usize, u8), to: usize, event: &BusEvent) -> bool {
        let is_reached = from == to || self.nodes[to].side == side && self.nodes[from].side == side;
        if !is_reached || !self.nodes[to].connected {
            return false;
        }
        if let BusEvent::Datagram { payload, .. } = event {
            self.tally.delivered += 1;
            self.tally.delivered_bytes += payload.len() as u64;
        }
        true
    }

    /// Gives a node its connection to the bus back.
    pub(super) fn connect_bus(&mut self, node: usize) {
        if !self.nodes[node].connected && self.nodes[node].process.is_some() {
            self.nodes[node].connected = true;
            self.bus_event(node, BusEvent::Connected { payload_max: 1 << 20 });
        }
    }

    /// Cuts a node off from the bus. What is on its way is lost.
    pub(super) fn cut_bus(&mut self, node: usize) {
        if self.nodes[node].connected && self.nodes[node].process.is_some() {
            self.nodes[node].connected = false;
            self.bus_event(node, BusEvent::Disconnected { cause: "cut".into() });
        }
    }

    fn bus_event(&mut self, node: usize, event: BusEvent) {
        let life = self.nodes[node].life;
        self.happens(Event::Bus { from: None, to: node, life, event });
        self.work(node);
    }
}
