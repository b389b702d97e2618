//! Every limit of the public port in one place.

use std::time::Duration;

use trunkline_switchboard::affinity::Patience;

/// The limits for what strangers, clients and app servers can make this node hold or wait for.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Sessions of all hubs together. Further handshakes are answered 503.
    pub sessions_max: usize,
    /// Sessions of one hub, unless its own [`HubLimits`](crate::HubLimits) say otherwise; the same
    /// for the other limits of hubs.
    pub hub_sessions_max: Option<usize>,
    /// App servers of one hub.
    pub hub_app_servers_max: Option<usize>,
    /// Sessions of one app server, over all nodes as far as this one knows.
    pub app_server_sessions_max: Option<usize>,
    /// Messages per second of all clients of one hub together, of which two seconds' worth may come
    /// at once. Beyond it they are read in turn.
    pub hub_messages_per_second: Option<u32>,
    /// The same for bytes.
    pub hub_bytes_per_second: Option<u32>,
    /// Open streams (TCP connections) on the public port. Beyond it, a few more are served for
    /// existing sessions and app servers; a handshake over them is answered 503.
    pub streams_max: usize,
    /// Open streams of one address. Further ones are refused with 429.
    pub address_streams_max: Option<u32>,
    /// Sessions of one address. Further handshakes are answered 429.
    pub address_sessions_max: Option<u32>,
    /// Handshakes of one address, per second; ten times as many at once after a pause. Further ones
    /// are answered 429.
    pub address_handshakes_per_second: Option<u32>,
    /// Requests of one address that fail by the client's own fault, per second; ten times as many
    /// at once after a pause. Further ones are answered 429, and in the end its streams refused.
    pub address_failures_per_second: Option<u32>,
    /// Open streams on the port for app servers, if they have one of their own.
    pub trunk_streams_max: usize,
    /// Time for a new stream's TLS handshake, and for the header of a proxy before it.
    pub tls_handshake_timeout: Duration,
    /// Streams of one port that owe a handshake or such a header at once. Beyond it, further
    /// streams wait in the kernel, and slow ones make room.
    pub tls_handshakes_max: usize,
    /// Bytes of memory in use beyond which handshakes are answered 503, and sessions that hold much
    /// are closed instead of getting more. `None` is no ceiling.
    pub memory_bytes_max: Option<usize>,
    /// Bytes that may wait for a client that does not read. A client that reads may have more.
    pub outbox_bytes_max: usize,
    /// Time in which a client with more than that must read a sixteenth of what waits for it.
    pub outbox_stall: Duration,
    /// Bytes of one request's line and headers.
    pub header_bytes_max: usize,
    /// Time to send a request's headers.
    pub header_timeout: Duration,
    /// Time that a connection is kept for another request.
    pub keep_alive_timeout: Duration,
    /// Time to send a polling request's body.
    pub body_timeout: Duration,
    /// Time for a client to read an answer.
    pub answer_timeout: Duration,
    /// Time for an app server to answer a handshake.
    pub handshake_timeout: Duration,
    /// Time without a sign of life after which an app server with an unanswered handshake counts as
    /// hanging: other app servers are asked instead. One that answers pings, but no handshakes, has
    /// five times as long.
    pub handshake_retry_after: Duration,
    /// Handshakes and relayed requests of one trunk that are waiting for the app server.
    pub handshakes_pending_max: usize,
    /// Trunks of one hub. Further ones are answered 503.
    pub trunks_per_hub_max: usize,
    /// Bytes of one trunk message.
    pub trunk_batch_bytes_max: usize,
    /// Bytes of data that an app server may send before the node has processed its earlier data.
    pub trunk_credit_bytes: u32,
    /// Time without a frame on a trunk after which it is pinged; three such intervals end it.
    pub trunk_ping_interval: Duration,
    /// Time in which an app server whose stream broke may continue the trunk on another one; zero
    /// when trunks are not continued.
    pub trunk_resume_window: Duration,
    /// Namespaces that one app server may name.
    pub trunk_namespaces_max: usize,
    /// Bytes that one app server has not read yet; beyond it, the app server gets no new sessions,
    /// and relays to it are dropped.
    pub trunk_unread_bytes_max: usize,
    /// Bytes of packets and sockets kept for clients that return (connection state recovery), for
    /// each hub.
    pub recovery_bytes_max: usize,
    /// Whether newcomers are given to app servers at the pace at which these answer.
    pub admission: bool,
    /// Time that a newcomer waits until an app server can take it.
    pub admission_wait: Duration,
    /// Messages and bytes per second that one session may send; `None` is no limit. Beyond it, the
    /// session is not read from until the rate allows more.
    pub session_messages_per_second: Option<u32>,
    /// See `session_messages_per_second`.
    pub session_bytes_per_second: Option<u32>,
    /// The same for compressed messages, counted after inflation.
    pub session_inflated_bytes_per_second: Option<u32>,
    /// Time for which a session may send more than that before it is closed.
    pub session_flood_wait: Duration,
    /// Packets in the body of one post; `None` is as many as a body of this size could have.
    pub payload_packets_max: Option<usize>,
    /// Sockets that one session may have, one for each namespace; `None` is no limit.
    pub session_namespaces_max: Option<u32>,
    /// Rooms that the sockets of one session may be in; `None` is no limit.
    pub session_rooms_max: Option<u32>,
    /// Revocations of clients' tokens that one hub keeps. Further ones are refused.
    pub token_revocations_max: usize,
    /// Sessions closed per second after the app server that held them is gone.
    pub orphan_close_per_second: u32,
    /// Whether sessions whose app server is gone are given to others.
    pub rehome: bool,
    /// Time that a session waits for an app server after its own is gone.
    pub home_wait: Duration,
    /// Sessions per second that are given to other app servers although their clients have nothing
    /// to say.
    pub rehome_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 2_000_000,
            hub_sessions_max: None,
            hub_app_servers_max: None,
            app_server_sessions_max: None,
            hub_messages_per_second: None,
            hub_bytes_per_second: None,
            streams_max: 2_000_000,
            // A school, an office or a carrier's gateway has thousands of people behind one address,
            // each with two streams when polling. See docs/operate/internet.md.
            address_streams_max: Some(16_384),
            address_sessions_max: Some(8_192),
            address_handshakes_per_second: Some(200),
            address_failures_per_second: Some(100),
            trunk_streams_max: 4_096,
            tls_handshake_timeout: Duration::from_secs(10),
            tls_handshakes_max: 4_096,
            memory_bytes_max: None,
            outbox_bytes_max: 16 * 1024 * 1024,
            outbox_stall: Duration::from_secs(20),
            header_bytes_max: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            // Longer than the 60 s of nginx and the 120 s of Caddy: the side that would send the
            // next request must be the one that closes an idle connection.
            keep_alive_timeout: Duration::from_secs(130),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(20),
            handshake_retry_after: Duration::from_secs(1),
            handshakes_pending_max: 10_000,
            trunks_per_hub_max: 1_000,
            trunk_batch_bytes_max: 64 * 1024 * 1024,
            trunk_credit_bytes: 16 * 1024 * 1024,
            trunk_ping_interval: Duration::from_secs(10),
            trunk_resume_window: Duration::from_secs(2),
            trunk_namespaces_max: 1_000_000,
            trunk_unread_bytes_max: 16 * 1024 * 1024,
            recovery_bytes_max: 64 * 1024 * 1024,
            admission: true,
            admission_wait: Duration::from_secs(5),
            session_messages_per_second: None,
            session_bytes_per_second: None,
            session_inflated_bytes_per_second: None,
            session_flood_wait: Duration::from_secs(10),
            payload_packets_max: None,
            session_namespaces_max: Some(1_000),
            session_rooms_max: Some(65_536),
            token_revocations_max: 100_000,
            orphan_close_per_second: 2_000,
            rehome: true,
            home_wait: Duration::from_secs(30),
            rehome_per_second: 2_000,
        }
    }
}

/// Streams beyond `streams_max` that are still read: enough to answer a stampede, few enough to
/// afford.
const CROWD: std::ops::RangeInclusive<usize> = 8..=256;

impl Limits {
    /// The time that app servers have to answer, in the form that the choice among them needs.
    pub(crate) fn patience(&self) -> Patience {
        Patience { silent_after: self.handshake_retry_after }
    }

    /// How many streams beyond this limit are read, so that they get an answer.
    pub(crate) fn streams_beyond(max: usize) -> usize {
        crowd_of(max)
    }

    /// Lowers `streams_max` so that it fits when `possible` streams may be open at once, including
    /// those beyond it, and those of the port for app servers if there is one: that port gets a
    /// quarter at most.
    pub fn fit_streams(&mut self, possible: u64, trunk_port: bool) {
        let mut possible = usize::try_from(possible).unwrap_or(usize::MAX);
        if trunk_port {
            let most = (possible / 4).saturating_sub(crowd_of(possible / 4)).max(1);
            self.trunk_streams_max = self.trunk_streams_max.min(most);
            let trunks = self.trunk_streams_max + crowd_of(self.trunk_streams_max);
            possible = possible.saturating_sub(trunks);
        }
        let fitting = possible.saturating_sub(crowd_of(possible)).max(1);
        self.streams_max = self.streams_max.min(fitting);
    }
}

fn crowd_of(streams: usize) -> usize {
    (streams / 16).clamp(*CROWD.start(), *CROWD.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_those_beyond_fit_into_what_is_possible() {
        for possible in [0, 1, 8, 100, 944, 19_920, 1_048_000] {
            for trunk_port in [false, true] {
                let mut limits = Limits::default();
                limits.fit_streams(possible, trunk_port);
                let with_those_beyond = |max| (max + crowd_of(max)) as u64;
                let mut all = with_those_beyond(limits.streams_max);
                if trunk_port {
                    all += with_those_beyond(limits.trunk_streams_max);
                }
                assert!(all <= possible.max(18), "{possible}: {all}");
                assert!(all * 10 >= possible * 9, "{possible}: {all}");
            }
        }
    }
}
