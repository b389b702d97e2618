//! What the side doors learn: of the nodes, and what the same doors of other nodes say.

use trunkline_http::PeerNotice;
use trunkline_mesh::{Event, Frame, Member, PeerKey};

use super::Core;

fn known(member: &Member) -> PeerNotice {
    let mut numbers = vec![member.number];
    numbers.extend(&member.former_numbers);
    PeerNotice::Known { peer: member.key, name: member.node_id.clone(), numbers }
}

impl Core {
    /// Gives a frame to the side doors; returns one that is not theirs.
    pub(super) fn pass_to_doors(&self, peer: PeerKey, frame: Frame) -> Option<Frame> {
        let Frame::Door { id, door, hub, word } = frame else { return Some(frame) };
        self.notify(&PeerNotice::Word { peer, door, hub, number: id.0, word });
        None
    }

    pub(super) fn notify(&self, notice: &PeerNotice) {
        for door in &self.env.side_doors {
            door.notice(notice.clone());
        }
    }

    /// Tells the side doors what the mesh reports, as far as it concerns them.
    pub(super) fn notify_doors(&self, event: &Event) {
        if self.env.side_doors.is_empty() {
            return;
        }
        let notice = match event {
            Event::Ready { number } | Event::Renumbered { to: number, .. } => {
                let incarnation = self.mesh.identity().incarnation;
                PeerNotice::Own { incarnation, number: *number }
            }
            Event::Joined(member) | Event::Changed(member) => known(member),
            Event::LinkUp(peer) => {
                // It may have been dead, and forgotten.
                if let Some(member) = self.mesh.member(*peer) {
                    self.notify(&known(&member));
                }
                PeerNotice::Linked(*peer)
            }
            Event::LinkEnded { peer, .. } => PeerNotice::Unlinked(*peer),
            Event::Suspect(peer) => PeerNotice::Heard(*peer, false),
            Event::Trusted(peer) => PeerNotice::Heard(*peer, true),
            Event::BusUp => PeerNotice::Bus(true),
            Event::BusDown { .. } => PeerNotice::Bus(false),
            Event::Dead { member, .. } | Event::Left(member) => PeerNotice::Gone(member.key),
            Event::Frame { .. } | Event::Stranger(_) | Event::DiffersInHubs(_) => return,
        };
        self.notify(&notice);
    }
}
