//! The further streams of a client that polls: one for POSTs, one for the probe of an upgrade.

use std::os::fd::OwnedFd;

use crate::client::Client;
use crate::client::polling::Polling;
use crate::net::{self, Ready};
use crate::out::{Framing, Out};
use crate::session::Loss;
use crate::swarm::Scenario;
use crate::swarm::Swarm;

/// One of a client's streams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lane {
    /// Polls, or the WebSocket.
    Main,
    Post,
    Probe,
}

/// The further streams of a polling client.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    post: Option<Side>,
    pub(super) probe: Option<Side>,
    probed_ns: u64,
}

/// One further stream.
#[derive(Debug)]
pub(super) struct Side {
    stream: OwnedFd,
    connected: bool,
    unsent: Vec<u8>,
}

/// The number of a stream in the epoll set.
pub(super) fn id_of(id: u32, lane: Lane) -> u64 {
    u64::from(id) | (lane as u64) << 32
}

pub(super) fn split(number: u64) -> (u32, Lane) {
    let lane = match number >> 32 {
        0 => Lane::Main,
        1 => Lane::Post,
        _ => Lane::Probe,
    };
    (number as u32, lane)
}

impl Lanes {
    fn side(&mut self, lane: Lane) -> &mut Option<Side> {
        match lane {
            Lane::Post => &mut self.post,
            Lane::Main | Lane::Probe => &mut self.probe,
        }
    }
}

impl Side {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Loss> {
        self.unsent.extend_from_slice(bytes);
        if self.connected {
            let taken = net::write(&self.stream, &self.unsent).map_err(|_reset| Loss::Reset)?;
            self.unsent.drain(..taken);
        }
        Ok(())
    }
}

impl Swarm {
    /// An event of a stream that is not the main one.
    pub(super) fn handle_lane(
        &mut self,
        id: u32,
        lane: Lane,
        ready: Ready,
        scenario: &mut dyn Scenario,
    ) {
        if let Err(loss) = self.lane_ready(id, lane, ready) {
            self.lane_lost(id, lane, loss, scenario);
        }
        self.pump(id, scenario);
    }

    fn lane_ready(&mut self, id: u32, lane: Lane, ready: Ready) -> Result<(), Loss> {
        let Some(slot) = self.slots.get_mut(id as usize) else { return Ok(()) };
        let (Some(lanes), Some(client)) = (&mut slot.lanes, &mut slot.client) else {
            return Ok(());
        };
        let Some(side) = lanes.side(lane) else { return Ok(()) };
        if !side.connected {
            if !ready.writable && !ready.ending {
                return Ok(());
            }
            if net::connect_failed(&side.stream) {
                return Err(Loss::Reset);
            }
            side.connected = true;
        }
        side.write(b"")?;
        if !ready.readable && !ready.ending {
            return Ok(());
        }
        let Some(polling) = client.polling() else { return Ok(()) };
        loop {
            match net::read(&side.stream, &mut self.input) {
                Ok(Some(0)) => return Err(Loss::Eof),
                Ok(Some(length)) if lane == Lane::Post => {
                    polling.handle_post(&self.input[..length])?;
                }
                Ok(Some(length)) => polling.handle_probe(&self.input[..length])?,
                Ok(None) => return Ok(()),
                Err(_reset) => return Err(Loss::Reset),
            }
        }
    }

    fn lane_lost(&mut self, id: u32, lane: Lane, loss: Loss, scenario: &mut dyn Scenario) {
        let slot = &mut self.slots[id as usize];
        let Some(polling) = slot.client.as_mut().and_then(Client::polling) else { return };
        if lane == Lane::Probe {
            polling.probe_failed();
            self.close_probe(id);
            *self.upgrade_losses.entry(loss).or_default() += 1;
            return;
        }
        // Servers close streams that have been idle for some seconds; the next POST opens another.
        if polling.is_posting() {
            self.lose(id, loss, net::now_ns(), scenario);
        } else if let Some(lanes) = &mut slot.lanes {
            lanes.post = None;
        }
    }

    fn close_probe(&mut self, id: u32) {
        if let Some(lanes) = &mut self.slots[id as usize].lanes
            && lanes.probe.take().is_some()
        {
            self.probing -= 1;
        }
    }

    /// Probes that have taken too long have failed.
    pub(super) fn lose_late_probes(&mut self, id: u32, now_ns: u64, max_ns: u64) {
        let lanes = self.slots[id as usize].lanes.as_ref();
        let late = lanes.is_some_and(|lanes| {
            lanes.probe.is_some() && now_ns.saturating_sub(lanes.probed_ns) > max_ns
        });
        if late && let Some(client) = &mut self.slots[id as usize].client {
            client.polling().map(Polling::probe_failed);
            self.close_probe(id);
            *self.upgrade_losses.entry(Loss::HandshakeTimeout).or_default() += 1;
            self.pump_quietly(id);
        }
    }

    /// Writes what the polling transport wants written, opens what it wants opened, ends an upgrade.
    pub(super) fn pump(&mut self, id: u32, scenario: &mut dyn Scenario) {
        match self.pump_lanes(id) {
            Ok(false) => (),
            Ok(true) => self.finish_upgrade(id, scenario),
            Err(loss) => self.lose(id, loss, net::now_ns(), scenario),
        }
    }

    /// Like [`Self::pump`], without a scenario: a failure, or the end of an upgrade, shows up as an event of a stream, too.
    pub(super) fn pump_quietly(&mut self, id: u32) {
        let _ = self.pump_lanes(id);
    }

    /// True when the upgrade is done.
    fn pump_lanes(&mut self, id: u32) -> Result<bool, Loss> {
        let Some(slot) = self.slots.get_mut(id as usize) else { return Ok(false) };
        let Some(polling) = slot.client.as_mut().and_then(Client::polling) else {
            return Ok(false);
        };
        let (poll, post, probes) = (polling.poll_out(), polling.post_out(), polling.take_probe());
        let (probe, upgraded) = (polling.probe_out(), polling.is_upgraded());
        super::write_out(slot, &poll)?;
        if probes {
            self.open_probe(id);
        }
        if !post.is_empty() {
            self.write_post(id, &post)?;
        }
        if !probe.is_empty()
            && let Some(lanes) = &mut self.slots[id as usize].lanes
            && let Some(side) = &mut lanes.probe
        {
            side.write(&probe)?;
        }
        Ok(upgraded)
    }

    fn open_probe(&mut self, id: u32) {
        let opened = self.open_side(id, Lane::Probe);
        let slot = &mut self.slots[id as usize];
        match opened {
            Ok(side) => {
                self.probing += 1;
                let lanes = slot.lanes.get_or_insert_default();
                lanes.probed_ns = net::now_ns();
                lanes.probe = Some(side);
            }
            Err(loss) => {
                slot.client.as_mut().and_then(Client::polling).map(Polling::probe_failed);
                *self.upgrade_losses.entry(loss).or_default() += 1;
            }
        }
    }

    fn write_post(&mut self, id: u32, bytes: &[u8]) -> Result<(), Loss> {
        if self.slots[id as usize].lanes.as_ref().is_none_or(|lanes| lanes.post.is_none()) {
            let opened = self.open_side(id, Lane::Post)?;
            self.slots[id as usize].lanes.get_or_insert_default().post = Some(opened);
        }
        match self.slots[id as usize].lanes.get_or_insert_default().side(Lane::Post) {
            Some(side) => side.write(bytes),
            None => Ok(()),
        }
    }

    fn open_side(&self, id: u32, lane: Lane) -> Result<Side, Loss> {
        let (target, source) = self.ends(id);
        let stream = net::start_connect(target, source)
            .and_then(|stream| self.poll.add_stream(&stream, id_of(id, lane)).map(|()| stream))
            .map_err(|_refused| Loss::Reset)?;
        Ok(Side { stream, connected: false, unsent: Vec::new() })
    }

    /// The probe's stream becomes the main one.
    fn finish_upgrade(&mut self, id: u32, scenario: &mut dyn Scenario) {
        let now_ns = net::now_ns();
        let slot = &mut self.slots[id as usize];
        let Some(mut lanes) = slot.lanes.take() else { return };
        let (Some(side), Some(client)) = (lanes.probe.take(), &mut slot.client) else { return };
        self.probing -= 1;
        let rest = client.finish_upgrade();
        self.upgraded += 1;
        self.upgrade.record(now_ns - lanes.probed_ns, true);
        slot.unsent = side.unsent;
        let renumbered = self.poll.renumber(&side.stream, id_of(id, Lane::Main));
        slot.stream = Some(side.stream);
        let mut output = Out::new(Framing::WebSocket, &self.job.manner.prefix);
        let handled = self.take(id, &rest, &mut output, scenario);
        let handled =
            handled.and_then(|()| super::write_out(&mut self.slots[id as usize], &output.bytes));
        if renumbered.is_err() || handled.is_err() {
            self.lose(id, handled.err().unwrap_or(Loss::Reset), now_ns, scenario);
            return;
        }
        scenario.upgraded(id, now_ns, self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_number_says_client_and_lane() {
        for lane in [Lane::Main, Lane::Post, Lane::Probe] {
            for id in [0, 1, u32::MAX] {
                assert_eq!(split(id_of(id, lane)), (id, lane));
            }
        }
    }
}
