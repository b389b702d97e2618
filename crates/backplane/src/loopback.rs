//! A bus inside one process, for tests. It delivers at once and in order, or loses, repeats,
//! reorders and delays datagrams as its [`Weather`] says, the same for the same seed.
//!
//! Time is tokio's, so a test with a paused clock waits for nothing.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use trunkline_mesh::{Bus, BusEvent, Destination};

use crate::Opened;
use crate::events::{self, EventSender};
use crate::figures::BusFigures;

/// The longest datagram, as NATS has it by default.
pub const PAYLOAD_MAX: usize = 1 << 20;

/// How badly the bus behaves. Chances are of 1,000.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Weather {
    /// Chance that a datagram is lost.
    pub lost: u32,
    /// Chance that it comes twice.
    pub repeated: u32,
    /// Chance that it is delayed, and so comes after later ones.
    pub delayed: u32,
    /// The longest delay.
    pub delay_max: Duration,
}

/// A bus that any number of nodes of one process join. Clones are the same bus.
#[derive(Clone, Default)]
pub struct Loopback(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    weather: Weather,
    random: u64,
    away: bool,
    joined: u64,
    members: BTreeMap<u64, Member>,
}

struct Member {
    incarnation: u64,
    numbers: Vec<u16>,
    events: EventSender,
    cut_off: bool,
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback").field("weather", &self.state().weather).finish_non_exhaustive()
    }
}

impl Loopback {
    /// A bus in good weather.
    pub fn new(seed: u64) -> Self {
        let state = State { random: seed, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that could panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how it behaves from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Takes the bus away from everybody, or brings it back.
    pub fn set_away(&self, away: bool) {
        let mut state = self.state();
        if core::mem::replace(&mut state.away, away) == away {
            return;
        }
        for member in state.members.values() {
            member.events.put(if away { gone() } else { connected() });
        }
    }

    /// Separates one node from all others without telling it, or reconnects it.
    pub fn set_cut_off(&self, incarnation: u64, cut_off: bool) {
        for member in self.state().members.values_mut() {
            if member.incarnation == incarnation {
                member.cut_off = cut_off;
            }
        }
    }

    /// Joins the bus. Dropping the returned bus leaves it.
    pub fn join(&self, incarnation: u64) -> Opened {
        let (sender, events) = events::queue(BusFigures::default());
        let mut state = self.state();
        state.joined += 1;
        let key = state.joined;
        if !state.away {
            sender.put(connected());
        }
        let numbers = Vec::new();
        let member = Member { incarnation, numbers, events: sender, cut_off: false };
        state.members.insert(key, member);
        drop(state);
        let bus = LoopbackBus { loopback: self.clone(), key };
        Opened { bus: Box::new(bus), events }
    }
}

fn connected() -> BusEvent {
    BusEvent::Connected { payload_max: PAYLOAD_MAX }
}

fn gone() -> BusEvent {
    BusEvent::Disconnected { cause: "the loopback was taken away".into() }
}

struct LoopbackBus {
    loopback: Loopback,
    key: u64,
}

impl Drop for LoopbackBus {
    fn drop(&mut self) {
        self.loopback.state().members.remove(&self.key);
    }
}

impl Bus for LoopbackBus {
    fn subscribe(&mut self, number: u16) {
        if let Some(member) = self.loopback.state().members.get_mut(&self.key) {
            member.numbers.push(number);
        }
    }

    fn publish(&mut self, to: &Destination, payload: Bytes) {
        self.loopback.state().publish(self.key, to, &payload);
    }
}

impl State {
    fn publish(&mut self, from: u64, to: &Destination, payload: &Bytes) {
        let Some(sender) = self.members.get(&from) else { return };
        if self.away || sender.cut_off {
            return;
        }
        let (lane, wanted) = match to {
            Destination::Everybody => (None, None),
            Destination::Node { number, incarnation, lane } => {
                (Some(*lane), Some((*number, *incarnation)))
            }
        };
        let listens = |member: &Member| match wanted {
            None => true,
            Some((number, incarnation)) => {
                member.incarnation == incarnation && member.numbers.contains(&number)
            }
        };
        let receivers =
            self.members.iter().filter(|(key, member)| **key != from && listens(member));
        let reached = receivers.clone().filter(|(_, member)| !member.cut_off);
        let reached: Vec<EventSender> = reached.map(|(_, member)| member.events.clone()).collect();
        // A node that is cut off still has its subscription: silence, no answer.
        let nobody = receivers.count() == 0;
        if let Some((number, incarnation)) = wanted.filter(|_| nobody) {
            sender.events.put(BusEvent::Unreachable { number, incarnation });
        }
        for receiver in reached {
            self.carry(&receiver, &BusEvent::Datagram { lane, payload: payload.clone() });
        }
    }

    fn carry(&mut self, to: &EventSender, event: &BusEvent) {
        let Weather { lost, repeated, delayed, delay_max } = self.weather;
        if self.happens(lost) {
            return;
        }
        let copies = if self.happens(repeated) { 2 } else { 1 };
        for _ in 0..copies {
            let (to, event) = (to.clone(), event.clone());
            if self.happens(delayed) {
                let micros = u64::try_from(delay_max.as_micros()).unwrap_or(u64::MAX).max(1);
                let delay = Duration::from_micros(self.random() % micros);
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    to.put(event);
                });
            } else {
                to.put(event);
            }
        }
    }

    fn happens(&mut self, chance: u32) -> bool {
        chance > 0 && self.random() % 1000 < u64::from(chance)
    }

    /// SplitMix64, which needs no state but a counter.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_mesh::Lane;

    use super::*;

    const NUMBER: u16 = 7;

    fn to(incarnation: u64) -> Destination {
        Destination::Node { number: NUMBER, incarnation, lane: Lane::Control }
    }

    fn drain(node: &mut Opened) -> Vec<BusEvent> {
        core::iter::from_fn(|| node.events.try_next()).collect()
    }

    fn payloads(node: &mut Opened) -> Vec<u8> {
        let datagrams = drain(node).into_iter().filter_map(|event| match event {
            BusEvent::Datagram { payload, .. } => payload.first().copied(),
            BusEvent::Unreachable { .. }
            | BusEvent::Connected { .. }
            | BusEvent::Disconnected { .. }
            | BusEvent::Overflowed => None,
        });
        datagrams.collect()
    }

    #[test]
    fn a_datagram_reaches_its_receivers_and_not_its_sender() {
        let loopback = Loopback::new(1);
        let [mut a, mut b, mut c] = [1, 2, 3].map(|incarnation| loopback.join(incarnation));
        b.bus.subscribe(NUMBER);
        for node in [&mut a, &mut b, &mut c] {
            assert_eq!(drain(node), [connected()]);
        }
        a.bus.publish(&Destination::Everybody, Bytes::from_static(&[1]));
        a.bus.publish(&to(2), Bytes::from_static(&[2]));
        a.bus.publish(&to(3), Bytes::from_static(&[3]));
        assert_eq!(drain(&mut a), [BusEvent::Unreachable { number: NUMBER, incarnation: 3 }]);
        let datagram = |lane, byte: &'static [u8]| BusEvent::Datagram {
            lane,
            payload: Bytes::from_static(byte),
        };
        assert_eq!(drain(&mut b), [datagram(None, &[1]), datagram(Some(Lane::Control), &[2])]);
        assert_eq!(drain(&mut c), [datagram(None, &[1])]);
        // A process that is gone is not the same as one that is cut off.
        loopback.set_cut_off(2, true);
        a.bus.publish(&to(2), Bytes::from_static(&[4]));
        assert_eq!(drain(&mut a), []);
        drop(b);
        a.bus.publish(&to(2), Bytes::from_static(&[5]));
        assert_eq!(drain(&mut a), [BusEvent::Unreachable { number: NUMBER, incarnation: 2 }]);
    }

    #[test]
    fn a_bus_that_is_away_carries_nothing_and_says_so() {
        let loopback = Loopback::new(1);
        let [mut a, mut b] = [1, 2].map(|incarnation| loopback.join(incarnation));
        b.bus.subscribe(NUMBER);
        loopback.set_away(true);
        a.bus.publish(&to(2), Bytes::from_static(&[1]));
        assert_eq!(drain(&mut b), [connected(), gone()]);
        loopback.set_away(false);
        a.bus.publish(&to(2), Bytes::from_static(&[2]));
        assert_eq!(payloads(&mut b), [2]);
    }

    /// What arrives of 200 datagrams in bad weather.
    async fn arrivals(seed: u64) -> Vec<u8> {
        let loopback = Loopback::new(seed);
        let [mut a, mut b] = [1, 2].map(|incarnation| loopback.join(incarnation));
        b.bus.subscribe(NUMBER);
        let delay_max = Duration::from_secs(2);
        loopback.set_weather(Weather { lost: 100, repeated: 100, delayed: 300, delay_max });
        for byte in 0..200 {
            a.bus.publish(&to(2), Bytes::from(vec![byte]));
        }
        let at_once = payloads(&mut b);
        tokio::time::sleep(delay_max).await;
        let later = payloads(&mut b);
        assert!(!later.is_empty(), "some are delayed");
        [at_once, later].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn bad_weather_loses_repeats_and_reorders_alike_for_the_same_seed() {
        let first = arrivals(1).await;
        let mut distinct = first.clone();
        distinct.sort_unstable();
        assert_ne!(distinct, first, "the order differs");
        distinct.dedup();
        assert!(distinct.len() < first.len(), "some came twice");
        assert!(distinct.len() < 200, "some were lost");
        assert_eq!(arrivals(1).await, first);
        assert_ne!(arrivals(2).await, first);
    }
}
