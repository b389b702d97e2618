//! What a shard has to know of connections that end early.

use super::Door;
use crate::shard::Command;

/// Tells the shard when the client's connection ends before its request is answered.
#[derive(Debug)]
pub(super) struct Guard {
    door: Door,
    shard: u8,
    gone: Option<Command>,
}

impl Guard {
    /// `gone` is for the shard, unless the guard is disarmed.
    pub(super) fn new(door: &Door, shard: u8, gone: Command) -> Self {
        Self { door: door.clone(), shard, gone: Some(gone) }
    }

    pub(super) fn disarm(mut self) {
        self.gone = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(command) = self.gone.take() {
            self.door.tell_later(self.shard, command);
        }
    }
}
