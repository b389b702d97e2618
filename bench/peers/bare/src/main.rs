//! The bare limit: the least work with which the ledger's generator can be served on this machine.
//!
//! One thread, one epoll set, one shared read buffer, 16 bytes for an idle client. A single packet
//! costs one `send`, a burst to a client is one `send`, and everything that a client's bytes ask
//! for is answered with one `send`. It is a ruler and not a server: `bench/peers/README.md` lists
//! what it leaves out.
//!
//! `bare [--io-uring]` listens on a free loopback port, prints the port in one line of JSON, and
//! runs until it is ended.

mod protocol;
mod server;
mod uring;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

fn main() -> std::io::Result<()> {
    let ring = match std::env::args().nth(1).as_deref() {
        None => None,
        Some("--io-uring") => Some(uring::Ring::new()?),
        Some(other) => return Err(std::io::Error::other(format!("unknown argument {other}"))),
    };
    let listener = listen()?;
    let (port, pid) = (listener.local_addr()?.port(), std::process::id());
    writeln!(std::io::stdout(), r#"{{"port":{port},"pid":{pid}}}"#)?;
    server::run(listener, ring)
}

/// The standard library's backlog of 128 is too short for a stampede.
fn listen() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, 4_096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
