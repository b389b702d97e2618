//! How the threads of the public port reach a hub's task.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{Sender, UnboundedSender};
use trunkline_token::Secret;

use super::HubConfig;
use crate::hub::{CallId, TunnelId};
use crate::rest::{Answer, Operation};
use crate::tunnel::Message;

/// Something for a hub's task.
#[derive(Debug)]
pub(super) enum Input {
    TunnelUp { id: TunnelId, server: String, out: super::tunnel::Out },
    TunnelMessage { id: TunnelId, message: Message },
    TunnelDown { id: TunnelId, clean: bool },
    Call { id: CallId, operation: Operation, reply: UnboundedSender<Answer> },
    CallerGone { id: CallId },
}

/// A hub, from outside of its task.
#[derive(Debug)]
pub(super) struct HubHandle {
    pub(super) name: String,
    pub(super) keys: Vec<Secret>,
    pub(super) inbox: Sender<Input>,
}

impl HubHandle {
    pub(super) fn new(config: &HubConfig, inbox: Sender<Input>) -> Self {
        Self { name: config.name.clone(), keys: config.keys.clone(), inbox }
    }
}

/// A number that no other tunnel or call of the process has.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
