//! What a shard knows of the tokens of its sessions' clients: which key signed each, whose it is, and
//! when it ends, if the session ends with it. Sessions without a token have nothing here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use trunkline_clock::Timestamp;
use trunkline_engineio::CloseReason;
use trunkline_token::{KeyMark, TextMark};
use trunkline_trunk::{NumberState, SessionNumber, Str};

use super::Shard;
use super::command::SlotKey;
use super::slot::{Live, State};
use crate::hub::{Hub, Revoked, TrunkNumber, UserPlace};
use crate::reply::Reply;

/// What a client's token says of its session. Without a token, nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    /// The hub's key that signed it.
    pub(crate) key: Option<KeyMark>,
    /// When the session ends, if it ends with the token.
    pub(crate) ends: Option<Timestamp>,
    /// The mark of its user (`sub`).
    pub(crate) user: Option<TextMark>,
    /// The mark of its id (`jti`).
    pub(crate) id: Option<TextMark>,
    /// When it was signed (`iat`), in seconds since 1970; 0 if it does not say.
    pub(crate) signed_s: u64,
    /// The session among those of its user, where a hub limits them.
    pub(crate) place: Option<Arc<UserPlace>>,
    /// Set when the session is about to be closed, because the token was revoked.
    pub(crate) is_revoked: bool,
}

/// What others ask of a shard about tokens.
#[derive(Debug)]
pub(crate) enum TokenCommand {
    /// A session gets another token.
    Refresh(Refresh),
    /// Tokens of this hub are revoked; the reply is the number of sessions that end.
    Revoke { hub: u16, revoked: Revoked, reply: Reply<usize> },
    /// A session ends, because its user has others.
    Close(SlotKey),
}

/// Another token for a session.
#[derive(Debug)]
pub(crate) struct Refresh {
    pub(crate) hub: u16,
    pub(crate) whose: Whose,
    pub(crate) token: Token,
    /// The claims, for an app server that takes the session over.
    pub(crate) claims: Str,
    pub(crate) reply: Reply<Result<(), NotRefreshed>>,
}

/// The session that is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// Of an app server, by its number on this trunk.
    Number(TrunkNumber, SessionNumber),
    /// Whoever's, by its id.
    Sid(crate::sid::Sid),
}

/// The reason why a session keeps its former token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NotRefreshed {
    #[error("there is no such session here, or it has ended")]
    Gone,
    #[error("the session's client came without a token, so another one means nothing for it")]
    NoToken,
    #[error("the token is another user's than the session's (claim sub)")]
    OtherUser,
    #[error("the session is about to move to another node; try again")]
    Moving,
    #[error("the token was revoked")]
    Revoked,
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

    /// The token of a slot's session.
    pub(super) fn of(&self, index: u32) -> Option<&Token> {
        self.by_slot.get(&index)
    }

    /// The next time at which a session ends with its token.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(at, _)| *at)
    }

    fn note(&mut self, index: u32, token: Token) {
        if !token.is_empty() {
            self.ends.extend(token.ends.map(|at| (at, index)));
            self.by_slot.insert(index, token);
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

    /// A session has ended: it is none of its user's any longer.
    pub(super) fn leave(&mut self, index: u32) {
        if let Some(token) = self.by_slot.get_mut(&index) {
            token.place = None;
        }
    }

    /// Puts another token in the place of a session's own.
    fn replace(&mut self, index: u32, token: Token) {
        let place = self.by_slot.get_mut(&index).and_then(|former| former.place.take());
        self.forget(index);
        self.note(index, Token { place, ..token });
    }

    /// Takes the next slot whose session is to end by now.
    fn take_due(&mut self, now: Timestamp) -> Option<u32> {
        let (_, index) = self.ends.first().copied().filter(|(at, _)| *at <= now)?;
        self.ends.pop_first();
        Some(index)
    }
}

impl Token {
    const fn is_empty(&self) -> bool {
        self.key.is_none()
            && self.ends.is_none()
            && self.user.is_none()
            && self.id.is_none()
            && self.place.is_none()
    }
}

impl Shard {
    /// Notes what the token of a session's client says. Its key may be gone since it was checked, or
    /// the hub may, or the token may have been revoked.
    pub(super) fn note_token(&mut self, index: u32, hub: &Hub, token: Token) {
        let generation = self.slots.at(index).generation;
        let key = SlotKey::here(self.index, index, generation);
        if let Some(place) = &token.place {
            place.is_at(key);
        }
        let reason = if hub.is_removed() {
            Some(CloseReason::HubRemoved)
        } else if !hub.admits(token.key) {
            Some(CloseReason::KeyRemoved)
        } else {
            hub.revocations.has(self.now, &token).then_some(CloseReason::TokenRevoked)
        };
        self.tokens.note(index, token);
        if let Some(reason) = reason {
            self.close_revoked(key, reason);
        }
    }

    /// Closes a session that has come from another node, if its user has too many here and a newcomer
    /// would be refused. Otherwise its next handshake closes the oldest.
    pub(super) fn check_user(&mut self, index: u32, hub: &Hub, user: Option<TextMark>) {
        let limit = hub.rules().user_sessions;
        if user.is_some_and(|user| limit.refuses && hub.has_beyond(user, limit.max)) {
            let generation = self.slots.at(index).generation;
            let key = SlotKey::here(self.index, index, generation);
            self.close_revoked(key, CloseReason::UserSessionsFull);
        }
    }

    pub(super) fn forget_token(&mut self, index: u32) {
        self.tokens.forget(index);
    }

    /// Does what others ask about tokens.
    pub(super) fn token_command(&mut self, command: TokenCommand) {
        match command {
            TokenCommand::Refresh(refresh) => {
                let refreshed =
                    self.refresh(refresh.hub, refresh.whose, refresh.token, refresh.claims);
                let _ = refresh.reply.send(refreshed);
            }
            TokenCommand::Revoke { hub, revoked, reply } => {
                let _ = reply.send(self.revoke_tokens(hub, revoked));
            }
            TokenCommand::Close(key) => self.close_revoked(key, CloseReason::UserSessionsFull),
        }
    }

    fn refresh(
        &mut self,
        hub: u16,
        whose: Whose,
        token: Token,
        claims: Str,
    ) -> Result<(), NotRefreshed> {
        let now = self.now;
        let index = match whose {
            Whose::Number(_, number) => number.0 / self.shards,
            Whose::Sid(sid) => sid.slot,
        };
        let slot = self.slots.get_mut(index).ok_or(NotRefreshed::Gone)?;
        let is_it = match whose {
            Whose::Number(trunk, _) => {
                let is_answered =
                    matches!(&slot.state, State::Arriving(one) if one.queue.is_answered);
                slot.trunk == trunk && (slot.number == NumberState::Open || is_answered)
            }
            Whose::Sid(sid) => slot.secret.matches(&sid.secret),
        };
        if !is_it || slot.hub != hub {
            return Err(NotRefreshed::Gone);
        }
        match &slot.state {
            State::Live(Live { session, .. }) if session.is_open() => (),
            State::Arriving(_) => return Err(NotRefreshed::Moving), // Its present token comes along.
            State::Live(_) | State::Opening(_) | State::Ended => return Err(NotRefreshed::Gone),
        }
        let former = self.tokens.of(index).ok_or(NotRefreshed::NoToken)?;
        if former.is_revoked || former.ends.is_some_and(|at| at <= now) {
            return Err(NotRefreshed::Gone); // It is being closed.
        }
        if former.user != token.user {
            return Err(NotRefreshed::OtherUser);
        }
        // It has been packed, or is about to be; or another app server has been told of it.
        if self.departures.is_wanted(index) || self.is_between(index) {
            return Err(NotRefreshed::Moving);
        }
        let revoked = self
            .hub(hub)
            .is_none_or(|hub| hub.revocations.has(now, &token) || !hub.admits(token.key));
        if revoked {
            return Err(NotRefreshed::Revoked);
        }
        self.tokens.replace(index, token);
        if let State::Live(live) = &mut self.slots.at(index).state
            && let Some(keepsake) = &mut live.keepsake
        {
            keepsake.set_claims(claims, &mut self.interner);
        }
        Ok(())
    }

    /// Closes the sessions whose tokens are revoked, at the pace at which orphans are closed. Returns
    /// how many.
    fn revoke_tokens(&mut self, hub: u16, revoked: Revoked) -> usize {
        let is_meant = |token: &Token| revoked.means(token) && !token.is_revoked;
        let meant = self.tokens.by_slot.iter().filter(|(_, token)| is_meant(token));
        let mut meant: Vec<u32> = meant.map(|(index, _)| *index).collect();
        meant.sort_unstable(); // The same in every run of a test.
        let mut count = 0;
        for index in meant {
            let Some(slot) = self.slots.get(index) else { continue };
            if slot.hub == hub && matches!(&slot.state, State::Live(live) if live.session.is_open())
            {
                let key = self.key_of(index, slot);
                // Before those that wait only because their app server has gone.
                self.orphans.waiting.push_front((key, CloseReason::TokenRevoked));
                self.orphans.next_at.get_or_insert(self.now);
                if let Some(token) = self.tokens.by_slot.get_mut(&index) {
                    token.is_revoked = true;
                }
                count += 1;
            }
        }
        count
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
