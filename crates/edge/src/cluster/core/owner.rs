//! The owner's part: requests of other nodes for sessions of this one.

use trunkline_clock::Timestamp;
use trunkline_mesh::{self as mesh, Frame, PeerKey, RequestId, Str};

use super::Core;
use crate::cluster::serving::Replied;
use crate::cluster::wire;
use crate::shard::{Asked, Command, POST_BROKEN};
use crate::sid::Sid;

impl Core {
    /// The request as a shard of this node takes it.
    pub(super) fn asked_here(
        &self,
        sid: mesh::Sid,
        hub: &str,
        protocol: u8,
    ) -> Result<Asked, mesh::Refused> {
        let unknown = |sid: &Sid| mesh::Refused {
            code: trunkline_engineio::HandshakeError::UnknownSid.code(),
            context: Str::from(format!(r#"{{"sid":"{}"}}"#, sid.encode())),
        };
        let Some(hub) = self.env.directory.by_name(hub) else {
            return Err(unknown(&Sid::from_bytes(sid.0)));
        };
        let asked = wire::asked_from(sid, &hub, protocol);
        let is_here =
            self.env.numbers.owns(asked.sid.node) && usize::from(asked.sid.shard) < self.shards;
        if is_here { Ok(asked) } else { Err(unknown(&asked.sid)) }
    }

    pub(super) fn reply(&mut self, now: Timestamp, peer: PeerKey, id: u32, replied: Replied) {
        let request = RequestId(id);
        match replied {
            Replied::Answered(answer) => self.answer(now, peer, id, wire::answer(answer)),
            Replied::Begun(begun) => {
                let (begun, wanted) = wire::begun(begun);
                if let Some((key, cut)) = wanted {
                    self.serving.posting((peer, id), key, cut);
                }
                self.send(now, peer, Frame::PostBegun { id: request, begun });
            }
            Replied::Cut => self.send(now, peer, Frame::Cut { id: request }),
            Replied::Uncut => (),
            Replied::Useless(key) => {
                let gone = Command::PostGone { key, fault: Some(POST_BROKEN) };
                self.to_shards.push_back((key.shard, gone));
            }
            Replied::Inspected(inspected) => match wire::inspected(inspected) {
                Some(inspected) => {
                    self.send(now, peer, Frame::Inspected { id: request, inspected });
                }
                None => self.answer(now, peer, id, mesh::Answer::Abort),
            },
        }
    }

    pub(super) fn answer(&mut self, now: Timestamp, peer: PeerKey, id: u32, answer: mesh::Answer) {
        self.send(now, peer, Frame::Answered { id: RequestId(id), answer });
    }
}
