//! Requests that arrived at this node for sessions of others: who waits for which answer.

mod posts;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use trunkline_clock::Timestamp;
use trunkline_engineio::HandshakeError;
use trunkline_mesh::{Frame, PeerKey, RequestId, Str};

use super::wire;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::reply::Reply;
use crate::shard::{
    Answer, Asked, Flight, Flights, Inspected, POST_BROKEN, PostBegun, Refusal, SlotKey,
};
use crate::sid::Sid;
use crate::unavailable::Unavailable;

/// The longest time for which a request waits until its owner can be reached.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The time for which an answered poll is remembered, in case its client turns out to be gone.
const LATE: Duration = Duration::from_secs(5);
/// The most answered polls that are remembered.
const LATE_MAX: usize = 1 << 16;
/// The most sessions that are remembered because their number alone does not name their node.
const HOMES_MAX: usize = 1 << 16;
/// Answers of this length are counted for their client until it has read them.
const COUNTED_BYTES_MIN: usize = 16 * 1024;
/// The numbers of requests that are no polls; those of polls begin with the number of their shard.
const OTHERS: u32 = 0xff << 24;

/// The requests of this node's clients for sessions of other nodes.
#[derive(Debug, Default)]
pub(super) struct Asking {
    open: HashMap<u32, Request>,
    /// Requests whose owner cannot be reached now, in the order in which they came.
    waiting: VecDeque<(Timestamp, u32)>,
    next_id: u32,
    /// The owners of sessions whose number several nodes have, by the sids' secrets.
    homes: HashMap<[u8; 15], PeerKey>,
    /// The owners of polls that were answered lately.
    late: HashMap<u32, PeerKey>,
    late_until: VecDeque<(Timestamp, u32)>,
    /// Answers that clients have not read yet, by session.
    unread: HashMap<[u8; 15], Arc<Flights>>,
    unread_looked_at: usize,
}

/// One request.
#[derive(Debug)]
struct Request {
    sid: Sid,
    /// The frame; after it was sent only if another node may have to be asked, or if only the
    /// beginning of the post was sent.
    frame: Option<Box<Frame>>,
    sent_to: Option<PeerKey>,
    /// The nodes with the number of the sid that have no such session.
    tried: Vec<PeerKey>,
    wants: Wants,
}

/// The one who waits.
#[derive(Debug)]
enum Wants {
    Poll(Reply<Answer>),
    PostBegun(Reply<PostBegun>),
    /// A client's body is being read; dropping this cuts it off.
    Posting {
        _cutter: Reply<()>,
    },
    Posted(Reply<Answer>),
    Inspected {
        hub: Arc<Hub>,
        reply: Reply<Result<Inspected, Answer>>,
    },
}

/// What an answer leaves to do.
#[derive(Debug)]
pub(super) enum Leaves {
    Nothing,
    /// The client has gone: its owner has to know.
    Tell(Frame),
}

impl Asking {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Begins a poll. `None`: it was answered at once.
    pub(super) fn poll(
        &mut self,
        asked: &Asked,
        hub: &Hub,
        poll: u32,
        reply: Reply<Answer>,
        unread_max: usize,
    ) -> Option<u32> {
        let unread = self.unread.get(&asked.sid.secret.0).map_or(0, |unread| unread.bytes());
        if unread >= unread_max || self.open.contains_key(&poll) {
            // A client that polls again and again without reading the answers.
            let _ = reply.send(Answer::Status(400));
            return None;
        }
        let (sid, hub, protocol) = wire::asked(asked, hub);
        let frame = Frame::Poll { id: RequestId(poll), sid, hub, protocol };
        self.insert(poll, asked.sid, frame, Wants::Poll(reply));
        Some(poll)
    }

    pub(super) fn inspect(
        &mut self,
        asked: &Asked,
        hub: &Arc<Hub>,
        reply: Reply<Result<Inspected, Answer>>,
    ) -> u32 {
        let id = self.free_id();
        let (sid, name, protocol) = wire::asked(asked, hub);
        let frame = Frame::Inspect { id: RequestId(id), sid, hub: name, protocol };
        self.insert(id, asked.sid, frame, Wants::Inspected { hub: Arc::clone(hub), reply });
        id
    }

    fn insert(&mut self, id: u32, sid: Sid, frame: Frame, wants: Wants) {
        let frame = Some(Box::new(frame));
        self.open.insert(id, Request { sid, frame, sent_to: None, tried: Vec::new(), wants });
    }

    pub(super) fn free_id(&mut self) -> u32 {
        loop {
            self.next_id = self.next_id.wrapping_add(1) & !OTHERS;
            let id = OTHERS | self.next_id;
            if !self.open.contains_key(&id) {
                return id;
            }
        }
    }

    /// The frame of a request that is not sent yet, and its session.
    pub(super) fn unsent(&self, id: u32) -> Option<(Sid, &Frame)> {
        let request = self.open.get(&id)?;
        if request.sent_to.is_some() {
            return None;
        }
        Some((request.sid, request.frame.as_deref()?))
    }

    /// Of the nodes that have the number of a sid, the next one to ask for a request.
    pub(super) fn next_owner(&self, id: u32, owners: &[PeerKey]) -> Option<PeerKey> {
        let request = self.open.get(&id)?;
        let untried = |peer: &PeerKey| !request.tried.contains(peer);
        let home = self.home_of(&request.sid, owners).filter(untried);
        home.or_else(|| owners.iter().copied().find(untried))
    }

    /// The node among `owners` that is known to have the session.
    pub(super) fn home_of(&self, sid: &Sid, owners: &[PeerKey]) -> Option<PeerKey> {
        self.homes.get(&sid.secret.0).copied().filter(|home| owners.contains(home))
    }

    /// Notes that a request was sent. `again`: its frame may be needed again.
    pub(super) fn is_sent(&mut self, id: u32, peer: PeerKey, again: bool) {
        if let Some(request) = self.open.get_mut(&id) {
            request.sent_to = Some(peer);
            if !again {
                request.frame = None;
            }
        }
    }

    /// This peer does not have the session of a request that was sent to it. True: another node may
    /// have it, so the request is unsent again.
    pub(super) fn is_unknown_at(&mut self, peer: PeerKey, id: u32) -> bool {
        let Some(request) = self.open.get_mut(&id) else { return false };
        if request.sent_to != Some(peer) {
            return false;
        }
        self.homes.remove(&request.sid.secret.0);
        if request.frame.is_none() {
            return false;
        }
        request.sent_to = None;
        request.tried.push(peer);
        true
    }

    /// This peer has the session of a request that others were asked before.
    pub(super) fn is_known_at(&mut self, peer: PeerKey, id: u32) {
        let Some(request) = self.open.get(&id) else { return };
        if request.sent_to == Some(peer) && !request.tried.is_empty() {
            if self.homes.len() >= HOMES_MAX {
                self.homes.clear();
            }
            self.homes.insert(request.sid.secret.0, peer);
        }
    }

    /// Ends the requests that were sent and not answered, because the bus is away. Returns what
    /// their owners have to know.
    pub(super) fn cut_off(&mut self) -> Vec<(PeerKey, Frame)> {
        let sent = self.open.extract_if(|_, request| request.sent_to.is_some());
        let mut told = Vec::new();
        for (id, request) in in_order(sent) {
            if let (Some(peer), Some(frame)) = (request.sent_to, request.end_of(RequestId(id))) {
                told.push((peer, frame));
            }
            request.fail(Unavailable::MeshDown);
        }
        told
    }

    /// Keeps a request until its owner can be reached.
    pub(super) fn wait(&mut self, now: Timestamp, id: u32) {
        self.waiting.push_back((now + PATIENCE, id));
    }

    /// The requests that wait, to try them again.
    pub(super) fn take_waiting(&mut self) -> VecDeque<(Timestamp, u32)> {
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn wait_until(&mut self, until: Timestamp, id: u32) {
        self.waiting.push_back((until, id));
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The client of a poll has gone. Returns what its owner has to know.
    pub(super) fn poll_gone(&mut self, poll: u32) -> Option<(PeerKey, Frame)> {
        let peer = match self.open.get(&poll).map(|request| &request.wants) {
            Some(Wants::Poll(_)) => self.open.remove(&poll)?.sent_to?,
            Some(_) => return None,
            // The answer was on its way to the client.
            None => self.late.remove(&poll)?,
        };
        Some((peer, Frame::PollGone { id: RequestId(poll) }))
    }

    /// Remembers the owner of a poll whose answer goes to its client.
    fn remember(&mut self, now: Timestamp, poll: u32, peer: PeerKey) {
        while let Some((until, poll)) = self.late_until.front().copied()
            && (until <= now || self.late_until.len() >= LATE_MAX)
        {
            self.late_until.pop_front();
            self.late.remove(&poll);
        }
        self.late.insert(poll, peer);
        self.late_until.push_back((now + LATE, poll));
    }

    /// The polls that wait at their owners.
    pub(super) fn held_polls(&self) -> Vec<(PeerKey, u32)> {
        let polls = self.open.iter().filter(|(_, one)| matches!(one.wants, Wants::Poll(_)));
        in_order(polls.filter_map(|(id, one)| Some((one.sent_to?, *id))))
    }

    /// The session of a request.
    pub(super) fn sid_of(&self, id: u32) -> Option<Sid> {
        self.open.get(&id).map(|request| request.sid)
    }

    /// Whether the request was sent to this peer: nobody else may answer it.
    fn take(&mut self, peer: PeerKey, id: u32) -> Option<Request> {
        let is_theirs = self.open.get(&id)?.sent_to == Some(peer);
        if is_theirs { self.open.remove(&id) } else { None }
    }

    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        (peer, id): (PeerKey, u32),
        answer: trunkline_mesh::Answer,
        metrics: &Metrics,
    ) -> Leaves {
        let Some(request) = self.take(peer, id) else { return Leaves::Nothing };
        let mut answer = wire::answer_from(answer);
        match request.wants {
            Wants::Poll(reply) => {
                let is_payload = matches!(answer, Answer::Payload(_));
                self.count_unread(&request.sid, id, &mut answer, metrics);
                let is_awaited = reply.send(answer).is_ok();
                if is_payload && !is_awaited {
                    return Leaves::Tell(Frame::PollGone { id: RequestId(id) });
                }
                if is_payload {
                    self.remember(now, id, peer);
                }
            }
            Wants::Posted(reply) => drop(reply.send(answer)),
            Wants::PostBegun(reply) => drop(reply.send(wire::begun_of(answer))),
            Wants::Inspected { reply, .. } => drop(reply.send(Err(answer))),
            Wants::Posting { .. } => (),
        }
        Leaves::Nothing
    }

    pub(super) fn inspected(
        &mut self,
        peer: PeerKey,
        id: u32,
        inspected: trunkline_mesh::Inspected,
    ) {
        let Some(request) = self.take(peer, id) else { return };
        let Wants::Inspected { hub, reply } = request.wants else { return };
        let _ = reply.send(match inspected {
            trunkline_mesh::Inspected::Found(found) => Ok(Inspected {
                key: key_of(id),
                owner: hub.trunk_of_server(&found.server),
                has_owner: !found.server.is_empty(),
                movable: found.movable == 0,
            }),
            trunkline_mesh::Inspected::Refused(refused) => {
                Err(Answer::Refused(wire::refusal_from(refused)))
            }
        });
    }

    /// Ends all requests to a peer whose link has ended.
    pub(super) fn peer_gone(&mut self, peer: PeerKey) {
        self.late.retain(|_, owner| *owner != peer);
        self.homes.retain(|_, home| *home != peer);
        let gone = self.open.extract_if(|_, request| request.sent_to == Some(peer));
        for (_, request) in in_order(gone) {
            request.fail(Unavailable::OwnerLost);
        }
    }

    /// Ends a request because its owner cannot be reached.
    pub(super) fn fail(&mut self, id: u32, why: Unavailable) {
        if let Some(request) = self.open.remove(&id) {
            request.fail(why);
        }
    }

    /// Ends a request because there is no such session.
    pub(super) fn refuse(&mut self, id: u32) {
        if let Some(request) = self.open.remove(&id) {
            request.refuse();
        }
    }

    /// Counts a long answer for its client until it is read.
    fn count_unread(&mut self, sid: &Sid, id: u32, answer: &mut Answer, metrics: &Metrics) {
        let Answer::Payload(payload) = answer else { return };
        if payload.body.len() < COUNTED_BYTES_MIN {
            return;
        }
        if self.unread.len() > 2 * self.unread_looked_at + 64 {
            self.unread.retain(|_, unread| Arc::strong_count(unread) > 1);
            self.unread_looked_at = self.unread.len();
        }
        let unread = self.unread.entry(sid.secret.0).or_default();
        let whose = (key_of(id), id);
        payload.flight = Some(Flight::new(unread, metrics, payload.body.len(), whose));
    }
}

impl Request {
    /// What the owner has to know when this node gives the request up.
    fn end_of(&self, id: RequestId) -> Option<Frame> {
        match self.wants {
            Wants::Poll(_) => Some(Frame::PollGone { id }),
            Wants::PostBegun(_) | Wants::Posting { .. } => {
                Some(Frame::PostGone { id, fault: Some(Str::from_static(POST_BROKEN)) })
            }
            Wants::Posted(_) | Wants::Inspected { .. } => None,
        }
    }

    fn fail(self, why: Unavailable) {
        match self.wants {
            Wants::Poll(reply) | Wants::Posted(reply) => {
                drop(reply.send(Answer::Unavailable(why)));
            }
            Wants::PostBegun(reply) => drop(reply.send(PostBegun::Unavailable(why))),
            Wants::Inspected { reply, .. } => drop(reply.send(Err(Answer::Unavailable(why)))),
            Wants::Posting { .. } => (),
        }
    }

    fn refuse(self) {
        let refusal = Refusal {
            error: HandshakeError::UnknownSid,
            context: format!(r#"{{"sid":"{}"}}"#, self.sid.encode()),
        };
        match self.wants {
            Wants::Poll(reply) | Wants::Posted(reply) => drop(reply.send(Answer::Refused(refusal))),
            Wants::PostBegun(reply) => drop(reply.send(PostBegun::Refused(refusal))),
            Wants::Inspected { reply, .. } => drop(reply.send(Err(Answer::Refused(refusal)))),
            Wants::Posting { .. } => (),
        }
    }
}

/// The same inputs lead to the same outputs, in the same order.
fn in_order<K: Copy + Ord, V>(entries: impl Iterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut entries: Vec<(K, V)> = entries.collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

/// The key by which this node's tasks name a request that another node serves.
fn key_of(id: u32) -> SlotKey {
    SlotKey { elsewhere: true, shard: 0, slot: id, generation: 0 }
}
