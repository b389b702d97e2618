//! What a shard knows of the tokens of its sessions' clients: which key signed each, and when it
//! ends, if the session ends with it. Sessions without a token have nothing here.

use std::collections::{BTreeSet, HashMap};

use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;
use trunkline_token::KeyMark;

use super::Shard;
use super::command::SlotKey;
use super::slot::State;
use crate::hub::Hub;

/// What a client's token says of its session. Without a token, nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Token {
    /// The hub's key that signed it.
    pub(crate) key: Option<KeyMark>,
    /// When the session ends, if it ends with the token.
    pub(crate) ends: Option<Timestamp>,
}

/// The tokens of a shard's sessions.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    by_slot: HashMap<u32, Token>,
    ends: BTreeSet<(Timestamp, u32)>,
}

impl Tokens {
    /// The key that signed the token of a slot's session.
    pub(super) fn key_of(&self, index: u32) -> Option<KeyMark> {
        self.by_slot.get(&index)?.key
    }

    /// The next time at which a session ends with its token.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Whether the slot's session ends with its token.
    pub(super) fn ends(&self, index: u32) -> bool {
        self.by_slot.get(&index).is_some_and(|token| token.ends.is_some())
    }

    fn note(&mut self, index: u32, token: Token) {
        if token != Token::default() {
            self.by_slot.insert(index, token);
            self.ends.extend(token.ends.map(|at| (at, index)));
        }
    }

    fn forget(&mut self, index: u32) {
        if self.by_slot.is_empty() {
            return;
        }
        if let Some(at) = self.by_slot.remove(&index).and_then(|token| token.ends) {
            self.ends.remove(&(at, index));
        }
    }

    /// Takes the next slot whose session is to end by now.
    fn take_due(&mut self, now: Timestamp) -> Option<u32> {
        let (_, index) = self.ends.first().copied().filter(|(at, _)| *at <= now)?;
        self.ends.pop_first();
        Some(index)
    }
}

impl Shard {
    /// Notes what the token of a session's client says. Its key may be gone since it was checked, or
    /// the hub may.
    pub(super) fn note_token(&mut self, index: u32, hub: &Hub, token: Token) {
        self.tokens.note(index, token);
        if !hub.admits(token.key) {
            let reason =
                if hub.is_removed() { CloseReason::HubRemoved } else { CloseReason::KeyRemoved };
            let generation = self.slots.at(index).generation;
            self.close_revoked(SlotKey::here(self.index, index, generation), reason);
        }
    }

    pub(super) fn forget_token(&mut self, index: u32) {
        self.tokens.forget(index);
    }

    /// Closes the sessions whose tokens have ended, at the pace at which orphans are closed.
    pub(super) fn end_tokens(&mut self) {
        while let Some(index) = self.tokens.take_due(self.now) {
            let Some(slot) = self.slots.get(index) else { continue };
            if matches!(slot.state, State::Live(_)) {
                let key = self.key_of(index, slot);
                self.orphans.waiting.push_back((key, CloseReason::TokenExpired));
                self.orphans.next_at.get_or_insert(self.now);
            }
        }
    }
}
