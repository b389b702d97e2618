//! The rules for addresses, as an operator gives them and as they are applied.

use std::net::IpAddr;
use std::sync::Arc;

use trunkline_admission::{self as admission, Address, Prefixes, Rate};

use super::refused::Refused;
use crate::limits::Limits;

/// The seconds for which an address may use its rate at once, after a pause: a school whose network
/// returns has all its clients reconnect in a moment.
const BURST_S: u64 = 10;

/// What an operator says about addresses. The limits are in [`Limits`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressRules {
    /// The proxies whose word about their clients counts. `None`: nothing is said about proxies.
    pub trusted_proxies: Option<Arc<Prefixes>>,
    /// Whether streams of trusted proxies begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The header of trusted proxies that names the client.
    pub forwarded_header: ForwardedHeader,
    /// The bits of an IPv6 address that count as one stranger.
    pub ipv6_prefix: u8,
    /// The addresses that have no limits.
    pub exempt: Arc<Prefixes>,
    /// The only addresses that may connect; `None`: all.
    pub allow: Option<Arc<Prefixes>>,
    /// The addresses that may not connect.
    pub deny: Arc<Prefixes>,
}

impl Default for AddressRules {
    /// No proxy is trusted, nobody is exempt, everybody may connect.
    fn default() -> Self {
        Self {
            trusted_proxies: None,
            proxy_protocol: false,
            forwarded_header: ForwardedHeader::Auto,
            ipv6_prefix: 64,
            exempt: Arc::default(),
            allow: None,
            deny: Arc::default(),
        }
    }
}

/// The header in which trusted proxies name their client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`; without `X-Forwarded-For`, `Forwarded`.
    Auto,
    /// Only `X-Forwarded-For` and `X-Forwarded-Proto`.
    XForwardedFor,
    /// Only `Forwarded` (RFC 7239).
    Forwarded,
}

/// The rules in the form in which they are applied.
#[derive(Debug)]
pub(crate) struct Rules {
    addresses: AddressRules,
    pub(super) limits: admission::Limits,
    /// Whether any address is counted for anything.
    counts: bool,
}

impl Rules {
    pub(super) fn new(addresses: &AddressRules, limits: &Limits) -> Self {
        let rate = |per_second: Option<u32>| {
            per_second.map(u64::from).map(|rate| Rate::new(rate, rate.saturating_mul(BURST_S)))
        };
        let limits = admission::Limits {
            streams_max: limits.address_streams_max,
            sessions_max: limits.address_sessions_max,
            handshakes: rate(limits.address_handshakes_per_second),
            failures: rate(limits.address_failures_per_second),
            // An operator who has said nothing about proxies may have one in front, mostly in a private
            // network, and all clients behind it would share the limits of one.
            forwarders_are_free: addresses.trusted_proxies.is_none(),
        };
        let counts = limits.streams_max.is_some()
            || limits.sessions_max.is_some()
            || limits.handshakes.is_some()
            || limits.failures.is_some();
        Self { addresses: addresses.clone(), limits, counts }
    }

    /// Whether an address is a trusted proxy's.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.addresses.trusted_proxies.as_ref().is_some_and(|proxies| proxies.contains(ip))
    }

    /// Whether any proxy is trusted.
    pub(crate) fn trusts_any(&self) -> bool {
        self.addresses.trusted_proxies.as_ref().is_some_and(|proxies| !proxies.is_empty())
    }

    pub(crate) fn forwarded_header(&self) -> ForwardedHeader {
        self.addresses.forwarded_header
    }

    /// Whether there is any list of addresses that may or may not be here.
    pub(crate) fn has_lists(&self) -> bool {
        !self.addresses.deny.is_empty() || self.addresses.allow.is_some()
    }

    /// Whether an address may be here at all. A trusted proxy always may: the lists are for its
    /// clients.
    pub(crate) fn check(&self, ip: IpAddr) -> Result<(), Refused> {
        if !self.has_lists() || self.trusts(ip) {
            return Ok(());
        }
        if self.addresses.deny.contains(ip) {
            return Err(Refused::Denied);
        }
        match &self.addresses.allow {
            Some(allow) if !allow.contains(ip) => Err(Refused::NotAllowed),
            Some(_) | None => Ok(()),
        }
    }

    /// The address as it is counted; `None` for one that is not.
    pub(crate) fn counted(&self, ip: IpAddr) -> Option<Address> {
        let counts = self.counts && !self.addresses.exempt.contains(ip) && !self.trusts(ip);
        counts.then(|| Address::of(ip, self.addresses.ipv6_prefix))
    }
}
