//! What the meshes of a fleet report, and what follows from it for the requests of clients.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use trunkline_clock::Timestamp;
use trunkline_mesh::{Event, LinkEnd, Mesh};

use crate::cluster::{Relayed, Witness};

/// What a mesh has reported and nobody has looked at.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<Vec<Event>>);

impl News {
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps what a mesh reports.
#[derive(Debug)]
pub(super) struct Observer(pub(super) std::sync::Arc<News>);

impl Witness for Observer {
    fn saw(&mut self, _: Timestamp, _: &Mesh, event: &Event) {
        if !matches!(event, Event::Frame { .. }) {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        }
    }

    fn looked(&mut self, _: Timestamp, _: &Mesh, _: &Relayed) {}
}

/// What one life of a node knows of the others: times at which links ended, and who has ids that the
/// app made.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Since when another life is known to have such ids.
    own_ids: BTreeMap<u64, Timestamp>,
    /// The end of each link, with the other end's life.
    pub(super) ended: Vec<(Timestamp, u64)>,
}

impl Facts {
    /// Takes notice of what the mesh has reported at this time. Returns words for the trace.
    pub(super) fn learn(&mut self, now: Timestamp, event: &Event) -> &'static str {
        if let Event::Joined(member) | Event::Changed(member) = event
            && member.load.own_sids
        {
            self.own_ids.entry(member.key.incarnation).or_insert(now);
        }
        match event {
            Event::LinkEnded { peer, cause } => {
                assert!(
                    !matches!(cause, LinkEnd::Broken(_) | LinkEnd::Misbehaved),
                    "no node breaks the protocol: {cause}"
                );
                self.ended.push((now, peer.incarnation));
                "link ended"
            }
            Event::BusUp => "bus up",
            Event::BusDown { .. } => "bus down",
            Event::Ready { .. } => "ready",
            Event::Renumbered { .. } => "renumbered",
            Event::Joined(_) => "joined",
            Event::Changed(_) => "changed",
            Event::Suspect(_) => "suspect",
            Event::Trusted(_) => "trusted",
            Event::Dead { .. } => "dead",
            Event::Left(_) => "left",
            Event::LinkUp(_) => "link up",
            Event::Frame { .. } => "frame",
            Event::Stranger(stranger) => panic!("{stranger}"),
            Event::DiffersInHubs(member) => panic!("{member:?}"),
        }
    }

    /// Whether that life was known at this time to have ids that the app made.
    pub(super) fn knew_own_ids(&self, incarnation: u64, at: Timestamp) -> bool {
        self.own_ids.get(&incarnation).is_some_and(|since| *since <= at)
    }

    /// Whether the link to that life has ended since then.
    pub(super) fn has_lost(&self, incarnation: u64, since: Timestamp) -> bool {
        self.ended.iter().any(|(at, life)| *life == incarnation && *at >= since)
    }

    /// Whether any link has ended since then.
    pub(super) fn has_lost_any(&self, since: Timestamp) -> bool {
        self.ended.iter().any(|(at, _)| *at >= since)
    }
}
