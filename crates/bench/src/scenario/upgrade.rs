//! `upgrade`: sessions begin with polling and go to WebSocket while they talk; nothing may be lost on the way.
//!
//! Each client has one echo under way from the moment it joins, a few while it polls and two more after the upgrade.

use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::meter::pairs;
use crate::out::Out;
use crate::report::Report;
use crate::scenario::stamped;
use crate::session::Message;
use crate::swarm::Scenario;
use crate::swarm::Swarm;
use crate::wire::{Job, Line, WorkerReport};

/// Round trips before the upgrade: enough to have one under way amid most of it, without measuring echoes instead.
const WHILE_POLLING_MAX: u32 = 8;
const AFTER_UPGRADE: u32 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    sent: u32,
    acknowledged: u32,
    /// Round trips that are allowed.
    sent_max: u32,
}

#[derive(Debug)]
pub(crate) struct Upgrade {
    peers: Vec<Peer>,
    payload_bytes: usize,
    done_said: bool,
    missing: u64,
    duplicates: u64,
    payload: Vec<u8>,
}

impl Upgrade {
    pub(crate) fn new(job: &Job) -> Self {
        Self {
            peers: vec![
                Peer { sent_max: WHILE_POLLING_MAX, ..Peer::default() };
                job.clients as usize
            ],
            payload_bytes: job.payload_bytes,
            done_said: false,
            missing: 0,
            duplicates: 0,
            payload: Vec::new(),
        }
    }

    fn begin(&mut self, id: u32, now_ns: u64, out: &mut Out) {
        let peer = &mut self.peers[id as usize];
        let ack = u64::from(peer.sent);
        peer.sent += 1;
        self.payload.clear();
        stamped(&mut self.payload, ack, now_ns, self.payload_bytes);
        out.emit(Some(ack), &[b"\"echo\",\"", &self.payload, b"\""]);
    }

    fn check(&mut self, id: u32, ack: u64) {
        let peer = &mut self.peers[id as usize];
        let expected = u64::from(peer.acknowledged);
        if ack < expected {
            self.duplicates += 1;
            return;
        }
        self.missing += ack - expected;
        peer.acknowledged = u32::try_from(ack + 1).unwrap_or(u32::MAX);
    }

    fn is_quiet(&self) -> bool {
        self.peers.iter().all(|peer| peer.sent == peer.acknowledged)
    }
}

impl Scenario for Upgrade {
    fn message(&mut self, id: u32, now_ns: u64, message: Message<'_>, out: &mut Out) {
        match message {
            Message::Joined(_) => self.begin(id, now_ns, out),
            Message::Ack { id: ack, .. } => {
                self.check(id, ack);
                let Peer { sent, acknowledged, sent_max } = self.peers[id as usize];
                if sent == acknowledged && sent < sent_max {
                    self.begin(id, now_ns, out);
                }
            }
            Message::Early(_) | Message::Event(_) | Message::Ping => (),
        }
    }

    fn upgraded(&mut self, id: u32, now_ns: u64, swarm: &mut Swarm) {
        let peer = &mut self.peers[id as usize];
        peer.sent_max = peer.sent + AFTER_UPGRADE;
        if peer.sent == peer.acknowledged {
            swarm.send(id, |out| self.begin(id, now_ns, out));
        }
    }

    fn lost(&mut self, id: u32, _now_ns: u64) {
        let peer = &mut self.peers[id as usize];
        self.missing += u64::from(peer.sent - peer.acknowledged);
        peer.acknowledged = peer.sent;
    }

    fn turn(&mut self, _now_ns: u64, swarm: &mut Swarm, lines: &mut Vec<Line>) -> u64 {
        if !self.done_said && swarm.is_settled() && self.is_quiet() {
            self.done_said = true;
            lines.push(Line::Known);
        }
        u64::MAX
    }

    fn is_drained(&self, _swarm: &Swarm) -> bool {
        self.is_quiet()
    }

    fn report(&mut self, swarm: &Swarm, report: &mut WorkerReport) {
        let unanswered: u64 =
            self.peers.iter().map(|peer| u64::from(peer.sent - peer.acknowledged)).sum();
        let joined = u64::from(swarm.joined());
        for (name, value) in [
            ("missing", self.missing + unanswered),
            ("duplicates", self.duplicates),
            ("round_trips", self.peers.iter().map(|peer| u64::from(peer.acknowledged)).sum()),
            ("not_upgraded", joined.saturating_sub(swarm.upgraded())),
        ] {
            report.counters.insert(name.into(), value);
        }
    }
}

/// The window is the connecting itself: it began when the fleet did.
pub(super) fn direct(fleet: &mut Fleet, report: &mut Report) -> Result<(), BenchError> {
    fleet.wait_known()?;
    report.window_ends(fleet);
    report.add_workers(&fleet.stop(0)?);
    Ok(())
}

/// Upgrades as any scenario has them when its clients begin with polling.
pub(crate) fn report_upgrades(swarm: &mut Swarm, report: &mut WorkerReport) {
    report.counters.insert("upgraded".into(), swarm.upgraded());
    report.counters.insert("upgrade_failures".into(), swarm.upgrade_losses().values().sum());
    for (loss, count) in swarm.upgrade_losses() {
        report.losses.insert(format!("upgrade: {loss}"), *count);
    }
    report.histograms.insert("upgrade".into(), pairs(swarm.upgrade().total()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::tests::job;

    #[test]
    fn a_client_talks_while_it_polls_but_not_for_ever() {
        let mut upgrade = Upgrade::new(&job(1));
        let mut out = Out::default();
        upgrade.message(0, 1, Message::Joined(b"{}"), &mut out);
        for ack in 0..20 {
            if upgrade.peers[0].sent > ack {
                upgrade.message(0, 2, Message::Ack { id: ack.into(), args: b"[]" }, &mut out);
            }
        }
        assert_eq!(upgrade.peers[0].sent, WHILE_POLLING_MAX);
        assert!(upgrade.is_quiet());
        upgrade.check(0, 3);
        upgrade.check(0, 9);
        assert_eq!((upgrade.duplicates, upgrade.missing), (1, 1));
    }
}
