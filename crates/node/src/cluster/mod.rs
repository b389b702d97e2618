//! The node as one of a cluster: how it reaches the others, what it sees of them, and how it shows
//! that.
//!
//! `edge` drives the mesh on a thread of its own, and `backplane` carries its datagrams. Neither
//! knows the other; they meet here.

mod bus;
mod figures;
mod hubs;
mod ready;
mod seen;
mod status;
mod witness;

use core::net::SocketAddr;

use prometheus_client::registry::Registry;
use trunkline_backplane::BusFigures;
use trunkline_backplane::nats::Settings;
use trunkline_edge::{ClusterConfig, NodeListing};
use trunkline_mesh::{ClusterKey, Identity};

use self::figures::ClusterCollector;
use self::seen::{Seen, Shared};
use self::witness::NodeWitness;
use crate::config::{Advertise, Config};

pub(crate) use self::hubs::digest;
pub(crate) use self::ready::Causes;

/// What the rest of the node sees of its cluster. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    shared: Shared,
    strict: bool,
    bus: BusFigures,
}

/// What [`Cluster::join`] needs of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) id: &'a str,
    pub(crate) version: &'static str,
    pub(crate) listen: SocketAddr,
}

impl Cluster {
    /// Prepares to join; nothing is sent before the edge starts. `None`: the node is alone.
    pub(crate) fn join(
        config: &Config,
        node: Node<'_>,
    ) -> Result<Option<(Self, ClusterConfig)>, getrandom::Error> {
        let Some(cluster) = &config.cluster else { return Ok(None) };
        let incarnation = getrandom::u64()?;
        let identity = Identity {
            cluster: cluster.name.clone(),
            node_id: node.id.to_owned(),
            incarnation,
            number: config.settings.node_number,
            advertise: match &cluster.advertise {
                Advertise::No => String::new(),
                Advertise::Url(url) => url.clone(),
                Advertise::Listener => {
                    let tls = &config.tls;
                    let has_own_port = config.settings.trunk_listen.is_some();
                    let has_tls = if has_own_port { &tls.trunks } else { &tls.public }.is_some();
                    format!("{}://{}", if has_tls { "https" } else { "http" }, node.listen)
                }
            },
            version: node.version.to_owned(),
            hubs_digest: hubs::digest(&config.hubs, &cluster.key),
        };
        let shared = Shared::new(Seen::new(&identity));
        let figures = BusFigures::default();
        let settings = Settings {
            cluster: cluster.name.clone(),
            incarnation,
            node_id: node.id.to_owned(),
            servers: cluster.servers.clone(),
            credentials_file: cluster.credentials_file.clone(),
            ca_file: cluster.ca_file.clone(),
            figures: figures.clone(),
        };
        let of_bus = shared.clone();
        let joined = Self { shared: shared.clone(), strict: cluster.strict, bus: figures };
        let edge = ClusterConfig {
            identity,
            mesh: mesh_config(config),
            key: ClusterKey::new(cluster.key.0.clone().into_bytes()),
            seed: getrandom::u64()?,
            open: Box::new(move || Ok(bus::open(settings, of_bus))),
            witness: Box::new(NodeWitness::new(shared)),
        };
        Ok(Some((joined, edge)))
    }

    /// Lets the app servers know of the nodes from now on.
    pub(crate) fn announce(&self, listing: NodeListing) {
        self.shared.set_listing(listing);
    }

    /// What speaks against new connections to this node, and what an operator should know.
    pub(crate) fn readiness(&self) -> Causes {
        ready::judge(&self.shared.get(), self.strict)
    }

    /// The document for the admin port.
    pub(crate) fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        status::json(&self.shared.get())
    }

    /// Adds the cluster's metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let collector = ClusterCollector::new(self.shared.clone(), self.bus.clone());
        registry.register_collector(Box::new(collector));
    }
}

/// The longest frame holds what waits for one client, or a message of one.
fn mesh_config(config: &Config) -> trunkline_mesh::Config {
    let mesh = trunkline_mesh::Config::default();
    trunkline_mesh::Config { frame_bytes_max: frame_bytes(config), ..mesh }
}

/// The longest frame that limits like these need.
pub(crate) fn frame_bytes(config: &Config) -> usize {
    const AROUND_BYTES: usize = 1 << 20;
    let limits = &config.settings.limits;
    let longest = 2 * limits.outbox_bytes_max.max(limits.trunk_batch_bytes_max) + AROUND_BYTES;
    trunkline_mesh::Config::default().frame_bytes_max.max(longest)
}
