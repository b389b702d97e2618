//! Clients of lost app servers. They are closed at a limited rate, because all of them reconnect at
//! once.

use std::time::Duration;

use trunkline_switchboard::ServerKey;

use super::Hub;
use super::client::{ClientKey, Phase};

impl Hub {
    /// Marks all clients of an app server for closing.
    pub(super) fn orphan_all_of(&mut self, key: ServerKey) {
        let clients: Vec<ClientKey> = self
            .clients
            .iter()
            .filter(|(_, client)| client.server == key && client.is_open())
            .map(|(&client, _)| client)
            .collect();
        let opening: Vec<ClientKey> = self
            .clients
            .iter()
            .filter(|(_, client)| {
                client.server == key && matches!(client.phase, Phase::Opening { .. })
            })
            .map(|(&client, _)| client)
            .collect();
        for client in opening {
            self.reject_unavailable(client);
        }
        for client in clients {
            self.orphan(client);
        }
    }

    /// Marks a client for closing.
    pub(super) fn orphan(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(&key).filter(|client| client.is_open()) else {
            return;
        };
        if !std::mem::replace(&mut client.orphaned, true) {
            self.orphans.push_back(key);
            self.orphans_at.get_or_insert(self.now.at);
        }
        self.pump(key);
    }

    pub(super) fn close_orphans(&mut self) {
        const TICKS_PER_SECOND: u32 = 20;
        let Some(at) = self.orphans_at.filter(|at| *at <= self.now.at) else { return };
        let count = self.settings.orphan_close_per_second.div_ceil(TICKS_PER_SECOND).max(1);
        for _ in 0..count {
            let Some(client) = self.orphans.pop_front() else { break };
            self.close_for(client, "app_server_lost", "the app server's tunnel broke");
        }
        let tick = Duration::from_secs(1) / TICKS_PER_SECOND;
        self.orphans_at = (!self.orphans.is_empty()).then(|| at.max(self.now.at) + tick);
    }
}
