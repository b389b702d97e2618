//! A digest of the hubs, by which nodes notice that their configurations differ.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::{ClientTokens, Hub, KeyText};

/// The digest. It is keyed, so it tells a stranger nothing about the hubs' keys.
pub(crate) fn digest(hubs: &[Hub], key: &KeyText) -> [u8; 8] {
    let mut mac: Hmac<Sha256> =
        Hmac::new_from_slice(key.0.as_bytes()).expect("HMAC takes keys of every length");
    let mut add = |part: &[u8]| {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    };
    add(b"trunkline hubs 1");
    let mut hubs: Vec<&Hub> = hubs.iter().collect();
    hubs.sort_by_key(|hub| &hub.name);
    for hub in hubs {
        add(hub.name.as_bytes());
        add(&[u8::from(hub.client_tokens == ClientTokens::Required)]);
        if let Some(origins) = &hub.allowed_origins {
            add(b"origins");
            let mut origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
            origins.sort_unstable();
            origins.iter().for_each(|origin| add(origin.as_bytes()));
        }
        // In another order they open the same hub.
        let mut keys: Vec<&str> = hub.keys.iter().map(|key| key.0.as_str()).collect();
        keys.sort_unstable();
        keys.iter().for_each(|key| add(key.as_bytes()));
        add(b"paths");
        let mut paths: Vec<&str> =
            hub.paths.iter().map(|path| path.trim_end_matches('/')).collect();
        paths.sort_unstable();
        paths.iter().for_each(|path| add(path.as_bytes()));
    }
    let bytes = mac.finalize().into_bytes();
    core::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use trunkline_edge::HubLimits;

    use super::*;

    fn hub(name: &str, keys: &[&str]) -> Hub {
        Hub {
            name: name.into(),
            keys: keys.iter().map(|key| KeyText((*key).into())).collect(),
            event_handlers: Vec::new(),
            identity_providers: Vec::new(),
            client_tokens: ClientTokens::Optional,
            allowed_origins: None,
            paths: Vec::new(),
            limits: HubLimits::default(),
        }
    }

    #[test]
    fn the_digest_differs_with_what_clients_and_app_servers_would_notice() {
        let of = |hubs: &[Hub]| digest(hubs, &KeyText("the cluster's key".into()));
        let base = [hub("chat", &["a", "b"]), hub("game", &["c"])];
        let same = [hub("game", &["c"]), hub("chat", &["b", "a"])];
        assert_eq!(of(&base), of(&same));
        let tokens = Hub { client_tokens: ClientTokens::Required, ..hub("game", &["c"]) };
        let path = Hub { paths: vec!["/game/".into()], ..hub("game", &["c"]) };
        let others: [&[Hub]; 5] = [
            &[hub("chat", &["a", "b"])],
            &[hub("chat", &["a"]), hub("game", &["c"])],
            &[hub("chat", &["ab"]), hub("game", &["c"])],
            &[hub("chat", &["a", "b"]), tokens],
            &[hub("chat", &["a", "b"]), path],
        ];
        for other in others {
            assert_ne!(of(&base), of(other), "{other:?}");
        }
        assert_ne!(of(&base), digest(&base, &KeyText("another key".into())));
    }
}
