//! What the node may ask of the entrance.

use std::net::SocketAddr;

use trunkline_tls::Certificates;

use crate::peer::PortKind;
use crate::running::{Edge, Running};

impl Edge {
    /// The address of the port for app servers, if they have one of their own.
    pub fn trunk_addr(&self) -> Option<SocketAddr> {
        self.entrance.address(PortKind::Trunks)
    }
}

impl Running {
    /// The open streams, and the most that may be.
    pub fn streams_of_limit(&self) -> (usize, usize) {
        let streams = usize::try_from(self.env.metrics.streams.get()).unwrap_or(0);
        (streams, self.env.limits.streams_max)
    }

    /// The certificates of the public port, to be exchanged; `None` when the port is plain.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.entrance.certificates(PortKind::Public)
    }

    /// The same for the port for app servers.
    pub fn trunk_certificates(&self) -> Option<&Certificates> {
        self.entrance.certificates(PortKind::Trunks)
    }
}
