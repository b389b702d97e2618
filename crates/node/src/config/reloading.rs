//! What a running node takes over of a changed configuration, and what needs a restart.

use std::sync::Arc;

use super::{Config, Hub, Mistake, Mistakes, Origin, choose_file, keys, load};

/// The keys that a reload takes over. Any other one that has changed needs a restart.
const RELOADED: &[&str] = &[
    "address_limits_exempt",
    "allow_file",
    "allowed_origins",
    "client_token_expiry",
    "client_tokens",
    "deny_file",
    "drain",
    "drain_wait",
    "event_handler",
    "event_handler_system_events",
    "event_handler_user_events",
    "forwarded_header",
    "hub",
    "identity_answer_bytes_max",
    "identity_refresh",
    "identity_retry",
    "identity_timeout",
    "ipv6_prefix",
    "key",
    "key_file",
    "key_previous",
    "log",
    "public_endpoints",
    "serverless_socket_events_max",
    "serverless_waiting_bytes_max",
    "trusted_proxies",
    "user_sessions_full",
    "user_sessions_max",
    "unready_on",
    "webhook_answer_bytes_max",
    "webhook_concurrent_max",
    "webhook_pending_max",
    "webhook_timeout",
    // The limits of hubs.
    "app_server_sessions_max",
    "hub_app_servers_max",
    "hub_bytes_per_second",
    "hub_messages_per_second",
    "hub_sessions_max",
    // The limits. Those of trunks count for trunks that open from then on.
    "address_failures_per_second",
    "address_handshakes_per_second",
    "address_sessions_max",
    "address_streams_max",
    "answer_timeout",
    "body_timeout",
    "handshake_retry_after",
    "handshake_timeout",
    "handshakes_pending_max",
    "header_bytes_max",
    "header_timeout",
    "home_wait",
    "keep_alive_timeout",
    "memory_bytes_max",
    "orphan_close_per_second",
    "outbox_bytes_max",
    "outbox_stall",
    "payload_packets_max",
    "recovery_bytes_max",
    "rehome",
    "rehome_per_second",
    "session_bytes_per_second",
    "session_flood_wait",
    "session_inflated_bytes_per_second",
    "session_messages_per_second",
    "session_namespaces_max",
    "session_rooms_max",
    "sessions_max",
    "streams_max",
    "tls_handshake_timeout",
    "tls_handshakes_max",
    "token_revocations_max",
    "trunk_batch_bytes_max",
    "trunk_credit_bytes",
    "trunk_namespaces_max",
    "trunk_ping_interval",
    "trunk_resume_window",
    "trunk_streams_max",
    "trunk_unread_bytes_max",
    "trunks_per_hub_max",
    // The certificates. A port does not change between plain and TLS.
    "admin_tls_cert_file",
    "admin_tls_key_file",
    "tls_cert_file",
    "tls_key_file",
    "tls_min_version",
    "trunk_client_ca_file",
    "trunk_tls_cert_file",
    "trunk_tls_key_file",
];

/// Keys that only say what a hub is: the hub's own line names the change.
const OF_HUBS: &[&str] = &[
    "allowed_origins",
    "app_server_sessions_max",
    "client_tokens",
    "event_handler",
    "event_handler_system_events",
    "event_handler_user_events",
    "hub",
    "hub_app_servers_max",
    "hub_bytes_per_second",
    "hub_messages_per_second",
    "hub_sessions_max",
    "key",
    "key_file",
    "key_previous",
];

/// Whether a reload takes the key over.
pub(crate) fn is_reloaded(key: &str) -> bool {
    RELOADED.contains(&key)
}

/// What a changed configuration changes. Names only, never a value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// What a reload takes over: keys, and hubs with what has changed of them.
    pub changed: Vec<String>,
    /// The keys that have changed and need a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Config {
    /// Reads all faces again. The environment and the flags are those of the start.
    ///
    /// # Errors
    ///
    /// All mistakes, as at the start.
    pub fn load_again(&self) -> Result<Self, Mistakes> {
        let file_is_gone = choose_file(&self.inputs.0).is_none();
        if let Some(file) = self.file.as_ref().filter(|_| file_is_gone) {
            return Err(Mistakes(vec![Mistake {
                key: "config".into(),
                origin: Origin::Default,
                wrong: format!("`{}` is gone, from which the node was started", file.display()),
                allowed: "the file, as it was or changed".into(),
            }]));
        }
        load(self.mode, self.inputs.0.clone())
    }

    /// Compares a configuration with this one, which the node runs with. Returns what the node runs
    /// with after a reload: of keys that need a restart it has the present values.
    pub fn merge(&self, mut new: Self) -> (Self, Difference) {
        let mut difference = Difference::default();
        for key in keys() {
            if self.settings.has_same(key.name, &new.settings) {
                continue;
            }
            if !is_reloaded(key.name) {
                new.settings.keep(key.name, &self.settings);
                difference.needs_restart.push(key.name);
            } else if !OF_HUBS.contains(&key.name) {
                difference.changed.push(key.name.to_owned());
            }
        }
        if let (Some(own), Some(cluster)) = (&self.cluster, &new.cluster)
            && own.key != cluster.key
            && !difference.needs_restart.contains(&"cluster_key")
        {
            difference.needs_restart.push("cluster_key");
        }
        new.cluster.clone_from(&self.cluster);
        self.tls.merge(&mut new.tls, &mut difference);
        if self.default_hub != new.default_hub {
            difference.changed.push(format!("the default hub is {}", new.default_hub));
        }
        // The same files may have other lines.
        for (file, own, now) in [
            ("allow_file", &self.addresses.allow, &new.addresses.allow),
            (
                "deny_file",
                &Some(Arc::clone(&self.addresses.deny)),
                &Some(Arc::clone(&new.addresses.deny)),
            ),
        ] {
            if own != now && !difference.changed.iter().any(|changed| changed == file) {
                difference.changed.push(format!("the addresses in {file}"));
            }
        }
        difference.changed.extend(changes_of_hubs(&self.hubs, &new.hubs));
        (new, difference)
    }
}

fn changes_of_hubs(own: &[Hub], new: &[Hub]) -> Vec<String> {
    let of = |hubs: &[Hub], name: &str| {
        hubs.iter().find(|hub| hub.name.eq_ignore_ascii_case(name)).cloned()
    };
    let mut changes = Vec::new();
    for hub in new {
        let Some(before) = of(own, &hub.name) else {
            changes.push(format!("hub {} is added", hub.name));
            continue;
        };
        let parts = [
            ("keys", before.keys != hub.keys),
            ("client_tokens", before.client_tokens != hub.client_tokens),
            ("allowed_origins", before.allowed_origins != hub.allowed_origins),
            ("path", before.paths != hub.paths),
            ("limits", before.limits != hub.limits),
            ("event_handler", before.event_handlers != hub.event_handlers),
            ("identity_provider", before.identity_providers != hub.identity_providers),
        ];
        let parts: Vec<&str> = parts.into_iter().filter(|part| part.1).map(|part| part.0).collect();
        if !parts.is_empty() {
            changes.push(format!("hub {}: {}", hub.name, parts.join(", ")));
        }
    }
    let gone = own.iter().filter(|hub| of(new, &hub.name).is_none());
    changes.extend(gone.map(|hub| format!("hub {} is removed", hub.name)));
    changes
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Inputs, Mode};

    const KEY: &str = "key = \"0123456789abcdef\"\n";

    /// A file of its own for each test.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, text: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("trunkline-{}-{name}.toml", std::process::id()));
            let file = Self(path);
            file.write(text);
            file
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.0, text).expect("a temporary file");
        }

        fn load(&self, flags: &[(&'static str, &str)]) -> Config {
            let flags = flags.iter().map(|(key, value)| (*key, (*value).into())).collect();
            let inputs = Inputs { file_default: self.0.clone(), flags, ..Inputs::default() };
            load(Mode::Serve, inputs).expect("no mistake")
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn every_name_of_the_lists_is_a_key() {
        for name in RELOADED.iter().chain(OF_HUBS) {
            assert!(keys().iter().any(|key| key.name == *name), "{name} is no key");
        }
        assert!(OF_HUBS.iter().all(|name| is_reloaded(name)));
    }

    #[test]
    fn a_change_is_told_by_name_and_what_needs_a_restart_stays() {
        let file =
            File::new("change", &format!("{KEY}sessions_max = 10\nlisten = \"127.0.0.1:1\"\n"));
        let config = file.load(&[]);
        file.write(
            "sessions_max = 20\nlisten = \"127.0.0.1:2\"\nthreads = 3\n\
             [hub.chat]\ndefault = true\nkeys = [\"fedcba9876543210\"]\n\
             [hub.default]\nkeys = [\"fedcba9876543210\", \"0123456789abcdef\"]\npath = \"/d/\"\n",
        );
        let (merged, difference) = config.merge(config.load_again().expect("no mistake"));
        let changed = [
            "sessions_max",
            "the default hub is chat",
            "hub chat is added",
            "hub default: keys, path",
        ];
        assert_eq!(difference.changed, changed);
        assert_eq!(difference.needs_restart, ["listen", "threads"]);
        assert_eq!(merged.settings.limits.sessions_max, 20);
        assert_eq!(merged.settings.listen.port(), 1);
        let (_, again) = merged.merge(merged.load_again().expect("no mistake"));
        assert_eq!(again.changed, [""; 0]);
        assert_eq!(again.needs_restart, ["listen", "threads"], "as long as they differ");
        file.write(KEY);
        let (_, back) = merged.merge(merged.load_again().expect("no mistake"));
        assert!(back.changed.contains(&"hub chat is removed".to_owned()), "{back:?}");
    }

    #[test]
    fn lists_of_addresses_are_read_again_whole_or_not_at_all() {
        let list = File::new("list", "192.0.2.1\n");
        let text = format!("{KEY}deny_file = {:?}\n", list.0);
        let file = File::new("lists", &text);
        let config = file.load(&[]);
        let ip = |text: &str| text.parse::<core::net::IpAddr>().expect("an address");
        list.write("192.0.2.2\n");
        let (merged, difference) = config.merge(config.load_again().expect("no mistake"));
        assert_eq!(difference.changed, ["the addresses in deny_file"]);
        assert!(!merged.addresses.deny.contains(ip("192.0.2.1")));
        assert!(merged.addresses.deny.contains(ip("192.0.2.2")));
        list.write("192.0.2.3\nexample.com\n");
        let mistakes = merged.load_again().expect_err("a mistake").0;
        assert!(mistakes[0].wrong.contains("line 2"), "{mistakes:?}");
        file.write(&format!("{text}allowed_origins = \"https://a.example\"\nproxy_protocol = \"on\"\ntrusted_proxies = \"10.0.0.1\"\n"));
        list.write("192.0.2.2\n");
        let (_, difference) = merged.merge(merged.load_again().expect("no mistake"));
        assert_eq!(difference.changed, ["trusted_proxies", "hub default: allowed_origins"]);
        assert_eq!(difference.needs_restart, ["proxy_protocol"]);
    }

    #[test]
    fn flags_stay_stronger_than_the_file() {
        let file = File::new("flags", &format!("{KEY}sessions_max = 10\n"));
        let config = file.load(&[("sessions_max", "5")]);
        file.write(&format!("{KEY}sessions_max = 20\n"));
        let (merged, difference) = config.merge(config.load_again().expect("no mistake"));
        assert_eq!((merged.settings.limits.sessions_max, difference.changed.len()), (5, 0));
    }

    #[test]
    fn a_file_that_is_gone_or_wrong_is_a_mistake() {
        let file = File::new("gone", KEY);
        let config = file.load(&[]);
        file.write(&format!("{KEY}sessions_max = \"many\"\ndrain = 7\nno_such_key = 1\n"));
        assert_eq!(config.load_again().expect_err("mistakes").0.len(), 3, "all are told at once");
        file.write("key = \"0123");
        assert!(config.load_again().is_err(), "half of a file");
        std::fs::remove_file(&file.0).expect("it is there");
        let mistakes = config.load_again().expect_err("it is gone").0;
        assert!(mistakes[0].wrong.contains("is gone"), "{mistakes:?}");
    }
}
