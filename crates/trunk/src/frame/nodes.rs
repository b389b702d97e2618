//! The frames about the nodes of a cluster (section 14).

use crate::text::Str;
use crate::values::NodeState;

/// One node of the cluster: `node` in section 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedNode {
    /// The node's id, as in its `Welcome`.
    pub id: Str,
    /// The node's number in the cluster.
    pub number: u32,
    /// The address at which app servers reach the node. Empty: it has none of its own.
    pub url: Str,
    /// Whether the node stays.
    pub state: NodeState,
}
