//! Puts the Azure door on the public port.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use trunkline_azure as azure;
use trunkline_azure::identity;
use trunkline_azure::webhook::{self, Handlers};
use trunkline_edge as edge;
use trunkline_mesh::PeerKey;

use crate::config::{Config, Hub};
use crate::resolve;

/// How long the start waits for hubs that need no app server.
const TRUNKS_WAIT_MAX: Duration = Duration::from_secs(5);

/// The edge as the Azure door uses it, once it runs.
#[derive(Debug, Default)]
struct EdgeSide(OnceLock<(edge::Inside, Option<edge::Peers>)>);

impl azure::Edge for EdgeSide {
    fn open(&self, hub: &str) -> io::Result<UnixStream> {
        let (inside, _) = self.0.get().ok_or(io::ErrorKind::NotConnected)?;
        inside.open(hub).map_err(io::Error::other)
    }

    fn say(&self, to: PeerKey, door: u8, hub: &str, number: u32, word: Bytes) -> bool {
        let Some((_, Some(peers))) = self.0.get() else { return false };
        peers.say(to, door, hub, number, word)
    }
}

/// Gives the edge access to the identity providers of the Azure door.
#[derive(Debug)]
struct Voucher(azure::Door);

impl edge::Voucher for Voucher {
    fn vouch(&self, hub: &str, token: &str) -> edge::Vouched {
        let (door, hub, token) = (self.0.clone(), hub.to_owned(), token.to_owned());
        Box::pin(async move { door.verify_client(&hub, &token).await })
    }
}

/// How webhooks serve a hub, if it has event handlers.
fn serverless(config: &Config, hub: &Hub) -> Option<azure::Serverless> {
    let settings = &config.settings;
    (!hub.event_handlers.is_empty()).then(|| azure::Serverless {
        handlers: Handlers(hub.event_handlers.clone()),
        limits: webhook::Limits {
            timeout: settings.webhook_timeout,
            concurrent_max: settings.webhook_concurrent_max,
            pending_max: settings.webhook_pending_max,
            answer_bytes_max: settings.webhook_answer_bytes_max,
        },
        socket_events_max: settings.serverless_socket_events_max,
        waiting_bytes_max: settings.serverless_waiting_bytes_max,
    })
}

/// The running Azure door.
#[derive(Debug)]
pub(crate) struct Azure {
    running: azure::Service,
    edge: Arc<EdgeSide>,
}

/// The longest message of a client: it must fit into a message of the inner trunk, with its
/// envelope.
fn message_bytes_max(config: &Config) -> u32 {
    const AROUND_BYTES: usize = 1024;
    let batch_bytes_max = config.settings.limits.trunk_batch_bytes_max;
    u32::try_from(batch_bytes_max.saturating_sub(AROUND_BYTES))
        .unwrap_or(u32::MAX)
        .min(i32::MAX as u32)
}

/// The door's configuration.
pub(crate) fn settings(config: &Config, listen: SocketAddr) -> azure::Config {
    let hubs = config.hubs.iter().map(|hub| azure::HubConfig {
        name: hub.name.clone(),
        keys: hub.keys.iter().map(|key| azure::Secret::new(key.0.clone())).collect(),
        serverless: serverless(config, hub),
        identity_providers: hub.identity_providers.clone(),
    });
    azure::Config {
        hubs: hubs.collect(),
        spare_hubs: resolve::spare_hubs(config),
        default_hub: config.default_hub.clone(),
        origin: config
            .settings
            .public_endpoints
            .first()
            .map_or_else(|| listen.to_string(), |endpoint| endpoint.host().to_owned()),
        names: resolve::names(config).unwrap_or_else(|| edge::Names::of_listener(listen)),
        reconnect_grace: Duration::from_secs(10),
        message_bytes_max: message_bytes_max(config),
        orphan_close_per_second: config.settings.limits.orphan_close_per_second,
        identity: identity::Limits {
            timeout: config.settings.identity_timeout,
            answer_bytes_max: config.settings.identity_answer_bytes_max,
            refresh: config.settings.identity_refresh,
            retry: config.settings.identity_retry,
        },
        trunk_namespaces_max: config.settings.limits.trunk_namespaces_max,
    }
}

impl Azure {
    /// Prepares a change of the hubs.
    pub(crate) fn prepare(&self, settings: &azure::Config) -> io::Result<azure::Reload> {
        self.running.prepare(settings)
    }

    /// Carries it out.
    pub(crate) fn change(&self, reload: azure::Reload) {
        self.running.change(reload);
    }

    /// Starts the door and puts it on the port.
    pub(crate) fn start(
        config: &Config,
        edge: &mut edge::Edge,
        metrics: &azure::Metrics,
    ) -> io::Result<Self> {
        let settings = settings(config, edge.local_addr());
        let side = Arc::new(EdgeSide::default());
        let (door, running) =
            azure::start(&settings, metrics, Arc::clone(&side) as _, edge.ceiling())?;
        edge.set_voucher(Arc::new(Voucher(door.clone())));
        edge.add_side_door(Arc::new(door));
        Ok(Self { running, edge: side })
    }

    /// Notes that the edge runs, so inner trunks may be opened. Returns once hubs that need no app
    /// server can serve clients.
    pub(crate) fn connect(&self, inside: edge::Inside) {
        // This runs only once, so the cell is empty.
        let peers = inside.peers();
        let _ = self.edge.0.set((inside, peers));
        if !self.running.wait_for_trunks(TRUNKS_WAIT_MAX) {
            tracing::warn!("hubs with event handlers cannot serve clients yet");
        }
    }

    /// Ends the door's tunnels and waits for its thread.
    pub(crate) fn stop(self) {
        self.running.stop();
    }
}
