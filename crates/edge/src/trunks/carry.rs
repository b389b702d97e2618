//! Carries out the steps of a trunk's machine: what they mean for shards, the hub and other trunks.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use trunkline_trunk::settings::EngineSettings;
use trunkline_trunk::{
    EndCause, ErrorCode, Frame, Greeting, Keeps, Misbehaved, RequestId, Restore, Shares, Step, Str,
};

use super::resume::info_for;
use super::stream::TrunkTask;
use crate::calls::{self, Caller, NotDone};
use crate::hub::{Ahead, BatchCredit, Ending, NotAccepted, Place, Trunk, encode_nodes};
use crate::shard::{Command, GiveBack, RestoreRequest};

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);

impl TrunkTask {
    /// Carries out the machine's steps until there are no more, and offers room to what waits.
    pub(super) async fn carry_out(&mut self) {
        loop {
            while let Some(step) = self.node.poll_step() {
                self.carry_out_step(step).await;
            }
            let Some(ahead) = self.ahead.take() else { break };
            self.let_pass(ahead).await;
        }
        self.give_room().await;
    }

    async fn carry_out_step(&mut self, step: Step) {
        match step {
            Step::Hello(greeting) => self.welcome(*greeting).await,
            Step::Ended(cause) => self.note_end(&cause),
            Step::Refused(refused) => {
                tracing::warn!(hub = %self.hub.name, address = %self.address, "app server refused: {refused}");
            }
            Step::BroadcastAhead => self.look().await,
            Step::CreditReturned
            | Step::Call { .. }
            | Step::Draining { .. }
            | Step::GiveBack { .. }
            | Step::Load { .. }
            | Step::Relay { .. }
            | Step::Response { .. }
            | Step::Restore(_)
            | Step::Settings(_)
            | Step::Shares(_) => {
                // These steps come only from an app server that was accepted.
                if let Some(trunk) = self.trunk.clone() {
                    self.carry_out_for(&trunk, step).await;
                }
            }
        }
    }

    async fn carry_out_for(&mut self, trunk: &Arc<Trunk>, step: Step) {
        match step {
            Step::Shares(shares) => self.deal_out(trunk, shares).await,
            Step::Response { key, response } => trunk.response(key, response),
            Step::Settings(settings) => self.change_settings(trunk, Arc::from(settings)).await,
            Step::Relay { to, payload } => {
                let env = self.door.env();
                let unread_bytes_max = env.limits.trunk_unread_bytes_max;
                let to: Vec<&str> = to.iter().map(Str::as_str).collect();
                let between = (&*trunk.server_id, &*to);
                let relayed = self.hub.relay(between, &payload, unread_bytes_max);
                env.metrics.relayed.inc_by(relayed.delivered);
                env.metrics.relayed_dropped.inc_by(relayed.dropped);
            }
            Step::Load { sessions, lag_ms } => {
                trunk.note_load(sessions);
                trunk.lags(Duration::from_millis(lag_ms.into()));
            }
            Step::Call { request_id, name, arguments } => {
                self.call(trunk, request_id, (name, arguments));
            }
            Step::Restore(asked) => self.restore(trunk, asked).await,
            Step::GiveBack { nsp, pid } => {
                if let Some(shard) = self.hub.keeper_of(&pid) {
                    let nsp = Box::from(nsp.as_str());
                    let back = GiveBack { hub: self.hub.number, nsp, pid };
                    self.door.tell(shard, Command::GiveBack(Box::new(back))).await;
                }
            }
            Step::Draining { .. } => {
                tracing::info!(hub = %self.hub.name, server = %trunk.server_id, "app server takes no new sessions");
                trunk.set_draining();
                self.hub.tell_unhomed();
            }
            // After all steps the task looks whether something waits.
            Step::CreditReturned => (),
            Step::Hello(_) | Step::Ended(_) | Step::Refused(_) | Step::BroadcastAhead => (),
        }
    }

    /// Sends the shards their shares.
    async fn deal_out(&self, trunk: &Arc<Trunk>, shares: Shares) {
        let Shares { by_shard, cost_bytes, broadcasts, persisted } = shares;
        self.door.env().metrics.broadcasts.inc_by(broadcasts);
        // Noted before the shards get their shares: a later request for one of these sockets then
        // queues after the share.
        for (pid, shard) in persisted {
            self.hub.kept_by(&pid, shard_number(shard));
        }
        let credit = Arc::new(BatchCredit { trunk: Arc::clone(trunk), bytes: cost_bytes });
        for (shard, frames) in by_shard.into_iter().enumerate() {
            if !frames.is_empty() {
                let credit = Arc::clone(&credit);
                let batch = Command::Batch { trunk: trunk.number, frames, credit };
                self.door.tell(shard_number(shard), batch).await;
            }
        }
    }

    /// Checks, before the first broadcast of a read, whether bytes that came earlier on the hub's
    /// other trunks must take effect first.
    async fn look(&mut self) {
        let ahead = self.place.as_mut().map(Place::look).unwrap_or_default();
        if ahead.is_empty() {
            self.door.catch_up().await;
            self.node.go_on();
        } else {
            // Other trunks may wait for these frames, and must not be delayed while this one waits.
            self.node.deal_out();
            self.ahead = Some(ahead);
        }
    }

    async fn let_pass(&mut self, ahead: Vec<Ahead>) {
        if let Some(place) = &mut self.place
            && !place.let_pass(ahead, self.node.changes_rooms_ahead()).await
        {
            self.door.env().metrics.trunk_waits_expired.inc();
        }
        self.door.catch_up().await;
        self.node.go_on();
    }

    /// Asks the shard that keeps the socket. If none does, answers at once: app servers ask each
    /// node themselves.
    async fn restore(&mut self, trunk: &Arc<Trunk>, asked: Restore) {
        let Restore { request_id, nsp, pid, offset } = asked;
        // Without numbered broadcasts, the packets that the socket has missed cannot be determined
        // after it returns elsewhere.
        let can_be = trunk.settings.numbers;
        if let Some(shard) = self.hub.keeper_of(&pid).filter(|_| can_be) {
            let request = RestoreRequest {
                trunk: trunk.number,
                hub: Arc::clone(&self.hub),
                request_id,
                nsp: Box::from(nsp.as_str()),
                pid,
                offset,
            };
            self.door.tell(shard, Command::Restore(Box::new(request))).await;
        } else {
            self.node.not_restored(request_id);
            self.door.env().metrics.count_recovery("not_found");
        }
    }

    /// Does what the app server asks for, beside everything else: an identity provider may have to
    /// be asked.
    fn call(&self, trunk: &Arc<Trunk>, request_id: RequestId, (name, arguments): (Str, Str)) {
        let (door, hub, trunk) = (self.door.clone(), Arc::clone(&self.hub), Arc::clone(trunk));
        let under_way = Arc::clone(&trunk.calls);
        spawn_local(async move {
            let caller = Caller::Trunk(trunk.number);
            let asked = (name.as_str(), &arguments.as_bytes()[..]);
            // All others that are under way have a share in this value.
            let called = if Arc::strong_count(&under_way) > calls::UNDER_WAY_MAX + 1 {
                Err(NotDone::Busy)
            } else {
                calls::call(&door, &hub, caller, asked).await
            };
            let (done, answer) = match called {
                Ok(answer) => (true, answer),
                Err(why) => (false, why.to_json()),
            };
            let mut frames = BytesMut::new();
            Frame::Called { request_id, done, answer: Str::from(answer) }.encode(&mut frames);
            trunk.push(&frames, 0);
        });
    }

    /// Offers room to what waits for it, at one shard at a time, starting after the shard that used it up
    /// last. Offering it to all at once would always favour the shard on this thread.
    async fn give_room(&mut self) {
        let waits = |trunk: &&Arc<Trunk>| trunk.take_waiting();
        let Some(trunk) = self.trunk.as_ref().filter(waits).cloned() else { return };
        let shards = self.door.peers().len();
        for _ in 0..shards {
            let shard = shard_number(self.next_credited);
            let (reply, resumed) = oneshot::channel();
            self.door.tell(shard, Command::CreditReturned { trunk: trunk.number, reply }).await;
            let served = resumed.await.unwrap_or(false);
            if served || trunk.has_room() {
                self.next_credited = (self.next_credited + 1) % shards;
            }
            if !trunk.has_room() {
                // Shards that were not asked may have something that waits.
                return trunk.note_waiting();
            }
        }
    }

    /// Ends a trunk whose hub or key was taken away while it was being opened or continued. Called
    /// when the trunk is among those of its hub: then a later change finds it there.
    pub(super) fn check_key(&self, trunk: &Trunk) {
        if self.hub.is_removed() {
            trunk.end(Ending::HubRemoved);
        } else if !self.hub.admits(trunk.key()) {
            trunk.end(Ending::KeyRemoved);
        }
    }

    fn note_end(&mut self, cause: &EndCause) {
        let slug = match cause {
            EndCause::GivenUp(ErrorCode::Another) => "another",
            EndCause::GivenUp(ErrorCode::HubRemoved) => "hub_removed",
            EndCause::GivenUp(ErrorCode::KeyRemoved) => "key_removed",
            EndCause::GivenUp(ErrorCode::Limit) => "limit",
            EndCause::GivenUp(ErrorCode::Replaced) => "replaced",
            EndCause::GivenUp(ErrorCode::Settings) => "bad_settings",
            EndCause::GivenUp(ErrorCode::Silence) | EndCause::Misbehaved(Misbehaved::Silence) => {
                "silent"
            }
            EndCause::GivenUp(_) => "given_up",
            EndCause::Misbehaved(_) => "misbehaved",
            EndCause::PeerError { .. } => "peer_error",
        };
        match cause {
            EndCause::GivenUp(_) => (),
            EndCause::Misbehaved(rule) => {
                tracing::warn!(hub = %self.hub.name, address = %self.address, "trunk ended: {rule}");
            }
            EndCause::PeerError { code, message } => {
                tracing::warn!(hub = %self.hub.name, address = %self.address, ?code, message = %&**message, "app server gave the trunk up");
            }
        }
        self.closing.get_or_insert((1008, slug));
    }

    /// Passes the app's changed options to every shard before the frames that follow.
    async fn change_settings(&self, trunk: &Trunk, settings: Arc<EngineSettings>) {
        for shard in 0..self.door.peers().len() {
            let command = Command::Settings(trunk.number, Arc::clone(&settings));
            self.door.tell(shard_number(shard), command).await;
        }
        self.hub.settings_changed(&settings);
    }

    /// Refuses a further app server of a hub that has as many as it may. It tries again.
    fn refuse_app_server(&mut self, server: &str) {
        const CAUSE: &str = "hub_app_servers_full";
        if let Some(times) = self.door.env().directory.note(CAUSE) {
            tracing::warn!(hub = %self.hub.name, server, address = %self.address, times, "app server refused: its hub has as many on this node as it may (hub_app_servers_max)");
        }
        self.closing.get_or_insert((1008, CAUSE));
        let message = "this hub has as many app servers on this node as it may (hub_app_servers_max): end one, or raise the limit";
        self.node.give_up(ErrorCode::Limit, Str::from_static(message));
    }

    /// Accepts the app server, whose `Hello` was checked.
    async fn welcome(&mut self, greeting: Greeting) {
        if self.give_stream_away(&greeting).await {
            return;
        }
        let from = (&*greeting.server, self.address);
        let _arriving = match self.hub.arrive(from, &greeting.own) {
            Ok(arriving) => arriving,
            Err(NotAccepted::Another) => {
                let message = "this app server has another trunk to this node";
                return self.node.give_up(ErrorCode::Another, Str::from_static(message));
            }
            Err(NotAccepted::Full) => return self.refuse_app_server(&greeting.server),
        };
        let Greeting { server, sdk, mut own, settings, mut warnings, credit } = greeting;
        let env = Arc::clone(self.door.env());
        own.resumable &= !env.limits.trunk_resume_window.is_zero();
        own.rehome &= env.limits.rehome;
        own.operates &= env.limits.rehome;
        self.from = own.from;
        self.node.keep(match &own {
            own if own.rehome => Keeps::UntilHandled,
            own if own.resumable => Keeps::UntilReceived,
            _ => Keeps::Nothing,
        });
        let server_id = server.to_string();
        let trunk = Arc::new(Trunk::new(
            NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            Arc::clone(&self.hub),
            (server_id, sdk.to_string()),
            (self.address, self.key),
            (settings, own),
            credit,
            self.now(),
        ));
        if let Err(warning) = env.directory.claim_path(&trunk) {
            env.metrics.paths_refused.inc();
            warnings.push(warning);
        }
        self.node.welcome(self.now(), info_for(&env, &trunk, &warnings));
        // `Welcome` must be the first frame, before whatever the shards send. The list of peers is
        // in the same batch: until the app server has it, messages to the others reach no one.
        let mut frames = self.own_frames();
        if trunk.is_peer() {
            self.hub.encode_peers_of(&trunk.server_id, &mut frames);
        }
        let nodes = env.directory.nodes.present();
        if trunk.own.nodes {
            encode_nodes(&nodes, &mut frames);
        }
        self.send_uncounted(frames);
        for shard in 0..self.door.peers().len() {
            let (known, is_known) = oneshot::channel();
            let up = Command::TrunkUp(Arc::clone(&trunk), known);
            self.door.tell(shard_number(shard), up).await;
            // Sessions are given to the app server once every shard can take its answers. The end
            // of a shard ends the node, too.
            let _ = is_known.await;
        }
        let place = self
            .stream()
            .and_then(|stream| Place::new(&self.hub.precedence, trunk.number, stream.as_fd()));
        match place {
            Ok(place) => self.place = Some(place),
            Err(error) => {
                tracing::warn!(hub = %self.hub.name, server = %trunk.server_id, %error, "broadcasts may overtake other app servers' changes of rooms: the trunk's stream cannot be watched");
            }
        }
        env.directory.trunk_up(&trunk);
        self.check_key(&trunk);
        // App servers that are in the roster are told of changes.
        if !Arc::ptr_eq(&nodes, &env.directory.nodes.present()) {
            trunk.nodes_changed();
        }
        // App servers that were connected when the drain began have been told.
        if let Some(left) = env.directory.drain_left() {
            self.node.drain(left);
        }
        env.metrics.trunks.inc();
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, sdk = %trunk.sdk, address = %self.address, "app server connected");
        self.trunk = Some(trunk);
        self.look_unhomed();
    }
}

fn shard_number(shard: usize) -> u8 {
    u8::try_from(shard).unwrap_or(u8::MAX)
}
