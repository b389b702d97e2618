//! What must hold of links: frames arrive once and in order, or the link ends.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use trunkline_mesh::{DeathCause, Event, Frame, Lane, LinkEnd, PeerKey, RequestId};

use super::Seen;

/// One end's view of a link.
#[derive(Debug, Default)]
struct End {
    joined: bool,
    up: bool,
    /// How many links this end has opened.
    links: u64,
    /// Frames sent on the present one, on each lane.
    sent: [u64; 2],
    /// The link, as the other end counts it, that frames came on.
    from_link: Option<u64>,
    last_link: Option<u64>,
    /// Frames received on the present link, on each lane.
    received: [u64; 2],
}

/// By this end's life, then the other end's.
#[derive(Debug, Default)]
pub struct Oracle {
    ends: BTreeMap<(u64, u64), End>,
}

const fn lane_at(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Bulk => 1,
    }
}

impl Oracle {
    fn end(&mut self, own: u64, peer: PeerKey) -> &mut End {
        self.ends.entry((own, peer.incarnation)).or_default()
    }

    /// The next frame that this end sends on a lane.
    pub fn next_frame(&mut self, own: u64, peer: PeerKey, lane: Lane, filler: usize) -> Frame {
        let end = self.end(own, peer);
        let mut body = BytesMut::with_capacity(17 + filler);
        body.put_u64(end.links);
        body.put_u64(end.sent[lane_at(lane)]);
        body.put_u8(lane_at(lane) as u8);
        body.put_bytes(0x5a, filler);
        Frame::PostBody { id: RequestId(filler as u32), binary: true, body: body.freeze() }
    }

    /// The mesh has taken it.
    pub fn sent(&mut self, own: u64, peer: PeerKey, lane: Lane) {
        let end = self.end(own, peer);
        assert!(end.up, "a frame was taken although the link is not open");
        end.sent[lane_at(lane)] += 1;
    }

    pub fn observe(&mut self, own: u64, event: &Event, seen: &mut Seen, trace: &mut DefaultHasher) {
        match event {
            Event::Frame { from, frame } => {
                seen.frames += 1;
                self.receive(own, *from, frame);
                frame.id().hash(trace);
            }
            Event::Joined(member) => {
                let end = self.end(own, member.key);
                assert!(!std::mem::replace(&mut end.joined, true), "joined twice");
                seen.returned += u64::from(end.links > 0);
                (1, member.key).hash(trace);
            }
            Event::LinkUp(peer) => {
                let end = self.end(own, *peer);
                assert!(end.joined, "a link to a peer that has not joined");
                assert!(!std::mem::replace(&mut end.up, true), "a link opened twice");
                end.links += 1;
                end.sent = [0; 2];
                (2, peer).hash(trace);
            }
            Event::LinkEnded { peer, cause } => {
                let end = self.end(own, *peer);
                assert!(std::mem::take(&mut end.up), "a link ended that was not open");
                end.last_link = end.from_link.take().or(end.last_link);
                end.received = [0; 2];
                match cause {
                    LinkEnd::Unanswered => seen.unanswered += 1,
                    LinkEnd::ByPeer(_) => seen.ended_by_peer += 1,
                    LinkEnd::Reopened => seen.reopened += 1,
                    LinkEnd::Broken(_) | LinkEnd::Misbehaved => panic!("{cause}"),
                    LinkEnd::Left | LinkEnd::Silent | LinkEnd::Unreachable => {}
                }
                (3, peer).hash(trace);
            }
            Event::Dead { member, cause } => {
                let end = self.end(own, member.key);
                assert!(!end.up, "a dead peer has a link");
                assert!(std::mem::take(&mut end.joined), "a peer died that had not joined");
                seen.deaths += 1;
                match cause {
                    DeathCause::Unreachable => seen.unreachable += 1,
                    DeathCause::Replaced => seen.replaced += 1,
                    DeathCause::Silent => {}
                }
                (4, member.key).hash(trace);
            }
            Event::Left(member) => {
                let end = self.end(own, member.key);
                assert!(!end.up, "a peer that left has a link");
                assert!(std::mem::take(&mut end.joined), "a peer left that had not joined");
                seen.left += 1;
                (5, member.key).hash(trace);
            }
            Event::Suspect(peer) => {
                assert!(self.end(own, *peer).up, "a suspect without a link");
                seen.suspects += 1;
                (6, peer).hash(trace);
            }
            Event::Renumbered { from, to } => {
                assert_ne!(from, to);
                seen.renumbered += 1;
                (7, from, to).hash(trace);
            }
            Event::Stranger(stranger) => panic!("{stranger}"),
            Event::DiffersInHubs(member) => panic!("{member:?}"),
            Event::BusUp
            | Event::BusDown { .. }
            | Event::Ready { .. }
            | Event::Changed(_)
            | Event::Trusted(_) => {}
        }
    }

    fn receive(&mut self, own: u64, from: PeerKey, frame: &Frame) {
        let Frame::PostBody { body, id, .. } = frame else { panic!("nobody sent {frame:?}") };
        let mut fields: Bytes = body.clone();
        let (link, number, lane) = (fields.get_u64(), fields.get_u64(), fields.get_u8());
        assert_eq!(fields.len(), id.0 as usize, "a frame lost bytes");
        let end = self.end(own, from);
        assert!(end.up, "a frame without a link");
        assert_eq!(*end.from_link.get_or_insert(link), link, "frames of two links on one");
        assert!(end.last_link < Some(link), "a frame of an earlier link");
        let received = &mut end.received[usize::from(lane)];
        assert_eq!(number, *received, "frame {number} of {from:?} came when {received} was next");
        *received += 1;
    }

    /// In the end all that was sent on the present links has arrived.
    pub fn judge(&self, lives: &[u64]) {
        for own in lives {
            for peer in lives.iter().filter(|peer| *peer != own) {
                let (Some(here), Some(there)) =
                    (self.ends.get(&(*own, *peer)), self.ends.get(&(*peer, *own)))
                else {
                    panic!("{own:x} and {peer:x} never met");
                };
                assert!(here.up && here.joined, "{own:x} has no link to {peer:x}");
                assert_eq!(here.sent, there.received, "frames of {own:x} to {peer:x} are missing");
                if here.sent != [0; 2] {
                    assert_eq!(there.from_link, Some(here.links));
                }
            }
        }
    }
}
