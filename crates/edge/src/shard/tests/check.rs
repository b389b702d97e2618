//! Checks what must always be true of a shard at rest.

use std::sync::atomic::Ordering;
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::TransportKind;
use trunkline_trunk::NumberState;

use super::world::World;
use crate::shard::slot::{Carrier, Live, Slot, State};
use crate::shard::timers::{Tick, Timers};
use crate::shard::uplink::Waiting;

impl World {
    pub(super) fn check(&self) {
        let shard = &self.shard;
        assert!(shard.dirty.is_empty(), "nothing is left to settle");
        assert!(shard.backlog.is_empty(), "no slice is left");
        assert_eq!(
            self.env.sessions[usize::from(shard.index)].load(Ordering::Relaxed),
            shard.slots.len()
        );
        let seated = shard
            .slots
            .iter()
            .filter(|(_, slot)| slot.hub == self.hub.number && !matches!(slot.state, State::Ended));
        assert_eq!(self.hub.sessions(), seated.count(), "each session counts once in its hub");
        self.check_flows();
        let mut counted = [0, 0];
        for (index, slot) in shard.slots.iter() {
            assert!(!slot.is_free(), "{index}: a slot that nothing needs is given back");
            assert!(!slot.dirty && !slot.backlogged && !slot.unread, "{index}: at rest");
            assert_eq!(slot.watched, shard.watches.contains_key(&index), "{index}: watched");
            assert_eq!(slot.heavy, shard.heavy.contains(&index), "{index}: heavy");
            if let Some(trunk) = shard.trunks.get(&slot.trunk) {
                let is_here = |one: &Waiting| matches!(one, Waiting::Session(at) if *at == index);
                let here = trunk.waiting.iter().any(is_here);
                assert!(here || !slot.paused, "{index}: who waits for credit stands in the queue");
            }
            let deadline = match &slot.state {
                State::Opening(opening) => Some(opening.until),
                State::Live(live) => live.session.poll_deadline(),
                State::Arriving(arriving) => Some(arriving.deadline()),
                State::Ended => None,
            };
            if let Some(deadline) = deadline {
                assert!(slot.armed != Tick::NONE, "{index}: a deadline without a timer");
                let latest = Timers::tick_of(self.now, deadline)
                    .max(Timers::tick_of(self.now, deadline + Duration::from_millis(32)));
                assert!(slot.armed <= latest, "{index}: a timer that comes too late");
            }
            if let State::Live(live) = &slot.state {
                counted[usize::from(slot.counted == TransportKind::WebSocket)] += 1;
                self.check_live(index, slot, live);
            }
        }
        assert_eq!(counted, [self.sessions("polling"), self.sessions("websocket")]);
        for trunk in shard.trunks.values() {
            assert!(trunk.out.is_empty(), "every app server has its batch");
            let of_trunk: Vec<_> = shard
                .slots
                .iter()
                .map(|(_, slot)| slot)
                .filter(|slot| slot.trunk == trunk.trunk.number)
                .collect();
            let pending = of_trunk.iter().filter(|slot| slot.pending).count();
            assert_eq!(trunk.trunk.sessions(), of_trunk.len(), "sessions of an app server");
            assert_eq!(trunk.trunk.pending(), pending, "its unanswered handshakes");
        }
        self.check_homes();
        for (index, lingering) in &shard.lingering {
            let ends = |end: &(Timestamp, u32, u32)| {
                end.1 as usize == index && end.2 == lingering.generation
            };
            assert!(shard.linger_ends.iter().any(ends), "every lingering stream has an end");
        }
    }

    /// Checks the sessions that wait because of their hub.
    fn check_flows(&self) {
        let shard = &self.shard;
        let slowed = shard.slots.iter().filter(|(_, slot)| slot.slowed.by_hub());
        for (index, slot) in slowed {
            assert!(shard.flows.has(slot.hub, index, slot.generation), "{index}: gets its turn");
        }
        shard.flows.check();
        assert_eq!(shard.flows.waiting(), self.hub.flow.waiting(), "those that wait");
    }

    /// Checks what is kept in case an app server is lost, and the sessions that wait for another.
    fn check_homes(&self) {
        let shard = &self.shard;
        let (mut uses, mut waiting, mut asked) = (0, 0, 0);
        for (index, slot) in shard.slots.iter() {
            let State::Live(live) = &slot.state else { continue };
            let Some(keepsake) = &live.keepsake else { continue };
            uses += keepsake.uses();
            let Some(journey) = &keepsake.journey else { continue };
            waiting += i64::from(journey.past.is_some());
            asked += usize::from(journey.told.is_some());
            let is_asked = slot.number == NumberState::Adopting;
            assert_eq!(journey.told.is_some(), is_asked, "{index}: whether it is asked for");
            if slot.waits_for_home() && !live.session.is_closed() {
                let queue = shard.homes.hubs.get(&slot.hub).expect("its hub has a queue");
                let key = shard.key_of(index, slot);
                let is_in = queue.idle.contains(&key) || queue.eager.contains(&key);
                assert!(is_in, "{index}: who waits is in a queue");
            }
        }
        assert_eq!(uses, shard.interner.uses(), "what requests have in common");
        assert_eq!(waiting, self.env.metrics.homes_waiting.get());
        assert_eq!(waiting, self.hub.homes_waiting.load(Ordering::Relaxed));
        assert_eq!(asked, shard.trunks.values().map(|trunk| trunk.adopting).sum::<usize>());
    }

    fn check_live(&self, index: u32, slot: &Slot, live: &Live) {
        match &live.carrier {
            Carrier::Stream(stream) if stream.is_idle() => {
                assert!(!live.session.has_output(), "{index}: a stream with room has all of it");
            }
            Carrier::Polling(polling) if polling.held.is_some() => {
                assert!(!live.session.has_output(), "{index}: a held poll is answered");
            }
            Carrier::Stream(_) | Carrier::Polling(_) | Carrier::Promised | Carrier::Gone => (),
        }
        if let Some(held) = &live.held
            && self.shard.trunks.contains_key(&slot.trunk)
            && !slot.is_between()
            && slot.number != NumberState::Leaving
        {
            assert!(
                slot.paused || slot.heavy || slot.slowed.is_slowed(),
                "{index}: what is held goes on some time"
            );
            assert!(
                !slot.paused || held.waits_for_credit() || slot.heavy || held.undecoded_bytes() > 0
            );
        }
    }
}
