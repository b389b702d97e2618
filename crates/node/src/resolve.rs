//! Makes the public port's configuration from the checked settings: resolves "auto" and "random".

use trunkline_edge::{Certificates, HubConfig, Names, Secret, UserSessions};

use crate::config::{ClientTokens, Config, Mode};
use crate::heap;

/// Fills in cores and random names. Error: the system gives no random bytes.
pub(crate) fn edge_config(
    config: &Config,
    version: &'static str,
) -> Result<trunkline_edge::Config, getrandom::Error> {
    let settings = &config.settings;
    let node_id = match &settings.node_id {
        Some(id) => id.clone(),
        None => format!("n-{:08x}", getrandom::u32()?),
    };
    let node_number = match settings.node_number {
        Some(number) => number,
        None => getrandom::u32()? as u16,
    };
    Ok(trunkline_edge::Config {
        listen: settings.listen,
        trunk_listen: settings.trunk_listen,
        tls: config.tls.public.clone().map(Certificates::new),
        trunk_tls: config.tls.trunks.clone().map(Certificates::new),
        threads: settings.threads.unwrap_or_else(cores),
        node_id,
        node_number,
        version,
        hubs: hubs(config),
        spare_hubs: spare_hubs(config),
        default_hub: config.default_hub.clone(),
        names: names(config),
        limits: settings.limits.clone(),
        addresses: config.addresses.clone(),
        io_uring: settings.io_uring,
        heap_bytes: heap::bytes_in_use,
    })
}

/// The hubs of the public port.
pub(crate) fn hubs(config: &Config) -> Vec<HubConfig> {
    let hubs = config.hubs.iter().map(|hub| HubConfig {
        name: hub.name.clone(),
        keys: hub.keys.iter().map(|key| Secret::new(key.0.clone())).collect(),
        tokens_required: hub.client_tokens == ClientTokens::Required,
        allowed_origins: hub.allowed_origins.clone().map(|origins| origins.into_iter().collect()),
        tokens_end: config.settings.client_token_expiry,
        user_sessions: UserSessions {
            max: config.settings.user_sessions_max.unwrap_or(0),
            refuses: config.settings.user_sessions_full,
        },
        vouched: hub.identity_providers.iter().any(|provider| provider.clients),
        paths: hub.paths.clone(),
        limits: hub.limits,
    });
    hubs.collect()
}

/// How many hubs may be created on demand. In development an app chooses its hub's name freely, as
/// test suites and Azure's tools do; elsewhere every hub is configured.
pub(crate) fn spare_hubs(config: &Config) -> usize {
    const SPARE_HUBS: usize = 64;
    if config.mode == Mode::Dev { SPARE_HUBS } else { 0 }
}

/// The names that tokens may use for this node: as configured; in development, any name that the
/// client uses.
pub(crate) fn names(config: &Config) -> Option<Names> {
    let endpoints = &config.settings.public_endpoints;
    if !endpoints.is_empty() {
        return Some(Names::Endpoints(endpoints.clone()));
    }
    (config.mode == Mode::Dev).then_some(Names::AsAsked)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(256))
}

/// A new key: 256 random bits as hexadecimal digits, which are safe in every shell, file and URL.
pub fn new_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
