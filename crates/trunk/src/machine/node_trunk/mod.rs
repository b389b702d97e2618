//! The node's side of one trunk, without its stream.

mod batches;
mod counts;
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
pub use self::hello::{NodeInfo, ResumeInfo, SDK_BYTES_MAX, SERVER_ID_BYTES_MAX};
pub use self::step::{Greeting, Refused, Restore, Shares, Step};

use self::counts::Counts;
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
use crate::window::Window;

/// The settings of the node's owner for a trunk.
#[derive(Clone, Copy, Debug)]
pub struct NodeTrunkConfig {
    /// Credit, intervals, batches.
    pub link: LinkConfig,
    /// The most namespaces in use at once.
    pub namespaces_max: usize,
    /// The number of shards that have the node's sessions, at least 1.
    pub shards: u16,
    /// The most abandoned requests whose numbers are remembered.
    pub abandoned_max: usize,
}

/// The node's side of one trunk: everything except the stream and the sessions.
///
/// Batches go in, and [`Self::poll_step`] returns, one by one, the steps to take. The owner may
/// take its time for a step: what follows has no effect before the next call. After two steps,
/// [`Step::Hello`] and [`Step::BroadcastAhead`], the machine waits for an answer.
///
/// Frames to send have two sources: the machine's own come from [`Self::poll_transmit`], and those
/// of the sessions are encoded by their owners and cut by [`Self::batches`].
#[derive(Debug)]
pub struct NodeTrunk {
    link: Link,
    config: NodeTrunkConfig,
    namespaces: Namespaces,
    credit: Arc<SharedCredit>,
    window: Window,
    /// The settings from the app server's `Hello`, once it is accepted.
    settings: Option<EngineSettings>,
    requests: Requests,
    /// `Restore`s and `Prove`s that are not answered; each kind has its own space of numbers.
    restores: BTreeSet<RequestId>,
    proves: BTreeSet<RequestId>,
    reading: Reading,
    counts: Counts,
    dealt: Dealt,
    /// Steps that follow the shares of this batch.
    behind: VecDeque<Step>,
    steps: VecDeque<Step>,
}

impl NodeTrunk {
    /// A trunk whose WebSocket has just opened.
    pub fn new(now: Timestamp, config: NodeTrunkConfig) -> Self {
        Self {
            link: Link::node(now, config.link),
            config,
            namespaces: Namespaces::new(config.namespaces_max),
            credit: Arc::new(SharedCredit::new(0)),
            window: Window::new(0),
            settings: None,
            requests: Requests::new(config.abandoned_max),
            restores: BTreeSet::new(),
            proves: BTreeSet::new(),
            reading: Reading::default(),
            counts: Counts::new(),
            dealt: Dealt::new(config.shards),
            behind: VecDeque::new(),
            steps: VecDeque::new(),
        }
    }

    /// Handles one WebSocket message: its contents come out of [`Self::poll_step`].
    pub fn handle_batch(&mut self, now: Timestamp, batch: Bytes) {
        self.link.handle_life(now);
        if self.window.gives_up(now, self.link.ping_interval()) {
            self.credit.begin_round(u32::MAX);
            self.make_room_up_to(u64::MAX);
        }
        self.count_batch(now, batch.len());
        self.reading.push(now, batch);
    }

    /// Handles that the deadline from [`Self::poll_deadline`] has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.link.handle_timeout(now);
        self.confirm_if_due(now);
    }

    /// Asks for a [`Step::BroadcastAhead`] before the first broadcast among the frames that are not
    /// read yet.
    pub const fn look_before_broadcast(&mut self) {
        self.reading.look = true;
    }

    /// Answers [`Step::BroadcastAhead`]: the broadcast and what follows may take effect.
    pub const fn go_on(&mut self) {
        self.reading.waits = false;
    }

    /// Hands out the shares so far, without waiting for the end of the batch.
    pub fn deal_out(&mut self) {
        match self.dealt.take() {
            Ok(shares) => self.steps.push_back(Step::Shares(shares)),
            Err(cost_bytes) => self.processed(cost_bytes),
        }
    }

    /// Whether frames that are not read yet change the members of a room.
    pub fn changes_rooms_ahead(&self) -> bool {
        self.reading.changes_rooms()
    }

    /// Whether anything came after the frame of the last step, and is not read yet.
    pub fn has_unread(&self) -> bool {
        self.reading.has_more()
    }

    /// Answers [`Step::Hello`]: accepts the app server. `Welcome` is the next frame to send.
    pub fn welcome(&mut self, now: Timestamp, info: NodeInfo<'_>) {
        self.link.welcome(now, info.to_json(self.config.namespaces_max));
    }

    /// Ends the trunk for a reason of the node; the message goes to the peer's log.
    pub fn give_up(&mut self, code: ErrorCode, message: Str) {
        self.link.give_up(code, message);
    }

    /// Ends the trunk because an owner of sessions or requests found the app server at fault.
    pub fn misbehaved(&mut self, rule: Misbehaved) {
        self.link.handle_misbehaved(rule);
    }

    /// Asks for no new sessions, and closes the trunk after this time. Has no effect before the
    /// trunk is up, or the second time.
    pub fn drain(&mut self, deadline: Duration) {
        self.link.drain(u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX));
    }

    /// Tells the app server whether sockets of its hub may belong to no app server.
    pub fn unhomed(&mut self, waiting: bool) {
        self.link.send(Frame::Unhomed { waiting });
    }

    /// Sends a `Ping`, which the app server answers when it is alive.
    pub fn ping(&mut self) {
        self.link.send(Frame::Ping { token: Bytes::new() });
    }

    /// Notes that the sessions' messages up to this weight of all are sent now. Returns a frame
    /// to send after them when it is time to measure how long they wait.
    pub fn measure(&mut self, now: Timestamp, sent: u64) -> Option<Frame> {
        let is_up = self.link.is_up();
        let token = is_up.then(|| self.window.measure(now, sent)).flatten()?;
        if self.credit.has_window() {
            self.make_room();
        }
        Some(Frame::Ping { token })
    }

    /// Whether steps wait to be carried out.
    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    fn make_room(&mut self) {
        self.make_room_up_to(self.window.full_at());
    }

    fn make_room_up_to(&mut self, full_at: u64) {
        if self.credit.set_full_at(full_at) {
            self.steps.push_back(Step::CreditReturned);
        }
    }

    /// Handles the answer to a measurement, and measures again if much is still under way.
    fn measured(&mut self, now: Timestamp, token: &[u8]) {
        let is_full = self.credit.room() <= 0;
        if !self.window.answered(now, token, is_full) {
            return;
        }
        self.credit.begin_round(self.window.size());
        self.make_room();
        if let Some(frame) = self.measure(now, 0) {
            self.link.send(frame);
        }
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

    /// Notes that the caller of this request no longer waits. A late answer is accepted and
    /// dropped.
    pub fn abandon(&mut self, key: u64) {
        self.requests.abandon(key);
    }

    /// Notes that this much of the cost of shares is processed.
    pub fn processed(&mut self, cost_bytes: u64) {
        if cost_bytes > 0 {
            self.link.processed(cost_bytes);
        }
    }

    /// Notes that a [`Step::Restore`] is answered: its number may be used again. False when it was
    /// not in use.
    pub fn restored(&mut self, request_id: RequestId) -> bool {
        self.restores.remove(&request_id)
    }

    /// Notes that a `Prove` among the shares is answered: its number may be used again. False when
    /// it was not in use.
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

    /// The next frame of the trunk itself. These frames go before those of the sessions, except an
    /// `Error`, which is the last.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.link.poll_transmit()
    }

    /// The time at which [`Self::handle_timeout`] is due.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        let confirmation = self.counts.received.due_at();
        self.link.poll_deadline().into_iter().chain(confirmation).min()
    }

    /// Cuts encoded frames into batches that the app server accepts.
    pub const fn batches(&self, frames: Bytes) -> Batches {
        Batches::new(frames, self.link.batch_bytes_max() as usize)
    }

    /// Whether the app server is accepted and the trunk has not ended.
    pub const fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// The credit of the app server, and the bytes that are not processed yet.
    pub const fn receiving(&self) -> &CreditReceiver {
        self.link.receiving()
    }
}
