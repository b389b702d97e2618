//! How much each session may send: messages and bytes per second.
//!
//! A client that sends more is not read until its rate allows more: its bytes wait in its own
//! stream, and the answer to its post waits. One that goes on like this for `session_flood_wait` is
//! closed. A meter exists only while its session owes something, so a session that is far from its
//! limits costs nothing, and without limits there is none at all.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use trunkline_admission::{Bucket, Rate};
use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;

use super::Shard;
use super::command::Command;
use crate::gate::{Guest, Talker};
use crate::limits::Limits;
use crate::metrics::Cause;

/// How many seconds' worth may come at once after a pause: clients send what they have buffered
/// when they connect again.
const BURST_S: u64 = 2;
/// The most that is owed beyond a burst: so long a session waits at most for one message.
const OWED_MAX: Duration = Duration::from_secs(5);
/// A session that was not slowed down for this long does not flood.
const CALM: Duration = Duration::from_secs(2);
/// How often meters at rest are dropped.
const SWEEP: Duration = Duration::from_secs(1);

/// What was read from a session's client at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Bytes of compressed messages after inflation.
    pub(super) inflated: u64,
}

/// The meters of a shard's sessions, by slot.
#[derive(Debug, Default)]
pub(super) struct Meters {
    by_slot: HashMap<u32, Meter>,
    /// When slowed sessions may go on.
    waking: BTreeSet<(Timestamp, u32)>,
    swept_at: Timestamp,
}

#[derive(Debug)]
struct Meter {
    generation: u32,
    messages: Bucket,
    bytes: Bucket,
    inflated: Bucket,
    /// Set once the session was slowed down: since when it floods, and until when it waits.
    slowed: Option<(Timestamp, Timestamp)>,
    /// A post that waits: its body stays unread in the client's stream.
    post: Option<Command>,
}

/// A session that has to wait.
struct Slowed {
    /// The limit's name.
    key: &'static str,
    /// Set when it has flooded for too long.
    ends: bool,
}

impl Limits {
    /// Whether any rate of sessions is limited.
    pub(crate) fn meters_sessions(&self) -> bool {
        self.session_messages_per_second.is_some()
            || self.session_bytes_per_second.is_some()
            || self.session_inflated_bytes_per_second.is_some()
    }
}

impl Meter {
    fn new(generation: u32) -> Self {
        let rest = Bucket::NEW;
        let (messages, bytes, inflated) = (rest, rest, rest);
        Self { generation, messages, bytes, inflated, slowed: None, post: None }
    }

    /// Charges what was read. Returns how long the session has to wait, and for which limit.
    fn charge(
        &mut self,
        limits: &Limits,
        now: Timestamp,
        heard: Heard,
    ) -> Option<(Duration, &'static str)> {
        let rates = [
            (
                &mut self.messages,
                limits.session_messages_per_second.map(u64::from),
                heard.messages,
                "session_messages_per_second",
            ),
            (
                &mut self.bytes,
                limits.session_bytes_per_second.map(u64::from),
                heard.bytes,
                "session_bytes_per_second",
            ),
            (
                &mut self.inflated,
                limits.session_inflated_bytes_per_second.map(u64::from),
                heard.inflated,
                "session_inflated_bytes_per_second",
            ),
        ];
        let mut longest = None;
        for (bucket, per_second, units, key) in rates {
            let Some(per_second) = per_second else { continue };
            let rate = Rate::new(per_second, per_second.saturating_mul(BURST_S));
            bucket.charge(rate, now, units, rate.burst_time() + OWED_MAX);
            let wait = bucket.owed(now).saturating_sub(rate.burst_time());
            if !wait.is_zero() && longest.is_none_or(|(longest, _)| longest < wait) {
                longest = Some((wait, key));
            }
        }
        longest
    }

    fn is_at_rest(&self, now: Timestamp) -> bool {
        let buckets = [self.messages, self.bytes, self.inflated];
        buckets.iter().all(|bucket| bucket.is_at_rest(now))
            && self.post.is_none()
            && self.slowed.is_none_or(|(_, until)| until + CALM < now)
    }
}

impl Meters {
    /// The time at which the first slowed session goes on.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.waking.first().map(|(at, _)| *at)
    }

    /// The number of meters.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_slot.len()
    }

    fn charge(
        &mut self,
        limits: &Limits,
        now: Timestamp,
        (index, generation): (u32, u32),
        heard: Heard,
    ) -> Option<Slowed> {
        if self.swept_at + SWEEP <= now {
            self.swept_at = now;
            // After a long turn some may still have to be woken.
            let is_woken = |index, meter: &Meter| {
                meter.slowed.is_none_or(|(_, until)| !self.waking.contains(&(until, index)))
            };
            self.by_slot.retain(|index, meter| !meter.is_at_rest(now) || !is_woken(*index, meter));
        }
        let meter = self.by_slot.entry(index).or_insert_with(|| Meter::new(generation));
        if meter.generation != generation {
            *meter = Meter::new(generation);
        }
        let (wait, key) = meter.charge(limits, now, heard)?;
        let until = now + wait;
        let since = match meter.slowed {
            Some((since, until)) if now < until + CALM => since,
            Some(_) | None => now,
        };
        meter.slowed = Some((since, until));
        self.waking.insert((until, index));
        Some(Slowed { key, ends: since + limits.session_flood_wait <= now && since < now })
    }
}

impl Shard {
    /// Charges a session for what was read from its client. Slows it down, or closes it, when that
    /// is more than it may send.
    pub(super) fn charge(&mut self, index: u32, heard: Heard) {
        if self.env.gate.talkers.is_asked() {
            self.note_talker(index, heard);
        }
        self.charge_hub(index, heard);
        if !self.env.limits.meters_sessions() {
            return;
        }
        let Some(slot) = self.slots.get_mut(index) else { return };
        let place = (index, slot.generation);
        let Some(slowed) = self.meters.charge(&self.env.limits, self.now, place, heard) else {
            return;
        };
        slot.slowed.set_by_itself(true);
        let Slowed { key, ends } = slowed;
        self.env.metrics.sessions_slowed.get_or_create(&Cause { cause: key }).inc();
        if ends {
            let address = slot.guest.as_ref().map(|guest| tracing::field::display(guest.ip()));
            let hub = self.env.directory.hub(usize::from(slot.hub)).map(|hub| &*hub.name);
            let server = self.trunks.get(&slot.trunk).map(|known| &*known.trunk.server_id);
            if let Some(times) = self.env.directory.note("session_flooded") {
                let number = super::slot::number_of(index, self.index, self.shards).0;
                tracing::warn!(
                    hub,
                    server,
                    address,
                    session = number,
                    key,
                    times,
                    "session closed: its client sent more than it may, for longer than session_flood_wait"
                );
            }
            self.drop_client(index, CloseReason::Flooded);
            self.mark_dirty(index);
        }
    }

    /// Counts what a session has sent, for the operator who asks who sends most.
    fn note_talker(&mut self, index: u32, heard: Heard) {
        let Some(slot) = self.slots.get(index) else { return };
        let ip = slot.guest.as_ref().map(Guest::ip);
        let number = super::slot::number_of(index, self.index, self.shards).0;
        let talker = Talker { ip, hub: slot.hub, trunk: slot.trunk, number };
        self.env.gate.talkers.session(self.index, talker, heard.messages, heard.bytes);
    }

    /// Lets a post of a slowed session wait. Gives it back if one waits already.
    pub(super) fn slow_post(&mut self, index: u32, command: Command) -> Option<Command> {
        let Some(meter) = self.meters.by_slot.get_mut(&index) else { return Some(command) };
        if meter.post.is_some() {
            return Some(command);
        }
        meter.post = Some(command);
        None
    }

    /// Goes on with the sessions that have waited long enough.
    pub(super) fn wake_slowed(&mut self) {
        while let Some((at, index)) = self.meters.waking.first().copied() {
            if at > self.now {
                return;
            }
            self.meters.waking.pop_first();
            let Some(meter) = self.meters.by_slot.get_mut(&index) else { continue };
            // It may have to wait longer by now.
            if meter.slowed.is_none_or(|(_, until)| until > self.now) {
                continue;
            }
            let (post, generation) = (meter.post.take(), meter.generation);
            if let Some(slot) = self.slots.get_mut(index)
                && slot.generation == generation
                && slot.slowed.by_itself()
            {
                slot.slowed.set_by_itself(false);
                if !slot.slowed.is_slowed() && !slot.paused && self.send_held(index) {
                    self.read_probe(index);
                    self.read_stream(index);
                }
            }
            if let Some(post) = post {
                self.handle(post);
            }
        }
    }
}
