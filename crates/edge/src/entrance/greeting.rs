//! A stream that owes something before a shard can serve it: a small state machine.

use std::net::TcpStream;

use super::StreamPermit;
use super::proxy_header::ProxyHeader;
use super::refusing::refuse_address;
use crate::peer::Peer;

/// A stream that is being greeted. Each step takes exactly its own bytes off the stream.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) stream: TcpStream,
    /// Who is at the other end, as known so far.
    pub(super) from: Peer,
    pub(super) permit: StreamPermit,
    /// The header of a proxy, until it has arrived.
    proxy: Option<ProxyHeader>,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// Bytes are missing, or the stream accepts none now.
    Waits,
    /// The step is over.
    Done,
    /// The stream is to be closed; a slug of the reason.
    Refused(&'static str),
}

impl Greeting {
    pub(super) fn new(
        (stream, from): (TcpStream, Peer),
        permit: StreamPermit,
        owes_proxy_header: bool,
    ) -> Self {
        let proxy = owes_proxy_header.then_some(ProxyHeader);
        Self { stream, from, permit, proxy }
    }

    /// Goes as far as the available bytes allow.
    pub(super) fn advance(&mut self) -> Progress {
        if let Some(header) = &mut self.proxy {
            match header.advance(&self.stream, &mut self.from, self.permit.streams()) {
                Progress::Done => {
                    self.proxy = None;
                    if let Err(why) = self.permit.count_for(self.from.client().ip) {
                        refuse_address(
                            &self.stream,
                            self.from.client().ip,
                            why,
                            self.permit.streams(),
                        );
                        return Progress::Refused(why.slug());
                    }
                }
                unfinished @ (Progress::Waits | Progress::Refused(_)) => return unfinished,
            }
        }
        Progress::Done
    }
}
