//! A hub's task: feeds the machine, and carries out its outputs.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::watch;
use trunkline_clock::Timestamp;
use trunkline_http::PeerNotice;
use trunkline_token::KeyMark;
use trunkline_trunk::Str;

use super::hubs::{Input, Received};
use super::inner_trunk::{self, InnerTrunk};
use super::outgoing::Out;
use super::reloading::Changed;
use super::webhooks::Webhooks;
use super::{DOOR, Edge};
use crate::hub::{CallId, Hub, Now, Output, TunnelId};
use crate::rest::Answer;
use crate::serverless::{Answered, CallKey, Event};

/// The wait after an inner trunk broke, or could not be opened, before the next try.
const TRUNK_RETRY: Duration = Duration::from_millis(500);
/// [`TRUNK_RETRY`] while the node is still starting.
const STARTING_RETRY: Duration = Duration::from_millis(5);
/// Inputs that are taken in one turn.
const INPUTS_MAX: usize = 64;

/// One hub's task.
pub(super) struct Task {
    hub: Hub,
    name: String,
    inbox: Received,
    edge: Arc<dyn Edge>,
    origin: Instant,
    trunk: Option<InnerTrunk>,
    /// Whether the machine knows that the trunk is up.
    trunk_up: bool,
    retry_trunk_at: Option<Instant>,
    tunnels: HashMap<TunnelId, Out>,
    calls: HashMap<CallId, Sender<Answer>>,
    webhooks: Option<Webhooks>,
    /// Those of former handlers, until their calls are done.
    former: Vec<Webhooks>,
    /// The marks of the hub's keys.
    keys: Vec<KeyMark>,
    /// The keys that signed the tunnels' tokens.
    tunnel_keys: HashMap<TunnelId, KeyMark>,
    /// Set when the operator has removed the hub.
    removed: bool,
    /// Notified once, for the first trunk.
    announce: Option<SyncSender<()>>,
}

impl Task {
    pub(super) fn new(
        hub: Hub,
        inbox: Received,
        edge: Arc<dyn Edge>,
        name: &str,
        webhooks: Option<Webhooks>,
    ) -> Self {
        Self {
            hub,
            name: name.to_owned(),
            inbox,
            edge,
            origin: Instant::now(),
            trunk: None,
            trunk_up: false,
            retry_trunk_at: None,
            tunnels: HashMap::new(),
            calls: HashMap::new(),
            webhooks,
            former: Vec::new(),
            keys: Vec::new(),
            tunnel_keys: HashMap::new(),
            removed: false,
            announce: None,
        }
    }

    pub(super) fn with_keys(self, keys: Vec<KeyMark>) -> Self {
        Self { keys, ..self }
    }

    /// Sets a sender that is notified when clients can be served.
    pub(super) fn announce_trunk(&mut self, announce: SyncSender<()>) {
        self.announce = Some(announce);
    }

    fn now(&self) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Now { at: inner_trunk::timestamp(self.origin), unix_ms }
    }

    pub(super) async fn run(mut self: Box<Self>, mut stop: watch::Receiver<bool>) {
        let mut inputs = Vec::with_capacity(INPUTS_MAX);
        let mut waiting = VecDeque::new();
        loop {
            self.settle();
            while self.take_some(&mut waiting) {
                self.settle();
            }
            if self.removed {
                break;
            }
            let deadline = self.deadline();
            let far = || Instant::now() + Duration::from_secs(3600);
            let congested = self.is_congested();
            let crowded = congested || !waiting.is_empty() || self.hub.is_crowded(self.now());
            let trunk_up = async {
                match &self.trunk {
                    Some(trunk) => trunk.ready().await,
                    None => std::future::pending().await,
                }
            };
            let all = self.former.iter_mut().chain(&mut self.webhooks);
            let answered = next_answer(all);
            let Received { inputs: inbox, notices, .. } = &mut self.inbox;
            // In random order: clients that never pause must not keep callers and deadlines
            // waiting.
            tokio::select! {
                _ = stop.changed() => break,
                (call, answered) = answered, if !congested => {
                    let now = self.now();
                    self.hub.handle_webhook_answer(now, call, &answered);
                }
                ready = trunk_up => {
                    if ready.is_err() {
                        self.lose_link();
                    } else {
                        self.read_link();
                    }
                }
                noticed = notices.recv(), if !congested => {
                    let Some(notice) = noticed else { break };
                    let now = self.now();
                    self.hub.handle_notice(now, notice);
                }
                received = inbox.recv_many(&mut inputs, INPUTS_MAX), if !crowded => {
                    if received == 0 {
                        break;
                    }
                    waiting.extend(inputs.drain(..));
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(far).into()), if deadline.is_some() => {
                    let now = self.now();
                    self.hub.handle_timeout(now);
                }
            }
        }
        self.end().await;
    }

    /// Takes over what the operator has changed.
    fn change(&mut self, changed: Changed) {
        let now = self.now();
        let Changed { keys, marks, origin, webhooks, serverless } = changed;
        if let Some(webhooks) = webhooks {
            self.former.extend(std::mem::replace(&mut self.webhooks, webhooks));
        }
        self.hub.handle_changed(now, keys, origin, serverless);
        self.keys = marks;
        let gone: Vec<TunnelId> = self
            .tunnel_keys
            .iter()
            .filter(|(_, key)| !self.keys.contains(key))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.close_for_key(id);
        }
    }

    /// Ends a tunnel whose key is gone.
    fn close_for_key(&mut self, id: TunnelId) {
        self.tunnel_keys.remove(&id);
        if let Some(out) = self.tunnels.get(&id) {
            tracing::warn!(hub = %self.name, tunnel = id.0, "an app server's tunnel ends: its key is none of the hub's any longer");
            out.close(1008, "the key that signed the token is none of this hub's keys any longer");
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let machine = self.hub.poll_deadline();
        let machine = machine.map(|at| self.origin + at.since(Timestamp::ORIGIN));
        [machine, self.retry_trunk_at].into_iter().flatten().min()
    }

    fn is_congested(&self) -> bool {
        self.trunk.as_ref().is_some_and(InnerTrunk::is_congested)
    }

    /// Takes inputs until too much waits for another node: that is looked at after each, because a few
    /// long calls are enough. Returns whether any was taken.
    fn take_some(&mut self, inputs: &mut VecDeque<Input>) -> bool {
        let before = inputs.len();
        while !self.removed
            && !self.is_congested()
            && !self.hub.is_crowded(self.now())
            && let Some(input) = inputs.pop_front()
        {
            self.take(input);
        }
        inputs.len() < before
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::TunnelUp { id, server, key, out } => {
                tracing::info!(hub = %self.name, tunnel = id.0, "an app server's tunnel opened");
                self.tunnels.insert(id, out);
                self.hub.handle_tunnel_up(now, id, &server);
                if let Some(key) = key {
                    self.tunnel_keys.insert(id, key);
                    // It may have gone since the token was checked.
                    if !self.keys.contains(&key) {
                        self.close_for_key(id);
                    }
                }
            }
            Input::TunnelMessage { id, message, room } => {
                self.hub.handle_tunnel_message(now, id, message);
                drop(room);
            }
            Input::TunnelDown { id, clean } => {
                tracing::info!(hub = %self.name, tunnel = id.0, clean, "an app server's tunnel ended");
                self.tunnels.remove(&id);
                self.tunnel_keys.remove(&id);
                self.hub.handle_tunnel_down(now, id, clean);
            }
            Input::Call { id, operation, raw, reply, room } => {
                self.calls.insert(id, reply);
                self.hub.handle_call(now, id, operation, raw);
                drop(room);
            }
            Input::CallerGone { id } => {
                self.calls.remove(&id);
                self.hub.handle_caller_lost(now, id, false);
            }
            Input::Changed(changed) => self.change(*changed),
            Input::Removed => self.removed = true,
        }
    }

    /// Carries out the machine's outputs, and opens or closes the trunk.
    fn settle(&mut self) {
        self.former.retain_mut(|webhooks| !webhooks.is_idle());
        self.do_outputs();
        if self.trunk.is_some() && !self.hub.wants_trunk() {
            if let Some(trunk) = self.trunk.take() {
                trunk.close();
            }
            self.unlink();
        }
        if self.trunk.is_none() && self.hub.wants_trunk() {
            self.open_link();
        }
        if self.trunk.as_mut().is_some_and(|trunk| trunk.flush().is_err()) {
            self.lose_link();
        }
    }

    fn do_outputs(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Frame(frame) => {
                    if let Some(trunk) = &mut self.trunk {
                        trunk.send(frame);
                    }
                }
                Output::Processed(bytes) => {
                    if let Some(trunk) = &mut self.trunk {
                        trunk.processed(bytes);
                    }
                }
                Output::Message(tunnel, frame) => {
                    if let Some(out) = self.tunnels.get(&tunnel) {
                        out.send(frame);
                    }
                }
                Output::EndTunnel(tunnel, cause) => {
                    if let Some(out) = self.tunnels.remove(&tunnel) {
                        out.abort(cause);
                    }
                }
                Output::Word(peer, number, word) => {
                    if !self.edge.say(peer, DOOR, &self.name, number, word) {
                        let (now, hub) = (self.now(), Str::EMPTY);
                        self.hub.handle_notice(now, PeerNotice::Dropped { peer, hub });
                    }
                }
                Output::Answer(call, answer) => self.answer(call, answer),
                Output::Webhook(call, event) => self.call_webhook(call, event),
            }
        }
    }

    fn call_webhook(&mut self, call: Option<CallKey>, event: Event) {
        let answered = self.webhooks.as_mut().and_then(|webhooks| webhooks.call(call, event));
        if let (Some(call), Some(answered)) = (call, answered) {
            let now = self.now();
            self.hub.handle_webhook_answer(now, call, &answered);
        }
    }

    fn answer(&mut self, call: CallId, answer: Answer) {
        let more = answer.more;
        let Some(reply) = self.calls.get(&call) else { return };
        let sent = reply.try_send(answer);
        if sent.is_ok() && more {
            return;
        }
        self.calls.remove(&call);
        if let Err(error) = sent {
            let now = self.now();
            self.hub.handle_caller_lost(now, call, matches!(error, TrySendError::Full(_)));
        }
    }

    fn open_link(&mut self) {
        if self.retry_trunk_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.retry_trunk_at = None;
        let opened = super::random().and_then(|id| {
            let server = format!("azure-{:032x}", u128::from_ne_bytes(id));
            InnerTrunk::new(self.edge.open(&self.name)?, server, self.origin)
        });
        match opened {
            Ok(trunk) => self.trunk = Some(trunk),
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                self.retry_trunk_at = Some(Instant::now() + STARTING_RETRY);
            }
            Err(error) => {
                tracing::warn!(hub = %self.name, %error, "cannot reach the node's own port");
                self.retry_trunk_at = Some(Instant::now() + TRUNK_RETRY);
            }
        }
    }

    fn read_link(&mut self) {
        let Some(trunk) = &mut self.trunk else { return };
        match trunk.read() {
            Ok(events) => {
                for event in events {
                    self.hear(event);
                }
            }
            Err(_) => self.lose_link(),
        }
    }

    fn hear(&mut self, event: inner_trunk::Event) {
        let now = self.now();
        match event {
            inner_trunk::Event::Up => {
                self.trunk_up = true;
                if let Some(announce) = self.announce.take() {
                    // The receiver may have stopped waiting.
                    let _ = announce.try_send(());
                }
                self.hub.handle_trunk_up(now);
            }
            inner_trunk::Event::Frame(frame) => self.hub.handle_frame(now, frame),
            inner_trunk::Event::BatchEnd => self.hub.handle_batch_end(now),
        }
    }

    fn lose_link(&mut self) {
        self.trunk = None;
        self.retry_trunk_at = Some(Instant::now() + TRUNK_RETRY);
        self.unlink();
    }

    fn unlink(&mut self) {
        if std::mem::take(&mut self.trunk_up) {
            let now = self.now();
            self.hub.handle_trunk_down(now);
            self.do_outputs();
        }
    }

    /// Ends because the node stops, or because the hub is removed: app servers are notified, and try
    /// to connect until another node is there.
    async fn end(mut self: Box<Self>) {
        let why = if self.removed {
            "this node does not serve the hub any longer"
        } else {
            "the node stops"
        };
        self.inbox.inputs.close();
        for out in self.tunnels.values() {
            out.close(1001, why);
        }
        let now = self.now();
        self.hub.handle_stop(now);
        self.do_outputs();
        if let Some(trunk) = self.trunk.take() {
            trunk.close();
        }
        self.unlink();
        if let Some(webhooks) = self.webhooks.take() {
            webhooks.drain().await;
        }
        // The tunnels' tasks end by themselves; their last inputs are dropped.
        let drained = async { while self.inbox.inputs.recv().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
    }
}

/// Waits for the next answer of any of these.
async fn next_answer<'a>(all: impl Iterator<Item = &'a mut Webhooks>) -> (CallKey, Answered) {
    let mut all: Vec<&mut Webhooks> = all.collect();
    poll_fn(|cx| {
        let answers = all.iter_mut().map(|webhooks| webhooks.poll_next(cx));
        answers.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}
