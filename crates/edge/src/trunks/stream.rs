//! One trunk's task: the socket, the WebSocket frames, and the loop. `trunkline_trunk::NodeTrunk`
//! decides what batches mean, and `carry.rs` carries that out.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::sleep_until;
use trunkline_clock::Timestamp;
use trunkline_trunk::{ErrorCode, LinkConfig, NodeTrunk, NodeTrunkConfig, Str};
use trunkline_websocket::{Decoder, Incoming, Opcode, Role, encode, encode_close, encode_header};

use crate::door::Door;
use crate::hub::{Ahead, Answered, Ending, Hub, Notes, Origin, Place, Remains, Trunk};
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
pub(crate) async fn run(door: Door, hub: Arc<Hub>, address: SocketAddr, adopted: AdoptedStream) {
    let AdoptedStream { socket, leftover, permit, .. } = adopted;
    let Ok(stream) = Watched::new(socket) else { return };
    let task = TrunkTask::new(door, hub, Origin::Outside(address), stream);
    task.run(leftover).await;
    drop(permit);
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
    pub(super) stream: Watched,
    pub(super) node: NodeTrunk,
    decoder: Decoder,
    /// `None` until `Hello` is accepted.
    pub(super) trunk: Option<Arc<Trunk>>,
    /// The place among the trunks of the hub; `None` until the app server is accepted.
    pub(super) place: Option<Place>,
    /// The trunks that go before the broadcast that waits.
    pub(super) ahead: Option<Vec<Ahead>>,
    /// The shard whose sessions are the first to continue with new credit.
    pub(super) next_credited: usize,
    /// Bytes that are being sent to the app server.
    out: BytesMut,
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
            stream,
            node,
            decoder: Decoder::new(),
            trunk: None,
            place: None,
            ahead: None,
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

    pub(super) fn now(&self) -> Timestamp {
        self.door.env().now()
    }

    /// Runs the loop. Returns the cause of the end as a slug.
    async fn serve(&mut self, leftover: Bytes) -> io::Result<&'static str> {
        let mut buffer = vec![0; READ_BYTES];
        if !leftover.is_empty() {
            self.hear(&mut leftover.to_vec()).await;
            self.end_round();
        }
        let mut full_reads = 0;
        loop {
            self.take_notes();
            self.carry_out().await;
            self.send_all()?;
            if let Some((_, cause)) = self.closing {
                // Other trunks need not wait for bytes that this one will not read.
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
                    self.node.handle_timeout(now);
                }
            }
        }
    }

    /// Notes that everything read so far is with the shards.
    fn end_round(&self) {
        if let Some(place) = &self.place {
            place.end_round();
        }
    }

    async fn wait(&self) -> io::Result<Woken> {
        let origin = self.door.env().origin;
        let deadline = self
            .node
            .poll_deadline()
            .map(|at| tokio::time::Instant::from_std(origin + at.since(Timestamp::ORIGIN)));
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
        tokio::select! {
            ready = self.stream.readable(), if hears => ready.map(|()| Woken::Readable),
            ready = self.stream.writable(), if !self.out.is_empty() => ready.map(|()| Woken::Writable),
            () = told => Ok(Woken::Told),
            () = sleep_until(deadline.unwrap_or_else(far)), if deadline.is_some() => Ok(Woken::Deadline),
        }
    }

    /// Decodes the bytes of one read and lets them take effect.
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
    fn take_notes(&mut self) {
        let Some(trunk) = &self.trunk else { return };
        self.node.processed(trunk.take_processed());
        let Notes { abandoned, answered, drain, ping } = trunk.take_notes();
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
        if ping {
            self.node.ping();
        }
        match trunk.ending() {
            Some(Ending::Misbehaved(rule)) => self.node.misbehaved(rule),
            Some(Ending::Replaced) => {
                let message = "another trunk of this app server process has taken over";
                self.node.give_up(ErrorCode::Replaced, Str::from_static(message));
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
        self.send(&frames);
    }

    /// Encodes the frames that the machine has to send.
    pub(super) fn own_frames(&mut self) -> BytesMut {
        let mut frames = BytesMut::new();
        while let Some(frame) = self.node.poll_transmit() {
            frame.encode(&mut frames);
        }
        frames
    }

    /// Queues whole frames after the bytes that are being sent.
    pub(super) fn send(&mut self, frames: &[u8]) {
        for batch in self.node.batches(frames) {
            append_message(&mut self.out, batch);
        }
    }

    /// Takes the clients' requests and the shards' frames.
    fn take_outbox(&mut self) {
        let Some(trunk) = self.trunk.clone() else { return };
        for (key, asked) in trunk.take_asked() {
            self.node.request(key, asked.code, asked.context, asked.request);
        }
        self.send_own();
        let frames = trunk.take_outbox(self.door.env().neighbours());
        self.send(&frames);
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.try_write(&[IoSlice::new(&self.out)]) {
                Ok(count) => {
                    self.door.env().metrics.trunk_sent_bytes.inc_by(count as u64);
                    self.out.advance(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // The buffer of a large batch is not kept for small ones.
        if self.out.capacity() > READ_BYTES {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    /// Sends the remaining frames and closes the WebSocket, within bounds.
    async fn say_goodbye(&mut self) {
        let code = self.closing.map_or(1000, |(code, _)| code);
        self.out.extend_from_slice(&encode_close(code, "", None));
        let delivered = async {
            while !self.out.is_empty() {
                self.stream.writable().await?;
                self.write()?;
            }
            // The peer answers with its own close frame, or the stream just ends.
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
        // A peer that does not read the close frame in time goes without it.
        let _: Result<io::Result<()>, _> = tokio::time::timeout(GOODBYE_TIMEOUT, delivered).await;
    }

    async fn clean_up(&mut self, cause: &'static str) {
        self.place = None;
        let Some(trunk) = self.trunk.take() else { return };
        self.door.env().directory.trunk_down(&trunk);
        trunk.fail_requests();
        self.door.env().metrics.trunks.dec();
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, sessions = trunk.sessions(), cause, "app server disconnected");
        let remains = Arc::<Remains>::default();
        for shard in 0..self.door.peers().len() {
            let down = Command::TrunkDown { trunk: trunk.number, remains: Arc::clone(&remains) };
            self.door.tell(u8::try_from(shard).unwrap_or(u8::MAX), down).await;
        }
    }
}

fn append_message(out: &mut BytesMut, frames: &[u8]) {
    let mut header = [0; 14];
    let length = encode_header(Opcode::Binary, frames.len(), &mut header, None);
    out.reserve(length + frames.len());
    out.extend_from_slice(&header[..length]);
    out.extend_from_slice(frames);
}
