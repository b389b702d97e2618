//! The nodes of the cluster, as app servers are told of them, and how many nodes share an app
//! server's sessions.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use trunkline_trunk::{Frame, ListedNode, NodeState};

use super::locked;
use crate::environment::Environment;

/// One node of the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterNode {
    /// Its id, as in its `Welcome`.
    pub id: String,
    /// Its number.
    pub number: u16,
    /// The address at which app servers reach it; empty when it has none of its own.
    pub url: String,
    /// Whether it stays.
    pub state: NodeState,
}

/// The list that all hubs of a node share. Empty: the node is alone, and nobody is told anything.
#[derive(Debug)]
pub(crate) struct NodeList {
    present: Mutex<Arc<[ClusterNode]>>,
    serving: AtomicU32,
}

impl Default for NodeList {
    fn default() -> Self {
        Self { present: Mutex::default(), serving: AtomicU32::new(1) }
    }
}

impl NodeList {
    fn set(&self, nodes: Vec<ClusterNode>) {
        let up = nodes.iter().filter(|node| node.state == NodeState::Up).count();
        self.serving.store(u32::try_from(up.max(1)).unwrap_or(u32::MAX), Ordering::Relaxed);
        *locked(&self.present) = nodes.into();
    }

    pub(crate) fn present(&self) -> Arc<[ClusterNode]> {
        Arc::clone(&locked(&self.present))
    }

    /// The number of nodes that give sessions to app servers; at least this one.
    pub(crate) fn serving(&self) -> u32 {
        self.serving.load(Ordering::Relaxed)
    }
}

/// Encodes the list, unless it is empty.
pub(crate) fn encode_nodes(nodes: &[ClusterNode], frames: &mut BytesMut) {
    if nodes.is_empty() {
        return;
    }
    let listed = |node: &ClusterNode| ListedNode {
        id: node.id.as_str().into(),
        number: node.number.into(),
        url: node.url.as_str().into(),
        state: node.state,
    };
    Frame::Nodes { nodes: nodes.iter().map(listed).collect() }.encode(frames);
}

/// The way to tell app servers of the nodes of the cluster.
#[derive(Clone, Debug)]
pub struct NodeListing(pub(crate) Arc<Environment>);

impl NodeListing {
    /// Replaces the list, in which this node is, too, and tells the app servers. Does nothing when
    /// it is the same.
    pub fn set(&self, nodes: Vec<ClusterNode>) {
        self.0.directory.set_nodes(nodes);
    }
}

impl super::Directory {
    pub(crate) fn set_nodes(&self, nodes: Vec<ClusterNode>) {
        if *self.nodes.present() == *nodes {
            return;
        }
        self.nodes.set(nodes);
        for trunk in self.all_trunks() {
            trunk.nodes_changed();
        }
    }
}
