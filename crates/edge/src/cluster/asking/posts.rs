//! Posts for sessions of other nodes.

use trunkline_mesh::{Frame, PeerKey, RequestId, Str};

use super::{Asking, Leaves, Request, Wants, key_of};
use crate::cluster::wire;
use crate::hub::Hub;
use crate::reply::{self, Reply};
use crate::shard::{Answer, Asked, POST_BROKEN, PostBegun, WholePost, wanted_part};

impl Asking {
    pub(in crate::cluster) fn post_begin(
        &mut self,
        asked: &Asked,
        hub: &Hub,
        reply: Reply<PostBegun>,
    ) -> u32 {
        let id = self.free_id();
        let (sid, hub, protocol) = wire::asked(asked, hub);
        let frame = Frame::PostBegin { id: RequestId(id), sid, hub, protocol };
        self.insert(id, asked.sid, frame, Wants::PostBegun(reply));
        id
    }

    /// Begins a post whose body is there.
    pub(in crate::cluster) fn post(&mut self, post: WholePost, hub: &Hub) -> u32 {
        let WholePost { asked, binary, body, reply } = post;
        let id = self.free_id();
        let (sid, hub, protocol) = wire::asked(&asked, hub);
        let frame = Frame::Post { id: RequestId(id), sid, hub, protocol, binary, body };
        self.insert(id, asked.sid, frame, Wants::Posted(reply));
        id
    }

    /// The length of the body that a post keeps until it is sent: 0 for all other requests.
    pub(in crate::cluster) fn held_bytes(&self, id: u32) -> usize {
        let frame = self.open.get(&id).and_then(|request| request.frame.as_deref());
        if let Some(Frame::Post { body, .. }) = frame { body.len() } else { 0 }
    }

    /// The body of a post is complete.
    pub(in crate::cluster) fn post_body(
        &mut self,
        id: u32,
        reply: Reply<Answer>,
    ) -> Option<PeerKey> {
        let Some(request) = self.open.get_mut(&id) else {
            let _ = reply.send(Answer::Abort);
            return None;
        };
        request.wants = Wants::Posted(reply);
        request.sent_to
    }

    pub(in crate::cluster) fn post_gone(
        &mut self,
        id: u32,
        fault: Option<&'static str>,
    ) -> Option<(PeerKey, Frame)> {
        let peer = self.open.remove(&id)?.sent_to?;
        let fault = fault.map(Str::from_static);
        Some((peer, Frame::PostGone { id: RequestId(id), fault }))
    }

    pub(in crate::cluster) fn post_begun(
        &mut self,
        peer: PeerKey,
        id: u32,
        begun: trunkline_mesh::PostBegun,
    ) -> Leaves {
        let Some(request) = self.take(peer, id) else { return Leaves::Nothing };
        let reply = match request.wants {
            Wants::PostBegun(reply) => reply,
            Wants::Posted(_) => return self.post_wanted(id, request, begun),
            Wants::Poll(_) | Wants::Posting { .. } | Wants::Inspected { .. } => {
                return Leaves::Nothing;
            }
        };
        let (cutter, cut) = reply::pair();
        let begun = wire::begun_from(begun, key_of(id), cut);
        let is_wanted = matches!(begun, PostBegun::Wanted { .. });
        if reply.send(begun).is_err() {
            let fault = Some(Str::from_static(POST_BROKEN));
            let gone = Frame::PostGone { id: RequestId(id), fault };
            return if is_wanted { Leaves::Tell(gone) } else { Leaves::Nothing };
        }
        if is_wanted {
            let wants = Wants::Posting { _cutter: cutter };
            let sent_to = Some(peer);
            let tried = Vec::new();
            self.open.insert(id, Request { sid: request.sid, frame: None, sent_to, tried, wants });
        }
        Leaves::Nothing
    }

    /// The owner of a whole post is of an earlier version, and has got the beginning only.
    fn post_wanted(
        &mut self,
        id: u32,
        mut request: Request,
        begun: trunkline_mesh::PostBegun,
    ) -> Leaves {
        let Some(frame) = request.frame.take() else { return Leaves::Nothing };
        let Frame::Post { binary, body, .. } = *frame else { return Leaves::Nothing };
        let Wants::Posted(reply) = request.wants else { return Leaves::Nothing };
        let (_, cut) = reply::pair();
        let (bounds, is_form) = match wire::begun_from(begun, key_of(id), cut) {
            PostBegun::Wanted { bounds, jsonp, .. } => (bounds, jsonp),
            refused
            @ (PostBegun::Refused(_) | PostBegun::Status(_) | PostBegun::Unavailable(_)) => {
                let _ = reply.send(refused.into_answer());
                return Leaves::Nothing;
            }
        };
        let number = RequestId(id);
        Leaves::Tell(match wanted_part(body, bounds.bytes_max, is_form) {
            Ok(body) => {
                request.wants = Wants::Posted(reply);
                self.open.insert(id, request);
                Frame::PostBody { id: number, binary, body }
            }
            Err((answer, fault)) => {
                let _ = reply.send(answer);
                Frame::PostGone { id: number, fault: fault.map(Str::from_static) }
            }
        })
    }

    /// The owner cuts a post off.
    pub(in crate::cluster) fn cut(&mut self, peer: PeerKey, id: u32) {
        if let Some(request) = self.take(peer, id)
            && let Wants::Posted(reply) = request.wants
        {
            let _ = reply.send(Answer::Abort);
        }
    }
}
