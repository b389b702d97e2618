//! The addresses of NATS servers, as an operator writes them.

use core::fmt;

use async_nats::ServerAddr;

/// How an address may begin.
const SCHEMES: [&str; 2] = ["nats://", "tls://"];

/// One or more servers of one NATS, with the user and password or the token that the addresses
/// may hold. Its `Display` and `Debug` hide them.
#[derive(Clone, Eq, PartialEq)]
pub struct Servers {
    addresses: Vec<ServerAddr>,
    login: Option<Login>,
}

/// What an address holds before its host.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Login {
    User { name: String, password: String },
    Token(String),
}

impl Servers {
    /// Reads addresses with commas between them: `nats://host:4222`, `tls://host`, `host`.
    ///
    /// # Errors
    ///
    /// What is wrong, without a password; completes "the value …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut servers = Self { addresses: Vec::new(), login: None };
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let (address, login) = read(one)?;
            match (&servers.login, login) {
                (Some(known), Some(login)) if *known != login => {
                    return Err("names two different users".into());
                }
                (None, login) => servers.login = login,
                (Some(_), _) => {}
            }
            servers.addresses.push(address);
        }
        if servers.addresses.is_empty() {
            return Err("names no server".into());
        }
        Ok(servers)
    }

    /// Whether all of them are on this machine.
    pub fn are_loopback(&self) -> bool {
        self.addresses.iter().all(|address| {
            let host = address.host();
            let ip: Option<core::net::IpAddr> = host.parse().ok();
            host == "localhost" || ip.is_some_and(|ip| ip.to_canonical().is_loopback())
        })
    }

    pub(crate) fn addresses(&self) -> &[ServerAddr] {
        &self.addresses
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }
}

/// Reads one address, and splits off what authorises.
fn read(text: &str) -> Result<(ServerAddr, Option<Login>), String> {
    let (scheme, rest) = match text.split_once("://") {
        None => ("nats://", text),
        Some((scheme, rest)) => {
            let known = SCHEMES.into_iter().find(|known| known.trim_end_matches("://") == scheme);
            (known.ok_or("begins with neither nats:// nor tls://")?, rest)
        }
    };
    let (login, host) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((login, host)) => (Some(login), host),
    };
    let login = login.map(|login| match login.split_once(':') {
        Some((name, password)) => Login::User { name: decoded(name), password: decoded(password) },
        None => Login::Token(decoded(login)),
    });
    let address: ServerAddr =
        format!("{scheme}{host}").parse().map_err(|_| "holds what is no address".to_owned())?;
    if address.host().is_empty() {
        return Err("holds an address without a host".into());
    }
    Ok((address, login))
}

/// Undoes `%40` and the like, which passwords in addresses need for some signs.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| core::str::from_utf8(hex).ok());
        let escaped = (*byte == b'%').then(|| u8::from_str_radix(hex?, 16).ok()).flatten();
        out.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The addresses without users, passwords and tokens.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for address in &self.addresses {
            let (scheme, host) = (address.scheme(), address.host());
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            let login = if self.login.is_some() { "[hidden]@" } else { "" };
            write!(f, "{comma}{scheme}://{login}{open}{host}{close}:{}", address.port())?;
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_what_authorises_is_hidden() {
        let cases = [
            ("127.0.0.1", "nats://127.0.0.1:4222", true),
            ("nats://localhost:1", "nats://localhost:1", true),
            ("nats://a, tls://b:7", "nats://a:4222,tls://b:7", false),
            ("nats://[::1]:4223", "nats://[::1]:4223", true),
            ("nats://me:secret@127.0.0.1", "nats://[hidden]@127.0.0.1:4222", true),
            ("nats://a-token@10.0.0.1", "nats://[hidden]@10.0.0.1:4222", false),
        ];
        for (text, shown, loopback) in cases {
            let servers = Servers::parse(text).expect(text);
            assert_eq!((servers.to_string().as_str(), servers.are_loopback()), (shown, loopback));
            assert_eq!(format!("{servers:?}"), shown);
        }
    }

    #[test]
    fn what_authorises_is_the_same_for_all_servers() {
        let login = |text| Servers::parse(text).expect("addresses").login;
        let user = |name: &str, password: &str| {
            Some(Login::User { name: name.into(), password: password.into() })
        };
        assert!(login("nats://me:p%40ss%@a,nats://b") == user("me", "p@ss%"));
        assert!(login("a,nats://me:x@b") == user("me", "x"));
        assert!(login("nats://t@a") == Some(Login::Token("t".into())));
        assert!(login("a").is_none());
    }

    #[test]
    fn what_is_no_address_is_named_without_the_password() {
        let cases = [
            ("", "names no server"),
            (" , ", "names no server"),
            ("http://a", "begins with neither nats:// nor tls://"),
            ("ws://me:secret@a", "begins with neither nats:// nor tls://"),
            ("nats://me:secret@a:99999", "holds what is no address"),
            ("nats://me:secret@", "holds an address without a host"),
            ("nats://me:x@a,nats://you:x@b", "names two different users"),
        ];
        for (text, wrong) in cases {
            assert_eq!(Servers::parse(text).err().as_deref(), Some(wrong), "{text}");
        }
    }
}
