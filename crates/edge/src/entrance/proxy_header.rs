//! The header of the PROXY protocol, with which a proxy tells whose stream it forwards.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Instant;

use trunkline_admission::proxy_header::{
    Decoded, PROXY_HEADER_BYTES_MAX, ProxyHeader as Header, ProxyHeaderError, decode,
};

use super::Streams;
use super::greeting::Progress;
use crate::peer::{Endpoint, Peer};

/// The header that a stream still owes.
#[derive(Debug)]
pub(super) struct ProxyHeader;

impl ProxyHeader {
    /// Takes the header off the stream once it has arrived completely, and not a byte more; notes
    /// the client that it names. What has arrived so far stays in the kernel, so that there is no
    /// state to keep.
    pub(super) fn advance(
        &mut self,
        mut stream: &TcpStream,
        from: &mut Peer,
        streams: &Streams,
    ) -> Progress {
        let mut bytes = [0; PROXY_HEADER_BYTES_MAX];
        let there = match stream.peek(&mut bytes) {
            Ok(0) => return Progress::Refused("aborted"),
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waits,
            Err(_) => return Progress::Refused("aborted"),
        };
        match decode(&bytes[..there]) {
            Ok(Decoded::Incomplete) => Progress::Waits,
            Ok(Decoded::Header(header, length)) => {
                if stream.read_exact(&mut bytes[..length]).is_err() {
                    return Progress::Refused("aborted");
                }
                match header {
                    Header::Own => (),
                    Header::Client { ip, port, secure } => {
                        from.name_client(Endpoint { ip, port }, secure);
                    }
                }
                Progress::Done
            }
            Err(error) => {
                let cause = match error {
                    ProxyHeaderError::Missing => "proxy_header_missing",
                    ProxyHeaderError::LineTooLong
                    | ProxyHeaderError::Line
                    | ProxyHeaderError::Command
                    | ProxyHeaderError::Family
                    | ProxyHeaderError::TooShort
                    | ProxyHeaderError::TooLong
                    | ProxyHeaderError::Field => "proxy_header_malformed",
                };
                if let Some(times) = streams.refused.note(cause, Instant::now()) {
                    tracing::warn!(
                        address = %from.client(), cause, times,
                        "streams of a trusted proxy refused: {error}; proxy_protocol is on"
                    );
                }
                Progress::Refused(cause)
            }
        }
    }
}
