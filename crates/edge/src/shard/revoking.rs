//! What an operator changes while the node runs, as far as it concerns a shard: limits, and the
//! sessions that end because their hub, or the key that signed their client's token, is gone.

use std::rc::Rc;

use trunkline_engineio::CloseReason;
use trunkline_token::KeyMark;

use super::command::SlotKey;
use super::homes::NOWHERE;
use super::slot::{Slot, State};
use super::{Shard, opening};
use crate::hub::Changes;

impl Shard {
    /// Takes over what the operator has changed.
    pub(super) fn reloaded(&mut self, changes: &Changes) {
        self.take_limits();
        self.flows.look_again(self.now);
        self.revoke_denied();
        for hub in &changes.removed {
            // The end of a trunk ends its sessions; those without an app server end here.
            self.revoke(CloseReason::HubRemoved, |slot, _| {
                slot.hub == *hub && slot.trunk == NOWHERE
            });
        }
        for (hub, keys) in &changes.keys {
            self.revoke(CloseReason::KeyRemoved, |slot, key| {
                slot.hub == *hub && key.is_some_and(|key| keys.contains(&key))
            });
        }
    }

    /// Closes the sessions of addresses that may no longer be here.
    fn revoke_denied(&mut self) {
        let rules = self.env.gate.rules();
        if rules.has_lists() {
            self.revoke(CloseReason::AddressDenied, |slot, _| {
                slot.guest.as_ref().is_some_and(|guest| rules.check(guest.ip()).is_err())
            });
        }
    }

    /// Closes a session that was being opened while its client's address was denied.
    pub(super) fn check_guest(&mut self, index: u32) {
        let slot = self.slots.at(index);
        let (generation, guest) = (slot.generation, slot.guest.as_ref());
        if guest.is_some_and(|guest| self.env.gate.rules().check(guest.ip()).is_err()) {
            let key = SlotKey::here(self.index, index, generation);
            self.close_revoked(key, CloseReason::AddressDenied);
        }
    }

    /// Brings what was made of limits up to date.
    fn take_limits(&mut self) {
        let limits = &self.env.limits;
        for shard_trunk in self.trunks.values_mut() {
            let settings = shard_trunk.settings.as_deref().unwrap_or(&shard_trunk.trunk.settings);
            let config = opening::engine_config(settings, limits);
            shard_trunk.config = Rc::new(config);
        }
        let bytes_max = limits.recovery_bytes_max;
        self.recoveries.iter_mut().for_each(|log| log.set_bytes_max(bytes_max));
    }

    /// Closes the sessions that are meant, at the pace at which orphans are closed.
    fn revoke(&mut self, reason: CloseReason, is_meant: impl Fn(&Slot, Option<KeyMark>) -> bool) {
        let meant = self.slots.iter().filter(|(index, slot)| {
            matches!(slot.state, State::Live(_)) && is_meant(slot, self.tokens.key_of(*index))
        });
        let meant: Vec<SlotKey> = meant.map(|(index, slot)| self.key_of(index, slot)).collect();
        if !meant.is_empty() {
            self.orphans.waiting.extend(meant.into_iter().map(|key| (key, reason)));
            self.orphans.next_at.get_or_insert(self.now);
        }
    }

    /// Closes a session whose hub or key is gone: no other app server takes it over.
    pub(super) fn close_revoked(&mut self, key: SlotKey, reason: CloseReason) {
        let Some(slot) = self.slots.of(key) else { return };
        if slot.waits_for_home() {
            self.give_up_home(key.slot, reason, "ended");
        } else {
            self.close_live(key, reason);
        }
    }
}
