//! App servers by key: one key for each app server, the same for all of its trunks.

use std::collections::HashMap;

use trunkline_switchboard::ServerKey;

use super::{Hub, locked};

/// The keys of app servers that are in use.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_id: HashMap<Box<str>, Known>,
    next: u32,
}

#[derive(Debug)]
struct Known {
    key: ServerKey,
    trunks: usize,
}

impl Servers {
    fn enter(&mut self, id: &str) -> ServerKey {
        if let Some(known) = self.by_id.get_mut(id) {
            known.trunks += 1;
            return known.key;
        }
        let key = ServerKey(self.next);
        self.next = self.next.wrapping_add(1);
        self.by_id.insert(id.into(), Known { key, trunks: 1 });
        key
    }

    fn leave(&mut self, id: &str) {
        let Some(known) = self.by_id.get_mut(id) else { return };
        known.trunks -= 1;
        if known.trunks == 0 {
            self.by_id.remove(id);
        }
    }
}

impl Hub {
    /// The key of an app server. It stays the same while any user of one of its trunks holds it.
    pub(crate) fn enter_server(&self, id: &str) -> ServerKey {
        locked(&self.servers).enter(id)
    }

    /// Releases a key: one user of the app server's trunks has ended.
    pub(crate) fn leave_server(&self, id: &str) {
        locked(&self.servers).leave(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_server_keeps_its_key_while_a_trunk_of_it_is_known() {
        let mut servers = Servers::default();
        let first = servers.enter("a");
        assert_ne!(servers.enter("b"), first);
        assert_eq!(servers.enter("a"), first, "its next trunk came before the last was gone");
        servers.leave("a");
        assert_eq!(servers.enter("a"), first);
        servers.leave("a");
        servers.leave("a");
        assert_eq!(servers.by_id.len(), 1, "nothing is kept of one that is gone");
        assert_ne!(servers.enter("a"), first, "nobody is left who would take it for the same");
    }
}
