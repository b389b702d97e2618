//! The logic of every fuzz target, callable on stable: libFuzzer's binaries and `fuzz_smoke` run
//! the same functions.

pub mod admission;
pub mod azure;
pub mod edge;
pub mod engineio;
pub mod inputs;
pub mod mesh;
pub mod socketio;
pub mod strangers;
pub mod switchboard;
pub mod token;
pub mod trunk;
pub mod websocket;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its libFuzzer binary: `<crate>_<what>`.
    pub name: &'static str,
    /// Panics when an invariant does not hold for these bytes.
    pub run: fn(&[u8]),
    /// Well-formed inputs that the smoke run mutates.
    pub seeds: &'static [&'static [u8]],
}

impl Target {
    /// Whether the target reads bytes of strangers. The others play sequences of operations, of
    /// which each takes much longer.
    pub fn is_decoder(&self) -> bool {
        !["edge_shard", "trunk_ends"].contains(&self.name) && !self.name.ends_with("_operations")
    }
}

/// Every target, alphabetical.
pub const TARGETS: &[Target] = &[
    Target { name: "admission_list", run: admission::list, seeds: admission::LIST_SEEDS },
    Target { name: "admission_read", run: strangers::read, seeds: strangers::READ_SEEDS },
    Target { name: "azure_filter", run: azure::filter, seeds: azure::FILTER_SEEDS },
    Target { name: "azure_tunnel", run: azure::tunnel, seeds: azure::TUNNEL_SEEDS },
    Target { name: "azure_word", run: azure::word, seeds: azure::WORD_SEEDS },
    Target { name: "edge_export", run: edge::export, seeds: edge::EXPORT_SEEDS },
    Target { name: "edge_shard", run: edge::shard, seeds: edge::SHARD_SEEDS },
    Target { name: "engineio_input", run: engineio::input, seeds: engineio::INPUT_SEEDS },
    Target {
        name: "engineio_operations",
        run: engineio::operations,
        seeds: engineio::OPERATIONS_SEEDS,
    },
    Target { name: "engineio_snapshot", run: engineio::snapshot, seeds: engineio::SNAPSHOT_SEEDS },
    Target { name: "mesh_decode", run: mesh::decode, seeds: mesh::DECODE_SEEDS },
    Target { name: "mesh_operations", run: mesh::operations, seeds: mesh::OPERATIONS_SEEDS },
    Target { name: "socketio_parse", run: socketio::parse_encode, seeds: socketio::PARSE_SEEDS },
    Target {
        name: "switchboard_operations",
        run: switchboard::operations,
        seeds: switchboard::OPERATIONS_SEEDS,
    },
    Target { name: "token_provider", run: token::provider, seeds: token::PROVIDER_SEEDS },
    Target { name: "trunk_decode", run: trunk::decode, seeds: trunk::DECODE_SEEDS },
    Target { name: "trunk_ends", run: trunk::ends, seeds: trunk::ENDS_SEEDS },
    Target { name: "trunk_operations", run: trunk::operations, seeds: trunk::OPERATIONS_SEEDS },
    Target { name: "trunk_settings", run: trunk::settings, seeds: trunk::SETTINGS_SEEDS },
    Target { name: "websocket_decode", run: websocket::decode, seeds: websocket::DECODE_SEEDS },
    Target { name: "websocket_inflate", run: websocket::inflate, seeds: websocket::INFLATE_SEEDS },
    Target {
        name: "websocket_negotiate",
        run: websocket::negotiate,
        seeds: websocket::NEGOTIATE_SEEDS,
    },
];
