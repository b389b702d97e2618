//! Sessions whose ids the app made (`generateId`): such an id says nothing of its node, so the nodes
//! that have any are asked.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_mesh::PeerKey;

use super::Found;
use crate::reply::Reply;
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// The most questions per second: an id may be invented.
const PER_SECOND: u32 = 100;
/// The most questions that wait for their turn.
const WAITING_MAX: usize = 512;
/// The most questions that wait for a node which may have the session. For a moment those are all,
/// before the first session with such an id is known.
const LATER_MAX: usize = 8 * 1024;
/// The longest time that a question takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The time after which a first id of all may be known to all nodes.
const NEWS: Duration = Duration::from_millis(100);
/// For how long an answer is believed.
const NOBODY_HAS: Duration = Duration::from_secs(1);
/// The same from the last request for the session on: the node that has it says when it has ended.
const SOMEBODY_HAS: Duration = Duration::from_secs(60);
/// The shortest time between two log lines about nodes that do not answer.
const LINES_APART: Duration = Duration::from_secs(10);
/// The most answers that are kept.
const KNOWN_MAX: usize = 1 << 16;

/// A hub's number, and the app's id of a session.
pub(super) type Name = (u16, Box<str>);

/// The searches of this node.
#[derive(Debug, Default)]
pub(super) struct Finding {
    known: HashMap<Name, (Timestamp, Option<Sid>)>,
    /// The names of the sessions in `known`, by their sids' secrets.
    names: HashMap<[u8; 15], Name>,
    searches: HashMap<u32, Search>,
    by_name: HashMap<Name, u32>,
    /// Searches whose question has not been asked.
    waiting: VecDeque<u32>,
    /// Searches that are asked again when another node may be reached.
    later: Vec<u32>,
    /// The questions of the present second.
    second: (Timestamp, u32),
    timeouts: VecDeque<(Timestamp, u32)>,
    logged_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Search {
    begun: Timestamp,
    name: Name,
    replies: Vec<Reply<Found>>,
    /// The nodes that have not answered.
    asked: Vec<PeerKey>,
    /// The nodes that may have the session and could not be asked, or went before they had answered.
    silent: Vec<PeerKey>,
    /// The nodes that do not have the session.
    denied: Vec<PeerKey>,
    /// Whether a node has said of no such session yet: it may have had its first a moment ago.
    is_untold: bool,
}

impl Finding {
    /// Begins a search with this number, unless the answer is known or a search is under way.
    pub(super) fn search(&mut self, now: Timestamp, id: u32, name: Name, reply: Reply<Found>) {
        if let Some((until, found)) = self.known.get_mut(&name)
            && now < *until
        {
            if found.is_some() {
                // Whoever is here often needs no second search, however many ids others invent.
                *until = now + SOMEBODY_HAS;
            }
            let _ = reply.send(Ok(*found));
            return;
        }
        if let Some(search) = self.by_name.get(&name).and_then(|id| self.searches.get_mut(id)) {
            search.replies.push(reply);
            return;
        }
        if self.waiting.len() >= WAITING_MAX || self.later.len() >= LATER_MAX {
            let _ = reply.send(Err(Unavailable::MeshDown));
            return;
        }
        self.by_name.insert(name.clone(), id);
        let (asked, silent, denied) = (Vec::new(), Vec::new(), Vec::new());
        let (begun, replies, is_untold) = (now, vec![reply], false);
        let search = Search { begun, name, replies, asked, silent, denied, is_untold };
        self.searches.insert(id, search);
        self.waiting.push_back(id);
        self.timeouts.push_back((now + ANSWER_TIMEOUT, id));
    }

    /// The next search whose question may be asked now, and its name.
    pub(super) fn next_question(&mut self, now: Timestamp) -> Option<(u32, Name)> {
        let (since, count) = &mut self.second;
        if now.since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        if *count >= PER_SECOND {
            return None;
        }
        while let Some(id) = self.waiting.pop_front() {
            if let Some(search) = self.searches.get(&id) {
                *count += 1;
                return Some((id, search.name.clone()));
            }
        }
        None
    }

    /// Of the nodes that may have the session of a search, those that have not said no.
    pub(super) fn not_denied(&self, id: u32, mut peers: Vec<PeerKey>) -> Vec<PeerKey> {
        if let Some(search) = self.searches.get(&id) {
            peers.retain(|peer| !search.denied.contains(peer));
        }
        peers
    }

    /// Notes which nodes were asked, and which cannot be now; and whether there are others, which have
    /// no such sessions as far as is known. True: some are to be asked later.
    pub(super) fn asked(
        &mut self,
        now: Timestamp,
        id: u32,
        (asked, silent): (Vec<PeerKey>, Vec<PeerKey>),
        is_untold: bool,
    ) -> bool {
        if asked.is_empty() {
            self.second.1 = self.second.1.saturating_sub(1); // It cost nobody anything.
        }
        let Some(search) = self.searches.get_mut(&id) else { return false };
        (search.asked, search.silent, search.is_untold) = (asked, silent, is_untold);
        if search.asked.is_empty() {
            self.end(now, id);
        }
        self.has_later()
    }

    /// Lets a search wait until the node has joined, or has its bus again.
    pub(super) fn ask_later(&mut self, id: u32) {
        self.second.1 = self.second.1.saturating_sub(1);
        self.later.push(id);
    }

    pub(super) fn has_later(&self) -> bool {
        !self.later.is_empty()
    }

    /// Asks for the searches that wait for a node.
    pub(super) fn ask_again(&mut self) {
        for id in std::mem::take(&mut self.later).into_iter().rev() {
            self.waiting.push_front(id);
        }
    }

    pub(super) fn answered(&mut self, now: Timestamp, peer: PeerKey, id: u32, found: Option<Sid>) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        let Some(place) = search.asked.iter().position(|asked| *asked == peer) else { return };
        search.denied.push(search.asked.swap_remove(place));
        if found.is_some() {
            self.reply(now, id, Ok(found));
        } else if search.asked.is_empty() {
            self.end(now, id);
        }
    }

    pub(super) fn peer_gone(&mut self, now: Timestamp, peer: PeerKey) {
        let of_peer = self.searches.iter_mut().filter_map(|(id, search)| {
            let place = search.asked.iter().position(|asked| *asked == peer)?;
            search.silent.push(search.asked.swap_remove(place));
            search.asked.is_empty().then_some(*id)
        });
        let mut ids: Vec<u32> = of_peer.collect();
        ids.sort_unstable();
        for id in ids {
            self.end(now, id);
        }
    }

    /// Forgets where a session is: it has ended, and the app may give its id to another one.
    pub(super) fn forget(&mut self, sid: &Sid) {
        if let Some(name) = self.names.remove(&sid.secret.0) {
            self.known.remove(&name);
        }
    }

    /// Gives up searches that take too long. Returns nodes that did not answer, for a log line that
    /// is due.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Option<Vec<PeerKey>> {
        let mut silent = None;
        while let Some((_, id)) = self.timeouts.pop_front_if(|(until, _)| *until <= now) {
            let Some(search) = self.searches.get_mut(&id) else { continue };
            search.silent.append(&mut search.asked);
            let is_due = self.logged_at.is_none_or(|at| now.since(at) >= LINES_APART);
            if is_due && !search.silent.is_empty() {
                self.logged_at = Some(now);
                silent = Some(search.silent.clone());
            }
            self.reply(now, id, Err(Unavailable::MeshDown));
        }
        silent
    }

    /// The next time at which something is to be done here.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let next_second = self.second.0 + Duration::from_secs(1);
        // Below the limit, nothing waits.
        let waits = (!self.waiting.is_empty()).then_some(next_second);
        let timeout = self.timeouts.front().map(|(until, _)| *until);
        [waits, timeout].into_iter().flatten().min()
    }

    /// All that could be asked do not have the session: nobody has it, or others are asked later.
    fn end(&mut self, now: Timestamp, id: u32) {
        let Some(search) = self.searches.get(&id) else { return };
        // There may be somebody else to ask in a moment.
        let may_be_others = search.denied.is_empty() || search.is_untold;
        let is_early = may_be_others && now < search.begun + NEWS;
        if search.silent.is_empty() && !is_early {
            self.reply(now, id, Ok(None));
        } else {
            self.later.push(id);
        }
    }

    fn reply(&mut self, now: Timestamp, id: u32, found: Found) {
        let Some(search) = self.searches.remove(&id) else { return };
        self.by_name.remove(&search.name);
        for reply in search.replies {
            let _ = reply.send(found);
        }
        let Ok(found) = found else { return };
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, (until, _)| now < *until);
            let known = &self.known;
            self.names.retain(|_, name| known.contains_key(name));
        }
        if self.known.len() < KNOWN_MAX {
            if let Some(sid) = found {
                self.names.insert(sid.secret.0, search.name.clone());
            }
            let keep = if found.is_some() { SOMEBODY_HAS } else { NOBODY_HAS };
            self.known.insert(search.name, (now + keep, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply;

    #[test]
    fn searches_that_wait_for_a_node_are_bounded() {
        let mut finding = Finding::default();
        let now = Timestamp::from_micros(0);
        let begin = |finding: &mut Finding, id: u32| {
            let (reply, answer) = reply::pair();
            finding.search(now, id, (0, id.to_string().into()), reply);
            answer
        };
        let mut kept = Vec::new();
        for id in 0..LATER_MAX as u32 {
            kept.push(begin(&mut finding, id));
            // No node can be asked at present.
            let (question, _) = finding.next_question(now).expect("a turn");
            finding.ask_later(question);
        }
        let mut refused = begin(&mut finding, u32::MAX);
        assert!(matches!(refused.try_recv(), Ok(Err(Unavailable::MeshDown))));
        assert!(kept.iter_mut().all(|answer| answer.try_recv().is_err()), "they wait");
    }
}
