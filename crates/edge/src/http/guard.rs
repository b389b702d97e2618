//! Guards that notify a shard when a client's connection ends early.

use std::cell::Cell;
use std::rc::Rc;

use crate::door::{Door, Site};
use crate::shard::{Command, SlotKey};
use crate::sid::Sid;

/// Notifies the shard when the client's connection ends before its request is answered.
#[derive(Debug)]
pub(super) struct Guard {
    door: Door,
    site: Site,
    gone: Option<Command>,
}

impl Guard {
    /// A guard that sends `gone` to the session's site unless it is disarmed.
    pub(super) fn new(door: &Door, site: Site, gone: Command) -> Self {
        Self { door: door.clone(), site, gone: Some(gone) }
    }

    pub(super) fn disarm(mut self) {
        self.gone = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(command) = self.gone.take() {
            self.door.tell_later(self.site, command);
        }
    }
}

/// A [`Guard`] for a poll. A poll waits for most of a client's life, so this type is smaller than a
/// command.
#[derive(Debug)]
pub(super) struct PollGuard {
    door: Door,
    pub(super) sid: Sid,
    poll: u32,
    site: Site,
    answered: bool,
}

impl PollGuard {
    pub(super) fn new(door: &Door, (site, sid): (Site, Sid), poll: u32) -> Self {
        Self { door: door.clone(), sid, poll, site, answered: false }
    }

    pub(super) fn disarm(mut self) {
        self.answered = true;
    }
}

impl Drop for PollGuard {
    fn drop(&mut self) {
        if !self.answered {
            let gone = Command::PollGone { sid: self.sid, poll: self.poll };
            self.door.tell_later(self.site, gone);
        }
    }
}

/// A [`Guard`] for a handshake. A handshake moves to another slot when another app server is asked,
/// so the guard notifies the slot in which it is at that time.
#[derive(Debug)]
pub(super) struct HandshakeGuard {
    door: Door,
    key: Rc<Cell<SlotKey>>,
    poll: u32,
    answered: bool,
}

impl HandshakeGuard {
    /// The shard keeps `key` up to date until it has answered.
    pub(super) fn new(door: &Door, key: Rc<Cell<SlotKey>>, poll: u32) -> Self {
        Self { door: door.clone(), key, poll, answered: false }
    }

    pub(super) fn disarm(mut self) {
        self.answered = true;
    }
}

impl Drop for HandshakeGuard {
    fn drop(&mut self) {
        if !self.answered {
            let (key, poll) = (self.key.get(), self.poll);
            self.door.tell_later(key.shard, Command::HandshakeGone { key, poll });
        }
    }
}
