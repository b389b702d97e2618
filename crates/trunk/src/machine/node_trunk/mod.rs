//! The node's side of one whole trunk, without its stream.

mod batches;
mod deal;
mod hello;
mod reading;
mod step;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use bytes::Bytes;
use trunkline_clock::Timestamp;

pub use self::batches::Batches;
pub use self::deal::shard_of;
pub use self::hello::{NodeInfo, SDK_BYTES_MAX, SERVER_ID_BYTES_MAX};
pub use self::step::{Greeting, Refused, Restore, Shares, Step};

use self::deal::Dealt;
use self::reading::Reading;
use super::link::{Link, LinkConfig};
use super::misbehaved::Misbehaved;
use super::namespaces::Namespaces;
use super::requests::Requests;
use crate::credit::{CreditReceiver, SharedCredit};
use crate::frame::{ClientRequest, Frame, Request, RequestId, Restored, RestoredAt};
use crate::settings::EngineSettings;
use crate::text::Str;
use crate::values::{ErrorCode, RequestCode};

/// What the node's owner sets of a trunk.
#[derive(Clone, Copy, Debug)]
pub struct NodeTrunkConfig {
    /// Credit, intervals, batches.
    pub link: LinkConfig,
    /// How many namespaces may be in use at once.
    pub namespaces_max: usize,
    /// How many shards the node's sessions are on, at least 1.
    pub shards: u16,
    /// Of so many requests that nobody waits for any more the numbers are remembered.
    pub abandoned_max: usize,
}

/// The node's side of one whole trunk: all of it but the stream and the sessions.
///
/// Batches go in, and [`Self::poll_step`] says, one step at a time, what is to be done about them. A step may be
/// carried out in one's own time: nothing behind it means anything until the next call. Two steps are questions, and
/// the machine waits for the answer: [`Step::Hello`] and [`Step::BroadcastAhead`].
///
/// What is to be sent comes from two places: the machine's own frames from [`Self::poll_transmit`], and those of the
/// sessions, which their owners encode themselves, cut by [`Self::batches`].
#[derive(Debug)]
pub struct NodeTrunk {
    link: Link,
    config: NodeTrunkConfig,
    namespaces: Namespaces,
    credit: Arc<SharedCredit>,
    /// As the app server's `Hello` had them, once it is taken.
    settings: Option<EngineSettings>,
    requests: Requests,
    /// `Restore`s and `Prove`s that are not answered, each with a space of numbers of its own.
    restores: BTreeSet<RequestId>,
    proves: BTreeSet<RequestId>,
    reading: Reading,
    dealt: Dealt,
    /// What is to follow the shares of this batch.
    behind: VecDeque<Step>,
    steps: VecDeque<Step>,
}

impl NodeTrunk {
    /// Just after the WebSocket opened.
    pub fn new(now: Timestamp, config: NodeTrunkConfig) -> Self {
        Self {
            link: Link::node(now, config.link),
            config,
            namespaces: Namespaces::new(config.namespaces_max),
            credit: Arc::new(SharedCredit::new(0)),
            settings: None,
            requests: Requests::new(config.abandoned_max),
            restores: BTreeSet::new(),
            proves: BTreeSet::new(),
            reading: Reading::default(),
            dealt: Dealt::new(config.shards),
            behind: VecDeque::new(),
            steps: VecDeque::new(),
        }
    }

    /// One WebSocket message came: what is in it comes out of [`Self::poll_step`].
    pub fn handle_batch(&mut self, now: Timestamp, batch: Bytes) {
        self.link.handle_life(now);
        self.reading.push(now, batch);
    }

    /// The deadline from [`Self::poll_deadline`] has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.link.handle_timeout(now);
    }

    /// Asks for a [`Step::BroadcastAhead`] before the first broadcast of what came and was not looked at yet.
    pub const fn look_before_broadcast(&mut self) {
        self.reading.look = true;
    }

    /// Answers [`Step::BroadcastAhead`]: the broadcast and what is behind it may take effect.
    pub const fn go_on(&mut self) {
        self.reading.waits = false;
    }

    /// Hands out the shares so far, and not only at the end of the batch.
    pub fn deal_out(&mut self) {
        match self.dealt.take() {
            Ok(shares) => self.steps.push_back(Step::Shares(shares)),
            Err(cost_bytes) => self.processed(cost_bytes),
        }
    }

    /// Whether what came and was not looked at yet changes who is in a room.
    pub fn changes_rooms_ahead(&self) -> bool {
        self.reading.changes_rooms()
    }

    /// Answers [`Step::Hello`]: the app server is taken. `Welcome` is the next frame to send.
    pub fn welcome(&mut self, now: Timestamp, info: NodeInfo<'_>) {
        self.link.welcome(now, info.to_json(self.config.namespaces_max));
    }

    /// Ends the trunk for a reason of our own; the message goes to the peer's log.
    pub fn give_up(&mut self, code: ErrorCode, message: Str) {
        self.link.give_up(code, message);
    }

    /// Ends the trunk because an owner of sessions or requests found the app server at fault.
    pub fn misbehaved(&mut self, rule: Misbehaved) {
        self.link.handle_misbehaved(rule);
    }

    /// Wants no new sessions, and closes the trunk after that time. Nothing before it is up, and nothing the second time.
    pub fn drain(&mut self, deadline: Duration) {
        self.link.drain(u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX));
    }

    /// Sends a `Ping`, which the app server answers when it is alive.
    pub fn ping(&mut self) {
        self.link.send(Frame::Ping { token: Bytes::new() });
    }

    /// Asks the app server how to answer a request that opens no session. The answer comes as
    /// [`Step::Response`] with the same key. Does nothing when the trunk is not up.
    pub fn request(&mut self, key: u64, code: RequestCode, context: Str, request: ClientRequest) {
        if self.link.is_up() {
            let request_id = self.requests.ask(key);
            let request = Request { request_id, code, context, request };
            self.link.send(Frame::Request(Box::new(request)));
        }
    }

    /// Notes that the caller of this request no longer waits. A late answer is accepted and dropped.
    pub fn abandon(&mut self, key: u64) {
        self.requests.abandon(key);
    }

    /// That much of the cost of shares is dealt with.
    pub fn processed(&mut self, cost_bytes: u64) {
        if cost_bytes > 0 {
            self.link.processed(cost_bytes);
        }
    }

    /// A [`Step::Restore`] is answered: its number may come again. False when it was not in use.
    pub fn restored(&mut self, request_id: RequestId) -> bool {
        self.restores.remove(&request_id)
    }

    /// A `Prove` among the shares is answered: its number may come again. False when it was not in use.
    pub fn proved(&mut self, request_id: RequestId) -> bool {
        self.proves.remove(&request_id)
    }

    /// Answers a [`Step::Restore`]: no node keeps the socket.
    pub fn not_restored(&mut self, request_id: RequestId) {
        if self.restores.remove(&request_id) {
            self.link.send(if self.settings.as_ref().is_some_and(|settings| settings.numbers) {
                Frame::RestoredAt(Box::new(RestoredAt::nothing(request_id)))
            } else {
                Frame::Restored(Box::new(Restored::nothing(request_id)))
            });
        }
    }

    /// The next frame of the trunk itself. These go before what the sessions have, except an `Error`, which is the last.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.link.poll_transmit()
    }

    /// When [`Self::handle_timeout`] is due.
    pub const fn poll_deadline(&self) -> Option<Timestamp> {
        self.link.poll_deadline()
    }

    /// Cuts encoded frames into batches that the app server takes.
    pub const fn batches<'a>(&self, frames: &'a [u8]) -> Batches<'a> {
        Batches::new(frames, self.link.batch_bytes_max() as usize)
    }

    /// The app server is taken, and the trunk has not ended.
    pub const fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// The credit that the app server has, and what is held for want of processing.
    pub const fn receiving(&self) -> &CreditReceiver {
        self.link.receiving()
    }
}
