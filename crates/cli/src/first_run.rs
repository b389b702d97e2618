//! The text that `trunkline dev` prints once it accepts connections: the next steps.

use core::fmt::Write as _;

use trunkline_node::Started;
use trunkline_node::config::{Config, DEVELOPMENT_KEY, Origin};

/// The endpoint and the hub that an app server uses by default.
const SDK_ENDPOINT: &str = "http://127.0.0.1:8080";
const SDK_HUB: &str = "default";

/// The text for a person who runs Trunkline for the first time.
pub(crate) fn text(started: &Started, config: &Config) -> String {
    let (clients, endpoint, admin) = started.urls(config);
    let key_is_set = ["key", "key_file"].iter().any(|key| config.origin(key) != Origin::Default);
    let mut text = format!(
        "
Trunkline is ready for development.

  1. Add two lines to your Socket.IO app:

       import {{ useTrunkline }} from \"@trunkline/socket.io\";
       useTrunkline(io{});

  2. Point your clients here:  io(\"{clients}\")

  ",
        options(&endpoint, &started.default_hub)
    );
    match admin {
        Some(admin) => {
            let _ = writeln!(text, "Admin: {admin}/  (health, metrics, status)");
        }
        None => text.push_str("Admin: off\n"),
    }
    if let Some(cluster) = &config.cluster {
        let _ = writeln!(
            text,
            "  Cluster: {}, through {}; start further nodes with the same --cluster and other ports.",
            cluster.name, cluster.servers
        );
    }
    if key_is_set {
        text.push_str("  App servers need the key that you configured, in TRUNKLINE_KEY.\n");
    } else {
        let _ = writeln!(text, "  Key:   {DEVELOPMENT_KEY}  (the SDK's default)");
        let _ = writeln!(
            text,
            "\n  With Azure's SDK instead, hub \"{}\":\n\n       Endpoint={endpoint};AccessKey={DEVELOPMENT_KEY};Version=1.0;",
            started.default_hub
        );
    }
    text.push_str(
        "
  WARNING: the development key is public, so this node takes connections from this machine only.
  For anything else: trunkline serve, with a key of your own from `trunkline key`.
  Stop with Ctrl-C.

",
    );
    text
}

/// The second argument of `useTrunkline`, if the defaults do not fit.
fn options(endpoint: &str, hub: &str) -> String {
    let mut options = Vec::new();
    if endpoint != SDK_ENDPOINT {
        options.push(format!("endpoint: \"{endpoint}\""));
    }
    if hub != SDK_HUB {
        options.push(format!("hub: \"{hub}\""));
    }
    if options.is_empty() { String::new() } else { format!(", {{ {} }}", options.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_the_app_says_only_what_differs() {
        let cases = [
            ("http://127.0.0.1:8080", "default", ""),
            ("http://127.0.0.1:9000", "default", ", { endpoint: \"http://127.0.0.1:9000\" }"),
            ("http://127.0.0.1:8080", "chat", ", { hub: \"chat\" }"),
        ];
        for (endpoint, hub, want) in cases {
            assert_eq!(options(endpoint, hub), want);
        }
    }
}
