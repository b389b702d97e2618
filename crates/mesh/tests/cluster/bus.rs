//! A model of the bus: at most once in principle, worse on demand.

use std::time::Duration;

use bytes::Bytes;
use trunkline_mesh::{Destination, Lane};

use super::Cluster;

/// What goes wrong on the bus, in thousandths of all datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lost: u64,
    pub repeated: u64,
    /// Up to 3 ms later than others: overtaken.
    pub reordered: u64,
    /// Up to two seconds later than others.
    pub late: u64,
    /// Nodes whose inbox is gone are reported as such in so many cases.
    pub unreported: u64,
    /// The links' datagrams of this node vanish; its beats do not.
    pub mute: Option<usize>,
    /// Nothing from the first of these nodes arrives at the second.
    pub deaf: Option<(usize, usize)>,
}

/// What the bus has carried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    pub beats: u64,
    pub datagrams: u64,
    /// Bytes that nodes sent.
    pub bytes: u64,
    /// Datagrams and beats that arrived.
    pub delivered: u64,
}

#[derive(Debug)]
pub(super) enum Freight {
    Datagram { lane: Option<Lane>, payload: Bytes },
    Unreachable { number: u16, incarnation: u64 },
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) from: usize,
    pub(super) from_side: u8,
    pub(super) to: usize,
    /// The life that it is for.
    pub(super) incarnation: u64,
    pub(super) freight: Freight,
}

impl Cluster {
    pub(super) fn publish(&mut self, from: usize, to: Destination, payload: Bytes) {
        self.tally.bytes += payload.len() as u64;
        match to {
            Destination::Everybody => {
                self.tally.beats += 1;
                for at in 0..self.nodes.len() {
                    if at != from {
                        self.fly_datagram(from, at, None, payload.clone());
                    }
                }
            }
            Destination::Node { number, incarnation, lane } => {
                self.tally.datagrams += 1;
                if self.faults.mute == Some(from) {
                    return;
                }
                let found = self.nodes.iter().position(|node| {
                    let is_life = |id: u64| id == incarnation;
                    node.mesh.as_ref().is_some_and(|mesh| is_life(mesh.identity().incarnation))
                        && node.connected
                        && node.subscribed.contains(&number)
                });
                match found.filter(|at| self.nodes[*at].side == self.nodes[from].side) {
                    Some(at) => self.fly_datagram(from, at, Some(lane), payload),
                    None => {
                        if !self.random.permille(self.faults.unreported) {
                            self.fly(from, from, Freight::Unreachable { number, incarnation });
                        }
                    }
                }
            }
        }
    }

    fn fly_datagram(&mut self, from: usize, to: usize, lane: Option<Lane>, payload: Bytes) {
        if self.random.permille(self.faults.lost) {
            return;
        }
        if self.random.permille(self.faults.repeated) {
            self.fly(from, to, Freight::Datagram { lane, payload: payload.clone() });
        }
        self.fly(from, to, Freight::Datagram { lane, payload });
    }

    fn fly(&mut self, from: usize, to: usize, freight: Freight) {
        let Some(mesh) = self.nodes[to].mesh.as_ref() else { return };
        let incarnation = mesh.identity().incarnation;
        let mut micros = 100;
        if self.random.permille(self.faults.reordered) {
            micros += self.random.below(3_000);
        }
        if self.random.permille(self.faults.late) {
            micros += self.random.below(2_000_000);
        }
        let at = self.now + Duration::from_micros(micros);
        self.flown += 1;
        let from_side = self.nodes[from].side;
        self.flights.insert((at, self.flown), Flight { from, from_side, to, incarnation, freight });
    }
}
