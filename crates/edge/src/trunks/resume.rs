//! A trunk whose stream broke continues on another one.
//!
//! The app server opens a new stream and names the trunk in `Hello`. The task of that stream offers
//! it to the trunk's own task, which may still believe in the old stream or wait for a new one. It
//! answers with `Welcome`, and sends again what the app server has not received.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, sleep_until};
use trunkline_trunk::settings::Resume;
use trunkline_trunk::{FrameKind, Greeting, NodeInfo, ResumeInfo};

use super::stream::TrunkTask;
use crate::environment::Environment;
use crate::hub::{Offer, Origin, Remains, Taken, Trunk};
use crate::watched::Watched;

/// The most reads of what is left in a stream that broke.
const LAST_READS_MAX: usize = 1024;
/// The longest wait for an app server whose stream was ended by its own address: it is gone, unless
/// something between has ended the stream in its name.
const ENDED_WINDOW: Duration = Duration::from_millis(200);

/// How a stream broke.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broke {
    /// The cause of the trunk's end, if it does not continue.
    pub(super) cause: &'static str,
    /// Whether the other end of the stream has ended it.
    ended: bool,
}

impl Broke {
    /// The stream came to its end.
    pub(super) const GONE: Self = Self { cause: "app_server_gone", ended: true };
}

impl From<io::Error> for Broke {
    fn from(error: io::Error) -> Self {
        let ended = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        Self { cause: "stream_broken", ended }
    }
}

/// What `Welcome` says to the app server of this trunk.
pub(super) fn info_for<'a>(
    env: &'a Environment,
    trunk: &'a Trunk,
    warnings: &'a [String],
) -> NodeInfo<'a> {
    const RESUME: &[FrameKind] = &[FrameKind::Got];
    const RESUME_AND_REHOME: &[FrameKind] = &[
        FrameKind::Got,
        FrameKind::Handled,
        FrameKind::Operate,
        FrameKind::Standing,
        FrameKind::State,
    ];
    let frames = if env.limits.rehome { RESUME_AND_REHOME } else { RESUME };
    let resume = trunk.resuming.as_ref().map(|resuming| ResumeInfo {
        trunk: resuming.token(),
        window: env.limits.trunk_resume_window,
    });
    NodeInfo { frames, resume, ..NodeInfo::new(&env.node_id, env.version, warnings) }
}

impl TrunkTask {
    /// Offers this task's stream to the trunk that the app server wants to continue; true when it
    /// is gone from here. Otherwise the stream is to become a new trunk.
    pub(super) async fn give_stream_away(&mut self, greeting: &Greeting) -> bool {
        let Some(Resume { trunk: token, received }) = &greeting.own.resume else { return false };
        // By the rules nothing comes before `Welcome`.
        if self.node.has_unread() {
            return false;
        }
        let Some(trunk) = self.hub.trunk_to_resume(&greeting.server, token) else {
            tracing::info!(hub = %self.hub.name, server = %&*greeting.server, "app server comes back to a trunk that is not there any more, and gets a new one");
            return false;
        };
        let Some(stream) = self.stream.take() else { return false };
        let offer = Offer {
            socket: stream.into_socket(),
            decoder: std::mem::take(&mut self.decoder),
            permit: self.permit.take(),
            address: self.address,
            key: self.key,
            from: greeting.own.from,
            received: *received,
        };
        let back = match trunk.offer(Box::new(offer)) {
            Ok(answer) => match answer.await {
                Ok(back) => back,
                // Another stream of the same app server came after this one.
                Err(_) => return true,
            },
            Err(back) => Some(back),
        };
        let Some(back) = back else { return true };
        let Offer { socket, decoder, permit, .. } = *back;
        self.decoder = decoder;
        self.permit = permit;
        match Watched::new(socket) {
            Ok(stream) => self.stream = Some(stream),
            Err(_) => return true,
        }
        false
    }

    /// Continues on the stream that is offered, if any; false when this task has no new stream.
    pub(super) fn take_stream(&mut self) -> bool {
        let Some(trunk) = self.trunk.clone() else { return false };
        let offered = trunk.resuming.as_ref().and_then(|resuming| resuming.take());
        offered.is_some_and(|(offer, taken)| self.continue_on(&trunk, *offer, taken))
    }

    fn continue_on(&mut self, trunk: &Arc<Trunk>, offer: Offer, taken: Taken) -> bool {
        let Offer { socket, decoder, permit, address, key, from, received } = offer;
        // Without a reactor for it the stream is lost, and its app server comes again.
        let Ok(stream) = Watched::new(socket) else { return false };
        let env = Arc::clone(self.door.env());
        let now = self.now();
        let resumed = self.node.resume(now, received, info_for(&env, trunk, &[]));
        let (welcome, again) = match resumed {
            Ok(resumed) if self.closing.is_none() => resumed,
            refused => {
                let why = refused.err().map_or_else(|| "it ends".into(), |why| why.to_string());
                tracing::info!(hub = %self.hub.name, server = %trunk.server_id, "app server cannot continue its trunk: {why}");
                let socket = stream.into_socket();
                let back = Offer { socket, decoder, permit, address, key, from, received };
                // The task of the stream waits for this answer.
                let _ = taken.send(Some(Box::new(back)));
                return false;
            }
        };
        // Everything that was read is with the shards, and the rest will come again.
        self.end_round();
        if let Some(place) = &self.place
            && let Err(error) = place.watch(stream.as_fd())
        {
            tracing::warn!(hub = %self.hub.name, server = %trunk.server_id, %error, "broadcasts may overtake this app server's changes of rooms: the trunk's stream cannot be watched");
        }
        self.stream = Some(stream);
        self.decoder = decoder;
        self.permit = permit;
        self.address = address;
        self.key = key;
        trunk.set_key(key);
        self.from = from;
        self.stopped = false;
        let mut first = BytesMut::new();
        welcome.encode(&mut first);
        self.out.clear();
        self.out.batch(first.freeze(), false);
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, %address, again = again.len(), "app server continues its trunk on another stream");
        for batch in again {
            self.out.batch(batch, true);
        }
        trunk.set_broken(None);
        trunk.heard(now);
        self.check_key(trunk);
        env.metrics.trunks_resumed.inc();
        // The task of the stream may have been stopped with the node.
        let _ = taken.send(None);
        true
    }

    /// Reads what is left in a stream that cannot be written to any more: an app server that dies
    /// may have said something before.
    pub(super) async fn hear_the_rest(&mut self, buffer: &mut [u8], error: io::Error) -> Broke {
        for _ in 0..LAST_READS_MAX {
            let Some(stream) = &self.stream else { break };
            match stream.socket().read(buffer) {
                Ok(0) => return Broke { ended: true, ..error.into() },
                Ok(count) => self.hear(&mut buffer[..count]).await,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return error.into(),
            }
        }
        Broke { ended: false, ..error.into() }
    }

    /// Waits until the app server continues on another stream. The error is the cause of the
    /// trunk's end.
    pub(super) async fn wait_for_stream(&mut self, broke: Broke) -> Result<(), &'static str> {
        self.stopped = broke.ended && self.is_direct();
        self.stream = None;
        self.permit = None;
        let Some(trunk) = self.trunk.clone().filter(|trunk| trunk.resuming.is_some()) else {
            return Err(self.cause_of_end(broke));
        };
        if self.closing.is_some() || !self.node.is_up() {
            return Err(self.cause_of_end(broke));
        }
        self.end_round();
        if let Some(place) = &self.place {
            place.set_deaf(true);
        }
        trunk.set_broken(Some(self.now()));
        self.hub.tell_unhomed();
        let mut window = self.door.env().limits.trunk_resume_window;
        if self.stopped {
            window = window.min(ENDED_WINDOW);
        }
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, sessions = trunk.sessions(), cause = broke.cause, window_ms = window.as_millis(), "an app server's stream broke; it may continue on another one");
        let until = Instant::now() + window;
        loop {
            self.take_notes();
            self.carry_out().await;
            if let Some((_, cause)) = self.closing {
                return Err(cause);
            }
            if self.take_stream() {
                return Ok(());
            }
            tokio::select! {
                () = trunk.wake_writer.notified() => (),
                () = sleep_until(until) => break,
            }
        }
        // A stream may have come at the last moment.
        if self.take_stream() {
            return Ok(());
        }
        tracing::info!(hub = %self.hub.name, server = %trunk.server_id, "app server did not continue its trunk in time");
        Err(self.cause_of_end(broke))
    }

    /// The cause of the trunk's end when a stream broke: what the app server said before counts
    /// first.
    fn cause_of_end(&self, broke: Broke) -> &'static str {
        self.closing.map_or(broke.cause, |(_, cause)| cause)
    }

    /// Whether nothing is seen between the app server and this node: then the stream ends because
    /// the app server has ended it, or something between has in its name.
    fn is_direct(&self) -> bool {
        let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        let Origin::Outside(seen) = self.address else { return false };
        self.from.is_some_and(|from| canonical(from) == canonical(seen))
    }

    /// What the app server had not handled, for the shards.
    pub(super) fn remains(&self, trunk: &Trunk, cause: &str) -> Remains {
        if !trunk.own.rehome {
            return Remains::default();
        }
        let stopped = self.stopped || cause == "app_server_closed";
        let unhandled = self.node.unhandled(self.out.unwritten(), stopped);
        Remains {
            doubtful: unhandled.doubtful,
            ahead: unhandled.ahead,
            unbegun: unhandled.unbegun,
            incomplete: unhandled.incomplete,
        }
    }
}
