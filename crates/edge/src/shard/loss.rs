//! The loss of an app server: which of its sessions wait for another one, which are closed, and
//! what becomes of the messages that were on their way.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;
use trunkline_switchboard::SessionKey;
use trunkline_trunk::{Frame, NumberState, Origin, decode_batch, shard_of};

use super::command::{Answer, SlotKey};
use super::keepsake::Past;
use super::slot::{State, slot_of};
use super::uplink::Waiting;
use super::{Shard, ShardTrunk};
use crate::hub::{Ending, Remains, Tally, TrunkNumber};
use crate::unavailable::Unavailable;

/// What was on its way to one session's app server.
#[derive(Debug, Default)]
struct UnderWay {
    /// Set when the app server may have handled a message in part.
    in_doubt: bool,
    /// Messages that it has certainly not seen.
    unseen: VecDeque<(bool, Bytes)>,
    /// Set when it has certainly not seen the `Adopt`.
    adopt_unseen: bool,
}

/// The end of a trunk, as far as all of its sessions have it in common.
#[derive(Clone, Copy)]
struct Loss {
    reason: CloseReason,
    past: Option<Past>,
    /// Set when only app servers are left that never take a session over.
    only_others: bool,
    /// The time from which the app server may not have done what it was told.
    since: Timestamp,
}

/// Whether a lost app server had begun a batch.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Begun {
    Yes,
    /// It may have handled messages of it; it has not begun an adoption.
    Ahead,
    No,
}

/// What becomes of a session.
enum Fate {
    /// It ends for a reason of its own.
    Over(CloseReason, &'static str),
    /// Its app server died while it took the session over, or was the second one in a row to be lost
    /// soon after it had: the session may have been the cause, so no other one is asked and nothing
    /// is kept.
    Poison,
    /// Its app server had not read the `Adopt` yet: another one is asked.
    Again,
    /// Nobody can tell whether its last messages took effect: it is closed, and its sockets are kept.
    InDoubt,
    /// Another app server will take it over.
    Waits(Past),
    /// It cannot move: it is closed at a measured pace.
    Orphan,
}

impl Shard {
    /// Handles the loss of an app server: its handshakes are tried elsewhere, its sessions wait for
    /// another app server or are closed at a measured pace.
    pub(super) fn trunk_down(&mut self, number: TrunkNumber, remains: &Remains) {
        let Some(gone) = self.trunks.remove(&number) else { return };
        // An app server that was draining has left on purpose.
        let is_removed = matches!(gone.trunk.ending(), Some(Ending::HubRemoved));
        let reason = if is_removed {
            CloseReason::HubRemoved
        } else if gone.trunk.is_draining() {
            CloseReason::ServerShuttingDown
        } else {
            CloseReason::AppServerLost
        };
        let only_others = is_removed || self.is_without_homes(gone.trunk.hub.number);
        let since = gone.trunk.broken_since().unwrap_or(self.now);
        let loss = Loss { reason, past: gone.past(), only_others, since };
        let mut under_way = self.under_way(&gone, remains);
        let hub = usize::from(gone.trunk.hub.number);
        if let Some(feed) = gone.feed {
            self.recoveries[hub].source_down(self.now, feed);
        }
        let slots = self.slots.iter().filter(|(_, slot)| slot.trunk == number);
        let slots: Vec<u32> = slots.map(|(index, _)| index).collect();
        for index in slots {
            match &self.slots.at(index).state {
                State::Live(_) => {
                    let mut own = under_way.remove(&index).unwrap_or_default();
                    own.in_doubt |= remains.incomplete;
                    self.lose_home(index, loss, own, &gone.trunk.tally);
                }
                State::Opening(_) => {
                    self.slots.at(index).number = NumberState::Free;
                    self.fail_orphaned_opening(index);
                }
                State::Arriving(_) => {
                    self.slots.at(index).number = NumberState::Free;
                    self.fail_arrival(index, "app_server_lost", true);
                }
                State::Ended => {
                    self.slots.at(index).number = NumberState::Free;
                    self.release(index);
                }
            }
        }
        for key in gone.namespaces.values() {
            self.boards[hub].release_namespace(*key);
        }
        for waiting in gone.waiting {
            if let Waiting::Post(command) = waiting
                && let Some(asked) = command.post()
            {
                let index = asked.sid.slot;
                self.unpark(&command);
                self.park_post(index, command);
            }
        }
        if !self.orphans.waiting.is_empty() {
            self.orphans.next_at.get_or_insert(self.now);
        }
    }

    fn lose_home(&mut self, index: u32, loss: Loss, under_way: UnderWay, tally: &Tally) {
        if self.lose_leaving(index, loss.past) {
            tally.closed();
            return;
        }
        let fate = self.fate_of(index, loss, &under_way);
        let slot = self.slots.at(index);
        let was_open = matches!(slot.number, NumberState::Open | NumberState::Leaving);
        slot.number = NumberState::Free;
        let key = SlotKey::here(self.index, index, slot.generation);
        // The sockets of a session that its app had closed are none of the node's.
        let past = loss.past.filter(|_| was_open);
        match fate {
            Fate::Over(reason, description) => {
                self.leave_switchboard(index, past, "ended");
                self.end_session(index, reason, description);
            }
            Fate::Poison => {
                self.leave_switchboard(index, None, "lost");
                if was_open {
                    self.env.metrics.count_rehomed(Origin::Orphan, "lost");
                }
                self.orphans.waiting.push_front((key, CloseReason::AppServerLostInDoubt));
                tally.in_doubt();
            }
            Fate::Again => {
                self.back_to_waiting(index, true);
                tally.kept();
            }
            Fate::InDoubt => {
                self.leave_switchboard(index, past, "in_doubt");
                self.env.metrics.count_rehomed(Origin::Orphan, "in_doubt");
                // Before all others, which need not know: this client may wait for an answer.
                self.orphans.waiting.push_front((key, CloseReason::AppServerLostInDoubt));
                tally.in_doubt();
            }
            Fate::Waits(past) => {
                self.give_back(index, under_way.unseen);
                self.wait_for_home(index, Origin::Orphan, past, loss.since);
                tally.kept();
            }
            Fate::Orphan => {
                if let State::Live(live) = &mut self.slots.at(index).state {
                    live.held = None;
                }
                // Its own app server is gone; broadcasts of others would be half a conversation.
                self.leave_switchboard(index, past, "closed");
                self.orphans.waiting.push_back((key, loss.reason));
                tally.closed();
            }
        }
    }

    fn fate_of(&mut self, index: u32, loss: Loss, under_way: &UnderWay) -> Fate {
        let now = self.now;
        let is_rehomeable = self.is_rehomeable(index);
        let slot = self.slots.at(index);
        let number = slot.number;
        let State::Live(live) = &mut slot.state else { return Fate::Orphan };
        if let Some((reason, description)) = live.held.as_ref().and_then(|held| held.ended) {
            return Fate::Over(reason, description);
        }
        let Some(keepsake) = &mut live.keepsake else { return Fate::Orphan };
        let Some(past) = loss.past else { return Fate::Orphan };
        match number {
            // What it said proves more than its counts.
            NumberState::Adopting if under_way.adopt_unseen && !keepsake.is_seen() => Fate::Again,
            NumberState::Adopting => Fate::Poison,
            NumberState::Open | NumberState::Leaving => {
                let standing = keepsake.standing;
                // One that leaves in its own time is not brought down.
                let is_poison = keepsake.end_stay(now, loss.reason == CloseReason::AppServerLost);
                if is_poison {
                    Fate::Poison
                } else if under_way.in_doubt || standing.owes || standing.inside_packet {
                    Fate::InDoubt
                } else if is_rehomeable && !live.session.is_closed() && !loss.only_others {
                    Fate::Waits(past)
                } else {
                    Fate::Orphan
                }
            }
            NumberState::ClosedAdopting
            | NumberState::ClosedByPeer
            | NumberState::ClosedByUs
            | NumberState::ClosedUnanswered
            | NumberState::Free
            | NumberState::Opening => Fate::Orphan,
        }
    }

    /// Takes a session that will be closed out of the switchboard. With `past`, its sockets are
    /// kept for its client's return.
    fn leave_switchboard(&mut self, index: u32, past: Option<Past>, outcome: &'static str) {
        let parked = self.end_keepsake(index, past, outcome);
        let hub = usize::from(self.slots.at(index).hub);
        self.boards[hub].remove_session(SessionKey(index));
        // The clients of these posts see the end of the session.
        drop(parked);
    }

    /// Puts messages that the app server has not seen before everything that the session holds.
    fn give_back(&mut self, index: u32, unseen: VecDeque<(bool, Bytes)>) {
        if unseen.is_empty() {
            return;
        }
        if let Some(live) = self.slots.live(index) {
            live.held.get_or_insert_default().put_before(unseen);
        }
    }

    /// What was on its way to the app server, for each session of this shard.
    fn under_way(&self, gone: &ShardTrunk, remains: &Remains) -> HashMap<u32, UnderWay> {
        let mut found = HashMap::new();
        if !gone.trunk.own.rehome {
            return found;
        }
        for batch in &remains.doubtful {
            self.sort_out(batch.clone(), Begun::Yes, &mut found);
        }
        if let Some(batch) = &remains.ahead {
            self.sort_out(batch.clone(), Begun::Ahead, &mut found);
        }
        for batch in &remains.unbegun {
            self.sort_out(batch.clone(), Begun::No, &mut found);
        }
        self.sort_out(gone.trunk.with_outbox(Bytes::copy_from_slice), Begun::No, &mut found);
        self.sort_out(Bytes::copy_from_slice(&gone.out), Begun::No, &mut found);
        found
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other frame says anything new")]
    fn sort_out(&self, batch: Bytes, begun: Begun, found: &mut HashMap<u32, UnderWay>) {
        for frame in decode_batch(batch).map_while(Result::ok) {
            let Some(session) = frame.session() else { continue };
            if shard_of(session, self.shards) != usize::from(self.index) {
                continue;
            }
            let index = slot_of(session, self.shards);
            match frame {
                // What came before was for an earlier session with this number.
                Frame::Open(_) => {
                    found.remove(&index);
                }
                Frame::Adopt(_) => {
                    let adopt_unseen = begun != Begun::Yes;
                    found.insert(index, UnderWay { adopt_unseen, ..UnderWay::default() });
                }
                Frame::Message { binary, payload, .. } => {
                    let own = found.entry(index).or_default();
                    if begun != Begun::No {
                        own.in_doubt = true;
                    } else {
                        // A copy, because a slice would keep the whole batch.
                        own.unseen.push_back((binary, Bytes::copy_from_slice(&payload)));
                    }
                }
                _ => (),
            }
        }
    }

    /// Tries another app server for a handshake whose app server is gone; otherwise fails it.
    fn fail_orphaned_opening(&mut self, index: u32) {
        if self.try_elsewhere(index) {
            return;
        }
        let slot = self.slots.at(index);
        if let State::Opening(opening) = std::mem::replace(&mut slot.state, State::Ended) {
            let _ = opening.reply.send(Answer::Unavailable(Unavailable::NoAppServer));
        }
        self.note_refused(index, Unavailable::NoAppServer);
        self.release(index);
    }
}
