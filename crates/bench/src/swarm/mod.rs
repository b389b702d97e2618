//! All clients of one worker: connects, reads, writes, answers and watches them from one epoll loop.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::backoff::{Random, delay_ms};
use crate::client::Client;
use crate::http::Site;
use crate::meter::Meter;
use crate::net::{self, Poll, Ready};
use crate::out::{Framing, Out};
use crate::session::{Loss, Message, Phase};
use crate::wire::Job;

mod lanes;
mod scenario;

pub(crate) use self::scenario::Scenario;

use lanes::{Lane, Lanes, id_of};

/// The time limit of a handshake, the same as socket.io-client's `timeout`.
const HANDSHAKE_NS_MAX: u64 = 20_000_000_000;
/// How often silence is looked for.
const WATCH_NS: u64 = 1_000_000_000;
/// Unsent bytes of a client from which on further messages of an open-loop scenario are refused.
const UNSENT_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 256 << 10;

/// One client. An idle one owns no heap memory beyond this.
#[derive(Debug, Default)]
struct Slot {
    stream: Option<OwnedFd>,
    /// `None` until the TCP connection stands.
    client: Option<Client>,
    /// Start of the handshake; after it, the last ping.
    stamp_ns: u64,
    unsent: Vec<u8>,
    /// The other streams of a client that polls.
    lanes: Option<Box<Lanes>>,
    target: u8,
    attempt: u8,
}

/// All clients of one worker.
#[derive(Debug)]
pub(crate) struct Swarm {
    poll: Poll,
    slots: Vec<Slot>,
    sites: Vec<Rc<Site>>,
    job: Job,
    /// Whether lost clients come back by themselves.
    reconnecting: bool,
    retries: BinaryHeap<Reverse<(u64, u32)>>,
    random: Random,
    next_fresh: u32,
    /// Every client has been tried once: who never joined is not tried for ever.
    tried_all: bool,
    connecting: u32,
    joined: u32,
    watch_at_ns: u64,
    losses: BTreeMap<Loss, u64>,
    handshake: Meter,
    /// Clients whose upgrade is under way, has been made, or has failed, by cause.
    probing: u32,
    upgraded: u64,
    upgrade: Meter,
    upgrade_losses: BTreeMap<Loss, u64>,
    pings: u64,
    reads: u64,
    input: Vec<u8>,
    output: Out,
}

impl Swarm {
    pub(crate) fn new(job: Job, poll: Poll, reconnecting: bool) -> Self {
        let site = |target| Rc::new(Site::new(target, &job.manner));
        let sites = job.targets.iter().copied().map(site).collect();
        let mut slots = Vec::new();
        slots.resize_with(job.clients as usize, Slot::default);
        Self {
            poll,
            slots,
            sites,
            reconnecting,
            retries: BinaryHeap::new(),
            random: Random::new(u64::from(job.run) << 32 | u64::from(job.worker)),
            next_fresh: 0,
            tried_all: false,
            connecting: 0,
            joined: 0,
            watch_at_ns: 0,
            losses: BTreeMap::new(),
            handshake: Meter::new(),
            probing: 0,
            upgraded: 0,
            upgrade: Meter::new(),
            upgrade_losses: BTreeMap::new(),
            pings: 0,
            reads: 0,
            input: vec![0; READ_BYTES],
            output: Out::new(Framing::WebSocket, &job.manner.prefix),
            job,
        }
    }

    pub(crate) fn poll(&self) -> &Poll {
        &self.poll
    }

    pub(crate) fn joined(&self) -> u32 {
        self.joined
    }

    pub(crate) fn is_joined(&self, id: u32) -> bool {
        let client = self.slots[id as usize].client.as_ref();
        client.is_some_and(|client| client.phase() == Phase::Joined)
    }

    /// Pings answered so far.
    pub(crate) fn pings(&self) -> u64 {
        self.pings
    }

    /// Successful reads so far.
    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }

    pub(crate) fn losses(&self) -> &BTreeMap<Loss, u64> {
        &self.losses
    }

    pub(crate) fn lost(&self) -> u64 {
        self.losses.values().sum()
    }

    pub(crate) fn handshake(&mut self) -> &mut Meter {
        &mut self.handshake
    }

    /// The time from the probe's beginning to the upgrade packet.
    pub(crate) fn upgrade(&mut self) -> &mut Meter {
        &mut self.upgrade
    }

    pub(crate) fn upgraded(&self) -> u64 {
        self.upgraded
    }

    pub(crate) fn upgrade_losses(&self) -> &BTreeMap<Loss, u64> {
        &self.upgrade_losses
    }

    /// Every client has been tried, none is on its way and none is amid an upgrade.
    pub(crate) fn is_settled(&self) -> bool {
        self.next_fresh == self.job.clients
            && self.connecting == 0
            && self.probing == 0
            && self.retries.is_empty()
    }

    /// Cuts a client's streams without a word to the server; it returns after `away_ns`.
    pub(crate) fn cut(&mut self, id: u32, away_ns: u64, now_ns: u64) {
        if !self.is_joined(id) {
            return;
        }
        let slot = &mut self.slots[id as usize];
        if let Some(stream) = slot.stream.as_ref().filter(|_| self.job.resets) {
            net::reset_on_close(stream);
        }
        slot.attempt = 0;
        let random = self.random.next_u32();
        let spread_ns = if away_ns > 0 {
            // A quarter more at most: networks do not return to everybody at the same moment.
            (u128::from(away_ns / 4) * u128::from(random) / u128::from(u32::MAX)) as u64
        } else if self.job.backs_off {
            delay_ms(0, random) * 1_000_000
        } else {
            0
        };
        self.drop_streams(id);
        self.joined -= 1;
        self.retries.push(Reverse((now_ns + away_ns + spread_ns, id)));
    }

    /// Starts handshakes as far as allowed, watches for silence; says when to be called again at the latest.
    pub(crate) fn turn(&mut self, now_ns: u64, scenario: &mut dyn Scenario) -> u64 {
        while let Some(&Reverse((at_ns, id))) = self.retries.peek() {
            if at_ns > now_ns {
                break;
            }
            self.retries.pop();
            self.connect(id, now_ns, scenario);
        }
        while self.connecting < self.job.connecting_max && self.next_fresh < self.job.clients {
            let id = self.next_fresh;
            self.next_fresh += 1;
            self.slots[id as usize].target = (id as usize % self.job.targets.len()) as u8;
            self.connect(id, now_ns, scenario);
        }
        self.tried_all |= self.is_settled();
        if self.watch_at_ns <= now_ns {
            self.watch_at_ns = now_ns + WATCH_NS;
            self.lose_silent(now_ns, scenario);
        }
        let retry_ns = self.retries.peek().map_or(u64::MAX, |Reverse((at_ns, _))| *at_ns);
        retry_ns.min(self.watch_at_ns)
    }

    /// Handles one stream's event.
    pub(crate) fn handle_ready(&mut self, ready: Ready, scenario: &mut dyn Scenario) {
        let (id, lane) = lanes::split(ready.id);
        if lane != Lane::Main {
            self.handle_lane(id, lane, ready, scenario);
            return;
        }
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        let Some(stream) = &slot.stream else { return };
        if slot.client.is_none() {
            if !ready.writable && !ready.ending {
                return;
            }
            if net::connect_failed(stream) {
                self.lose(id, Loss::Reset, net::now_ns(), scenario);
                return;
            }
            let site = &self.sites[usize::from(slot.target)];
            let auth = self.job.manner.auth_with(scenario.auth(id));
            let client = Client::start(self.job.transport, site, auth, &mut slot.unsent);
            slot.client = Some(client);
        }
        if (ready.readable || ready.ending)
            && let Err(loss) = self.read(id, ready.ending, scenario)
        {
            self.lose(id, loss, net::now_ns(), scenario);
            return;
        }
        if !self.slots[id as usize].unsent.is_empty() {
            self.flush(id, scenario);
        }
        self.pump(id, scenario);
    }

    /// Lets `write` append frames for a joined client and sends them. False when the client is not joined
    /// or does not take what it already has.
    pub(crate) fn send(&mut self, id: u32, write: impl FnOnce(&mut Out)) -> bool {
        if !self.is_joined(id) || self.slots[id as usize].unsent.len() > UNSENT_BYTES_MAX {
            return false;
        }
        let slot = &mut self.slots[id as usize];
        if let Some(polling) = slot.client.as_mut().and_then(Client::polling) {
            polling.send(write);
            self.pump_quietly(id);
            return true;
        }
        let mut output = std::mem::take(&mut self.output);
        write(&mut output);
        // A failed write shows up as an event of this stream too.
        let _ = write_out(&mut self.slots[id as usize], &output.bytes);
        output.bytes.clear();
        self.output = output;
        true
    }

    /// Where a client connects to, and from which address.
    fn ends(&self, id: u32) -> (SocketAddrV4, Option<Ipv4Addr>) {
        let target = self.job.targets[usize::from(self.slots[id as usize].target)];
        let source =
            target.ip().is_loopback().then(|| net::source(self.job.run, self.job.worker, id));
        (target, source)
    }

    fn connect(&mut self, id: u32, now_ns: u64, scenario: &mut dyn Scenario) {
        let (target, source) = self.ends(id);
        let slot = &mut self.slots[id as usize];
        self.connecting += 1;
        slot.stamp_ns = now_ns;
        let connected = net::start_connect(target, source).and_then(|stream| {
            self.poll.add_stream(&stream, id_of(id, Lane::Main)).map(|()| stream)
        });
        match connected {
            Ok(stream) => slot.stream = Some(stream),
            Err(_refused) => self.lose(id, Loss::Reset, now_ns, scenario),
        }
    }

    fn read(&mut self, id: u32, ending: bool, scenario: &mut dyn Scenario) -> Result<(), Loss> {
        let mut input = std::mem::take(&mut self.input);
        let mut output = std::mem::take(&mut self.output);
        let mut result = Ok(());
        loop {
            let slot = &mut self.slots[id as usize];
            let (Some(stream), Some(_)) = (&slot.stream, &slot.client) else { break };
            let length = match net::read(stream, &mut input) {
                Ok(Some(0)) => {
                    result = Err(Loss::Eof);
                    break;
                }
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(_reset) => {
                    result = Err(Loss::Reset);
                    break;
                }
            };
            self.reads += 1;
            result = self.take(id, &input[..length], &mut output, scenario);
            // Edge-triggered: a short read has drained the stream, unless its end is still to be read.
            if result.is_err() || (length < input.len() && !ending) {
                break;
            }
        }
        if result.is_ok() && !output.bytes.is_empty() {
            result = write_out(&mut self.slots[id as usize], &output.bytes);
        }
        output.bytes.clear();
        (self.input, self.output) = (input, output);
        result
    }

    /// Gives a client what was read for it; its answers are in `output` then.
    fn take(
        &mut self,
        id: u32,
        bytes: &[u8],
        output: &mut Out,
        scenario: &mut dyn Scenario,
    ) -> Result<(), Loss> {
        let slot = &mut self.slots[id as usize];
        let Some(client) = &mut slot.client else { return Ok(()) };
        let now_ns = net::now_ns();
        let (mut joined, mut pings) = (false, 0);
        let result = client.handle_bytes(bytes, output, &mut |message, out| {
            match message {
                Message::Joined(_) => joined = true,
                Message::Ping => pings += 1,
                Message::Ack { .. } | Message::Early(_) | Message::Event(_) => (),
            }
            scenario.message(id, now_ns, message, out);
        });
        self.pings += pings;
        // A ping within the handshake (socketioxide's first comes with the open packet) does not restart its time.
        if pings > 0 && !joined && client.phase() == Phase::Joined {
            slot.stamp_ns = now_ns;
        }
        if joined {
            self.note_joined(id, now_ns);
        }
        result
    }

    fn note_joined(&mut self, id: u32, now_ns: u64) {
        let slot = &mut self.slots[id as usize];
        self.handshake.record(now_ns - slot.stamp_ns, true);
        slot.stamp_ns = now_ns;
        slot.attempt = 0;
        slot.unsent.shrink_to_fit();
        self.connecting -= 1;
        self.joined += 1;
    }

    fn flush(&mut self, id: u32, scenario: &mut dyn Scenario) {
        let slot = &mut self.slots[id as usize];
        let unsent = std::mem::take(&mut slot.unsent);
        if let Err(loss) = write_out(slot, &unsent) {
            self.lose(id, loss, net::now_ns(), scenario);
        }
    }

    fn lose(&mut self, id: u32, loss: Loss, now_ns: u64, scenario: &mut dyn Scenario) {
        let was_joined = self.is_joined(id);
        let slot = &mut self.slots[id as usize];
        slot.attempt = slot.attempt.saturating_add(1);
        let attempt = slot.attempt - 1;
        self.drop_streams(id);
        if was_joined {
            self.joined -= 1;
        } else {
            self.connecting -= 1;
        }
        *self.losses.entry(loss).or_default() += 1;
        // Like socket.io-client, which takes these two for the server's will.
        let is_final = matches!(loss, Loss::SocketDisconnect | Loss::NamespaceRefused);
        if self.reconnecting && self.tried_all && !is_final {
            let delay_ns = delay_ms(attempt, self.random.next_u32()) * 1_000_000;
            let slot = &mut self.slots[id as usize];
            slot.target = ((usize::from(slot.target) + 1) % self.job.targets.len()) as u8;
            self.retries.push(Reverse((now_ns + delay_ns, id)));
        }
        if was_joined {
            scenario.lost(id, now_ns);
        }
    }

    fn drop_streams(&mut self, id: u32) {
        let slot = &mut self.slots[id as usize];
        slot.stream = None;
        slot.unsent = Vec::new();
        let probed = slot.lanes.take().is_some_and(|lanes| lanes.probe.is_some());
        slot.client = None;
        self.probing -= u32::from(probed);
    }

    fn lose_silent(&mut self, now_ns: u64, scenario: &mut dyn Scenario) {
        for id in 0..self.next_fresh {
            self.lose_late_probes(id, now_ns, HANDSHAKE_NS_MAX);
            let slot = &self.slots[id as usize];
            if slot.stream.is_none() {
                continue;
            }
            let silent_ns = now_ns.saturating_sub(slot.stamp_ns);
            let loss = match &slot.client {
                Some(client) if client.phase() == Phase::Joined => {
                    let max_ns = u64::from(client.silence_ms_max()) * 1_000_000;
                    (silent_ns > max_ns).then_some(Loss::PingTimeout)
                }
                _ => (silent_ns > HANDSHAKE_NS_MAX).then_some(Loss::HandshakeTimeout),
            };
            if let Some(loss) = loss {
                self.lose(id, loss, now_ns, scenario);
            }
        }
    }
}

/// Writes what the kernel takes and keeps the rest, in order.
fn write_out(slot: &mut Slot, bytes: &[u8]) -> Result<(), Loss> {
    let Some(stream) = &slot.stream else { return Ok(()) };
    let mut rest = bytes;
    if slot.unsent.is_empty() {
        let taken = net::write(stream, bytes).map_err(|_reset| Loss::Reset)?;
        rest = &bytes[taken..];
    }
    slot.unsent.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_less_than_100_bytes() {
        assert!(size_of::<Slot>() <= 96, "{} bytes", size_of::<Slot>());
    }
}
