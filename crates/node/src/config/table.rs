//! The key table: every key of Trunkline, once.
//!
//! A row gives the key's doc, name, type, default and value type. The line in `trunkline.toml`, the
//! environment variable, the flag, the help text, the reference page and the field of [`Settings`]
//! are all made from it. To add a key, add a row. A limit's default lives in [`Limits`] next to the
//! code that enforces it.

mod key;

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::LazyLock;

use trunkline_admission::{OriginPattern, Prefix};
use trunkline_azure::webhook::{SystemEvent, UrlTemplate, UserEvents};
use trunkline_backplane::nats::Servers;
use trunkline_edge::{Endpoint, ForwardedHeader, Limits};
use trunkline_tls::TlsVersion;

pub use self::key::Key;
pub(crate) use self::key::flag_name;
use super::addresses::{FORWARDED, ORIGINS, PrefixList, Proxies};
use super::given::Given;
use super::handlers::{EventNames, HandlerUrl, SystemEvents};
use super::kinds::{
    Address, Choice, ClusterName, Count, Endpoints, FilePath, Filter, HubKey, KeyText, Maybe, Name,
    NatsServers, OneUrl, Size, Span, Unless, ValueKind,
};
use super::limits;
use super::mistake::Mistake;
use super::readiness::{Unready, UnreadyOn};

/// Every key, in the order of the reference page.
pub fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(Settings::keys);
    &KEYS
}

macro_rules! key_table {
    (
        $( $section:literal {
            $( $(#[doc = $doc:literal])+ $name:ident: $value:ty = $default:literal, $kind:expr; )+
        } )+
        limits $limits:literal {
            $( $(#[doc = $limit_doc:literal])+ $limit:ident: $limit_kind:expr; )+
        }
    ) => {
        /// The value of every key.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($( $(#[doc = $doc])+ pub $name: $value, )+)+
            /// Every bound of the public port.
            pub limits: Limits,
        }

        impl Settings {
            fn keys() -> Vec<Key> {
                let limits = Limits::default();
                vec![
                    $($( Key::new($section, stringify!($name), &[$($doc),+], &$kind, $default.into()), )+)+
                    $( Key::new(
                        $limits,
                        stringify!($limit),
                        &[$($limit_doc),+],
                        &$limit_kind,
                        $limit_kind.show(&limits.$limit),
                    ), )+
                ]
            }

            /// Parses the strongest text of each key. A wrong text is reported, and the default is
            /// used in its place.
            pub(crate) fn resolve(given: &Given, mistakes: &mut Vec<Mistake>) -> Self {
                let mut limits = Limits::default();
                $( if let Some(value) = given.value(stringify!($limit), &$limit_kind, mistakes) {
                    limits.$limit = value;
                } )+
                Self {
                    $($( $name: given
                        .value(stringify!($name), &$kind, mistakes)
                        .or_else(|| $kind.absent())
                        .unwrap_or_else(|| $kind.parse($default).expect("a test reads every default")), )+)+
                    limits,
                }
            }

            /// Whether a key has the same value in both.
            pub(crate) fn has_same(&self, key: &str, other: &Self) -> bool {
                match key {
                    $($( stringify!($name) => self.$name == other.$name, )+)+
                    $( stringify!($limit) => self.limits.$limit == other.limits.$limit, )+
                    _ => true,
                }
            }

            /// Takes the value of a key from others.
            pub(crate) fn keep(&mut self, key: &str, from: &Self) {
                match key {
                    $($( stringify!($name) => self.$name.clone_from(&from.$name), )+)+
                    $( stringify!($limit) => self.limits.$limit.clone_from(&from.limits.$limit), )+
                    _ => (),
                }
            }

            /// Each key with its value as text, in the order of the table.
            pub fn shown(&self) -> Vec<(&'static str, String)> {
                vec![
                    $($( (stringify!($name), $kind.show(&self.$name)), )+)+
                    $( (stringify!($limit), $limit_kind.show(&self.limits.$limit)), )+
                ]
            }
        }
    };
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Whether a hub's clients need tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientTokens {
    /// Clients may have a token.
    Optional,
    /// Clients must have a token.
    Required,
}

/// The words for the values.
pub(crate) const TOKENS: Choice<ClientTokens> =
    Choice(&[("optional", ClientTokens::Optional), ("required", ClientTokens::Required)]);

const NODE_ID: Name = Name { what: "a name", length_max: 63, letter_first: false };
const HUB: Name = Name { what: "a hub's name", length_max: 128, letter_first: true };
const GIB: u64 = 1 << 30;

const fn span(least_ms: u64, most_s: u64) -> Span {
    Span { least: Duration::from_millis(least_ms), most: Duration::from_secs(most_s) }
}

key_table! {
    "Ports and threads" {
        /// The public port: clients connect here, and app servers unless `trunk_listen` is set.
        listen: SocketAddr = "127.0.0.1:8080", Address;
        /// A port for app servers: trunks, the REST API and Azure's tunnels, which the public port
        /// then refuses. Without it the public port serves everything.
        trunk_listen: Option<SocketAddr> = "", Maybe(Address);
        /// The admin port: health, metrics and status. It has no password, so do not expose it to
        /// strangers.
        admin: Option<SocketAddr> = "127.0.0.1:8081", Unless("off", Address);
        /// Threads that serve the public port; each owns its share of the sessions. "auto" is one per core.
        threads: Option<usize> = "auto", Unless("auto", Count::<usize>::between(1, 256));
        /// This node's name in logs, metrics and messages to app servers.
        node_id: Option<String> = "random", Unless("random", NODE_ID);
        /// A number of this node inside each session id. Nodes of a cluster find free numbers
        /// themselves; a number that is given here is taken unless another node has it.
        node_number: Option<u16> = "random", Unless("random", Count::<u16>::between(0, 65_535));
    }
    "TLS" {
        /// The certificate of the public port, in PEM, followed by those that sign it. With it, the
        /// port speaks TLS 1.2 and 1.3 and nothing else.
        tls_cert_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The private key of that certificate, in PEM, without a password.
        tls_key_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The certificate of the port of `trunk_listen`. Without it, that port is plain.
        trunk_tls_cert_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The private key of that certificate.
        trunk_tls_key_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The certificates of authorities. With them, whoever connects to the port of
        /// `trunk_listen` needs a certificate that one of them has signed, in addition to its key
        /// or token.
        trunk_client_ca_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The certificate of the admin port.
        admin_tls_cert_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The private key of that certificate.
        admin_tls_key_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The oldest version of TLS that the ports offer.
        tls_min_version: TlsVersion = "1.2", Choice(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)]);
    }
    "Cluster" {
        /// The name of the cluster that this node joins. Its nodes find one another through NATS,
        /// and any of them takes any request. Without a name the node is alone and needs no NATS.
        cluster: Option<String> = "", Maybe(ClusterName);
        /// The NATS servers, separated by commas: nats://host:4222, or tls://host:4222 for TLS. A
        /// user and password, or a token, may stand before the host. For `trunkline dev`, default:
        /// nats://127.0.0.1:4222.
        nats: Option<Servers> = "", Maybe(NatsServers);
        /// A file with the credentials for NATS: a JWT and its seed, as `nsc` writes it. It is read
        /// again for each connection.
        nats_credentials_file: Option<PathBuf> = "", Maybe(FilePath);
        /// A file with the certificates of the authorities that NATS's own certificate may come
        /// from, in place of the system's. It makes TLS a must.
        nats_ca_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The key that all nodes of the cluster share. What reaches a node through NATS counts
        /// only if it is signed with it. All users of the machine can see a flag: prefer the
        /// environment or `cluster_key_file`.
        cluster_key: Option<KeyText> = "", Maybe(HubKey);
        /// A file with that key, on one line, in place of `cluster_key`.
        cluster_key_file: Option<PathBuf> = "", Maybe(FilePath);
        /// The address at which app servers reach this node, and only this one; the other nodes
        /// tell it to their app servers. Without it, an app server uses this node only if its own
        /// `endpoint` leads here. For `trunkline dev`, default: the address that the node listens on.
        advertise: Option<String> = "", Maybe(OneUrl);
        /// Whether the node reports at /readyz that it is not ready while NATS is away. "off": it
        /// stays ready, because its own clients are served as before.
        cluster_strict: bool = "off", Choice(&[("off", false), ("on", true)]);
    }
    "Hub and keys" {
        /// The hub that clients reach at /socket.io/. More hubs are tables in the file.
        hub: String = "default", HUB;
        /// The key of that hub; app servers sign with it. All users of the machine can see a flag:
        /// prefer the environment or `key_file`.
        key: Option<KeyText> = "", Maybe(HubKey);
        /// The previous key of that hub. It is valid too, so that app servers can change to the new
        /// key one by one.
        key_previous: Option<KeyText> = "", Maybe(HubKey);
        /// A file with the keys of that hub in place of `key` and `key_previous`: one per line, the current one first.
        key_file: Option<PathBuf> = "", Maybe(FilePath);
        /// Whether clients need a token, signed with a key of their hub. "optional": a token in
        /// `access_token` is checked at /clients/socketio/hubs/NAME if it is there. "required":
        /// clients without a valid token get 401, at every path. A hub's table may override this
        /// for that hub.
        client_tokens: ClientTokens = "optional", TOKENS;
        /// The origins of web pages that may connect, for polling and for WebSockets: exact ones, or
        /// all below a name (https://*.example.com), separated by commas; "null" is pages without
        /// an origin. Others get 403 before the app is asked. "any": the node does not check them.
        /// A hub's table may override this for that hub.
        allowed_origins: Option<Vec<OriginPattern>> = "any", ORIGINS;
        /// What becomes of a session when its client's token ends. "off": it goes on. "close": it is
        /// closed with the cause `token_expired`, and its client reconnects with another token. A
        /// changed value counts for sessions that open from then on.
        client_token_expiry: bool = "off", Choice(&[("off", false), ("close", true)]);
        /// The most sessions of one user (the claim `sub` of clients' tokens) in a hub, at this node.
        user_sessions_max: Option<u32> = "off", Unless("off", Count::<u32>::between(1, 1_000_000_000));
        /// What becomes of one more. "close_oldest": the user's oldest session is closed, with the cause
        /// `user_sessions_full`, when the new one is open. "refuse": the new one gets 429.
        user_sessions_full: bool = "close_oldest", Choice(&[("close_oldest", false), ("refuse", true)]);
        /// The addresses of this node as clients, app servers and callers of the REST API write
        /// them, such as a proxy's, separated by commas. A token of a client, a call or a tunnel
        /// that is signed with a hub's key names one of them as its audience. Default: the address
        /// that the node listens on (and localhost, if that leads to it); for `trunkline dev`, any
        /// address that a request names in its `Host`.
        public_endpoints: Vec<Endpoint> = "", Endpoints;
    }
    "Addresses" {
        /// The proxies in front of this node: addresses and prefixes (192.0.2.0/24), separated by
        /// commas. What they say about their client counts, and they themselves have no limits.
        /// "none": clients connect directly. Without a value, no proxy is believed either, but an address
        /// of a private network whose requests carry X-Forwarded-For has no limits.
        trusted_proxies: Option<Vec<Prefix>> = "", Maybe(Proxies);
        /// Whether streams of trusted proxies begin with a header of the PROXY protocol, version 1
        /// or 2. "on": one without it is refused.
        proxy_protocol: bool = "off", Choice(&[("off", false), ("on", true)]);
        /// The header of trusted proxies that names the client. "auto" is X-Forwarded-For (with
        /// X-Forwarded-Proto), and without it Forwarded. A proxy that writes only Forwarded needs
        /// "forwarded": otherwise its clients could send X-Forwarded-For.
        forwarded_header: ForwardedHeader = "auto", FORWARDED;
        /// The bits of an IPv6 address that are one stranger's, for limits.
        ipv6_prefix: u8 = "64", Count::<u8>::between(16, 64);
        /// The addresses and prefixes without limits per address, separated by commas.
        address_limits_exempt: Vec<Prefix> = "127.0.0.0/8,::1", PrefixList;
        /// A file with the only addresses that may connect to the public port: one address or
        /// prefix per line; # begins a comment. Trusted proxies may always connect; their clients
        /// are checked.
        allow_file: Option<PathBuf> = "", Maybe(FilePath);
        /// A file with addresses that may not connect, in the same form. When both files have an
        /// address, it may not.
        deny_file: Option<PathBuf> = "", Maybe(FilePath);
    }
    "Event handlers" {
        /// The address of that hub's event handler, which receives events of sockets while the hub
        /// has no app server (serverless mode). Further handlers, and those of other hubs, are
        /// tables in the file.
        event_handler: Option<UrlTemplate> = "", Maybe(HandlerUrl);
        /// The system events that the handler accepts.
        event_handler_system_events: Vec<SystemEvent> = "connect,connected,disconnected", SystemEvents;
        /// The clients' events that the handler accepts.
        event_handler_user_events: UserEvents = "*", EventNames;
        /// Time for one try of calling a handler, from connecting to the last byte of its answer.
        webhook_timeout: Duration = "30s", span(10, 600);
        /// Calls of one hub's handlers that may be on the wire at once; the others wait.
        webhook_concurrent_max: usize = "64", Count::<usize>::between(1, 10_000);
        /// Unfinished calls of one hub's handlers: on the wire, waiting, or between two tries.
        /// Further calls are not made. One connection may have an eighth of them, and the last
        /// quarter is for connections that have none.
        webhook_pending_max: usize = "10000", Count::<usize>::between(1, 10_000_000);
        /// The longest answer of a handler. A longer one counts as no answer.
        webhook_answer_bytes_max: usize = "1MiB", Size::<usize>::between(1 << 10, GIB);
        /// Events of one socket that may wait for the event before them. Beyond it, its client is
        /// closed.
        serverless_socket_events_max: usize = "1000", Count::<usize>::between(1, 1_000_000);
        /// Bytes of one hub's events that may wait for earlier events or for the handler. Beyond
        /// it, the client that sent the last one is closed, and clients that join a namespace are
        /// refused. One connection may hold an eighth of them.
        serverless_waiting_bytes_max: usize = "64MiB", Size::<usize>::between(1 << 10, 64 * GIB);
    }
    "Identity providers" {
        /// Time for one request to an identity provider, from connecting to the last byte of its
        /// answer. Tables in the file configure a hub's providers.
        identity_timeout: Duration = "5s", span(10, 60);
        /// The longest answer of an identity provider. A longer one counts as no answer.
        identity_answer_bytes_max: usize = "256KiB", Size::<usize>::between(1 << 10, 16 << 20);
        /// Time after which an identity provider's keys are fetched again. A key that the provider
        /// withdraws stays valid until then.
        identity_refresh: Duration = "1h", span(100, 86_400);
        /// The shortest time between two fetches: after a failure, and when a token names an
        /// unknown key.
        identity_retry: Duration = "30s", span(100, 3_600);
    }
    "Running" {
        /// The lowest level of log lines, on standard error.
        log: String = "info", Filter;
        /// The format of log lines.
        log_format: LogFormat = "text", Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        /// Whether broadcasts to very many sessions are written through io_uring, where the kernel
        /// has it and allows it.
        io_uring: bool = "auto", Choice(&[("auto", true), ("off", false)]);
        /// A file that is written once all ports accept, with their real addresses and the process id as JSON, and
        /// removed at the end.
        ready_file: Option<PathBuf> = "", Maybe(FilePath);
        /// States in which /readyz answers 503, in addition to the drain. A state that is not named
        /// here is only a note there, and the node stays ready. `no_app_server` means: no hub of
        /// this node has an app server.
        unready_on: Vec<Unready> = "memory_full,sessions_full,streams_full", UnreadyOn;
        /// Time after SIGTERM or SIGINT in which the node reports at /readyz that it is not ready
        /// but serves as before, so that balancers send new clients elsewhere. 0s: there is no
        /// balancer and no other node.
        drain_wait: Duration = "0s", span(0, 3_600);
        /// Time after `drain_wait` over which sessions are closed evenly. "auto" is 10s after a
        /// `drain_wait`, while new clients are refused. Without one it is 400ms, and 0s for
        /// `trunkline dev`: clients then reach the next process sooner than a node that closes
        /// slowly.
        drain: Option<Duration> = "auto", Unless("auto", span(0, 3_600));
    }
    limits "Limits" {
        /// The most sessions of all hubs together. Further handshakes are answered 503.
        sessions_max: Count::<usize>::between(1, 100_000_000);
        /// The most sessions of one hub on this node. Further handshakes of its clients are answered
        /// 503. A hub's table may override this for that hub, as the other limits of hubs.
        hub_sessions_max: limits::SESSIONS;
        /// The most app servers of one hub that have a trunk to this node. A further one is refused
        /// and tries again; one that is connected may continue or replace its trunk.
        hub_app_servers_max: limits::APP_SERVERS;
        /// The most sessions of one app server, over all nodes as far as this one knows. Beyond it,
        /// newcomers go to the others. When all of a hub have as many, handshakes are answered 503.
        app_server_sessions_max: limits::SESSIONS;
        /// Messages per second that all clients of one hub together may send to this node, of which
        /// two seconds' worth may come at once. Beyond it they are read in turn, none more than
        /// its share, and none is closed for it.
        hub_messages_per_second: limits::MESSAGES;
        /// The same for bytes, as they arrive.
        hub_bytes_per_second: limits::BYTES;
        /// The most open streams (TCP connections) on the public port; never more than the limit of
        /// open files allows. Further handshakes are answered 503.
        streams_max: Count::<usize>::between(1, 100_000_000);
        /// The most open streams of one address; further ones are refused with 429. An IPv6 network
        /// counts as one address, see `ipv6_prefix`. A polling client has two streams.
        address_streams_max: Unless("off", Count::<u32>::between(1, 100_000_000));
        /// The most sessions of one address. Further handshakes are answered 429.
        address_sessions_max: Unless("off", Count::<u32>::between(1, 100_000_000));
        /// Handshakes of one address per second; after a pause, ten times as many at once. Further
        /// ones are answered 429.
        address_handshakes_per_second: Unless("off", Count::<u32>::between(1, 10_000_000));
        /// Failed requests of one address per second (unknown sessions, bad tokens, malformed
        /// requests); after a pause, ten times as many at once. Further ones are answered 429
        /// without asking the app; beyond five times that, its streams are refused until it has
        /// been quiet for ten seconds.
        address_failures_per_second: Unless("off", Count::<u32>::between(1, 10_000_000));
        /// The most open streams on the port of `trunk_listen`. They are in addition to
        /// `streams_max`, and take at most a quarter of what the limit of open files allows.
        trunk_streams_max: Count::<usize>::between(1, 100_000_000);
        /// Time for a new connection's TLS handshake, and for the header of a proxy before it.
        tls_handshake_timeout: span(10, 600);
        /// The most connections of one port whose handshake, or proxy's header, is under way.
        /// Further ones wait in the kernel, and a slow one makes room after a second.
        tls_handshakes_max: Count::<usize>::between(1, 1_000_000);
        /// Memory in use beyond which handshakes are answered 503, and the sessions that hold most
        /// are closed. "auto" is three quarters of the control group's limit, or of the machine's
        /// memory if that is less.
        memory_bytes_max: Unless("auto", Size::<usize>::between(16 << 20, 1 << 50));
        /// Bytes that may wait for one session's client while it reads nothing. A client that keeps
        /// reading may have more waiting, see `outbox_stall`. A client that reads nothing for a
        /// while (2 s for 16MiB, in proportion) is closed when its app continues to send, or after
        /// that time.
        outbox_bytes_max: Size::<usize>::between(1 << 10, GIB);
        /// Time in which a client for which more than `outbox_bytes_max` waits must read a
        /// sixteenth of it. A client that does not is closed.
        outbox_stall: span(100, 3_600);
        /// The longest request line with its headers.
        header_bytes_max: Size::<usize>::between(8 << 10, 1 << 20);
        /// Time for a request's headers to arrive.
        header_timeout: span(10, 600);
        /// Time that a connection without a request is kept open for the next one. It must be
        /// longer than the same time of a proxy in front; otherwise the proxy sends requests over
        /// connections that close at that moment (502).
        keep_alive_timeout: span(10, 3_600);
        /// Time for the body of a polling request to arrive.
        body_timeout: span(10, 3_600);
        /// Time for a client to read an answer, from its first byte to its last.
        answer_timeout: span(10, 3_600);
        /// Time for an app server to answer a handshake.
        handshake_timeout: span(10, 600);
        /// Time without a sign of life after which an app server with an unanswered handshake
        /// counts as hanging: the handshake is tried at another app server, and new sessions go to
        /// others. An app server that answers pings but no handshakes has five times as long.
        handshake_retry_after: span(50, 120);
        /// Handshakes and relayed requests of one trunk that may wait for the app server.
        handshakes_pending_max: Count::<usize>::between(1, 10_000_000);
        /// The most trunks of one hub: its app servers, each of which learns of all others. A
        /// further one is answered 503.
        trunks_per_hub_max: Count::<usize>::between(1, 100_000);
        /// The longest message on a trunk.
        trunk_batch_bytes_max: Size::<usize>::between(64 << 10, GIB);
        /// Bytes of data that an app server may send before the node has processed its earlier
        /// data.
        trunk_credit_bytes: Size::<u32>::between(64 << 10, GIB);
        /// Time without a frame on a trunk after which it is pinged; three such intervals end it.
        trunk_ping_interval: span(10, 600);
        /// Time in which an app server whose connection broke may continue its trunk on another
        /// one, without any client noticing. An app server whose process has ended is not waited
        /// for. 0 ms turns it off.
        trunk_resume_window: span(0, 60);
        /// The most namespaces that one app server may name.
        trunk_namespaces_max: Count::<usize>::between(1, 100_000_000);
        /// Bytes that one app server has not read yet; beyond it, the app server gets no new
        /// sessions and no relays.
        trunk_unread_bytes_max: Size::<usize>::between(64 << 10, GIB);
        /// Bytes kept for clients that return (connection state recovery), for each hub; 0 keeps
        /// nothing.
        recovery_bytes_max: Size::<usize>::between(0, 64 * GIB);
        /// Whether newcomers are given to app servers at the pace at which these answer handshakes.
        /// After an outage, when all clients return at once, the present clients of an app server
        /// then do not wait for all of the newcomers.
        admission: Choice(&[("auto", true), ("off", false)]);
        /// Time that a newcomer waits until an app server can take it. After that it is answered
        /// 503.
        admission_wait: span(0, 60);
        /// Messages per second that one session may send, of which two seconds' worth may come at
        /// once. A client that sends more is not read from until it may send again.
        session_messages_per_second: Unless("off", Count::<u32>::between(1, 1_000_000_000));
        /// The same for bytes, as they arrive.
        session_bytes_per_second: Unless("off", Size::<u32>::between(64, GIB));
        /// The same for the bytes of compressed messages, after inflation.
        session_inflated_bytes_per_second: Unless("off", Size::<u32>::between(64, GIB));
        /// Time for which a session may keep sending more than that before it is closed, with cause
        /// `flooded`.
        session_flood_wait: span(0, 3_600);
        /// The most packets in the body of one post of a polling client. A post with more is answered
        /// 413 and ends its session. "auto" is 131,072, or one for each 8 bytes of the app's
        /// `maxHttpBufferSize` if that is more.
        payload_packets_max: Unless("auto", Count::<usize>::between(1, 100_000_000));
        /// The most namespaces that one session may be connected to at once. A session that connects
        /// to another one is closed, with cause `namespaces_full`.
        session_namespaces_max: Unless("off", Count::<u32>::between(1, 100_000_000));
        /// The most rooms that one session may be in, over all of its namespaces and without those
        /// that Socket.IO names by a socket's id. A session that joins another one is closed, with
        /// cause `rooms_full`.
        session_rooms_max: Unless("off", Count::<u32>::between(1, 100_000_000));
        /// The most revocations of clients' tokens that a hub keeps. Further ones are refused.
        token_revocations_max: Count::<usize>::between(0, 10_000_000);
        /// Sessions closed per second after the app server that held them is gone.
        orphan_close_per_second: Count::<u32>::between(1, 10_000_000);
        /// Whether the sessions of an app server that is gone, or leaves, are given to another one
        /// of the hub instead of being closed. Only for apps with connection state recovery.
        rehome: Choice(&[("on", true), ("off", false)]);
        /// Time that such a session waits for an app server. 0s: only one that is there already
        /// gets it.
        home_wait: span(0, 3_600);
        /// Such sessions that are given to other app servers per second although their clients
        /// have nothing to say. Those whose clients have are given at once.
        rehome_per_second: Count::<u32>::between(1, 10_000_000);
    }
}

#[cfg(test)]
mod tests;
