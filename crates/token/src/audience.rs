//! Audiences that are URLs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

/// A public address of the node: scheme, authority, and a path before ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    scheme: &'static str,
    authority: String,
    prefix: String,
}

impl Endpoint {
    /// Reads `http(s)://host[:port][/prefix]`. `None` for anything else.
    pub fn parse(url: &str) -> Option<Self> {
        let (secure, authority, path) = split(url)?;
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let prefix = path.trim_end_matches('/').to_ascii_lowercase();
        let scheme = if secure { "https" } else { "http" };
        Some(Self { scheme, authority: authority_of(secure, authority), prefix })
    }

    /// The host, with the port unless that is the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host, without a port.
    pub fn host(&self) -> &str {
        let host = self.authority.trim_end_matches(|c: char| c.is_ascii_digit());
        host.strip_suffix(':').unwrap_or(&self.authority)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

/// The names that mean this node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Names {
    /// Any name that the client uses in `Host`: for development, where audiences protect nothing.
    AsAsked,
    /// Only these names.
    Endpoints(Vec<Endpoint>),
}

impl Names {
    /// The names that need no configuration: the address that the node listens on, and this
    /// machine's own names if they lead to it.
    pub fn of_listener(address: SocketAddr) -> Self {
        let port = address.port();
        let own = (!address.ip().is_unspecified()).then(|| address.to_string());
        let local = address.ip().is_unspecified() || address.ip().is_loopback();
        let local = ["localhost", "127.0.0.1", "[::1]"].into_iter().filter(|_| local);
        let mut names: Vec<String> = local.map(|host| format!("{host}:{port}")).collect();
        names.extend(own.filter(|own| !names.contains(own)));
        let urls = names.iter().map(|name| format!("http://{name}"));
        Self::Endpoints(urls.filter_map(|url| Endpoint::parse(&url)).collect())
    }

    /// The name that the caller used, as a URL without a path, if it is one of ours; otherwise our
    /// first name.
    pub fn called(&self, origin: &str) -> String {
        let used = Endpoint::parse(origin);
        let is_used =
            |known: &&Endpoint| used.as_ref().is_some_and(|u| u.authority == known.authority);
        let known = self.endpoints().iter().find(is_used).or_else(|| self.endpoints().first());
        known.map_or_else(|| origin.to_string(), ToString::to_string)
    }

    fn endpoints(&self) -> &[Endpoint] {
        match self {
            Self::AsAsked => &[],
            Self::Endpoints(endpoints) => endpoints,
        }
    }
}

/// The address to which a request was sent.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The `Host` header: the client's name for this node.
    pub host: &'a str,
    /// The path as it came.
    pub path: &'a str,
    /// The query as it came, without the parts that do not belong to the audience.
    pub query: &'a str,
    /// The node's own names.
    pub names: &'a Names,
}

impl Place<'_> {
    /// Whether an audience means this place.
    ///
    /// Schemes `http`, `https`, `ws` and `wss` count as equal, because a proxy may terminate TLS.
    /// The comparison ignores case, the query, a slash at the end, and percent-encoding.
    pub fn is_meant_by(&self, audience: &str) -> bool {
        let Some((secure, authority, path)) = split(audience) else { return false };
        let authority = authority_of(secure, authority);
        let (path, query) = path.split_once('?').map_or((path, None), |(path, q)| (path, Some(q)));
        if query.is_some_and(|query| !same(query, self.query)) {
            return false;
        }
        let path_is = |prefix: &str| {
            let whole = [prefix, self.path].concat();
            same(path.trim_end_matches('/'), whole.trim_end_matches('/'))
        };
        let host_is = || {
            authority == authority_of(false, self.host)
                || authority == authority_of(true, self.host)
        };
        (*self.names == Names::AsAsked && host_is() && path_is(""))
            || self
                .names
                .endpoints()
                .iter()
                .any(|known| known.authority == authority && path_is(&known.prefix))
    }
}

/// Splits a URL into: whether it is encrypted, the authority, and the rest.
fn split(url: &str) -> Option<(bool, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => true,
        "http" | "ws" => false,
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (!authority.is_empty()).then_some((secure, authority, path))
}

/// The authority in lower case and without the scheme's default port.
fn authority_of(secure: bool, authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let port = if secure { ":443" } else { ":80" };
    lower.strip_suffix(port).map_or(lower.clone(), ToString::to_string)
}

fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || decoded(left).eq_ignore_ascii_case(&decoded(right))
}

/// Decodes percent-encoding: `%41` → `A`; a percent sign without two digits stays.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(pair.unwrap_or(byte));
        at += if pair.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_host() {
        let cases = [
            ("https://gw.example.com/abc/", "gw.example.com"),
            ("http://Gw1:8080", "gw1"),
            ("http://[::1]:8080/", "[::1]"),
            ("http://[::1]", "[::1]"),
            ("http://node1", "node1"),
        ];
        for (url, host) in cases {
            assert_eq!(Endpoint::parse(url).expect(url).host(), host);
        }
    }

    #[test]
    fn an_audience_means_a_place() {
        let names = ["https://gw.example.com/abc/", "http://localhost:8080"];
        let names = names.map(|url| Endpoint::parse(url).expect("a URL"));
        let place = Place {
            host: "staging.example",
            path: "/api/hubs/Chat/:send",
            query: "api-version=1&filter=a%20b",
            names: &Names::Endpoints(names.to_vec()),
        };
        let table = [
            ("http://localhost:8080/api/hubs/Chat/:send", true),
            ("https://LOCALHOST:8080/api/hubs/chat/:send/", true),
            ("http://localhost:8080/api/hubs/Chat/:send?api-version=1&filter=a%20b", true),
            ("http://localhost:8080/api/hubs/Chat/:send?api-version=1&filter=a b", true),
            ("http://localhost:8080/api/hubs/Chat/%3Asend", true),
            ("https://gw.example.com/abc/api/hubs/Chat/:send", true),
            ("https://gw.example.com:443/abc/api/hubs/Chat/:send", true),
            ("https://gw.example.com/api/hubs/Chat/:send", false),
            ("http://localhost:8081/api/hubs/Chat/:send", false),
            ("http://localhost:8080/api/hubs/Other/:send", false),
            ("http://localhost:8080/api/hubs/Chat/:send?api-version=2", false),
            ("http://staging.example/api/hubs/Chat/:send", false),
            ("localhost:8080/api/hubs/Chat/:send", false),
            ("", false),
        ];
        for (audience, expected) in table {
            assert_eq!(place.is_meant_by(audience), expected, "{audience}");
        }
    }

    #[test]
    fn the_port_of_the_scheme_may_be_left_out() {
        let names = Names::AsAsked;
        let place = Place { host: "example.com", path: "/a", query: "", names: &names };
        for audience in
            ["http://example.com:80/a", "https://example.com:443/a", "wss://example.com/a"]
        {
            assert!(place.is_meant_by(audience), "{audience}");
        }
        assert!(!place.is_meant_by("http://example.com:443/a"));
    }

    #[test]
    fn a_listener_has_the_names_that_lead_to_it() {
        let table: [(&str, &[&str], &[&str]); 4] = [
            (
                "127.0.0.1:8080",
                &["http://127.0.0.1:8080/a", "http://LOCALHOST:8080/a", "ws://[::1]:8080/a"],
                &["http://127.0.0.1/a", "http://10.0.0.5:8080/a", "http://staging.example:8080/a"],
            ),
            ("0.0.0.0:8080", &["http://localhost:8080/a"], &["http://0.0.0.0:8080/a"]),
            (
                "10.0.0.5:80",
                &["http://10.0.0.5/a", "http://10.0.0.5:80/a"],
                &["http://localhost/a"],
            ),
            ("[fd00::5]:8080", &["http://[fd00::5]:8080/a"], &["http://[::1]:8080/a"]),
        ];
        for (listener, good, bad) in table {
            let names = Names::of_listener(listener.parse().expect("an address"));
            // The client's name for the node has no effect.
            for host in ["127.0.0.1:8080", "staging.example:8080", "10.0.0.5:8080"] {
                let place = Place { host, path: "/a", query: "", names: &names };
                for audience in good {
                    assert!(place.is_meant_by(audience), "{listener}: {audience}");
                }
                for audience in bad {
                    assert!(!place.is_meant_by(audience), "{listener}: {audience}");
                }
            }
        }
    }
}
