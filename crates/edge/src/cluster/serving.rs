//! The requests of other nodes for sessions of this one: each becomes the command that an HTTP task
//! of this node would send, and the shard's answer goes back.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use trunkline_clock::Timestamp;
use trunkline_mesh::PeerKey;

use crate::reply::{self, Awaited};
use crate::shard::{Answer, Asked, Command, Inspected, POST_BROKEN, PostBegun, SlotKey, WholePost};
use crate::sid::Sid;

/// The time for which an answered poll is remembered, in case its client turns out to be gone: as
/// long as a datagram may be under way.
const LATE: Duration = Duration::from_secs(5);
/// The most answered polls that are remembered.
const LATE_MAX: usize = 1 << 16;
/// The upper bits of the numbers of relayed polls.
const POLLS: u32 = 0xff << 24;

/// A command for a shard of this node.
pub(crate) type ToShard = (u8, Command);

/// The requests that other nodes have under way here.
#[derive(Debug, Default)]
pub(super) struct Serving {
    peers: HashMap<PeerKey, BTreeMap<u32, Request>>,
    replies: FuturesUnordered<Waiting>,
    late: HashMap<(PeerKey, u32), (Sid, u32)>,
    late_until: VecDeque<(Timestamp, PeerKey, u32)>,
    next_poll: u32,
}

/// The state of one request.
#[derive(Debug)]
enum Request {
    Poll {
        sid: Sid,
        poll: u32,
    },
    PostBegin,
    /// The other node reads the body.
    Posting {
        key: SlotKey,
        cut: Arc<Mutex<Cut>>,
    },
    /// The shard handles the body.
    Body,
    Inspect,
}

/// What a shard has replied.
#[derive(Debug)]
pub(super) enum Replied {
    Answered(Answer),
    Begun(PostBegun),
    Cut,
    /// A post can no longer be cut off.
    Uncut,
    /// A post may begin that nobody waits for any longer.
    Useless(SlotKey),
    Inspected(Result<Inspected, Answer>),
}

impl Serving {
    /// The number of requests that are under way.
    pub(super) fn len(&self) -> usize {
        self.peers.values().map(BTreeMap::len).sum()
    }

    pub(super) fn poll(&mut self, (peer, id): (PeerKey, u32), asked: Asked) -> Option<ToShard> {
        let sid = asked.sid;
        self.next_poll = self.next_poll.wrapping_add(1) & !POLLS;
        let poll = POLLS | self.next_poll;
        let (reply, answer) = reply::pair();
        self.begin((peer, id), Request::Poll { sid, poll }, What::Answer(answer))?;
        Some((sid.shard, Command::Poll { asked, poll, reply }))
    }

    /// The client of a poll has gone, before or after the answer.
    pub(super) fn poll_gone(&mut self, (peer, id): (PeerKey, u32)) -> Option<ToShard> {
        let open = self.peers.get_mut(&peer).and_then(|open| open.remove(&id));
        let (sid, poll) = match open {
            Some(Request::Poll { sid, poll }) => (sid, poll),
            Some(_) => return None,
            None => self.late.remove(&(peer, id))?,
        };
        Some((sid.shard, Command::PollGone { sid, poll }))
    }

    /// The node of a poll stops.
    pub(super) fn poll_back(&self, (peer, id): (PeerKey, u32)) -> Option<ToShard> {
        let Request::Poll { sid, poll } = self.peers.get(&peer)?.get(&id)? else { return None };
        Some((sid.shard, Command::PollBack { sid: *sid, poll: *poll }))
    }

    pub(super) fn post_begin(
        &mut self,
        (peer, id): (PeerKey, u32),
        asked: Asked,
    ) -> Option<ToShard> {
        let (reply, begun) = reply::pair();
        self.begin((peer, id), Request::PostBegin, What::Begun(begun))?;
        Some((asked.sid.shard, Command::PostBegin { asked, reply }))
    }

    /// A post with its body.
    pub(super) fn post(
        &mut self,
        (peer, id): (PeerKey, u32),
        asked: Asked,
        (binary, body): (bool, Bytes),
    ) -> Option<ToShard> {
        let (reply, answer) = reply::pair();
        self.begin((peer, id), Request::Body, What::Answer(answer))?;
        let post = WholePost { asked, binary, body, reply };
        Some((asked.sid.shard, Command::Post(Box::new(post))))
    }

    /// The body of a post is complete.
    pub(super) fn post_body(
        &mut self,
        (peer, id): (PeerKey, u32),
        binary: bool,
        body: Bytes,
    ) -> Option<ToShard> {
        let request = self.peers.get_mut(&peer)?.get_mut(&id)?;
        let Request::Posting { key, cut } = request else { return None };
        let key = *key;
        // Later posts of the session no longer overlap with this one.
        Cut::forget(cut);
        *request = Request::Body;
        let (reply, answer) = reply::pair();
        self.replies.push(Waiting { peer, id, what: What::Answer(answer) });
        Some((key.shard, Command::PostBody { key, binary, body, reply }))
    }

    pub(super) fn post_gone(
        &mut self,
        (peer, id): (PeerKey, u32),
        fault: Option<&'static str>,
    ) -> Option<ToShard> {
        let request = self.peers.get_mut(&peer)?.remove(&id)?;
        request.abandon(fault)
    }

    pub(super) fn inspect(&mut self, (peer, id): (PeerKey, u32), asked: Asked) -> Option<ToShard> {
        let (reply, inspected) = reply::pair();
        self.begin((peer, id), Request::Inspect, What::Inspected(inspected))?;
        Some((asked.sid.shard, Command::Inspect { asked, reply }))
    }

    /// Ends all requests of a peer: nobody waits for them any longer.
    pub(super) fn peer_gone(&mut self, peer: PeerKey) -> Vec<ToShard> {
        self.late.retain(|(of, _), _| *of != peer);
        let open = self.peers.remove(&peer).unwrap_or_default();
        open.into_values().filter_map(|request| request.abandon(Some(POST_BROKEN))).collect()
    }

    /// The next reply of a shard to a request that is still under way.
    pub(super) fn poll_reply(
        &mut self,
        now: Timestamp,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(PeerKey, u32, Replied)>> {
        while let Some((peer, id, replied)) = ready!(self.replies.poll_next_unpin(cx)) {
            if let Some(replied) = self.take_reply(now, (peer, id), replied) {
                return Poll::Ready(Some((peer, id, replied)));
            }
        }
        Poll::Ready(None)
    }

    /// `None` when the request is over, or the reply says nothing.
    fn take_reply(
        &mut self,
        now: Timestamp,
        (peer, id): (PeerKey, u32),
        replied: Option<Replied>,
    ) -> Option<Replied> {
        let entry = self.peers.get_mut(&peer).map(|open| open.entry(id));
        let Some(Place::Occupied(open)) = entry else {
            // The shard keeps such a post until it hears that there will be no body.
            return match replied {
                Some(Replied::Begun(PostBegun::Wanted { key, .. })) => Some(Replied::Useless(key)),
                Some(_) | None => None,
            };
        };
        let replied = match (open.get(), replied) {
            (Request::Poll { .. } | Request::Body, Some(replied @ Replied::Answered(_)))
            | (Request::PostBegin, Some(replied @ Replied::Begun(_)))
            | (Request::Posting { .. }, Some(replied @ Replied::Cut))
            | (Request::Inspect, Some(replied @ Replied::Inspected(_))) => replied,
            // The shard gives no answer: it has stopped, or the session has ended.
            (
                Request::Poll { .. } | Request::PostBegin | Request::Body | Request::Inspect,
                None,
            ) => Replied::Answered(Answer::Abort),
            (_, Some(_)) | (Request::Posting { .. }, None) => return None,
        };
        if let Replied::Begun(PostBegun::Wanted { .. }) = &replied {
            return Some(replied);
        }
        if let (Request::Poll { sid, poll }, Replied::Answered(Answer::Payload(_))) =
            (open.get(), &replied)
        {
            let (sid, poll) = (*sid, *poll);
            open.remove();
            self.remember(now, (peer, id), (sid, poll));
        } else {
            open.remove();
        }
        Some(replied)
    }

    /// Waits until a post that has begun is cut off.
    pub(super) fn posting(&mut self, (peer, id): (PeerKey, u32), key: SlotKey, cut: Awaited<()>) {
        let cut = Arc::new(Mutex::new(Cut { awaited: Some(cut), waker: None }));
        let waiting = Waiting { peer, id, what: What::Cut(Arc::clone(&cut)) };
        if let Some(request) = self.peers.get_mut(&peer).and_then(|open| open.get_mut(&id)) {
            *request = Request::Posting { key, cut };
            self.replies.push(waiting);
        }
    }

    fn begin(&mut self, (peer, id): (PeerKey, u32), request: Request, what: What) -> Option<()> {
        let open = self.peers.entry(peer).or_default();
        if open.contains_key(&id) {
            return None; // A peer that uses a number twice gets no second answer.
        }
        open.insert(id, request);
        self.replies.push(Waiting { peer, id, what });
        Some(())
    }

    fn remember(&mut self, now: Timestamp, key: (PeerKey, u32), poll: (Sid, u32)) {
        while let Some((until, peer, id)) = self.late_until.front().copied()
            && (until <= now || self.late_until.len() >= LATE_MAX)
        {
            self.late_until.pop_front();
            self.late.remove(&(peer, id));
        }
        self.late.insert(key, poll);
        self.late_until.push_back((now + LATE, key.0, key.1));
    }
}

impl Request {
    /// Tells the shard that nobody waits for the answer.
    fn abandon(self, fault: Option<&'static str>) -> Option<ToShard> {
        match self {
            Self::Poll { sid, poll } => Some((sid.shard, Command::PollGone { sid, poll })),
            Self::Posting { key, cut } => {
                Cut::forget(&cut);
                Some((key.shard, Command::PostGone { key, fault }))
            }
            // The shard sees that its reply is no longer awaited, or needs no notice.
            Self::PostBegin | Self::Body | Self::Inspect => None,
        }
    }
}

/// The shard's way to cut a post off.
#[derive(Debug)]
struct Cut {
    /// `None` once the post can no longer be cut off.
    awaited: Option<Awaited<()>>,
    waker: Option<Waker>,
}

impl Cut {
    /// Only the cluster's thread has it: nobody waits here.
    fn of(cut: &Mutex<Self>) -> MutexGuard<'_, Self> {
        cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the shard at once that the post is no longer under way.
    fn forget(cut: &Mutex<Self>) {
        let mut cut = Self::of(cut);
        cut.awaited = None;
        if let Some(waker) = cut.waker.take() {
            waker.wake();
        }
    }
}

/// One reply that is awaited.
#[derive(Debug)]
struct Waiting {
    peer: PeerKey,
    id: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    Answer(Awaited<Answer>),
    Begun(Awaited<PostBegun>),
    Cut(Arc<Mutex<Cut>>),
    Inspected(Awaited<Result<Inspected, Answer>>),
}

impl Future for Waiting {
    /// `None`: there is no answer.
    type Output = (PeerKey, u32, Option<Replied>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replied = match &mut self.what {
            What::Answer(answer) => ready!(Pin::new(answer).poll(cx)).ok().map(Replied::Answered),
            What::Begun(begun) => ready!(Pin::new(begun).poll(cx)).ok().map(Replied::Begun),
            What::Inspected(found) => ready!(Pin::new(found).poll(cx)).ok().map(Replied::Inspected),
            What::Cut(cut) => {
                let mut cut = Cut::of(cut);
                match &mut cut.awaited {
                    None => Some(Replied::Uncut),
                    Some(awaited) => match Pin::new(awaited).poll(cx) {
                        Poll::Ready(_) => Some(Replied::Cut),
                        Poll::Pending => {
                            cut.waker = Some(cx.waker().clone());
                            return Poll::Pending;
                        }
                    },
                }
            }
        };
        Poll::Ready((self.peer, self.id, replied))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkline_engineio::Protocol;

    use super::*;
    use crate::shard::PostBounds;
    use crate::sid::SidSecret;

    #[test]
    fn a_post_that_is_granted_after_its_link_has_ended_is_given_back() {
        let mut serving = Serving::default();
        let peer = PeerKey { number: 1, incarnation: 1 };
        let sid = Sid { node: 1, shard: 0, slot: 3, secret: SidSecret([1; 15]) };
        let asked = Asked { sid, protocol: Protocol::V4, hub: 0 };
        let Some((_, Command::PostBegin { reply, .. })) = serving.post_begin((peer, 9), asked)
        else {
            panic!("the shard is asked");
        };
        assert!(serving.peer_gone(peer).is_empty());
        let (_cutter, cut) = reply::pair();
        let bounds = PostBounds { bytes_max: 1, chunks_max: 1, timeout: Duration::from_secs(1) };
        let key = SlotKey::here(0, 3, 0);
        let wanted = PostBegun::Wanted { key, bounds, jsonp: false, cut };
        assert!(reply.send(wanted).is_ok(), "it is too early for the shard to know");
        let mut cx = Context::from_waker(Waker::noop());
        let replied = serving.poll_reply(Timestamp::ORIGIN, &mut cx);
        let Poll::Ready(Some((_, 9, Replied::Useless(useless)))) = replied else {
            panic!("nobody tells the shard");
        };
        assert_eq!(useless, key);
    }

    #[test]
    fn a_post_whose_body_has_come_or_will_not_come_shows_its_shard_at_once_that_it_is_over() {
        for comes in [true, false] {
            let mut serving = Serving::default();
            let peer = PeerKey { number: 1, incarnation: 1 };
            let sid = Sid { node: 1, shard: 0, slot: 3, secret: SidSecret([1; 15]) };
            let asked = Asked { sid, protocol: Protocol::V4, hub: 0 };
            let Some((_, Command::PostBegin { reply: _reply, .. })) =
                serving.post_begin((peer, 9), asked)
            else {
                panic!("the shard is asked");
            };
            let (cutter, cut) = reply::pair();
            serving.posting((peer, 9), SlotKey::here(0, 3, 0), cut);
            assert!(!cutter.is_closed(), "it may be cut off");
            if comes {
                assert!(serving.post_body((peer, 9), false, Bytes::new()).is_some());
            } else {
                assert!(serving.post_gone((peer, 9), None).is_some());
            }
            assert!(cutter.is_closed(), "a later post does not overlap with it");
        }
    }
}
