//! One trunk's task: the socket, the WebSocket frames, and the loop. `trunkline_trunk::NodeTrunk`
//! decides what batches mean, and `carry.rs` carries that out.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::sleep_until;
use trunkline_clock::Timestamp;
use trunkline_token::KeyMark;
use trunkline_trunk::{ErrorCode, LinkConfig, NodeTrunk, NodeTrunkConfig, Str};
use trunkline_websocket::{Decoder, Incoming, Opcode, Role, encode, encode_close};

use super::out::Out;
use super::resume::Broke;
use super::unhomed::Unhomed;
use crate::door::Door;
use crate::entrance::StreamPermit;
use crate::hub::{Ahead, Answered, Ending, Hub, Notes, Origin, Place, Trunk};
use crate::metrics::Cause;
use crate::shard::{AdoptedStream, Command};
use crate::socket::Socket;
use crate::watched::Watched;

const READ_BYTES: usize = 256 * 1024;
/// Full reads in a row after which a round ends. No kernel buffer holds as much, so later bytes
/// arrived after any neighbour that waits for this round began to wait.
const FULL_READS_MAX: u32 = 32;
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Abandoned requests that are remembered, so that late answers to them are not taken for faults.
const ABANDONED_MAX: usize = 10_000;
/// The longest time for sending the last frames of a trunk and closing it.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves a trunk until it ends, and cleans up afterwards.
pub(crate) async fn run(
    door: Door,
    (hub, key): (Arc<Hub>, KeyMark),
    address: SocketAddr,
    adopted: AdoptedStream,
) {
    let AdoptedStream { socket, leftover, permit, .. } = adopted;
    let Ok(stream) = Watched::new(socket) else { return };
    let mut task = TrunkTask::new(door, hub, Origin::Outside(address), stream);
    task.permit = Some(permit);
    task.key = Some(key);
    task.run(leftover).await;
}

/// Serves a trunk that never leaves this process until it ends.
pub(crate) async fn run_inside(door: Door, hub: Arc<Hub>, socket: Socket) {
    let Ok(stream) = Watched::new(socket) else { return };
    TrunkTask::new(door, hub, Origin::Inside, stream).run(Bytes::new()).await;
}

/// The task of one trunk, with its stream.
pub(super) struct TrunkTask {
    pub(super) door: Door,
    pub(super) hub: Arc<Hub>,
    pub(super) address: Origin,
    /// The key that signed the token of the stream; `None` inside of this process.
    pub(super) key: Option<KeyMark>,
    /// `None` while the trunk waits for another stream, or when another trunk has taken this one.
    pub(super) stream: Option<Watched>,
    pub(super) permit: Option<StreamPermit>,
    /// The app server's own address, as it says.
    pub(super) from: Option<SocketAddr>,
    /// Set when the app server begins nothing more, and everything that it said has arrived.
    pub(super) stopped: bool,
    /// Set when another stream is offered.
    offered: bool,
    pub(super) node: NodeTrunk,
    pub(super) decoder: Decoder,
    /// `None` until `Hello` is accepted.
    pub(super) trunk: Option<Arc<Trunk>>,
    /// The place among the trunks of the hub; `None` until the app server is accepted.
    pub(super) place: Option<Place>,
    /// The trunks that go before the broadcast that waits.
    pub(super) ahead: Option<Vec<Ahead>>,
    /// The shard whose sessions are the first to continue with new credit.
    pub(super) next_credited: usize,
    /// What is being sent to the app server.
    pub(super) out: Out,
    /// What it knows of sessions of its hub that belong to no app server.
    pub(super) unhomed: Unhomed,
    /// Set when the WebSocket is to be closed with this code once `out` is empty.
    pub(super) closing: Option<(u16, &'static str)>,
}

/// The event that woke the loop.
enum Woken {
    Readable,
    Writable,
    Told,
    Deadline,
}

impl TrunkTask {
    fn new(door: Door, hub: Arc<Hub>, address: Origin, stream: Watched) -> Self {
        let limits = &door.env().limits;
        let link = LinkConfig {
            credit_window_bytes: limits.trunk_credit_bytes,
            opening_timeout: HELLO_TIMEOUT,
            ping_interval: limits.trunk_ping_interval,
            batch_bytes_max: u32::try_from(limits.trunk_batch_bytes_max).unwrap_or(u32::MAX),
        };
        let config = NodeTrunkConfig {
            link,
            namespaces_max: limits.trunk_namespaces_max,
            shards: u16::try_from(door.peers().len()).unwrap_or(u16::MAX),
            abandoned_max: ABANDONED_MAX,
        };
        let node = NodeTrunk::new(door.env().now(), config);
        Self {
            door,
            hub,
            address,
            key: None,
            stream: Some(stream),
            permit: None,
            from: None,
            stopped: false,
            offered: false,
            node,
            decoder: Decoder::new(),
            trunk: None,
            place: None,
            ahead: None,
            next_credited: 0,
            out: Out::default(),
            unhomed: Unhomed::default(),
            closing: None,
        }
    }

    async fn run(mut self, leftover: Bytes) {
        let metrics = self.door.env().metrics.clone();
        let Some(cause) = self.serve(leftover).await else { return };
        metrics.trunks_ended.get_or_create(&Cause { cause }).inc();
        self.clean_up(cause).await;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.door.env().now()
    }

    /// Serves one stream after another. Returns the cause of the end as a slug; `None` when the
    /// stream continues another trunk.
    async fn serve(&mut self, leftover: Bytes) -> Option<&'static str> {
        let mut buffer = vec![0; READ_BYTES];
        if !leftover.is_empty() {
            self.hear(&mut leftover.to_vec()).await;
            self.end_round();
        }
        loop {
            let broke = match self.converse(&mut buffer).await {
                Ok(end) => return end,
                Err(broke) => broke,
            };
            tracing::debug!(address = %self.address, ?broke, "trunk's stream broke");
            if let Err(cause) = self.wait_for_stream(broke).await {
                return Some(cause);
            }
        }
    }

    /// Runs the loop for a stream. Returns like [`Self::serve`], or tells that the stream broke.
    async fn converse(&mut self, buffer: &mut [u8]) -> Result<Option<&'static str>, Broke> {
        let mut full_reads = 0;
        loop {
            self.take_notes();
            if std::mem::take(&mut self.offered) {
                self.take_stream();
            }
            self.carry_out().await;
            if self.stream.is_none() {
                return Ok(None);
            }
            if let Err(error) = self.send_all() {
                return Err(self.hear_the_rest(buffer, error).await);
            }
            if let Some((_, cause)) = self.closing {
                // Other trunks need not wait for bytes that this one will not read.
                self.place = None;
                self.say_goodbye().await;
                return Ok(Some(cause));
            }
            match self.wait().await? {
                Woken::Readable => {
                    if let Some(place) = &self.place {
                        place.begin_round();
                    }
                    let count = match self.stream()?.try_read(buffer) {
                        Ok(0) => return Err(Broke::GONE),
                        Ok(count) => count,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                        Err(error) => return Err(error.into()),
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
                    self.node.handle_timeout(now);
                    if self.unhomed.look_at().is_some_and(|at| at <= now) {
                        self.look_unhomed();
                    }
                }
            }
        }
    }

    pub(super) fn stream(&self) -> io::Result<&Watched> {
        self.stream.as_ref().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Notes that everything read so far is with the shards.
    pub(super) fn end_round(&self) {
        if let Some(place) = &self.place {
            place.end_round();
        }
    }

    async fn wait(&self) -> io::Result<Woken> {
        let origin = self.door.env().origin;
        let deadline = self.node.poll_deadline().into_iter().chain(self.unhomed.look_at()).min();
        let deadline =
            deadline.map(|at| tokio::time::Instant::from_std(origin + at.since(Timestamp::ORIGIN)));
        let far = || tokio::time::Instant::now() + Duration::from_secs(3600);
        let told = async {
            match &self.trunk {
                Some(trunk) => trunk.wake_writer.notified().await,
                None => std::future::pending().await,
            }
        };
        // An app server that does not read its answers is not read from until it does.
        let hears = self.out.len() < self.door.env().limits.trunk_unread_bytes_max;
        if let Some(place) = &self.place {
            place.set_deaf(!hears);
        }
        let stream = self.stream()?;
        tokio::select! {
            ready = stream.readable(), if hears => ready.map(|()| Woken::Readable),
            ready = stream.writable(), if self.is_blocked() => ready.map(|()| Woken::Writable),
            () = told => Ok(Woken::Told),
            () = sleep_until(deadline.unwrap_or_else(far)), if deadline.is_some() => Ok(Woken::Deadline),
        }
    }

    /// Decodes the bytes of one read and lets them take effect.
    pub(super) async fn hear(&mut self, input: &mut [u8]) {
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
            self.out.frame(pong);
        }
        self.handle_batches(batches).await;
        if text {
            let message = Str::from_static("a trunk carries binary messages only");
            self.node.give_up(ErrorCode::Protocol, message);
        }
        if let Err(rule) = decoded {
            tracing::warn!(address = %self.address, %rule, "trunk broke RFC 6455");
            self.closing.get_or_insert((rule.close_code(), "websocket_violation"));
        }
        if closed {
            self.closing.get_or_insert((1000, "app_server_closed"));
        }
    }

    /// Lets the batches of one read take effect.
    async fn handle_batches(&mut self, batches: Vec<Bytes>) {
        if batches.is_empty() {
            return;
        }
        let now = self.now();
        if let Some(trunk) = &self.trunk {
            trunk.heard(now);
        }
        // A number whose question was answered may be used again in these.
        self.take_notes();
        if self.place.as_ref().is_some_and(Place::has_neighbours) {
            self.node.look_before_broadcast();
        }
        for batch in batches {
            self.node.handle_batch(now, batch);
        }
        self.carry_out().await;
    }

    /// Takes the notices of the shards since the last call.
    pub(super) fn take_notes(&mut self) {
        let Some(trunk) = &self.trunk else { return };
        self.node.processed(trunk.take_processed());
        let Notes { abandoned, answered, drain, stream, ping, unhomed } = trunk.take_notes();
        self.offered |= stream;
        for answered in answered {
            match answered {
                Answered::Prove(number) => self.node.proved(number),
                Answered::Restore(number) => self.node.restored(number),
            };
        }
        for key in abandoned {
            self.node.abandon(key);
        }
        if let Some(deadline) = drain {
            self.node.drain(deadline);
        }
        // A new stream is a sign of life itself.
        if ping && self.stream.is_some() {
            self.node.ping();
        }
        let ending = trunk.ending();
        if unhomed {
            self.look_unhomed();
        }
        match ending {
            Some(Ending::Misbehaved(rule)) => self.node.misbehaved(rule),
            Some(Ending::Replaced) => {
                let message = "another trunk of this app server process has taken over";
                self.node.give_up(ErrorCode::Replaced, Str::from_static(message));
            }
            Some(Ending::KeyRemoved) => {
                let message = "the key of this app server is none of this hub's keys any longer: give it one of the present keys (the option key, or TRUNKLINE_KEY)";
                self.node.give_up(ErrorCode::KeyRemoved, Str::from_static(message));
            }
            Some(Ending::HubRemoved) => {
                let message = "this node does not serve this hub any longer: it is gone from the node's configuration";
                self.node.give_up(ErrorCode::HubRemoved, Str::from_static(message));
            }
            Some(Ending::NodeStops) => {
                self.closing.get_or_insert((1001, "node_stops"));
            }
            None => (),
        }
    }

    /// Writes the trunk's own frames and, once the stream accepts bytes again, the clients'
    /// requests and the shards' frames.
    fn send_all(&mut self) -> io::Result<()> {
        let was_blocked = !self.out.is_empty();
        self.send_own();
        if !was_blocked {
            self.take_outbox();
        }
        self.write()?;
        // What the shards wrote while the stream was blocked has already woken this task, and does
        // not wake it again.
        if was_blocked && self.out.is_empty() {
            self.take_outbox();
            self.write()?;
        }
        Ok(())
    }

    /// Encodes the trunk's own frames.
    pub(super) fn send_own(&mut self) {
        let frames = self.own_frames();
        self.send(frames);
    }

    /// Encodes the frames that the machine has to send.
    pub(super) fn own_frames(&mut self) -> BytesMut {
        let mut frames = BytesMut::new();
        while let Some(frame) = self.node.poll_transmit() {
            frame.encode(&mut frames);
        }
        frames
    }

    /// Queues whole frames after what is being sent, together with what is to be confirmed.
    pub(super) fn send(&mut self, mut frames: BytesMut) {
        if frames.is_empty() {
            return;
        }
        if let Some(confirmation) = self.node.confirmation() {
            confirmation.encode(&mut frames);
        }
        for batch in self.node.batches(frames.freeze()) {
            self.node.sent(&batch);
            self.out.batch(batch, true);
        }
        if self.node.take_forgotten()
            && let Some(trunk) = &self.trunk
        {
            self.door.env().metrics.trunks_forgotten.inc();
            tracing::warn!(hub = %self.hub.name, server = %trunk.server_id, "app server has confirmed too little of what it was sent: until it does, its trunk cannot continue on another stream, and when it is lost, its sessions are in doubt");
        }
    }

    /// Queues the batch that begins with `Welcome`, which is not counted.
    pub(super) fn send_uncounted(&mut self, frames: BytesMut) {
        self.out.batch(frames.freeze(), false);
    }

    /// Takes the clients' requests and the shards' frames.
    fn take_outbox(&mut self) {
        let Some(trunk) = self.trunk.clone() else { return };
        for (key, asked) in trunk.take_asked() {
            self.node.request(key, asked.code, asked.context, asked.request);
        }
        self.send_own();
        let (mut frames, weight) = trunk.take_outbox();
        if let Some(ping) = self.node.measure(self.now(), weight) {
            ping.encode(&mut frames);
            if self.node.has_steps() {
                trunk.wake_writer.notify_one();
            }
        }
        self.send(frames);
    }

    fn write(&mut self) -> io::Result<()> {
        let stream = self.stream.as_ref().ok_or(ErrorKind::NotConnected)?;
        while !self.out.is_empty() {
            match self.out.write_to(stream) {
                Ok(count) => {
                    self.door.env().metrics.trunk_sent_bytes.inc_by(count as u64);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if stream.socket().has_unsent() { stream.try_flush() } else { Ok(()) }
    }

    /// Whether something waits for the kernel to accept it.
    fn is_blocked(&self) -> bool {
        let unsent = |stream: &Watched| stream.socket().has_unsent();
        !self.out.is_empty() || self.stream.as_ref().is_some_and(unsent)
    }

    /// Sends the remaining frames and closes the WebSocket, within bounds.
    async fn say_goodbye(&mut self) {
        let code = self.closing.map_or(1000, |(code, _)| code);
        self.out.frame(encode_close(code, "", None));
        let delivered = async {
            while self.is_blocked() {
                self.stream()?.writable().await?;
                self.write()?;
            }
            // The peer answers with its own close frame, or the stream just ends.
            let mut rest = [0; 4096];
            loop {
                let stream = self.stream()?;
                stream.readable().await?;
                match stream.try_read(&mut rest) {
                    Ok(0) => return Ok(()),
                    Ok(_) => (),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                    Err(error) => return Err(error),
                }
            }
        };
        // A peer that does not read the close frame in time goes without it.
        let _: Result<io::Result<()>, _> = tokio::time::timeout(GOODBYE_TIMEOUT, delivered).await;
    }

    async fn clean_up(&mut self, cause: &'static str) {
        self.place = None;
        let Some(trunk) = self.trunk.take() else { return };
        self.door.env().directory.trunk_down(&trunk);
        if let Some(resuming) = &trunk.resuming {
            resuming.close();
        }
        trunk.fail_requests();
        self.door.env().metrics.trunks.dec();
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, sessions = trunk.sessions(), cause, "app server disconnected");
        let remains = Arc::new(self.remains(&trunk, cause));
        for shard in 0..self.door.peers().len() {
            let down = Command::TrunkDown { trunk: trunk.number, remains: Arc::clone(&remains) };
            self.door.tell(u8::try_from(shard).unwrap_or(u8::MAX), down).await;
        }
    }
}
