//! The place of a provider's keys.

use core::fmt;
use core::net::IpAddr;

use hyper::Uri;

/// The path after the issuer (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// How the keys are found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeySource {
    /// A discovery document under the issuer's address names the place of the keys.
    Discovery(ProviderUrl),
    /// The keys are at this address.
    Keys(ProviderUrl),
}

impl KeySource {
    /// The discovery document of an issuer.
    ///
    /// # Errors
    ///
    /// The issuer is not an allowed address.
    pub fn of_issuer(issuer: &str) -> Result<Self, ProviderUrlError> {
        let url = ProviderUrl::parse(&format!("{}{DISCOVERY}", issuer.trim_end_matches('/')))?;
        if url.0.query().is_some() { Err(ProviderUrlError::Url) } else { Ok(Self::Discovery(url)) }
    }

    pub(super) fn url(&self) -> &ProviderUrl {
        match self {
            Self::Discovery(url) | Self::Keys(url) => url,
        }
    }
}

/// An address that may be asked for keys. It must be safe: an attacker who could change the answer
/// could sign tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProviderUrl(Uri);

/// Why a text is not such an address, in alphabetical order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProviderUrlError {
    /// The address has `user:password@`, which would not be sent.
    #[error("holds a user or password, which are not sent")]
    Credentials,
    /// Plain http is allowed on this machine only.
    #[error("does not begin with https:// (http:// is for 127.0.0.1, [::1] and localhost only)")]
    Insecure,
    /// The text is no URL.
    #[error("is not a URL")]
    Url,
}

impl ProviderUrl {
    /// Checks a text.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, ProviderUrlError> {
        let url: Uri = text.parse().map_err(|_| ProviderUrlError::Url)?;
        let authority = url.authority().ok_or(ProviderUrlError::Url)?;
        if text.contains('#') {
            return Err(ProviderUrlError::Url);
        }
        if authority.as_str().contains('@') {
            return Err(ProviderUrlError::Credentials);
        }
        let port = authority.as_str().rsplit(']').next().and_then(|rest| rest.split_once(':'));
        if authority.host().is_empty() || (port.is_some() && authority.port_u16().is_none()) {
            return Err(ProviderUrlError::Url);
        }
        match url.scheme_str() {
            Some("https") => Ok(Self(url)),
            Some("http") if is_loopback(authority.host()) => Ok(Self(url)),
            _ => Err(ProviderUrlError::Insecure),
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    pub(super) fn uri(&self) -> Uri {
        self.0.clone()
    }
}

impl fmt::Display for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        let table = [
            ("https://id.example.com/keys?v=1", None),
            ("https://id.example.com:8443/keys", None),
            ("http://127.0.0.1:9/keys", None),
            ("http://[::1]:9/keys", None),
            ("http://LocalHost/keys", None),
            ("http://id.example.com/keys", Some(ProviderUrlError::Insecure)),
            ("http://127.0.0.1.example.com/keys", Some(ProviderUrlError::Insecure)),
            ("http://localhost.example.com/keys", Some(ProviderUrlError::Insecure)),
            ("file:///etc/passwd", Some(ProviderUrlError::Url)),
            ("ftp://127.0.0.1/", Some(ProviderUrlError::Insecure)),
            ("https://me:secret@id.example.com/", Some(ProviderUrlError::Credentials)),
            ("http://127.0.0.1@id.example.com/", Some(ProviderUrlError::Credentials)),
            ("https://id.example.com/#keys", Some(ProviderUrlError::Url)),
            ("https://id.example.com:99999/", Some(ProviderUrlError::Url)),
            ("id.example.com", Some(ProviderUrlError::Insecure)),
            ("/keys", Some(ProviderUrlError::Url)),
            ("", Some(ProviderUrlError::Url)),
        ];
        for (text, expected) in table {
            assert_eq!(ProviderUrl::parse(text).err(), expected, "{text}");
        }
    }

    #[test]
    fn discovery_is_behind_the_issuer() {
        for issuer in ["https://id.example.com/tenant", "https://id.example.com/tenant/"] {
            let source = KeySource::of_issuer(issuer).expect("an address");
            let expected = "https://id.example.com/tenant/.well-known/openid-configuration";
            assert_eq!(source.url().to_string(), expected);
        }
        for issuer in ["accounts.example.com", "http://example.com", "https://a/?b=", ""] {
            assert!(KeySource::of_issuer(issuer).is_err(), "{issuer}");
        }
    }
}
