//! Who is at the other end of a stream.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An address and a port, in less space than [`SocketAddr`] takes: every stream at rest has some.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    /// Zero when it is not known.
    pub(crate) port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), port: address.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.ip, endpoint.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

/// The port at which a stream arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PortKind {
    /// The public port.
    Public,
    /// The port for app servers only.
    Trunks,
}

/// Both ends of the way to a stream's client, as far as they are known before its first request.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    peer: Endpoint,
    pub(crate) port: PortKind,
    /// Whether the stream is encrypted: up to this node, or up to a trusted proxy that says so.
    pub(crate) secure: bool,
    /// The client, where a trusted proxy says that it is another one than the peer. In a box,
    /// because most streams have none.
    via: Option<Box<Endpoint>>,
}

/// Each connection at rest has one.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Peer>() <= 32);

impl Peer {
    /// The other end of a plain TCP connection.
    pub(crate) fn new(peer: SocketAddr, port: PortKind) -> Self {
        Self { peer: peer.into(), port, secure: false, via: None }
    }

    /// Notes the client that the peer, a trusted proxy, has named, and whether it uses TLS.
    pub(crate) fn name_client(&mut self, client: Endpoint, secure: bool) {
        self.via = (client != self.peer).then(|| Box::new(client));
        self.secure |= secure;
    }

    /// The client: the peer itself, or whom a trusted proxy has named in the stream's first bytes.
    /// A request may still name another one.
    pub(crate) fn client(&self) -> Endpoint {
        self.via.as_deref().copied().unwrap_or(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_the_peer_unless_a_proxy_names_another() {
        let proxy = SocketAddr::from(([10, 0, 0, 1], 4711));
        let mut peer = Peer::new(proxy, PortKind::Public);
        assert_eq!(SocketAddr::from(peer.client()), proxy);
        let client = SocketAddr::from(([192, 0, 2, 1], 80));
        peer.name_client(client.into(), true);
        assert_eq!(SocketAddr::from(peer.client()), client);
        assert!(peer.secure);
        peer.name_client(proxy.into(), false);
        assert!(peer.via.is_none());
    }
}
