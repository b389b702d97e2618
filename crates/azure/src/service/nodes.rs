//! What is known of the other nodes, for hubs that are created later.

use std::collections::BTreeMap;

use trunkline_http::PeerNotice;
use trunkline_mesh::PeerKey;

/// The last notices that still hold.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    own: Option<PeerNotice>,
    bus: bool,
    nodes: BTreeMap<PeerKey, Node>,
}

#[derive(Debug)]
struct Node {
    known: PeerNotice,
    linked: bool,
    heard: bool,
}

impl Nodes {
    pub(super) fn note(&mut self, notice: &PeerNotice) {
        match notice {
            PeerNotice::Own { .. } => self.own = Some(notice.clone()),
            PeerNotice::Bus(bus) => self.bus = *bus,
            PeerNotice::Known { peer, .. } => {
                let known = || Node { known: notice.clone(), linked: false, heard: true };
                self.nodes.entry(*peer).or_insert_with(known).known = notice.clone();
            }
            PeerNotice::Linked(peer) => self.change(*peer, |node| {
                (node.linked, node.heard) = (true, true);
            }),
            PeerNotice::Unlinked(peer) => self.change(*peer, |node| node.linked = false),
            PeerNotice::Heard(peer, heard) => self.change(*peer, |node| node.heard = *heard),
            PeerNotice::Gone(peer) => {
                self.nodes.remove(peer);
            }
            PeerNotice::Dropped { .. } | PeerNotice::Word { .. } => (), // Of one hub.
        }
    }

    fn change(&mut self, peer: PeerKey, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(&peer) {
            change(node);
        }
    }

    /// Everything that a new hub must learn, in order.
    pub(super) fn notices(&self) -> impl Iterator<Item = PeerNotice> {
        let nodes = self.nodes.iter().flat_map(|(&peer, node)| {
            let linked = node.linked.then_some(PeerNotice::Linked(peer));
            let heard = (!node.heard).then_some(PeerNotice::Heard(peer, false));
            [Some(node.known.clone()), linked, heard]
        });
        let all = [self.own.clone(), Some(PeerNotice::Bus(self.bus))];
        all.into_iter().chain(nodes).flatten()
    }
}
