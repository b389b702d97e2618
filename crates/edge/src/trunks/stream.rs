//! One trunk's task: reads batches and deals them out to the shards, writes what the shards have for the app server.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::sleep_until;
use trunkline_clock::Timestamp;
use trunkline_trunk::settings::EngineSettings;
use trunkline_trunk::{
    EndCause, ErrorCode, Frame, Hello, Link, LinkConfig, LinkEvent, Namespaces, Str, decode_batch,
};
use trunkline_websocket::{Decoder, Incoming, Opcode, Role, encode, encode_close, encode_header};

use super::batches::{changes_behind_broadcast, detached, is_broadcast, split};
use super::handle::{BatchCredit, Ending, Trunk};
use super::peer::{Origin, TrunkStream};
use super::precedence::Place;
use crate::http::Door;
use crate::hub::Hub;
use crate::metrics::{Cause, Outcome};
use crate::shard::{AdoptedStream, Command, GiveBack, RestoreRequest, not_found, shard_of};

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);
const READ_BYTES: usize = 256 * 1024;
/// More of these at a stretch than a kernel holds: what comes behind them came later than anybody who looks.
const FULL_READS_MAX: u32 = 32;
/// What a frame adds to its payload, generously.
const FRAME_OVERHEAD_BYTES: usize = 1024;
/// What this node takes beyond the frames that every node of version 1 does.
const FRAMES: &[&str] =
    &["Mark", "Release", "Beside", "Choose", "Number", "Reattach", "Prove", "GiveBack"];
/// Every app server of a hub is told the ids of all others.
const SERVER_ID_BYTES_MAX: usize = 128;
const SDK_BYTES_MAX: usize = 256;
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last words of a trunk may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves a trunk until it ends, and cleans up after it.
pub(crate) async fn run(door: Door, hub: Arc<Hub>, address: SocketAddr, adopted: AdoptedStream) {
    let AdoptedStream { socket, leftover, permit, .. } = adopted;
    let Ok(stream) = socket.into_descriptor() else { return };
    let Ok(stream) = TcpStream::from_std(stream.into()) else { return };
    let task = TrunkTask::new(door, hub, Origin::Outside(address), TrunkStream::Tcp(stream));
    task.run(leftover).await;
    drop(permit);
}

/// The same for a trunk that never leaves this process.
pub(crate) async fn run_inside(door: Door, hub: Arc<Hub>, stream: std::os::unix::net::UnixStream) {
    let Ok(stream) = UnixStream::from_std(stream) else { return };
    TrunkTask::new(door, hub, Origin::Inside, TrunkStream::Unix(stream)).run(Bytes::new()).await;
}

struct TrunkTask {
    door: Door,
    hub: Arc<Hub>,
    address: Origin,
    stream: TrunkStream,
    link: Link,
    decoder: Decoder,
    /// `None` until `Hello` is accepted.
    trunk: Option<Arc<Trunk>>,
    /// Among the trunks of the hub, as long as `trunk` is there.
    place: Option<Place>,
    /// The batches of this read, until whatever came in on other trunks before it has taken effect; none where there are
    /// no other trunks.
    unordered: Vec<Bytes>,
    /// The app server's numbers for namespaces.
    namespaces: Namespaces,
    /// What the app server asked for in this batch: answered after the rest of it has taken effect.
    restores: Vec<Ask>,
    /// Sockets that shards are to keep, and which shards.
    persisted: Vec<(Str, u8)>,
    /// What it says to other app servers in this batch: it may be about the rest, so it follows that, too.
    relays: Vec<(Vec<Str>, Bytes)>,
    /// The shard whose sessions are the first to go on with new credit.
    next_credited: usize,
    /// Bytes on their way to the app server.
    out: BytesMut,
    /// The WebSocket is to be closed with this code once `out` is empty.
    closing: Option<(u16, &'static str)>,
}

/// What the app server asks of the shard that keeps a socket.
enum Ask {
    Restore(RestoreRequest),
    GiveBack(GiveBack),
}

/// What the loop woke up for.
enum Woken {
    Readable,
    Writable,
    Told,
    Deadline,
}

impl TrunkTask {
    fn new(door: Door, hub: Arc<Hub>, address: Origin, stream: TrunkStream) -> Self {
        let limits = &door.env().limits;
        let config = LinkConfig {
            credit_window_bytes: limits.trunk_credit_bytes,
            opening_timeout: HELLO_TIMEOUT,
            ping_interval: limits.trunk_ping_interval,
            batch_bytes_max: u32::try_from(limits.trunk_batch_bytes_max).unwrap_or(u32::MAX),
        };
        let namespaces = Namespaces::new(limits.trunk_namespaces_max);
        let now = door.env().now();
        Self {
            door,
            hub,
            address,
            stream,
            link: Link::node(now, config),
            decoder: Decoder::new(),
            trunk: None,
            place: None,
            unordered: Vec::new(),
            namespaces,
            restores: Vec::new(),
            persisted: Vec::new(),
            relays: Vec::new(),
            next_credited: 0,
            out: BytesMut::new(),
            closing: None,
        }
    }

    async fn run(mut self, leftover: Bytes) {
        let metrics = self.door.env().metrics.clone();
        let cause = match self.serve(leftover).await {
            Ok(cause) => cause,
            Err(error) => {
                tracing::debug!(address = %self.address, %error, "trunk's stream broke");
                "stream_broken"
            }
        };
        metrics.trunks_ended.get_or_create(&Cause { cause }).inc();
        self.clean_up(cause).await;
    }

    fn now(&self) -> Timestamp {
        self.door.env().now()
    }

    /// The loop. Returns the cause of the end as a slug.
    async fn serve(&mut self, leftover: Bytes) -> io::Result<&'static str> {
        let mut buffer = vec![0; READ_BYTES];
        if !leftover.is_empty() {
            self.hear(&mut leftover.to_vec()).await;
            self.end_round();
        }
        let mut full_reads = 0;
        loop {
            self.drain_link();
            self.take_outbox();
            self.write()?;
            if let Some((_, cause)) = self.closing {
                // Nobody waits for what it will not read.
                self.place = None;
                self.say_goodbye().await;
                return Ok(cause);
            }
            match self.wait().await? {
                Woken::Readable => {
                    if let Some(place) = &self.place {
                        place.begin_round();
                    }
                    let count = match self.stream.try_read(&mut buffer) {
                        Ok(0) => return Ok("app_server_gone"),
                        Ok(count) => count,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                        Err(error) => return Err(error),
                    };
                    if count > 0 {
                        self.door.env().metrics.trunk_received_bytes.inc_by(count as u64);
                        self.hear(&mut buffer[..count]).await;
                    }
                    full_reads = if count == READ_BYTES { full_reads + 1 } else { 0 };
                    if full_reads % FULL_READS_MAX == 0 {
                        self.end_round();
                    }
                }
                Woken::Writable | Woken::Told => (),
                Woken::Deadline => {
                    let now = self.now();
                    self.link.handle_timeout(now);
                }
            }
        }
    }

    /// What was read is with the shards.
    fn end_round(&self) {
        if let Some(place) = &self.place {
            place.end_round();
        }
    }

    async fn wait(&self) -> io::Result<Woken> {
        let origin = self.door.env().origin;
        let deadline = self
            .link
            .poll_deadline()
            .map(|at| tokio::time::Instant::from_std(origin + at.since(Timestamp::ORIGIN)));
        let far = || tokio::time::Instant::now() + Duration::from_secs(3600);
        let told = async {
            match &self.trunk {
                Some(trunk) => trunk.wake_writer.notified().await,
                None => std::future::pending().await,
            }
        };
        // Who asks and does not read the answers is not heard until it does.
        let hears = self.out.len() < self.door.env().limits.trunk_unread_bytes_max;
        if let Some(place) = &self.place {
            place.set_deaf(!hears);
        }
        tokio::select! {
            ready = self.stream.readable(), if hears => ready.map(|()| Woken::Readable),
            ready = self.stream.writable(), if !self.out.is_empty() => ready.map(|()| Woken::Writable),
            () = told => Ok(Woken::Told),
            () = sleep_until(deadline.unwrap_or_else(far)), if deadline.is_some() => Ok(Woken::Deadline),
        }
    }

    /// Decodes what one read brought and lets it take effect.
    async fn hear(&mut self, input: &mut [u8]) {
        let batch_bytes_max = self.door.env().limits.trunk_batch_bytes_max;
        let mut batches = Vec::new();
        let mut pongs = Vec::new();
        let mut closed = false;
        let mut text = false;
        let mut decoder = std::mem::take(&mut self.decoder);
        let decoded = decoder.decode(Role::Server, batch_bytes_max, input, &mut |incoming| {
            match incoming {
                Incoming::Binary(bytes) => batches.push(Bytes::copy_from_slice(bytes)),
                Incoming::Ping(payload) => pongs.push(encode(Opcode::Pong, payload, None)),
                Incoming::Pong(_) => (),
                Incoming::Text(_) => text = true,
                Incoming::Close { .. } => closed = true,
            }
            if closed || text { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.decoder = decoder;
        for pong in pongs {
            self.out.extend_from_slice(&pong);
        }
        if self.place.as_ref().is_some_and(Place::has_neighbours) {
            self.unordered.clone_from(&batches);
        }
        for batch in batches {
            self.handle_batch(batch).await;
        }
        self.unordered.clear();
        if text {
            let message = Str::from_static("a trunk carries binary messages only");
            self.link.give_up(ErrorCode::Protocol, message);
        }
        if let Err(rule) = decoded {
            tracing::warn!(address = %self.address, %rule, "trunk broke RFC 6455");
            self.closing.get_or_insert((rule.close_code(), "websocket_violation"));
        }
        if closed {
            self.closing.get_or_insert((1000, "app_server_closed"));
        }
    }

    async fn handle_batch(&mut self, batch: Bytes) {
        let now = self.now();
        let shards = self.door.peers().len();
        let mut shares: Vec<Vec<Frame>> = vec![Vec::new(); shards];
        let mut cost = 0;
        self.link.handle_life(now);
        if let Some(trunk) = &self.trunk {
            trunk.heard(now);
        }
        let batch_bytes = batch.len();
        for frame in decode_batch(batch) {
            let frame = match frame {
                Ok(frame) => detached(frame, batch_bytes),
                Err(error) => {
                    self.link.handle_undecodable(error);
                    break;
                }
            };
            if let Frame::Credit { bytes } = frame {
                self.credit_returned(bytes).await;
            }
            if !self.unordered.is_empty() && is_broadcast(&frame) {
                self.let_others_first(&mut shares, &mut cost).await;
            }
            cost += u64::from(frame.data_cost().unwrap_or(0));
            match self.link.handle_frame(now, frame) {
                Ok(Some(Frame::Settings { settings })) => self.change_settings(&settings).await,
                Ok(Some(frame)) => self.deal(frame, &mut shares),
                Ok(None) => (),
                Err(_) => break, // The link has put the cause on record.
            }
            // `Hello` must be answered before the frames behind it mean anything.
            self.drain_events().await;
        }
        let Some(trunk) = self.trunk.clone() else { return };
        self.deal_out(&trunk, &mut shares, cost).await;
        for (to, payload) in std::mem::take(&mut self.relays) {
            let limits = &self.door.env().limits;
            let unread_bytes_max = limits.trunk_unread_bytes_max;
            let relayed = self.hub.relay(&trunk.server_id, &to, &payload, unread_bytes_max);
            self.door.env().metrics.relayed.inc_by(relayed.delivered);
            self.door.env().metrics.relayed_dropped.inc_by(relayed.dropped);
        }
        for ask in std::mem::take(&mut self.restores) {
            match ask {
                Ask::Restore(request) => self.restore(request).await,
                Ask::GiveBack(back) => {
                    if let Some(shard) = self.hub.keeper_of(&back.pid) {
                        self.door.tell(shard, Command::GiveBack(Box::new(back))).await;
                    }
                }
            }
        }
    }

    /// Gives the shards their shares of frames that cost so much together.
    async fn deal_out(&mut self, trunk: &Arc<Trunk>, shares: &mut [Vec<Frame>], cost: u64) {
        // Before the shards hear of it: who asks for one of these a moment later comes behind it.
        for (pid, shard) in self.persisted.drain(..) {
            self.hub.kept_by(&pid, shard);
        }
        let credit = Arc::new(BatchCredit { trunk: Arc::clone(trunk), bytes: cost });
        for (shard, share) in shares.iter_mut().enumerate() {
            if !share.is_empty() {
                let frames = std::mem::take(share);
                let credit = Arc::clone(&credit);
                let batch = Command::Batch { trunk: trunk.number, frames, credit };
                self.door.tell(u8::try_from(shard).unwrap_or(u8::MAX), batch).await;
            }
        }
    }

    /// Before the first broadcast of a read: what came in on the hub's other trunks earlier takes effect first.
    async fn let_others_first(&mut self, shares: &mut [Vec<Frame>], cost: &mut u64) {
        let read = std::mem::take(&mut self.unordered);
        let (Some(mut place), Some(trunk)) = (self.place.take(), self.trunk.clone()) else {
            return;
        };
        let ahead = place.look();
        if !ahead.is_empty() {
            // Others may wait for these, and this one is not to keep them up meanwhile.
            self.deal_out(&trunk, shares, std::mem::take(cost)).await;
            if !place.let_pass(ahead, changes_behind_broadcast(&read)).await {
                self.door.env().metrics.trunk_waits_expired.inc();
            }
        }
        self.place = Some(place);
        self.door.catch_up().await;
    }

    /// Puts a frame into the share of the shard, or of all shards, that it concerns, or sees to it here.
    fn deal(&mut self, frame: Frame, shares: &mut [Vec<Frame>]) {
        if let Err(rule) = self.namespaces.handle(&frame) {
            return self.link.handle_misbehaved(rule);
        }
        if let Some(session) = frame.session() {
            let shards = u32::try_from(shares.len()).unwrap_or(u32::MAX);
            let shard = shard_of(session, shards);
            if let Frame::Persist(persist) = &frame {
                let keeper = u8::try_from(shard).unwrap_or(u8::MAX);
                self.persisted.push((persist.pid.clone(), keeper));
            }
            shares[shard].push(frame);
            return;
        }
        let Some(trunk) = self.trunk.clone() else { return };
        let env = self.door.env();
        #[expect(clippy::wildcard_enum_match_arm, reason = "the link passes only these on")]
        let frame = match frame {
            Frame::Response { request_id, response } => {
                if let Err(rule) = trunk.response(request_id, response) {
                    self.link.handle_misbehaved(rule);
                }
                return;
            }
            Frame::Relay { to, payload } => {
                self.relays.push((to, payload));
                return;
            }
            Frame::Restore { request_id, nsp, pid, offset } => {
                if let Err(rule) = trunk.restore_begins(request_id) {
                    return self.link.handle_misbehaved(rule);
                }
                let nsp = match self.namespaces.name(nsp) {
                    Ok(name) => Box::from(name.as_str()),
                    Err(rule) => return self.link.handle_misbehaved(rule),
                };
                self.restores.push(Ask::Restore(RestoreRequest {
                    trunk: trunk.number,
                    hub: Arc::clone(&self.hub),
                    request_id,
                    nsp,
                    pid,
                    offset,
                }));
                return;
            }
            Frame::GiveBack { nsp, pid } => {
                let nsp = match self.namespaces.name(nsp) {
                    Ok(name) => Box::from(name.as_str()),
                    Err(rule) => return self.link.handle_misbehaved(rule),
                };
                self.restores.push(Ask::GiveBack(GiveBack { hub: self.hub.number, nsp, pid }));
                return;
            }
            Frame::Broadcast(_) | Frame::Recorded { .. } => {
                env.metrics.broadcasts.inc();
                frame
            }
            other => other,
        };
        let (last, others) = shares.split_last_mut().expect("at least one shard");
        for share in others {
            share.push(frame.clone());
        }
        last.push(frame);
    }

    /// Asks the shard that keeps the socket, or answers at once that none does.
    async fn restore(&mut self, request: RestoreRequest) {
        let Some(trunk) = &self.trunk else { return };
        // Without numbers nobody could say what it has when it comes back elsewhere.
        let keeper = self.hub.keeper_of(&request.pid).filter(|_| trunk.settings.numbers);
        if let Some(shard) = keeper {
            self.door.tell(shard, Command::Restore(Box::new(request))).await;
        } else {
            let mut frame = BytesMut::new();
            not_found(request.request_id, &trunk.settings).encode(&mut frame);
            trunk.restore_ends(request.request_id);
            trunk.push(&frame);
            let outcome = Outcome { outcome: "not_found" };
            self.door.env().metrics.recoveries.get_or_create(&outcome).inc();
        }
    }

    /// Shards have their turns one after another, from the one after that which used up the credit last: told all at
    /// once, this thread's own would always be the first.
    async fn credit_returned(&mut self, bytes: u32) {
        let Some(trunk) = &self.trunk else { return };
        if !trunk.add_credit(bytes) {
            return;
        }
        let trunk = Arc::clone(trunk);
        let shards = self.door.peers().len();
        for _ in 0..shards {
            let shard = u8::try_from(self.next_credited).unwrap_or(u8::MAX);
            let (reply, resumed) = oneshot::channel();
            self.door.tell(shard, Command::CreditReturned { trunk: trunk.number, reply }).await;
            let served = resumed.await.unwrap_or(false);
            if served || trunk.has_credit() {
                self.next_credited = (self.next_credited + 1) % shards;
            }
            if !trunk.has_credit() {
                return;
            }
        }
    }

    async fn drain_events(&mut self) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Hello(hello) => self.welcome(&hello).await,
                LinkEvent::PeerDrains { .. } => {
                    if let Some(trunk) = &self.trunk {
                        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, "app server takes no new sessions");
                        trunk.set_draining();
                    }
                }
                LinkEvent::Ended(cause) => self.note_end(&cause),
                // Ours is counted in `Trunk`, where the shards can see it.
                LinkEvent::CreditReturned | LinkEvent::Welcome(_) => (),
            }
        }
    }

    fn note_end(&mut self, cause: &EndCause) {
        let slug = match cause {
            EndCause::GivenUp(ErrorCode::Limit) => "limit",
            EndCause::GivenUp(ErrorCode::Replaced) => "replaced",
            EndCause::GivenUp(ErrorCode::Settings) => "bad_settings",
            EndCause::GivenUp(ErrorCode::Silence) => "silent",
            EndCause::GivenUp(_) => "given_up",
            EndCause::Misbehaved(trunkline_trunk::Misbehaved::Silence) => "silent",
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

    /// The app has other options: before the frames behind this one, every shard knows.
    async fn change_settings(&mut self, settings: &str) {
        let Some(trunk) = self.trunk.clone() else { return };
        let changed = match self.take_settings(settings) {
            Ok((changed, _)) => Arc::new(EngineSettings {
                path: trunk.settings.path.clone(),
                add_trailing_slash: trunk.settings.add_trailing_slash,
                per_message_deflate: trunk.settings.per_message_deflate,
                ..changed
            }),
            Err(error) => {
                tracing::warn!(hub = %self.hub.name, address = %self.address, "app server's new options refused: {error}");
                self.link.give_up(ErrorCode::Settings, Str::from(error));
                return;
            }
        };
        for shard in 0..self.door.peers().len() {
            let command = Command::Settings(trunk.number, Arc::clone(&changed));
            self.door.tell(u8::try_from(shard).unwrap_or(u8::MAX), command).await;
        }
        self.hub.settings_changed(&changed);
    }

    /// The app's settings as far as this node can carry them out, and what it cannot.
    fn take_settings(&self, settings: &str) -> Result<(EngineSettings, Vec<String>), String> {
        let mut settings =
            EngineSettings::from_json(settings).map_err(|error| error.to_string())?;
        let mut warnings = Vec::new();
        // A frame cannot be cut in two, so the largest message must fit into a batch.
        let batch_bytes_max = self.door.env().limits.trunk_batch_bytes_max;
        let largest = batch_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES);
        if settings.max_http_buffer_bytes as usize > largest {
            warnings.push(format!(
                "option \"maxHttpBufferSize\" is {}; here {largest} holds, unless the node's limit trunk_batch_bytes_max is raised",
                settings.max_http_buffer_bytes
            ));
            settings.max_http_buffer_bytes = u32::try_from(largest).unwrap_or(u32::MAX);
        }
        Ok((settings, warnings))
    }

    /// The app server said who it is: takes it, or says why not.
    async fn welcome(&mut self, hello: &Hello) {
        let (settings, mut warnings) = match self.take_settings(&hello.settings) {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(hub = %self.hub.name, address = %self.address, "app server refused: {error}");
                self.link.give_up(ErrorCode::Settings, Str::from(error));
                return;
            }
        };
        let env = Arc::clone(self.door.env());
        for (what, text, bytes_max) in [
            ("server id", &hello.server, SERVER_ID_BYTES_MAX),
            ("SDK's name", &hello.sdk, SDK_BYTES_MAX),
        ] {
            let bytes = text.as_bytes().len();
            if bytes > bytes_max || bytes == 0 {
                let message =
                    format!("the {what} in Hello has {bytes} bytes; 1 to {bytes_max} are allowed");
                tracing::warn!(hub = %self.hub.name, address = %self.address, "app server refused: {message}");
                self.link.give_up(ErrorCode::Limit, Str::from(message));
                return;
            }
        }
        let server_id = hello.server.to_string();
        if let Some(older) = self.hub.trunk_of_server(&server_id) {
            older.end(Ending::Replaced);
        }
        let trunk = Arc::new(Trunk::new(
            NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            Arc::clone(&self.hub),
            (server_id, hello.sdk.to_string()),
            self.address,
            settings,
            hello.credit,
            self.now(),
        ));
        if let Err(warning) = env.directory.claim_path(&trunk) {
            env.metrics.paths_refused.inc();
            warnings.push(warning);
        }
        if trunk.settings.connection_state_recovery.is_some() && !trunk.settings.numbers {
            warnings.push(format!(
                "option \"connectionStateRecovery\": {} does not number its broadcasts, so clients come back as new sockets; update the SDK",
                trunk.sdk
            ));
        }
        let info = serde_json::json!({
            "node": env.node_id,
            "version": env.version,
            "warnings": warnings,
            "frames": FRAMES,
            "namespaces_max": env.limits.trunk_namespaces_max,
            "everyRequest": true,
        });
        let now = self.now();
        self.link.welcome(now, Str::from(info.to_string()));
        // `Welcome` is the first frame, whatever the shards may have to say a moment later.
        self.drain_link();
        for shard in 0..self.door.peers().len() {
            let (known, is_known) = oneshot::channel();
            let up = Command::TrunkUp(Arc::clone(&trunk), known);
            self.door.tell(u8::try_from(shard).unwrap_or(u8::MAX), up).await;
            // Sessions are given to it once every shard can take its answers. A shard that is gone takes the node along.
            let _ = is_known.await;
        }
        match Place::new(&self.hub, trunk.number, self.stream.as_fd()) {
            Ok(place) => self.place = Some(place),
            Err(error) => {
                tracing::warn!(hub = %self.hub.name, server = %trunk.server_id, %error, "broadcasts may overtake other app servers' changes of rooms: the trunk's stream cannot be watched");
            }
        }
        env.directory.trunk_up(&trunk);
        env.metrics.trunks.inc();
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, sdk = %trunk.sdk, address = %self.address, "app server connected");
        self.trunk = Some(trunk);
    }

    /// Encodes the link's own frames, each batch of them one message.
    fn drain_link(&mut self) {
        if let Some(trunk) = &self.trunk {
            let processed = trunk.take_processed();
            if processed > 0 {
                self.link.processed(processed);
            }
            match trunk.ending() {
                Some(Ending::Misbehaved(rule)) => self.link.handle_misbehaved(rule),
                Some(Ending::Replaced) => {
                    let message = "another trunk of this app server process has taken over";
                    self.link.give_up(ErrorCode::Replaced, Str::from_static(message));
                }
                Some(Ending::NodeStops) => {
                    self.closing.get_or_insert((1001, "node_stops"));
                }
                None => (),
            }
        }
        let mut frames = BytesMut::new();
        while let Some(frame) = self.link.poll_transmit() {
            frame.encode(&mut frames);
        }
        if !frames.is_empty() {
            self.append_message(&frames);
        }
        while let Some(event) = self.link.poll_event() {
            if let LinkEvent::Ended(cause) = event {
                self.note_end(&cause);
            }
        }
    }

    /// Takes what the shards have written, once what came before is on its way.
    fn take_outbox(&mut self) {
        if !self.out.is_empty() {
            return;
        }
        let Some(trunk) = self.trunk.clone() else { return };
        let frames = trunk.take_outbox();
        let batch_bytes_max = self.link.batch_bytes_max() as usize;
        for batch in split(&frames, batch_bytes_max) {
            self.append_message(batch);
        }
    }

    fn append_message(&mut self, frames: &[u8]) {
        let mut header = [0; 14];
        let length = encode_header(Opcode::Binary, frames.len(), &mut header, None);
        self.out.reserve(length + frames.len());
        self.out.extend_from_slice(&header[..length]);
        self.out.extend_from_slice(frames);
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(count) => {
                    self.door.env().metrics.trunk_sent_bytes.inc_by(count as u64);
                    self.out.advance(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // A large batch's buffer is not kept for small ones.
        if self.out.capacity() > READ_BYTES {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    /// Delivers what is left and closes the WebSocket, within bounds.
    async fn say_goodbye(&mut self) {
        let code = self.closing.map_or(1000, |(code, _)| code);
        self.out.extend_from_slice(&encode_close(code, "", None));
        let delivered = async {
            while !self.out.is_empty() {
                self.stream.writable().await?;
                self.write()?;
            }
            // The peer answers with its own close frame or just ends.
            let mut rest = [0; 4096];
            loop {
                self.stream.readable().await?;
                match self.stream.try_read(&mut rest) {
                    Ok(0) => return Ok(()),
                    Ok(_) => (),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                    Err(error) => return Err(error),
                }
            }
        };
        // Whoever does not take the goodbye in time goes without.
        let _: Result<io::Result<()>, _> = tokio::time::timeout(GOODBYE_TIMEOUT, delivered).await;
    }

    async fn clean_up(&mut self, cause: &'static str) {
        self.place = None;
        let Some(trunk) = self.trunk.take() else { return };
        self.door.env().directory.trunk_down(&trunk);
        trunk.fail_requests();
        self.door.env().metrics.trunks.dec();
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, sessions = trunk.sessions(), cause, "app server disconnected");
        for shard in 0..self.door.peers().len() {
            let down = Command::TrunkDown(trunk.number);
            self.door.tell(u8::try_from(shard).unwrap_or(u8::MAX), down).await;
        }
    }
}
