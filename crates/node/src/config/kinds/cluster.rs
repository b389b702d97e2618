//! What the keys of a cluster hold.

use trunkline_backplane::nats::Servers;
use trunkline_edge::Endpoint;

use super::{Name, ValueKind};

/// The longest address of a node.
const URL_BYTES_MAX: usize = 512;

/// A cluster's name: one part of a NATS subject, so it holds no dot.
pub(crate) struct ClusterName;

const NAME: Name = Name { what: "a name", length_max: 63, letter_first: false };

impl ValueKind for ClusterName {
    type Value = String;

    fn placeholder(&self) -> &'static str {
        "NAME"
    }

    fn allowed(&self) -> String {
        "a name: a letter or digit, then letters, digits, `_`, `-`; at most 63 in all".into()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        let name = NAME.parse(text)?;
        if name.contains('.') { Err("holds `.`".into()) } else { Ok(name) }
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

/// Addresses of NATS servers. They may hold a password, so their texts are never repeated.
pub(crate) struct NatsServers;

impl ValueKind for NatsServers {
    type Value = Servers;

    fn placeholder(&self) -> &'static str {
        "URLS"
    }

    fn allowed(&self) -> String {
        "nats://host:port or tls://host:port, with commas between them; user:password@ or a token@ before the host"
            .into()
    }

    fn parse(&self, text: &str) -> Result<Servers, String> {
        Servers::parse(text)
    }

    fn show(&self, value: &Servers) -> String {
        value.to_string()
    }

    fn secret(&self) -> bool {
        true
    }
}

/// An address and a path prefix, kept as it was written.
pub(crate) struct OneUrl;

impl ValueKind for OneUrl {
    type Value = String;

    fn placeholder(&self) -> &'static str {
        "URL"
    }

    fn allowed(&self) -> String {
        "a URL such as http://10.0.0.7:8080 or https://node-7.example.com/path, without user, query or fragment"
            .into()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        if Endpoint::parse(text).is_none() {
            return Err("is no URL".into());
        }
        if text.len() > URL_BYTES_MAX {
            return Err(format!("is {} bytes long", text.len()));
        }
        let odd =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#' | ',');
        match text.chars().find(|c| odd(*c)) {
            Some(odd) => Err(format!("holds `{}`", odd.escape_debug())),
            None => Ok(text.trim_end_matches('/').to_owned()),
        }
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}
