//! A bound port.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{self as sys, AddressFamily, SocketFlags, SocketType};
use trunkline_tls::Certificates;

use crate::peer::PortKind;

/// Streams that the kernel holds until the acceptor accepts them.
const BACKLOG: i32 = 16_384;

/// One bound port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) kind: PortKind,
    /// The address, with the real number of the port.
    pub(crate) address: SocketAddr,
    /// Whether streams of trusted proxies begin with a header of the PROXY protocol.
    pub(super) proxy_header: bool,
    /// What TLS clients are offered; `None` where streams are plain.
    pub(super) tls: Option<Certificates>,
    listener: TcpListener,
}

impl Port {
    /// Opens a listener.
    pub(crate) fn bind(
        kind: PortKind,
        address: SocketAddr,
        proxy_header: bool,
    ) -> io::Result<Self> {
        let listener = listen(address)?;
        let address = listener.local_addr()?;
        Ok(Self { kind, address, proxy_header, tls: None, listener })
    }

    /// Lets the port speak TLS.
    pub(crate) fn with_tls(self, tls: Option<Certificates>) -> Self {
        Self { tls, ..self }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let listener = self.listener.try_clone()?;
        let tls = self.tls.clone();
        let Self { kind, address, proxy_header, .. } = *self;
        Ok(Self { kind, address, proxy_header, tls, listener })
    }

    /// Whether a stream of this port owes something before a shard can serve it.
    pub(super) fn greets(&self) -> bool {
        self.proxy_header || self.tls.is_some()
    }

    /// The name of the thread that accepts.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            PortKind::Public => "acceptor",
            PortKind::Trunks => "acceptor-trunks",
        }
    }

    /// Accepts a stream, which is non-blocking and has the listener's `TCP_NODELAY`.
    pub(super) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (stream, address) = sys::acceptfrom_with(&self.listener, flags)?;
        let address = address.and_then(|address| SocketAddr::try_from(address).ok());
        Ok((TcpStream::from(stream), address.ok_or(Errno::CONNABORTED)?))
    }

    /// Ends the wait of [`Self::accept`].
    pub(super) fn wake_acceptor(&self) {
        let _ = sys::shutdown(self.listener.as_fd(), sys::Shutdown::Both);
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = sys::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Lets a restart bind the port although the kernel still remembers connections of the last
    // process.
    sys::sockopt::set_socket_reuseaddr(&socket, true)?;
    // Accepted streams inherit this from the listener, which saves one call per stream.
    sys::sockopt::set_tcp_nodelay(&socket, true)?;
    sys::bind(&socket, &address)?;
    sys::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_streams_send_at_once_as_the_listener_does() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let port = Port::bind(PortKind::Public, any, false).expect("a free port");
        let _client = TcpStream::connect(port.address).expect("it listens");
        let (accepted, _) = port.accept().expect("somebody waits");
        assert!(accepted.nodelay().expect("open"));
    }
}
