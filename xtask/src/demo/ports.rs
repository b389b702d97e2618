//! Ports: the usual one if it is free, otherwise any other, with a note about it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::Failure;

/// A port that was free a moment ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port(u16);

impl Port {
    pub(super) fn number(self) -> u16 {
        self.0
    }

    pub(super) fn address(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.0))
    }
}

/// `usual` if it is free on every address; otherwise a port that the system chooses.
pub(super) fn free(usual: u16, whose: &str) -> Result<Port, Failure> {
    let everywhere = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, usual)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, usual)),
    ];
    if everywhere.iter().all(|address| TcpListener::bind(address).is_ok()) {
        return Ok(Port(usual));
    }
    let chosen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    println!("port {usual} is taken: {whose} gets {chosen}");
    Ok(Port(chosen))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_taken_port_is_not_given_out() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = holder.local_addr().unwrap().port();
        let port = super::free(taken, "the test").unwrap();
        assert_ne!(port.number(), taken);
        assert_eq!(port.address().port(), port.number());
    }
}
