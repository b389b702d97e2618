//! The shards that keep sockets for their return.

use std::collections::HashMap;

use super::{Hub, locked};

/// The shard that keeps a socket, by the socket's private id.
pub(super) type Keepers = HashMap<Box<str>, u8>;

impl Hub {
    /// Notes which shard keeps a socket from now on.
    pub(crate) fn kept_by(&self, pid: &str, shard: u8) {
        locked(&self.keepers).insert(pid.into(), shard);
    }

    /// Notes that a shard no longer keeps these sockets; another shard may keep them by now.
    pub(crate) fn forget_kept(&self, pids: &[Box<str>], shard: u8) {
        if pids.is_empty() {
            return;
        }
        let mut kept = locked(&self.keepers);
        for pid in pids {
            if kept.get(pid) == Some(&shard) {
                kept.remove(pid);
            }
        }
    }

    /// The shard that keeps a socket.
    pub(crate) fn keeper_of(&self, pid: &str) -> Option<u8> {
        locked(&self.keepers).get(pid).copied()
    }
}
