//! Sessions whose ids the app made (`generateId`): such an id says nothing of its node, so the nodes
//! that have any are asked.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_mesh::PeerKey;

use crate::reply::Reply;
use crate::sid::Sid;

/// The most questions per second: an id may be invented.
const PER_SECOND: u32 = 100;
/// The most questions that wait for their turn.
const WAITING_MAX: usize = 512;
/// The longest time that a question takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The time after which a first id may be known to all nodes.
const NEWS: Duration = Duration::from_millis(100);
/// For how long an answer is believed.
const NOBODY_HAS: Duration = Duration::from_secs(1);
const SOMEBODY_HAS: Duration = Duration::from_secs(60);
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
    waiting: VecDeque<(Timestamp, u32)>,
    /// The questions of the present second.
    second: (Timestamp, u32),
    timeouts: VecDeque<(Timestamp, u32)>,
}

#[derive(Debug)]
struct Search {
    name: Name,
    replies: Vec<Reply<Option<Sid>>>,
    /// The nodes that have not answered.
    asked: Vec<PeerKey>,
    /// Whether it was looked at once already when no node had such ids.
    looked: bool,
}

impl Finding {
    /// Begins a search with this number, unless the answer is known or a search is under way.
    pub(super) fn search(
        &mut self,
        now: Timestamp,
        id: u32,
        name: Name,
        reply: Reply<Option<Sid>>,
    ) {
        if let Some((until, found)) = self.known.get(&name)
            && now < *until
        {
            let _ = reply.send(*found);
            return;
        }
        if let Some(search) = self.by_name.get(&name).and_then(|id| self.searches.get_mut(id)) {
            search.replies.push(reply);
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            let _ = reply.send(None);
            return;
        }
        self.by_name.insert(name.clone(), id);
        let search = Search { name, replies: vec![reply], asked: Vec::new(), looked: false };
        self.searches.insert(id, search);
        self.waiting.push_back((now, id));
        self.timeouts.push_back((now + ANSWER_TIMEOUT, id));
    }

    /// The next search whose question may be asked now, and its name.
    pub(super) fn next_question(&mut self, now: Timestamp) -> Option<(u32, Name)> {
        let (at, _) = self.waiting.front()?;
        if now < *at {
            return None;
        }
        let (since, count) = &mut self.second;
        if now.since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        if *count >= PER_SECOND {
            return None;
        }
        *count += 1;
        let (_, id) = self.waiting.pop_front()?;
        let name = self.searches.get(&id).map(|search| search.name.clone());
        name.map(|name| (id, name)).or_else(|| self.next_question(now))
    }

    /// Notes which nodes were asked; with none of them there may be one in a moment.
    pub(super) fn asked(&mut self, now: Timestamp, id: u32, peers: Vec<PeerKey>) {
        if peers.is_empty() {
            self.second.1 = self.second.1.saturating_sub(1); // It cost nobody anything.
        }
        let Some(search) = self.searches.get_mut(&id) else { return };
        if peers.is_empty() && !std::mem::replace(&mut search.looked, true) {
            self.waiting.push_back((now + NEWS, id));
            return;
        }
        search.asked = peers;
        if search.asked.is_empty() {
            self.end(now, id, None, Some(NOBODY_HAS));
        }
    }

    pub(super) fn answered(&mut self, now: Timestamp, peer: PeerKey, id: u32, found: Option<Sid>) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        let Some(place) = search.asked.iter().position(|asked| *asked == peer) else { return };
        search.asked.swap_remove(place);
        match found {
            Some(_) => self.end(now, id, found, Some(SOMEBODY_HAS)),
            None if search.asked.is_empty() => self.end(now, id, None, Some(NOBODY_HAS)),
            None => (),
        }
    }

    pub(super) fn peer_gone(&mut self, now: Timestamp, peer: PeerKey) {
        let asked: Vec<u32> = self
            .searches
            .iter()
            .filter(|(_, one)| one.asked.contains(&peer))
            .map(|(id, _)| *id)
            .collect();
        for id in asked {
            self.answered(now, peer, id, None);
        }
    }

    /// Forgets where a session is: it has ended, and the app may give its id to another one.
    pub(super) fn forget(&mut self, sid: &Sid) {
        if let Some(name) = self.names.remove(&sid.secret.0) {
            self.known.remove(&name);
        }
    }

    /// Gives up searches that take too long.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((_, id)) = self.timeouts.pop_front_if(|(until, _)| *until <= now) {
            self.end(now, id, None, None);
        }
    }

    /// The next time at which something is to be done here.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let next_second = self.second.0 + Duration::from_secs(1);
        let waits = self
            .waiting
            .front()
            .map(|(at, _)| if self.second.1 < PER_SECOND { *at } else { next_second.max(*at) });
        let timeout = self.timeouts.front().map(|(until, _)| *until);
        [waits, timeout].into_iter().flatten().min()
    }

    fn end(&mut self, now: Timestamp, id: u32, found: Option<Sid>, keep: Option<Duration>) {
        let Some(search) = self.searches.remove(&id) else { return };
        self.by_name.remove(&search.name);
        for reply in search.replies {
            let _ = reply.send(found);
        }
        let Some(keep) = keep else { return };
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, (until, _)| now < *until);
            let known = &self.known;
            self.names.retain(|_, name| known.contains_key(name));
        }
        if self.known.len() < KNOWN_MAX {
            if let Some(sid) = found {
                self.names.insert(sid.secret.0, search.name.clone());
            }
            self.known.insert(search.name, (now + keep, found));
        }
    }
}
