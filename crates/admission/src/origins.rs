//! Which web pages may connect: the origins (RFC 6454) that a hub allows.
//!
//! A browser sends the origin of the page with each WebSocket handshake and with each request to
//! another origin, and no page can change it. Programs that are no browsers can send anything or
//! nothing.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// An origin, or all origins of the hosts below a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginPattern(Kind);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    /// `null`: pages without an origin of their own, such as files and sandboxed frames.
    Null,
    Hosts {
        /// Without one: http and https.
        scheme: Option<String>,
        /// Whether the hosts below `host` are meant, and not `host` itself.
        below: bool,
        host: String,
        /// `None`: the scheme's own.
        port: Option<u16>,
    },
}

/// The reason why a text is no [`OriginPattern`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OriginError {
    /// A star in another place than before a whole name.
    #[error(
        "has a `*` that does not stand for the first part of a name, as in https://*.example.com"
    )]
    Star,
    /// The host is missing, or has characters that no origin has.
    #[error("is not an origin such as https://app.example.com, https://*.example.com:8443 or null")]
    Malformed,
    /// Letters beyond ASCII: browsers send such names in another form.
    #[error("has letters that browsers send as punycode (xn--…)")]
    NotAscii,
}

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if !text.is_ascii() {
            return Err(OriginError::NotAscii);
        }
        let text = text.to_ascii_lowercase();
        if text == "null" {
            return Ok(Self(Kind::Null));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, &*text),
        };
        let (below, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if rest.contains('*') || scheme.is_some_and(|scheme| scheme.contains('*')) {
            return Err(OriginError::Star);
        }
        let (host, port) = host_and_port(rest).ok_or(OriginError::Malformed)?;
        if scheme.is_some_and(|scheme| !is_scheme(scheme)) || below && host.starts_with('[') {
            return Err(OriginError::Malformed);
        }
        let port = port.filter(|port| default_port(scheme) != Some(*port));
        let (scheme, host) = (scheme.map(ToOwned::to_owned), host.to_owned());
        Ok(Self(Kind::Hosts { scheme, below, host, port }))
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind::Hosts { scheme, below, host, port } = &self.0 else { return f.write_str("null") };
        if let Some(scheme) = scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}{host}", if *below { "*." } else { "" })?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// An `Origin` as a client sends it.
struct Sent<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Sent<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = host_and_port(rest)?;
        let port = port.filter(|port| default_port(Some(scheme)) != Some(*port));
        is_scheme(scheme).then_some(Self { scheme, host, port })
    }
}

impl OriginPattern {
    fn allows(&self, sent: Option<&Sent<'_>>) -> bool {
        match (&self.0, sent) {
            (Kind::Null, None) => true,
            (Kind::Hosts { scheme, below, host, port }, Some(sent)) => {
                let scheme_fits = match scheme {
                    Some(scheme) => scheme == sent.scheme,
                    None => matches!(sent.scheme, "http" | "https"),
                };
                let host_fits = if *below {
                    let name = sent.host.strip_suffix(host.as_str());
                    name.and_then(|name| name.strip_suffix('.'))
                        .is_some_and(|name| !name.is_empty())
                } else {
                    host == sent.host
                };
                scheme_fits && host_fits && *port == sent.port
            }
            (Kind::Null | Kind::Hosts { .. }, _) => false,
        }
    }
}

/// The origins that a hub allows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origins(Vec<OriginPattern>);

impl Origins {
    /// Whether an origin as a client sends it is allowed. Anything that is not an origin is not.
    pub fn allow(&self, sent: &[u8]) -> bool {
        let Ok(text) = str::from_utf8(sent) else { return false };
        let text = text.to_ascii_lowercase();
        let sent = Sent::read(&text);
        if sent.is_none() && text != "null" {
            return false;
        }
        self.0.iter().any(|pattern| pattern.allows(sent.as_ref()))
    }

    /// The patterns.
    pub fn patterns(&self) -> &[OriginPattern] {
        &self.0
    }
}

impl FromIterator<OriginPattern> for Origins {
    fn from_iter<I: IntoIterator<Item = OriginPattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

/// The parts of `host` or `host:port`; an IPv6 address has brackets.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
        None if port.is_empty() => None,
        None => return None,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let fits = if host.starts_with('[') {
        host.bytes().all(|byte| byte.is_ascii_hexdigit() || b"[:.]".contains(&byte))
    } else {
        !host.is_empty() && host.bytes().all(is_name)
    };
    fits.then_some((host, port))
}

fn is_scheme(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    first && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn default_port(scheme: Option<&str>) -> Option<u16> {
    match scheme {
        Some("http") => Some(80),
        Some("https") => Some(443),
        Some(_) | None => None,
    }
}
